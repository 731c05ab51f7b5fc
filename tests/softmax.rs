//! More than two classes: softmax against textbook code, on both engines, one against the rest, and what surrounds them.

mod common;
#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use common::{ENGINES, Rows, difference};
use desk::Desk;
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, PackOptions, Precision};
use gpulogit::engine::cpu::{ColumnMap, Host};
use gpulogit::engine::gpu::GpuOptions;
use gpulogit::engine::{DeviceRequest, Params, open};
use gpulogit::fit::{ClassFit, FitOptions, fit, fit_one_vs_rest, fit_softmax};
use gpulogit::metrics::ClassTally;
use gpulogit::monitor::Silent;
use gpulogit::reference::SoftmaxProblem;

/// Weighted rows of `classes` classes that overlap, with columns of several sizes, far from zero.
fn rows(rows: usize, features: usize, classes: usize) -> Rows {
    let mut all = Rows::random(rows, features, 77);
    let noise = Rows::random(rows, classes, 78);
    for i in 0..rows {
        let row = &all.x[i * features..(i + 1) * features];
        let score = |k: usize| {
            let of_class = row.iter().enumerate().map(|(j, x)| x * ((3 * j + 5 * k) % 7) as f64 / 7.0).sum::<f64>();
            of_class + 1.5 * noise.x[i * classes + k]
        };
        let best = (1..classes).fold(0, |best, k| if score(k) > score(best) { k } else { best });
        all.target[i] = best as f64;
        all.weight[i] = [1.0, 0.5, 2.0, 0.0][i % 4];
    }
    all.x.iter_mut().step_by(features).for_each(|x| *x = 50.0 * *x + 400.0);
    all
}

fn problem<'a>(rows: &'a Rows, classes: usize, l2: f64) -> SoftmaxProblem<'a> {
    SoftmaxProblem {
        x: &rows.x,
        features: rows.features,
        classes,
        target: &rows.target,
        weight: &rows.weight,
        l2,
        intercept: true,
    }
}

fn options(device: &DeviceRequest, l2: f64) -> FitOptions {
    FitOptions { device: device.clone(), l2, ..FitOptions::default() }
}

fn softmax(data: &Dataset, options: &FitOptions) -> ClassFit {
    fit_softmax(data, options, &Silent).unwrap()
}

/// For each class its slopes and the intercept.
fn columns(fit: &ClassFit) -> Vec<Vec<f64>> {
    fit.coefficients
        .iter()
        .zip(&fit.intercepts)
        .map(|(beta, intercept)| [beta.as_slice(), &[*intercept]].concat())
        .collect()
}

/// The largest entry of the reference's gradient, as `--tol` measures it.
fn slope(rows: &Rows, w: &[Vec<f64>], l2: f64) -> f64 {
    let (p, s) = (rows.features, rows.weight.iter().sum::<f64>());
    let mean = |j: usize| (0..rows.rows()).map(|i| rows.weight[i] * rows.x[i * p + j]).sum::<f64>() / s;
    let sd = |j: usize| {
        let mean = mean(j);
        let square = |i: usize| rows.weight[i] * (rows.x[i * p + j] - mean).powi(2);
        ((0..rows.rows()).map(square).sum::<f64>() / s).sqrt()
    };
    let sds: Vec<f64> = (0..p).map(sd).chain([1.0]).collect();
    let gradient = problem(rows, w.len(), l2).gradient(w);
    gradient.iter().flatten().zip(sds.iter().cycle()).fold(0f64, |most, (g, sd)| most.max(g.abs() / (s * sd)))
}

#[test]
fn the_optimum_is_the_references_on_both_engines() {
    let mut seen = 0;
    // The whole Hessian, then conjugate gradients, small and in f32.
    for (n, p, classes, l2) in [(300, 3, 3, 0.0), (300, 3, 4, 2.0), (900, 40, 9, 1.0), (60_000, 20, 5, 0.5)] {
        let rows = rows(n, p, classes);
        let precision = (n > 10_000).then_some(Precision::F32);
        let data = rows.pack(PackOptions { precision, block_rows: Some(4096), ..PackOptions::default() });
        assert_eq!(data.classes, classes);
        for device in &ENGINES {
            let fit = softmax(&data, &options(device, l2));
            assert_eq!(fit.status, Status::Converged, "{n} × {p} × {classes}");
            let w = columns(&fit);
            // f32 storage moves the optimum by a part of a rounding.
            let allowed = if precision.is_some() { 3e-8 } else { 1.5e-8 };
            assert!(slope(&rows, &w, l2) <= allowed, "{n} × {p} × {classes}: {:e}", slope(&rows, &w, l2));
            let mut off = w.clone();
            off[1][2] += 1e-4;
            assert!(!(slope(&rows, &off, l2) <= allowed), "the check cannot fail");
            let j = problem(&rows, classes, l2).objective(&w);
            assert!((fit.objective / j - 1.0).abs() <= 1e-6, "{} {j}", fit.objective);
            // Of all that predict the same the one whose classes sum to 0.
            for j in 0..=p {
                let (sum, size) = w.iter().fold((0.0, 0f64), |(sum, size), w| (sum + w[j], size.max(w[j].abs())));
                assert!(sum.abs() <= 1e-12 * size.max(1.0), "feature {j} sums to {sum:e}");
            }
            assert_eq!(fit.bounds.is_some(), l2 > 0.0);
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn what_is_proved_of_a_loose_fit_holds() {
    let rows = rows(400, 4, 3);
    let data = rows.pack(PackOptions::default());
    let mut seen = 0;
    for l2 in [0.3, 30.0, 3000.0] {
        let best = softmax(&data, &options(&DeviceRequest::Cpu, l2));
        for steps in [2, 3, 4] {
            let loose = FitOptions { max_iterations: Some(steps), ..options(&DeviceRequest::Cpu, l2) };
            let fit = softmax(&data, &loose);
            let Some((gap, distance)) = fit.bounds else { continue };
            let apart: f64 = fit
                .coefficients
                .iter()
                .flatten()
                .zip(best.coefficients.iter().flatten())
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            assert!(fit.objective - best.objective <= gap + 1e-9, "l2 = {l2}, {steps} steps: {gap:e}");
            assert!(apart.sqrt() <= distance + 1e-9, "l2 = {l2}, {steps} steps: {} {distance:e}", apart.sqrt());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
}

#[test]
fn a_product_is_the_change_of_the_gradient_and_the_hessian_has_it_too() {
    let (classes, p) = (4, 6);
    let rows = rows(500, p, classes);
    let data = rows.pack(PackOptions::default());
    let params = |scale: f64, stream: usize| {
        let mut w = Params::zeros(p, classes);
        for k in 0..classes {
            w.model_mut(k)
                .iter_mut()
                .enumerate()
                .for_each(|(j, w)| *w = scale * (((7 * j + 3 * k + stream) % 11) as f64 - 5.0));
        }
        w
    };
    let (w, v) = (params(0.1, 0), params(0.05, 4));
    let host = Host::new(&data);
    let mut engine = host.engine().unwrap();
    use gpulogit::engine::Engine;
    let product = engine.softmax_product(&w, &v).unwrap();
    let at = |h: f64, engine: &mut dyn Engine| {
        let mut moved = w.clone();
        for k in 0..classes {
            moved.model_mut(k).iter_mut().zip(v.model(k)).for_each(|(w, v)| *w += h * v);
        }
        engine.softmax(&moved).unwrap().gradient
    };
    let h = 1e-4;
    let (up, down) = (at(h, engine.as_mut()), at(-h, engine.as_mut()));
    let hessian = host.class_hessian(&ColumnMap::as_stored(p), &w).unwrap();
    let width = p + 1;
    let mut largest = 0f64;
    for k in 0..classes {
        for j in 0..width {
            let change = (up.model(k)[j] - down.model(k)[j]) / (2.0 * h);
            let by_hessian: f64 =
                (0..classes * width).map(|i| hessian[(k * width + j, i)] * v.model(i / width)[i % width]).sum();
            assert!((change - product.model(k)[j]).abs() <= 1e-5, "{k} {j}: {change} {}", product.model(k)[j]);
            assert!((by_hessian - product.model(k)[j]).abs() <= 1e-9, "{k} {j}: {by_hessian} {}", product.model(k)[j]);
            largest = largest.max(change.abs());
        }
    }
    assert!(largest > 1.0, "nothing was compared");
}

#[test]
fn blocks_threads_and_streaming_change_nothing_that_counts() {
    let (classes, p) = (6, 30);
    let rows = rows(40_000, p, classes);
    let pack = |block_rows: usize| {
        rows.pack(PackOptions {
            precision: Some(Precision::F32),
            block_rows: Some(block_rows),
            ..PackOptions::default()
        })
    };
    let (whole, cut) = (pack(40_960), pack(1024));
    let mut w = Params::zeros(p, classes);
    (0..classes)
        .for_each(|k| w.model_mut(k).iter_mut().enumerate().for_each(|(j, w)| *w = 0.02 * ((j + k) % 5) as f64));
    let of = |device: &DeviceRequest, data: &Dataset, gpu: &GpuOptions| {
        let (mut engine, _) = open(device, data, 1, gpu).unwrap();
        let (sums, product) = (engine.softmax(&w).unwrap(), engine.softmax_product(&w, &w).unwrap());
        assert_eq!(engine.cost().passes, 2);
        let all = |params: &Params| (0..classes).flat_map(|k| params.model(k).to_vec()).collect::<Vec<f64>>();
        [vec![sums.loss], all(&sums.gradient), all(&product)].concat()
    };
    let cpu = |data: &Dataset| of(&DeviceRequest::Cpu, data, &GpuOptions::default());
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(alone.install(|| cpu(&whole)), cpu(&whole), "threads change no bit");
    assert!(difference(&cpu(&cut), &cpu(&whole)) <= 1e-6);
    let gpu = |data: &Dataset, device_memory: Option<u64>| {
        of(&DeviceRequest::Gpu, data, &GpuOptions { device_memory, ..GpuOptions::default() })
    };
    let here = gpu(&whole, None);
    assert_eq!(here, gpu(&whole, None), "the same bits twice");
    assert!(difference(&gpu(&cut, None), &here) <= 1e-6);
    // 5 MB of rows beside 64 MiB for what sends them.
    assert_eq!(gpu(&whole, Some(66 << 20)), here, "chunk by chunk");
    assert!(difference(&here, &cpu(&whole)) <= 1e-5);
}

#[test]
fn an_integer_weight_is_a_repeated_row_and_weight_0_none() {
    let plain = rows(200, 3, 3);
    let mut repeated = Rows { features: 3, ..Rows::default() };
    let mut weighted = plain.clone();
    for i in 0..200 {
        let times = [2, 0, 1, 3][i % 4];
        weighted.weight[i] = times as f64;
        for _ in 0..times {
            repeated.x.extend(&plain.x[3 * i..3 * i + 3]);
            repeated.target.push(plain.target[i]);
            repeated.weight.push(1.0);
        }
    }
    let fits = [&weighted, &repeated]
        .map(|rows| columns(&softmax(&rows.pack(PackOptions::default()), &options(&DeviceRequest::Cpu, 1.0))));
    assert!(difference(&fits[0].concat(), &fits[1].concat()) <= 1e-9);
}

#[test]
fn one_against_the_rest_is_a_fit_of_two_classes_each() {
    let mut rows = rows(600, 4, 3);
    let data = rows.pack(PackOptions { block_rows: Some(128), ..PackOptions::default() });
    let options = options(&DeviceRequest::Cpu, 0.7);
    let all = fit_one_vs_rest(&data, &options, &Silent).unwrap();
    assert_eq!(all.status, Status::Converged);
    let targets = rows.target.clone();
    let (mut sum, mut seen) = (0.0, 0);
    for k in 0..3 {
        rows.target = targets.iter().map(|t| f64::from(u8::from(*t == k as f64))).collect();
        let one = fit(&rows.pack(PackOptions::default()), &options, &Silent).unwrap();
        assert!(difference(&all.coefficients[k], &one.coefficients) <= 1e-9);
        assert!((all.intercepts[k] - one.intercept).abs() <= 1e-8);
        sum += one.objective;
        seen += 1;
    }
    assert!(seen == 3 && (all.objective / sum - 1.0).abs() <= 1e-12);
}

#[test]
fn separated_classes_are_said_to_be_and_a_penalty_makes_them_finite() {
    let data = Rows {
        x: (0..90).flat_map(|i| [f64::from(i), f64::from((i * 7) % 10)]).collect(),
        features: 2,
        target: (0..90).map(|i| f64::from(i / 30)).collect(),
        weight: vec![1.0; 90],
        offset: None,
    }
    .pack(PackOptions::default());
    let mut seen = 0;
    for device in &ENGINES {
        let free = softmax(&data, &options(device, 0.0));
        assert_eq!((free.status, free.separated), (Status::Separated, vec![0, 1, 2]));
        let held = softmax(&data, &options(device, 1.0));
        assert_eq!((held.status, held.separated), (Status::Converged, vec![]));
        let each = fit_one_vs_rest(&data, &options(device, 0.0), &Silent).unwrap();
        // The one in the middle is not on one side of a line.
        assert_eq!((each.status, each.separated), (Status::Separated, vec![0, 2]));
        seen += 1;
    }
    assert_eq!(seen, 2);
    // Classes that overlap are not.
    let free = softmax(&rows(300, 3, 4).pack(PackOptions::default()), &options(&DeviceRequest::Cpu, 0.0));
    assert_eq!((free.status, free.separated), (Status::Converged, vec![]));
}

#[test]
fn logits_beyond_the_range_are_an_infinite_loss_and_large_ones_are_not() {
    let rows = rows(100, 2, 3);
    let data = rows.pack(PackOptions::default());
    let mut seen = 0;
    for device in &ENGINES {
        let (mut engine, _) = open(device, &data, 1, &GpuOptions::default()).unwrap();
        let mut w = Params::zeros(2, 3);
        w.model_mut(0)[0] = 1e5;
        let large = engine.softmax(&w).unwrap();
        assert!(large.loss > 1e4 && large.loss.is_finite(), "{}", large.loss);
        w.model_mut(0)[0] = 3e38;
        w.model_mut(1)[1] = -3e38;
        assert_eq!(engine.softmax(&w).unwrap().loss, f64::INFINITY);
        w.model_mut(0)[0] = f64::NAN;
        assert!(engine.softmax(&w).is_err());
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    // log_loss, accuracy_score, balanced_accuracy_score, precision_score, f1_score (macro and weighted), roc_auc_score(average=None,
    // multi_class='ovr') of scikit-learn 1.9.1 with these sample weights.
    let y = [
        [0.7, 0.2, 0.1],
        [0.1, 0.6, 0.3],
        [0.2, 0.2, 0.6],
        [0.3, 0.4, 0.3],
        [0.5, 0.25, 0.25],
        [0.1, 0.1, 0.8],
        [0.25, 0.5, 0.25],
    ];
    let class = [0, 1, 2, 0, 1, 2, 1];
    let weight = [1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 0.0];
    let mut tally = ClassTally::new(3);
    for ((y, class), s) in y.iter().zip(class).zip(weight) {
        tally.add(&y.map(f64::ln), class, s).unwrap();
    }
    assert_eq!(tally.rows(), 7);
    let m = tally.finish().unwrap();
    let expected = [
        0.5349250861720227,
        0.8235294117647058,
        0.7777777777777777,
        0.7666666666666666,
        0.7662337662337663,
        0.828113063407181,
        0.2735294117647059,
        0.9523809523809523,
        0.9696969696969697,
        1.0,
    ];
    let got = [m.log_loss, m.accuracy, m.balanced_accuracy, m.macro_precision, m.macro_f1, m.weighted_f1, m.brier];
    assert!(difference(&got, &expected[..7]) <= 1e-12, "{got:?}");
    let areas: Vec<f64> = m.classes.iter().map(|class| class.roc_auc.unwrap()).collect();
    assert!(difference(&areas, &expected[7..]) <= 1e-12, "{areas:?}");
    // matthews_corrcoef.
    assert!((m.mcc.unwrap() - 0.7253185207353657).abs() <= 1e-12, "{:?}", m.mcc);
    assert_eq!(m.confusion, [[1.0, 0.5, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 4.0]]);
    let mut absent = ClassTally::new(3);
    absent.add(&[-0.1, -3.0, -3.0], 0, 1.0).unwrap();
    assert!(absent.add(&[-0.1, f64::NAN, -3.0], 0, 1.0).is_err());
    assert!(absent.add(&[-0.1, -3.0, -3.0], 3, 1.0).is_err());
    let m = absent.finish().unwrap();
    assert_eq!((m.balanced_accuracy, m.macro_roc_auc, m.classes[1].recall), (1.0, None, 0.0));
    assert!(ClassTally::new(3).finish().is_err());
}

/// Three kinds of flowers by name, one with a measure missing.
fn flowers() -> String {
    let iris = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/data/iris3.csv")).unwrap();
    let mut text = String::new();
    for line in iris.lines() {
        let (measures, class) = line.rsplit_once(',').unwrap();
        let name = match class {
            "0" => "setosa",
            "1" => "versicolor",
            "2" => "virginica",
            _ => "species",
        };
        text += &format!("{measures},{name}\n");
    }
    text
}

#[test]
fn the_program_trains_predicts_and_evaluates_names() {
    let desk = Desk::on_cpu();
    desk.write("iris.csv", flowers());
    desk.write("gap.csv", flowers().replacen("5.1,3.5", "5.1,", 1));
    for multi in ["softmax", "ovr"] {
        let trained = desk.run(&["train", "iris.csv", "--target", "species", "--l2", "1", "--multi", multi, "--json"]);
        assert_eq!(trained.code, 0, "{}", trained.err);
        let json = trained.json();
        assert_eq!((json["multi"].as_str(), json["status"].as_str()), (Some(multi), Some("converged")));
        assert_eq!(json["classes"], serde_json::json!(["setosa", "versicolor", "virginica"]));
        let model: serde_json::Value =
            serde_json::from_slice(&std::fs::read(desk.path("model.json")).unwrap()).unwrap();
        let coefficients = model["coefficients"].as_array().unwrap();
        assert_eq!((coefficients.len(), coefficients[4]["class"].as_str()), (12, Some("versicolor")));
        assert_eq!(model["intercept"].as_array().unwrap().len(), 3);
        let predicted = desk.run(&["predict", "model.json", "gap.csv", "--keep", "species"]);
        let lines: Vec<&str> = predicted.out.lines().collect();
        assert_eq!(lines[0], "species,probability_setosa,probability_versicolor,probability_virginica,label");
        assert_eq!((lines.len(), lines[1]), (151, "setosa,,,,"));
        let cells: Vec<&str> = lines[2].split(',').collect();
        let sum: f64 = cells[1..4].iter().map(|cell| cell.parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-12 && cells[4] == "setosa", "{}", lines[2]);
        let parquet = desk.run(&["predict", "model.json", "iris.csv", "--output", "out.parquet"]);
        assert_eq!(parquet.code, 0, "{}", parquet.err);
        let again = desk.run(&["evaluate", "model.json", "iris.csv", "--json"]).json();
        assert_eq!(again["metrics"]["confusion"].as_array().unwrap().len(), 3);
        if multi == "softmax" {
            let (here, there) = (json["log_loss"].as_f64().unwrap(), again["metrics"]["log_loss"].as_f64().unwrap());
            assert!((here - there).abs() <= 1e-9, "{here} {there}");
        }
        let text = desk.run(&["evaluate", "model.json", "iris.csv"]).out;
        assert!(text.contains("macro F1") && text.contains("confusion") && text.contains("versicolor"), "{text}");
        let shown =
            desk.run(&["train", "iris.csv", "--target", "species", "--l2", "1", "--holdout", "0.2", "--multi", multi]);
        assert!(shown.out.contains("held-out rows") && shown.out.contains("proved"), "{}", shown.out);
    }
}

#[test]
fn class_weights_are_weights_of_rows() {
    let desk = Desk::on_cpu();
    desk.write("iris.csv", flowers());
    let weigh = |line: &str| match line.rsplit_once(',').unwrap().1 {
        "species" => "w",
        "setosa" => "2",
        "versicolor" => "0.5",
        _ => "1",
    };
    let weighted: String = flowers().lines().map(|line| format!("{line},{}\n", weigh(line))).collect();
    desk.write("weighted.csv", weighted);
    let objective = |args: &[&str]| {
        let ended = desk.run(&[&["train", "--target", "species", "--l2", "1", "--json"], args].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.json()["objective"].as_f64().unwrap()
    };
    let by_class = objective(&["iris.csv", "--class-weight", "setosa=2,versicolor=0.5"]);
    assert!((by_class / objective(&["weighted.csv", "--weight", "w"]) - 1.0).abs() <= 1e-12);
    // All classes are of one size here.
    assert_eq!(objective(&["iris.csv"]), objective(&["iris.csv", "--class-weight", "balanced"]));
}

#[test]
fn what_is_for_two_classes_says_so() {
    let desk = Desk::on_cpu();
    desk.write("iris.csv", flowers());
    desk.write("two.csv", "v,y\n1,a\n2,b\n3,a\n4,b\n");
    assert_eq!(desk.run(&["train", "iris.csv", "--target", "species", "--l2", "1"]).code, 0);
    let train = ["train", "iris.csv", "--target", "species"];
    let cases: [(Vec<&str>, &str); 12] = [
        ([&train[..], &["--l1", "1"]].concat(), "--l1 is for two classes"),
        (
            [&train[..], &["--l2", "auto"]].concat(),
            "--l2 auto is for two classes, and the target has 3 ('setosa', 'versicolor', 'virginica')",
        ),
        ([&train[..], &["--bootstrap", "10"]].concat(), "--bootstrap is for two classes"),
        ([&train[..], &["--checkpoint", "c.json"]].concat(), "--checkpoint is for two classes"),
        ([&train[..], &["--solver", "gd"]].concat(), "--solver gd is for two classes"),
        ([&train[..], &["--positive", "setosa"]].concat(), "--positive setosa is for two classes"),
        (
            [&train[..], &["--init", "model.json", "--model", "other.json"]].concat(),
            "--init model.json is for two classes",
        ),
        (
            [&train[..], &["--class-weight", "rose=2"]].concat(),
            "--class-weight rose: the labels are 'setosa', 'versicolor', 'virginica'",
        ),
        (
            vec!["train", "two.csv", "--target", "y", "--multi", "ovr"],
            "--multi is for more than two classes; the labels are 'a' and 'b'",
        ),
        (vec!["cv", "iris.csv", "--target", "species"], "two classes, and there are 3"),
        (vec!["predict", "model.json", "iris.csv", "--threshold", "0.4"], "--threshold is for two classes"),
        (vec!["evaluate", "model.json", "iris.csv", "--threshold", "0.4"], "--threshold is for two classes"),
    ];
    let mut seen = 0;
    for (args, expected) in &cases {
        let ended = desk.run(args);
        assert!(ended.code == 2 && ended.err.contains(expected), "{args:?}: {} {}", ended.code, ended.err);
        seen += 1;
    }
    assert_eq!(seen, 12);
    // A model that was tampered with is refused.
    let model = std::fs::read_to_string(desk.path("model.json")).unwrap();
    for (right, wrong) in
        [("\"softmax\"", "null"), ("\"class\": \"setosa\"", "\"class\": \"rose\""), ("    \"setosa\",\n", "")]
    {
        assert!(model.contains(right), "{right}");
        desk.write("wrong.json", model.replacen(right, wrong, 1));
        let ended = desk.run(&["predict", "wrong.json", "iris.csv"]);
        assert_eq!(ended.code, 2, "{right}: {}", ended.err);
    }
}
