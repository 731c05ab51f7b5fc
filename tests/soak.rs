//! Fit after fit in one process: random shapes, weights, offsets, penalties, solvers and engines, each answer checked by code that
//! shares nothing with the crate, and memory that does not grow.
#![cfg(target_os = "linux")]

mod common;

use common::Rows;
use gpulogit::certificate::Status;
use gpulogit::data::hash::{mix, unit_interval};
use gpulogit::data::{PackOptions, Precision};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::monitor::Silent;
use gpulogit::solver::Solver;

/// How much memory may have grown in the second half of the fits: drivers and allocators keep what they once had.
const GROWTH: u64 = 32 << 20;

/// Bytes of memory that the process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Largest |∂J/∂βⱼ|/(S·sdⱼ) by plain loops; of an l1 what goes beyond it.
fn slope(rows: &Rows, fit: &Fit, options: &FitOptions) -> f64 {
    let (p, total) = (rows.features, rows.weight.iter().sum::<f64>());
    let (mut gradient, mut ones) = (vec![0.0; p], 0.0);
    let (mut first, mut second) = (vec![0.0; p], vec![0.0; p]);
    for (i, x) in rows.x.chunks(p).enumerate() {
        let offset = rows.offset.as_ref().map_or(0.0, |offset| offset[i]);
        let a = x.iter().zip(&fit.coefficients).fold(fit.intercept + offset, |a, (x, beta)| a + x * beta);
        let residual = rows.weight[i] * (1.0 / (1.0 + (-a).exp()) - rows.target[i]);
        ones += residual;
        for (j, x) in x.iter().enumerate() {
            gradient[j] += residual * x;
            first[j] += rows.weight[i] * x / total;
            second[j] += rows.weight[i] * x * x / total;
        }
    }
    let of = |j: usize| {
        let beta = fit.coefficients[j];
        let smooth = gradient[j] + options.l2 * beta;
        let size = match beta {
            0.0 => (smooth.abs() - options.l1).max(0.0),
            beta => (smooth + options.l1.copysign(beta)).abs(),
        };
        size / total / (second[j] - first[j] * first[j]).sqrt()
    };
    let intercept = if options.intercept { ones.abs() / total } else { 0.0 };
    (0..p).map(of).fold(intercept, f64::max)
}

/// The `k`-th fit.
fn one(k: u64) {
    let random = |what: u64| unit_interval(mix(k, 77), what);
    let features = 1 + (random(0) * random(1) * 60.0) as usize;
    let count = 30 + features * 4 + (random(2).powi(3) * 12_000.0) as usize;
    let mut rows = Rows::random(count, features, k);
    if random(3) < 0.4 {
        (0..count).for_each(|i| rows.weight[i] = (mix(k, i as u64) % 4) as f64);
    }
    if random(4) < 0.3 {
        rows.offset = Some((0..count).map(|i| unit_interval(k, i as u64) - 0.5).collect());
    }
    let pick = |of: &[f64], what| of[(random(what) * of.len() as f64) as usize];
    let device = if random(5) < 0.5 { DeviceRequest::Cpu } else { DeviceRequest::Gpu };
    let l1 = pick(&[0.0, 0.0, 0.0, 0.5, 5.0], 6);
    let solvers = [None, None, Some(Solver::Newton), Some(Solver::Lbfgs)];
    let solver = if l1 > 0.0 { None } else { solvers[(random(7) * 4.0) as usize] };
    let options = FitOptions {
        device,
        l1,
        l2: pick(&[0.0, 0.1, 3.0], 8),
        intercept: random(9) < 0.8,
        solver,
        ..FitOptions::default()
    };
    let pack = PackOptions {
        block_rows: (random(10) < 0.5).then(|| 32 * (1 + (random(11) * 40.0) as usize)),
        precision: (random(12) < 0.5).then_some(Precision::F32),
        ..PackOptions::default()
    };
    let data = rows.pack(pack);
    let found = fit(&data, &options, &Silent).unwrap_or_else(|error| panic!("fit {k}: {error}"));
    let what = format!("fit {k}: {count} × {features}, {options:?}, {pack:?}");
    assert!(matches!(found.status, Status::Converged | Status::Separated), "{what}: {:?}", found.status);
    let certificate = found.certificate.as_ref().unwrap();
    if found.status == Status::Converged {
        // Rows kept in f32 are other rows, by as much as their rounding.
        let allowed = 2.0 * options.tolerance + 10.0 * data.rounding();
        let slope = slope(&rows, &found, &options);
        assert!(certificate.gradient_inf_norm <= options.tolerance && slope <= allowed, "{what}: {slope:e}");
    }
}

fn soak(fits: u64) {
    (0..fits / 2).for_each(one);
    let before = resident();
    (fits / 2..fits).for_each(one);
    let after = resident();
    assert!(after <= before + GROWTH, "{before} bytes after half of {fits} fits, {after} at the end");
}

#[test]
fn sixty_fits_are_certified_in_flat_memory() {
    soak(60);
}

#[test]
#[ignore = "some minutes"]
fn five_hundred_fits_are_certified_in_flat_memory() {
    soak(500);
}
