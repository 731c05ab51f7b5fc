//! The blocks of a data set, in memory or in a file, one after the other: those in a file are read while the one before is
//! worked on.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, mpsc};

use super::block::{LANES, RowBlock, Stretch, Values};
use super::spill::SpilledBlock;
use super::storage::Storage;
use super::vectors::RowVectors;
use crate::error::Result;
use crate::monitor::Pass;

/// A block of rows.
#[derive(Debug, Clone)]
pub enum Block {
    /// In memory.
    Here(RowBlock),
    /// Read whenever it is needed.
    Away(AwayBlock),
}

/// A block that is not in memory.
#[derive(Debug, Clone)]
pub struct AwayBlock {
    rows: usize,
    features: usize,
    source: Arc<SpilledBlock>,
    /// The class that is set against the rest, if one is.
    against: Option<usize>,
}

impl From<RowBlock> for Block {
    fn from(block: RowBlock) -> Self {
        Block::Here(block)
    }
}

impl Block {
    /// The rows, where they are in memory.
    pub fn here(&self) -> Option<&RowBlock> {
        match self {
            Block::Here(block) => Some(block),
            Block::Away(_) => None,
        }
    }

    /// Rows, without padding.
    pub fn rows(&self) -> usize {
        match self {
            Block::Here(block) => block.rows(),
            Block::Away(block) => block.rows,
        }
    }

    /// Features p.
    pub fn features(&self) -> usize {
        match self {
            Block::Here(block) => block.features(),
            Block::Away(block) => block.features,
        }
    }

    /// Groups of [`LANES`] rows, the last one padded.
    pub fn groups(&self) -> usize {
        self.rows().div_ceil(LANES)
    }

    /// Whether X is in f64.
    pub fn is_wide(&self) -> bool {
        matches!(self, Block::Here(block) if matches!(block.x(), Values::F64(_)))
    }

    /// Bytes of X as stored, padding included.
    pub fn x_bytes(&self) -> u64 {
        match self {
            Block::Here(block) => block.x_bytes(),
            Block::Away(block) => block.bytes(),
        }
    }

    /// Bytes of one number a row in the precision of X, padding included.
    pub fn logit_bytes(&self) -> u64 {
        let size = if self.is_wide() { size_of::<f64>() } else { size_of::<f32>() };
        (self.groups() * LANES * size) as u64
    }

    /// Bytes of targets, weights and offsets as stored.
    pub fn vector_bytes(&self) -> u64 {
        match self {
            Block::Here(block) => block.vectors().bytes(),
            Block::Away(block) => block.source.vector_bytes(),
        }
    }

    /// Whether the rows have an offset.
    pub fn has_offset(&self) -> bool {
        match self {
            Block::Here(block) => block.offset().is_some(),
            Block::Away(block) => block.source.has_offset(),
        }
    }

    /// Targets, weights and offsets.
    ///
    /// # Errors
    /// What reading fails with.
    pub fn vectors(&self) -> Result<Cow<'_, RowVectors>> {
        match self {
            Block::Here(block) => Ok(Cow::Borrowed(block.vectors())),
            Block::Away(block) => block.vectors().map(Cow::Owned),
        }
    }

    /// The same rows with the target 1 in those of class `class` and 0 in all others.
    pub(super) fn against_rest(&self, class: usize) -> Self {
        match self {
            Block::Here(block) => Block::Here(block.against_rest(class)),
            Block::Away(block) => Block::Away(AwayBlock { against: Some(class), ..block.clone() }),
        }
    }

    /// How far a pass over it and its like is.
    fn pass(&self) -> Option<&Pass> {
        match self {
            Block::Here(_) => None,
            Block::Away(block) => Some(block.source.pass()),
        }
    }

    /// Every `stride`-th group from `first` on as a block in memory; `None` where there is none.
    ///
    /// # Errors
    /// What reading fails with.
    pub(crate) fn some_groups(&self, first: usize, stride: usize) -> Result<Option<RowBlock>> {
        let groups: Vec<usize> = (first..self.groups()).step_by(stride).collect();
        let Some(last) = groups.last() else { return Ok(None) };
        let (features, width) = (self.features(), LANES * self.features());
        let x = match self {
            Block::Here(block) => block.values_of(&groups),
            Block::Away(block) => {
                let mut x = vec![0f32; groups.len() * width];
                for (group, out) in groups.iter().zip(x.chunks_mut(width.max(1))) {
                    block.source.read(*group..group + 1, out)?;
                }
                x.into()
            }
        };
        // Only the last group of a block can be short, and it then is the last one here.
        let rows = groups.len() * LANES - LANES.saturating_sub(self.rows() - last * LANES).min(LANES - 1);
        let vectors = self.vectors()?.picked(rows, |i| groups[i / LANES] * LANES + i % LANES);
        RowBlock::of(features, x, vectors).map(Some)
    }

    /// The folder that has room for what is computed of the rows, where memory has none.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Block::Here(_) => None,
            Block::Away(block) => Some(block.source.folder()),
        }
    }
}

impl AwayBlock {
    /// The block of `rows` rows × `features` that `source` reads.
    pub(super) fn new(rows: usize, features: usize, source: SpilledBlock) -> Self {
        AwayBlock { rows, features, source: Arc::new(source), against: None }
    }

    /// Targets, weights and offsets.
    fn vectors(&self) -> Result<RowVectors> {
        let vectors = self.source.vectors()?;
        Ok(match self.against {
            Some(class) => vectors.against_rest(class),
            None => vectors,
        })
    }

    /// Bytes of X, padding included.
    fn bytes(&self) -> u64 {
        (self.values() * size_of::<f32>()) as u64
    }

    /// Numbers of X, padding included.
    fn values(&self) -> usize {
        self.rows.div_ceil(LANES) * LANES * self.features
    }

    /// X and the vectors, X at the beginning of `room` if that is large enough.
    fn read(&self, room: Option<Storage<f32>>) -> Result<(Storage<f32>, RowVectors)> {
        let len = self.values();
        let mut room = match room.filter(|room| room.len() >= len) {
            Some(room) => room,
            None => Storage::zeros(len)?,
        };
        self.source.read(0..self.rows.div_ceil(LANES), &mut room[..len])?;
        Ok((room, self.vectors()?))
    }
}

/// Calls `each` with every block in order, in memory, and its number.
///
/// # Errors
/// What reading or `each` fails with.
pub fn each_block(blocks: &[Block], mut each: impl FnMut(usize, &RowBlock) -> Result<()>) -> Result<()> {
    if let Some(here) = blocks.iter().map(Block::here).collect::<Option<Vec<_>>>() {
        return here.into_iter().enumerate().try_for_each(|(index, block)| each(index, block));
    }
    let read = |block: &Block, room| match block {
        Block::Here(block) => Ok((block.clone(), None)),
        Block::Away(block) => {
            let (room, vectors) = block.read(room)?;
            let all = Arc::new(room);
            let shared = Arc::clone(&all) as Arc<dyn Deref<Target = [f32]> + Send + Sync>;
            let x = Values::F32(Stretch::new(shared, 0..block.values()));
            Ok((RowBlock::of(block.features, x, vectors)?, Some(all)))
        }
    };
    ahead(blocks, blocks.iter().find_map(Block::pass), Block::x_bytes, read, |index, (block, all)| {
        each(index, &block)?;
        drop(block);
        Ok(all.and_then(Arc::into_inner))
    })
}

/// As [`each_block`], for blocks that are not in memory: `each` gets the vectors, and X to do with as it likes.
///
/// # Errors
/// As [`each_block`].
pub(super) fn each_away(
    blocks: &[AwayBlock],
    mut each: impl FnMut(usize, &RowVectors, &mut [f32]) -> Result<()>,
) -> Result<()> {
    let pass = blocks.first().map(|block| block.source.pass());
    ahead(blocks, pass, AwayBlock::bytes, AwayBlock::read, |index, (mut room, vectors)| {
        each(index, &vectors, &mut room[..blocks[index].values()])?;
        Ok(Some(room))
    })
}

/// Calls `each` with what `read` makes of every one of `all`, in order, one read while the one before is worked on. Memory that
/// `each` has no more use for is read into again; `pass` is told how many of their `bytes` are done.
fn ahead<S: Sync, T: Send>(
    all: &[S],
    pass: Option<&Pass>,
    bytes: impl Fn(&S) -> u64,
    read: impl Fn(&S, Option<Storage<f32>>) -> Result<T> + Sync,
    mut each: impl FnMut(usize, T) -> Result<Option<Storage<f32>>>,
) -> Result<()> {
    if let Some(pass) = pass {
        pass.begin(all.iter().map(&bytes).sum());
    }
    std::thread::scope(|scope| {
        // One waits while another is worked on and the next is read.
        let (send, receive) = mpsc::sync_channel(0);
        let (give_back, spare) = mpsc::channel();
        let read = &read;
        scope.spawn(move || {
            for one in all {
                // Nobody listens any more when the work has failed.
                if send.send(read(one, spare.try_recv().ok())).is_err() {
                    return;
                }
            }
        });
        for (index, one) in receive.iter().enumerate() {
            if let Some(room) = each(index, one?)? {
                // The last ones are not taken any more.
                let _ = give_back.send(room);
            }
            if let Some(pass) = pass {
                pass.advance(bytes(&all[index]));
            }
        }
        Ok(())
    })
}
