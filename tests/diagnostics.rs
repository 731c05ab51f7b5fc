//! What `train --diagnostics` says of data and `--influence` of rows: against closed forms and textbook code.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::{Desk, data, number};
use faer::Mat;
use faer::linalg::solvers::DenseSolveCore;
use serde_json::Value;

fn train(desk: &Desk, file: &str, more: &str) -> Value {
    let line = format!("train {file} --target y --json {more}");
    desk.run(&line.split_whitespace().collect::<Vec<_>>()).succeeds()
}

#[test]
fn two_columns_of_known_correlation() {
    let desk = Desk::new();
    // b = a + c with a and c orthogonal and of equal variance: the correlation of a and b is √½; d is twice a plus 3, e constant.
    let signs = [1.0, -1.0];
    let mut rows = String::from("a,b,d,e,y\n");
    for (i, (a, c)) in (0..16).map(|i| (i, (signs[i % 2], signs[(i / 2) % 2]))) {
        rows += &format!("{a},{},{},7,{}\n", a + c, 2.0 * a + 3.0, u8::from(i % 5 < 2));
    }
    desk.write("rows.csv", rows);
    let found = train(&desk, "rows.csv", "--diagnostics")["diagnostics"].clone();
    let vif = |k: usize| (found["vif"][k]["name"].as_str().unwrap(), found["vif"][k]["vif"].as_f64());
    let close = |found: Option<f64>| (found.unwrap() - 2.0).abs() < 1e-12;
    assert!(vif(0).0 == "a" && close(vif(0).1) && vif(1).0 == "b" && close(vif(1).1), "{found}");
    assert_eq!([vif(2), vif(3)], [("d", None), ("e", None)]);
    let r = 0.5f64.sqrt();
    assert!((number(&found["condition_number"]) - ((1.0 + r) / (1.0 - r)).sqrt()).abs() < 1e-12, "{found}");
    assert_eq!(found["classes"], serde_json::json!([{ "label": "0", "rows": 9 }, { "label": "1", "rows": 7 }]));
    assert_eq!(found["missing"], serde_json::json!([]));
    let text = desk.run(&["train", "rows.csv", "--target", "y", "--diagnostics"]).out;
    assert!(text.contains("VIF        d redundant, e redundant, a 2.00, b 2.00"), "{text}");
}

#[test]
fn missing_cells_and_classes_are_counted() {
    let desk = Desk::new();
    let titanic = data("titanic.csv");
    let mut counts = Vec::new();
    for how in ["mean", "drop"] {
        let args = ["train", &titanic, "--target", "survived", "--missing", how, "--diagnostics", "--json"];
        let found = desk.run(&args).succeeds()["diagnostics"].clone();
        assert_eq!(found["missing"], serde_json::json!([{ "column": "age", "cells": 263 }]), "{how}");
        counts.push(found["classes"].as_array().unwrap().iter().map(|c| c["rows"].as_u64().unwrap()).sum::<u64>());
    }
    assert_eq!(counts, [1309, 1046]);
    // More than two classes, and a second fit that finds the rows in the cache.
    let iris = train(&desk, &data("iris3.csv"), "--diagnostics")["diagnostics"].clone();
    assert_eq!(iris["classes"].as_array().unwrap().len(), 3);
    let rows: String = (0..8_000_000)
        .map(|i| format!("{},{}\n", if i % 10 == 3 { "".into() } else { format!("{}", i % 7) }, i % 2))
        .collect();
    desk.write("gaps.csv", format!("x,y\n{rows}"));
    for _ in 0..2 {
        let found = train(&desk, "gaps.csv", "--diagnostics --missing mean --memory 64M --cache-dir cache");
        assert_eq!(desk.names("cache").len(), 1);
        assert_eq!(found["diagnostics"]["missing"], serde_json::json!([{ "column": "x", "cells": 800_000 }]));
    }
}

/// Leverage, Pearson's residual and Cook's distance by textbook formulas on the whole hat matrix.
fn textbook(rows: &[Vec<f64>], t: &[f64], s: &[f64], beta: &[f64]) -> Vec<[f64; 3]> {
    let (n, p) = (rows.len(), beta.len());
    let y: Vec<f64> =
        rows.iter().map(|x| 1.0 / (1.0 + (-x.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>()).exp())).collect();
    let x = Mat::from_fn(n, p, |i, j| (s[i] * y[i] * (1.0 - y[i])).sqrt() * rows[i][j]);
    let gram = x.transpose() * &x;
    let hat = &x * gram.partial_piv_lu().inverse() * x.transpose();
    (0..n)
        .map(|i| {
            let h = hat[(i, i)];
            let pearson = (t[i] - y[i]) * s[i].sqrt() / (y[i] * (1.0 - y[i])).sqrt();
            [h, pearson, pearson * pearson * h / ((1.0 - h) * (1.0 - h) * p as f64)]
        })
        .collect()
}

#[test]
fn rows_have_the_influence_of_the_textbook() {
    for (name, weighted) in [("vaso", false), ("lizards_w", true)] {
        let desk = Desk::new();
        let weight = if weighted { "--weight w" } else { "" };
        let more = format!("{weight} --inference --influence rows.csv");
        let found = train(&desk, &data(&format!("{name}.csv")), &more);
        let text = std::fs::read_to_string(data(&format!("{name}.csv"))).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let place = |name: &str| header.iter().position(|h| *h == name);
        let (mut rows, mut t, mut s) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines().skip(1) {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            t.push(cells[place("y").unwrap()]);
            s.push(place("w").map_or(1.0, |w| cells[w]));
            let features = (0..cells.len()).filter(|j| !["y", "w"].contains(&header[*j])).map(|j| cells[j]);
            rows.push([1.0].into_iter().chain(features).collect::<Vec<f64>>());
        }
        let beta: Vec<f64> =
            found["inference"]["coefficients"].as_array().unwrap().iter().map(|c| number(&c["estimate"])).collect();
        let expected = textbook(&rows, &t, &s, &beta);
        let table = desk.text("rows.csv");
        let mut lines = table.lines();
        assert_eq!(lines.next(), Some("row,target,probability,pearson,deviance,leverage,cooks_distance"));
        let (mut leverages, mut deviance, mut seen) = (0.0, 0.0, 0);
        for line in lines {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            let row = cells[0] as usize - 1;
            assert_eq!(cells[1], t[row]);
            for (found, expected) in [cells[5], cells[3], cells[6]].iter().zip(expected[row]) {
                assert!(
                    (found - expected).abs() <= 1e-8 * expected.abs().max(1e-6),
                    "{name} {row}: {found} for {expected}"
                );
            }
            leverages += cells[5];
            deviance += cells[4] * cells[4];
            seen += 1;
        }
        assert_eq!(seen, s.iter().filter(|s| **s > 0.0).count(), "{name}");
        assert!((leverages - beta.len() as f64).abs() < 1e-9, "{name}: {leverages}");
        assert!((deviance - number(&found["inference"]["deviance"])).abs() < 1e-8, "{name}");
        if name == "vaso" {
            // Finney's rows 4 and 18 are the known ones.
            let most: Vec<&Value> = found["influence"]["most"].as_array().unwrap().iter().map(|m| &m["row"]).collect();
            assert_eq!(most[..2].iter().filter(|row| **row == 4 || **row == 18).count(), 2, "{most:?}");
        }
    }
}

#[test]
fn rows_keep_the_numbers_that_the_file_gives_them() {
    let desk = Desk::new();
    let affairs = data("affairs601.csv");
    let found = train(&desk, &affairs, "--inference --influence rows.csv --holdout 0.2 --seed 3");
    let targets: Vec<f64> = {
        let text = std::fs::read_to_string(&affairs).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
        let y = header.iter().position(|h| *h == "y").unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(y).unwrap().parse().unwrap()).collect()
    };
    let mut numbers = Vec::new();
    for line in desk.text("rows.csv").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        numbers.push(cells[0].parse::<usize>().unwrap());
        assert_eq!(cells[1].parse::<f64>().unwrap(), targets[numbers.last().unwrap() - 1]);
    }
    assert_eq!(numbers.len() as u64, found["rows"].as_u64().unwrap());
    assert!(numbers.len() < 601 && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");

    // Where there is no optimum no row can move it, and that is said of the file too.
    desk.write("apart.csv", "x,y\n1,0\n2,0\n3,0\n5,1\n6,1\n7,1\n");
    let line = "train apart.csv --target y --inference --influence none.csv";
    let ended = desk.run(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(
        ended.err.contains("warning: none.csv was not written, for there are no finite estimates"),
        "{}",
        ended.err
    );
    assert!(!desk.path("none.csv").exists());

    let titanic = data("titanic.csv");
    let line = format!("train {titanic} --target survived --missing drop --inference --influence rows2.csv");
    desk.run(&line.split(' ').collect::<Vec<_>>()).fails(2, &["--influence", "263 rows"]);
    let line = format!("train {affairs} --target y --influence rows2.csv");
    desk.run(&line.split(' ').collect::<Vec<_>>()).fails(2, &["--inference"]);
    let line = format!("train {affairs} --target y --inference --influence {affairs}");
    desk.run(&line.split(' ').collect::<Vec<_>>()).fails(2, &["affairs601.csv"]);
}
