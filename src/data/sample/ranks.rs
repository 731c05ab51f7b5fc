//! Row samples of rows that several ranks share: the same rows as of one process, brought to rank 0.

use std::sync::Arc;

use super::super::Dataset;
use super::super::block::{LANES, RowBlock, Values};
use super::super::blocks::{Block, each_block};
use super::super::scaling::StoredColumn;
use super::super::vectors::{RowVectors, VectorSource};
use super::{Pick, SMALLER, class_of, most_of_a_class, pick_among};
use crate::error::Result;
use crate::ranks::Team;

/// Rows that were drawn, in input order.
pub(in crate::data) struct Drawn {
    /// Of each row its values on the original columns, target, weight and offset, one row after the other.
    numbers: Vec<f64>,
    offsets: bool,
    wide: bool,
}

/// The samples of the rows of all ranks, `rows` of each, of which `here` has this one's; they are on rank 0 alone.
///
/// # Errors
/// Those of other ranks, and what reading rows that are not in memory fails with.
pub(in crate::data) fn of_ranks(here: &Dataset, rows: &[usize], team: &Arc<Team>) -> Result<Vec<Drawn>> {
    let features = here.features.len();
    let Some(most) = most_of_a_class(rows.iter().sum(), features) else { return Ok(Vec::new()) };
    let first = rows[..team.rank()].iter().sum();
    let all = |counts: &[usize]| -> Result<Vec<usize>> {
        let ranks = team.exchange(&counts.to_vec())?;
        Ok((0..counts.len()).map(|k| ranks.iter().map(|rank| rank[k]).sum()).collect())
    };
    let picks = pick_among(&BlockVectors(&here.blocks), first, [most / SMALLER, most], &all)?;
    // Whether there are offsets, and f64, which a rank without rows does not know.
    let kinds = (here.blocks.iter().any(Block::has_offset), here.blocks.iter().any(Block::is_wide));
    let kinds = team.exchange(&kinds)?;
    let (offsets, wide) = (kinds.iter().any(|kind| kind.0), kinds.iter().any(|kind| kind.1));
    let mut drawn = Vec::with_capacity(picks.len());
    for pick in &picks {
        let mine = team.agree(numbers(here, pick, first))?;
        let lengths = team.exchange(&mine.len())?;
        let numbers = team.gather_numbers(mine, &lengths)?;
        drawn.push(Drawn { numbers, offsets, wide });
    }
    Ok(if team.leads() { drawn } else { Vec::new() })
}

/// The vectors of blocks.
struct BlockVectors<'a>(&'a [Block]);

impl VectorSource for BlockVectors<'_> {
    fn rows(&self) -> usize {
        self.0.iter().map(Block::rows).sum()
    }

    fn each(&self, each: &mut dyn FnMut(usize, &RowVectors) -> Result<()>) -> Result<()> {
        let mut first = 0;
        for block in self.0 {
            each(first, block.vectors()?.as_ref())?;
            first += block.rows();
        }
        Ok(())
    }
}

/// What is to be known of the rows of `pick`, row 0 here being row `first` of all.
fn numbers(here: &Dataset, pick: &Pick, first: usize) -> Result<Vec<f64>> {
    let factors = pick.thinning.map(|halvings| 2f64.powi(halvings as i32));
    let mut numbers = Vec::with_capacity(pick.rows.len() * (here.columns.len() + 3));
    let (mut start, mut rest) = (first, pick.rows.as_slice());
    each_block(&here.blocks, |_, block| {
        let (rows, later) = rest.split_at(rest.partition_point(|row| *row < start + block.rows()));
        for row in rows.iter().map(|row| row - start) {
            let columns = here.columns.iter().enumerate();
            numbers.extend(columns.map(|(j, column)| column.scale * block.value(row, j) + column.centre));
            let target = block.target().at(row);
            let offset = block.offset().map_or(0.0, |offset| offset.at(row));
            numbers.extend([target, block.weight().at(row) * factors[class_of(target)], offset]);
        }
        (start, rest) = (start + block.rows(), later);
        Ok(())
    })?;
    Ok(numbers)
}

impl Drawn {
    /// The rows as a block of values stored as `columns` say.
    ///
    /// # Errors
    /// As [`RowBlock::new`].
    pub(in crate::data) fn block(&self, columns: &[StoredColumn]) -> Result<RowBlock> {
        let (features, width) = (columns.len(), columns.len() + 3);
        let rows = self.numbers.len() / width;
        let z = |(row, j): (usize, usize)| (self.numbers[row * width + j] - columns[j].centre) / columns[j].scale;
        let mut values = vec![0.0; rows.div_ceil(LANES) * LANES * features];
        for row in 0..rows {
            for j in 0..features {
                values[RowBlock::index(row, j, features)] = z((row, j));
            }
        }
        let x: Values =
            if self.wide { values.into() } else { values.into_iter().map(|z| z as f32).collect::<Vec<f32>>().into() };
        let vector = |k: usize| self.numbers.iter().skip(features + k).step_by(width).copied().collect::<Vec<f64>>();
        let offset = self.offsets.then(|| vector(2).into());
        RowBlock::new(features, x, vector(0).into(), vector(1).into(), offset)
    }
}
