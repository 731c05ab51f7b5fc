//! The dispatch plan: every chunk, dispatch, buffer and submission, from the shape of the data and the limits of the
//! device alone.

use std::ops::Range;

use super::tuning;
use crate::error::{Error, Result};

/// Rows that one workgroup handles and sums up in f32.
pub const TILE: usize = 256;
/// Steps a dispatch of the `line_probe` kernel handles at the most.
pub const PROBE_STEPS: usize = 8;
/// X that a submission of several chunks reads at the most, in bytes, once for each batch of models: 256 MiB take a few
/// milliseconds on a discrete GPU and 50 on a slow integrated one. A chunk that reads more is a submission of its own.
pub(super) const SUBMISSION_BYTES: u64 = 256 << 20;
/// Bytes a binding has at the most whatever the device offers, so that 32-bit indices of f32 always suffice.
const MAX_BINDING: u64 = 4 << 30;
/// Regions of the results buffer start at multiples of this, WebGPU's alignment of storage bindings.
const ALIGN: u64 = 256;

/// The rows to be planned for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'a> {
    /// Rows of each block, without padding.
    pub(super) block_rows: &'a [usize],
    /// Features p.
    pub(super) features: usize,
    /// Models m.
    pub(super) models: usize,
    /// Whether rows have offsets.
    pub(super) offsets: bool,
}

/// What a plan needs to know about a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlanLimits {
    /// Largest storage binding, in bytes.
    pub(super) binding: u64,
    /// Largest buffer, in bytes.
    pub(super) buffer: u64,
    /// Most workgroups along one dimension.
    pub(super) workgroups: u32,
    /// Rows of a chunk, in bytes, beyond which it is cut where one tile does not need more.
    pub(super) chunk: u64,
    /// Bytes that a submission of several chunks reads at the most.
    pub(super) submission: u64,
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
    /// Tiles of [`TILE`] rows; on the device the last one is filled with rows of weight 0.
    pub(super) tiles: usize,
    /// Workgroups along x and y: at least one for each tile and batch of models.
    pub grid: [u32; 2],
    /// Where loss and gradient leave their sums.
    pub(super) sums: Region,
    /// Where the `line_probe` kernel leaves its sums.
    pub(super) probes: Region,
}

/// The dispatch plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Features p.
    pub(super) features: usize,
    /// Columns stored of each row: the features, the target, the weight and, where there is one, the offset.
    pub(super) columns: usize,
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
    /// Bytes of the results buffer.
    pub(super) results_bytes: u64,
}

/// Bytes that go between memory and a kernel. What is read again from cache is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Read of X.
    pub x: u64,
    /// Read beside X: targets, weights, offsets and the parameters.
    pub beside_x: u64,
    /// Written: logits and sums.
    pub written: u64,
}

impl Plan {
    /// Plans `problem` for a device of these limits.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when not even one tile fits the limits.
    pub(super) fn new(problem: Problem<'_>, limits: PlanLimits) -> Result<Self> {
        let Problem { block_rows, features, models, offsets } = problem;
        let batch = tuning::batch(models);
        let mut plan = Plan {
            features,
            columns: features + 2 + usize::from(offsets),
            models,
            batch,
            batches: models.div_ceil(batch),
            chunks: Vec::new(),
            submissions: Vec::new(),
            results_bytes: 0,
        };
        let binding = limits.binding.min(limits.buffer).min(MAX_BINDING);
        let per_tile = TileBytes::new(&plan);
        let batches = plan.batches as u64;
        let workgroups = u64::from(limits.workgroups).pow(2);
        if per_tile.largest() > binding || plan.parameter_bytes() > binding || batches > workgroups {
            return Err(Error::NoDevice(format!(
                "the device's limits of {binding} bytes a binding and {} workgroups a dimension are too small for \
                 {features} features × {models} models",
                limits.workgroups
            )));
        }
        let most_tiles =
            (binding / per_tile.largest()).min(workgroups / batches).min(limits.chunk / per_tile.stored).max(1);
        let chunk_rows = usize::try_from(most_tiles * TILE as u64).unwrap_or(usize::MAX);

        let (mut read, mut results) = (0, Results::default());
        for (block, &of_block) in block_rows.iter().enumerate() {
            for first_row in (0..of_block).step_by(chunk_rows) {
                let rows = chunk_rows.min(of_block - first_row);
                let tiles = rows.div_ceil(TILE);
                let bytes = per_tile.scaled(tiles as u64);
                let reads = bytes.stored * batches;
                let full = read + reads > limits.submission || results.with(&bytes).largest() > binding;
                if plan.submissions.is_empty() || full {
                    plan.submissions.push(plan.chunks.len()..plan.chunks.len());
                    (read, results) = (0, Results::default());
                }
                let pieces = tiles as u64 * batches;
                let width = pieces.min(u64::from(limits.workgroups));
                plan.chunks.push(Chunk {
                    block,
                    first_row,
                    rows,
                    tiles,
                    grid: [width as u32, pieces.div_ceil(width) as u32],
                    sums: Region { offset: results.sums, bytes: bytes.sums },
                    probes: Region { offset: results.probes, bytes: bytes.probes },
                });
                if let Some(submission) = plan.submissions.last_mut() {
                    submission.end = plan.chunks.len();
                }
                read += reads;
                results = results.with(&bytes);
                plan.results_bytes = plan.results_bytes.max(results.largest());
            }
        }
        Ok(plan)
    }

    /// Models, padded to whole batches.
    pub(super) fn padded_models(&self) -> usize {
        self.batch * self.batches
    }

    /// Fours of features, the last one perhaps not full.
    pub(super) fn fours(&self) -> usize {
        self.features.div_ceil(4)
    }

    /// Bytes of a chunk's X on the device, the padding of its last tile included.
    pub(super) fn x_bytes(&self, chunk: &Chunk) -> u64 {
        (chunk.tiles * TILE * self.features * 4) as u64
    }

    /// Bytes of a chunk's rows: X and what stands beside it.
    pub(super) fn stored_bytes(&self, chunk: &Chunk) -> u64 {
        TileBytes::new(self).stored * chunk.tiles as u64
    }

    /// Bytes of one f32 for each row and model of a chunk: its logits.
    pub(super) fn logit_bytes(&self, chunk: &Chunk) -> u64 {
        TileBytes::new(self).logits * chunk.tiles as u64
    }

    /// Bytes of W on the device: for each batch of models the slopes in fours, then a four for the intercept.
    pub(super) fn parameter_bytes(&self) -> u64 {
        (self.padded_models() * (self.fours() + 1) * 16) as u64
    }

    /// What a loss and gradient moves.
    pub fn traffic(&self) -> Traffic {
        let sums = self.chunks.iter().map(|chunk| chunk.sums.bytes).sum::<u64>();
        let logits = self.logits_traffic();
        Traffic { written: logits.written + sums, ..logits }
    }

    /// What the `logits` kernel moves.
    pub(super) fn logits_traffic(&self) -> Traffic {
        let sum = |bytes: &dyn Fn(&Chunk) -> u64| self.chunks.iter().map(bytes).sum::<u64>();
        let x = sum(&|chunk| self.x_bytes(chunk));
        let parameters = self.submissions.len() as u64 * self.parameter_bytes();
        Traffic {
            x,
            beside_x: sum(&|chunk| self.stored_bytes(chunk)) - x + parameters,
            written: sum(&|chunk| self.logit_bytes(chunk)),
        }
    }

    /// What a dispatch of the `line_probe` kernel moves: two sets of logits, targets and weights.
    pub(super) fn probe_traffic(&self) -> Traffic {
        let read = |chunk: &Chunk| 2 * self.logit_bytes(chunk) + (chunk.tiles * TILE * 2 * 4) as u64;
        Traffic {
            x: 0,
            beside_x: self.chunks.iter().map(read).sum(),
            written: self.chunks.iter().map(|chunk| chunk.probes.bytes).sum(),
        }
    }
}

impl Traffic {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        self.x + self.beside_x + self.written
    }
}

/// Bytes that a number of tiles need in each buffer.
#[derive(Debug, Clone, Copy)]
struct TileBytes {
    stored: u64,
    logits: u64,
    sums: u64,
    probes: u64,
}

impl TileBytes {
    fn new(plan: &Plan) -> Self {
        let models = plan.padded_models() as u64;
        TileBytes {
            stored: (TILE * plan.columns * 4) as u64,
            logits: TILE as u64 * models * 4,
            sums: models * (plan.features as u64 + 2) * 4,
            probes: PROBE_STEPS as u64 * 2 * models * 4,
        }
    }

    fn scaled(self, tiles: u64) -> Self {
        TileBytes {
            stored: self.stored * tiles,
            logits: self.logits * tiles,
            sums: self.sums * tiles,
            probes: self.probes * tiles,
        }
    }

    /// The largest buffer, the results of a chunk aligned.
    fn largest(&self) -> u64 {
        self.stored.max(self.logits).max(align(self.sums)).max(align(self.probes))
    }
}

/// Bytes of the results buffer used so far in a submission, by each of its two uses.
#[derive(Debug, Clone, Copy, Default)]
struct Results {
    sums: u64,
    probes: u64,
}

impl Results {
    fn with(self, bytes: &TileBytes) -> Self {
        Results { sums: self.sums + align(bytes.sums), probes: self.probes + align(bytes.probes) }
    }

    fn largest(&self) -> u64 {
        self.sums.max(self.probes)
    }
}

fn align(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBGPU: PlanLimits = PlanLimits {
        binding: 128 << 20,
        buffer: 256 << 20,
        workgroups: 65_535,
        chunk: u64::MAX,
        submission: SUBMISSION_BYTES,
    };

    fn planned(block_rows: &[usize], features: usize, models: usize, limits: PlanLimits) -> Plan {
        Plan::new(Problem { block_rows, features, models, offsets: features % 2 == 1 }, limits).unwrap()
    }

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
            assert_eq!(chunk.tiles, chunk.rows.div_ceil(TILE));
            at[chunk.block] += chunk.rows;
            let [x, y] = chunk.grid;
            assert!(x <= limits.workgroups && y <= limits.workgroups);
            let (covered, pieces) = (u64::from(x) * u64::from(y), (chunk.tiles * plan.batches) as u64);
            assert!(covered >= pieces && covered < pieces + u64::from(x));
            for bytes in [plan.stored_bytes(chunk), plan.logit_bytes(chunk), chunk.sums.bytes, chunk.probes.bytes] {
                assert!(bytes <= limits.binding, "{bytes} bytes in a binding of {}", limits.binding);
            }
            for region in [chunk.sums, chunk.probes] {
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
            let reads: u64 = plan.chunks[submission.clone()].iter().map(|chunk| plan.stored_bytes(chunk)).sum();
            assert!(submission.len() == 1 || reads * plan.batches as u64 <= SUBMISSION_BYTES, "{reads} bytes of X");
            let regions: [&dyn Fn(&Chunk) -> Region; 2] = [&|chunk| chunk.sums, &|chunk| chunk.probes];
            for region in regions {
                let used: Vec<Region> = plan.chunks[submission.clone()].iter().map(region).collect();
                assert!(used.windows(2).all(|w| w[0].offset + w[0].bytes <= w[1].offset), "regions overlap");
            }
        }
        assert_eq!(next, plan.chunks.len());
    }

    #[test]
    fn plans_hold_their_promises_for_awkward_shapes() {
        let tiny = PlanLimits { binding: 1 << 20, buffer: 1 << 20, workgroups: 40, chunk: 100_000, ..WEBGPU };
        let mut seen = 0;
        for limits in [WEBGPU, tiny] {
            for rows in [1, 31, 32, 33, 255, 256, 257, 70_000, 3_000_000] {
                for features in [0, 1, 31, 32, 33, 900] {
                    for models in [1, 2, 4, 5, 9] {
                        let blocks = [rows, 1, rows];
                        let blocks = if limits == tiny && features > 30 { &blocks[1..2] } else { &blocks[..] };
                        let plan = planned(blocks, features, models, limits);
                        check(&plan, blocks, limits);
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 2 * 9 * 6 * 5);
    }

    #[test]
    fn a_gradient_reads_x_once_and_moves_little_else() {
        let little = |features, models| {
            let plan = planned(&[399_872, 100_128], features, models, WEBGPU);
            let (moved, rows) = (plan.traffic(), plan.chunks.iter().map(|chunk| chunk.tiles * TILE).sum::<usize>());
            assert_eq!(moved.x, (4 * features * rows) as u64);
            assert!(rows < 500_000 + 2 * TILE);
            let else_allowed = 16.0 * 500_000.0 + 0.01 * (moved.x as f64 + 16.0 * 500_000.0);
            (moved.beside_x + moved.written) as f64 <= else_allowed
        };
        for features in 1..=64 {
            for class in [tuning::DeviceClass::Hardware, tuning::DeviceClass::Software] {
                // The kernel that keeps what it read in registers.
                assert_eq!(tuning::loss_gradient(class, features, 1).kernel.name, "loss_gradient");
            }
            assert!(little(features, 1), "{features} features");
        }
        assert!(!little(32, 5), "the logits of five models are more");
    }

    #[test]
    fn more_tiles_than_one_dimension_holds_go_into_two() {
        let blocks = [65_536 * TILE];
        let plan = planned(&blocks, 0, 1, WEBGPU);
        assert_eq!(plan.chunks.len(), 1);
        assert_eq!(plan.chunks[0].grid, [65_535, 2]);
    }

    #[test]
    fn a_block_larger_than_a_binding_is_cut_at_tiles() {
        let limits = PlanLimits { binding: 3 * 256 * 66 * 4, ..WEBGPU };
        let blocks = [1000];
        let plan = planned(&blocks, 64, 1, limits);
        assert_eq!(plan.chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), [768, 232]);
        // Two tiles at a time, and one where none fits.
        for (bytes, rows) in [(2 * 256 * 66 * 4, [512, 488].as_slice()), (1, &[256, 256, 256, 232])] {
            let plan = planned(&blocks, 64, 1, PlanLimits { chunk: bytes, ..WEBGPU });
            assert_eq!(plan.chunks.iter().map(|c| c.rows).collect::<Vec<_>>(), rows);
        }
    }

    #[test]
    fn submissions_are_bounded() {
        let blocks = vec![1 << 18; 32];
        let plan = planned(&blocks, 64, 1, WEBGPU);
        assert_eq!(plan.chunks.len(), 32);
        // 66 MiB a chunk, target and weight included: three of them are less than 256.
        assert_eq!(plan.submissions.len(), 11);
        // Five batches of models read a chunk five times.
        let plan = planned(&blocks, 64, 17, WEBGPU);
        check(&plan, &blocks, WEBGPU);
        assert_eq!(plan.submissions.len(), plan.chunks.len());
    }

    #[test]
    fn what_no_chunk_can_hold_is_refused() {
        let limits = PlanLimits { binding: 1000, ..WEBGPU };
        let problem = Problem { block_rows: &[1], features: 1, models: 1, offsets: false };
        assert!(matches!(Plan::new(problem, limits), Err(Error::NoDevice(_))));
    }

    #[test]
    fn the_checks_of_these_tests_can_fail() {
        let blocks = [1000];
        let mut plan = planned(&blocks, 3, 1, WEBGPU);
        plan.chunks[0].rows = 999;
        assert!(std::panic::catch_unwind(|| check(&plan, &blocks, WEBGPU)).is_err());
    }
}
