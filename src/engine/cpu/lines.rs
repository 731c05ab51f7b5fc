//! Logits of two points and the line between them, block by block, on the host.

use super::rows::{Held, typed};
use crate::data::{Precision, RowBlock};
use crate::engine::LossSlope;
use crate::error::Result;

/// The logits that an engine holds on the host: those of the kept point and of the latest, and what leads from one to the other.
pub struct Lines<'a> {
    pub(super) held: Vec<Held<'a>>,
    models: usize,
}

impl<'a> Lines<'a> {
    /// None yet, of `models` models; the logits are stored as X is, and `products` says how an engine on the host takes its own.
    pub fn new(blocks: &'a [RowBlock], models: usize, products: Precision) -> Self {
        Lines { held: blocks.iter().map(|block| Held::new(block, models, products)).collect(), models }
    }

    /// Puts `logits` to the latest ones of model `model` in the rows of block `block` from `first_row` on.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for them.
    pub fn set_latest(
        &mut self,
        block: usize,
        model: usize,
        first_row: usize,
        logits: impl Iterator<Item = f64>,
    ) -> Result<()> {
        typed!(&mut self.held[block], block => block.set_latest(model, first_row, logits))
    }

    /// The latest logits become the kept ones.
    pub fn keep(&mut self) {
        self.held.iter_mut().for_each(|held| typed!(held, block => block.keep()));
    }

    /// The direction becomes latest − kept logits.
    ///
    /// # Errors
    /// As [`Lines::set_latest`].
    pub fn start(&mut self) -> Result<()> {
        self.held.iter_mut().try_for_each(|held| typed!(held, block => block.start_line()))
    }

    /// Loss and slope of each model at each of `steps` from the kept logits along the direction.
    pub fn probe(&self, steps: &[f64]) -> Vec<Vec<LossSlope>> {
        let mut sums = vec![vec![LossSlope { loss: 0.0, slope: 0.0 }; self.models]; steps.len()];
        self.held.iter().for_each(|held| typed!(held, block => block.probe(steps, &mut sums)));
        for sum in sums.iter_mut().flatten() {
            if !(sum.loss.is_finite() && sum.slope.is_finite()) {
                *sum = LossSlope::OUT_OF_RANGE;
            }
        }
        sums
    }
}
