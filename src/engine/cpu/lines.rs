//! Logits of two points and the line between them, block by block, on the host: in memory where X is, else in a file. Stamps
//! say which points they are of.

use super::rows::{Held, Role, typed};
use crate::data::{Block, LANES, Precision};
use crate::disk::{DiskFile, MORE_ROOM};
use crate::engine::{LineId, LossSlope, PointId, Stamps};
use crate::error::{Error, Result};

/// The logits that an engine holds on the host: those of the kept point and of the latest, and what leads from one to the other.
pub struct Lines<'a> {
    blocks: &'a [Block],
    models: usize,
    products: Precision,
    place: Place<'a>,
    stamps: Stamps,
}

enum Place<'a> {
    Memory(Vec<Held>),
    File(Scratch<'a>),
}

/// Logits in a file, for blocks that are not in memory either.
struct Scratch<'a> {
    blocks: &'a [Block],
    /// There from the first time on that something is written.
    file: Option<DiskFile>,
    /// Where each block's logits begin among those of a point, and the bytes of those.
    starts: Vec<u64>,
    bytes: u64,
    /// Which of three stretches of the file holds the kept logits, the latest, and the direction.
    stretches: [u64; 3],
}

impl<'a> Lines<'a> {
    /// None yet, of `models` models; the logits are stored as X is, and `products` says how an engine on the host takes its own.
    pub fn new(blocks: &'a [Block], models: usize, products: Precision) -> Self {
        let place = if blocks.iter().all(|block| block.here().is_some()) {
            Place::Memory(blocks.iter().map(|block| Held::new(block, models, products)).collect())
        } else {
            Place::File(Scratch::new(blocks, models))
        };
        Lines { blocks, models, products, place, stamps: Stamps::default() }
    }

    /// Does `work` on what is held of block `b`, of which it reads and writes the logits in these roles.
    ///
    /// # Errors
    /// [`Error::Io`] about the file, and what `work` fails with.
    pub(super) fn at<R>(
        &mut self,
        b: usize,
        read: &[Role],
        written: &[Role],
        work: impl FnOnce(&mut Held) -> Result<R>,
    ) -> Result<R> {
        match &mut self.place {
            Place::Memory(held) => work(&mut held[b]),
            Place::File(scratch) => {
                let mut held = Held::new(&self.blocks[b], self.models, self.products);
                let len = self.models * self.blocks[b].groups() * LANES;
                for role in read {
                    scratch.read(b, *role, typed!(&mut held, held => held.bytes(*role, len))?)?;
                }
                let done = work(&mut held)?;
                for role in written {
                    scratch.write(b, *role, 0, typed!(&mut held, held => held.bytes(*role, len))?)?;
                }
                Ok(done)
            }
        }
    }

    /// Puts `logits` to the latest ones of model `model` in the rows of block `b` from `first_row` on.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no memory for them, [`Error::Io`] about a file of them.
    pub fn set_latest(
        &mut self,
        b: usize,
        model: usize,
        first_row: usize,
        logits: impl Iterator<Item = f64>,
    ) -> Result<()> {
        self.set(Role::Latest, b, model, first_row, logits)
    }

    /// Puts `logits` to those of a role.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no memory for them, [`Error::Io`] about a file of them.
    pub(super) fn set(
        &mut self,
        role: Role,
        b: usize,
        model: usize,
        first_row: usize,
        logits: impl Iterator<Item = f64>,
    ) -> Result<()> {
        let padded = self.blocks[b].groups() * LANES;
        let first = model * padded + first_row;
        match &mut self.place {
            Place::Memory(held) => {
                typed!(&mut held[b], held => held.set(role, self.models * padded, first, logits))
            }
            Place::File(scratch) => {
                let logits: Vec<f32> = logits.map(|logit| logit as f32).collect();
                scratch.write(b, role, first, bytemuck::cast_slice(&logits))
            }
        }
    }

    /// From here on the logits of the latest point may be overwritten, whatever happens.
    pub fn begin(&mut self) {
        self.stamps.latest = None;
    }

    /// The latest logits are those of a new point.
    pub fn evaluated(&mut self) -> PointId {
        self.stamps.evaluated()
    }

    /// The logits of `point`, the latest, become the kept ones.
    ///
    /// # Errors
    /// [`Error::Numerics`] when it is not the latest.
    pub fn keep(&mut self, point: PointId) -> Result<()> {
        self.stamps.keep(point)?;
        match &mut self.place {
            Place::Memory(held) => held.iter_mut().for_each(|held| typed!(held, held => held.keep())),
            Place::File(scratch) => scratch.stretches.swap(Role::Kept as usize, Role::Latest as usize),
        }
        Ok(())
    }

    /// The direction becomes latest − kept logits.
    ///
    /// # Errors
    /// [`Error::Numerics`] when the points are other ones, else as [`Lines::set_latest`].
    pub fn start(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        let line = self.stamps.start_line(kept, latest)?;
        (0..self.blocks.len()).try_for_each(|b| {
            self.at(b, &[Role::Kept, Role::Latest], &[Role::Direction], |held| typed!(held, held => held.start_line()))
        })?;
        Ok(line)
    }

    /// Loss and slope of each model at each of `steps` along `line`, from the kept logits along the direction.
    ///
    /// # Errors
    /// [`Error::Numerics`] when it is another line, and what reading blocks that are not in memory fails with.
    pub fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>> {
        self.stamps.check_line(line)?;
        let mut sums = vec![vec![LossSlope { loss: 0.0, slope: 0.0 }; self.models]; steps.len()];
        let blocks = self.blocks;
        for (b, block) in blocks.iter().enumerate() {
            let vectors = block.vectors()?;
            self.at(b, &[Role::Kept, Role::Direction], &[], |held| {
                typed!(held, held => held.probe(&vectors, steps, &mut sums));
                Ok(())
            })?;
        }
        for sum in sums.iter_mut().flatten() {
            if !(sum.loss.is_finite() && sum.slope.is_finite()) {
                *sum = LossSlope::OUT_OF_RANGE;
            }
        }
        Ok(sums)
    }

    /// Σ s·y(1−y) of the first model at `point`.
    ///
    /// # Errors
    /// [`Error::Numerics`] when it is neither the kept nor the latest one, and what reading fails with.
    pub(super) fn curvature_sum(&mut self, point: PointId) -> Result<f64> {
        let role = if self.stamps.is_kept(point)? { Role::Kept } else { Role::Latest };
        let blocks = self.blocks;
        let mut sum = 0.0;
        for (b, block) in blocks.iter().enumerate() {
            let vectors = block.vectors()?;
            sum += self.at(b, &[role], &[], |held| Ok(typed!(held, held => held.curvature_sum(role, &vectors))))?;
        }
        Ok(sum)
    }
}

impl<'a> Scratch<'a> {
    fn new(blocks: &'a [Block], models: usize) -> Self {
        let mut bytes = 0;
        let start = |block: &Block| {
            let start = bytes;
            bytes += models as u64 * block.logit_bytes();
            start
        };
        let starts = blocks.iter().map(start).collect();
        Scratch { blocks, file: None, starts, bytes, stretches: [0, 1, 2] }
    }

    fn offset(&self, b: usize, role: Role) -> u64 {
        self.stretches[role as usize] * self.bytes + self.starts[b]
    }

    fn file(&mut self) -> Result<&DiskFile> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let folder = self.blocks.iter().find_map(Block::folder);
                let folder = folder.ok_or_else(|| Error::Numerics("internal: blocks that lie nowhere".into()))?;
                let file = DiskFile::unnamed(folder, MORE_ROOM)?;
                file.stretch(self.stretches.len() as u64 * self.bytes)?;
                Ok(none.insert(file))
            }
        }
    }

    fn read(&mut self, b: usize, role: Role, out: &mut [u8]) -> Result<()> {
        let offset = self.offset(b, role);
        self.file()?.read(offset, out)
    }

    /// Writes `bytes` from logit `first` of block `b` on.
    fn write(&mut self, b: usize, role: Role, first: usize, bytes: &[u8]) -> Result<()> {
        let offset = self.offset(b, role) + (first * size_of::<f32>()) as u64;
        self.file()?.write(offset, bytes)
    }
}
