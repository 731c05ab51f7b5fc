//! What an engine keeps on the device: the rows of every chunk, the parameters, and logits in slots.

use super::device::Gpu;
use super::pipelines::{Pipeline, Pipelines};
use super::plan::{Chunk, Plan, Region};
use super::tuning::DeviceClass;
use super::uniforms::ChunkUniform;
use super::upload::{StoredRows, Uploader};
use crate::data::{Block, each_block};
use crate::engine::Params;
use crate::error::{Error, Result};

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// Texels in a line of a storage texture, as in shaders/common/x_image.wgsl.
pub const IMAGE_LINE: u32 = 4096;
/// Bytes of a texel: one quad.
const TEXEL: u64 = 16;
/// Bytes of a line of a storage texture.
pub(super) const IMAGE_LINE_BYTES: u64 = IMAGE_LINE as u64 * TEXEL;

/// Rows or parameters, where the kernels read them.
#[derive(Debug)]
pub(super) enum Values {
    /// In a storage buffer.
    Buffer(wgpu::Buffer),
    /// In a storage texture, line by line.
    Image(wgpu::Texture, wgpu::TextureView),
}

impl Values {
    /// Room for `bytes`.
    pub(super) fn new(gpu: &Gpu, class: DeviceClass, label: &str, bytes: u64) -> Result<Self> {
        Ok(match class {
            DeviceClass::Hardware => Values::Buffer(gpu.buffer(label, bytes, STORAGE)?),
            DeviceClass::Software => {
                let texels = bytes.div_ceil(TEXEL).max(1);
                let width = texels.min(u64::from(IMAGE_LINE));
                let (width, height) = (width as u32, texels.div_ceil(width) as u32);
                let (texture, view) = gpu.image(label, width, height)?;
                Values::Image(texture, view)
            }
        })
    }

    /// Bytes of the whole.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Values::Buffer(buffer) => buffer.size(),
            Values::Image(texture, _) => self.line_bytes() * u64::from(texture.height()),
        }
    }

    /// Bytes that are written at a time, at the least: a line.
    pub(super) fn line_bytes(&self) -> u64 {
        match self {
            Values::Buffer(_) => TEXEL,
            Values::Image(texture, _) => TEXEL * u64::from(texture.width()),
        }
    }

    /// As a kernel's resource.
    pub(super) fn resource(&self) -> wgpu::BindingResource<'_> {
        match self {
            Values::Buffer(buffer) => buffer.as_entire_binding(),
            Values::Image(_, view) => wgpu::BindingResource::TextureView(view),
        }
    }

    /// Writes `values` to the start, for the next submission; the rest of the whole gets zeros.
    pub(super) fn write(&self, gpu: &Gpu, mut values: Vec<f32>) {
        values.resize(self.bytes() as usize / size_of::<f32>(), 0.0);
        let bytes = bytemuck::cast_slice(&values);
        match self {
            Values::Buffer(buffer) => gpu.queue.write_buffer(buffer, 0, bytes),
            Values::Image(texture, _) => {
                gpu.queue.write_texture(texture.as_image_copy(), bytes, self.layout(), texture.size());
            }
        }
    }

    /// Records that the first `bytes` of `from`, whole lines, go to `offset`.
    pub(super) fn copy_from(&self, encoder: &mut wgpu::CommandEncoder, from: &wgpu::Buffer, offset: u64, bytes: u64) {
        match self {
            Values::Buffer(buffer) => encoder.copy_buffer_to_buffer(from, 0, buffer, offset, bytes),
            Values::Image(texture, _) => {
                let line = self.line_bytes();
                let mut to = texture.as_image_copy();
                to.origin.y = (offset / line) as u32;
                let size = wgpu::Extent3d { height: (bytes / line) as u32, ..texture.size() };
                let from = wgpu::TexelCopyBufferInfo { buffer: from, layout: self.layout() };
                encoder.copy_buffer_to_texture(from, to, size);
            }
        }
    }

    fn layout(&self) -> wgpu::TexelCopyBufferLayout {
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(self.line_bytes() as u32), rows_per_image: None }
    }
}

/// The rows of one chunk on the device.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) uniform: wgpu::Buffer,
    /// The columns of every row, interleaved: X, then what stands beside it.
    pub(super) x: Values,
}

impl Rows {
    fn uniform(gpu: &Gpu) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        gpu.buffer("chunk", size_of::<ChunkUniform>() as u64, usage)
    }

    /// Says, to the next submission, that these are the rows of `chunk`.
    pub(super) fn describe(&self, gpu: &Gpu, plan: &Plan, chunk: &Chunk) {
        gpu.queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&ChunkUniform::new(plan, chunk)));
    }
}

/// A place that one chunk after the other is sent to.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) rows: Rows,
    pub(super) logits: wgpu::Buffer,
}

impl Lane {
    /// Room for the largest chunk of `plan`.
    pub(super) fn new(gpu: &Gpu, class: DeviceClass, plan: &Plan) -> Result<Self> {
        let largest = |bytes: &dyn Fn(&Chunk) -> u64| plan.chunks.iter().map(bytes).max().unwrap_or(0);
        let x = Values::new(gpu, class, "x", largest(&|chunk| plan.stored_bytes(chunk)))?;
        let logits = gpu.buffer("logits", largest(&|chunk| plan.logit_bytes(chunk)), STORAGE)?;
        Ok(Lane { rows: Rows { uniform: Rows::uniform(gpu)?, x }, logits })
    }
}

/// What buffers are made with and bound to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) pipelines: &'a Pipelines,
    pub(super) plan: &'a Plan,
    pub(super) parameters: &'a Values,
    pub(super) results: &'a wgpu::Buffer,
}

/// The logits of one point, chunk by chunk.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) logits: Vec<wgpu::Buffer>,
    /// Bind the kernel of loss and gradient.
    pub(super) bound: Vec<wgpu::BindGroup>,
}

/// Where the logits of a chunk are left that belong to no point, and what binds the `logits` kernel to it for each chunk.
#[derive(Debug)]
pub(super) struct Loose {
    pub(super) logits: wgpu::Buffer,
    pub(super) bound: Vec<wgpu::BindGroup>,
}

/// W as it lies on the device.
pub(super) fn parameters(w: &Params, plan: &Plan) -> Result<Vec<f32>> {
    let (batch, padded) = (plan.batch, 4 * plan.fours());
    let mut values = vec![0f32; plan.parameter_bytes() as usize / size_of::<f32>()];
    for k in 0..plan.models {
        for (j, value) in w.model(k).iter().enumerate() {
            let j = if j < plan.features { j } else { padded };
            values[(k / batch * (padded + 4) + j) * batch + k % batch] = *value as f32;
        }
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Error::Numerics("a coefficient is beyond the range of f32".into()));
    }
    Ok(values)
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
pub(super) fn upload(gpu: &Gpu, class: DeviceClass, plan: &Plan, blocks: &[Block]) -> Result<Vec<Rows>> {
    let mut uploader = Uploader::new(gpu, plan.chunks.iter().map(|chunk| plan.stored_bytes(chunk)).max().unwrap_or(0))?;
    let mut rows = Vec::with_capacity(plan.chunks.len());
    each_block(blocks, |b, block| {
        for chunk in plan.chunks.iter().filter(|chunk| chunk.block == b) {
            let x = Values::new(gpu, class, "x", plan.stored_bytes(chunk))?;
            uploader.upload(&x, StoredRows::new(block, chunk.first_row, plan.columns))?;
            let of_chunk = Rows { uniform: Rows::uniform(gpu)?, x };
            of_chunk.describe(gpu, plan, chunk);
            rows.push(of_chunk);
        }
        Ok(())
    })?;
    uploader.finish()?;
    Ok(rows)
}

impl Parts<'_> {
    /// Binds a kernel that computes logits to leave them in `logits`, and its sums in `sums` where it has any.
    pub(super) fn bind(
        &self,
        pipeline: &Pipeline,
        rows: &Rows,
        logits: &wgpu::Buffer,
        sums: Option<Region>,
    ) -> Result<wgpu::BindGroup> {
        let mut resources = vec![
            rows.uniform.as_entire_binding(),
            rows.x.resource(),
            self.parameters.resource(),
            logits.as_entire_binding(),
        ];
        resources.extend(sums.map(|sums| region(self.results, sums)));
        pipeline.bind(self.gpu, &resources)
    }
}

impl Slot {
    /// A slot for the logits of every chunk.
    pub(super) fn new(parts: Parts<'_>, rows: &[Rows]) -> Result<Self> {
        let mut slot = Slot { logits: Vec::new(), bound: Vec::new() };
        for (chunk, rows) in parts.plan.chunks.iter().zip(rows) {
            let logits = parts.gpu.buffer("logits", parts.plan.logit_bytes(chunk), STORAGE)?;
            slot.bound.push(parts.bind(&parts.pipelines.loss_gradient, rows, &logits, Some(chunk.sums))?);
            slot.logits.push(logits);
        }
        Ok(slot)
    }
}

impl Loose {
    /// Room for the logits of the largest chunk.
    pub(super) fn new(parts: Parts<'_>, rows: &[Rows]) -> Result<Self> {
        let bytes = parts.plan.chunks.iter().map(|chunk| parts.plan.logit_bytes(chunk)).max().unwrap_or(0);
        let logits = parts.gpu.buffer("logits", bytes, STORAGE)?;
        let pipeline = parts.pipelines.logits(parts.gpu)?;
        let bound = rows.iter().map(|rows| parts.bind(pipeline, rows, &logits, None)).collect::<Result<_>>()?;
        Ok(Loose { logits, bound })
    }
}
