//! Standard errors, tests and intervals: against known ones, textbook code, statsmodels, and their own definitions.

mod common;
#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use common::{Rows, fit_on};
use desk::{Desk, data, number};
use gpulogit::data::{Clusters, PackOptions, Precision};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{FitOptions, Inferring, fit, infer};
use gpulogit::inference::{Estimator, Inference, normal_quantile};
use gpulogit::monitor::Silent;
use serde_json::Value;

fn references() -> serde_json::Map<String, Value> {
    serde_json::from_str(&std::fs::read_to_string(data("references.json")).unwrap()).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs()
}

/// What `train --inference` says of a set in data/, with `more` arguments.
fn trained(desk: &Desk, name: &str, weighted: bool, more: &str) -> Value {
    let file = data(&format!("{name}.csv"));
    let weight = if weighted { " --weight w" } else { "" };
    let line = format!("train {file} --target y{weight} --inference --json {more}");
    let ended = desk.run(&line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{name}: {}", ended.err);
    ended.json()["inference"].clone()
}

#[test]
fn known_estimates_errors_and_deviances_on_both_engines() {
    let mut seen = 0;
    for (name, reference) in references() {
        let Some(mle) = reference["mle"].as_object() else { continue };
        for device in ["cpu", "gpu"] {
            let desk = Desk::new();
            let found = trained(&desk, &name, reference["weight"].is_string(), &format!("--device {device}"));
            let rows = found["coefficients"].as_array().unwrap();
            assert_eq!(rows[0]["name"], "(Intercept)");
            assert_eq!(rows.len(), mle["coefficients"].as_object().unwrap().len());
            for row in rows {
                let feature = row["name"].as_str().unwrap();
                let (estimate, se) = (number(&mle["coefficients"][feature]), number(&mle["se"][feature]));
                assert!(close(number(&row["se"]), se, 1e-6), "{name} {feature}: {} for {se}", row["se"]);
                assert!((number(&row["estimate"]) - estimate).abs() <= 1e-6 * se, "{name} {feature}");
                assert!((number(&row["z"]) - estimate / se).abs() <= 1e-5 * (1.0 + (estimate / se).abs()), "{name}");
                // What follows from these: z_0.975, and exp.
                let z = 1.959_963_984_540_054;
                assert!(close(number(&row["high"]) - number(&row["low"]), 2.0 * z * se, 2e-6), "{name} {feature}");
                assert!(close(number(&row["odds_ratio"]), estimate.exp(), 1e-4), "{name} {feature}");
            }
            let (deviance, null) = (number(&mle["deviance"]), number(&mle["null_deviance"]));
            let k = rows.len() as f64;
            let n = number(&reference["rows"]);
            for (key, expected) in [
                ("deviance", deviance),
                ("null_deviance", null),
                ("log_likelihood", -0.5 * deviance),
                ("aic", deviance + 2.0 * k),
                ("bic", deviance + k * n.ln()),
                ("mcfadden_r2", 1.0 - deviance / null),
                ("df_residual", n - k),
                ("df_null", n - 1.0),
            ] {
                assert!(close(number(&found[key]), expected, 1e-8), "{name} {key}: {} for {expected}", found[key]);
            }
            assert!(close(number(&found["likelihood_ratio"]["statistic"]), null - deviance, 1e-6), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * 16);
}

/// Robust and clustered standard errors by statsmodels 0.15, with x, y, w from data/NAME.csv:
/// `GLM(y, add_constant(x), family=Binomial(), freq_weights=w).fit(cov_type=TYPE, cov_kwds=KWDS, tol=1e-14, maxiter=100).bse`.
/// HC1 there is HC0, without n/(n−k).
#[test]
fn robust_and_clustered_errors_are_those_of_statsmodels() {
    let hc0 = [
        1.013043676842745,
        0.036373779101590294,
        0.00418617021209859,
        0.010047011353901193,
        0.013703081352761512,
        0.0237778933434389,
        0.43463811581110773,
    ];
    let of_age = [
        0.932892708401392,
        0.03909292169459136,
        0.0045140085398219934,
        0.008623618986187,
        0.015765180013748693,
        0.025446678338276785,
        0.422038214652275,
    ];
    let weighted_hc0 = [
        0.23879532777873283,
        0.2538437623827872,
        0.2128239649619262,
        0.3121227159883797,
        0.24962128471963832,
        0.302160459067491,
    ];
    let weighted_of_seven = [
        0.6804695663549378,
        1.5928265939959723,
        0.6342420619038359,
        0.5218828817247853,
        0.775286786414631,
        0.9039146615148203,
    ];
    // A cluster a row modulo 7, as `groups=numpy.arange(len(y)) % 7`.
    let desk = Desk::on_cpu();
    let text = std::fs::read_to_string(data("lizards_w.csv")).unwrap();
    let grouped: String = text
        .lines()
        .enumerate()
        .map(|(i, l)| if i == 0 { format!("{l},g\n") } else { format!("{l},c{}\n", (i - 1) % 7) })
        .collect();
    desk.write("grouped.csv", grouped);
    let clustered = desk
        .run(&"train grouped.csv --target y --weight w --inference --json --cluster g".split(' ').collect::<Vec<_>>());
    assert_eq!(clustered.code, 0, "{}", clustered.err);
    let clustered = clustered.json()["inference"].clone();
    assert_eq!(clustered["covariance"], serde_json::json!({ "kind": "cluster", "column": "g", "clusters": 7 }));
    let scaled = |errors: &[f64], n: f64| -> Vec<f64> {
        errors.iter().map(|se| se * (n / (n - errors.len() as f64)).sqrt()).collect()
    };
    let pima = |more: &str| trained(&desk, "pima_ripley", false, more);
    let lizards = |more: &str| trained(&desk, "lizards_w", true, more);
    let cases: [(Value, Vec<f64>); 6] = [
        (pima("--drop age --covariance hc0"), hc0.to_vec()),
        (pima("--drop age --covariance hc1"), scaled(&hc0, 532.0)),
        (pima("--cluster age"), of_age.to_vec()),
        (lizards("--covariance hc0"), weighted_hc0.to_vec()),
        (lizards("--covariance hc1"), scaled(&weighted_hc0, 42.0)),
        (clustered, weighted_of_seven.to_vec()),
    ];
    for (case, (found, expected)) in cases.iter().enumerate() {
        let rows = found["coefficients"].as_array().unwrap();
        assert_eq!(rows.len(), expected.len());
        for (row, se) in rows.iter().zip(expected) {
            assert!(close(number(&row["se"]), *se, 1e-7), "case {case}: {} for {se}", row);
        }
    }
}

/// A⁻¹ by Gauss and Jordan, largest pivot first.
fn inverse(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = a.len();
    let mut both: Vec<Vec<f64>> =
        (0..n).map(|i| a[i].iter().copied().chain((0..n).map(|j| f64::from(u8::from(i == j)))).collect()).collect();
    for j in 0..n {
        let pivot = (j..n).max_by(|&p, &q| both[p][j].abs().total_cmp(&both[q][j].abs())).unwrap();
        both.swap(j, pivot);
        let head = both[j][j];
        both[j].iter_mut().for_each(|v| *v /= head);
        for i in (0..n).filter(|&i| i != j) {
            let factor = both[i][j];
            let from = both[j].clone();
            both[i].iter_mut().zip(from).for_each(|(v, f)| *v -= factor * f);
        }
    }
    both.into_iter().map(|row| row[n..].to_vec()).collect()
}

/// Standard errors as a textbook has them, on the original columns with the intercept (if any) last.
fn textbook(rows: &Rows, beta: &[f64], intercept: Option<f64>, clusters: Option<&[u32]>, robust: bool) -> Vec<f64> {
    let (p, k) = (rows.features, rows.features + usize::from(intercept.is_some()));
    let (mut information, mut meat) = (vec![vec![0.0; k]; k], vec![vec![0.0; k]; k]);
    let mut sums = vec![vec![0.0; k]; 1 + clusters.map_or(0, |c| *c.iter().max().unwrap() as usize)];
    for i in 0..rows.rows() {
        let mut x = rows.x[i * p..(i + 1) * p].to_vec();
        let mut a = x.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>() + rows.offset.as_ref().map_or(0.0, |o| o[i]);
        if let Some(intercept) = intercept {
            a += intercept;
            x.push(1.0);
        }
        let y = 1.0 / (1.0 + (-a).exp());
        let (s, r) = (rows.weight[i], y - rows.target[i]);
        for u in 0..k {
            for v in 0..k {
                information[u][v] += s * y * (1.0 - y) * x[u] * x[v];
                meat[u][v] += s * r * r * x[u] * x[v];
            }
            sums[clusters.map_or(0, |c| c[i] as usize)][u] += s * r * x[u];
        }
    }
    if clusters.is_some() {
        meat = (0..k).map(|u| (0..k).map(|v| sums.iter().map(|g| g[u] * g[v]).sum()).collect()).collect();
    }
    let bread = inverse(&information);
    let sandwich =
        |j: usize| -> f64 { (0..k).map(|u| (0..k).map(|v| bread[j][u] * meat[u][v] * bread[v][j]).sum::<f64>()).sum() };
    (0..k).map(|j| if robust { sandwich(j).sqrt() } else { bread[j][j].sqrt() }).collect()
}

#[test]
fn weights_offsets_and_blocks_change_nothing_of_the_formulas() {
    let mut rows = Rows::random(900, 5, 11);
    rows.weight = (0..900).map(|i| [1.0, 2.0, 0.0, 3.0][i % 4]).collect();
    rows.offset = Some((0..900).map(|i| 0.25 * ((i % 7) as f64 - 3.0)).collect());
    // Far from zero and on scales of their own.
    rows.x
        .iter_mut()
        .enumerate()
        .for_each(|(i, x)| *x = *x * [1.0, 1e3, 1e-3, 5.0, 1.0][i % 5] + [0.0, 1e4, 0.0, -40.0, 3.0][i % 5]);
    let of_row: Vec<u32> = (0..900).map(|i| (i * i % 31) as u32).collect();
    let clusters = Clusters { name: "g".into(), count: 1 + *of_row.iter().max().unwrap() as usize, of_row };
    let mut seen = 0;
    for (precision, block_rows, tolerance) in [(Precision::F64, None, 1e-9), (Precision::F32, Some(128), 1e-4)] {
        let data = rows.pack(PackOptions { precision: Some(precision), block_rows, ..PackOptions::default() });
        for intercept in [true, false] {
            let options = FitOptions { device: DeviceRequest::Cpu, intercept, ..FitOptions::default() };
            let fitted = fit(&data, &options, &Silent).unwrap();
            let beta0 = intercept.then_some(fitted.intercept);
            let (n, k, g) = (675.0, if intercept { 6.0 } else { 5.0 }, clusters.count as f64);
            let cluster_factor: f64 = g / (g - 1.0) * (n - 1.0) / (n - k);
            for (by, robust, factor) in [
                (Estimator::Model, false, 1.0),
                (Estimator::Hc0, true, 1.0),
                (Estimator::Hc1, true, n / (n - k)),
                (Estimator::Cluster(&clusters), true, cluster_factor),
            ] {
                let how = Inferring { covariance: by, profile: None };
                let found = infer(&data, &fitted, &options, &how, &Silent).unwrap().unwrap();
                assert_eq!((found.rows, found.parameters as f64), (675, k));
                let of_row = if let Estimator::Cluster(c) = by { Some(c.of_row.as_slice()) } else { None };
                let mut expected = textbook(&rows, &fitted.coefficients, beta0, of_row, robust);
                if intercept {
                    expected.rotate_right(1);
                }
                for (coefficient, se) in found.coefficients.iter().zip(expected) {
                    let value = coefficient.value.unwrap();
                    let se = se * factor.sqrt();
                    assert!(close(value.se, se, tolerance), "{by:?} {}: {} for {se}", coefficient.name, value.se);
                    // Negative control.
                    assert!(!close(value.se * 1.001, se, tolerance));
                    seen += 1;
                }
                assert!(close(found.deviance, 2.0 * fitted.objective, 1e-12));
            }
        }
    }
    assert_eq!(seen, 2 * 4 * (6 + 5));
}

fn profiled(rows: &Rows, level: f64) -> (Inference, f64) {
    let data = rows.pack(PackOptions::default());
    let fitted = fit_on(&DeviceRequest::Cpu, &data, 0.0);
    let how = Inferring { covariance: Estimator::Model, profile: Some(level) };
    let options = FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() };
    (infer(&data, &fitted, &options, &how, &Silent).unwrap().unwrap(), 2.0 * fitted.objective)
}

/// The least deviance with coefficient `j` (of all p for the intercept) at `b`, by a fit in which an offset has its place.
fn deviance_at(rows: &Rows, j: usize, b: f64) -> f64 {
    let p = rows.features;
    let mut others = Rows { features: p - usize::from(j < p), x: Vec::new(), ..rows.clone() };
    let moved = |i: usize| if j < p { b * rows.x[i * p + j] } else { b };
    others.offset = Some((0..rows.rows()).map(|i| moved(i) + rows.offset.as_ref().map_or(0.0, |o| o[i])).collect());
    for i in 0..rows.rows() {
        others.x.extend((0..p).filter(|&k| k != j).map(|k| rows.x[i * p + k]));
    }
    let data = others.pack(PackOptions::default());
    let options = FitOptions { device: DeviceRequest::Cpu, intercept: j < p, ..FitOptions::default() };
    2.0 * fit(&data, &options, &Silent).unwrap().objective
}

#[test]
fn at_the_ends_of_a_profile_the_deviance_has_risen_by_the_quantile() {
    let mut vaso = Rows { features: 2, ..Rows::default() };
    for record in csv::Reader::from_path(data("vaso.csv")).unwrap().records() {
        let cells: Vec<f64> = record.unwrap().iter().map(|cell| cell.parse().unwrap()).collect();
        vaso.x.extend(&cells[..2]);
        vaso.target.push(cells[2]);
        vaso.weight.push(1.0);
    }
    let mut awkward = Rows::random(150, 3, 5);
    awkward.weight = (0..150).map(|i| [1.0, 2.0, 0.0][i % 3]).collect();
    awkward.offset = Some((0..150).map(|i| 0.5 * f64::from(i % 3)).collect());
    let mut seen = 0;
    for (rows, level) in [(&vaso, 0.95), (&vaso, 0.999), (&awkward, 0.8)] {
        let (found, deviance) = profiled(rows, level);
        let quantile = normal_quantile(level).powi(2);
        assert!(found.is_profiled(level) && !found.is_profiled(0.5));
        for (k, interval) in found.intervals(level).into_iter().enumerate() {
            let (low, high) = interval.unwrap();
            let j = if k == 0 { rows.features } else { k - 1 };
            for end in [low, high] {
                let rise = deviance_at(rows, j, end) - deviance;
                assert!((rise - quantile).abs() <= 1e-8, "coefficient {k}: {rise} for {quantile}");
                seen += 1;
            }
            let wald = found.intervals(0.5)[k].unwrap();
            assert!(low < wald.0 && wald.1 < high, "a level not profiled has Wald's intervals");
        }
    }
    assert_eq!(seen, 2 * (3 + 3 + 4));
    // Asymmetric, as Wald's are not.
    let (found, _) = profiled(&vaso, 0.95);
    let (low, high) = found.intervals(0.95)[1].unwrap();
    let value = found.coefficients[1].value.unwrap();
    assert!(high - value.estimate > 1.2 * (value.estimate - low));
}

#[test]
fn redundant_and_constant_columns_are_na_and_the_others_as_without_them() {
    let text = std::fs::read_to_string(data("mtcars_am_cyl_collinear.csv")).unwrap();
    let more: String =
        text.lines().enumerate().map(|(i, l)| format!("{},{l}\n", if i == 0 { "one" } else { "7" })).collect();
    for device in ["cpu", "gpu"] {
        let desk = Desk::new();
        desk.write("more.csv", &more);
        let args = format!("train more.csv --target y --inference --json --device {device} --profile");
        let all = desk.run(&args.split(' ').collect::<Vec<_>>());
        assert!(all.code == 0 && all.err.contains("2 of 6 coefficients are not defined (NA)"), "{}", all.err);
        let few = desk.run(&format!("{args} --drop one,cyl_copy").split(' ').collect::<Vec<_>>());
        let (all, few) = (all.json()["inference"].clone(), few.json()["inference"].clone());
        let (all_rows, few_rows) = (all["coefficients"].as_array().unwrap(), few["coefficients"].as_array().unwrap());
        let names: Vec<&str> = all_rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["(Intercept)", "one", "cyl", "cyl_copy", "hp", "wt"]);
        for row in all_rows {
            match few_rows.iter().find(|other| other["name"] == row["name"]) {
                Some(other) => {
                    for key in ["estimate", "se", "z", "p", "low", "high"] {
                        assert!(close(number(&row[key]), number(&other[key]), 1e-6), "{key} of {row} and {other}");
                    }
                }
                None => assert!(row["estimate"].is_null() && row["se"].is_null() && row["low"].is_null(), "{row}"),
            }
        }
        for key in ["deviance", "aic", "bic", "df_residual"] {
            assert!(close(number(&all[key]), number(&few[key]), 1e-10), "{key}");
        }
        // The model still predicts as before, and says NA again.
        let shown = desk.run(&["summary", "model.json"]);
        assert_eq!(shown.code, 0, "{}", shown.err);
    }
}

#[test]
fn summary_reads_the_model_alone_and_looks_like_rs() {
    let desk = Desk::on_cpu();
    let orings = data("orings.csv");
    let train = desk.run(&["train", &orings, "--target", "y", "--inference"]);
    assert_eq!(train.code, 0, "{}", train.err);
    let shown = desk.run(&["summary", "model.json"]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    for part in [
        "Estimate  Std. Error  z value  Pr(>|z|)",
        "Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1",
        "    Null deviance: 28.267  on 22 degrees of freedom\nResidual deviance: 20.315  on 21 degrees of freedom\nAIC: 24.315",
        "(Intercept)    15.043      7.3786    2.039   0.04148 *",
        "2.5 %",
        "97.5 %",
        "Odds ratio",
    ] {
        assert!(shown.out.contains(part), "{part:?} is missing from:\n{}", shown.out);
        assert!(train.out.contains(part), "{part:?} is missing from:\n{}", train.out);
    }
    let wide = desk.run(&["summary", "model.json", "--json", "--level", "0.99"]).json();
    let narrow = desk.run(&["summary", "model.json", "--json"]).json();
    let reported = desk.run(&["train", &orings, "--target", "y", "--inference", "--json"]).json();
    assert_eq!(narrow, reported["inference"]);
    let (wide, narrow) = (&wide["coefficients"][1], &narrow["coefficients"][1]);
    assert_eq!(wide["estimate"], narrow["estimate"]);
    let ratio = (number(&wide["high"]) - number(&wide["low"])) / (number(&narrow["high"]) - number(&narrow["low"]));
    assert!(close(ratio, 2.575_829_303_548_900_4 / 1.959_963_984_540_054, 1e-12), "{ratio}");
    // Intervals of a profile are those of their level.
    let profiled = desk.run(&["train", &orings, "--target", "y", "--inference", "--profile", "--level", "0.9"]);
    assert!(profiled.out.contains("90% intervals (profile likelihood)"), "{}", profiled.out);
    assert!(desk.run(&["summary", "model.json"]).out.contains("90% intervals (profile likelihood)"));
    let other = desk.run(&["summary", "model.json", "--level", "0.95"]);
    assert!(other.out.contains("95% intervals (Wald)") && other.err.contains("those of 90%"), "{}", other.err);
}

#[test]
fn what_has_no_standard_errors_is_refused_or_says_so() {
    let desk = Desk::on_cpu();
    let (orings, setosa, iris3) = (data("orings.csv"), data("iris_setosa.csv"), data("iris3.csv"));
    let run = |file: &str, more: &str| {
        let line = format!("train {file} --target y {more}");
        desk.run(&line.split_whitespace().collect::<Vec<_>>())
    };
    desk.write("one.csv", "x,g,y\n1,a,0\n2,a,1\n3,a,0\n4,a,1\n5,a,0\n6,a,1\n");
    let cases = [
        (run(&orings, "--inference --l2 1"), "a penalty pulls the estimates towards zero"),
        (run(&orings, "--inference --l1 0.1"), "--bootstrap"),
        (run(&orings, "--inference --l2 auto"), "maximum likelihood"),
        (run(&orings, "--inference --no-verify"), "cannot be used with"),
        (run(&orings, "--inference --class-weight balanced"), "rows that nobody observed"),
        (run(&iris3, "--inference"), "--inference is for two classes, and the target has 3"),
        (run(&orings, "--covariance hc0"), "--inference"),
        (run(&orings, "--profile"), "--inference"),
        (run(&orings, "--level 0.9"), "add --inference or --bootstrap"),
        (run(&orings, "--inference --level 1"), "--level 1: it must lie between 0 and 1"),
        (run(&orings, "--inference --profile --covariance hc1"), "leave one of them out"),
        (run(&orings, "--inference --cluster nowhere"), "no column 'nowhere'"),
        (run("one.csv", "--inference --cluster g"), "all rows are in one cluster"),
        (run(&orings, "--inference --cluster c.npy"), "goes with a .npy matrix"),
    ];
    for (ended, expected) in &cases {
        assert_eq!(ended.code, 2, "{expected}: {}", ended.err);
        assert!(ended.err.contains(expected) && ended.out.is_empty(), "{expected}: {}", ended.err);
    }
    assert_eq!(cases.len(), 14);
    assert!(!desk.names("").contains(&"model.json".to_owned()));

    let separated = run(&setosa, "--inference --json");
    assert!(
        separated.code == 0 && separated.err.contains("no standard errors: the classes are separated"),
        "{}",
        separated.err
    );
    assert!(separated.json()["inference"].is_null());
    let summary = desk.run(&["summary", "model.json"]);
    assert!(summary.code == 2 && summary.err.contains("its classes are separated"), "{}", summary.err);
    let early = run(&orings, "--inference --max-iter 1 --solver gd");
    assert!(early.code == 1 && early.err.contains("no standard errors, for the fit did not converge"), "{}", early.err);
    let summary = desk.run(&["summary", "model.json"]);
    assert!(summary.code == 2 && summary.err.contains("did not converge"), "{}", summary.err);
    assert_eq!(run(&orings, "").code, 0);
    let summary = desk.run(&["summary", "model.json"]);
    assert!(summary.code == 2 && summary.err.contains("without --inference"), "{}", summary.err);

    // A model whose inference is not its own is no model.
    assert_eq!(run(&orings, "--inference").code, 0);
    let text = std::fs::read_to_string(desk.path("model.json")).unwrap();
    for (from, to) in
        [("\"(Intercept)\"", "\"other\""), ("\"se\": ", "\"se\": -"), ("\"parameters\": 2", "\"parameters\": 3")]
    {
        assert!(text.contains(from));
        desk.write("bad.json", text.replace(from, to));
        let summary = desk.run(&["summary", "bad.json"]);
        assert!(summary.code == 2 && summary.err.contains("inference"), "{to}: {}", summary.err);
    }
}

#[test]
fn clusters_of_arrays_are_those_of_columns() {
    let desk = Desk::on_cpu();
    let rows = Rows::random(300, 2, 3);
    let groups: Vec<f64> = (0..300).map(|i| f64::from(i % 12)).collect();
    for (name, values, shape) in
        [("x.npy", &rows.x, "300, 2"), ("y.npy", &rows.target, "300,"), ("g.npy", &groups, "300,")]
    {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        desk.write(name, tables::npy("<f8", false, shape, &bytes));
    }
    let mut text = "x0,x1,g,y\n".to_owned();
    for ((x, group), target) in rows.x.chunks(2).zip(&groups).zip(&rows.target) {
        text += &format!("{},{},{group},{target}\n", x[0], x[1]);
    }
    desk.write("x.csv", text);
    let arrays = "train x.npy --target-file y.npy --inference --json --cluster g.npy";
    let columns = "train x.csv --target y --inference --json --cluster g";
    let [arrays, columns] = [arrays, columns].map(|line| {
        let ended = desk.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.json()["inference"].clone()
    });
    assert_eq!(arrays["covariance"]["clusters"], 12);
    assert_eq!(arrays["coefficients"], columns["coefficients"]);
}
