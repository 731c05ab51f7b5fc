//! What an engine keeps on the device: the rows of every chunk, and logits in slots.

use super::device::Gpu;
use super::pipelines::Pipelines;
use super::plan::{Chunk, Plan, Region};
use super::uniforms::ChunkUniform;
use super::upload::{Source, Uploader};
use crate::data::{RowBlock, RowVector, Values};
use crate::error::Result;

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// The rows of one chunk on the device.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) uniform: wgpu::Buffer,
    pub(super) target: wgpu::Buffer,
    pub(super) weight: wgpu::Buffer,
    /// The offsets where there are any, else a stand-in that is never read.
    pub(super) offset: wgpu::Buffer,
    pub(super) x: wgpu::Buffer,
    /// Binds the `gradient` kernel.
    pub(super) gradient: wgpu::BindGroup,
}

/// Buffers that all chunks share.
#[derive(Debug)]
pub(super) struct Shared {
    /// W.
    pub(super) parameters: wgpu::Buffer,
    /// Residuals of the chunk at hand; also where logits that belong to no point are left.
    pub(super) residuals: wgpu::Buffer,
}

/// What buffers are made with and bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) pipelines: &'a Pipelines,
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Shared,
    pub(super) results: &'a wgpu::Buffer,
}

/// The logits of one point, chunk by chunk.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) logits: Vec<wgpu::Buffer>,
    /// Bind the `logits` kernel.
    pub(super) logits_bound: Vec<wgpu::BindGroup>,
    /// Bind the `residual` kernel.
    pub(super) residual_bound: Vec<wgpu::BindGroup>,
}

impl Shared {
    pub(super) fn new(gpu: &Gpu, plan: &Plan) -> Result<Self> {
        Ok(Shared {
            parameters: gpu.buffer("parameters", plan.parameter_bytes(), STORAGE)?,
            residuals: gpu.buffer("residuals", plan.residual_bytes(), STORAGE)?,
        })
    }
}

/// Part of a buffer, as a kernel's resource.
pub(super) fn region(buffer: &wgpu::Buffer, region: Region) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer,
        offset: region.offset,
        size: wgpu::BufferSize::new(region.bytes),
    })
}

/// Uploads `blocks`.
pub(super) fn upload(parts: Parts<'_>, blocks: &[RowBlock]) -> Result<Vec<Rows>> {
    let plan = parts.plan;
    let largest =
        plan.chunks.iter().map(|chunk| plan.x_bytes(chunk).max(plan.row_bytes(chunk))).max().unwrap_or_default();
    let mut uploader = Uploader::new(parts.gpu, largest)?;
    let mut rows = Vec::with_capacity(plan.chunks.len());
    for chunk in &plan.chunks {
        rows.push(upload_chunk(parts, chunk, &blocks[chunk.block], &mut uploader)?);
    }
    uploader.finish()?;
    Ok(rows)
}

fn upload_chunk(parts: Parts<'_>, chunk: &Chunk, block: &RowBlock, uploader: &mut Uploader<'_>) -> Result<Rows> {
    let Parts { gpu, pipelines, plan, shared, results } = parts;
    let row_bytes = plan.row_bytes(chunk);
    let x_range = chunk.first_row * plan.features..(chunk.first_row + chunk.padded) * plan.features;

    let x = gpu.buffer("x", plan.x_bytes(chunk), STORAGE)?;
    uploader.upload(
        &x,
        match block.x() {
            Values::F32(values) => Source::F32(&values[x_range]),
            Values::F64(values) => Source::F64(&values[x_range]),
        },
    )?;
    let target = gpu.buffer("target", row_bytes, STORAGE)?;
    let narrow = |vector: &RowVector| {
        let mut values = vec![0f32; chunk.padded];
        vector.write_f32(chunk.first_row, &mut values);
        values
    };
    uploader.upload(&target, Source::F32(&narrow(block.target())))?;
    let weight = gpu.buffer("weight", row_bytes, STORAGE)?;
    uploader.upload(&weight, Source::F32(&narrow(block.weight())))?;
    let offset = gpu.buffer("offset", block.offset().map_or(0, |_| row_bytes), STORAGE)?;
    if let Some(values) = block.offset() {
        uploader.upload(&offset, Source::F32(&narrow(values)))?;
    }
    let values = ChunkUniform::new(plan, chunk, block.offset().is_some());
    let uniform = gpu.buffer(
        "chunk",
        size_of::<ChunkUniform>() as u64,
        wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
    )?;
    gpu.queue.write_buffer(&uniform, 0, bytemuck::bytes_of(&values));
    let gradient = pipelines.gradient.bind(
        gpu,
        &[
            uniform.as_entire_binding(),
            x.as_entire_binding(),
            shared.residuals.as_entire_binding(),
            region(results, chunk.partials),
        ],
    )?;
    Ok(Rows { uniform, target, weight, offset, x, gradient })
}

/// Binds the `logits` kernel of a chunk to leave its result in `out`.
pub(super) fn bind_logits(parts: Parts<'_>, rows: &Rows, out: &wgpu::Buffer) -> Result<wgpu::BindGroup> {
    let resources = [
        rows.uniform.as_entire_binding(),
        rows.x.as_entire_binding(),
        parts.shared.parameters.as_entire_binding(),
        rows.offset.as_entire_binding(),
        out.as_entire_binding(),
    ];
    parts.pipelines.logits.bind(parts.gpu, &resources)
}

impl Slot {
    /// A slot for the logits of every chunk.
    pub(super) fn new(parts: Parts<'_>, rows: &[Rows]) -> Result<Self> {
        let Parts { gpu, pipelines, plan, shared, results } = parts;
        let mut slot = Slot { logits: Vec::new(), logits_bound: Vec::new(), residual_bound: Vec::new() };
        for (chunk, rows) in plan.chunks.iter().zip(rows) {
            let logits = gpu.buffer("logits", plan.matrix_bytes(chunk), STORAGE)?;
            slot.logits_bound.push(bind_logits(parts, rows, &logits)?);
            let resources = [
                rows.uniform.as_entire_binding(),
                logits.as_entire_binding(),
                rows.target.as_entire_binding(),
                rows.weight.as_entire_binding(),
                shared.residuals.as_entire_binding(),
                region(results, chunk.losses),
            ];
            slot.residual_bound.push(pipelines.residual.bind(gpu, &resources)?);
            slot.logits.push(logits);
        }
        Ok(slot)
    }
}
