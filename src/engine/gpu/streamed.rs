//! The GPU engine for rows that device memory does not hold: chunk by chunk they are sent to one of two places, computed
//! with, and overwritten by those after the next, while the logits they leave go to the host.
//!
//! Sending, computing and reading back overlap, since a queue does what it is given in order and nobody waits for it but to
//! write into the memory it copies from. Lines are probed on the host: their logits are there.

use std::time::Instant;

use super::batched::Batched;
use super::classes::Classes;
use super::device::Gpu;
use super::kernels::LOGITS;
use super::memory::{Lane, Parts, Values, parameters};
use super::open::Device;
use super::pipelines::{Pipeline, Pipelines};
use super::plan::{Chunk, Plan, PlanLimits, Region, TILE};
use super::stream::{Recording, Stream};
use super::tuning::DeviceClass;
use super::upload::{STAGING_BYTES, StoredRows, Uploader};
use super::{GpuOptions, fold, out_of_range};
use crate::data::{Block, Precision, RowBlock, each_block};
use crate::engine::cpu::Lines;
use crate::engine::{
    Batch, BatchSums, ClassSums, Cost, DeviceInfo, Engine, F32_RESOLUTION, LineId, LossGradient, LossSlope, Opening,
    Params, PointId, Shape, check_params,
};
use crate::error::Result;

/// Places that chunks are sent to: while one is computed with, the other is filled.
const LANES: usize = 2;
/// Part of device memory that a chunk takes at the most: there are two of them and their logits, and what is read back.
const PART: u64 = 6;

/// The limits of a plan whose chunks are sent one by one within `budget` bytes of device memory.
pub(super) fn limits(limits: PlanLimits, budget: u64) -> PlanLimits {
    let chunk = budget.saturating_sub(2 * STAGING_BYTES) / PART;
    PlanLimits { chunk: limits.chunk.min(chunk), submission: 0, ..limits }
}

/// Rows that are sent to a GPU in each pass.
pub(super) struct StreamedGpu<'a> {
    blocks: &'a [Block],
    info: DeviceInfo,
    opening: Opening,
    shape: Shape,
    plan: Plan,
    pipelines: Pipelines,
    /// W.
    parameters: Values,
    lanes: Vec<Lane>,
    stream: Stream,
    /// Where logits stand in the results, behind the sums.
    logits_at: u64,
    lines: Lines<'a>,
    /// What batches of models need beside the rows, from the first one on.
    batched: Option<Batched>,
    /// What a softmax needs, likewise.
    classes: Option<Classes>,
    class: DeviceClass,
    cost: Cost,
    gpu: Gpu,
}

/// Which kernel a pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    LossGradient,
    Logits,
}

impl<'a> StreamedGpu<'a> {
    pub(super) fn new(device: &Device, plan: Plan, blocks: &'a [Block], options: &GpuOptions) -> Result<Self> {
        let (start, gpu, class) = (Instant::now(), device.gpu.share(), device.class);
        let (features, models) = (plan.features, plan.models);
        let pipelines = Pipelines::new(&gpu, &options.sources, class, features, models)?;
        let parameters = Values::new(&gpu, class, "parameters", plan.parameter_bytes())?;
        let logits = plan.chunks.iter().map(|chunk| plan.logit_bytes(chunk)).max().unwrap_or(0);
        let logits_at = plan.results_bytes;
        let stream = Stream::new(&gpu, logits_at + logits)?;
        let lanes = (0..LANES).map(|_| Lane::new(&gpu, class, &plan)).collect::<Result<_>>()?;
        let rows = blocks.iter().map(Block::rows).sum();
        Ok(StreamedGpu {
            blocks,
            info: device.info.clone(),
            opening: Opening { setup: device.seconds + start.elapsed().as_secs_f64(), upload: 0.0 },
            shape: Shape { rows, features, models },
            plan,
            pipelines,
            parameters,
            lanes,
            stream,
            logits_at,
            lines: Lines::new(blocks, models, Precision::F64),
            batched: None,
            classes: None,
            class,
            cost: Cost::default(),
            gpu,
        })
    }

    /// Seconds it took to open the device.
    pub(super) fn opening(&self) -> Opening {
        self.opening
    }

    /// What binds the kernel of a pass to each lane.
    fn bound(&self, pass: Pass) -> Result<Vec<wgpu::BindGroup>> {
        let StreamedGpu { gpu, pipelines, plan, parameters, stream, .. } = self;
        let parts = Parts { gpu, pipelines, plan, parameters, results: &stream.results };
        let sums = Region { offset: 0, bytes: plan.chunks.iter().map(|chunk| chunk.sums.bytes).max().unwrap_or(0) };
        let bind = |lane: &Lane| match pass {
            Pass::LossGradient => parts.bind(&pipelines.loss_gradient, &lane.rows, &lane.logits, Some(sums)),
            Pass::Logits => parts.bind(pipelines.logits(gpu)?, &lane.rows, &lane.logits, None),
        };
        self.lanes.iter().map(bind).collect()
    }

    /// Sends all rows, and gives what each chunk leaves to `fold`: its number, all results, and where its logits begin.
    fn pass(
        &mut self,
        pass: Pass,
        w: &Params,
        mut fold: impl FnMut(usize, &[f32], &mut Lines<'a>) -> Result<()>,
    ) -> Result<()> {
        check_params(w, self.shape)?;
        self.parameters.write(&self.gpu, parameters(w, &self.plan)?);
        let bound = self.bound(pass)?;
        let StreamedGpu { plan, gpu, stream, cost, lanes, pipelines, logits_at, lines, blocks, .. } = self;
        let largest = plan.chunks.iter().map(|chunk| plan.stored_bytes(chunk)).max().unwrap_or(0);
        let pipeline = match pass {
            Pass::LossGradient => &pipelines.loss_gradient,
            Pass::Logits => pipelines.logits(gpu)?,
        };
        let mut uploader = Uploader::new(gpu, largest)?;
        let mut in_flight = None;
        let mut fold = |c: usize, results: &[f32]| fold(c, results, lines);
        let outcome = each_chunk(blocks, plan, |c, chunk, block| {
            let lane = &lanes[c % LANES];
            uploader.upload(&lane.rows.x, StoredRows::new(block, chunk.first_row, plan.columns))?;
            lane.rows.describe(gpu, plan, chunk);
            let bound = &bound[c % LANES];
            let mut record = |recording: &mut Recording<'_>, _: usize| {
                let [x, y] = chunk.grid;
                recording.dispatch(pipeline, bound, [x, y, 1]);
                let bytes = plan.logit_bytes(chunk);
                recording.copy_behind(&lane.logits, bytes, *logits_at);
                *logits_at + bytes
            };
            stream.push(gpu, cost, &mut in_flight, c, &mut record, &mut fold)
        });
        let outcome = stream.finish(gpu, cost, in_flight, outcome, &mut fold);
        // What was sent must have arrived, or have failed, before its memory is given back.
        outcome.and(uploader.finish())
    }

    /// Sends all rows once for the models of `batch`.
    fn batch(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        let room = (batch.draws.len(), LANES);
        let mut batched = Batched::with_room(self.batched.take(), &self.gpu, self.class, &self.plan, room)?;
        let mut sums = batched.begin(&self.gpu, &self.plan, batch)?;
        let pipeline = self.pipelines.loss_gradients(&self.gpu)?;
        let plan = batched.plan.clone();
        let bind =
            |(place, lane): (usize, &Lane)| batched.bind(&self.gpu, pipeline, &lane.rows, place, all_sums(&plan));
        let bound = self.lanes.iter().enumerate().map(bind).collect::<Result<Vec<_>>>()?;
        let describe =
            |gpu: &Gpu, batched: &Batched, place: usize, chunk: &Chunk| batched.describe(gpu, place, chunk, batch);
        let sending = Sending { plan: &plan, pipeline, bound: &bound, lanes: &self.lanes, blocks: self.blocks };
        sending.run(&self.gpu, &mut self.cost, &mut batched, |batched| &mut batched.stream, describe, &mut sums)?;
        let traffic = plan.batch_traffic();
        self.cost.count_pass(pipeline.name, traffic.x, traffic.bytes());
        self.batched = Some(batched);
        Ok(sums.batch(&plan).collect())
    }

    /// Sends all rows once for loss and gradient of a softmax at W, or for the product of its Hessian with V.
    fn of_classes(&mut self, w: &Params, v: Option<&Params>) -> Result<ClassSums> {
        let room = (w.models(), LANES);
        let mut classes = Classes::with_room(self.classes.take(), &self.gpu, self.class, &self.plan, room)?;
        let mut sums = classes.begin(&self.gpu, self.shape, w, v)?;
        let pipeline = self.pipelines.softmax(&self.gpu, v.is_some())?;
        let plan = classes.plan(v.is_some()).clone();
        let bind =
            |(place, lane): (usize, &Lane)| classes.bind(&self.gpu, pipeline, &lane.rows, place, all_sums(&plan));
        let bound = self.lanes.iter().enumerate().map(bind).collect::<Result<Vec<_>>>()?;
        let describe =
            |gpu: &Gpu, classes: &Classes, place: usize, chunk: &Chunk| classes.describe(gpu, place, &plan, chunk);
        let sending = Sending { plan: &plan, pipeline, bound: &bound, lanes: &self.lanes, blocks: self.blocks };
        sending.run(&self.gpu, &mut self.cost, &mut classes, |classes| &mut classes.stream, describe, &mut sums)?;
        let traffic = plan.class_traffic();
        self.cost.count_pass(pipeline.name, traffic.x, traffic.bytes());
        self.classes = Some(classes);
        Ok(sums.classes(&plan))
    }
}

/// Where the sums of any chunk of `plan` go.
fn all_sums(plan: &Plan) -> Region {
    Region { offset: 0, bytes: plan.chunks.iter().map(|chunk| chunk.sums.bytes).max().unwrap_or(0) }
}

/// One read of all rows that keeps no logits.
struct Sending<'s, 'a> {
    plan: &'s Plan,
    pipeline: &'s Pipeline,
    /// What binds the pipeline to each lane.
    bound: &'s [wgpu::BindGroup],
    lanes: &'s [Lane],
    blocks: &'a [Block],
}

impl Sending<'_, '_> {
    /// Sends chunk by chunk, says what is at each lane by `describe`, and adds up what the kernel leaves. `beside` is what the
    /// kernel needs beside the rows, with a `stream` of its own.
    fn run<B>(
        &self,
        gpu: &Gpu,
        cost: &mut Cost,
        beside: &mut B,
        stream: impl Fn(&mut B) -> &mut Stream,
        describe: impl Fn(&Gpu, &B, usize, &Chunk),
        sums: &mut fold::GradientSums,
    ) -> Result<()> {
        let plan = self.plan;
        let largest = plan.chunks.iter().map(|chunk| plan.stored_bytes(chunk)).max().unwrap_or(0);
        let mut uploader = Uploader::new(gpu, largest)?;
        let mut in_flight = None;
        let mut fold = |c: usize, results: &[f32]| {
            sums.add(plan, &plan.chunks[c], results);
            Ok(())
        };
        let outcome = each_chunk(self.blocks, plan, |c, chunk, block| {
            let (place, lane) = (c % LANES, &self.lanes[c % LANES]);
            uploader.upload(&lane.rows.x, StoredRows::new(block, chunk.first_row, plan.columns))?;
            describe(gpu, beside, place, chunk);
            let mut record = |recording: &mut Recording<'_>, _: usize| {
                let [x, y] = chunk.grid;
                recording.dispatch(self.pipeline, &self.bound[place], [x, y, 1]);
                chunk.sums.offset + chunk.sums.bytes
            };
            stream(beside).push(gpu, cost, &mut in_flight, c, &mut record, &mut fold)
        });
        let outcome = stream(beside).finish(gpu, cost, in_flight, outcome, &mut fold);
        // What was sent must have arrived, or have failed, before its memory is given back.
        outcome.and(uploader.finish())
    }
}

/// Calls `each` with the chunks of `plan` in order, their numbers, and the blocks they are of.
fn each_chunk(
    blocks: &[Block],
    plan: &Plan,
    mut each: impl FnMut(usize, &Chunk, &RowBlock) -> Result<()>,
) -> Result<()> {
    let mut next = 0;
    each_block(blocks, |b, block| {
        while let Some(chunk) = plan.chunks.get(next).filter(|chunk| chunk.block == b) {
            each(next, chunk, block)?;
            next += 1;
        }
        Ok(())
    })
}

/// The logits of each model in the rows of chunk `c` of `plan`, among `results`.
fn logits_of<'r>(
    plan: &'r Plan,
    c: usize,
    results: &'r [f32],
    at: u64,
) -> impl Iterator<Item = (usize, impl Iterator<Item = f64> + 'r)> + 'r {
    let chunk = &plan.chunks[c];
    let logits = &results[at as usize / size_of::<f32>()..];
    (0..plan.models).map(move |model| {
        let first = model / plan.batch * chunk.tiles * TILE;
        (model, (0..chunk.rows).map(move |row| f64::from(logits[(first + row) * plan.batch + model % plan.batch])))
    })
}

impl Engine for StreamedGpu<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn resolution(&self) -> f64 {
        F32_RESOLUTION
    }

    fn loss_gradient(&mut self, w: &Params) -> Result<LossGradient> {
        self.lines.begin();
        let (plan, at) = (self.plan.clone(), self.logits_at);
        let mut sums = fold::GradientSums::new(&plan);
        self.pass(Pass::LossGradient, w, |c, results, lines| {
            let chunk = &plan.chunks[c];
            sums.add(&plan, chunk, results);
            for (model, logits) in logits_of(&plan, c, results, at) {
                lines.set_latest(chunk.block, model, chunk.first_row, logits)?;
            }
            Ok(())
        })?;
        let traffic = plan.traffic();
        self.cost.count_pass(self.pipelines.loss_gradient.name, traffic.x, traffic.bytes());
        let (loss, gradient) = sums.finish(&plan)?;
        Ok(LossGradient { point: self.lines.evaluated(), loss, gradient })
    }

    fn loss_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        batch.check(self.shape)?;
        // A sixth of the device's share, as for a chunk.
        batch.in_parts(self.plan.most_batched(u64::MAX), |batch| self.batch(batch))
    }

    fn softmax(&mut self, w: &Params) -> Result<ClassSums> {
        self.of_classes(w, None)
    }

    fn softmax_product(&mut self, w: &Params, v: &Params) -> Result<Params> {
        Ok(self.of_classes(w, Some(v))?.gradient)
    }

    fn keep(&mut self, point: PointId) -> Result<()> {
        self.lines.keep(point)
    }

    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        self.lines.start(kept, latest)
    }

    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        let start = Instant::now();
        let probed = self.lines.probe(line, steps)?;
        let cost = self.cost.kernel("line_probe on the host");
        cost.calls += 1;
        cost.seconds += start.elapsed().as_secs_f64();
        cost.bytes += self.plan.probe_traffic().bytes();
        Ok(probed)
    }

    fn logits(&mut self, w: &Params) -> Result<Vec<f64>> {
        let (plan, at) = (self.plan.clone(), self.logits_at);
        let rows = self.shape.rows;
        let mut out = vec![0.0; rows * plan.models];
        let mut starts = Vec::with_capacity(plan.chunks.len());
        let mut start = 0;
        for chunk in &plan.chunks {
            starts.push(start);
            start += chunk.rows;
        }
        self.pass(Pass::Logits, w, |c, results, _| {
            for (model, logits) in logits_of(&plan, c, results, at) {
                for (out, logit) in out[model * rows + starts[c]..].iter_mut().zip(logits) {
                    if !logit.is_finite() {
                        return Err(out_of_range());
                    }
                    *out = logit;
                }
            }
            Ok(())
        })?;
        let traffic = plan.logits_traffic();
        self.cost.count_pass(LOGITS.name, traffic.x, traffic.bytes());
        Ok(out)
    }

    fn cost(&self) -> Cost {
        Cost { device_peak: self.gpu.peak(), ..self.cost.clone() }
    }

    fn bandwidth(&mut self) -> Result<f64> {
        self.gpu.copy_bandwidth()
    }
}
