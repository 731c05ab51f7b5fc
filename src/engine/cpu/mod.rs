//! The native engine: rayon threads over groups of rows, sums in f64.
//!
//! Rows are cut into chunks by their number alone and the chunks' sums are added in order, so the result has the same
//! bits whatever the number of threads.

mod hessian;
mod host;
pub mod kernels;

use std::time::Instant;

use rayon::prelude::*;

pub use hessian::{ColumnMap, Curvature, RowSample, gram_cost};
pub use host::Host;
use kernels::{Lanes, PARTIALS, Stored};

use super::{
    Cost, DeviceInfo, DeviceKind, Engine, KernelCost, LineId, LossGradient, LossSlope, Params, PointId, Shape, Stamps,
    check_params,
};
use crate::data::{LANES, RowBlock, Values};
use crate::error::{Error, Result};
use crate::logistic::variance;

/// Groups of rows that one task takes at the least; more when there are so many rows that the tasks' partial sums
/// would fill memory.
const CHUNK_GROUPS: usize = 64;
const MAX_CHUNKS: usize = 1024;

/// The engine on the host's own cores.
pub struct CpuEngine<'a> {
    blocks: &'a [RowBlock],
    shape: Shape,
    device: DeviceInfo,
    stamps: Stamps,
    /// Logits of the kept and of the latest point, and d of the line; for each block m stretches of padded rows.
    kept: Vec<Vec<f64>>,
    latest: Vec<Vec<f64>>,
    direction: Vec<Vec<f64>>,
    cost: Cost,
}

impl<'a> CpuEngine<'a> {
    /// An engine for `models` models over `blocks` of `features` features.
    pub fn new(blocks: &'a [RowBlock], features: usize, models: usize) -> Self {
        let rows = blocks.iter().map(RowBlock::rows).sum();
        let vectors = || blocks.iter().map(|b| vec![0.0; b.groups() * LANES * models]).collect();
        let kernel = |name| KernelCost { name, calls: 0, seconds: 0.0 };
        CpuEngine {
            blocks,
            shape: Shape { rows, features, models },
            device: device_info(),
            stamps: Stamps::default(),
            kept: vectors(),
            latest: vectors(),
            direction: vectors(),
            cost: Cost {
                kernels: vec![kernel("logits"), kernel("loss_gradient"), kernel("line_probe")],
                ..Cost::default()
            },
        }
    }

    /// Σ s·y(1−y) over the rows at `point`, of the first model: the curvature in the intercept. No pass over X.
    ///
    /// # Errors
    /// [`Error::Numerics`] when `point` is neither the kept nor the latest one.
    pub fn curvature_sum(&self, point: PointId) -> Result<f64> {
        let logits = if self.stamps.is_kept(point)? { &self.kept } else { &self.latest };
        Ok(self
            .blocks
            .iter()
            .zip(logits)
            .map(|(block, logits)| block.weight().iter().zip(logits).map(|(s, a)| s * variance(*a)).sum::<f64>())
            .sum())
    }

    fn count_pass(&mut self, kernel: usize, start: Instant) {
        self.cost.passes += 1;
        self.cost.bytes_read += self.blocks.iter().map(RowBlock::x_bytes).sum::<u64>();
        self.count(kernel, start);
    }

    fn count(&mut self, kernel: usize, start: Instant) {
        let cost = &mut self.cost.kernels[kernel];
        cost.calls += self.blocks.len() as u64;
        cost.seconds += start.elapsed().as_secs_f64();
    }
}

/// The CPU as a device.
pub fn device_info() -> DeviceInfo {
    DeviceInfo { id: "cpu".into(), name: processor(), backend: "native".into(), kind: DeviceKind::Cpu }
}

/// The name the processor gives itself, where the system tells (Linux), else its architecture.
fn processor() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn chunk_groups(groups: usize) -> usize {
    CHUNK_GROUPS.max(groups.div_ceil(MAX_CHUNKS))
}

/// The values of group `g`.
fn group<T>(x: &[T], g: usize, features: usize) -> &[T] {
    &x[g * features * LANES..(g + 1) * features * LANES]
}

/// The lanes of group `g` of a vector with one entry a row.
fn lanes(vector: &[f64], g: usize) -> &[f64] {
    &vector[g * LANES..(g + 1) * LANES]
}

/// Loss and gradient of one block, and its logits into `out` (model by model, padded rows each).
fn block_loss_gradient<T: Stored>(block: &RowBlock, x: &[T], w: &Params, out: &mut [f64]) -> Vec<(f64, Vec<f64>)> {
    let (groups, features, models) = (block.groups(), block.features(), w.models());
    let chunk = chunk_groups(groups);
    let padded = groups * LANES;
    // Transposed so that each task owns the logits of its rows: one slice per model.
    let mut rows: Vec<Vec<&mut [f64]>> = (0..groups.div_ceil(chunk)).map(|_| Vec::with_capacity(models)).collect();
    for model in out.chunks_mut(padded) {
        for (task, stretch) in rows.iter_mut().zip(model.chunks_mut(chunk * LANES)) {
            task.push(stretch);
        }
    }
    let partials: Vec<Vec<(f64, Vec<f64>)>> = rows
        .into_par_iter()
        .enumerate()
        .map(|(task, mut out)| {
            let mut sums = vec![(0.0, vec![0.0; (features + 1) * PARTIALS]); models];
            for local in 0..out[0].len() / LANES {
                let g = task * chunk + local;
                let x = group(x, g, features);
                let offset = block.offset().map(|offset| lanes(offset, g));
                for (k, (loss, gradient)) in sums.iter_mut().enumerate() {
                    let a = kernels::logits(x, w.model(k), offset);
                    out[k][local * LANES..(local + 1) * LANES].copy_from_slice(&a);
                    let (r, group_loss) = kernels::residual(&a, lanes(block.target(), g), lanes(block.weight(), g));
                    *loss += group_loss;
                    kernels::gradient(x, &r, gradient);
                }
            }
            sums.into_iter()
                .map(|(loss, gradient)| (loss, gradient.chunks_exact(PARTIALS).map(|p| p.iter().sum()).collect()))
                .collect()
        })
        .collect();
    let mut total = vec![(0.0, vec![0.0; features + 1]); models];
    for partial in partials {
        for (total, (loss, gradient)) in total.iter_mut().zip(partial) {
            total.0 += loss;
            for (total, g) in total.1.iter_mut().zip::<Vec<f64>>(gradient) {
                *total += g;
            }
        }
    }
    total
}

/// a of the rows of one block, without padding.
fn block_logits<T: Stored>(block: &RowBlock, x: &[T], w: &[f64], out: &mut [f64]) {
    let rows_a_task = chunk_groups(block.groups()) * LANES;
    out.par_chunks_mut(rows_a_task).enumerate().for_each(|(task, out)| {
        for (local, out) in out.chunks_mut(LANES).enumerate() {
            let g = task * rows_a_task / LANES + local;
            let offset = block.offset().map(|offset| lanes(offset, g));
            let a: Lanes = kernels::logits(group(x, g, block.features()), w, offset);
            out.copy_from_slice(&a[..out.len()]);
        }
    });
}

impl Engine for CpuEngine<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn loss_gradient(&mut self, w: &Params) -> Result<LossGradient> {
        check_params(w, self.shape)?;
        // From here on the logits of the latest point are overwritten, whatever happens.
        self.stamps.latest = None;
        let start = Instant::now();
        let Shape { features, models, .. } = self.shape;
        let mut loss = vec![0.0; models];
        let mut gradient = Params::zeros(features, models);
        for (block, out) in self.blocks.iter().zip(&mut self.latest) {
            let sums = match block.x() {
                Values::F32(x) => block_loss_gradient(block, x, w, out),
                Values::F64(x) => block_loss_gradient(block, x, w, out),
            };
            for (k, (block_loss, block_gradient)) in sums.into_iter().enumerate() {
                loss[k] += block_loss;
                for (g, part) in gradient.model_mut(k).iter_mut().zip(block_gradient) {
                    *g += part;
                }
            }
        }
        self.count_pass(1, start);
        let finite =
            loss.iter().all(|l| l.is_finite()) && (0..models).all(|k| gradient.model(k).iter().all(|g| g.is_finite()));
        if !finite {
            return Err(Error::Numerics("the loss or its gradient became infinite or not a number".into()));
        }
        Ok(LossGradient { point: self.stamps.evaluated(), loss, gradient })
    }

    fn keep(&mut self, point: PointId) -> Result<()> {
        self.stamps.keep(point)?;
        std::mem::swap(&mut self.kept, &mut self.latest);
        Ok(())
    }

    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        let line = self.stamps.start_line(kept, latest)?;
        for ((d, kept), latest) in self.direction.iter_mut().zip(&self.kept).zip(&self.latest) {
            for ((d, kept), latest) in d.iter_mut().zip(kept).zip(latest) {
                *d = latest - kept;
            }
        }
        Ok(line)
    }

    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        self.stamps.check_line(line)?;
        let start = Instant::now();
        let zero = LossSlope { loss: 0.0, slope: 0.0 };
        let mut sums = vec![vec![zero; self.shape.models]; steps.len()];
        for ((block, kept), direction) in self.blocks.iter().zip(&self.kept).zip(&self.direction) {
            let groups = block.groups();
            let chunk = chunk_groups(groups);
            for k in 0..self.shape.models {
                let model = k * groups * LANES..(k + 1) * groups * LANES;
                let (a, d) = (&kept[model.clone()], &direction[model]);
                let partials: Vec<Vec<LossSlope>> = (0..groups.div_ceil(chunk))
                    .into_par_iter()
                    .map(|task| {
                        let mut sums = vec![zero; steps.len()];
                        for g in task * chunk..groups.min((task + 1) * chunk) {
                            let (t, s) = (lanes(block.target(), g), lanes(block.weight(), g));
                            kernels::line_probe(lanes(a, g), lanes(d, g), t, s, steps, &mut sums);
                        }
                        sums
                    })
                    .collect();
                for partial in partials {
                    for (sum, part) in sums.iter_mut().zip(partial) {
                        sum[k].loss += part.loss;
                        sum[k].slope += part.slope;
                    }
                }
            }
        }
        self.count(2, start);
        for sum in sums.iter_mut().flatten() {
            if !(sum.loss.is_finite() && sum.slope.is_finite()) {
                *sum = LossSlope::OUT_OF_RANGE;
            }
        }
        Ok(sums)
    }

    fn logits(&mut self, w: &Params) -> Result<Vec<f64>> {
        check_params(w, self.shape)?;
        let start = Instant::now();
        let Shape { rows, models, .. } = self.shape;
        let mut out = vec![0.0; rows * models];
        for (k, mut out) in (0..models).zip(out.chunks_mut(rows.max(1))) {
            for block in self.blocks {
                let (head, rest) = out.split_at_mut(block.rows());
                match block.x() {
                    Values::F32(x) => block_logits(block, x, w.model(k), head),
                    Values::F64(x) => block_logits(block, x, w.model(k), head),
                }
                out = rest;
            }
        }
        self.count_pass(0, start);
        Ok(out)
    }

    fn cost(&self) -> Cost {
        self.cost.clone()
    }
}
