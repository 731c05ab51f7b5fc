//! Every engine against the textbook reference, kernel by kernel and as a whole.
//!
//! Each comparison carries its own bound, derived from the engine's arithmetic (`bounds.rs`), entry by entry. A
//! check reports the entry that comes nearest to its bound or goes beyond it: its error, its bound.

mod bounds;
mod cases;
mod classes;

use serde::Serialize;

use crate::data::{Dataset, Precision};
use crate::engine::cpu::{ColumnMap, Curvature, Host, RowSample, gram_cost};
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, Batch, DeviceInfo, DeviceKind, DeviceRequest, Draw, DrawnRows, Engine, Params};
use crate::error::{Error, Result};
use crate::fit::{FitOptions, fit_with};
use crate::monitor::{Event, Monitor};
use crate::reference::Problem;

pub use bounds::Arithmetic;
use bounds::{Reference, Worst};
use cases::Rows;
pub use cases::awkward;

/// Part of max(J, S/1000) that an engine's own answer, before any polish, may lie above the optimum.
const FIT_BOUND: f64 = 1e-6;
/// What the models of a batch count, and folds that rows are in turn in.
const DRAWS: [Draw; 6] = [
    Draw::All,
    Draw::Without(0),
    Draw::Without(0),
    Draw::Without(2),
    Draw::Poisson { seed: 1, replicate: 0 },
    Draw::Poisson { seed: 1, replicate: 1 },
];
const FOLDS: usize = 3;
/// Steps at which lines are probed.
const STEPS: [f64; 5] = [0.0, 0.25, 1.0, 1.75, 4.0];
/// Multiply-adds up to which the reference's own curvature is had in seconds: what the comparisons of curvature and of
/// the whole fit cost.
const CURVATURE_COST: f64 = 5e9;

/// One line of the table: a kernel (or the whole fit) on one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The kernel, or `fit`.
    pub name: &'static str,
    /// Id of the engine's device.
    pub engine: String,
    /// Data sets compared.
    pub cases: usize,
    /// Error of the entry nearest to its bound, or farthest beyond it.
    pub worst_error: f64,
    /// That entry's bound.
    pub bound: f64,
    /// Whether every entry of every case is within its bound.
    pub ok: bool,
}

/// What was compared, and how it went.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// The engines.
    pub adapter: Vec<DeviceInfo>,
    /// One check a kernel and engine.
    pub kernels: Vec<Check>,
    /// Whether all of them passed.
    pub ok: bool,
}

/// Compares each of `devices` with the reference on each of `cases`.
///
/// # Errors
/// As [`engine::open`] and [`Engine::loss_gradient`]; [`Error::Usage`] when there is nothing to compare.
pub fn validate(
    devices: &[DeviceRequest],
    cases: &[Dataset],
    gpu: &GpuOptions,
    monitor: &dyn Monitor,
) -> Result<Validation> {
    if devices.is_empty() || cases.is_empty() {
        return Err(Error::Usage("there is nothing to compare".into()));
    }
    let mut validation = Validation { adapter: Vec::new(), kernels: Vec::new(), ok: true };
    for device in devices {
        let mut worst: [Worst; NAMES.len()] = Default::default();
        let mut compared = [0; NAMES.len()];
        let mut info = None;
        for (number, data) in cases.iter().enumerate() {
            monitor.event(Event::Step(format!(
                "case {} of {}: {} rows × {} features",
                number + 1,
                cases.len(),
                data.rows,
                data.features.len()
            )));
            let mut rows = cases::stored_rows(data)?;
            if data.classes > 2 {
                let (mut engine, _) = engine::open(device, data, 1, gpu)?;
                classes::compare(engine.as_mut(), data, &rows, &mut worst[7..])?;
                info = Some(engine.device().clone());
                compared[7..].iter_mut().for_each(|cases| *cases += 1);
                continue;
            }
            let mut on_cpu = false;
            let mut by_kernel = [0; 2];
            for &models in cases::models_for(data) {
                let (mut engine, _) = engine::open(device, data, models, gpu)?;
                let wide = kernels(engine.as_mut(), data, &rows, models, &mut worst[..4])?;
                by_kernel[usize::from(wide)] = 1;
                on_cpu = engine.device().kind == DeviceKind::Cpu;
                info = Some(engine.device().clone());
            }
            let (mut engine, _) = engine::open(device, data, 1, gpu)?;
            batches(engine.as_mut(), data, &mut rows, &mut worst[4])?;
            drop(engine);
            let [narrow, wide] = by_kernel;
            compared.iter_mut().zip([1, narrow, wide, 1, 1]).for_each(|(cases, now)| *cases += now);
            let small = gram_cost(data.rows, data.features.len() + 1) <= CURVATURE_COST;
            if !small {
                monitor.event(Event::Note(format!(
                    "curvature and the whole fit are not compared on {} rows × {} features: the reference's own would \
                     take too long",
                    data.rows,
                    data.features.len()
                )));
            }
            if small && on_cpu {
                curvature(data, &rows, &mut worst[5])?;
                compared[5] += 1;
            }
            if small && cases::has_optimum(data)? {
                whole_fit(device, data, gpu, &mut worst[6])?;
                compared[6] += 1;
            }
        }
        let Some(info) = info else { continue };
        for ((name, worst), cases) in NAMES.into_iter().zip(worst).zip(compared) {
            if cases == 0 {
                // Curvature is computed by the CPU engine, whatever the device, and no kernel of it is wide; and see the note above.
                continue;
            }
            let ok = worst.within();
            validation.ok &= ok;
            let (worst_error, bound) = (worst.error, worst.bound);
            validation.kernels.push(Check { name, engine: info.id.clone(), cases, worst_error, bound, ok });
        }
        validation.adapter.push(info);
    }
    Ok(validation)
}

/// The names of the checks, in the order of the table.
const NAMES: [&str; 9] =
    ["logits", "loss_gradient", WIDE, "line_probe", "loss_gradients", "hessian", "fit", "softmax", "softmax_product"];
/// The kernel of loss and gradient for many features or models, where an engine has one.
const WIDE: &str = "loss_gradient_wide";

/// The kernels on one data set; whether loss and gradient came from the one for many features or models.
fn kernels(engine: &mut dyn Engine, data: &Dataset, rows: &Rows, models: usize, worst: &mut [Worst]) -> Result<bool> {
    let arithmetic = Arithmetic::of(engine.device(), data);
    let references: Vec<(Reference<'_>, Reference<'_>)> = (0..models)
        .map(|k| {
            let (here, there) = (cases::parameters(data, 2 * k), cases::parameters(data, 2 * k + 1));
            (Reference::new(rows, here, arithmetic), Reference::new(rows, there, arithmetic))
        })
        .collect();
    let features = data.features.len();
    let params = |pick: for<'b> fn(&'b (Reference<'_>, Reference<'_>)) -> &'b [f64]| {
        let mut w = Params::zeros(features, models);
        for (k, pair) in references.iter().enumerate() {
            w.model_mut(k).copy_from_slice(pick(pair));
        }
        w
    };
    let (here, there) = (params(|pair| &pair.0.w), params(|pair| &pair.1.w));

    let logits = engine.logits(&here)?;
    for (k, (reference, _)) in references.iter().enumerate() {
        reference.compare_logits(&logits[k * data.rows..(k + 1) * data.rows], &mut worst[0]);
    }
    let at = engine.loss_gradient(&here)?;
    let wide = engine.cost().kernels.iter().any(|kernel| kernel.name == WIDE);
    let of_gradient = &mut worst[1 + usize::from(wide)];
    for (k, (reference, _)) in references.iter().enumerate() {
        reference.compare_loss(at.loss[k], of_gradient);
        reference.compare_gradient(at.gradient.model(k), of_gradient);
    }
    engine.keep(at.point)?;
    let to = engine.loss_gradient(&there)?;
    let line = engine.start_line(at.point, to.point)?;
    for (step, probes) in STEPS.into_iter().zip(engine.probe(line, &STEPS)?) {
        for ((reference, other), probe) in references.iter().zip(probes) {
            reference.compare_probe(other, step, probe, &mut worst[3]);
        }
    }
    Ok(wide)
}

/// Batches of models, each of rows of its own: the weights of `rows` are what they were in the end.
fn batches(engine: &mut dyn Engine, data: &Dataset, rows: &mut Rows, worst: &mut Worst) -> Result<()> {
    let arithmetic = Arithmetic::of_batch();
    let folds: Vec<u8> = (0..data.rows).map(|row| (row % FOLDS) as u8).collect();
    let mut w = Params::zeros(data.features.len(), DRAWS.len());
    for k in 0..DRAWS.len() {
        w.model_mut(k).copy_from_slice(&cases::parameters(data, k));
    }
    let sums = engine.loss_gradients(&Batch { w: &w, draws: &DRAWS, rows: DrawnRows::all(&folds) })?;
    let weight = rows.weight.clone();
    for (k, (draw, sums)) in DRAWS.into_iter().zip(sums).enumerate() {
        let count = |row: usize| f64::from(draw.count(row, folds[row]));
        rows.weight = weight.iter().enumerate().map(|(row, s)| s * count(row)).collect();
        let reference = Reference::new(rows, w.model(k).to_vec(), arithmetic);
        reference.compare_loss(sums.loss, worst);
        reference.compare_gradient(&sums.gradient, worst);
        rows.weight = weight.iter().enumerate().map(|(row, s)| if count(row) == 0.0 { *s } else { 0.0 }).collect();
        Reference::new(rows, w.model(k).to_vec(), arithmetic).compare_loss(sums.loss_left_out, worst);
    }
    rows.weight = weight;
    Ok(())
}

/// The curvature that Newton's method, rank and polish rest on.
fn curvature(data: &Dataset, rows: &Rows, worst: &mut Worst) -> Result<()> {
    let host = Host::new(data);
    let map = ColumnMap::as_stored(data.features.len());
    let reference = Reference::new(rows, cases::parameters(data, 0), Arithmetic::of_host(data));
    let got = host.hessian(&map, Curvature::At(&reference.w), RowSample::All, Precision::F64)?;
    reference.compare_hessian(&got, worst);
    Ok(())
}

/// How far above the optimum an engine's own fit ends, by the Newton step that the reference takes there.
fn whole_fit(device: &DeviceRequest, data: &Dataset, gpu: &GpuOptions, worst: &mut Worst) -> Result<()> {
    let options = FitOptions { device: device.clone(), l2: cases::FIT_L2, verify: false, ..FitOptions::default() };
    let fit = fit_with(data, &options, gpu, &crate::monitor::Silent)?;
    let rows = cases::original_rows(data)?;
    let problem = Problem {
        x: &rows.x,
        features: data.features.len(),
        target: &rows.target,
        weight: &rows.weight,
        offset: rows.offset.as_deref(),
        l2: cases::FIT_L2,
        intercept: true,
    };
    let mut w = fit.coefficients.clone();
    w.push(fit.intercept);
    let scale = problem.objective(&w).max(data.weight_sum / 1000.0);
    let promised = bounds::newton_decrease(&problem, &w)?;
    worst.see(promised / scale, FIT_BOUND);
    Ok(())
}
