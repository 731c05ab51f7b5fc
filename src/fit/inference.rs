//! Inference about a model of maximum likelihood that was fitted: its estimates once more, their covariance and the null model.

use std::collections::HashSet;

use super::grid::Null;
use super::{Fit, FitOptions, firth};
use crate::certificate::{self, Status};
use crate::data::Dataset;
use crate::engine::cpu::Host;
use crate::error::{Error, Result};
use crate::inference::{
    Estimate, Estimator, INTERCEPT, Inference, Profile, Profiled, RowInfluence, Value, Variances, influence,
    normal_quantile,
};
use crate::monitor::{Event, Monitor, Unheard};
use crate::objective::{Coordinates, Evaluation, FirthObjective, Likelihood, Objective};
use crate::solver::pointwise;

/// Redundant columns named one by one.
const MOST_NAMED: usize = 10;

/// What to infer.
#[derive(Debug, Clone, Copy)]
pub struct Inferring<'a> {
    /// How the covariance of the estimates is to be estimated.
    pub covariance: Estimator<'a>,
    /// The confidence of profile-likelihood intervals, where there are to be any.
    pub profile: Option<f64>,
}

/// Why nothing is inferred of a fit with a penalty.
pub fn no_inference_of_penalised() -> Error {
    Error::Usage(
        "--inference is for maximum likelihood: a penalty pulls the estimates towards zero, and a standard error says nothing of \
         that bias; leave the penalty out, or take --bootstrap"
            .into(),
    )
}

/// Holds `data` and `options` to be those of a fit that something can be inferred from.
///
/// # Errors
/// [`Error::Usage`] where there is a penalty, no verification, more than two classes or too much data for a matrix of curvature.
pub fn check_inference(data: &Dataset, options: &FitOptions) -> Result<()> {
    let usage = |message: String| Err(Error::Usage(message));
    if options.l1 > 0.0 || options.l2 > 0.0 {
        return Err(no_inference_of_penalised());
    }
    if !options.verify {
        return usage("--inference needs an optimum that was verified: leave --no-verify out".into());
    }
    if data.classes > 2 {
        return usage(format!("--inference is for two classes, and the target has {}", data.classes));
    }
    let columns = Coordinates::new(data, options.intercept, &[]).len();
    if !certificate::affordable(data.rows, columns) {
        return usage(format!(
            "--inference would need the information matrix of {} rows × {columns} columns, which is too large; use fewer \
             columns (--features, --drop)",
            data.rows
        ));
    }
    Ok(())
}

/// What `data` says of the coefficients of `fit`, which was fitted to it with `options`. Nothing where `fit` is no optimum, for
/// then there are no estimates, or the user stops it.
///
/// Redundant columns are left out: where there are any, the estimates are those of the fit without them.
///
/// # Errors
/// As [`check_inference`], [`Variances::new`] and [`Profiled`]; what reading rows that are not in memory fails with.
pub fn infer(
    data: &Dataset,
    fit: &Fit,
    options: &FitOptions,
    how: &Inferring<'_>,
    monitor: &dyn Monitor,
) -> Result<Option<Inference>> {
    check_inference(data, options)?;
    if fit.status != Status::Converged {
        return Ok(None);
    }
    at_estimates(data, fit, options, monitor, |estimates| inferred(data, options, how, estimates, monitor))
}

/// Calls `each` with what every row of positive weight does to the coefficients of `fit`, an optimum of a likelihood that was fitted
/// to `data` with `options`; the rows are numbered as they are in `data`.
///
/// # Errors
/// As [`check_inference`] and [`influence`], and what `each` fails with.
pub fn influence_of_rows(
    data: &Dataset,
    fit: &Fit,
    options: &FitOptions,
    monitor: &dyn Monitor,
    each: impl FnMut(RowInfluence) -> Result<()>,
) -> Result<()> {
    check_inference(data, options)?;
    at_estimates(data, fit, options, monitor, |estimates| {
        influence(estimates.host, estimates.likelihood, &estimates.at.theta, each)
    })
}

/// The likelihood of the columns that are not redundant, and its minimum.
struct Estimates<'e> {
    host: &'e Host<'e>,
    likelihood: &'e mut (dyn Likelihood + 'e),
    at: Evaluation,
    /// β and β₀ there.
    original: (Vec<f64>, f64),
}

/// Does `work` at the estimates of `fit`.
fn at_estimates<T>(
    data: &Dataset,
    fit: &Fit,
    options: &FitOptions,
    monitor: &dyn Monitor,
    work: impl FnOnce(Estimates<'_>) -> Result<T>,
) -> Result<T> {
    let host = Host::new(data);
    let all = Coordinates::new(data, options.intercept, &[]);
    let redundant: HashSet<&str> = fit.redundant.iter().map(|(name, _)| name.as_str()).collect();
    let is_kept = |k: &usize| !redundant.contains(data.features[all.map().features[*k]].as_str());
    let kept: Vec<usize> = (0..all.units().len()).filter(is_kept).collect();
    let coordinates = all.restricted(&kept);
    let mut engine = host.engine()?;
    let objective = Objective::new(engine.as_mut(), &host, coordinates.clone(), 0.0);
    let mut likelihood: Box<dyn Likelihood + '_> =
        if options.firth { Box::new(FirthObjective::new(objective)) } else { Box::new(objective) };
    let likelihood = likelihood.as_mut();
    let (at, original) = if kept.len() == all.units().len() {
        let at = likelihood.evaluate(coordinates.from_original(&fit.coefficients, fit.intercept))?;
        (at, (fit.coefficients.clone(), fit.intercept))
    } else {
        let at = estimates_without_redundant(likelihood, data.weight_sum, options, monitor)?;
        let original = coordinates.to_original(&at.theta);
        (at, original)
    };
    work(Estimates { host: &host, likelihood, at, original })
}

/// What is inferred of estimates.
fn inferred(
    data: &Dataset,
    options: &FitOptions,
    how: &Inferring<'_>,
    estimates: Estimates<'_>,
    monitor: &dyn Monitor,
) -> Result<Option<Inference>> {
    let Estimates { host, likelihood, at, original: (beta, intercept) } = estimates;
    let coordinates = likelihood.coordinates().clone();
    let (rows, fractions) = host.counts()?;
    let variances = Variances::new(host, &coordinates, &at.theta, rows, how.covariance)?;
    // The intercept first, then the features; each with its number among the coordinates.
    let numbered = options.intercept.then_some((INTERCEPT, Some(coordinates.units().len()), intercept));
    let features = data
        .features
        .iter()
        .enumerate()
        .map(|(j, name)| (name.as_str(), coordinates.map().features.binary_search(&j).ok(), beta[j]));
    let coefficients: Vec<_> = numbered.into_iter().chain(features).collect();
    let profile = match how.profile {
        Some(level) => match profile(&coefficients, likelihood, &at, level, monitor)? {
            Some(profile) => Some(profile),
            None => return Ok(None),
        },
        None => None,
    };
    let null = match options.firth {
        true => firth::null_value(likelihood, data.weight_sum)?,
        false => Null::new(data, &FitOptions { penalty_factors: Vec::new(), ..options.clone() })?.loss,
    };
    let estimate = |(name, place, estimate): Coefficient<'_>| Estimate {
        name: name.to_owned(),
        value: place.map(|k| Value { estimate, se: variances.standard_error(&coordinates.original_of(k)) }),
    };
    Ok(Some(Inference {
        covariance: how.covariance.record(),
        warnings: warnings(&coefficients, fractions == 0),
        coefficients: coefficients.into_iter().map(estimate).collect(),
        rows,
        parameters: coordinates.len(),
        null_parameters: usize::from(options.intercept),
        firth: options.firth,
        deviance: 2.0 * at.value,
        null_deviance: 2.0 * null,
        profile,
    }))
}

/// A coefficient: its name, its number among the coordinates unless it is redundant, and its estimate.
type Coefficient<'a> = (&'a str, Option<usize>, f64);

/// The profile of each of `coefficients` about the minimum `at`, with intervals at `level`; none where the user stops it.
fn profile(
    coefficients: &[Coefficient<'_>],
    likelihood: &mut dyn Likelihood,
    at: &Evaluation,
    level: f64,
    monitor: &dyn Monitor,
) -> Result<Option<Profile>> {
    let mut profile = Profile { level, intervals: Vec::new(), statistics: Vec::new() };
    // P(|Z| ≤ z) = P(χ²₁ ≤ z²).
    let quantile = normal_quantile(level).powi(2);
    for (name, place, estimate) in coefficients {
        if monitor.interrupted() {
            return Ok(None);
        }
        monitor.event(Event::Step(format!("the profile likelihood of {name}")));
        let Some(k) = place else {
            profile.intervals.push(None);
            profile.statistics.push(None);
            continue;
        };
        let c = likelihood.coordinates().original_of(*k);
        let mut profiled = Profiled::new(likelihood, at, c)?;
        let (below, above) = profiled.interval(quantile)?;
        profile.intervals.push(Some((estimate - below, estimate + above)));
        profile.statistics.push(Some(profiled.at_zero()?));
    }
    Ok(Some(profile))
}

/// The minimum of `likelihood`, of columns that are independent of each other.
fn estimates_without_redundant(
    likelihood: &mut dyn Likelihood,
    weight_sum: f64,
    options: &FitOptions,
    monitor: &dyn Monitor,
) -> Result<Evaluation> {
    let start = vec![0.0; likelihood.coordinates().len()];
    let at = pointwise::solve(likelihood, start, firth::rule(options), weight_sum, &Unheard(monitor))?.minimum.at;
    let slope = likelihood.gradient_norms(&at).0;
    if !(slope <= options.tolerance) {
        return Err(Error::Numerics(format!(
            "no standard errors: the fit without the redundant columns ended at a slope of {slope:.1e}; leave them out (--drop)"
        )));
    }
    Ok(at)
}

/// What a reader of the estimates must know.
fn warnings(coefficients: &[Coefficient<'_>], counts: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let aliased: Vec<&str> = coefficients.iter().filter(|(_, place, _)| place.is_none()).map(|c| c.0).collect();
    if !aliased.is_empty() {
        let names = aliased.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if aliased.len() > MOST_NAMED { ", …" } else { "" };
        warnings.push(format!(
            "{} of {} coefficients are not defined (NA), for their columns are redundant: {names}{more}. The others are those of \
             the fit without these columns; the model keeps the shortest coefficients that predict the same.",
            aliased.len(),
            coefficients.len(),
        ));
    }
    if !counts {
        warnings.push(
            "the weights are not whole numbers: standard errors take a row of weight s for s equal rows, which is right for \
             counts. With --cluster and a column that numbers the rows each counts as one observation."
                .into(),
        );
    }
    warnings
}
