//! What `train` says of a fit: warnings, JSON, text.

use std::path::Path;

use serde_json::json;

use super::diagnostics::{Diagnostics, Influence};
use crate::certificate::Status;
use crate::cli::curve::{curve, penalty_words};
use crate::cli::evaluate::Scored;
use crate::cli::output::{count, device_words, host_peak, plural, ranks_text, short, shorten, some_names};
use crate::cli::progress::Terminal;
use crate::cli::summary;
use crate::data::{Dataset, Training};
use crate::engine::{Cost, DeviceKind};
use crate::fit::{Bootstrap, CrossValidation, Fit, FitOptions, Interval};
use crate::inference::Inference;
use crate::model::{Model, ObjectiveRecord};
use crate::solver::Solver;

/// Coefficients printed as text; the model file has all of them.
pub(super) const MOST_PRINTED: usize = 100;

/// The name of the column of ones.
const INTERCEPT: &str = "(intercept)";
/// Redundant columns explained one by one.
const MOST_REDUNDANT: usize = 10;
/// Decrease of J by the host's own steps, as a part of it, above which the engine is suspected.
const MISTRUSTED: f64 = 1e-6;

/// What was computed beside the fit.
pub(super) struct Extras<'a> {
    /// How its penalty was chosen.
    pub(super) cv: Option<&'a (CrossValidation, usize)>,
    /// What resampling says of it.
    pub(super) bootstrap: Option<&'a Bootstrap>,
    /// What was inferred of its coefficients, and the confidence of intervals.
    pub(super) inference: Option<(&'a Inference, f64)>,
    /// What there is to say of the data, and of its rows.
    pub(super) diagnostics: Option<&'a Diagnostics>,
    pub(super) influence: Option<&'a Influence>,
}

/// What a person must know about the replicates.
pub(super) fn warn_of_replicates(bootstrap: &Bootstrap, terminal: &Terminal) {
    if bootstrap.without_a_class > 0 {
        let replicates = plural(bootstrap.without_a_class as u64, "bootstrap replicate");
        terminal.warn(&format!("{replicates} drew no row of one class and were left out; the class is small."));
    }
    if bootstrap.not_converged > 0 {
        let replicates = plural(bootstrap.not_converged as u64, "bootstrap replicate");
        terminal.warn(&format!(
            "{replicates} did not converge, perhaps because the rows drawn are separated; their coefficients count as they \
             are. A penalty (--l2) makes them finite.",
        ));
    }
}

/// What a person must know about redundant columns.
pub(super) fn redundant_text(redundant: &[(String, Vec<(String, f64)>)]) -> String {
    let mut text = format!(
        "redundant columns: {}. Of all coefficients that predict the same, the shortest are returned; those of constant \
         columns are 0.",
        redundant.len()
    );
    for (name, parts) in redundant.iter().take(MOST_REDUNDANT) {
        let what = match parts.as_slice() {
            [] => "constant".to_owned(),
            parts => format!("a combination of {}", some_names(parts.iter().map(|(name, _)| name.as_str()), 4)),
        };
        text += &format!("\n  {}: {what}", shorten(name, 60));
    }
    if redundant.len() > MOST_REDUNDANT {
        let rest = &redundant[MOST_REDUNDANT..];
        text += &format!("\n  and {}", some_names(rest.iter().map(|(name, _)| name.as_str()), 20));
    }
    text
}

/// What a person must know about the answer.
pub(in crate::cli) fn warn(fit: &Fit, data: &Dataset, tolerance: f64, terminal: &Terminal) {
    if let Some(separation) = &fit.separation {
        let names = some_names(separation.columns.iter().map(|&j| data.features[j].as_str()), 8);
        let kind = if separation.complete { "completely" } else { "quasi-completely" };
        terminal.warn(&format!(
            "the classes are {kind} separated ({} of {} rows), so no maximum-likelihood estimate exists: the \
             coefficients of {names} grow without end. Predictions are usable, those coefficients are not; a penalty on \
             them (--l2 1) gives finite ones, and so does --firth.",
            count(separation.rows as u64),
            count(data.rows as u64),
        ));
    }
    if !fit.redundant.is_empty() {
        terminal.warn(&redundant_text(&fit.redundant));
    }
    warn_of_failure(&fit.cost, terminal);
    if let Some(c) = &fit.certificate {
        let scale = fit.objective.max(data.weight_sum / 1000.0);
        let by_host = fit.device.kind == DeviceKind::Cpu || fit.cost.failure.is_some();
        let expected = by_host || tolerance > 1e-6 || fit.separation.is_some();
        if !expected && c.polish_steps > 0 && c.polish_decrease > MISTRUSTED * scale {
            terminal.warn(&format!(
                "J at the point that {} ended at was {:.1e} times too large, more than its arithmetic explains; the \
                 host went on in f64, and what is returned holds. Run `gpulogit validate --device {0}`.",
                fit.device.id,
                c.polish_decrease / scale,
            ));
        }
    }
    match fit.status {
        Status::MaxIterations => terminal.warn(&format!(
            "not converged: the {} allowed are used up, largest slope {:.1e}; raise --max-iter{}.",
            plural(fit.iterations as u64, "iteration"),
            fit.gradient_inf_norm,
            if fit.solver == Solver::Gd { ", or leave --solver to auto" } else { "" },
        )),
        Status::Stalled if fit.stopped_by == "diverged" => {
            terminal.warn("not converged: J grew without bound; lower --learning-rate, or leave it out.");
        }
        Status::Stalled => warn_of_stall(fit.gradient_inf_norm, terminal),
        Status::Interrupted => warn_of_interruption(terminal),
        Status::Converged | Status::Separated => {}
    }
}

/// What a person must know of a device that left the work to the host.
pub(super) fn warn_of_failure(cost: &Cost, terminal: &Terminal) {
    if let Some(failure) = &cost.failure {
        terminal.warn(&format!("{failure}; the native CPU engine went on from there, and what is returned holds."));
    }
}

/// Why separation was not looked for, where it was not although a feature is not penalised.
pub(super) fn unchecked(fit: &Fit, options: &FitOptions) -> Option<&'static str> {
    let penalised = options.l1 > 0.0 || options.l2 > 0.0;
    if options.firth || (penalised && !options.penalty_factors.contains(&0.0)) {
        return None;
    }
    let Some(certificate) = &fit.certificate else {
        return Some("that is part of the verification, which --no-verify leaves out");
    };
    // What has an optimum is not separated.
    if options.l1 == 0.0 && fit.rank.is_none() && certificate.standard_error_gap.is_none() {
        Some("the data has too many columns for it; with --l2 on all of them the question does not arise")
    } else {
        None
    }
}

/// What `--json` prints.
pub(super) fn report(
    fit: &Fit,
    training: &Training,
    options: &FitOptions,
    held_out: Option<&Scored>,
    extras: &Extras<'_>,
    path: Option<&Path>,
) -> serde_json::Value {
    let mut report = json!({
        "rows": training.train.rows,
        "features": training.train.features.len(),
        "ranks": training.train.ranks(),
        "weight_sum": training.train.weight_sum,
        "classes": training.design.target.classes,
        "rows_read": training.summary.rows,
        "rows_dropped": training.summary.dropped_rows,
        "cells_filled": training.summary.filled_cells,
        "device": fit.device,
        "device_failure": fit.cost.failure,
        "solver": fit.solver,
        "l1": options.l1,
        "l2": options.l2,
        "nonzero": fit.coefficients.iter().filter(|beta| **beta != 0.0).count(),
        "samples": fit.samples,
        "status": fit.status,
        "stopped_by": fit.stopped_by,
        "iterations": fit.iterations,
        "passes": fit.passes,
        "objective": fit.objective,
        "gradient_inf_norm": fit.gradient_inf_norm,
        "gradient_inf_norm_raw": fit.gradient_inf_norm_raw,
        "log_loss": fit.log_loss,
        "intercept": fit.intercept,
        "column_rank": fit.rank,
        "redundant": redundant_json(&fit.redundant),
        "separation": fit.separation.as_ref().map(|s| json!({
            "complete": s.complete,
            "rows": s.rows,
            "columns": s.columns.iter().map(|&j| &training.train.features[j]).collect::<Vec<_>>(),
        })),
        "certificate": fit.certificate,
        "storage_rounding": fit.rounding,
        "holdout": held_out.map(|scored| &scored.metrics),
        "holdout_groups": held_out.and_then(Scored::groups_json),
        "model": path.map(|path| path.display().to_string()),
        "seconds": fit.seconds,
        "bytes": bytes_json(&fit.cost),
        "kernels": kernels_json(&fit.cost),
    });
    if let Some(traffic) = training.train.traffic() {
        report["communication"] = json!(traffic);
    }
    if options.firth {
        report["firth"] = json!(true);
    }
    if !options.penalty_factors.is_empty() {
        report["penalty_factors"] = json!(options.penalty_factors);
    }
    if let Some((cv, _)) = extras.cv {
        report["cross_validation"] = curve(cv);
    }
    if let Some(bootstrap) = extras.bootstrap {
        report["bootstrap"] = intervals(bootstrap, &training.train.features);
    }
    if let Some((inference, level)) = extras.inference {
        report["inference"] = summary::object(inference, level);
    }
    if let Some(diagnostics) = extras.diagnostics {
        report["diagnostics"] = diagnostics.json(training);
    }
    if let Some(influence) = extras.influence {
        report["influence"] = influence.json();
    }
    report
}

/// Redundant columns, and what they are combinations of.
pub(super) fn redundant_json(redundant: &[(String, Vec<(String, f64)>)]) -> serde_json::Value {
    let of = |(name, parts): &(String, Vec<(String, f64)>)| {
        json!({
            "name": name,
            "combination_of": parts.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })
    };
    redundant.iter().map(of).collect()
}

/// Bytes that a fit held at the most, and read.
pub(super) fn bytes_json(cost: &Cost) -> serde_json::Value {
    json!({ "host_peak": host_peak(), "device_peak": cost.device_peak, "device_read": cost.bytes_read })
}

/// What each kernel did.
pub(super) fn kernels_json(cost: &Cost) -> serde_json::Value {
    cost.kernels.iter().map(|k| json!({ "name": k.name, "calls": k.calls, "seconds": k.seconds })).collect()
}

/// What a person must know about a fit that no step took any further.
pub(super) fn warn_of_stall(slope: f64, terminal: &Terminal) {
    terminal.warn(&format!(
        "not converged: no step lowers J any more in this arithmetic, largest slope {slope:.1e}; a larger --tol accepts that, \
         a penalty (--l2) makes the problem easier.",
    ));
}

/// And about one that was stopped.
pub(super) fn warn_of_interruption(terminal: &Terminal) {
    terminal.warn("interrupted: the model holds the best point so far, which is not the optimum.");
}

/// What the replicates say, as JSON.
fn intervals(bootstrap: &Bootstrap, names: &[String]) -> serde_json::Value {
    let of = |name: &str, interval: &Interval| {
        let Interval { mean, se, low, high } = *interval;
        json!({ "name": name, "mean": mean, "se": se, "low": low, "high": high })
    };
    let intercept = bootstrap.intercept.iter().map(|interval| of(INTERCEPT, interval));
    let features = names.iter().zip(&bootstrap.coefficients).map(|(name, interval)| of(name, interval));
    json!({
        "replicates": bootstrap.replicates,
        "without_a_class": bootstrap.without_a_class,
        "not_converged": bootstrap.not_converged,
        "level": bootstrap.level,
        "coefficients": intercept.chain(features).collect::<Vec<_>>(),
        "log_loss": bootstrap.log_loss,
        "out_of_bag_log_loss": bootstrap.out_of_bag_log_loss,
        "passes": bootstrap.passes,
        "seconds": bootstrap.seconds,
    })
}

/// The penalty in words, to follow the solver's name.
pub(super) fn penalty_text(objective: &ObjectiveRecord) -> String {
    let mut text: String = [("l1", objective.l1), ("l2", objective.l2)]
        .into_iter()
        .filter(|(_, weight)| *weight > 0.0)
        .map(|(name, weight)| format!(", {name} = {}", short(weight)))
        .collect();
    if objective.firth {
        text += ", Firth's penalty";
    }
    let features = |of: fn(f64) -> bool| objective.penalty_factors.iter().filter(|factor| of(**factor)).count() as u64;
    let counts = [
        (features(|factor| factor != 0.0 && factor != 1.0), "with a factor"),
        (features(|factor| factor == 0.0), "not penalised"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {} {what}", plural(count, "feature"));
    }
    text
}

/// How a penalty was chosen, in words.
pub(super) fn penalty_chosen(cv: &CrossValidation, chosen: usize) -> String {
    format!(
        "{} chosen among {} by {}-fold cross-validation: {} {:.6} (best mean {:.6} ± {:.6})",
        penalty_words(&cv.grid, chosen),
        cv.grid.lambda.len(),
        cv.folds.len(),
        cv.score.words(),
        cv.mean_score[chosen],
        cv.mean_score[cv.best],
        cv.standard_error[cv.best],
    )
}

pub(super) fn text(fit: &Fit, training: &Training, model: &Model, extras: &Extras<'_>, path: Option<&Path>) -> String {
    let data = &training.train;
    let (negative, positive) = (&training.design.target.classes[0], &training.design.target.classes[1]);
    let target = training.design.target.name.as_deref().unwrap_or("the target file");
    let mut text = extras.diagnostics.map_or(String::new(), |diagnostics| diagnostics.text(training));
    text += &format!("device     {}\n", device_words(&fit.device));
    text += &format!(
        "data       {} × {}{}; {target}: {positive} is modelled as 1, {negative} as 0\n",
        plural(data.rows as u64, "row"),
        plural(data.features.len() as u64, "feature"),
        ranks_text(data.ranks()),
    );
    if fit.rounding > 0.0 {
        text += &format!(
            "stored     in f32, standardised: the largest rounding is {:.1e} standard deviations\n",
            fit.rounding
        );
    }
    let sparse = model.objective.l1 > 0.0;
    let penalty = penalty_text(&model.objective);
    if let Some((cv, chosen)) = extras.cv {
        text += &format!("penalty    {}\n", penalty_chosen(cv, *chosen));
    }
    if !fit.samples.is_empty() {
        let rows: Vec<String> = fit.samples.iter().map(|sample| count(sample.rows as u64)).collect();
        let iterations: Vec<String> = fit.samples.iter().map(|sample| sample.iterations.to_string()).collect();
        text += &format!(
            "samples    {} rows fitted first, on the host in f64: {} iterations\n",
            rows.join(", then "),
            iterations.join(" and "),
        );
    }
    text += &format!(
        "solver     {}{penalty}: {}, {} of X in {:.3} s\n",
        fit.solver.name(),
        plural(fit.iterations as u64, "iteration"),
        plural(fit.passes, "read"),
        fit.seconds.solve + fit.seconds.verify,
    );
    let status = fit.status.name();
    text += &match fit.stopped_by {
        "gradient" | "predicted-decrease" | "no-progress" | "diverged" => {
            format!("status     {status} (by {})\n", fit.stopped_by.replace('-', " "))
        }
        _ => format!("status     {status}\n"),
    };
    text += &match &fit.certificate {
        Some(c) => {
            let steps = match c.polish_steps {
                0 => String::new(),
                steps => format!(" after {steps} f64 step{}", if steps == 1 { "" } else { "s" }),
            };
            let gaps = match (c.objective_gap, c.coefficient_gap) {
                (Some(gap), Some(distance)) => format!(
                    "\nproved     J is within {gap:.1e} of its minimum, β within {distance:.1e} of the optimum's{}",
                    match c.standard_error_gap {
                        Some(errors) if model.objective.l2 == 0.0 => {
                            format!(", each within {errors:.1e} standard errors")
                        }
                        _ => String::new(),
                    }
                ),
                (Some(gap), None) => format!("\nproved     J is within {gap:.1e} of its minimum (duality gap)"),
                _ => String::new(),
            };
            let what = if sparse { "KKT residual" } else { "largest slope" };
            format!("certified  {what} {:.1e} of S·sd, re-computed in f64{steps}{gaps}\n", c.gradient_inf_norm)
        }
        None => format!("slope      {:.1e} of S·sd as the engine saw it; not verified\n", fit.gradient_inf_norm),
    };
    if sparse {
        let left = model.coefficients.iter().filter(|c| c.value != 0.0).count();
        text += &format!("sparse     {left} of {} coefficients are not zero\n", model.coefficients.len());
    }
    text += &format!("log loss   {:.9} (J = {})\n", fit.log_loss, short(fit.objective));
    if let Some(bootstrap) = extras.bootstrap {
        let Interval { low, high, .. } = bootstrap.log_loss;
        let unseen = bootstrap.out_of_bag_log_loss;
        text += &format!(
            "bootstrap  {} replicates in {} of X, {:.3} s: log loss {low:.6} to {high:.6}, on rows not drawn {:.6} to {:.6}\n",
            count(bootstrap.replicates as u64),
            plural(bootstrap.passes, "read"),
            bootstrap.seconds,
            unseen.low,
            unseen.high,
        );
    }
    if let Some((inference, level)) = extras.inference {
        text += &format!("\n{}", summary::table(inference, level));
        text += &extras.influence.map_or(String::new(), Influence::text);
        if extras.bootstrap.is_none() {
            return text + &model_text(path);
        }
    }
    text += "\ncoefficients";
    if let Some(bootstrap) = extras.bootstrap {
        text += &format!(", and {}% of the replicates", short(100.0 * bootstrap.level));
    }
    text += "\n";
    let shown = model.coefficients.iter().take(MOST_PRINTED);
    let names: Vec<String> = shown.clone().map(|c| shorten(&c.name, 40)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(INTERCEPT.len());
    let line = |name: &str, value: f64, interval: Option<&Interval>| {
        let interval = interval.map_or(String::new(), |i| format!("  {:>18} to {:>18}", number(i.low), number(i.high)));
        format!("  {name:width$}  {:>18}{interval}\n", number(value))
    };
    if model.objective.intercept {
        let interval = extras.bootstrap.and_then(|bootstrap| bootstrap.intercept.as_ref());
        text += &line(INTERCEPT, fit.intercept, interval);
    }
    for (j, (name, coefficient)) in names.iter().zip(shown).enumerate() {
        text += &line(name, coefficient.value, extras.bootstrap.map(|bootstrap| &bootstrap.coefficients[j]));
    }
    if model.coefficients.len() > MOST_PRINTED {
        text += &format!("  … {} more in the model\n", model.coefficients.len() - MOST_PRINTED);
    }
    text + &model_text(path)
}

/// Where the model is.
pub(super) fn model_text(path: Option<&Path>) -> String {
    path.map_or(String::new(), |path| format!("\nmodel      {}\n", path.display()))
}

/// A coefficient with ten digits.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e6).contains(&magnitude) {
        let decimals = 9 - magnitude.max(1e-4).log10().floor() as i32;
        format!("{value:.*}", decimals.clamp(0, 10) as usize)
    } else {
        format!("{value:.9e}")
    }
}
