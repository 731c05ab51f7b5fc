//! Paths of a penalty, and its choice where a part of it is l1: every model against one trained alone, on every engine.

mod common;
#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use common::{ENGINES, Rows, difference};
use desk::Desk;
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, PackOptions};
use gpulogit::engine::{DeviceRequest, Draw};
use gpulogit::fit::{FitOptions, Lambda, Path, Penalties, fit, fit_many, path};
use gpulogit::monitor::Silent;
use gpulogit::objective::Member;

fn rows(n: usize, p: usize) -> Rows {
    let mut rows = Rows::random(n, p, 11);
    rows.weight = (0..n).map(|i| [1.0, 2.0, 0.5][i % 3]).collect();
    rows.offset = Some((0..n).map(|i| 0.3 * ((i % 7) as f64 - 3.0)).collect());
    rows
}

fn options(device: &DeviceRequest) -> FitOptions {
    FitOptions { device: device.clone(), ..FitOptions::default() }
}

fn path_of(data: &Dataset, device: &DeviceRequest, count: usize, l1_ratio: f64) -> Path {
    path(data, &Penalties { l1_ratio, lambda: Lambda::Count(count) }, &options(device), &Silent).unwrap()
}

#[test]
fn every_model_of_a_path_is_the_one_trained_alone() {
    let mut seen = 0;
    // More rows than columns, and fewer.
    for (n, p) in [(500, 12), (50, 120)] {
        let data = rows(n, p).pack(PackOptions::default());
        for l1_ratio in [1.0, 0.4, 0.0] {
            for device in &ENGINES {
                let path = path_of(&data, device, 20, l1_ratio);
                let lambda = &path.grid.lambda;
                assert!(lambda.len() == 20 && lambda.is_sorted_by(|a, b| a > b));
                assert_eq!(path.nonzero[0] == 0, l1_ratio > 0.0);
                for k in [0, 1, 7, 16, 19] {
                    let (l1, l2) = (path.grid.l1(k), path.grid.l2(k));
                    assert!((l1 + l2 - lambda[k]).abs() <= 1e-12 * lambda[k]);
                    let alone = fit(&data, &FitOptions { l1, l2, ..options(device) }, &Silent).unwrap();
                    let one = &path.models.fits[k];
                    assert_eq!((one.status, alone.status), (Status::Converged, Status::Converged));
                    let off = difference(&one.coefficients, &alone.coefficients);
                    assert!(off <= 1e-5 && (one.intercept - alone.intercept).abs() <= 1e-5, "{l1_ratio} {k}: {off:e}");
                    assert!((one.objective - alone.objective).abs() <= 1e-9 * alone.objective);
                    assert!((path.log_loss[k] - alone.log_loss).abs() <= 1e-8);
                    let zeros = |beta: &[f64]| beta.iter().map(|b| *b == 0.0).collect::<Vec<bool>>();
                    assert_eq!(zeros(&one.coefficients), zeros(&alone.coefficients));
                    let gap = one.objective_gap.map(|gap| gap / one.objective);
                    assert!(if l1_ratio > 0.0 { gap.unwrap() <= 1e-8 } else { gap.is_none() }, "{gap:?}");
                    seen += 1;
                }
                // Less penalty, less loss.
                assert!(path.log_loss.is_sorted_by(|a, b| b <= &(a + 1e-12)));
                let explained = &path.deviance_explained;
                assert!(explained[0].abs() < 0.1 && explained[19] > explained[0] + 0.01, "{explained:?}");
            }
        }
    }
    assert_eq!(seen, 30 * ENGINES.len());
}

#[test]
fn just_below_the_largest_penalty_something_is_left() {
    for l1_ratio in [1.0, 0.3] {
        let data = rows(300, 8).pack(PackOptions::default());
        let made_up = path_of(&data, &DeviceRequest::Cpu, 2, l1_ratio).grid.lambda[0];
        let given = |lambda: Vec<f64>| {
            let penalties = Penalties { l1_ratio, lambda: Lambda::Given(lambda) };
            path(&data, &penalties, &options(&DeviceRequest::Cpu), &Silent).unwrap()
        };
        let found = given(vec![0.98 * made_up, made_up, 1.5 * made_up, 0.98 * made_up]);
        assert_eq!(found.nonzero, [0, 0, 1]);
        assert_eq!(found.grid.lambda, [1.5 * made_up, made_up, 0.98 * made_up]);
    }
}

#[test]
fn a_column_that_no_penalty_touches_is_in_every_model() {
    let data = rows(300, 6).pack(PackOptions::default());
    let penalties = Penalties { l1_ratio: 1.0, lambda: Lambda::Count(5) };
    let factors = FitOptions { penalty_factors: vec![1.0, 0.0, 1.0, 2.0, 1.0, 1.0], ..options(&DeviceRequest::Cpu) };
    let found = path(&data, &penalties, &factors, &Silent).unwrap();
    assert!(found.nonzero[0] == 1 && found.models.fits[0].coefficients[1] != 0.0);
    // It is part of the model that others are measured by.
    assert!(found.deviance_explained[0].abs() < 1e-9);
    assert!(found.models.fits.iter().all(|fit| fit.objective_gap.unwrap() <= 1e-8 * fit.objective));
}

#[test]
fn a_path_takes_few_more_reads_than_its_slowest_model_alone() {
    let mut seen = 0;
    for device in &ENGINES {
        // More than is cheap for every model to have curvature of its own.
        let data = rows(30_000, 40).pack(PackOptions::default());
        let path = path_of(&data, device, 50, 1.0);
        let slowest = (0..50)
            .map(|k| fit(&data, &FitOptions { l1: path.grid.l1(k), ..options(device) }, &Silent).unwrap().passes)
            .max();
        assert!(path.models.passes <= 2 * slowest.unwrap(), "{} {slowest:?}", path.models.passes);
        assert!(path.models.fits.iter().all(|fit| fit.status == Status::Converged));
        seen += 1;
    }
    assert_eq!(seen, ENGINES.len());
}

#[test]
fn folds_and_replicates_with_an_l1_are_fits_of_their_rows() {
    let rows = rows(400, 9);
    let data = rows.pack(PackOptions::default());
    let folds: Vec<u8> = (0..400).map(|i| (i * 7 % 4) as u8).collect();
    let mut seen = 0;
    for device in &ENGINES {
        for fold in 0..4u8 {
            let kept: Vec<usize> = (0..400).filter(|i| folds[*i] != fold).collect();
            let weight_sum = kept.iter().map(|i| rows.weight[*i]).sum();
            let member = |l1: f64| Member { l1, l2: 0.1, draw: Draw::Without(fold), weight_sum };
            let members: Vec<Member> = [40.0, 15.0, 4.0, 1.0, 0.0].map(member).to_vec();
            let many = fit_many(&data, &members, &folds, &options(device), &Silent).unwrap();
            let mut part = rows.clone();
            part.weight = (0..400).map(|i| if folds[i] == fold { 0.0 } else { rows.weight[i] }).collect();
            let part = part.pack(PackOptions::default());
            for (one, member) in many.fits.iter().zip(&members) {
                let alone = FitOptions { l1: member.l1, l2: member.l2, ..options(device) };
                let alone = fit(&part, &alone, &Silent).unwrap();
                assert_eq!(one.status, Status::Converged);
                let off = difference(&one.coefficients, &alone.coefficients);
                assert!(off <= 1e-5 && (one.objective - alone.objective).abs() <= 1e-9 * alone.objective, "{off:e}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 20 * ENGINES.len());
}

#[test]
fn the_command_line_draws_writes_and_chooses() {
    let desk = Desk::on_cpu();
    let run = |args: &str| desk.run(&args.split(' ').collect::<Vec<_>>());
    desk.write("wdbc.csv", include_str!("../data/wdbc.csv"));
    let data = "wdbc.csv --target y";
    let report = run(&format!("path {data} --json --plot p.svg --table p.csv")).succeeds();
    let list = |name: &str| report[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<f64>>();
    assert_eq!((list("lambda").len(), list("nonzero")[0]), (100, 0.0));
    assert_eq!(list("l1"), list("lambda"));
    assert!(
        list("nonzero")[99] > 3.0 && list("objective_gap").iter().zip(list("objective")).all(|(g, j)| g / j < 1e-8)
    );
    assert_eq!(report["coefficients"][99].as_array().unwrap().len(), 30);
    let table = desk.text("p.csv");
    assert_eq!(table.lines().count(), 101);
    assert!(table.starts_with("lambda,l1,l2,nonzero,log_loss,deviance_explained,(Intercept),"));
    let plot = desk.text("p.svg");
    assert!(plot.contains("penalty l1") && plot.contains("100 models, 30 features") && plot.contains("<polyline"));
    let text = run(&format!("path {data} --penalties 7 --l1-ratio 0.5"));
    assert!(text.code == 0 && text.out.contains("proved") && !text.out.contains("--table"), "{}", text.out);
    // The refit of the choice is the model that train makes of it.
    let cv = run(&format!("cv {data} --l1-ratio 1 --penalties 8 --model m.json --json --table c.csv --plot c.svg"))
        .succeeds();
    let best = cv["best_l1"].as_f64().unwrap();
    assert!(best > 0.0 && cv["best_l2"] == 0.0 && desk.text("c.csv").starts_with("l1,l2,mean_log_loss"));
    assert!(desk.text("c.svg").contains("penalty l1"));
    let trained = run(&format!("train {data} --l1 {best} --json")).succeeds();
    let auto = run(&format!("train {data} --l2 auto --l1-ratio 1 --penalties 8 --json")).succeeds();
    assert_eq!((&trained["l1"], &trained["objective"]), (&auto["l1"], &auto["objective"]));
    assert!((cv["refit"]["objective"].as_f64().unwrap() - trained["objective"].as_f64().unwrap()).abs() < 1e-9);
    let resampled = run(&format!("train {data} --l1 {best} --bootstrap 20 --json")).succeeds();
    assert_eq!(resampled["bootstrap"]["replicates"], 20);
    let cases = [
        (format!("path {data} --l1-ratio 1.5"), "--l1-ratio 1.5: it must lie between 0 and 1"),
        (format!("path {data} --penalties 0"), "--penalties 0"),
        (format!("path {data} --grid 1,inf"), "not negative, not inf"),
        (format!("path {data} --table x --plot x"), "written twice"),
        (format!("path {data} --plot wdbc.csv"), "one of the files to be read"),
        (format!("train {data} --l1-ratio 0.5"), "add --l2 auto"),
    ];
    for (args, expected) in cases {
        run(&args).fails(2, &[expected]);
    }
    let short = run(&format!("path {data} --penalties 3 --max-iter 0"));
    assert!(short.code == 1 && short.err.contains("not converged to a slope"), "{}", short.err);
}
