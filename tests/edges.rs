//! Fits at the edges: too wide for a curvature matrix, starts far out, outliers, interruption on the way.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{ENGINES, Rows, fit_on, parameters};
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, PackOptions, Precision};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{FitOptions, Init, fit};
use gpulogit::monitor::{Monitor, Silent};
use gpulogit::solver::Solver;

#[test]
fn more_columns_than_a_curvature_matrix_holds() {
    let rows = Rows::random(150, 2100, 41);
    let data = rows.pack(PackOptions::default());
    let mut seen = 0;
    for device in &ENGINES {
        for l2 in [1.0, 100.0] {
            let fitted = fit_on(device, &data, l2);
            assert_eq!(fitted.status, Status::Converged, "{device:?} {l2}: {:?}", fitted.certificate);
            assert_eq!((fitted.solver, fitted.rank), (Solver::Lbfgs, None));
            // J − J* ≤ ‖∇J‖²/(2·l2), here by the slopes on columns of about unit size.
            assert!(fitted.gradient_inf_norm <= 1e-8, "{device:?} {l2}: {:e}", fitted.gradient_inf_norm);
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
    let newton = FitOptions { solver: Some(Solver::Newton), l2: 1.0, ..FitOptions::default() };
    assert!(fit(&data, &newton, &Silent).unwrap_err().to_string().contains("lbfgs"));
}

#[test]
fn nothing_to_estimate_is_no_trouble_for_any_solver() {
    let target = [0.0, 1.0, 1.0];
    let data = Dataset::from_rows(&[], 0, &target, PackOptions::default()).unwrap();
    let mut seen = 0;
    for solver in [Solver::Gd, Solver::Lbfgs, Solver::Newton] {
        for intercept in [true, false] {
            let options = FitOptions { solver: Some(solver), intercept, ..FitOptions::default() };
            let fitted = fit(&data, &FitOptions { device: DeviceRequest::Cpu, ..options }, &Silent).unwrap();
            assert_eq!(fitted.status, Status::Converged, "{solver:?} {intercept}");
            let expected = if intercept { 2f64.ln() } else { 0.0 };
            assert!((fitted.intercept - expected).abs() < 1e-7, "{solver:?}: {}", fitted.intercept);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn a_start_where_all_curvature_underflows_still_finds_the_optimum() {
    let rows = Rows::random(300, 2, 42);
    let data = rows.pack(PackOptions::default());
    for device in &ENGINES {
        let expected = parameters(&fit_on(device, &data, 0.0));
        for (solver, init) in [(Solver::Newton, 800.0), (Solver::Lbfgs, 800.0), (Solver::Newton, -1e5)] {
            let options = FitOptions {
                device: device.clone(),
                solver: Some(solver),
                init: Init::Coefficients(vec![0.0, 0.0], init),
                ..FitOptions::default()
            };
            let fitted = fit(&data, &options, &Silent).unwrap();
            assert_eq!(fitted.status, Status::Converged, "{device:?} {solver:?} {init}: {fitted:?}");
            assert!(common::difference(&parameters(&fitted), &expected) <= 1e-8, "{device:?} {solver:?} {init}");
        }
    }
}

/// One column that is 1 in a few rows, all of them positive, beside an ordinary one.
fn quasi_separated() -> Rows {
    let mut rows = Rows::random(200, 2, 43);
    for i in 0..200 {
        let rare = i % 40 == 0;
        rows.x[2 * i] = f64::from(u8::from(rare));
        if rare {
            rows.target[i] = 1.0;
        }
    }
    rows
}

#[test]
fn separation_is_found_from_any_start_and_with_weights_and_offsets() {
    let mut rows = quasi_separated();
    // A row that contradicts weighs nothing; offsets move every row.
    rows.x.extend([1.0, 0.3]);
    rows.target.push(0.0);
    rows.weight.push(0.0);
    rows.offset = Some((0..201).map(|i| (i % 5) as f64 * 0.2).collect());
    let data = rows.pack(PackOptions::default());
    let mut seen = 0;
    for device in &ENGINES {
        for init in [Init::Zeros, Init::Random { seed: 5 }, Init::Coefficients(vec![60.0, 0.0], 0.0)] {
            let options = FitOptions { device: device.clone(), init, ..FitOptions::default() };
            let fitted = fit(&data, &options, &Silent).unwrap();
            assert_eq!(fitted.status, Status::Separated, "{device:?} {:?}", options.init);
            let proof = fitted.separation.unwrap();
            assert_eq!((proof.complete, proof.columns.as_slice(), proof.rows), (false, &[0][..], 5));
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    rows.weight[200] = 1e-3;
    let contradicted = fit_on(&DeviceRequest::Cpu, &rows.pack(PackOptions::default()), 0.0);
    assert_eq!(contradicted.status, Status::Converged);
}

#[test]
fn an_outlier_does_not_pass_for_separation() {
    // The ordinary rows overlap; beside the outlier they are close to each other, but not equal.
    let rows = Rows {
        x: vec![-0.6, -0.3, 0.1, 0.2, 0.5, 0.7, 0.9, 3e10],
        features: 1,
        target: vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0],
        weight: vec![1.0; 8],
        offset: None,
    };
    let fitted = fit_on(&DeviceRequest::Cpu, &rows.pack(PackOptions::default()), 0.0);
    assert!(fitted.separation.is_none(), "{:?}", fitted.separation);
}

#[test]
fn separated_and_redundant_data_give_the_same_bits_with_any_number_of_threads() {
    let mut rows = quasi_separated();
    rows.features = 3;
    rows.x = rows.x.chunks(2).flat_map(|x| [x[0], x[1], x[0] + 2.0 * x[1]]).collect();
    let data =
        rows.pack(PackOptions { block_rows: Some(64), precision: Some(Precision::F64), ..PackOptions::default() });
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let fitted = pool.install(|| fit_on(&DeviceRequest::Cpu, &data, 0.0));
        assert_eq!((fitted.status, fitted.redundant.len()), (Status::Separated, 1));
        parameters(&fitted)
    };
    let one = with_threads(1);
    for threads in [2, 5] {
        assert_eq!(with_threads(threads), one);
    }
}

#[test]
fn a_learning_rate_beyond_the_range_of_the_engine_diverges_and_is_no_error() {
    let data = Rows::random(100, 2, 44).pack(PackOptions::default());
    for device in &ENGINES {
        let options = FitOptions {
            device: device.clone(),
            solver: Some(Solver::Gd),
            learning_rate: Some(1e39),
            ..FitOptions::default()
        };
        let fitted = fit(&data, &options, &Silent).unwrap();
        assert_eq!((fitted.status, fitted.stopped_by), (Status::Stalled, "diverged"), "{device:?}");
        assert!(fitted.coefficients.iter().all(|b| b.is_finite()));
    }
}

/// Asks to stop from the n-th question on.
struct StopAfter(usize, AtomicUsize);

impl Monitor for StopAfter {
    fn interrupted(&self) -> bool {
        self.1.fetch_add(1, Ordering::SeqCst) >= self.0
    }
}

#[test]
fn an_interruption_is_reported_wherever_it_falls() {
    let data = Rows::random(500, 3, 45).pack(PackOptions::default());
    let (mut interrupted, mut finished) = (0, 0);
    for after in 0..40 {
        let monitor = StopAfter(after, AtomicUsize::new(0));
        let options = FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() };
        let fitted = fit(&data, &options, &monitor).unwrap();
        let asked = monitor.1.load(Ordering::SeqCst) > after;
        assert_eq!(fitted.status == Status::Interrupted, asked, "after {after}");
        if asked {
            interrupted += 1
        } else {
            finished += 1
        }
        assert!(fitted.objective.is_finite());
    }
    // Both during the solver's iterations and during those of the polish.
    assert!(interrupted > 5 && finished > 5, "{interrupted} {finished}");
}

#[test]
fn large_data_is_fitted_with_the_curvature_of_a_sample() {
    let rows = Rows::random(150_000, 6, 46);
    let data = rows.pack(PackOptions::default());
    let exact = parameters(&fit_on(&DeviceRequest::Cpu, &data, 0.0));
    for device in &ENGINES {
        let options = FitOptions { device: device.clone(), solver: Some(Solver::Lbfgs), ..FitOptions::default() };
        let fitted = fit(&data, &options, &Silent).unwrap();
        assert_eq!(fitted.status, Status::Converged);
        assert!(fitted.iterations <= 15, "{}", fitted.iterations);
        assert!(common::difference(&parameters(&fitted), &exact) <= 1e-9);
    }
}

#[test]
fn the_level_that_separates_is_the_one_named_even_if_it_is_the_redundant_one() {
    // Three levels, all of them columns; the last one holds only positives.
    let mut rows = Rows::random(90, 1, 47);
    rows.features = 4;
    let numbers = std::mem::take(&mut rows.x);
    for (i, x) in numbers.into_iter().enumerate() {
        let level = if i % 30 == 7 { 2 } else { i % 2 };
        rows.x.extend([x, f64::from(u8::from(level == 0)), f64::from(u8::from(level == 1)), 0.0]);
        if level == 2 {
            rows.x[4 * i + 3] = 1.0;
            rows.target[i] = 1.0;
        }
    }
    let fitted = fit_on(&DeviceRequest::Cpu, &rows.pack(PackOptions::default()), 0.0);
    assert_eq!(fitted.status, Status::Separated);
    assert_eq!(fitted.redundant.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x3"]);
    assert_eq!(fitted.separation.unwrap().columns, [3]);
}
