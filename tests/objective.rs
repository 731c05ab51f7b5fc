//! J and ∇J as solvers see them, on both engines: the gradient against central differences, lines against evaluations,
//! and data of several blocks in f32.

mod common;

use common::{ENGINES, Rows, fit_on, parameters};
use gpulogit::certificate::Status;
use gpulogit::data::{PackOptions, Precision};
use gpulogit::engine::cpu::Host;
use gpulogit::engine::gpu::GpuOptions;
use gpulogit::engine::{DeviceRequest, open};
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::monitor::Silent;
use gpulogit::objective::{Coordinates, Objective};
use gpulogit::reference::Problem;

/// Weighted rows (S ≠ n) with offsets, far from zero.
fn rows() -> Rows {
    let mut rows = Rows::random(700, 5, 31);
    rows.x.iter_mut().step_by(5).for_each(|x| *x = 100.0 * *x + 3e4);
    rows.weight.iter_mut().enumerate().for_each(|(i, s)| *s = (i % 5) as f64 * 0.7);
    rows.offset = Some((0..700).map(|i| (i % 9) as f64 * 0.1 - 0.4).collect());
    rows
}

/// Runs `check` with the objective of each engine, penalty and intercept, and the error that its arithmetic allows.
fn on_each(check: impl Fn(&mut Objective<'_>, f64)) {
    let data = rows().pack(PackOptions::default());
    let mut seen = 0;
    for device in &ENGINES {
        let tolerance = if *device == DeviceRequest::Cpu { 1e-8 } else { 2e-5 };
        for l2 in [0.0, 30.0] {
            for intercept in [true, false] {
                let host = Host::new(&data);
                let (mut engine, _) = open(device, &data, 1, &GpuOptions::default()).unwrap();
                let coordinates = Coordinates::new(&data, intercept, &[]);
                check(&mut Objective::new(engine.as_mut(), &host, coordinates, l2), tolerance);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 8);
}

fn start(objective: &Objective<'_>) -> Vec<f64> {
    (0..objective.coordinates().len()).map(|j| 0.3 - 0.2 * j as f64).collect()
}

#[test]
fn the_gradient_is_the_slope_of_central_differences() {
    on_each(|objective, tolerance| {
        let theta = start(objective);
        let at = objective.evaluate(theta.clone()).unwrap();
        // The best step balances the curvature's error against rounding: cube root of the arithmetic's own.
        let h = tolerance.cbrt();
        for j in 0..theta.len() {
            let mut side = |sign: f64| {
                let mut moved = theta.clone();
                moved[j] += sign * h;
                objective.evaluate(moved).unwrap().value
            };
            let slope = (side(1.0) - side(-1.0)) / (2.0 * h);
            let error = (slope - at.gradient[j]).abs() / objective.weight_sum();
            assert!(error <= 30.0 * h * h, "θ{j}: {slope} {}", at.gradient[j]);
            // Negative control: a gradient of the loss alone, or of another coordinate, would be noticed.
            let other = at.gradient[(j + 1) % theta.len()];
            assert!(!((slope - other).abs() / objective.weight_sum() <= 30.0 * h * h), "θ{j} cannot fail");
        }
    });
}

#[test]
fn the_hessian_is_the_slope_of_the_gradient() {
    on_each(|objective, _| {
        let theta = start(objective);
        let hessian = objective.hessian(&theta, Precision::F64).unwrap();
        for j in 0..theta.len() {
            let h = 1e-2;
            let mut side = |sign: f64| {
                let mut moved = theta.clone();
                moved[j] += sign * h;
                objective.evaluate(moved).unwrap().gradient
            };
            let (up, down) = (side(1.0), side(-1.0));
            for i in 0..theta.len() {
                let slope = (up[i] - down[i]) / (2.0 * h);
                let error = (slope - hessian[(i, j)]).abs() / objective.weight_sum();
                assert!(error <= 1e-4, "{i} {j}: {slope} {}", hessian[(i, j)]);
            }
        }
    });
}

#[test]
fn probes_on_a_line_are_what_evaluations_find_there() {
    on_each(|objective, tolerance| {
        let from = objective.evaluate(start(objective)).unwrap();
        objective.keep(&from).unwrap();
        let direction: Vec<f64> = (0..from.theta.len()).map(|j| if j % 2 == 0 { 0.5 } else { -0.8 }).collect();
        let point = |step: f64| from.theta.iter().zip(&direction).map(|(t, d)| t + step * d).collect::<Vec<f64>>();
        let to = objective.evaluate(point(1.0)).unwrap();
        let line = objective.start_line(&from, &to).unwrap();
        let probes = objective.probe(&line, &[0.0, 0.5, 1.0, 3.0]).unwrap();
        assert_eq!(probes.len(), 4);
        for probe in probes {
            let at = objective.evaluate(point(probe.step)).unwrap();
            let slope: f64 = at.gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let scale = objective.weight_sum();
            assert!((probe.value - at.value).abs() / scale <= tolerance, "{probe:?} {}", at.value);
            assert!((probe.slope - slope).abs() / scale <= tolerance, "{probe:?} {slope}");
        }
    });
}

#[test]
fn blocks_of_f32_reach_the_reference_optimum_on_both_engines() {
    let rows = Rows::random(300_000, 64, 32);
    let data = rows.pack(PackOptions::default());
    assert!(data.blocks.len() > 1);
    let fits: Vec<Fit> = ENGINES
        .iter()
        .map(|device| {
            let fitted = fit_on(device, &data, 0.0);
            assert_eq!(fitted.status, Status::Converged);
            fitted
        })
        .collect();
    // Two engines' answers are no further apart than what each certificate allows.
    let apart = |a: &Fit, b: &Fit| {
        let squares = a.coefficients.iter().zip(&b.coefficients).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let allowed: f64 = fits.iter().map(|fit| fit.certificate.as_ref().unwrap().coefficient_gap.unwrap()).sum();
    assert!(allowed <= 1e-4, "{allowed:e}");
    assert!(apart(&fits[0], &fits[1]) <= allowed, "{:e} {allowed:e}", apart(&fits[0], &fits[1]));
    let fits: Vec<Vec<f64>> = fits.iter().map(parameters).collect();
    let problem = Problem {
        x: &rows.x,
        features: 64,
        target: &rows.target,
        weight: &rows.weight,
        offset: None,
        l2: 0.0,
        intercept: true,
    };
    // f32 storage moves the optimum by a part of a rounding, 6·10⁻⁸ of a standard deviation a value.
    let slopes = |w: &[f64]| problem.gradient(w).iter().fold(0f64, |m, g| m.max(g.abs())) / 300_000.0;
    assert!(slopes(&fits[0]) <= 1e-8, "{:e}", slopes(&fits[0]));
    let mut off = fits[0].clone();
    off[3] += 1e-5;
    assert!(!(slopes(&off) <= 1e-8));
}

#[test]
fn what_a_penalty_proves_of_a_fit_cut_short_holds_whatever_the_size_of_the_columns() {
    let mut seen = 0;
    for size in [1e-3, 1.0, 1e3] {
        let mut rows = Rows::random(500, 4, 33);
        rows.x.iter_mut().for_each(|x| *x *= size);
        let data = rows.pack(PackOptions::default());
        let l2 = 2.0 * size * size;
        let best = fit_on(&DeviceRequest::Cpu, &data, l2);
        for steps in [1, 2] {
            let options =
                FitOptions { l2, max_iterations: Some(steps), device: DeviceRequest::Cpu, ..FitOptions::default() };
            let short = fit(&data, &options, &Silent).unwrap();
            assert_eq!(short.status, Status::MaxIterations);
            let certificate = short.certificate.unwrap();
            let (gap, distance) = (certificate.objective_gap.unwrap(), certificate.coefficient_gap.unwrap());
            let above = short.objective - best.objective;
            let squares = short.coefficients.iter().zip(&best.coefficients).map(|(a, b)| (a - b).powi(2));
            let apart = squares.sum::<f64>().sqrt();
            assert!(
                above <= gap + 1e-12 && apart <= distance + 1e-15,
                "{size}: {above:e} {gap:e}, {apart:e} {distance:e}"
            );
            // A bound in the units of other columns would be no use, or wrong.
            assert!(gap <= 1e3 * above && distance <= 1e3 * apart, "{size}: {above:e} {gap:e}, {apart:e} {distance:e}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}
