//! What a softmax needs on the device beside the rows: parameters, room for logits, and a place for its sums.

use super::device::Gpu;
use super::fold::GradientSums;
use super::memory::{Rows, Values, parameters, region};
use super::pipelines::Pipeline;
use super::plan::{Chunk, Plan, Region};
use super::stream::Stream;
use super::tuning::DeviceClass;
use super::uniforms::ChunkUniform;
use crate::engine::{Params, Shape, check_params};
use crate::error::Result;

/// Room for a softmax of some classes.
#[derive(Debug)]
pub(super) struct Classes {
    /// The plan of loss and gradient, and that of products.
    plans: [Plan; 2],
    /// Where sums go.
    pub(super) stream: Stream,
    parameters: Values,
    /// The logits that workgroups have at hand.
    room: wgpu::Buffer,
    /// What is said of the rows of a chunk.
    uniforms: Vec<wgpu::Buffer>,
}

impl Classes {
    /// Room for `classes` classes of the rows of `plan`, and so many places for what is said of a chunk: what there is of it, if that is
    /// of as many.
    pub(super) fn with_room(
        there: Option<Self>,
        gpu: &Gpu,
        class: DeviceClass,
        plan: &Plan,
        (classes, places): (usize, usize),
    ) -> Result<Self> {
        match there {
            Some(there) if there.plans[0].models == classes => return Ok(there),
            _ => {}
        }
        let plans = [1, 2].map(|sets| plan.of_classes(classes, sets));
        let stream = Stream::new(gpu, plans[0].results_bytes)?;
        let parameters = Values::new(gpu, class, "parameters", 2 * plans[0].parameter_bytes())?;
        let room_of = |(plan, sets): (&Plan, usize)| {
            let most = plan.chunks.iter().map(|chunk| chunk.grid[0]).max().unwrap_or(1);
            u64::from(most) * plan.class_bytes(sets)
        };
        let room = plans.iter().zip([1, 2]).map(room_of).max().unwrap_or(0);
        let room = gpu.buffer("classes", room, wgpu::BufferUsages::STORAGE)?;
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::UNIFORM;
        let uniform = |_| gpu.buffer("chunk", size_of::<ChunkUniform>() as u64, usage);
        let uniforms = (0..places).map(uniform).collect::<Result<_>>()?;
        Ok(Classes { plans, stream, parameters, room, uniforms })
    }

    /// The plan of loss and gradient, or that of products.
    pub(super) fn plan(&self, product: bool) -> &Plan {
        &self.plans[usize::from(product)]
    }

    /// Begins with the softmax at W of rows of `shape`, or with its product with V: parameters go to the device.
    pub(super) fn begin(&self, gpu: &Gpu, shape: Shape, w: &Params, v: Option<&Params>) -> Result<GradientSums> {
        let plan = self.plan(v.is_some());
        let mut values = Vec::new();
        for params in [Some(w), v].into_iter().flatten() {
            check_params(params, Shape { models: plan.models, ..shape })?;
            values.extend(parameters(params, plan)?);
        }
        self.parameters.write(gpu, values);
        Ok(GradientSums::new(plan))
    }

    /// Says to the next submission that the rows of `chunk` of `plan` are at `place`.
    pub(super) fn describe(&self, gpu: &Gpu, place: usize, plan: &Plan, chunk: &Chunk) {
        gpu.queue.write_buffer(&self.uniforms[place], 0, bytemuck::bytes_of(&ChunkUniform::new(plan, chunk)));
    }

    /// Binds `pipeline` to `rows` and what is said of them at `place`, to leave its sums in `sums`.
    pub(super) fn bind(
        &self,
        gpu: &Gpu,
        pipeline: &Pipeline,
        rows: &Rows,
        place: usize,
        sums: Region,
    ) -> Result<wgpu::BindGroup> {
        let resources = [
            self.uniforms[place].as_entire_binding(),
            rows.x.resource(),
            self.parameters.resource(),
            self.room.as_entire_binding(),
            region(&self.stream.results, sums),
        ];
        pipeline.bind(gpu, &resources)
    }
}
