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
/// Bytes of results of a batch of models at the most.
const BATCH_RESULTS: u64 = 128 << 20;
/// Bytes of the logits that the workgroups of a softmax have at hand, at the most.
const CLASS_BYTES: u64 = 32 << 20;
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
    /// The same among the rows of all blocks.
    pub(super) first_of_all: usize,
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
    /// Sums that loss and gradient leave of each tile for each model: those of the gradient, that of the residuals, then losses.
    pub(super) sums: usize,
    limits: PlanLimits,
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
            sums: features + 2,
            limits,
            chunks: Vec::new(),
            submissions: Vec::new(),
            results_bytes: 0,
        };
        let binding = plan.binding();
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

        let mut cuts = Vec::new();
        for (block, &of_block) in block_rows.iter().enumerate() {
            let cut = |first_row: usize| (block, first_row, chunk_rows.min(of_block - first_row));
            cuts.extend((0..of_block).step_by(chunk_rows).map(cut));
        }
        plan.lay_out(&cuts);
        Ok(plan)
    }

    /// The chunks of these blocks, first rows and rows: grids, places of results, submissions.
    fn lay_out(&mut self, cuts: &[(usize, usize, usize)]) {
        let (binding, workgroups) = (self.binding(), u64::from(self.limits.workgroups));
        let (per_tile, batches) = (TileBytes::new(self), self.batches as u64);
        (self.chunks, self.submissions, self.results_bytes) = (Vec::new(), Vec::new(), 0);
        let (mut read, mut results, mut first_of_all) = (0, Results::default(), 0);
        for &(block, first_row, rows) in cuts {
            let tiles = rows.div_ceil(TILE);
            let bytes = per_tile.scaled(tiles as u64);
            let reads = bytes.stored * batches;
            let full = read + reads > self.limits.submission || results.with(&bytes).largest() > binding;
            if self.submissions.is_empty() || full {
                self.submissions.push(self.chunks.len()..self.chunks.len());
                (read, results) = (0, Results::default());
            }
            let pieces = tiles as u64 * batches;
            let width = pieces.min(workgroups);
            self.chunks.push(Chunk {
                block,
                first_row,
                first_of_all,
                rows,
                tiles,
                grid: [width as u32, pieces.div_ceil(width) as u32],
                sums: Region { offset: results.sums, bytes: bytes.sums },
                probes: Region { offset: results.probes, bytes: bytes.probes },
            });
            if let Some(submission) = self.submissions.last_mut() {
                submission.end = self.chunks.len();
            }
            first_of_all += rows;
            read += reads;
            results = results.with(&bytes);
            self.results_bytes = self.results_bytes.max(results.largest());
        }
    }

    /// Bytes of a binding at the most.
    fn binding(&self) -> u64 {
        self.limits.binding.min(self.limits.buffer).min(MAX_BINDING)
    }

    /// The same chunks for a batch of `models` models of rows of their own, at most [`Plan::most_batched`].
    pub(super) fn batched(&self, models: usize) -> Self {
        let batch = tuning::BATCH;
        let (batches, sums) = (models.div_ceil(batch), self.features + 3);
        let mut plan = Plan { models, batch, batches, sums, ..self.clone() };
        let cuts: Vec<_> = self.chunks.iter().map(|chunk| (chunk.block, chunk.first_row, chunk.rows)).collect();
        plan.lay_out(&cuts);
        plan
    }

    /// The same chunks for a softmax of `classes` classes: workgroups take one tile after the other, as many as there is room for the
    /// logits of `sets` sets of parameters.
    pub(super) fn of_classes(&self, classes: usize, sets: usize) -> Self {
        let batch = tuning::BATCH;
        let (batches, sums) = (classes.div_ceil(batch), self.features + 2);
        let mut plan = Plan { models: classes, batch, batches, sums, ..self.clone() };
        let cuts: Vec<_> = self.chunks.iter().map(|chunk| (chunk.block, chunk.first_row, chunk.rows)).collect();
        plan.lay_out(&cuts);
        let most =
            (CLASS_BYTES.min(self.binding()) / plan.class_bytes(sets)).clamp(1, u64::from(self.limits.workgroups));
        plan.chunks.iter_mut().for_each(|chunk| chunk.grid = [(chunk.tiles as u64).min(most) as u32, 1]);
        plan
    }

    /// Bytes of the logits of a tile for `sets` sets of parameters.
    pub(super) fn class_bytes(&self, sets: usize) -> u64 {
        (sets * self.padded_models() * TILE * 4) as u64
    }

    /// Models that a batch may have, four at the least: what the largest chunk leaves of them fits into a binding and, with the two
    /// places it is read back to, into `spare` bytes, and its work into a grid.
    pub(super) fn most_batched(&self, spare: u64) -> usize {
        let tiles = self.chunks.iter().map(|chunk| chunk.tiles as u64).max().unwrap_or(1);
        let of_four = align(TileBytes::new(&self.batched(tuning::BATCH)).sums * tiles);
        let parameters = (4 * (self.fours() + 1) * 16) as u64;
        let batches = (self.binding().min(BATCH_RESULTS).min(self.limits.chunk).min(spare / 3) / of_four)
            .min(self.binding() / parameters)
            .min(u64::from(self.limits.workgroups).pow(2) / tiles);
        tuning::BATCH * (batches.max(1) as usize)
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

    /// What a loss and gradient of a batch moves: no logits are written, and the draws are read for each batch of models from
    /// cache.
    pub(super) fn batch_traffic(&self) -> Traffic {
        let tiles: usize = self.chunks.iter().map(|chunk| chunk.tiles).sum();
        let draws = (tiles * TILE + self.chunks.len() * self.padded_models() * 8) as u64;
        let logits = self.logits_traffic();
        let written = self.chunks.iter().map(|chunk| chunk.sums.bytes).sum();
        Traffic { beside_x: logits.beside_x + draws, written, ..logits }
    }

    /// What a softmax moves: logits stay in cache.
    pub(super) fn class_traffic(&self) -> Traffic {
        Traffic { written: self.chunks.iter().map(|chunk| chunk.sums.bytes).sum(), ..self.logits_traffic() }
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
            sums: models * plan.sums as u64 * 4,
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
mod tests;
