//! Bootstrap: the model fitted to many resamplings of its rows, all at once, and what lies between their percentiles.

use std::time::Instant;

use super::{Fit, FitOptions, Init, ManyFits, fit_many};
use crate::certificate::Status;
use crate::data::Dataset;
use crate::engine::cpu::{Host, WeightSums};
use crate::engine::{Draw, DrawnRows};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::objective::Member;

/// Replicates at the most.
const MOST_REPLICATES: usize = 100_000;

/// An interval between two percentiles, and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Mean of the replicates.
    pub mean: f64,
    /// Their standard deviation (n − 1): the bootstrap's standard error.
    pub se: f64,
    /// The lower percentile.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

/// What the replicates say of a model.
#[derive(Debug)]
pub struct Bootstrap {
    /// Replicates fitted.
    pub replicates: usize,
    /// Replicates left out because no row of a class was drawn.
    pub without_a_class: usize,
    /// Replicates that did not converge; they count all the same.
    pub not_converged: usize,
    /// The share of the replicates that lies within an interval.
    pub level: f64,
    /// Of each coefficient.
    pub coefficients: Vec<Interval>,
    /// Of β₀, where there is one.
    pub intercept: Option<Interval>,
    /// Of Σ s·ℓ/Σ s on the rows that a replicate was fitted to.
    pub log_loss: Interval,
    /// The same on the rows that it has not seen, some 37% of all.
    pub out_of_bag_log_loss: Interval,
    /// Full reads of X.
    pub passes: u64,
    /// Seconds, beside those of the fit itself.
    pub seconds: f64,
}

/// How to resample.
#[derive(Debug, Clone, Copy)]
pub struct Resampling {
    /// Replicates.
    pub replicates: usize,
    /// The share of them that lies within an interval.
    pub level: f64,
    /// What decides how often each row counts in each of them.
    pub seed: u64,
}

impl Resampling {
    /// Holds the numbers to be of use.
    ///
    /// # Errors
    /// [`Error::Usage`] when they are not.
    pub fn check(&self) -> Result<()> {
        let Resampling { replicates, level, .. } = *self;
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::Usage(format!("--level {level}: it must lie between 0 and 1")));
        }
        if !(2..=MOST_REPLICATES).contains(&replicates) {
            let message = format!("--bootstrap {replicates}: there must be 2 to {MOST_REPLICATES} replicates");
            return Err(Error::Usage(message));
        }
        Ok(())
    }
}

/// Fits bootstrap replicates of the model `fit` of `data`, which was fitted with `options`: each row counts as often in a replicate as
/// a Poisson variable of mean 1 comes out. Nothing where the user stops it.
///
/// # Errors
/// As [`super::fit`] and [`Resampling::check`]; [`Error::Usage`] when hardly a replicate has rows of both classes.
pub fn bootstrap(
    data: &Dataset,
    fit: &Fit,
    options: &FitOptions,
    how: &Resampling,
    monitor: &dyn Monitor,
) -> Result<Option<Bootstrap>> {
    let start = Instant::now();
    how.check()?;
    let Resampling { replicates, level, seed } = *how;
    let seed = (seed ^ (seed >> 32)) as u32;
    let draws: Vec<Draw> = (0..replicates as u32).map(|replicate| Draw::Poisson { seed, replicate }).collect();
    let sums = Host::new(data).weight_sums(&draws, DrawnRows::all(&[]))?;
    let drawn: Vec<_> = draws.into_iter().zip(sums).filter(|(_, sums)| sums.classes.iter().all(|s| *s > 0.0)).collect();
    if drawn.len() < 2 {
        return Err(Error::Usage(
            "--bootstrap: in nearly every replicate a class has no row; there are too few rows".into(),
        ));
    }
    let member = |(draw, sums): &(Draw, WeightSums)| Member {
        l1: options.l1,
        l2: options.l2,
        draw: *draw,
        weight_sum: sums.classes.iter().sum(),
    };
    let members: Vec<Member> = drawn.iter().map(member).collect();
    let init = Init::Coefficients(fit.coefficients.clone(), fit.intercept);
    let ManyFits { fits, passes, .. } =
        fit_many(data, &members, &[], &FitOptions { init, ..options.clone() }, monitor)?;
    if fits.iter().any(|fit| fit.status == Status::Interrupted) {
        return Ok(None);
    }
    let of = |values: Vec<f64>| interval(values, level);
    let log_loss = fits.iter().zip(&members).map(|(fit, member)| fit.loss / member.weight_sum);
    let unseen = fits.iter().zip(&drawn).map(|(fit, (_, sums))| (fit, sums.left_out.iter().sum::<f64>()));
    let unseen = unseen.filter(|(_, weight)| *weight > 0.0).map(|(fit, weight)| fit.loss_left_out / weight);
    Ok(Some(Bootstrap {
        replicates: drawn.len(),
        without_a_class: replicates - drawn.len(),
        not_converged: fits.iter().filter(|fit| fit.status != Status::Converged).count(),
        level,
        coefficients: (0..data.features.len())
            .map(|j| of(fits.iter().map(|fit| fit.coefficients[j]).collect()))
            .collect(),
        intercept: options.intercept.then(|| of(fits.iter().map(|fit| fit.intercept).collect())),
        log_loss: of(log_loss.collect()),
        out_of_bag_log_loss: of(unseen.collect()),
        passes,
        seconds: start.elapsed().as_secs_f64(),
    }))
}

/// The interval of `values` that leaves (1 − level)/2 of them on either side, percentiles interpolated between order statistics
/// (Hyndman & Fan's type 7, as in NumPy and R).
fn interval(mut values: Vec<f64>, level: f64) -> Interval {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let percentile = |q: f64| {
        let at = q * (n - 1.0);
        let (below, part) = (at.floor() as usize, at.fract());
        let above = (below + 1).min(values.len().saturating_sub(1));
        values.get(below).map_or(f64::NAN, |low| low + part * (values[above] - low))
    };
    let se = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    Interval { mean, se, low: percentile(0.5 - 0.5 * level), high: percentile(0.5 + 0.5 * level) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([1, 2, 3, 4, 10], [5, 95]) = [1.2, 8.8].
        let of = interval(vec![10.0, 1.0, 4.0, 2.0, 3.0], 0.9);
        assert!((of.low - 1.2).abs() < 1e-12 && (of.high - 8.8).abs() < 1e-12, "{of:?}");
        assert!((of.mean - 4.0).abs() < 1e-12 && (of.se - 12.5f64.sqrt()).abs() < 1e-12, "{of:?}");
    }
}
