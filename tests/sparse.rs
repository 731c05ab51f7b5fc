//! Fits with a penalty l1·‖β‖₁ (and l2 beside it) against their conditions and a textbook method, on every engine.

mod common;
#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use common::{ENGINES, Rows, difference, parameters};
use desk::Desk;
use gpulogit::certificate::Status;
use gpulogit::data::PackOptions;
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::monitor::Silent;

/// Rows with weights and offsets, and of every fourth column the hundredfold.
fn rows(n: usize, p: usize) -> Rows {
    let mut rows = Rows::random(n, p, 5);
    for (i, x) in rows.x.iter_mut().enumerate() {
        *x *= if (i % p).is_multiple_of(4) { 100.0 } else { 1.0 };
    }
    rows.weight = (0..n).map(|i| [1.0, 2.0, 0.5][i % 3]).collect();
    rows.offset = Some((0..n).map(|i| 0.3 * ((i % 7) as f64 - 3.0)).collect());
    rows
}

fn fitted(rows: &Rows, device: &DeviceRequest, l1: f64, l2: f64, intercept: bool) -> Fit {
    let options = FitOptions { device: device.clone(), l1, l2, intercept, ..FitOptions::default() };
    fit(&rows.pack(PackOptions::default()), &options, &Silent).unwrap()
}

/// ∂/∂βⱼ of the loss and the l2 penalty, the intercept's last.
fn slopes(rows: &Rows, beta: &[f64], intercept: f64, l2: f64) -> Vec<f64> {
    let p = rows.features;
    let mut slopes: Vec<f64> = beta.iter().map(|b| l2 * b).chain([0.0]).collect();
    for i in 0..rows.rows() {
        let x = &rows.x[i * p..(i + 1) * p];
        let offset = rows.offset.as_ref().map_or(0.0, |offset| offset[i]);
        let a = offset + intercept + x.iter().zip(beta).map(|(x, b)| x * b).sum::<f64>();
        let r = rows.weight[i] * (1.0 / (1.0 + (-a).exp()) - rows.target[i]);
        slopes.iter_mut().zip(x.iter().chain(&[1.0])).for_each(|(slope, x)| *slope += r * x);
    }
    slopes
}

/// The largest violation of the conditions of a minimum, each as a part of what its column could have.
fn violation(rows: &Rows, fit: &Fit, l1: f64, l2: f64, with_intercept: bool) -> f64 {
    let p = rows.features;
    let slopes = slopes(rows, &fit.coefficients, fit.intercept, l2);
    let mut worst = if with_intercept { slopes[p].abs() } else { 0.0 };
    for (j, beta) in fit.coefficients.iter().enumerate() {
        let size = rows.x.iter().skip(j).step_by(p).fold(0f64, |m, x| m.max(x.abs()));
        let excess =
            if *beta == 0.0 { (slopes[j].abs() - l1).max(0.0) } else { (slopes[j] + l1 * beta.signum()).abs() };
        worst = worst.max(excess / size);
    }
    worst / rows.weight.iter().sum::<f64>()
}

/// The largest slope of the loss where all coefficients are zero and the intercept is the best: from that l1 on all are zero.
fn largest(rows: &Rows, with_intercept: bool) -> f64 {
    let zeros = vec![0.0; rows.features];
    let mut intercept = 0.0;
    for _ in 0..200 {
        let slope = slopes(rows, &zeros, intercept, 0.0)[rows.features];
        intercept -= if with_intercept { 4.0 * slope / rows.weight.iter().sum::<f64>() } else { 0.0 };
    }
    slopes(rows, &zeros, intercept, 0.0)[..rows.features].iter().fold(0f64, |m, slope| m.max(slope.abs()))
}

fn nonzero(fit: &Fit) -> usize {
    fit.coefficients.iter().filter(|beta| **beta != 0.0).count()
}

#[test]
fn every_fit_meets_its_conditions_and_its_gap_holds() {
    let mut seen = 0;
    // More rows than columns, and many fewer.
    for (n, p) in [(400, 12), (60, 300)] {
        let rows = rows(n, p);
        for (part, l2, intercept) in [(0.3, 0.0, true), (0.05, 0.0, true), (0.05, 2.0, true), (0.1, 0.0, false)] {
            let l1 = part * largest(&rows, intercept);
            let fits: Vec<Fit> = ENGINES.iter().map(|device| fitted(&rows, device, l1, l2, intercept)).collect();
            let l1_norm = |fit: &Fit| l1 * fit.coefficients.iter().map(|b| b.abs()).sum::<f64>();
            let value = |fit: &Fit| rows.objective(&fit.coefficients, fit.intercept, l2) + l1_norm(fit);
            let best = fits.iter().map(value).fold(f64::INFINITY, f64::min);
            for fit in &fits {
                assert_eq!(fit.status, Status::Converged);
                let worst = violation(&rows, fit, l1, l2, intercept);
                assert!(worst <= 1e-8 && fit.gradient_inf_norm <= 1e-8, "{n} × {p}, {part}: {worst:e}");
                assert!((fit.objective - value(fit)).abs() <= 1e-10 * value(fit));
                let gap = fit.certificate.as_ref().unwrap().objective_gap.unwrap();
                assert!(gap <= 1e-8 * value(fit) && value(fit) - best <= gap + 1e-12 * best, "{gap:e}");
                assert!(nonzero(fit) > 0 && nonzero(fit) < p, "{} of {p}", nonzero(fit));
                assert!(difference(&parameters(fit), &parameters(&fits[0])) <= 1e-6);
                // Negative control: the conditions of another l1 are not met.
                assert!(!(violation(&rows, fit, 1.001 * l1, l2, intercept) <= 1e-8));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 8 * ENGINES.len());
}

#[test]
fn a_slow_textbook_method_ends_at_the_same_point() {
    let mut rows = rows(200, 6);
    // Proximal gradient steps of one length for all columns want columns of like size.
    rows.x.iter_mut().enumerate().for_each(|(i, x)| *x /= if (i % 6).is_multiple_of(4) { 100.0 } else { 1.0 });
    let (l1, l2) = (0.2 * largest(&rows, true), 0.5);
    let bound: f64 = rows.x.iter().map(|x| x * x).sum::<f64>() / 2.0 + rows.weight.iter().sum::<f64>() + l2;
    let (mut beta, mut intercept) = (vec![0.0; 6], 0.0);
    for _ in 0..100_000 {
        let slopes = slopes(&rows, &beta, intercept, l2);
        for (b, slope) in beta.iter_mut().zip(&slopes) {
            let z: f64 = *b - slope / bound;
            *b = z.signum() * (z.abs() - l1 / bound).max(0.0);
        }
        intercept -= slopes[6] / bound;
    }
    let mut seen = 0;
    for device in &ENGINES {
        let fit = fitted(&rows, device, l1, l2, true);
        let mut reference = beta.clone();
        reference.push(intercept);
        assert!(difference(&parameters(&fit), &reference) <= 1e-7, "{reference:?} {:?}", parameters(&fit));
        assert!(fit.coefficients.iter().zip(&beta).all(|(a, b)| (*a == 0.0) == (*b == 0.0)));
        seen += 1;
    }
    assert_eq!(seen, ENGINES.len());
}

#[test]
fn from_the_largest_l1_on_all_coefficients_are_zero_and_just_below_one_is_not() {
    let mut seen = 0;
    for (n, p) in [(400, 12), (60, 300)] {
        for intercept in [true, false] {
            let rows = rows(n, p);
            let largest = largest(&rows, intercept);
            let count = |part: f64| nonzero(&fitted(&rows, &DeviceRequest::Cpu, part * largest, 0.0, intercept));
            assert_eq!(count(1.0 + 1e-9), 0);
            assert!(count(0.999) >= 1);
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

#[test]
fn the_command_line_fits_and_says_what_does_not_go_together() {
    let desk = Desk::on_cpu();
    let mut text = String::from("a,b,c,y\n");
    for i in 0..120 {
        let (a, b, c) = (i * 37 % 101, i * 53 % 97, i * 71 % 89);
        text += &format!("{a},{b},{c},{}\n", u8::from(a + (i * 29 % 83) > 90));
    }
    desk.write("all.csv", &text);
    let run = |args: &str| desk.run(&args.split(' ').collect::<Vec<_>>());
    let report = run("train all.csv --target y --l1 600 --json").succeeds();
    assert_eq!((report["l1"].as_f64(), report["solver"].as_str()), (Some(600.0), Some("proximal-newton")));
    let left = report["nonzero"].as_u64().unwrap();
    assert!((1..3).contains(&left), "{left}");
    assert!(report["certificate"]["objective_gap"].as_f64().unwrap() <= 1e-8 * report["objective"].as_f64().unwrap());
    let model = desk.text("model.json");
    assert!(model.contains("\"l1\": 600.0") && model.contains("\"value\": 0.0"), "{model}");
    let ended = run("train all.csv --target y --l1 600 --l2 1");
    assert!(ended.code == 0 && ended.out.contains("KKT residual") && ended.out.contains("of 3 coefficients"));
    let short = run("train all.csv --target y --l1 5 --max-iter 0");
    assert!(short.code == 1 && short.err.contains("not converged"), "{}", short.err);
    let cases = [
        ("--l1=-1", "--l1 must be a finite number"),
        ("--l1 inf", "--l1 must be a finite number"),
        ("--l1 1 --solver lbfgs", "leave --solver to auto"),
        ("--l1 1 --solver gd", "leave --solver to auto"),
        ("--l1 1 --l2 auto", "--l1-ratio in place of --l1"),
    ];
    for (options, expected) in cases {
        run(&format!("train all.csv --target y {options}")).fails(2, &[expected]);
    }
}
