//! What the engines of this machine do in a second: each kernel beside the device's own bandwidth, and whole fits.
//!
//! Every engine's answer is compared with the CPU engine's in f64 before anything is timed, and the engines take turns, so
//! that a machine that others use slows all of them alike. Times are medians.

use rayon::prelude::*;
use serde::Serialize;
use std::time::Instant;

use crate::certificate::Status;
use crate::data::hash::{mix, unit_interval};
use crate::data::{ColumnSource, Dataset, PackOptions, Precision, RowVector, RowVectors};
use crate::engine::cpu::{ColumnMap, Curvature, Host, RowSample, gram_cost};
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, DeviceInfo, DeviceKind, DeviceRequest, Engine, LossGradient, Opening, Params};
use crate::error::{Error, Result};
use crate::fit::{Fit, FitOptions, Seconds, fit_with};
use crate::logistic::sigmoid;
use crate::monitor::{Event, Monitor, Silent};

/// Largest difference between an engine's loss or gradient and the CPU engine's, as a part of S and of a column's size.
const AGREEMENT: f64 = 1e-5;
/// Steps of a line that are probed together.
const STEPS: [f64; 5] = [0.125, 0.25, 0.5, 1.0, 2.0];
/// Multiply-adds of curvature that are timed.
const CURVATURE_COST: f64 = 2e9;
/// Standard deviation of the linear predictors of synthetic rows, and their intercept.
const SPREAD: f64 = 2.0;
const INTERCEPT: f64 = -0.3;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Bench {
    /// Rows n.
    pub rows: usize,
    /// Features p.
    pub features: usize,
    /// Times that everything was measured.
    pub repeats: usize,
    /// One entry a device, the CPU first if it is among them.
    pub devices: Vec<DeviceBench>,
    /// Whether every engine agrees with the CPU engine and every fit ended at an optimum.
    pub ok: bool,
}

/// What was measured of one device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceBench {
    /// The device.
    pub device: DeviceInfo,
    /// Seconds for the adapter and its pipelines.
    pub setup: f64,
    /// Seconds for the rows to get there.
    pub upload: f64,
    /// Bytes a second that it moves when it does nothing else: a CPU reading X, a GPU copying.
    pub bandwidth: f64,
    /// Largest difference of its loss and gradient from the CPU engine's, in units of what is allowed.
    pub disagreement: f64,
    /// The kernels.
    pub kernels: Vec<KernelBench>,
    /// A whole fit.
    pub fit: FitBench,
}

/// What was measured of a kernel.
#[derive(Debug, Clone, Serialize)]
pub struct KernelBench {
    /// Its name.
    pub name: &'static str,
    /// Seconds, by the device's clock where it has one.
    pub seconds: f64,
    /// Bytes that went between memory and the kernel.
    pub bytes: u64,
    /// Multiplications that are followed by an addition.
    pub multiply_adds: f64,
    /// Bytes a second, as a part of the bandwidth.
    pub share: f64,
}

/// What was measured of a fit.
#[derive(Debug, Clone, Serialize)]
pub struct FitBench {
    /// How it ended.
    pub status: Status,
    /// The method.
    pub solver: crate::solver::Solver,
    /// Iterations on all rows.
    pub iterations: usize,
    /// Full reads of X, those of the verification among them.
    pub passes: u64,
    /// Bytes of X that the engine read.
    pub bytes_read: u64,
    /// Dispatches (GPU), or calls per block (CPU).
    pub dispatches: u64,
    /// The gradient as `--tol` measures it, in f64.
    pub gradient_inf_norm: f64,
    /// Seconds by part; `upload` is from packed rows on.
    pub seconds: Seconds,
}

impl DeviceBench {
    /// Seconds of a fit: upload, solver and verification.
    pub fn fit_seconds(&self) -> f64 {
        self.fit.seconds.upload + self.fit.seconds.solve + self.fit.seconds.verify
    }
}

/// Normal-ish columns, labelled by a logistic model of all of them: the same for the same seed.
///
/// # Errors
/// As [`Dataset::pack`].
pub fn synthetic(rows: usize, features: usize, seed: u64) -> Result<Dataset> {
    let source = Synthetic { rows, features, seed };
    let slope = |j: usize| source.value(rows, j) * SPREAD / (features.max(1) as f64).sqrt();
    let slopes: Vec<f64> = (0..features).map(slope).collect();
    let mut target = vec![0.0; rows];
    target.par_iter_mut().enumerate().for_each(|(i, t)| {
        let a = slopes.iter().enumerate().map(|(j, w)| w * source.value(i, j)).sum::<f64>() + INTERCEPT;
        *t = f64::from(u8::from(unit_interval(seed.wrapping_add(1), i as u64) < sigmoid(a)));
    });
    let vectors = RowVectors { target: target.into(), weight: RowVector::same(rows, 1.0), offset: None };
    Dataset::pack((0..features).map(|j| format!("x{j}")).collect(), &source, &vectors, PackOptions::default())
}

/// The columns of [`synthetic`].
struct Synthetic {
    rows: usize,
    features: usize,
    seed: u64,
}

impl Synthetic {
    /// The sum of four uniform numbers, scaled to a standard deviation of 1.
    fn value(&self, row: usize, feature: usize) -> f64 {
        let bits = mix(self.seed, (row * self.features + feature) as u64);
        let sum: u64 = (0..4).map(|k| (bits >> (16 * k)) & 0xffff).sum();
        (sum as f64 / 65_535.0 - 2.0) * 3f64.sqrt()
    }
}

impl ColumnSource for Synthetic {
    fn rows(&self) -> usize {
        self.rows
    }
    fn features(&self) -> usize {
        self.features
    }
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]) {
        out.iter_mut().enumerate().for_each(|(i, x)| *x = self.value(start + i, feature));
    }
}

/// Measures `devices` on `data`, everything `repeats` times, and fits with `options` but for the device.
///
/// # Errors
/// As [`engine::open`] and [`crate::fit::fit`]; [`Error::Usage`] when there is nothing to measure.
pub fn bench(
    data: &Dataset,
    devices: &[DeviceRequest],
    repeats: usize,
    options: &FitOptions,
    monitor: &dyn Monitor,
) -> Result<Bench> {
    if data.rows == 0 || devices.is_empty() || repeats == 0 {
        return Err(Error::Usage("there is nothing to measure".into()));
    }
    let w = [0, 1].map(|stream| parameters(data, stream));
    let mut measured = Vec::new();
    for device in devices {
        let (engine, opening) = engine::open(device, data, 1, &GpuOptions::default())?;
        measured.push(Measured::new(engine, opening));
    }
    let reference = Host::new(data).engine()?.loss_gradient(&w[0])?;
    for one in &mut measured {
        one.disagreement = disagreement(data, &reference, &one.engine.loss_gradient(&w[0])?);
    }
    for repeat in 0..repeats {
        monitor.event(Event::Step(format!("kernels, round {} of {repeats}", repeat + 1)));
        for one in &mut measured {
            let bandwidth = one.engine.bandwidth()?;
            one.bandwidths.push(bandwidth);
            one.kernels(&w)?;
            if one.engine.device().kind == DeviceKind::Cpu {
                one.curvature(data)?;
            }
        }
    }
    // The engines give their memory back before whole fits are timed.
    let closed: Vec<Closed> = measured.into_iter().map(Measured::close).collect();
    let mut fits: Vec<Vec<Fit>> = devices.iter().map(|_| Vec::new()).collect();
    for repeat in 0..repeats {
        monitor.event(Event::Step(format!("fits, round {} of {repeats}", repeat + 1)));
        for (device, fits) in devices.iter().zip(&mut fits) {
            let options = FitOptions { device: device.clone(), ..options.clone() };
            fits.push(fit_with(data, &options, &GpuOptions::default(), &Silent)?);
        }
    }
    let devices = closed.into_iter().zip(&fits).filter_map(|(one, fits)| Some(one.bench(data, FitBench::of(fits)?)));
    let devices: Vec<DeviceBench> = devices.collect();
    let good =
        |one: &DeviceBench| one.disagreement <= 1.0 && matches!(one.fit.status, Status::Converged | Status::Separated);
    let ok = devices.iter().all(good);
    Ok(Bench { rows: data.rows, features: data.features.len(), repeats, devices, ok })
}

/// Seeded parameters that keep most linear predictors of standardised columns within ±5.
fn parameters(data: &Dataset, stream: u64) -> Params {
    let features = data.features.len();
    let size = 4.0 / (features.max(1) as f64).sqrt();
    let slope = |(j, m): (usize, &crate::data::Moments)| match m.mean.hypot(m.sd) {
        rms if rms > 0.0 => (unit_interval(stream, j as u64) - 0.5) * size / rms,
        _ => 0.0,
    };
    let mut w: Vec<f64> = data.moments.iter().enumerate().map(slope).collect();
    w.push(0.1);
    Params::single(w)
}

/// The largest difference, in units of [`AGREEMENT`] times S and the size of a column; not a number where one is not.
fn disagreement(data: &Dataset, reference: &LossGradient, got: &LossGradient) -> f64 {
    let allowed = AGREEMENT * data.weight_sum;
    let sizes = data.moments.iter().map(|m| m.mean.hypot(m.sd).max(f64::MIN_POSITIVE)).chain([1.0]);
    let slopes = reference.gradient.model(0).iter().zip(got.gradient.model(0)).zip(sizes);
    let slopes = slopes.map(|((reference, got), size)| (reference - got).abs() / (allowed * size));
    let loss = (reference.loss[0] - got.loss[0]).abs() / (allowed + AGREEMENT * reference.loss[0]);
    slopes.chain([loss]).fold(0.0, |worst: f64, error| if error > worst || error.is_nan() { error } else { worst })
}

/// Seconds and bytes of each kernel, an entry a round.
type Rounds = Vec<(&'static str, Vec<(f64, u64)>)>;

/// An open engine and what was measured of it so far.
struct Measured<'a> {
    engine: Box<dyn Engine + 'a>,
    opening: Opening,
    /// An entry a round.
    bandwidths: Vec<f64>,
    disagreement: f64,
    rounds: Rounds,
    curvature_cost: f64,
}

impl<'a> Measured<'a> {
    fn new(engine: Box<dyn Engine + 'a>, opening: Opening) -> Self {
        Measured { engine, opening, bandwidths: Vec::new(), disagreement: 0.0, rounds: Vec::new(), curvature_cost: 0.0 }
    }

    /// Runs every kernel once.
    fn kernels(&mut self, w: &[Params; 2]) -> Result<()> {
        let before = self.engine.cost();
        let start = self.engine.loss_gradient(&w[0])?;
        self.engine.keep(start.point)?;
        let end = self.engine.loss_gradient(&w[1])?;
        let line = self.engine.start_line(start.point, end.point)?;
        self.engine.probe(line, &STEPS)?;
        self.engine.logits(&w[0])?;
        for kernel in self.engine.cost().kernels {
            let earlier = before.kernels.iter().find(|earlier| earlier.name == kernel.name);
            let (seconds, bytes) = earlier.map_or((0.0, 0), |earlier| (earlier.seconds, earlier.bytes));
            // Both gradients are one kernel's.
            let times: u32 = if kernel.name.starts_with("loss_gradient") { 2 } else { 1 };
            let (seconds, bytes) = (kernel.seconds - seconds, kernel.bytes - bytes);
            self.add(kernel.name, (seconds / f64::from(times), bytes / u64::from(times)));
        }
        Ok(())
    }

    /// Takes the curvature of some rows on the host.
    fn curvature(&mut self, data: &Dataset) -> Result<()> {
        let (host, width) = (Host::new(data), data.features.len() + 1);
        let sample = RowSample::of_about((CURVATURE_COST / gram_cost(1, width)) as usize, data.rows);
        let share = host.share(sample)?;
        let w = parameters(data, 0);
        let start = Instant::now();
        let map = ColumnMap::as_stored(width - 1);
        std::hint::black_box(host.hessian(&map, Curvature::At(w.model(0)), sample, Precision::F64)?);
        let bytes = (share * data.blocks.iter().map(|block| block.x_bytes()).sum::<u64>() as f64) as u64;
        self.curvature_cost = 0.5 * share * gram_cost(data.rows, width);
        self.add("hessian", (start.elapsed().as_secs_f64(), bytes));
        Ok(())
    }

    fn add(&mut self, name: &'static str, round: (f64, u64)) {
        match self.rounds.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rounds)) => rounds.push(round),
            None => self.rounds.push((name, vec![round])),
        }
    }

    fn close(self) -> Closed {
        Closed {
            device: self.engine.device().clone(),
            opening: self.opening,
            bandwidth: median(self.bandwidths.into_iter()),
            disagreement: self.disagreement,
            rounds: self.rounds,
            curvature_cost: self.curvature_cost,
        }
    }
}

/// What was measured of an engine that is closed.
struct Closed {
    device: DeviceInfo,
    opening: Opening,
    bandwidth: f64,
    disagreement: f64,
    rounds: Rounds,
    curvature_cost: f64,
}

impl Closed {
    fn bench(self, data: &Dataset, fit: FitBench) -> DeviceBench {
        let x = (data.rows * data.features.len()) as f64;
        let kernel = |(name, rounds): (&'static str, Vec<(f64, u64)>)| {
            let seconds = median(rounds.iter().map(|round| round.0));
            let bytes = rounds.first().map_or(0, |round| round.1);
            let multiply_adds = match name {
                "logits" => x,
                "line_probe" => (2 * STEPS.len() * data.rows) as f64,
                "hessian" => self.curvature_cost,
                _ => 2.0 * x,
            };
            KernelBench { name, seconds, bytes, multiply_adds, share: bytes as f64 / seconds / self.bandwidth }
        };
        DeviceBench {
            device: self.device,
            setup: self.opening.setup,
            upload: self.opening.upload,
            bandwidth: self.bandwidth,
            disagreement: self.disagreement,
            kernels: self.rounds.into_iter().map(kernel).collect(),
            fit,
        }
    }
}

impl FitBench {
    /// The last of `fits`, with the medians of their times; `None` where there are none.
    fn of(fits: &[Fit]) -> Option<Self> {
        let last = fits.last()?;
        let time = |of: fn(&Seconds) -> f64| median(fits.iter().map(|fit| of(&fit.seconds)));
        Some(FitBench {
            status: last.status,
            solver: last.solver,
            iterations: last.iterations,
            passes: last.passes,
            bytes_read: last.cost.bytes_read,
            dispatches: last.cost.kernels.iter().map(|kernel| kernel.calls).sum(),
            gradient_inf_norm: last.gradient_inf_norm,
            seconds: Seconds {
                read: 0.0,
                setup: time(|s| s.setup),
                upload: time(|s| s.upload),
                solve: time(|s| s.solve),
                verify: time(|s| s.verify),
                total: time(|s| s.total),
            },
        })
    }
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_wrong_anywhere_disagrees() {
        let data = synthetic(500, 3, 7).unwrap();
        let w = parameters(&data, 0);
        let evaluate = || Host::new(&data).engine().unwrap().loss_gradient(&w).unwrap();
        let reference = evaluate();
        assert_eq!(disagreement(&data, &reference, &evaluate()), 0.0);
        let least = 1.5 * AGREEMENT * data.weight_sum;
        for k in 0..=3 {
            let mut wrong = evaluate();
            wrong.gradient.model_mut(0)[k] += least * data.moments.get(k).map_or(1.0, |m| m.mean.hypot(m.sd));
            let found = disagreement(&data, &reference, &wrong);
            assert!((found - 1.5).abs() < 1e-6, "entry {k}: {found}");
            wrong.gradient.model_mut(0)[k] = f64::NAN;
            assert!(disagreement(&data, &reference, &wrong).is_nan());
        }
        let mut wrong = evaluate();
        wrong.loss[0] += 10.0 * least;
        assert!(disagreement(&data, &reference, &wrong) > 1.0);
    }

    #[test]
    fn synthetic_rows_are_the_same_for_the_same_seed_and_hold_both_classes() {
        let [a, b, c] = [1, 1, 2].map(|seed| synthetic(400, 4, seed).unwrap());
        let target = |data: &Dataset| data.blocks[0].vectors().unwrap().target.iter().collect::<Vec<f64>>();
        assert_eq!(target(&a), target(&b));
        assert_ne!(target(&a), target(&c));
        let ones = target(&a).iter().sum::<f64>();
        assert!(ones > 100.0 && ones < 300.0, "{ones}");
        assert!(a.moments.iter().zip(&a.columns).all(|(m, column)| (m.sd * column.scale - 1.0).abs() < 0.2));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
