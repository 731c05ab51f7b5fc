//! Firth's penalised likelihood: against closed forms, textbook code, and its own definition.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::{Desk, data, number};
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Mat, Side};
use serde_json::Value;

/// A design matrix with the column of ones first, targets, weights and names.
struct Table {
    x: Vec<Vec<f64>>,
    t: Vec<f64>,
    s: Vec<f64>,
}

impl Table {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(data(name)).unwrap();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let mut table = Table { x: Vec::new(), t: Vec::new(), s: Vec::new() };
        for line in lines {
            let mut row = vec![1.0];
            let mut s = 1.0;
            for (name, cell) in header.iter().zip(line.split(',')) {
                let value: f64 = cell.parse().unwrap();
                match *name {
                    "y" => table.t.push(value),
                    "w" => s = value,
                    _ => row.push(value),
                }
            }
            table.s.push(s);
            table.x.push(row);
        }
        table
    }

    fn probability(&self, row: usize, beta: &[f64]) -> f64 {
        1.0 / (1.0 + (-self.x[row].iter().zip(beta).map(|(x, b)| x * b).sum::<f64>()).exp())
    }

    /// None so far out that it is lost to rounding.
    fn information(&self, beta: &[f64]) -> Option<Llt<f64>> {
        let p = beta.len();
        let mut h = Mat::<f64>::zeros(p, p);
        for (row, x) in self.x.iter().enumerate() {
            let y = self.probability(row, beta);
            for i in 0..p {
                (0..p).for_each(|j| h[(i, j)] += self.s[row] * y * (1.0 - y) * x[i] * x[j]);
            }
        }
        h.llt(Side::Lower).ok()
    }

    /// −log-likelihood − ½·log det H.
    fn value(&self, beta: &[f64]) -> f64 {
        let loss: f64 = (0..self.t.len())
            .map(|row| {
                let y = self.probability(row, beta);
                -self.s[row] * (if self.t[row] > 0.5 { y } else { 1.0 - y }).ln()
            })
            .sum();
        let Some(information) = self.information(beta) else { return f64::INFINITY };
        let l = information.L();
        loss - (0..beta.len()).map(|i| l[(i, i)].ln()).sum::<f64>()
    }

    /// Its gradient over Σ s·sd, largest part; with `pull` 0 that of the plain likelihood.
    fn slope(&self, beta: &[f64], pull: f64) -> f64 {
        let inverse = self.information(beta).unwrap().inverse();
        let mut gradient = vec![0.0; beta.len()];
        for (row, x) in self.x.iter().enumerate() {
            let y = self.probability(row, beta);
            let quadratic: f64 =
                (0..x.len()).map(|i| (0..x.len()).map(|j| x[i] * inverse[(i, j)] * x[j]).sum::<f64>()).sum();
            let leverage = self.s[row] * y * (1.0 - y) * quadratic;
            let residual = self.s[row] * (y - self.t[row]) + pull * leverage * (y - 0.5);
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g += residual * x);
        }
        let total: f64 = self.s.iter().sum();
        let spread = |j: usize| {
            let mean = self.x.iter().zip(&self.s).map(|(x, s)| s * x[j]).sum::<f64>() / total;
            let square = self.x.iter().zip(&self.s).map(|(x, s)| s * (x[j] - mean).powi(2)).sum::<f64>() / total;
            if j == 0 { 1.0 } else { square.sqrt() }
        };
        gradient.iter().enumerate().map(|(j, g)| g.abs() / total / spread(j)).fold(0.0, f64::max)
    }
}

/// Estimates of a model file, the intercept first.
fn estimates(desk: &Desk) -> Vec<f64> {
    let model: Value = serde_json::from_str(&desk.text("model.json")).unwrap();
    let features = model["coefficients"].as_array().unwrap().iter().map(|c| number(&c["value"]));
    [number(&model["intercept"])].into_iter().chain(features).collect()
}

#[test]
fn two_groups_have_half_a_row_more_of_each_kind() {
    // 0 of 7 and 5 of 9: the first group alone separates; and once more with weights.
    let rows = |group: usize, positive: usize, all: usize| -> String {
        (0..all).map(|i| format!("{group},{}\n", u8::from(i < positive))).collect()
    };
    let desk = Desk::new();
    desk.write("rows.csv", format!("group,y\n{}{}", rows(0, 0, 7), rows(1, 5, 9)));
    desk.write("weighted.csv", "group,y,w\n0,0,7\n1,1,5\n1,0,4\n0,1,0\n");
    let log_odds = |positive: f64, all: f64| ((positive + 0.5) / (all - positive + 0.5)).ln();
    let expected = [log_odds(0.0, 7.0), log_odds(5.0, 9.0) - log_odds(0.0, 7.0)];
    for file in ["rows.csv --target y", "weighted.csv --target y --weight w"] {
        let line = format!("train {file} --firth --json --strict");
        let found = desk.run(&line.split(' ').collect::<Vec<_>>()).succeeds();
        assert_eq!((&found["status"], &found["firth"]), (&"converged".into(), &true.into()));
        for (found, expected) in estimates(&desk).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }
    // Without columns the one probability is (k + ½)/(n + 1).
    desk.write("constant.csv", "c,y\n1,1\n1,0\n1,0\n1,0\n");
    desk.run(&["train", "constant.csv", "--target", "y", "--firth", "--json"]).succeeds();
    assert!((estimates(&desk)[0] - (1.5f64 / 3.5).ln()).abs() < 1e-9);
}

#[test]
fn the_modified_score_vanishes_on_real_sets() {
    let sets = [
        ("iris_setosa", ""),
        ("iris_vv", ""),
        ("vaso", ""),
        ("urine", ""),
        ("kyphosis", ""),
        ("orings", ""),
        ("biopsy", ""),
        ("wdbc", ""),
        ("lizards_w", " --weight w"),
        ("ucb_admit_w", " --weight w"),
    ];
    for (name, weight) in sets {
        let desk = Desk::new();
        let line = format!("train {}{weight} --target y --firth --json", data(&format!("{name}.csv")));
        let found = desk.run(&line.split(' ').collect::<Vec<_>>()).succeeds();
        assert_eq!(found["status"], "converged", "{name}");
        let (table, beta) = (Table::read(&format!("{name}.csv")), estimates(&desk));
        let slope = table.slope(&beta, 1.0);
        assert!(slope <= 1e-7, "{name}: {slope:e}");
        let objective = number(&found["objective"]);
        let value = table.value(&beta);
        assert!((objective - value).abs() <= 1e-8 * value.abs().max(1.0), "{name}: {objective} for {value}");
        // The check can fail: it is another point than the plain likelihood's.
        assert!(table.slope(&beta, 0.0) > 1e-5, "{name}");
    }
}

#[test]
fn intervals_and_tests_are_those_of_the_penalised_profile() {
    let desk = Desk::new();
    let file = data("orings.csv");
    let args = ["train", &file, "--target", "y", "--firth", "--inference", "--profile", "--json"];
    let found = desk.run(&args).succeeds()["inference"].clone();
    let table = Table::read("orings.csv");
    let best = table.value(&estimates(&desk));
    // The least value with one of the two coefficients fixed, by golden sections over the other.
    let least = |k: usize, fixed: f64| {
        let value = |other: f64| table.value(&if k == 0 { [fixed, other] } else { [other, fixed] });
        let (mut low, mut high) = if k == 0 { (-2.0, 2.0) } else { (-60.0, 60.0) };
        let ratio = 0.5 * (5f64.sqrt() - 1.0);
        for _ in 0..120 {
            let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
            if value(a) < value(b) { high = b } else { low = a }
        }
        value(0.5 * (low + high))
    };
    let quantile = 3.841_458_820_694_124;
    for (k, row) in found["coefficients"].as_array().unwrap().iter().enumerate() {
        for end in ["low", "high"] {
            let rise = 2.0 * (least(k, number(&row[end])) - best);
            assert!((rise - quantile).abs() < 1e-6, "{k} {end}: {rise}");
        }
        let statistic = number(&row["lr_statistic"]);
        let expected = 2.0 * (least(k, 0.0) - best);
        assert!((statistic - expected).abs() < 1e-6, "{k}: {statistic} for {expected}");
    }
    // The only slope: its test is that of the model against the null model.
    let (slope, model) = (&found["coefficients"][1]["lr_statistic"], &found["likelihood_ratio"]["statistic"]);
    assert!((number(slope) - number(model)).abs() < 1e-8, "{slope} {model}");
    assert!((number(&found["log_likelihood"]) + best).abs() < 1e-9);
    assert!(found["aic"].is_null() && found["bic"].is_null() && found["mcfadden_r2"].is_null());
    let summary = desk.run(&["summary", "model.json"]);
    assert!(summary.out.contains("Firth's penalised likelihood") && !summary.out.contains("AIC"), "{}", summary.out);
}

#[test]
fn redundant_columns_change_no_prediction() {
    let predictions = |name: &str| {
        let desk = Desk::new();
        let file = data(name);
        desk.run(&["train", &file, "--target", "y", "--firth", "--inference", "--json"]).succeeds();
        desk.run(&["predict", "model.json", &file]).out
    };
    let table = std::fs::read_to_string(data("mtcars_am_cyl_collinear.csv")).unwrap();
    assert!(table.starts_with("cyl,") && table.contains("cyl_copy"), "the set has another shape");
    let (collinear, desk) = (predictions("mtcars_am_cyl_collinear.csv"), Desk::new());
    let file = data("mtcars_am_cyl_collinear.csv");
    desk.run(&["train", &file, "--target", "y", "--firth", "--drop", "cyl_copy", "--json"]).succeeds();
    let without = desk.run(&["predict", "model.json", &file]).out;
    let mut rows = 0;
    for (a, b) in collinear.lines().zip(without.lines()).skip(1) {
        let probability = |line: &str| line.split(',').next().unwrap().parse::<f64>().unwrap();
        assert!((probability(a) - probability(b)).abs() < 1e-8, "{a} {b}");
        rows += 1;
    }
    assert_eq!(rows, 32);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (orings, iris) = (data("orings.csv"), data("iris3.csv"));
    let cases = [
        (orings.as_str(), "--l2 1", "--l2"),
        (&orings, "--l1 1", "--l1"),
        (&orings, "--bootstrap 10", "--bootstrap"),
        (&orings, "--no-verify", "--no-verify"),
        (&orings, "--device gpu", "--device"),
        (&orings, "--solver gd", "--solver"),
        (&orings, "--inference --covariance hc1", "--covariance"),
        (&iris, "", "--firth is for two classes"),
    ];
    for (file, more, part) in cases {
        let line = format!("train {file} --target y --firth {more}");
        Desk::new().run(&line.split_whitespace().collect::<Vec<_>>()).fails(2, &[part]);
    }
}
