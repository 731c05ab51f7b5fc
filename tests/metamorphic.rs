//! Relations that hold whatever the numbers are, on every engine: what must change the answer, and what must not.

mod common;

use common::{ENGINES, Rows, difference, fit_on, parameters};
use gpulogit::certificate::Status;
use gpulogit::data::{PackOptions, Precision};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{FitOptions, Init, fit};
use gpulogit::monitor::Silent;
use gpulogit::solver::Solver;

fn on_each_engine(check: impl Fn(&DeviceRequest)) {
    let mut seen = 0;
    for device in &ENGINES {
        check(device);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn the_comparator_can_fail() {
    assert!(difference(&[1.0, f64::NAN], &[1.0, 1.0]).is_nan());
    assert!(!(difference(&[1.0, f64::NAN], &[1.0, 1.0]) <= 1e9));
    assert!(difference(&[1.0, 1.1], &[1.0, 1.0]) > 0.09);
}

#[test]
fn an_integer_weight_is_a_repeated_row_and_weight_zero_a_removed_one() {
    let rows = Rows::random(300, 4, 1);
    let mut weighted = rows.clone();
    let mut repeated = Rows { features: 4, ..Rows::default() };
    for i in 0..300 {
        let times = i % 4;
        weighted.weight[i] = times as f64;
        for _ in 0..times {
            repeated.x.extend_from_slice(&rows.x[i * 4..(i + 1) * 4]);
            repeated.target.push(rows.target[i]);
            repeated.weight.push(1.0);
        }
    }
    on_each_engine(|device| {
        for l2 in [0.0, 2.0] {
            let a = fit_on(device, &weighted.pack(PackOptions::default()), l2);
            let b = fit_on(device, &repeated.pack(PackOptions::default()), l2);
            assert!(difference(&parameters(&a), &parameters(&b)) <= 1e-9, "{device:?}, l2 {l2}");
            assert!((a.objective - b.objective).abs() <= 1e-9 * b.objective);
            let unweighted = fit_on(device, &rows.pack(PackOptions::default()), l2);
            assert!(difference(&parameters(&a), &parameters(&unweighted)) > 1e-3, "weights must matter");
        }
    });
}

#[test]
fn weights_and_penalty_times_a_constant_leave_the_coefficients() {
    let rows = Rows::random(200, 3, 2);
    let mut scaled = rows.clone();
    scaled.weight.iter_mut().for_each(|s| *s *= 37.5);
    on_each_engine(|device| {
        let a = fit_on(device, &rows.pack(PackOptions::default()), 0.8);
        let b = fit_on(device, &scaled.pack(PackOptions::default()), 0.8 * 37.5);
        assert!(difference(&parameters(&a), &parameters(&b)) <= 1e-9, "{device:?}");
    });
}

#[test]
fn scaling_and_shifting_a_column_reaches_the_same_optimum() {
    let rows = Rows::random(400, 3, 3);
    let changes: [(f64, f64); 5] = [(1e4, 0.0), (1.0, 1e4), (1e-6, 0.0), (1.0, 1e6), (1e3, -1e6)];
    on_each_engine(|device| {
        let plain = fit_on(device, &rows.pack(PackOptions::default()), 0.0);
        assert_eq!(plain.status, Status::Converged);
        for (factor, shift) in changes {
            let mut changed = rows.clone();
            changed.x.iter_mut().step_by(3).for_each(|x| *x = *x * factor + shift);
            let fitted = fit_on(device, &changed.pack(PackOptions::default()), 0.0);
            assert_eq!(fitted.status, Status::Converged, "{device:?} {factor} {shift}");
            let back = [
                fitted.coefficients[0] * factor,
                fitted.coefficients[1],
                fitted.coefficients[2],
                fitted.intercept + fitted.coefficients[0] * shift,
            ];
            // 10⁶ + x keeps ten digits of x in the file already.
            let error = difference(&back, &parameters(&plain));
            assert!(error <= 1e-7, "{device:?} ×{factor} +{shift}: {error}");
        }
    });
}

#[test]
fn constant_zero_and_duplicate_columns_are_named_and_share() {
    let rows = Rows::random(250, 2, 4);
    let mut wide = Rows { features: 5, target: rows.target.clone(), weight: rows.weight.clone(), ..Rows::default() };
    for i in 0..250 {
        let (a, b) = (rows.x[2 * i], rows.x[2 * i + 1]);
        wide.x.extend([a, 7.0, b, 0.0, 3.0 * a - 1.0]);
    }
    on_each_engine(|device| {
        let plain = fit_on(device, &rows.pack(PackOptions::default()), 0.0);
        let fitted = fit_on(device, &wide.pack(PackOptions::default()), 0.0);
        assert_eq!(fitted.status, Status::Converged);
        let named: Vec<&str> = fitted.redundant.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, ["x1", "x3", "x4"]);
        assert_eq!(fitted.redundant[2].1.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x0"]);
        assert_eq!((fitted.coefficients[1], fitted.coefficients[3]), (0.0, 0.0));
        // The shortest coefficients on standardised columns give both copies the same standardised coefficient.
        assert!((fitted.coefficients[0] - 3.0 * fitted.coefficients[4]).abs() <= 1e-9);
        assert!((fitted.coefficients[0] * 2.0 - plain.coefficients[0]).abs() <= 1e-8);
        assert!((fitted.objective - plain.objective).abs() <= 1e-9 * plain.objective);
        // With a penalty nothing is redundant but the constants; the two copies share by the penalty's own rule.
        let penalised = fit_on(device, &wide.pack(PackOptions::default()), 1.0);
        assert!((penalised.coefficients[4] - 3.0 * penalised.coefficients[0]).abs() <= 1e-8);
    });
}

#[test]
fn more_features_than_rows_two_rows_and_no_features() {
    on_each_engine(|device| {
        let wide = Rows::random(20, 50, 5);
        let separated = fit_on(device, &wide.pack(PackOptions::default()), 0.0);
        assert_eq!(separated.status, Status::Separated);
        assert!(separated.coefficients.iter().all(|b| b.is_finite()));
        let penalised = fit_on(device, &wide.pack(PackOptions::default()), 1.0);
        assert_eq!(penalised.status, Status::Converged);
        assert!(penalised.gradient_inf_norm <= 1e-8);

        let two = Rows { x: vec![0.0, 1.0], features: 1, target: vec![0.0, 1.0], weight: vec![1.0; 2], offset: None };
        let fitted = fit_on(device, &two.pack(PackOptions::default()), 0.0);
        assert_eq!(fitted.status, Status::Separated);
        assert!(fitted.separation.unwrap().complete);

        let bare = Rows { target: vec![0.0, 1.0, 1.0, 1.0], weight: vec![1.0; 4], ..Rows::default() };
        let fitted = fit_on(device, &bare.pack(PackOptions::default()), 0.0);
        assert_eq!(fitted.status, Status::Converged);
        assert!((fitted.intercept - 3f64.ln()).abs() <= 1e-9, "{}", fitted.intercept);
    });
}

#[test]
fn huge_linear_predictors_stay_finite() {
    let mut rows = Rows::random(200, 2, 6);
    rows.offset = Some((0..200).map(|i| [0.0, 1e4, -1e4, 30.0][i % 4]).collect());
    on_each_engine(|device| {
        let fitted = fit_on(device, &rows.pack(PackOptions::default()), 1.0);
        assert!(fitted.objective.is_finite() && fitted.log_loss.is_finite());
        let j = rows.objective(&fitted.coefficients, fitted.intercept, 1.0);
        assert!((fitted.objective - j).abs() <= 1e-12 * j, "{} {j}", fitted.objective);
    });
}

#[test]
fn an_offset_moves_the_intercept_and_nothing_else() {
    let rows = Rows::random(200, 2, 7);
    let mut moved = rows.clone();
    moved.offset = Some(vec![1.25; 200]);
    on_each_engine(|device| {
        let a = fit_on(device, &rows.pack(PackOptions::default()), 0.0);
        let b = fit_on(device, &moved.pack(PackOptions::default()), 0.0);
        assert!(difference(&a.coefficients, &b.coefficients) <= 1e-8);
        assert!((a.intercept - b.intercept - 1.25).abs() <= 1e-8);
    });
}

#[test]
fn three_fits_give_the_same_bits_and_the_block_size_next_to_none() {
    let rows = Rows::random(5000, 7, 8);
    on_each_engine(|device| {
        for precision in [Precision::F32, Precision::F64] {
            let fit_blocks = |block_rows| {
                let options = PackOptions { block_rows, precision: Some(precision), ..PackOptions::default() };
                parameters(&fit_on(device, &rows.pack(options), 0.1))
            };
            let first = fit_blocks(None);
            assert!(first.iter().all(|v| v.is_finite()));
            for _ in 0..2 {
                assert_eq!(first, fit_blocks(None), "{device:?} {precision:?}");
            }
            for block_rows in [64, 256, 1024] {
                let error = difference(&fit_blocks(Some(block_rows)), &first);
                assert!(error <= 1e-9, "{device:?} {precision:?} blocks of {block_rows}: {error}");
            }
        }
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let data = Rows::random(70_000, 5, 12).pack(PackOptions { block_rows: Some(20_000), ..PackOptions::default() });
    let fit_with_threads = |threads: usize, solver: Solver| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = FitOptions { device: DeviceRequest::Cpu, solver: Some(solver), l2: 0.3, ..FitOptions::default() };
        pool.install(|| parameters(&fit(&data, &options, &Silent).unwrap()))
    };
    for solver in [Solver::Lbfgs, Solver::Newton] {
        let one = fit_with_threads(1, solver);
        for threads in [2, 3, 7] {
            assert_eq!(fit_with_threads(threads, solver), one, "{threads} threads, {solver:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_large_data() {
    // Stored in f32, with row samples and curvature in f32.
    let rows = Rows::random(140_000, 32, 13);
    let packed_and_fitted = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let data = rows.pack(PackOptions::default());
            assert_eq!(data.samples.len(), 2);
            let fitted = fit_on(&DeviceRequest::Cpu, &data, 0.0);
            (parameters(&fitted), fitted.samples, fitted.passes)
        })
    };
    let one = packed_and_fitted(1);
    for threads in [2, 5] {
        assert_eq!(packed_and_fitted(threads), one, "{threads} threads");
    }
}

#[test]
fn every_solver_and_every_start_reaches_the_same_optimum() {
    let rows = Rows::random(600, 3, 9);
    let data = rows.pack(PackOptions::default());
    on_each_engine(|device| {
        let expected = parameters(&fit_on(device, &data, 0.5));
        for solver in [Solver::Gd, Solver::Lbfgs, Solver::Newton] {
            for init in [Init::Zeros, Init::Random { seed: 3 }, Init::Coefficients(vec![3.0, -3.0, 5.0], 2.0)] {
                let options =
                    FitOptions { device: device.clone(), solver: Some(solver), l2: 0.5, init, ..FitOptions::default() };
                let fitted = fit(&data, &options, &Silent).unwrap();
                assert_eq!(fitted.status, Status::Converged, "{device:?} {solver:?}");
                let error = difference(&parameters(&fitted), &expected);
                assert!(error <= 1e-7, "{device:?} {solver:?}: {error}");
            }
        }
    });
}

#[test]
fn without_an_intercept_the_gradient_vanishes_for_the_slopes_alone() {
    let mut rows = Rows::random(300, 3, 10);
    rows.x.iter_mut().for_each(|x| *x += 2.0);
    let data = rows.pack(PackOptions::default());
    on_each_engine(|device| {
        let options = FitOptions { device: device.clone(), intercept: false, ..FitOptions::default() };
        let fitted = fit(&data, &options, &Silent).unwrap();
        assert_eq!((fitted.status, fitted.intercept), (Status::Converged, 0.0));
        let at = rows.objective(&fitted.coefficients, 0.0, 0.0);
        for j in 0..3 {
            for step in [1e-4, -1e-4] {
                let mut beta = fitted.coefficients.clone();
                beta[j] += step;
                assert!(rows.objective(&beta, 0.0, 0.0) > at);
            }
        }
        assert!(rows.objective(&fitted.coefficients, 0.1, 0.0) != at);
    });
}

#[test]
fn limits_and_bad_rates_end_with_the_truth() {
    let data = Rows::random(300, 3, 11).pack(PackOptions::default());
    on_each_engine(|device| {
        let gd = FitOptions { device: device.clone(), solver: Some(Solver::Gd), ..FitOptions::default() };
        let short = fit(&data, &FitOptions { max_iterations: Some(3), ..gd.clone() }, &Silent).unwrap();
        assert_eq!((short.status, short.iterations), (Status::MaxIterations, 3));
        let wild = fit(&data, &FitOptions { learning_rate: Some(1e3), ..gd }, &Silent).unwrap();
        assert_eq!((wild.status, wild.stopped_by), (Status::Stalled, "diverged"));
    });
}
