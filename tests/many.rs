//! Many models in one read of X: the engines' batches against plain loops, cross-validation against fits of each fold alone,
//! and bootstrap replicates against fits of weighted rows.

mod common;

use common::{ENGINES, Rows, difference, fit_on};
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, Folds, PackOptions, Precision};
use gpulogit::engine::cpu::{CpuEngine, Host};
use gpulogit::engine::gpu::tuning::DeviceClass;
use gpulogit::engine::gpu::{GpuEngine, GpuOptions, GpuRequest};
use gpulogit::engine::{Batch, BatchSums, Device, DeviceRequest, Draw, DrawnRows, Engine, Params};
use gpulogit::fit::{FitOptions, Init, ManyFits, Resampling, bootstrap, fit, fit_many};
use gpulogit::monitor::{Monitor, Silent};
use gpulogit::objective::Member;

/// Rows with weights, offsets and soft targets.
fn awkward(rows: usize, features: usize) -> Rows {
    let mut all = Rows::random(rows, features, (rows + features) as u64);
    all.weight = (0..rows).map(|i| [1.0, 0.5, 3.0, 0.0][i % 4]).collect();
    all.offset = Some((0..rows).map(|i| 0.25 * ((i % 7) as f64 - 3.0)).collect());
    all.target.iter_mut().step_by(5).for_each(|t| *t = 0.25);
    all
}

/// The generator and the distribution as the documentation has them, written down a second time.
fn poisson(seed: u32, replicate: u32, row: u32) -> f64 {
    let mix = |x: u32| {
        let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^ (x >> 16)
    };
    let bits = f64::from(mix(mix(row) ^ mix(mix(replicate) ^ seed))) / 4_294_967_296.0;
    let (mut count, mut term) = (0.0, (-1f64).exp());
    let mut below = term;
    while bits >= (below * 4_294_967_296.0).floor() / 4_294_967_296.0 && count < 12.0 {
        count += 1.0;
        term /= count;
        below += term;
    }
    count
}

fn count(draw: Draw, row: usize, fold: u8) -> f64 {
    match draw {
        Draw::All => 1.0,
        Draw::Without(out) => f64::from(u8::from(fold != out)),
        Draw::Poisson { seed, replicate } => poisson(seed, replicate, row as u32),
    }
}

/// Loss, loss left out and gradient by plain loops.
fn expected(rows: &Rows, w: &[f64], draw: Draw, drawn: DrawnRows<'_>) -> BatchSums {
    let p = rows.features;
    let mut sums = BatchSums { loss: 0.0, loss_left_out: 0.0, gradient: vec![0.0; p + 1] };
    for i in 0..rows.rows() {
        let x = &rows.x[i * p..(i + 1) * p];
        let a = w[p] + rows.offset.as_ref().map_or(0.0, |o| o[i]) + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        let (s, t, c) = (rows.weight[i], rows.target[i], count(draw, drawn.first + i, drawn.folds[i]));
        let loss = s * (a.max(0.0) - t * a + (-a.abs()).exp().ln_1p());
        sums.loss += c * loss;
        sums.loss_left_out += if c == 0.0 { loss } else { 0.0 };
        let r = c * s * (1.0 / (1.0 + (-a).exp()) - t);
        sums.gradient.iter_mut().zip(x.iter().chain([&1.0])).for_each(|(g, x)| *g += x * r);
    }
    sums
}

const DRAWS: [Draw; 9] = [
    Draw::All,
    Draw::Without(0),
    Draw::Without(0),
    Draw::Without(4),
    Draw::Without(9),
    Draw::Poisson { seed: 7, replicate: 0 },
    Draw::Poisson { seed: 7, replicate: 1 },
    Draw::Poisson { seed: 8, replicate: 1 },
    Draw::All,
];

fn folds_of(rows: usize) -> Vec<u8> {
    (0..rows).map(|i| (i * i % 5) as u8).collect()
}

/// W of `models` models on the original columns, and on those that `data` stores.
fn parameters(data: &Dataset, models: usize) -> (Vec<Vec<f64>>, Params) {
    let p = data.features.len();
    let mut stored = Params::zeros(p, models);
    let all: Vec<Vec<f64>> =
        (0..models).map(|k| (0..=p).map(|j| 0.3 * (((3 * j + 5 * k) % 7) as f64 - 3.0) / 2.0).collect()).collect();
    for (k, w) in all.iter().enumerate() {
        stored.model_mut(k).copy_from_slice(&data.in_stored_units(&w[..p], w[p]));
    }
    (all, stored)
}

/// The largest error of `engine`, relative to Σ s·(1 + |x|)-like sizes of the sums.
fn worst_error(engine: &mut dyn Engine, rows: &Rows, data: &Dataset) -> f64 {
    worst_error_from(engine, rows, data, [0, 0])
}

/// The same where the first row has the first of these numbers among all, and the plain loops take it for the second.
fn worst_error_from(engine: &mut dyn Engine, rows: &Rows, data: &Dataset, [first, taken]: [usize; 2]) -> f64 {
    let (folds, p) = (folds_of(rows.rows()), rows.features);
    let (plain, stored) = parameters(data, DRAWS.len());
    let sums =
        engine.loss_gradients(&Batch { w: &stored, draws: &DRAWS, rows: DrawnRows { folds: &folds, first } }).unwrap();
    assert_eq!(sums.len(), DRAWS.len());
    let size: f64 = rows.weight.iter().sum::<f64>().max(1.0);
    let mut worst = 0f64;
    for (k, (sums, w)) in sums.iter().zip(&plain).enumerate() {
        let right = expected(rows, w, DRAWS[k], DrawnRows { folds: &folds, first: taken });
        // The gradient in stored units, on the original columns.
        let mut gradient = sums.gradient.clone();
        let ones = gradient[p];
        for (g, column) in gradient.iter_mut().zip(&data.columns) {
            *g = *g * column.scale + column.centre * ones;
        }
        let pairs = gradient.iter().zip(&right.gradient);
        let others = [(&sums.loss, &right.loss), (&sums.loss_left_out, &right.loss_left_out)];
        for (a, b) in pairs.chain(others) {
            let error = (a - b).abs() / size;
            // What is not a number is the worst there is.
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    worst
}

#[test]
fn batches_agree_with_plain_loops_on_every_engine() {
    let mut seen = 0;
    for (rows, features) in [(1, 1), (33, 0), (257, 5), (1003, 33), (3000, 70), (700, 300)] {
        let rows = awkward(rows, features);
        for precision in [Precision::F32, Precision::F64] {
            let block_rows = Some(if rows.rows() > 1000 { 512 } else { 1024 });
            let data = rows.pack(PackOptions { precision: Some(precision), block_rows, ..PackOptions::default() });
            for products in [Precision::F32, Precision::F64] {
                let mut engine = CpuEngine::new(&data.blocks, features, 1, products);
                let bound = if (precision, products) == (Precision::F64, Precision::F64) { 1e-13 } else { 2e-6 };
                let error = worst_error(&mut engine, &rows, &data);
                assert!(error <= bound, "{} × {features}, {precision:?} {products:?}: {error}", rows.rows());
                assert_eq!(engine.cost().passes, 1);
                seen += 1;
            }
            // On the device, and sent to it in pieces.
            for (class, device_memory) in [
                (DeviceClass::Software, None),
                (DeviceClass::Hardware, None),
                (DeviceClass::Software, Some(1 << 10)),
                (DeviceClass::Hardware, Some(1 << 10)),
            ] {
                let options = GpuOptions { class: Some(class), device_memory, ..GpuOptions::default() };
                let device = Device::open(&DeviceRequest::Gpu, &options).expect("this test needs an adapter");
                let (mut engine, _) = device.hold(&data, 1).unwrap();
                for _ in 0..2 {
                    let error = worst_error(engine.as_mut(), &rows, &data);
                    assert!(error <= 2e-6, "{} × {features}, {class:?} {device_memory:?}: {error}", rows.rows());
                }
                // With next to no memory four models at a time are all that there is room for.
                let reads = if device_memory.is_some() { 3 } else { 1 };
                assert_eq!(engine.cost().passes, 2 * reads);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 6 * 2 * 6);
}

#[test]
fn rows_behind_those_of_other_ranks_are_drawn_by_their_number_among_all() {
    let rows = awkward(1003, 33);
    let data = rows.pack(PackOptions { block_rows: Some(512), ..PackOptions::default() });
    let mut seen = 0;
    for device_memory in [None, None, Some(1 << 10)] {
        let options = GpuOptions { device_memory, ..GpuOptions::default() };
        let request = if seen == 0 { DeviceRequest::Cpu } else { DeviceRequest::Gpu };
        let device = Device::open(&request, &options).expect("this test needs an adapter");
        let (mut engine, _) = device.hold(&data, 1).unwrap();
        // The last numbers are beyond 32 bits.
        for first in [1, 12_345, (1 << 32) - 300] {
            let mut error = |taken| worst_error_from(engine.as_mut(), &rows, &data, [first, taken]);
            assert!(error(first) <= 2e-6, "{device_memory:?}, {first}");
            // Negative control.
            assert!(!(error(first + 1) <= 2e-6), "{device_memory:?}, {first}");
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_batch_with_the_wrong_rows_would_be_noticed() {
    let rows = awkward(1003, 33);
    let data = rows.pack(PackOptions::default());
    let mut other = rows.clone();
    other.weight[77] += 1.0;
    let mut engine = CpuEngine::new(&data.blocks, 33, 1, Precision::F64);
    assert!(worst_error(&mut engine, &rows, &data) <= 1e-13);
    assert!(!(worst_error(&mut engine, &other, &data) <= 2e-6));
    other.weight[77] = f64::NAN;
    assert_eq!(worst_error(&mut engine, &other, &data), f64::INFINITY);
}

#[test]
fn a_model_out_of_range_spoils_no_other() {
    let rows = awkward(700, 5);
    let data = rows.pack(PackOptions { precision: Some(Precision::F32), ..PackOptions::default() });
    let (_, mut w) = parameters(&data, 3);
    let draws = [Draw::All, Draw::Without(1), Draw::All];
    let folds = folds_of(700);
    let mut cpu = CpuEngine::new(&data.blocks, 5, 1, Precision::F32);
    let mut gpu = GpuEngine::open(&GpuRequest::Any, &data.blocks, 5, 1, &GpuOptions::default())
        .expect("this test needs an adapter");
    for engine in [&mut cpu as &mut dyn Engine, &mut gpu] {
        let mut evaluate =
            |w: &Params| engine.loss_gradients(&Batch { w, draws: &draws, rows: DrawnRows::all(&folds) }).unwrap();
        let good = evaluate(&w);
        w.model_mut(1).fill(3e37);
        let bad = evaluate(&w);
        assert_eq!(bad[1].loss, f64::INFINITY);
        assert_eq!((&bad[0], &bad[2]), (&good[0], &good[2]));
        w.model_mut(1).fill(0.1);
        assert!(evaluate(&w)[1].loss.is_finite());
    }
    let nan = Params::single(vec![f64::NAN; 6]);
    assert!(cpu.loss_gradients(&Batch { w: &nan, draws: &draws[..1], rows: DrawnRows::all(&folds) }).is_err());
    let short = Batch { w: &w, draws: &draws, rows: DrawnRows::all(&folds[1..]) };
    assert!(cpu.loss_gradients(&short).is_err() && gpu.loss_gradients(&short).is_err());
}

#[test]
fn a_batch_that_shrinks_over_many_chunks_stays_right() {
    let rows = Rows::random(180_000, 32, 3);
    let data = rows.pack(PackOptions::default());
    let (folds, mut cpu) = (folds_of(180_000), CpuEngine::new(&data.blocks, 32, 1, Precision::F64));
    let mut seen = 0;
    for (class, device_memory) in [(DeviceClass::Software, None), (DeviceClass::Software, Some(24 << 20))] {
        let options = GpuOptions { class: Some(class), device_memory, ..GpuOptions::default() };
        let device = Device::open(&DeviceRequest::Gpu, &options).expect("this test needs an adapter");
        let (mut gpu, _) = device.hold(&data, 1).unwrap();
        for models in [50, 41, 38, 30, 6, 1] {
            let (_, w) = parameters(&data, models);
            let draws: Vec<Draw> = (0..models).map(|k| DRAWS[k % DRAWS.len()]).collect();
            let batch = Batch { w: &w, draws: &draws, rows: DrawnRows::all(&folds) };
            let (sums, right) = (gpu.loss_gradients(&batch).unwrap(), cpu.loss_gradients(&batch).unwrap());
            for (a, b) in sums.iter().zip(&right) {
                assert!((a.loss - b.loss).abs() <= 1e-6 * b.loss, "{models} models: {} {}", a.loss, b.loss);
                let off = a.gradient.iter().zip(&b.gradient).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off <= 0.2, "{models} models: {off}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * 166);
}

struct Stop;

impl Monitor for Stop {
    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn an_interrupted_batch_says_so_and_an_interrupted_bootstrap_has_no_intervals() {
    let data = Rows::random(500, 3, 8).pack(PackOptions::default());
    let options = FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() };
    let whole = fit(&data, &options, &Silent).unwrap();
    let how = Resampling { replicates: 10, level: 0.9, seed: 0 };
    assert!(bootstrap(&data, &whole, &options, &how, &Stop).unwrap().is_none());
    let folds = Folds::deal(&data, 3, 0).unwrap();
    let many = fit_many(&data, &members(&data, &folds, &[1.0]), &folds.of_row, &options, &Stop).unwrap();
    assert!(many.fits.iter().all(|fit| fit.status == Status::Interrupted));
}

#[test]
fn a_limit_of_no_steps_leaves_every_model_where_it_begins() {
    let data = Rows::random(200_000, 24, 8).pack(PackOptions::default());
    let folds = Folds::deal(&data, 3, 0).unwrap();
    let start = Init::Coefficients(vec![0.25; 24], -0.5);
    for device in &ENGINES {
        let options = FitOptions {
            device: device.clone(),
            max_iterations: Some(0),
            init: start.clone(),
            ..FitOptions::default()
        };
        let many = fit_many(&data, &members(&data, &folds, &[1.0, 9.0]), &folds.of_row, &options, &Silent).unwrap();
        for fit in &many.fits {
            assert!(difference(&fit.coefficients, &[0.25; 24]) < 1e-12 && (fit.intercept + 0.5).abs() < 1e-12);
            assert_eq!(fit.status, Status::MaxIterations);
        }
    }
}

/// Members for each of `penalties` without each of `folds`.
fn members(data: &Dataset, folds: &Folds, penalties: &[f64]) -> Vec<Member> {
    let draws: Vec<Draw> = (0..folds.len()).map(|fold| Draw::Without(fold as u8)).collect();
    let sums = Host::new(data).weight_sums(&draws, DrawnRows::all(&folds.of_row)).unwrap();
    let of = |(draw, sums): (&Draw, &gpulogit::engine::cpu::WeightSums)| -> Vec<Member> {
        let member = |l2: &f64| Member { l1: 0.0, l2: *l2, draw: *draw, weight_sum: sums.classes.iter().sum() };
        penalties.iter().map(member).collect()
    };
    draws.iter().zip(&sums).flat_map(of).collect()
}

fn fit_all(data: &Dataset, folds: &Folds, penalties: &[f64], device: &DeviceRequest) -> ManyFits {
    let options = FitOptions { device: device.clone(), ..FitOptions::default() };
    fit_many(data, &members(data, folds, penalties), &folds.of_row, &options, &Silent).unwrap()
}

/// The rows for which `keep` holds.
fn some(rows: &Rows, keep: impl Fn(usize) -> bool) -> Rows {
    let mut some =
        Rows { features: rows.features, offset: rows.offset.as_ref().map(|_| Vec::new()), ..Rows::default() };
    for i in (0..rows.rows()).filter(|i| keep(*i)) {
        some.x.extend(&rows.x[i * rows.features..(i + 1) * rows.features]);
        some.target.push(rows.target[i]);
        some.weight.push(rows.weight[i]);
        if let (Some(some), Some(all)) = (&mut some.offset, &rows.offset) {
            some.push(all[i]);
        }
    }
    some
}

#[test]
fn each_model_of_a_batch_is_the_one_fitted_alone_without_its_fold() {
    let penalties = [100.0, 1.0, 0.01];
    let mut seen = 0;
    // Small data with weights and offsets, every row's curvature at every point; and data that begins with a sample.
    for rows in [awkward(900, 6), Rows::random(160_000, 30, 9)] {
        let data = rows.pack(PackOptions::default());
        let folds = Folds::deal(&data, 3, 1).unwrap();
        for device in &ENGINES {
            let many = fit_all(&data, &folds, &penalties, device);
            for fold in 0..3 {
                let [outside, inside] = [false, true].map(|is| some(&rows, |i| (folds.of_row[i] == fold as u8) == is));
                let alone = outside.pack(PackOptions::default());
                for (k, l2) in penalties.iter().enumerate() {
                    let (one, right) = (&many.fits[fold * 3 + k], fit_on(&DeviceRequest::Cpu, &alone, *l2));
                    assert_eq!(one.status, Status::Converged);
                    assert!(one.gradient_inf_norm <= 1e-8, "{}", one.gradient_inf_norm);
                    // A slope of 10⁻⁸ leaves coefficients off by some 10⁻⁷ standard deviations, f32 rows by as much.
                    let error = difference(&one.coefficients, &right.coefficients);
                    assert!(error < 2e-6, "{} rows, fold {fold}, l2 {l2}, {device:?}: {error}", rows.rows());
                    assert!((one.objective / right.objective - 1.0).abs() < 1e-7);
                    let left_out = inside.objective(&right.coefficients, right.intercept, 0.0);
                    assert!((one.loss_left_out / left_out - 1.0).abs() < 1e-6);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 2 * 2 * 3 * 3);
}

#[test]
fn fifty_models_read_the_data_at_most_twice_as_often_as_the_slowest_one_alone() {
    let penalties: Vec<f64> = (0..10).map(|k| 10f64.powf(4.0 - 0.6 * f64::from(k))).collect();
    let mut seen = 0;
    for rows in [Rows::random(200_000, 32, 12), Rows::random(4000, 20, 13)] {
        let data = rows.pack(PackOptions::default());
        let folds = Folds::deal(&data, 5, 0).unwrap();
        let all = fit_all(&data, &folds, &penalties, &DeviceRequest::Cpu);
        assert!(all.fits.iter().all(|fit| fit.status == Status::Converged && fit.gradient_inf_norm <= 1e-8));
        let slowest = all.fits.iter().map(|fit| fit.evaluations).max().unwrap();
        let at = all.fits.iter().position(|fit| fit.evaluations == slowest).unwrap();
        let alone = members(&data, &folds, &penalties)[at];
        let alone = fit_many(
            &data,
            &[alone],
            &folds.of_row,
            &FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() },
            &Silent,
        )
        .unwrap();
        assert!(all.passes <= 2 * alone.passes, "{} passes, {} for one alone", all.passes, alone.passes);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn two_hundred_thousand_rows_are_read_six_times_for_fifty_models() {
    let data = Rows::random(200_000, 32, 12).pack(PackOptions::default());
    let folds = Folds::deal(&data, 5, 0).unwrap();
    let penalties: Vec<f64> = (0..10).map(|k| 10f64.powf(4.0 - 0.6 * f64::from(k))).collect();
    let passes = ENGINES.each_ref().map(|device| fit_all(&data, &folds, &penalties, device).passes);
    assert_eq!(passes, [6, 6]);
}

#[test]
fn replicates_are_fits_of_rows_weighted_by_their_counts_and_repeat_bit_by_bit() {
    let mut rows = awkward(1200, 4);
    rows.target.iter_mut().for_each(|t| *t = t.round());
    let data = rows.pack(PackOptions::default());
    let options = FitOptions { device: DeviceRequest::Cpu, l2: 0.5, ..FitOptions::default() };
    let whole = fit(&data, &options, &Silent).unwrap();
    let draws: Vec<Draw> = (0..4).map(|replicate| Draw::Poisson { seed: 3, replicate }).collect();
    let sums = Host::new(&data).weight_sums(&draws, DrawnRows::all(&[])).unwrap();
    let start = Init::Coefficients(whole.coefficients.clone(), whole.intercept);
    let members: Vec<Member> = draws
        .iter()
        .zip(&sums)
        .map(|(draw, sums)| Member { l1: 0.0, l2: 0.5, draw: *draw, weight_sum: sums.classes.iter().sum() })
        .collect();
    let many = fit_many(&data, &members, &[], &FitOptions { init: start, ..options.clone() }, &Silent).unwrap();
    for (replicate, one) in many.fits.iter().enumerate() {
        let mut drawn = rows.clone();
        drawn.weight.iter_mut().enumerate().for_each(|(i, s)| *s *= poisson(3, replicate as u32, i as u32));
        assert!((drawn.weight.iter().sum::<f64>() / members[replicate].weight_sum - 1.0).abs() < 1e-12);
        let right = fit_on(&DeviceRequest::Cpu, &drawn.pack(PackOptions::default()), 0.5);
        let error = difference(&one.coefficients, &right.coefficients);
        assert!(error < 1e-7 && right.status == Status::Converged, "replicate {replicate}: {error}");
        assert!(difference(&one.coefficients, &whole.coefficients) > 1e-3, "a replicate is no copy");
    }
    let resampled = |seed| {
        let how = Resampling { replicates: 200, level: 0.9, seed };
        bootstrap(&data, &whole, &options, &how, &Silent).unwrap().unwrap()
    };
    let [one, two] = [11, 11].map(resampled);
    assert_eq!((&one.coefficients, one.log_loss), (&two.coefficients, two.log_loss));
    let other = resampled(12);
    assert!(one.coefficients[0] != other.coefficients[0]);
    assert_eq!((one.replicates, one.not_converged, one.without_a_class), (200, 0, 0));
    for (interval, estimate) in one.coefficients.iter().zip(&whole.coefficients) {
        assert!(interval.low < *estimate && *estimate < interval.high, "{estimate} {interval:?}");
        // A normal variable's 90% lie within 1.645 standard deviations of its mean.
        let width = (interval.high - interval.low) / (2.0 * 1.645 * interval.se);
        assert!((0.8..1.2).contains(&width), "{interval:?}");
    }
    assert!(one.out_of_bag_log_loss.mean > one.log_loss.mean);
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_batch() {
    let data =
        Rows::random(60_000, 12, 5).pack(PackOptions { precision: Some(Precision::F32), ..PackOptions::default() });
    let folds = folds_of(60_000);
    let (_, w) = parameters(&data, DRAWS.len());
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut engine = CpuEngine::new(&data.blocks, 12, 1, Precision::F32);
        pool.install(|| engine.loss_gradients(&Batch { w: &w, draws: &DRAWS, rows: DrawnRows::all(&folds) }).unwrap())
    };
    let one = with_threads(1);
    assert!([2, 3, 7].iter().all(|threads| with_threads(*threads) == one));
}
