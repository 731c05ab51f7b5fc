//! Real sets whose optimum is known to many digits (data/references.json), on every engine.

mod common;

use std::path::Path;

use common::{ENGINES, Rows};
use gpulogit::certificate::Status;
use gpulogit::data::{DataOptions, load_training};
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::monitor::Silent;
use serde_json::Value;

/// Sets that data/ ships with references.
const SETS: usize = 21;

fn data_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data"))
}

fn references() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(data_folder().join("references.json")).unwrap();
    match serde_json::from_str(&text).unwrap() {
        Value::Object(sets) => sets,
        other => panic!("not an object: {other}"),
    }
}

/// The set as this test reads it: columns but y and w, in order.
fn read_rows(name: &str) -> (Rows, Vec<String>) {
    let mut reader = csv::Reader::from_path(data_folder().join(format!("{name}.csv"))).unwrap();
    let header = reader.headers().unwrap().clone();
    let features: Vec<String> = header.iter().filter(|h| !["y", "w"].contains(h)).map(str::to_owned).collect();
    let mut rows = Rows { features: features.len(), ..Rows::default() };
    for record in reader.records() {
        let mut weight = 1.0;
        for (column, cell) in header.iter().zip(&record.unwrap()) {
            let value: f64 = cell.parse().unwrap();
            match column {
                "y" => rows.target.push(value),
                "w" => weight = value,
                _ => rows.x.push(value),
            }
        }
        rows.weight.push(weight);
    }
    (rows, features)
}

fn fit_set(name: &str, rows: &Rows, device: &gpulogit::engine::DeviceRequest, l2: f64) -> Fit {
    let weighted = rows.weight.iter().any(|&s| s != 1.0);
    let options =
        DataOptions { target: Some("y".into()), weight: weighted.then(|| "w".into()), ..DataOptions::default() };
    let path = data_folder().join(format!("{name}.csv"));
    let training = load_training(&[path], &options, &Silent).unwrap();
    fit(&training.train, &FitOptions { device: device.clone(), l2, ..FitOptions::default() }, &Silent).unwrap()
}

/// (J − J*)/max(J*, S/1000).
fn excess(rows: &Rows, fitted: &Fit, l2: f64, best: f64) -> f64 {
    let j = rows.objective(&fitted.coefficients, fitted.intercept, l2);
    (j - best) / best.max(rows.weight.iter().sum::<f64>() / 1000.0)
}

#[test]
fn the_penalised_optimum_of_every_shipped_set() {
    let mut seen = 0;
    for (name, reference) in references() {
        let (rows, features) = read_rows(&name);
        let best = &reference["l2_1"];
        for device in &ENGINES {
            let fitted = fit_set(&name, &rows, device, 1.0);
            assert_eq!(fitted.status, Status::Converged, "{name} on {device:?}");
            let above = excess(&rows, &fitted, 1.0, best["objective"].as_f64().unwrap());
            assert!(above.abs() <= 1e-9, "{name} on {device:?}: {above:e}");
            for (feature, got) in features.iter().zip(&fitted.coefficients) {
                let expected = best["coefficients"][feature].as_f64().unwrap();
                assert!((got - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{name} {feature}: {got} {expected}");
            }
            let again = fit_set(&name, &rows, device, 1.0);
            assert_eq!((&fitted.coefficients, fitted.intercept), (&again.coefficients, again.intercept), "{name}");
            // Negative control: a coefficient a little off is seen.
            let mut off = fitted.clone();
            off.intercept += 2e-3;
            assert!(!(excess(&rows, &off, 1.0, best["objective"].as_f64().unwrap()).abs() <= 1e-9), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, SETS);
}

#[test]
fn the_maximum_likelihood_estimate_or_the_proof_that_there_is_none() {
    let (mut estimates, mut separated, mut collinear) = (0, 0, 0);
    for (name, reference) in references() {
        let (rows, features) = read_rows(&name);
        let separation = reference["separation"]["all"].as_str().unwrap();
        for device in &ENGINES {
            let fitted = fit_set(&name, &rows, device, 0.0);
            if separation != "overlap" {
                assert_eq!(fitted.status, Status::Separated, "{name} on {device:?}");
                let proof = fitted.separation.as_ref().unwrap();
                assert_eq!(proof.complete, separation.starts_with("COMPLETE"), "{name}");
                if let Some(infinite) = reference["infinite"].as_array() {
                    let named: Vec<&str> = proof.columns.iter().map(|&j| features[j].as_str()).collect();
                    let expected: Vec<&str> = infinite.iter().map(|v| v.as_str().unwrap()).collect();
                    assert_eq!(named, expected, "{name}");
                }
                separated += 1;
                continue;
            }
            assert_eq!(fitted.status, Status::Converged, "{name} on {device:?}");
            assert!(fitted.gradient_inf_norm <= 1e-8, "{name} on {device:?}");
            let Some(best) = reference["mle"].as_object() else {
                assert!(!fitted.redundant.is_empty(), "{name} has no unique estimate, so a column must be redundant");
                collinear += 1;
                continue;
            };
            let above = excess(&rows, &fitted, 0.0, best["deviance"].as_f64().unwrap() / 2.0);
            assert!(above.abs() <= 1e-9, "{name} on {device:?}: {above:e}");
            for (feature, got) in
                features.iter().zip(&fitted.coefficients).chain([(&"(Intercept)".into(), &fitted.intercept)])
            {
                let expected = best["coefficients"][feature].as_f64().unwrap();
                let se = best["se"][feature].as_f64().unwrap();
                assert!((got - expected).abs() <= 1e-5 * se, "{name} on {device:?} {feature}: {got} {expected} ± {se}");
            }
            estimates += 1;
        }
    }
    assert!(separated >= 4 && collinear == 2, "{separated} {collinear}");
    assert_eq!(estimates + separated + collinear, 2 * SETS);
}
