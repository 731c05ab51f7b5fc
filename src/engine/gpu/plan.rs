//! The dispatch plan: every chunk, dispatch, buffer and submission, from the shape of the data and the limits of the
//! device alone.

use std::ops::Range;

use crate::data::LANES;
use crate::error::{Error, Result};

/// Rows that one workgroup handles and sums up in f32.
pub const TILE: usize = 256;
/// Features a workgroup of the `gradient` kernel handles.
pub const GRADIENT_FEATURES: usize = 32;
/// Steps a dispatch of the `line_probe` kernel handles at the most.
pub const PROBE_STEPS: usize = 8;
/// X that a submission of several chunks reads at the most, in bytes, once for each batch of models: 256 MiB take a few
/// milliseconds on a discrete GPU and 50 on a slow integrated one. A chunk that reads more is a submission of its own.
const SUBMISSION_BYTES: u64 = 256 << 20;
/// Bytes a binding has at the most whatever the device offers, so that 32-bit indices of f32 always suffice.
const MAX_BINDING: u64 = 4 << 30;
/// Regions of the results buffer start at multiples of this, WebGPU's alignment of storage bindings.
const ALIGN: u64 = 256;

/// What a plan needs to know about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlanLimits {
    /// Largest storage binding, in bytes.
    pub(super) binding: u64,
    /// Largest buffer, in bytes.
    pub(super) buffer: u64,
    /// Most workgroups along one dimension.
    pub(super) workgroups: u32,
}

/// Bytes of the results buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// First byte.
    pub(super) offset: u64,
    /// Number of bytes.
    pub(super) bytes: u64,
}

/// Rows of one block that one dispatch handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The block.
    pub(super) block: usize,
    /// First row within the block; a multiple of [`TILE`].
    pub(super) first_row: usize,
    /// Rows, without padding.
    pub(super) rows: usize,
    /// Rows, padded to whole groups of [`LANES`].
    pub(super) padded: usize,
    /// Tiles of [`TILE`] rows.
    pub(super) tiles: usize,
    /// Workgroups along x and y that cover the tiles.
    pub grid: [u32; 2],
    /// Where the `residual` kernel leaves its loss sums.
    pub(super) losses: Region,
    /// Where the `gradient` kernel leaves its partial sums.
    pub(super) partials: Region,
    /// Where the `line_probe` kernel leaves its sums.
    pub(super) probes: Region,
}

/// The dispatch plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Features p.
    pub(super) features: usize,
    /// Models m.
    pub(super) models: usize,
    /// Models that share a register: 1 or 4.
    pub(super) batch: usize,
    /// Batches of models.
    pub(super) batches: usize,
    /// Chunks in row order.
    pub chunks: Vec<Chunk>,
    /// Chunks submitted together.
    pub(super) submissions: Vec<Range<usize>>,
    /// Workgroups of the `gradient` kernel along z.
    pub(super) feature_groups: u32,
    /// Bytes of the results buffer.
    pub(super) results_bytes: u64,
}

impl Plan {
    /// Plans blocks of `block_rows` rows, without padding, and `features` features for `models` models.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when not even one tile fits the limits.
    pub(super) fn new(block_rows: &[usize], features: usize, models: usize, limits: PlanLimits) -> Result<Self> {
        let batch = if models == 1 { 1 } else { 4 };
        let batches = models.div_ceil(batch);
        let columns = (batches * batch) as u64;
        let binding = limits.binding.min(limits.buffer).min(MAX_BINDING);
        let per_tile = TileBytes::new(features as u64, columns);
        let parameters = (features as u64 + 1) * columns * 4;
        let feature_groups = (features + 1).div_ceil(GRADIENT_FEATURES) as u64;
        let tiles_along_xy = u64::from(limits.workgroups).pow(2);
        let refused = |limit: String| {
            Err(Error::NoDevice(format!(
                "the device's limit of {limit} is too small for {features} features × {models} models"
            )))
        };
        if per_tile.largest() > binding || parameters > binding {
            return refused(format!("{binding} bytes a binding"));
        }
        if feature_groups > u64::from(limits.workgroups) {
            return refused(format!("{} workgroups a dimension", limits.workgroups));
        }
        let most_tiles = (binding / per_tile.largest()).min(tiles_along_xy);
        let chunk_rows = usize::try_from(most_tiles * TILE as u64).unwrap_or(usize::MAX);

        let mut plan = Plan {
            features,
            models,
            batch,
            batches,
            chunks: Vec::new(),
            submissions: Vec::new(),
            feature_groups: feature_groups as u32,
            results_bytes: 0,
        };
        let (mut read, mut results) = (0, Results::default());
        for (block, &of_block) in block_rows.iter().enumerate() {
            for first_row in (0..of_block).step_by(chunk_rows) {
                let rows = chunk_rows.min(of_block - first_row);
                let tiles = rows.div_ceil(TILE);
                let bytes = per_tile.scaled(tiles as u64);
                let reads = bytes.x.max(bytes.rows) * batches as u64;
                let full = read + reads > SUBMISSION_BYTES || results.with(&bytes).largest() > binding;
                if plan.submissions.is_empty() || full {
                    plan.submissions.push(plan.chunks.len()..plan.chunks.len());
                    (read, results) = (0, Results::default());
                }
                let next = results.with(&bytes);
                let width = (tiles as u64).min(u64::from(limits.workgroups));
                plan.chunks.push(Chunk {
                    block,
                    first_row,
                    rows,
                    padded: rows.div_ceil(LANES) * LANES,
                    tiles,
                    grid: [width as u32, (tiles as u64).div_ceil(width) as u32],
                    losses: Region { offset: results.gradient, bytes: bytes.losses },
                    partials: Region { offset: results.gradient + align(bytes.losses), bytes: bytes.partials },
                    probes: Region { offset: results.probe, bytes: bytes.probes },
                });
                if let Some(submission) = plan.submissions.last_mut() {
                    submission.end = plan.chunks.len();
                }
                read += reads;
                results = next;
                plan.results_bytes = plan.results_bytes.max(results.largest());
            }
        }
        Ok(plan)
    }

    /// Models, padded to whole batches.
    pub(super) fn columns(&self) -> usize {
        self.batch * self.batches
    }

    /// Bytes of a chunk's X.
    pub(super) fn x_bytes(&self, chunk: &Chunk) -> u64 {
        (chunk.padded * self.features * 4) as u64
    }

    /// Bytes of one f32 for each row of a chunk.
    pub(super) fn row_bytes(&self, chunk: &Chunk) -> u64 {
        (chunk.padded * 4) as u64
    }

    /// Bytes of one f32 for each row and model of a chunk: logits or residuals.
    pub(super) fn matrix_bytes(&self, chunk: &Chunk) -> u64 {
        (chunk.padded * self.columns() * 4) as u64
    }

    /// Bytes of the residuals' buffer, which the chunks share.
    pub(super) fn residual_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| self.matrix_bytes(chunk)).max().unwrap_or(0)
    }

    /// Bytes of W on the device.
    pub(super) fn parameter_bytes(&self) -> u64 {
        ((self.features + 1) * self.columns() * 4) as u64
    }
}

/// Bytes that a number of tiles need in each buffer.
#[derive(Debug, Clone, Copy)]
struct TileBytes {
    x: u64,
    rows: u64,
    losses: u64,
    partials: u64,
    probes: u64,
}

impl TileBytes {
    fn new(features: u64, columns: u64) -> Self {
        let rows = TILE as u64;
        TileBytes {
            x: rows * features * 4,
            rows: rows * columns * 4,
            losses: columns * 4,
            partials: columns * (features + 1) * 4,
            probes: PROBE_STEPS as u64 * 2 * columns * 4,
        }
    }

    fn scaled(self, tiles: u64) -> Self {
        TileBytes {
            x: self.x * tiles,
            rows: self.rows * tiles,
            losses: self.losses * tiles,
            partials: self.partials * tiles,
            probes: self.probes * tiles,
        }
    }

    /// The largest buffer, the results of a chunk taken together and aligned.
    fn largest(&self) -> u64 {
        let results = align(self.losses) + align(self.partials);
        self.x.max(self.rows).max(results).max(align(self.probes))
    }
}

/// Bytes of the results buffer used so far in a submission, by each of its two uses.
#[derive(Debug, Clone, Copy, Default)]
struct Results {
    gradient: u64,
    probe: u64,
}

impl Results {
    fn with(self, bytes: &TileBytes) -> Self {
        Results {
            gradient: self.gradient + align(bytes.losses) + align(bytes.partials),
            probe: self.probe + align(bytes.probes),
        }
    }

    fn largest(&self) -> u64 {
        self.gradient.max(self.probe)
    }
}

fn align(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBGPU: PlanLimits = PlanLimits { binding: 128 << 20, buffer: 256 << 20, workgroups: 65_535 };

    /// What every plan promises, whatever the shape.
    fn check(plan: &Plan, block_rows: &[usize], limits: PlanLimits) {
        let mut at = vec![0; block_rows.len()];
        let mut last_block = 0;
        for chunk in &plan.chunks {
            assert!(chunk.block >= last_block);
            last_block = chunk.block;
            assert_eq!(chunk.first_row, at[chunk.block], "chunks follow each other");
            assert_eq!(chunk.first_row % TILE, 0);
            assert!(chunk.rows > 0);
            assert_eq!(chunk.padded, chunk.rows.div_ceil(LANES) * LANES);
            assert_eq!(chunk.tiles, chunk.rows.div_ceil(TILE));
            at[chunk.block] += chunk.rows;
            let [x, y] = chunk.grid;
            assert!(x <= limits.workgroups && y <= limits.workgroups);
            let covered = u64::from(x) * u64::from(y);
            assert!(covered >= chunk.tiles as u64 && covered < (chunk.tiles as u64) + u64::from(x));
            for bytes in [plan.x_bytes(chunk), plan.matrix_bytes(chunk), chunk.partials.bytes, chunk.probes.bytes] {
                assert!(bytes <= limits.binding, "{bytes} bytes in a binding of {}", limits.binding);
            }
            for region in [chunk.losses, chunk.partials, chunk.probes] {
                assert_eq!(region.offset % ALIGN, 0);
                assert!(region.offset + region.bytes <= plan.results_bytes);
            }
        }
        assert_eq!(at, block_rows, "every row once");
        assert!(plan.results_bytes <= limits.buffer.min(limits.binding));
        let mut next = 0;
        for submission in &plan.submissions {
            assert_eq!(submission.start, next);
            assert!(submission.end > submission.start);
            next = submission.end;
            let reads: u64 = plan.chunks[submission.clone()].iter().map(|chunk| plan.x_bytes(chunk)).sum();
            assert!(submission.len() == 1 || reads * plan.batches as u64 <= SUBMISSION_BYTES, "{reads} bytes of X");
            let mut regions: Vec<Region> =
                plan.chunks[submission.clone()].iter().flat_map(|c| [c.losses, c.partials]).collect();
            regions.sort_by_key(|region| region.offset);
            assert!(regions.windows(2).all(|w| w[0].offset + w[0].bytes <= w[1].offset), "regions overlap");
        }
        assert_eq!(next, plan.chunks.len());
    }

    #[test]
    fn plans_hold_their_promises_for_awkward_shapes() {
        let tiny = PlanLimits { binding: 1 << 20, buffer: 1 << 20, workgroups: 40 };
        let mut seen = 0;
        for limits in [WEBGPU, tiny] {
            for rows in [1, 31, 32, 33, 255, 256, 257, 70_000, 3_000_000] {
                for features in [0, 1, 31, 32, 33, 900] {
                    for models in [1, 2, 4, 5, 9] {
                        let blocks = [rows, 1, rows];
                        let blocks = if limits == tiny && features > 30 { &blocks[1..2] } else { &blocks[..] };
                        let plan = Plan::new(blocks, features, models, limits).unwrap();
                        check(&plan, blocks, limits);
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 2 * 9 * 6 * 5);
    }

    #[test]
    fn more_tiles_than_one_dimension_holds_go_into_two() {
        let blocks = [65_536 * TILE];
        let plan = Plan::new(&blocks, 1, 1, WEBGPU).unwrap();
        assert_eq!(plan.chunks.len(), 1);
        assert_eq!(plan.chunks[0].grid, [65_535, 2]);
    }

    #[test]
    fn a_block_larger_than_a_binding_is_cut_at_tiles() {
        let limits = PlanLimits { binding: 3 * 256 * 64 * 4, ..WEBGPU };
        let blocks = [1000];
        let plan = Plan::new(&blocks, 64, 1, limits).unwrap();
        assert_eq!(plan.chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [768, 232]);
    }

    #[test]
    fn submissions_are_bounded() {
        let blocks = vec![1 << 18; 32];
        let plan = Plan::new(&blocks, 64, 1, WEBGPU).unwrap();
        assert_eq!(plan.chunks.len(), 32);
        assert_eq!(plan.submissions.len(), 8);
        // Five batches of models read a chunk five times.
        let plan = Plan::new(&blocks, 64, 17, WEBGPU).unwrap();
        check(&plan, &blocks, WEBGPU);
        assert_eq!(plan.submissions.len(), plan.chunks.len());
    }

    #[test]
    fn what_no_chunk_can_hold_is_refused() {
        let limits = PlanLimits { binding: 1000, ..WEBGPU };
        assert!(matches!(Plan::new(&[1], 1, 1, limits), Err(Error::NoDevice(_))));
    }

    #[test]
    fn the_checks_of_these_tests_can_fail() {
        let blocks = [1000];
        let mut plan = Plan::new(&blocks, 3, 1, WEBGPU).unwrap();
        plan.chunks[0].rows = 999;
        assert!(std::panic::catch_unwind(|| check(&plan, &blocks, WEBGPU)).is_err());
    }
}
