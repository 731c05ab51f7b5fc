//! The native engine: rayon threads over groups of rows, eight rows at a time, sums in f64.
//!
//! Rows are cut into chunks by their number alone and the chunks' sums are added in order, so the result has the same
//! bits whatever the number of threads; and the arithmetic is that of [`crate::octet`], so it has the same bits on every
//! processor.

mod batch;
mod class_hessian;
mod draws;
mod flat;
mod gram;
mod hessian;
mod host;
pub mod kernels;
mod leverage;
mod lines;
mod predictor;
pub mod products;
mod real;
mod rows;
mod scores;
mod softmax;
mod wide;

use std::time::Instant;

pub use draws::WeightSums;
pub use gram::Below;
pub use hessian::{ColumnMap, Curvature, RowSample, gram_cost};
pub use host::{Host, HostEngine};
pub use lines::Lines;
pub use predictor::PredictorMoments;
use rows::{Held, Role, logits, sum};
pub use wide::rounding_in_f32;

use super::{
    Batch, BatchSums, ClassSums, Cost, DeviceInfo, DeviceKind, Engine, F32_RESOLUTION, F64_RESOLUTION, LineId,
    LossGradient, LossSlope, Params, PointId, Shape, check_params,
};
use crate::data::{Block, Precision, Values, each_block};
use crate::error::{Error, Result};

/// The engine on the host's own cores.
pub struct CpuEngine<'a> {
    blocks: &'a [Block],
    lines: Lines<'a>,
    products: Precision,
    shape: Shape,
    /// W of the kept and of the latest point, where those are held instead of logits.
    points: Option<[Option<Params>; 2]>,
    device: DeviceInfo,
    cost: Cost,
}

/// Features up to which, and rows from which on, W is held of a point instead of logits: writing these would take a good part of a
/// read of X, and they are needed where a step is refused only.
const FEW_FEATURES: usize = 128;
const MANY_ROWS: usize = 1 << 17;

impl<'a> CpuEngine<'a> {
    /// An engine for `models` models over `blocks` of `features` features, which takes its `products` with f32 values in f32 or
    /// in f64, and all else in f64 but batches, which are `products` throughout; the logits it holds for lines are stored as X is.
    pub fn new(blocks: &'a [Block], features: usize, models: usize, products: Precision) -> Self {
        let rows = blocks.iter().map(Block::rows).sum();
        CpuEngine {
            blocks,
            lines: Lines::new(blocks, models, products),
            products,
            shape: Shape { rows, features, models },
            points: (features <= FEW_FEATURES && rows >= MANY_ROWS).then_some([None, None]),
            device: device_info(),
            cost: Cost::default(),
        }
    }

    /// The same engine, which holds the logits of points: for [`CpuEngine::curvature_sum`] without a read of X, and lines likewise.
    pub fn holding_logits(self) -> Self {
        CpuEngine { points: None, ..self }
    }

    /// Makes the logits of the kept and the latest point anew, where they are not held: one read of X.
    fn recall(&mut self) -> Result<()> {
        let Some(points) = &self.points else { return Ok(()) };
        let start = Instant::now();
        let (lines, models) = (&mut self.lines, self.shape.models);
        each_block(self.blocks, |b, block| {
            let mut out = vec![0.0; block.rows()];
            for (role, w) in [Role::Kept, Role::Latest].into_iter().zip(points) {
                for (k, w) in w.iter().flat_map(|w| (0..models).map(|k| w.model(k))).enumerate() {
                    logits(block, w, &mut out);
                    lines.set(role, b, k, 0, out.iter().copied())?;
                }
            }
            Ok(())
        })?;
        self.count_pass("logits", models, start);
        Ok(())
    }

    /// Σ s·y(1−y) over the rows at `point`, of the first model: the curvature in the intercept. No pass over X where logits are held.
    ///
    /// # Errors
    /// [`Error::Numerics`] when `point` is neither the kept nor the latest one, and what reading fails with.
    pub fn curvature_sum(&mut self, point: PointId) -> Result<f64> {
        self.recall()?;
        self.lines.curvature_sum(point)
    }

    /// Loss and gradient of a softmax at W, or the product of its Hessian with V.
    fn of_classes(&mut self, kernel: &'static str, w: &Params, v: Option<&Params>) -> Result<ClassSums> {
        let Shape { features, .. } = self.shape;
        for params in [Some(w), v].into_iter().flatten() {
            check_params(params, Shape { models: w.models(), ..self.shape })?;
        }
        let start = Instant::now();
        let sums = softmax::softmax(self.blocks, features, self.products, w, v)?;
        self.count_pass(kernel, 0, start);
        Ok(sums.checked())
    }

    /// Counts one full read of X, and of `logits` sets of logits.
    fn count_pass(&mut self, kernel: &'static str, logits: usize, start: Instant) {
        let x = self.blocks.iter().map(Block::x_bytes).sum::<u64>();
        self.cost.passes += 1;
        self.cost.bytes_read += x;
        self.count(kernel, x, logits, start);
    }

    /// Counts a kernel that moved `bytes`, `logits` sets of logits and what stands beside X.
    fn count(&mut self, kernel: &'static str, bytes: u64, logits: usize, start: Instant) {
        let seconds = start.elapsed().as_secs_f64();
        let beside = |block: &Block| block.vector_bytes() + block.logit_bytes() * logits as u64;
        let cost = self.cost.kernel(kernel);
        cost.calls += self.blocks.len() as u64;
        cost.seconds += seconds;
        cost.bytes += bytes + self.blocks.iter().map(beside).sum::<u64>();
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

impl Engine for CpuEngine<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn resolution(&self) -> f64 {
        let wide = self.blocks.iter().all(Block::is_wide);
        if wide { F64_RESOLUTION } else { F32_RESOLUTION }
    }

    fn batch_resolution(&self) -> f64 {
        match self.products {
            Precision::F32 => F32_RESOLUTION,
            Precision::F64 => self.resolution(),
        }
    }

    fn loss_gradient(&mut self, w: &Params) -> Result<LossGradient> {
        check_params(w, self.shape)?;
        self.lines.begin();
        let start = Instant::now();
        let Shape { features, models, .. } = self.shape;
        let mut loss = vec![0.0; models];
        let mut gradient = Params::zeros(features, models);
        let (lines, holds_logits) = (&mut self.lines, self.points.is_none());
        let written: &[Role] = if holds_logits { &[Role::Latest] } else { &[] };
        let mut is_read = false;
        each_block(self.blocks, |b, block| {
            let flat = if models == 1 { flat::loss_gradient(block, w.model(0)) } else { None };
            let sums = match flat {
                Some(flat) => {
                    if holds_logits {
                        lines.set_latest(b, 0, 0, std::iter::repeat_n(w.model(0)[features], block.rows()))?;
                    }
                    vec![flat]
                }
                None => {
                    is_read = true;
                    lines.at(b, &[], written, |held| match (held, block.x()) {
                        (Held::Fast(logits), Values::F32(x)) => {
                            logits.loss_gradient(block, kernels::columns(x), w, holds_logits)
                        }
                        (Held::F32(logits), Values::F32(x)) => {
                            logits.loss_gradient(block, kernels::columns(x), w, holds_logits)
                        }
                        (Held::F64(logits), Values::F64(x)) => {
                            logits.loss_gradient(block, kernels::columns(x), w, holds_logits)
                        }
                        _ => Err(Error::Numerics("internal: a block changed its precision".into())),
                    })?
                }
            };
            for (k, (block_loss, block_gradient)) in sums.into_iter().enumerate() {
                loss[k] += block_loss;
                for (g, part) in gradient.model_mut(k).iter_mut().zip(block_gradient) {
                    *g += part;
                }
            }
            Ok(())
        })?;
        if is_read {
            self.count_pass("loss_gradient", if holds_logits { models } else { 0 }, start);
        }
        if let Some([_, latest]) = &mut self.points {
            *latest = Some(w.clone());
        }
        let finite =
            loss.iter().all(|l| l.is_finite()) && (0..models).all(|k| gradient.model(k).iter().all(|g| g.is_finite()));
        if !finite {
            return Err(Error::Numerics("the loss or its gradient became infinite or not a number".into()));
        }
        Ok(LossGradient { point: self.lines.evaluated(), loss, gradient })
    }

    fn loss_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        batch.check(self.shape)?;
        let features = self.shape.features;
        batch.in_parts(batch::most_at_once(self.blocks, features), |batch| {
            let start = Instant::now();
            let sums = batch::loss_gradients(self.blocks, features, self.products, batch)?;
            self.count_pass("loss_gradients", 0, start);
            Ok(sums)
        })
    }

    fn softmax(&mut self, w: &Params) -> Result<ClassSums> {
        self.of_classes("softmax", w, None)
    }

    fn softmax_product(&mut self, w: &Params, v: &Params) -> Result<Params> {
        Ok(self.of_classes("softmax_product", w, Some(v))?.gradient)
    }

    fn keep(&mut self, point: PointId) -> Result<()> {
        self.lines.keep(point)?;
        if let Some([kept, latest]) = &mut self.points {
            *kept = latest.take();
        }
        Ok(())
    }

    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        self.recall()?;
        self.lines.start(kept, latest)
    }

    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        let start = Instant::now();
        let sums = self.lines.probe(line, steps)?;
        self.count("line_probe", 0, 2 * self.shape.models, start);
        Ok(sums)
    }

    fn logits(&mut self, w: &Params) -> Result<Vec<f64>> {
        check_params(w, self.shape)?;
        let start = Instant::now();
        let Shape { rows, models, .. } = self.shape;
        let mut out = vec![0.0; rows * models];
        let mut first = 0;
        each_block(self.blocks, |_, block| {
            for k in 0..models {
                logits(block, w.model(k), &mut out[k * rows + first..][..block.rows()]);
            }
            first += block.rows();
            Ok(())
        })?;
        self.count_pass("logits", 0, start);
        Ok(out)
    }

    fn cost(&self) -> Cost {
        self.cost.clone()
    }

    fn bandwidth(&mut self) -> Result<f64> {
        let bytes: u64 = self.blocks.iter().map(Block::x_bytes).sum();
        let start = Instant::now();
        // The sum is of no use but to keep the compiler from leaving the reads out.
        let mut total = 0.0;
        each_block(self.blocks, |_, block| {
            total += match block.x() {
                Values::F32(x) => sum(block, kernels::columns(x)),
                Values::F64(x) => sum(block, kernels::columns(x)),
            };
            Ok(())
        })?;
        std::hint::black_box(total);
        Ok(bytes as f64 / start.elapsed().as_secs_f64())
    }
}
