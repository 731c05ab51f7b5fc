//! The path of a penalty: every model of a grid of them, from one that leaves nothing to one that leaves nearly everything.

use super::grid::Null;
use super::{FitOptions, Grid, ManyFits, Penalties, fit_many};
use crate::data::Dataset;
use crate::engine::Draw;
use crate::error::Result;
use crate::monitor::Monitor;
use crate::objective::Member;

/// The models of a grid of penalties, fitted to all rows.
#[derive(Debug)]
pub struct Path {
    /// The penalties.
    pub grid: Grid,
    /// One model for each of them.
    pub models: ManyFits,
    /// Coefficients that are not zero, of each model.
    pub nonzero: Vec<usize>,
    /// Σ s·ℓ/S of each model.
    pub log_loss: Vec<f64>,
    /// 1 − Σ s·ℓ/(that of the model without penalised columns), of each model.
    pub deviance_explained: Vec<f64>,
}

/// Fits `penalties` to `data`, all in the same reads of X. Of the options the penalty and the method are not used.
///
/// # Errors
/// As [`super::fit`]; [`crate::error::Error::Usage`] for penalties that are out of range.
pub fn path(data: &Dataset, penalties: &Penalties, options: &FitOptions, monitor: &dyn Monitor) -> Result<Path> {
    super::check(data, options)?;
    let null = Null::new(data, options)?;
    let (null_loss, null_passes) = (null.loss, null.passes);
    let grid = Grid::new(penalties, || Ok(null))?;
    let member = |k| Member { l1: grid.l1(k), l2: grid.l2(k), draw: Draw::All, weight_sum: data.weight_sum };
    let members: Vec<Member> = (0..grid.lambda.len()).map(member).collect();
    let mut models = fit_many(data, &members, &[], options, monitor)?;
    models.passes += null_passes;
    let fits = || models.fits.iter();
    Ok(Path {
        nonzero: fits().map(|fit| fit.coefficients.iter().filter(|beta| **beta != 0.0).count()).collect(),
        log_loss: fits().map(|fit| fit.loss / data.weight_sum).collect(),
        deviance_explained: fits().map(|fit| 1.0 - fit.loss / null_loss).collect(),
        grid,
        models,
    })
}
