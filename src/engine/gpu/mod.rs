//! The GPU engine: WGSL kernels on any adapter that wgpu drives. The only room that names wgpu.
//!
//! The rows live on the device in chunks ([`plan`]); loss and gradient are one kernel a chunk (`loss_gradient`, or
//! `loss_gradient_wide` for several models or many features), built for the device and the problem at hand ([`tuning`]).
//! Its sums over tiles of 256 rows are f32 and are added up in f64 on the host in a fixed order. X is f32, and so is W on
//! the device.

mod adapter;
mod batched;
mod choose;
mod classes;
mod device;
mod fold;
mod kernels;
mod memory;
mod open;
mod pipelines;
pub mod plan;
mod stream;
mod streamed;
pub mod tuning;
mod uniforms;
mod upload;

use std::time::{Duration, Instant};

pub use adapter::{AdapterReport, adapters, choose_real};
pub use choose::GpuRequest;
pub use device::is_waiting;
pub use kernels::{Binding, BindingKind, Kernel, ShaderSources, common, kernels};
pub use memory::IMAGE_LINE;
pub(super) use open::Device;
use open::device_bytes;

use self::batched::Batched;
use self::classes::Classes;
use self::device::Gpu;
use self::kernels::{LINE_PROBE, LOGITS};
use self::memory::{Loose, Parts, Rows, Slot, Values, parameters};
use self::pipelines::Pipelines;
use self::plan::{Chunk, PROBE_STEPS, Plan, TILE};
use self::stream::Stream;
use self::tuning::DeviceClass;
use self::uniforms::ProbeUniform;
use super::{
    Batch, BatchSums, ClassSums, Cost, DeviceInfo, Engine, F32_RESOLUTION, LineId, LossGradient, LossSlope, Opening,
    Params, PointId, Shape, Stamps, check_params,
};
use crate::data::Block;
use crate::error::{Error, Result};

/// Largest error of a probability that the kernels compute from a logit: 2.5 ULP of WGSL's division, half an ulp of
/// 1 + e and a quarter of the relative error of e. Measured on software Vulkan, whose division is exact: 8.4e-8.
pub const SIGMOID_ERROR: f32 = 3e-7;
/// Largest error of a row's loss, as a multiple of 1 + |a|, likewise derived (shaders/common/logistic.wgsl). Measured
/// on software Vulkan: 1.2e-7.
pub const LOSS_ERROR: f32 = 5e-7;

/// Bytes of logits that are read back at a time, at the most.
const READBACK_BYTES: u64 = 8 << 20;

/// Choices that change how an engine computes, never what.
#[derive(Debug, Clone)]
pub struct GpuOptions {
    /// An adapter to choose from alone, in the place of those of this machine's drivers.
    pub adapter: Option<wgpu::Adapter>,
    /// Ask for WebGPU's default limits only, whatever the adapter offers.
    pub default_limits: bool,
    /// How long a submission may take before the device is given up.
    pub timeout: Duration,
    /// Largest storage binding to use, in bytes, where less than the device's is wanted.
    pub max_binding_bytes: Option<u64>,
    /// Most workgroups along a dimension of a dispatch to use, likewise.
    pub max_workgroups: Option<u32>,
    /// What the kernels are built for, where it is not the device's own class.
    pub class: Option<DeviceClass>,
    /// Bytes of device memory that may be used; rows beyond them are sent anew in each pass. By default there is no limit but the
    /// device's own.
    pub device_memory: Option<u64>,
    /// The shaders.
    pub sources: ShaderSources,
}

impl Default for GpuOptions {
    fn default() -> Self {
        GpuOptions {
            adapter: None,
            default_limits: false,
            timeout: Duration::from_secs(60),
            max_binding_bytes: None,
            max_workgroups: None,
            class: None,
            device_memory: None,
            sources: ShaderSources::default(),
        }
    }
}

/// The rows of a data set on a GPU.
#[derive(Debug)]
pub struct GpuEngine {
    info: DeviceInfo,
    opening: Opening,
    shape: Shape,
    class: DeviceClass,
    /// Bytes of device memory that batches may take.
    spare: u64,
    plan: Plan,
    pipelines: Pipelines,
    /// W.
    parameters: Values,
    rows: Vec<Rows>,
    stream: Stream,
    probe_uniform: wgpu::Buffer,
    slots: Vec<Slot>,
    stamps: Stamps,
    kept: Option<usize>,
    latest: Option<usize>,
    /// The slots at the ends of the line, and what binds the `line_probe` kernel to each chunk.
    line: Option<(usize, usize, Vec<wgpu::BindGroup>)>,
    /// What batches of models need beside the rows, from the first one on.
    batched: Option<Batched>,
    /// What a softmax needs, likewise.
    classes: Option<Classes>,
    /// Where logits go that belong to no point, from the first time they are asked for.
    loose: Option<Loose>,
    cost: Cost,
    gpu: Gpu,
}

/// A piece of a chunk's logits on its way to the host.
#[derive(Debug, Clone, Copy)]
struct Piece {
    chunk: usize,
    offset: u64,
    bytes: u64,
}

impl GpuEngine {
    /// Opens the adapter that `request` means and uploads `blocks` (of `features` features each) for `models` models.
    ///
    /// # Errors
    /// [`Error::Usage`] when a name is blank or means several adapters, [`Error::NoDevice`] when no adapter answers or the
    /// problem cannot fit its limits, [`Error::Device`] when the device fails or its memory does not suffice. It never
    /// computes elsewhere instead.
    pub fn open(
        request: &GpuRequest,
        blocks: &[Block],
        features: usize,
        models: usize,
        options: &GpuOptions,
    ) -> Result<GpuEngine> {
        let device = Device::open(request, options)?;
        let plan = device.plan(blocks, features, models, |limits| limits)?;
        GpuEngine::on(&device, plan, blocks, options)
    }

    /// Uploads `blocks` as `plan` says.
    fn on(device: &Device, plan: Plan, blocks: &[Block], options: &GpuOptions) -> Result<GpuEngine> {
        let (start, gpu, class) = (Instant::now(), device.gpu.share(), device.class);
        let (features, models) = (plan.features, plan.models);
        let shape = Shape { rows: blocks.iter().map(Block::rows).sum(), features, models };
        let pipelines = Pipelines::new(&gpu, &options.sources, class, features, models)?;
        let parameters = Values::new(&gpu, class, "parameters", plan.parameter_bytes())?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let probe_uniform = gpu.buffer("probe", size_of::<ProbeUniform>() as u64, usage)?;
        let largest = plan.chunks.iter().map(|chunk| plan.logit_bytes(chunk)).max().unwrap_or(0);
        let stream = Stream::new(&gpu, plan.results_bytes.max(largest.min(READBACK_BYTES)))?;
        let setup = start.elapsed().as_secs_f64();
        let rows = memory::upload(&gpu, class, &plan, blocks)?;
        let upload = start.elapsed().as_secs_f64() - setup;
        let opening = Opening { setup: device.seconds + setup, upload };
        Ok(GpuEngine {
            info: device.info.clone(),
            opening,
            shape,
            class,
            spare: options.device_memory.map_or(u64::MAX, |budget| budget.saturating_sub(device_bytes(&plan))),
            plan,
            pipelines,
            parameters,
            rows,
            stream,
            probe_uniform,
            slots: Vec::new(),
            stamps: Stamps::default(),
            kept: None,
            latest: None,
            line: None,
            batched: None,
            classes: None,
            loose: None,
            cost: Cost::default(),
            gpu,
        })
    }

    /// Seconds it took to open the device and to fill it.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// The dispatch plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs the `logits` kernel chunk by chunk and reads what it leaves in `loose`.
    fn read_logits(&mut self, loose: &Loose) -> Result<Vec<f64>> {
        let pipeline = self.pipelines.logits(&self.gpu)?;
        let piece_bytes = self.stream.results.size() / 4 * 4;
        let (mut pieces, mut starts) = (Vec::new(), Vec::with_capacity(self.plan.chunks.len()));
        let mut start = 0;
        for (chunk, of_chunk) in self.plan.chunks.iter().enumerate() {
            let all = self.plan.logit_bytes(of_chunk);
            for offset in (0..all).step_by(piece_bytes as usize) {
                pieces.push(Piece { chunk, offset, bytes: piece_bytes.min(all - offset) });
            }
            starts.push(start);
            start += of_chunk.rows;
        }
        let mut out = vec![0.0; self.shape.rows * self.shape.models];
        let (plan, shape) = (&self.plan, self.shape);
        self.stream.run(
            &self.gpu,
            &mut self.cost,
            pieces,
            |recording, piece| {
                let [x, y] = plan.chunks[piece.chunk].grid;
                if piece.offset == 0 {
                    recording.dispatch(pipeline, &loose.bound[piece.chunk], [x, y, 1]);
                }
                recording.copy_to_results(&loose.logits, piece.offset, piece.bytes);
                piece.bytes
            },
            |piece, values| {
                let chunk = &plan.chunks[piece.chunk];
                for (i, value) in values.iter().enumerate() {
                    let at = piece.offset as usize / 4 + i;
                    let (entry, within) = (at / plan.batch, at % plan.batch);
                    let (batch, row) = (entry / (chunk.tiles * TILE), entry % (chunk.tiles * TILE));
                    let model = batch * plan.batch + within;
                    if row < chunk.rows && model < shape.models {
                        if !value.is_finite() {
                            return Err(out_of_range());
                        }
                        out[model * shape.rows + starts[piece.chunk] + row] = f64::from(*value);
                    }
                }
                Ok(())
            },
        )?;
        Ok(out)
    }

    /// One read of X for the models of `batch`.
    fn batch(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        let room = (batch.draws.len(), self.rows.len());
        let mut batched = Batched::with_room(self.batched.take(), &self.gpu, self.class, &self.plan, room)?;
        let mut sums = batched.begin(&self.gpu, &self.plan, batch)?;
        let pipeline = self.pipelines.loss_gradients(&self.gpu)?;
        let mut bound = Vec::with_capacity(self.rows.len());
        for (c, (rows, chunk)) in self.rows.iter().zip(&batched.plan.chunks).enumerate() {
            batched.describe(&self.gpu, c, chunk, batch);
            bound.push(batched.bind(&self.gpu, pipeline, rows, c, chunk.sums)?);
        }
        let Batched { plan, stream, .. } = &mut batched;
        let add = |chunk: &Chunk, results: &[f32]| sums.add(plan, chunk, results);
        stream.run_plan(&self.gpu, &mut self.cost, plan, (pipeline, &bound), |chunk| chunk.sums, add)?;
        let traffic = plan.batch_traffic();
        self.cost.count_pass(pipeline.name, traffic.x, traffic.bytes());
        let sums = sums.batch(plan).collect();
        self.batched = Some(batched);
        Ok(sums)
    }

    /// Loss and gradient of a softmax at W, or the product of its Hessian with V.
    fn of_classes(&mut self, w: &Params, v: Option<&Params>) -> Result<ClassSums> {
        let room = (w.models(), self.rows.len());
        let mut classes = Classes::with_room(self.classes.take(), &self.gpu, self.class, &self.plan, room)?;
        let mut sums = classes.begin(&self.gpu, self.shape, w, v)?;
        let pipeline = self.pipelines.softmax(&self.gpu, v.is_some())?;
        let plan = classes.plan(v.is_some()).clone();
        let mut bound = Vec::with_capacity(self.rows.len());
        for (c, (rows, chunk)) in self.rows.iter().zip(&plan.chunks).enumerate() {
            classes.describe(&self.gpu, c, &plan, chunk);
            bound.push(classes.bind(&self.gpu, pipeline, rows, c, chunk.sums)?);
        }
        let add = |chunk: &Chunk, results: &[f32]| sums.add(&plan, chunk, results);
        classes.stream.run_plan(&self.gpu, &mut self.cost, &plan, (pipeline, &bound), |chunk| chunk.sums, add)?;
        let traffic = plan.class_traffic();
        self.cost.count_pass(pipeline.name, traffic.x, traffic.bytes());
        self.classes = Some(classes);
        Ok(sums.classes(&plan))
    }

    /// Puts W on the device.
    fn write_parameters(&self, w: &Params) -> Result<()> {
        check_params(w, self.shape)?;
        self.parameters.write(&self.gpu, parameters(w, &self.plan)?);
        Ok(())
    }

    /// A slot that holds neither the kept point nor an end of the line.
    fn free_slot(&mut self) -> Result<usize> {
        let end = self.line.as_ref().map(|line| line.1);
        let free = (0..=self.slots.len()).find(|&i| Some(i) != self.kept && Some(i) != end);
        let free = free.unwrap_or(self.slots.len());
        if free == self.slots.len() {
            let slot = Slot::new(self.parts(), &self.rows)?;
            self.slots.push(slot);
        }
        Ok(free)
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            gpu: &self.gpu,
            pipelines: &self.pipelines,
            plan: &self.plan,
            parameters: &self.parameters,
            results: &self.stream.results,
        }
    }
}

impl Engine for GpuEngine {
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
        self.write_parameters(w)?;
        // From here on the logits of the latest point may be overwritten, whatever happens.
        self.stamps.latest = None;
        self.latest = None;
        let slot = self.free_slot()?;
        let mut sums = fold::GradientSums::new(&self.plan);
        let (plan, bound) = (&self.plan, (&self.pipelines.loss_gradient, self.slots[slot].bound.as_slice()));
        let add = |chunk: &Chunk, results: &[f32]| sums.add(plan, chunk, results);
        self.stream.run_plan(&self.gpu, &mut self.cost, plan, bound, |chunk| chunk.sums, add)?;
        let traffic = self.plan.traffic();
        self.cost.count_pass(self.pipelines.loss_gradient.name, traffic.x, traffic.bytes());
        let (loss, gradient) = sums.finish(&self.plan)?;
        self.latest = Some(slot);
        Ok(LossGradient { point: self.stamps.evaluated(), loss, gradient })
    }

    fn loss_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>> {
        batch.check(self.shape)?;
        batch.in_parts(self.plan.most_batched(self.spare), |batch| self.batch(batch))
    }

    fn softmax(&mut self, w: &Params) -> Result<ClassSums> {
        self.of_classes(w, None)
    }

    fn softmax_product(&mut self, w: &Params, v: &Params) -> Result<Params> {
        Ok(self.of_classes(w, Some(v))?.gradient)
    }

    fn keep(&mut self, point: PointId) -> Result<()> {
        self.stamps.keep(point)?;
        self.kept = self.latest.take();
        self.line = None;
        Ok(())
    }

    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        let id = self.stamps.start_line(kept, latest)?;
        let (Some(start), Some(end)) = (self.kept, self.latest) else {
            return Err(Error::Numerics("internal: a line was asked for between points no longer held".into()));
        };
        let pipeline = self.pipelines.line_probe(&self.gpu)?;
        let bind = |c: usize| {
            let resources = [
                self.rows[c].uniform.as_entire_binding(),
                self.rows[c].x.resource(),
                self.probe_uniform.as_entire_binding(),
                self.slots[start].logits[c].as_entire_binding(),
                self.slots[end].logits[c].as_entire_binding(),
                memory::region(&self.stream.results, self.plan.chunks[c].probes),
            ];
            pipeline.bind(&self.gpu, &resources)
        };
        let bound = (0..self.plan.chunks.len()).map(bind).collect::<Result<_>>()?;
        self.line = Some((start, end, bound));
        Ok(id)
    }

    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        self.stamps.check_line(line)?;
        let Some((_, _, bound)) = &self.line else {
            return Err(Error::Numerics("internal: the line to probe is no longer held".into()));
        };
        let mut probed = Vec::with_capacity(steps.len());
        for steps in steps.chunks(PROBE_STEPS) {
            let uniform = ProbeUniform::new(steps);
            self.gpu.queue.write_buffer(&self.probe_uniform, 0, bytemuck::bytes_of(&uniform));
            let mut sums = fold::ProbeSums::new(&self.plan, steps);
            let (plan, pipeline) = (&self.plan, self.pipelines.line_probe(&self.gpu)?);
            let add = |chunk: &Chunk, results: &[f32]| sums.add(plan, chunk, results);
            self.stream.run_plan(&self.gpu, &mut self.cost, plan, (pipeline, bound), |chunk| chunk.probes, add)?;
            probed.extend(sums.finish(&self.plan));
            self.cost.kernel(LINE_PROBE.name).bytes += self.plan.probe_traffic().bytes();
        }
        Ok(probed)
    }

    fn logits(&mut self, w: &Params) -> Result<Vec<f64>> {
        self.write_parameters(w)?;
        let loose = match self.loose.take() {
            Some(loose) => loose,
            None => Loose::new(self.parts(), &self.rows)?,
        };
        let out = self.read_logits(&loose);
        self.loose = Some(loose);
        let traffic = self.plan.logits_traffic();
        self.cost.count_pass(LOGITS.name, traffic.x, traffic.bytes());
        out
    }

    fn cost(&self) -> Cost {
        Cost { device_peak: self.gpu.peak(), ..self.cost.clone() }
    }

    fn bandwidth(&mut self) -> Result<f64> {
        self.gpu.copy_bandwidth()
    }
}

fn out_of_range() -> Error {
    Error::Numerics("a linear predictor left the range of f32; the coefficients are too large for this data".into())
}
