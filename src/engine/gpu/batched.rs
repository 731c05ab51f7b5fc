//! What a batch of models needs on the device beside the rows: parameters, draws, and a place for more sums.

use super::device::Gpu;
use super::fold::GradientSums;
use super::memory::{Rows, Values, parameters, region};
use super::pipelines::Pipeline;
use super::plan::{Chunk, Plan, Region, TILE};
use super::stream::Stream;
use super::tuning::{BATCH, DeviceClass};
use super::uniforms::ChunkUniform;
use crate::engine::batch::{Batch, Draw, poisson_key};
use crate::error::Result;

/// Kinds of draws, as in shaders/common/draws.wgsl.
const ALL: u32 = 0;
const WITHOUT: u32 = 1;
const POISSON: u32 = 2;
/// Rows whose folds are one number on the device.
const ROWS_A_WORD: usize = 4;

/// Room for a batch of models.
#[derive(Debug)]
pub(super) struct Batched {
    /// The plan of the batch at hand.
    pub(super) plan: Plan,
    /// Where its results go.
    pub(super) stream: Stream,
    /// Models that there is room for.
    models: usize,
    parameters: Values,
    places: Vec<Beside>,
}

/// What goes with the rows of a chunk.
#[derive(Debug)]
struct Beside {
    uniform: wgpu::Buffer,
    draws: wgpu::Buffer,
}

impl Batched {
    /// Room for `models` models of the rows of `plan`, and so many places for what goes with a chunk: what there is of it, if that
    /// does.
    pub(super) fn with_room(
        there: Option<Self>,
        gpu: &Gpu,
        class: DeviceClass,
        plan: &Plan,
        (models, places): (usize, usize),
    ) -> Result<Self> {
        match there {
            Some(there) if models <= there.models => Ok(there),
            _ => Batched::new(gpu, class, plan, models, places),
        }
    }

    fn new(gpu: &Gpu, class: DeviceClass, plan: &Plan, models: usize, places: usize) -> Result<Self> {
        // Of fewer models more chunks go into a submission.
        let fewer = (1..=models.div_ceil(BATCH)).map(|batches| plan.batched(batches * BATCH).results_bytes);
        let stream = Stream::new(gpu, fewer.max().unwrap_or(0))?;
        let plan = plan.batched(models);
        let parameters = Values::new(gpu, class, "parameters", plan.parameter_bytes())?;
        let tiles = plan.chunks.iter().map(|chunk| chunk.tiles).max().unwrap_or(0);
        let words = 2 * plan.padded_models() + tiles * TILE / ROWS_A_WORD;
        let place = |_| {
            let usage = wgpu::BufferUsages::COPY_DST;
            let uniform = gpu.buffer("chunk", size_of::<ChunkUniform>() as u64, usage | wgpu::BufferUsages::UNIFORM)?;
            let draws = gpu.buffer("draws", (words * size_of::<u32>()) as u64, usage | wgpu::BufferUsages::STORAGE)?;
            Ok(Beside { uniform, draws })
        };
        let places = (0..places).map(place).collect::<Result<_>>()?;
        Ok(Batched { plan, stream, models: models.next_multiple_of(BATCH), parameters, places })
    }

    /// Begins with `batch`, of the rows of `plan`: its parameters go to the device.
    pub(super) fn begin(&mut self, gpu: &Gpu, plan: &Plan, batch: &Batch<'_>) -> Result<GradientSums> {
        self.plan = plan.batched(batch.draws.len());
        self.parameters.write(gpu, parameters(batch.w, &self.plan)?);
        Ok(GradientSums::new(&self.plan))
    }

    /// Says to the next submission that the rows of `chunk` are at `place`.
    pub(super) fn describe(&self, gpu: &Gpu, place: usize, chunk: &Chunk, batch: &Batch<'_>) {
        let beside = &self.places[place];
        let first_row = (batch.rows.first + chunk.first_of_all) as u32;
        let uniform = ChunkUniform { first_row, ..ChunkUniform::new(&self.plan, chunk) };
        gpu.queue.write_buffer(&beside.uniform, 0, bytemuck::bytes_of(&uniform));
        let mut words = vec![ALL; 2 * self.plan.padded_models()];
        for (k, draw) in batch.draws.iter().enumerate() {
            let (kind, value) = match *draw {
                Draw::All => (ALL, 0),
                Draw::Without(fold) => (WITHOUT, u32::from(fold)),
                Draw::Poisson { seed, replicate } => (POISSON, poisson_key(seed, replicate)),
            };
            let at = k / BATCH * 2 * BATCH + k % BATCH;
            (words[at], words[at + BATCH]) = (kind, value);
        }
        if !batch.rows.folds.is_empty() {
            let folds = &batch.rows.folds[chunk.first_of_all..chunk.first_of_all + chunk.rows];
            words.extend(
                folds
                    .chunks(ROWS_A_WORD)
                    .map(|rows| rows.iter().rev().fold(0, |word, fold| word << 8 | u32::from(*fold))),
            );
        }
        gpu.queue.write_buffer(&beside.draws, 0, bytemuck::cast_slice(&words));
    }

    /// Binds `pipeline` to `rows` and what is at `place`, to leave its sums in `sums`.
    pub(super) fn bind(
        &self,
        gpu: &Gpu,
        pipeline: &Pipeline,
        rows: &Rows,
        place: usize,
        sums: Region,
    ) -> Result<wgpu::BindGroup> {
        let beside = &self.places[place];
        let resources = [
            beside.uniform.as_entire_binding(),
            rows.x.resource(),
            self.parameters.resource(),
            beside.draws.as_entire_binding(),
            region(&self.stream.results, sums),
        ];
        pipeline.bind(gpu, &resources)
    }
}
