//! What single rows do to the estimates.

use super::factor;
use crate::engine::cpu::Host;
use crate::error::Result;
use crate::logistic::{residual_and_loss, sigmoid, variance};
use crate::objective::Likelihood;

/// A row as the fit sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowInfluence {
    /// Its number among the rows fitted, from 0.
    pub row: usize,
    /// t.
    pub target: f64,
    /// y.
    pub probability: f64,
    /// Pearson's residual √s·(t−y)/√(y(1−y)).
    pub pearson: f64,
    /// The signed root of the row's part of the deviance, √(2sℓ).
    pub deviance: f64,
    /// h = s·y(1−y)·xᵀH⁻¹x: the diagonal of the hat matrix; the sum over all rows is the number of estimates.
    pub leverage: f64,
    /// Cook's distance pearson²·h/(k·(1−h)²), k estimates: how far the estimates would move without the row, to first order, as R's
    /// `cooks.distance` has it.
    pub cooks_distance: f64,
}

/// Calls `each` with every row of positive weight, in input order, at the estimates θ in `coordinates`.
///
/// # Errors
/// [`crate::error::Error::Numerics`] where the information is singular, what `each` fails with, and as [`Host::hessian`].
pub fn influence(
    host: &Host<'_>,
    likelihood: &dyn Likelihood,
    theta: &[f64],
    mut each: impl FnMut(RowInfluence) -> Result<()>,
) -> Result<()> {
    let coordinates = likelihood.coordinates();
    let params = coordinates.to_params(theta);
    let information = factor(&likelihood.information(theta)?)?;
    let leverages = host.leverages(coordinates.map(), params.model(0), &information)?;
    let k = theta.len() as f64;
    host.each_row(&params, |row, a, target, s| {
        if s == 0.0 {
            return Ok(());
        }
        let a = a(0);
        let (residual, loss) = residual_and_loss(a, target);
        let leverage = leverages[row];
        let pearson = -residual * (s / variance(a)).sqrt();
        each(RowInfluence {
            row,
            target,
            probability: sigmoid(a),
            pearson,
            deviance: (2.0 * s * loss).sqrt().copysign(-residual),
            leverage,
            cooks_distance: pearson * pearson * leverage / (k * (1.0 - leverage) * (1.0 - leverage)),
        })
    })
}
