//! The uniform structs, laid out as their namesakes in the shaders.

use super::plan::{Chunk, PROBE_STEPS, Plan};

/// `Chunk` of shaders/common/chunk.wgsl.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct ChunkUniform {
    /// Tiles.
    pub(super) tiles: u32,
    /// Features p.
    pub(super) features: u32,
    /// Columns stored of each row.
    pub(super) columns: u32,
    /// Batches of models.
    pub(super) batches: u32,
    /// Workgroups along x.
    pub(super) width: u32,
    /// Number of the first row among those of all chunks and, in a batch, of all ranks; modulo 2³².
    pub(super) first_row: u32,
    /// Models m.
    pub(super) models: u32,
    /// Workgroups that take one tile after the other.
    pub(super) workgroups: u32,
}

impl ChunkUniform {
    /// The uniform of `chunk`.
    pub(super) fn new(plan: &Plan, chunk: &Chunk) -> Self {
        ChunkUniform {
            tiles: chunk.tiles as u32,
            features: plan.features as u32,
            columns: plan.columns as u32,
            batches: plan.batches as u32,
            width: chunk.grid[0],
            first_row: chunk.first_of_all as u32,
            models: plan.models as u32,
            workgroups: chunk.grid[0] * chunk.grid[1],
        }
    }
}

/// `Probe` of shaders/line_probe.wgsl.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct ProbeUniform {
    /// Steps.
    pub(super) steps: [f32; PROBE_STEPS],
    /// How many of them count.
    pub(super) count: u32,
    /// Fills the struct.
    pub(super) fill_0: u32,
    /// Fills the struct.
    pub(super) fill_1: u32,
    /// Fills the struct.
    pub(super) fill_2: u32,
}

impl ProbeUniform {
    /// The uniform of at most [`PROBE_STEPS`] steps.
    pub(super) fn new(steps: &[f64]) -> Self {
        let mut uniform =
            ProbeUniform { steps: [0.0; PROBE_STEPS], count: steps.len() as u32, fill_0: 0, fill_1: 0, fill_2: 0 };
        for (to, from) in uniform.steps.iter_mut().zip(steps) {
            *to = *from as f32;
        }
        uniform
    }
}

/// A member of a uniform struct: name and byte offset.
pub(super) type Member = (&'static str, usize);

/// Members of [`ChunkUniform`].
pub(super) const CHUNK_MEMBERS: [Member; 8] = [
    ("tiles", std::mem::offset_of!(ChunkUniform, tiles)),
    ("features", std::mem::offset_of!(ChunkUniform, features)),
    ("columns", std::mem::offset_of!(ChunkUniform, columns)),
    ("batches", std::mem::offset_of!(ChunkUniform, batches)),
    ("width", std::mem::offset_of!(ChunkUniform, width)),
    ("first_row", std::mem::offset_of!(ChunkUniform, first_row)),
    ("models", std::mem::offset_of!(ChunkUniform, models)),
    ("workgroups", std::mem::offset_of!(ChunkUniform, workgroups)),
];

/// Members of [`ProbeUniform`].
pub(super) const PROBE_MEMBERS: [Member; 5] = [
    ("steps", std::mem::offset_of!(ProbeUniform, steps)),
    ("count", std::mem::offset_of!(ProbeUniform, count)),
    ("fill_0", std::mem::offset_of!(ProbeUniform, fill_0)),
    ("fill_1", std::mem::offset_of!(ProbeUniform, fill_1)),
    ("fill_2", std::mem::offset_of!(ProbeUniform, fill_2)),
];
