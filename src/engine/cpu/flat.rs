//! A model that gives every row the same probability: what it comes to is known without a read of X.

use crate::data::RowBlock;
use crate::logistic::residual_and_loss;

/// The intercept of the model `w` (p slopes, intercept) where it has no slopes: but for offsets it is flat.
pub(super) fn intercept(w: &[f64]) -> Option<f64> {
    let (intercept, slopes) = w.split_last()?;
    slopes.iter().all(|slope| *slope == 0.0).then_some(*intercept)
}

/// Loss and gradient (p slopes, intercept) of the model `w` in the rows of `block`, where it is flat and their totals are known.
///
/// With y = σ(w₀) in every row, ℓ = log(1 + e^w₀) − t·w₀ and ∂J/∂wⱼ = y·Σ s·zⱼ − Σ s·t·zⱼ.
pub(super) fn loss_gradient(block: &RowBlock, w: &[f64]) -> Option<(f64, Vec<f64>)> {
    let (intercept, totals) = (intercept(w)?, block.totals()?);
    if block.offset().is_some() {
        return None;
    }
    let (y, at_zero) = residual_and_loss(intercept, 0.0);
    let of_column = |[z, tz]: &[f64; 2]| y * z - tz;
    let gradient = totals.columns.iter().map(of_column).chain([y * totals.weight - totals.target]).collect();
    Some((totals.weight * at_zero - totals.target * intercept, gradient))
}
