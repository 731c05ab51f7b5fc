//! Penalty factors: fits against their conditions and a textbook method, columns that nothing penalises, and the command line.

mod common;
#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use common::{ENGINES, Rows, difference, parameters};
use desk::Desk;
use gpulogit::certificate::Status;
use gpulogit::data::PackOptions;
use gpulogit::engine::{AgainstRest, DeviceRequest};
use gpulogit::fit::{ClassFit, Fit, FitOptions, fit, fit_one_vs_rest, fit_softmax};
use gpulogit::linalg::Cholesky;
use gpulogit::monitor::Silent;
use gpulogit::reference::{Problem, SoftmaxProblem};

/// Weighted rows with offsets; every third column is the hundredfold, far from zero.
fn rows(n: usize, p: usize) -> Rows {
    let mut rows = Rows::random(n, p, 15);
    rows.x.iter_mut().step_by(3).for_each(|x| *x = 100.0 * *x + 500.0);
    rows.weight = (0..n).map(|i| [1.0, 2.0, 0.5][i % 3]).collect();
    rows.offset = Some((0..n).map(|i| 0.3 * ((i % 7) as f64 - 3.0)).collect());
    rows
}

fn options(device: &DeviceRequest, l1: f64, l2: f64, factors: &[f64]) -> FitOptions {
    FitOptions { device: device.clone(), l1, l2, penalty_factors: factors.to_vec(), ..FitOptions::default() }
}

fn fitted(rows: &Rows, options: &FitOptions) -> Fit {
    fit(&rows.pack(PackOptions::default()), options, &Silent).unwrap()
}

fn on_cpu(rows: &Rows, l1: f64, l2: f64, factors: &[f64]) -> Fit {
    fitted(rows, &options(&DeviceRequest::Cpu, l1, l2, factors))
}

/// The textbook's view of the rows, without a penalty.
fn problem(rows: &Rows) -> Problem<'_> {
    let (x, target, weight) = (&rows.x, &rows.target, &rows.weight);
    Problem { x, features: rows.features, target, weight, offset: rows.offset.as_deref(), l2: 0.0, intercept: true }
}

/// The largest violation of the conditions of a minimum, the slope of each column over its largest value and Σ s.
fn violation(rows: &Rows, w: &[f64], l1: f64, l2: f64, factors: &[f64]) -> f64 {
    let slopes = problem(rows).gradient(w);
    let mut worst = slopes[rows.features].abs();
    for (j, factor) in factors.iter().enumerate() {
        let size = rows.x.iter().skip(j).step_by(rows.features).fold(0f64, |m, x| m.max(x.abs()));
        let (slope, weight) = (slopes[j] + l2 * factor * w[j], l1 * factor);
        let excess = if w[j] == 0.0 { (slope.abs() - weight).max(0.0) } else { (slope + weight * w[j].signum()).abs() };
        worst = worst.max(excess / size);
    }
    worst / rows.weight.iter().sum::<f64>()
}

#[test]
fn fits_meet_their_conditions_with_every_penalty_on_both_engines() {
    let rows = rows(500, 6);
    let factors = [0.0, 0.5, 1.0, 20.0, 0.0, 3.0];
    let mut seen = 0;
    for (l1, l2) in [(0.0, 3.0), (20.0, 0.0), (20.0, 3.0), (0.0, 1e4)] {
        for device in &ENGINES {
            let fit = fitted(&rows, &options(device, l1, l2, &factors));
            assert_eq!(fit.status, Status::Converged, "{device:?} {l1} {l2}");
            let w = parameters(&fit);
            assert!(violation(&rows, &w, l1, l2, &factors) <= 1e-8, "{device:?} {l1} {l2}: {w:?}");
            // Columns that are not penalised have no slope, whatever the penalty.
            let slopes = problem(&rows).gradient(&w);
            assert!(slopes[0].abs() <= 1e-3 && slopes[4].abs() <= 1e-5, "{l1} {l2}: {slopes:?}");
            // Negative control: the conditions of other factors are not met.
            assert!(!(violation(&rows, &w, l1, l2, &[1.0; 6]) <= 1e-8));
            let penalty = |(b, f): (&f64, &f64)| f * (l1 * b.abs() + 0.5 * l2 * b * b);
            let j = problem(&rows).objective(&w) + w.iter().zip(&factors).map(penalty).sum::<f64>();
            assert!((fit.objective / j - 1.0).abs() <= 1e-10, "{} {j}", fit.objective);
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn textbook_newton_ends_at_the_same_point() {
    let rows = rows(300, 5);
    let (l2, factors) = (4.0, [2.0, 0.0, 7.0, 0.25, 1.0]);
    let mut w = vec![0.0; 6];
    for _ in 0..60 {
        let mut slopes = problem(&rows).gradient(&w);
        let hessian = problem(&rows).hessian(&w);
        let mut matrix = faer::Mat::from_fn(6, 6, |i, j| hessian[6 * i + j]);
        for (j, factor) in factors.iter().enumerate() {
            slopes[j] += l2 * factor * w[j];
            matrix[(j, j)] += l2 * factor;
        }
        let step = Cholesky::new(&matrix).unwrap().solve(&slopes);
        w.iter_mut().zip(step).for_each(|(w, d)| *w -= d);
    }
    for device in &ENGINES {
        let fit = fitted(&rows, &options(device, 0.0, l2, &factors));
        assert!(difference(&parameters(&fit), &w) <= 1e-7, "{device:?}: {w:?} {:?}", parameters(&fit));
    }
}

#[test]
fn a_factor_of_four_is_a_column_halved() {
    let whole = rows(300, 4);
    let mut halved = whole.clone();
    halved.x.iter_mut().skip(2).step_by(4).for_each(|x| *x *= 0.5);
    let mut seen = 0;
    for device in &ENGINES {
        let weighed = fitted(&whole, &options(device, 0.0, 6.0, &[1.0, 1.0, 4.0, 1.0]));
        let plain = fitted(&halved, &options(device, 0.0, 6.0, &[]));
        let mut expected = parameters(&plain);
        expected[2] *= 0.5;
        assert!(difference(&parameters(&weighed), &expected) <= 1e-8, "{expected:?} {:?}", parameters(&weighed));
        let same = fitted(&whole, &options(device, 0.0, 6.0, &[1.0; 4]));
        assert_eq!(parameters(&same), parameters(&fitted(&whole, &options(device, 0.0, 6.0, &[]))));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn copies_are_redundant_where_neither_is_penalised() {
    // x0 and its copy x3, among others.
    let three = Rows::random(200, 3, 8);
    let mut rows = three.clone();
    rows.features = 4;
    rows.x = three.x.chunks(3).flat_map(|x| [x[0], x[1], x[2], x[0]]).collect();
    let alone = on_cpu(&three, 0.0, 5.0, &[0.0, 1.0, 2.0]);
    for device in &ENGINES {
        let fit = fitted(&rows, &options(device, 0.0, 5.0, &[0.0, 1.0, 2.0, 0.0]));
        assert_eq!(fit.status, Status::Converged);
        let names: Vec<&str> = fit.redundant.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.as_slice(), fit.rank), (&["x3"][..], Some(2)));
        assert_eq!(fit.redundant[0].1.len(), 1, "{:?}", fit.redundant);
        // Of all that predict the same the shortest, which shares evenly.
        let half = 0.5 * alone.coefficients[0];
        let expected = [half, alone.coefficients[1], alone.coefficients[2], half, alone.intercept];
        assert!(difference(&parameters(&fit), &expected) <= 1e-8, "{expected:?} {:?}", parameters(&fit));
        // A copy that is penalised is not needed, but adds nothing that could not be told.
        let fit = fitted(&rows, &options(device, 0.0, 5.0, &[0.0, 1.0, 2.0, 1e-3]));
        assert_eq!((fit.status, fit.redundant.len()), (Status::Converged, 0));
        let expected = [&alone.coefficients[..], &[0.0, alone.intercept]].concat();
        assert!(difference(&parameters(&fit), &expected) <= 1e-6, "{expected:?} {:?}", parameters(&fit));
    }
}

/// One column that is 1 in a few rows, all of them positive, beside an ordinary one.
fn rare(n: usize) -> Rows {
    let mut rows = Rows::random(n, 2, 43);
    for i in 0..n {
        rows.x[2 * i] = f64::from(u8::from(i % 40 == 0));
        if i % 40 == 0 {
            rows.target[i] = 1.0;
        }
    }
    rows
}

#[test]
fn a_column_that_separates_has_no_optimum_unless_it_is_penalised() {
    let mut seen = 0;
    // Exact Newton on all rows; then a sample first.
    for (n, devices) in [(200, &ENGINES[..]), (150_000, &ENGINES[..1])] {
        let rows = rare(n);
        for device in devices {
            for (l1, l2) in [(0.0, 2.0), (2.0, 0.0)] {
                let free = fitted(&rows, &options(device, l1, l2, &[0.0, 1.0]));
                assert_eq!(free.status, Status::Separated, "{n} {device:?} {l1} {l2}: {free:?}");
                let proof = free.separation.unwrap();
                assert_eq!((proof.complete, proof.columns.as_slice(), proof.rows), (false, &[0][..], n / 40));
                let held = fitted(&rows, &options(device, l1, l2, &[1.0, 0.0]));
                assert_eq!((held.status, held.separation.is_none()), (Status::Converged, true));
                assert!(held.coefficients[0].is_finite() && held.coefficients[0].abs() < 12.0);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_direction_that_moves_what_is_penalised_does_not_separate() {
    // x0 + x1 separates completely, neither column alone does.
    let mut rows = Rows::random(200, 2, 9);
    for (x, t) in rows.x.chunks(2).zip(&mut rows.target) {
        *t = f64::from(u8::from(x[0] + x[1] > 0.0));
    }
    let both = on_cpu(&rows, 0.0, 0.0, &[]);
    assert_eq!((both.status, both.separation.unwrap().complete), (Status::Separated, true));
    for device in &ENGINES {
        let one = fitted(&rows, &options(device, 0.0, 1e-3, &[0.0, 1.0]));
        assert_eq!((one.status, one.separation.is_none()), (Status::Converged, true), "{device:?}");
    }
    // Where the column that is not penalised does it alone, the proof names that column.
    rows.x.chunks_mut(2).for_each(|x| x[0] += x[1]);
    let one = on_cpu(&rows, 0.0, 1.0, &[0.0, 1.0]);
    let proof = one.separation.unwrap();
    assert_eq!((one.status, proof.complete, proof.columns), (Status::Separated, true, vec![0]));
}

#[test]
fn what_is_proved_of_a_loose_fit_holds() {
    let rows = rows(400, 4);
    let mut seen = 0;
    for factors in [[0.05, 1.0, 9.0, 3.0], [0.0, 1.0, 9.0, 3.0]] {
        for l2 in [0.3, 30.0, 3000.0] {
            let best = on_cpu(&rows, 0.0, l2, &factors);
            for steps in 1..=4 {
                let limit = Some(steps);
                let options = FitOptions { max_iterations: limit, ..options(&DeviceRequest::Cpu, 0.0, l2, &factors) };
                let fit = fitted(&rows, &options);
                let certificate = fit.certificate.unwrap();
                let (Some(gap), Some(away)) = (certificate.objective_gap, certificate.coefficient_gap) else {
                    continue;
                };
                let pairs = fit.coefficients.iter().zip(&best.coefficients);
                let apart = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                assert!(fit.objective - best.objective <= gap + 1e-9, "{l2}, {steps} steps: {gap:e}");
                assert!(apart <= away + 1e-9, "{l2}, {steps} steps: {apart} {away:e}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 12, "{seen}");
}

/// For each class its slopes and the intercept.
fn columns(fit: &ClassFit) -> Vec<Vec<f64>> {
    let of = |(beta, intercept): (&Vec<f64>, &f64)| [beta.as_slice(), &[*intercept]].concat();
    fit.coefficients.iter().zip(&fit.intercepts).map(of).collect()
}

#[test]
fn softmax_and_one_against_the_rest_weigh_columns_too() {
    let mut rows = Rows::random(400, 4, 21);
    let noise = Rows::random(400, 3, 22);
    for (i, t) in rows.target.iter_mut().enumerate() {
        let x = &rows.x[4 * i..4 * i + 4];
        let score = |k: usize| x[k] + 0.5 * x[3] * k as f64 + 1.5 * noise.x[3 * i + k];
        *t = (1..3).fold(0, |best, k| if score(k) > score(best) { k } else { best }) as f64;
    }
    let data = rows.pack(PackOptions::default());
    let (l2, factors) = (5.0, [0.0, 10.0, 1.0, 0.3]);
    let textbook = SoftmaxProblem {
        x: &rows.x,
        features: 4,
        classes: 3,
        target: &rows.target,
        weight: &rows.weight,
        l2: 0.0,
        intercept: true,
    };
    let worst = |w: &[Vec<f64>], factors: &[f64]| {
        let slopes = textbook.gradient(w);
        let of = |k: usize, j: usize| (slopes[k][j] + if j < 4 { l2 * factors[j] * w[k][j] } else { 0.0 }).abs();
        (0..15).fold(0f64, |worst, i| worst.max(of(i / 5, i % 5)))
    };
    let mut seen = 0;
    for device in &ENGINES {
        let found = fit_softmax(&data, &options(device, 0.0, l2, &factors), &Silent).unwrap();
        assert_eq!((found.status, found.bounds, found.rank), (Status::Converged, None, Some(2)));
        assert!(worst(&columns(&found), &factors) <= 1e-5, "{:e}", worst(&columns(&found), &factors));
        assert!(!(worst(&columns(&found), &[1.0; 4]) <= 1e-5), "the check cannot fail");
        // All of them penalised: what is proved of a loose fit holds.
        let all = options(device, 0.0, l2, &[0.1, 10.0, 1.0, 0.3]);
        let best = fit_softmax(&data, &all, &Silent).unwrap();
        let loose = fit_softmax(&data, &FitOptions { max_iterations: Some(2), ..all }, &Silent).unwrap();
        let (gap, away) = loose.bounds.unwrap();
        let pairs = loose.coefficients.iter().flatten().zip(best.coefficients.iter().flatten());
        let apart = pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(loose.objective - best.objective <= gap + 1e-9 && apart <= away + 1e-9, "{gap:e} {away:e} {apart}");
        let rest = fit_one_vs_rest(&data, &options(device, 0.0, l2, &factors), &Silent).unwrap();
        for class in 0..3 {
            let alone = AgainstRest::new(&data, class).unwrap();
            let one = fit(&alone, &options(device, 0.0, l2, &factors), &Silent).unwrap();
            assert_eq!(one.coefficients, rest.coefficients[class]);
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
    // One column on its own separates the classes; held by a penalty it does not.
    rows.x.chunks_mut(4).zip(&rows.target).for_each(|(x, t)| x[0] = 2.0 * t + 0.1 * x[0].clamp(-1.0, 1.0));
    let data = rows.pack(PackOptions::default());
    let status =
        |factors: &[f64]| fit_softmax(&data, &options(&DeviceRequest::Cpu, 0.0, 1.0, factors), &Silent).unwrap().status;
    assert_eq!(status(&[0.0, 1.0, 1.0, 1.0]), Status::Separated);
    assert_eq!(status(&[1.0, 0.0, 1.0, 1.0]), Status::Converged);
}

/// A table of numbers and text, whose last column deals folds.
fn table() -> String {
    let mut text = String::from("a,b,kind,y,part\n");
    let rows = Rows::random(400, 3, 5);
    for (i, (x, t)) in rows.x.chunks(3).zip(&rows.target).enumerate() {
        text += &format!("{},{},{},{t},p{}\n", x[0], 10.0 * x[1], ["red", "green", "blue"][i % 3], i * 7 % 4);
    }
    text
}

fn numbers(list: &serde_json::Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn cross_validation_and_bootstrap_weigh_columns_too() {
    let desk = Desk::on_cpu();
    let text = table();
    desk.write("all.csv", &text);
    let run = |args: &str| desk.run(&args.split(' ').collect::<Vec<_>>());
    let factors = "--penalty-factor a=0,kind=3,kind=blue=0.5";
    run(&format!("cv all.csv --target y {factors}")).fails(2, &["feature 'kind=blue' two factors"]);
    let factors = "--penalty-factor a=0 --penalty-factor kind=3";
    let report = run(&format!("cv all.csv --target y --fold part --l2-grid 1,50 --json {factors}")).succeeds();
    assert_eq!(numbers(&report["penalty_factors"]), [0.0, 1.0, 3.0, 3.0, 3.0]);
    let mut seen = 0;
    for model in report["models"].as_array().unwrap() {
        let (l2, fold) = (&model["l2"], model["without_fold"].as_str().unwrap());
        let keep = |line: &&str| !line.ends_with(&format!(",{fold}"));
        desk.write("outside.csv", text.lines().filter(keep).collect::<Vec<_>>().join("\n"));
        run(&format!("train outside.csv --target y --drop part --l2 {l2} {factors}"));
        let alone: serde_json::Value = serde_json::from_str(&desk.text("model.json")).unwrap();
        let alone = alone["coefficients"].as_array().unwrap().iter().map(|c| c["value"].as_f64().unwrap());
        assert!(difference(&numbers(&model["coefficients"]), &alone.collect::<Vec<_>>()) <= 1e-6);
        seen += 1;
    }
    assert_eq!(seen, 8);
    // The largest penalty of a grid that is made up leaves next to nothing of all that it weighs on.
    let report = run(&format!("cv all.csv --target y --fold part --json {factors}")).succeeds();
    let first = numbers(&report["models"][0]["coefficients"]);
    assert!(first[0].abs() > 0.1 && first[1..].iter().all(|b| b.abs() < 0.05), "{first:?}");
    let args = "train all.csv --target y --drop part --l2 auto --penalty-factor a=0 --bootstrap 50 --json";
    let report = run(args).succeeds();
    let model: serde_json::Value = serde_json::from_str(&desk.text("model.json")).unwrap();
    let intervals = report["bootstrap"]["coefficients"].as_array().unwrap();
    for (interval, coefficient) in intervals[1..].iter().zip(model["coefficients"].as_array().unwrap()) {
        let [low, high] = ["low", "high"].map(|end| interval[end].as_f64().unwrap());
        assert!((low..=high).contains(&coefficient["value"].as_f64().unwrap()), "{interval} {coefficient}");
    }
    // A penalty that leaves nothing of b in any replicate, and a as it is.
    let args = "train all.csv --target y --drop part,kind --l2 1e9 --penalty-factor a=0 --bootstrap 50 --json";
    let report = run(args).succeeds();
    let mean = |j: usize| report["bootstrap"]["coefficients"][j]["mean"].as_f64().unwrap().abs();
    assert!(mean(1) > 0.1 && mean(2) < 1e-4, "{}", report["bootstrap"]);
}

#[test]
fn the_model_the_report_and_the_checkpoint_remember_the_factors() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table());
    let run = |args: &str| {
        let args = format!("train all.csv --target y --drop part,kind {args}");
        desk.run(&args.split(' ').collect::<Vec<_>>())
    };
    let model = || serde_json::from_str::<serde_json::Value>(&desk.text("model.json")).unwrap();
    let report = run("--l2 2 --penalty-factor b=0.25 --json").succeeds();
    assert_eq!(numbers(&report["penalty_factors"]), [1.0, 0.25]);
    assert_eq!(numbers(&model()["objective"]["penalty_factors"]), [1.0, 0.25]);
    let predicted = desk.run(&["predict", "model.json", "all.csv"]);
    assert_eq!((predicted.code, predicted.out.lines().count()), (0, 401));
    let ended = run("--l1 2 --penalty-factor a=0,b=2");
    assert!(ended.out.contains("l1 = 2, 1 feature with a factor, 1 feature not penalised"), "{}", ended.out);
    // Factors of 1 are none.
    let report = run("--l2 2 --penalty-factor a=1 --json").succeeds();
    assert!(report.get("penalty_factors").is_none() && model()["objective"].get("penalty_factors").is_none());

    let checkpoint = |factors: &str| {
        let fit = format!(
            r#"{{"rows":400,"features":["a","b"],"classes":["0","1"],"l1":0.0,"l2":2.0,{factors}"intercept":true}}"#
        );
        let rest = r#""iterations":3,"objective":200.0,"coefficients":[0.1,0.0],"beta0":0.0"#;
        desk.write("c.json", format!(r#"{{"format_version":1,"fit":{fit},{rest}}}"#));
    };
    let resume = |factors: &str| run(&format!("--l2 2 --checkpoint c.json --resume{factors}"));
    checkpoint(r#""penalty_factors":[1.0,0.5],"#);
    resume("").fails(2, &["this checkpoint is of another fit: the penalty factor of 'b' was 0.5"]);
    resume(" --penalty-factor b=0.5,a=0").fails(2, &["the penalty factor of 'a' was 1"]);
    let same = resume(" --penalty-factor b=0.5");
    assert!(same.code == 0 && same.err.contains("going on from c.json after 3 iterations"), "{}", same.err);
    checkpoint("");
    resume(" --penalty-factor b=0.5").fails(2, &["the penalty factor of 'b' was 1"]);
    assert_eq!(resume("").code, 0);
}

#[test]
fn factors_that_mean_nothing_are_refused_and_separation_is_told() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table());
    let run = |args: &str| desk.run(&format!("{args} --drop part").split(' ').collect::<Vec<_>>());
    let cases = [
        ("--penalty-factor a=0", "there is none: add --l2 or --l1"),
        ("--l2 auto --l2-grid 0 --penalty-factor a=0", "there is none: add --l2 or --l1"),
        ("--l2 1 --penalty-factor c=0", "there is no feature or feature column 'c'; the features are a, b, kind=blue"),
        ("--l2 1 --penalty-factor y=0", "there is no feature or feature column 'y'"),
        ("--l2 1 --penalty-factor kind=pink=0", "there is no feature or feature column 'kind=pink'"),
        ("--l2 1 --penalty-factor a=0,a=0", "feature 'a' two factors"),
        ("--l2 1 --penalty-factor a=-1", "a finite number that is not negative"),
        ("--l2 1 --penalty-factor a=NaN", "a finite number that is not negative"),
        ("--l2 1 --penalty-factor a=inf", "a finite number that is not negative"),
        ("--l2 1 --penalty-factor a", "a column and a number, such as age=0"),
        ("--l2 1 --penalty-factor a=0,b=0,kind=0", "0 for every feature"),
    ];
    for (options, expected) in cases {
        run(&format!("train all.csv --target y {options}")).fails(2, &[expected]);
    }
    run("cv all.csv --target y --l2-grid 0 --penalty-factor a=0").fails(2, &["there is none"]);
    let mut rare = String::from("rare,b,y,part\n");
    for i in 0..200 {
        let t = if i % 40 == 0 { 1 } else { i * 29 % 83 % 2 };
        rare += &format!("{},{},{t},0\n", u8::from(i % 40 == 0), i * 37 % 101);
    }
    desk.write("rare.csv", &rare);
    for penalty in ["--l2 2", "--l1 2"] {
        let ended = run(&format!("train rare.csv --target y {penalty} --penalty-factor rare=0"));
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.err.contains("coefficients of rare grow without end"), "{}", ended.err);
        let ended = run(&format!("train rare.csv --target y {penalty} --penalty-factor rare=0 --no-verify"));
        assert!(ended.err.contains("whether the classes are separated was not checked"), "{}", ended.err);
        let ended = run(&format!("train rare.csv --target y {penalty} --penalty-factor b=0"));
        assert!(ended.code == 0 && !ended.err.contains("warning"), "{}", ended.err);
    }
}
