//! What is said of a grid of penalties and of its cross-validation, wherever one is.

use serde_json::json;

use super::output::{plural, short, some_names};
use super::progress::Terminal;
use crate::certificate::Status;
use crate::fit::{CrossValidation, Grid, MemberFit};

/// Penalty `k` in words, as `l2 = 3`.
pub(super) fn penalty_words(grid: &Grid, k: usize) -> String {
    let (l1, l2) = (short(grid.l1(k)), short(grid.l2(k)));
    match grid.l1_ratio {
        0.0 => format!("l2 = {l2}"),
        1.0 => format!("l1 = {l1}"),
        _ => format!("l1 = {l1} and l2 = {l2}"),
    }
}

/// A part of each penalty, in order.
pub(super) fn of_grid(grid: &Grid, part: fn(&Grid, usize) -> f64) -> Vec<f64> {
    (0..grid.lambda.len()).map(|k| part(grid, k)).collect()
}

/// Penalty `k` as options of `train`.
pub(super) fn penalty_options(grid: &Grid, k: usize) -> String {
    let options = [("--l1", grid.l1(k)), ("--l2", grid.l2(k))].into_iter().filter(|(_, weight)| *weight > 0.0);
    options.map(|(option, weight)| format!("{option} {}", short(weight))).collect::<Vec<_>>().join(" ")
}

/// What a person must know about the answer.
pub(super) fn warn(cv: &CrossValidation, tolerance: f64, terminal: &Terminal) {
    let name = |(k, fold)| format!("{} without fold {fold}", penalty_words(&cv.grid, k));
    warn_of_models(cv.members().map(name).zip(&cv.models.fits), tolerance, terminal);
    let lambda = &cv.grid.lambda;
    if lambda.len() > 1 && cv.best == 0 {
        terminal.warn("the best penalty is the largest one tried; the data may have little to say about the target.");
    }
    if lambda.len() > 1 && cv.best == lambda.len() - 1 && lambda[cv.best] > 0.0 {
        terminal.warn("the best penalty is the smallest one tried: a smaller one, or none, may be better still.");
    }
}

/// Names the models that have not converged.
pub(super) fn warn_of_models<'a>(
    models: impl Iterator<Item = (String, &'a MemberFit)>,
    tolerance: f64,
    terminal: &Terminal,
) {
    let short: Vec<String> = models
        .filter(|(_, fit)| fit.status != Status::Converged)
        .map(|(name, fit)| format!("{name} (slope {:.1e})", fit.gradient_inf_norm))
        .collect();
    if !short.is_empty() {
        terminal.warn(&format!(
            "{} not converged to a slope of {tolerance:.0e}: {}; raise --max-iter or --tol, or leave small penalties out.",
            plural(short.len() as u64, "model"),
            some_names(short.iter().map(String::as_str), 4)
        ));
    }
}

/// The curve, and what is chosen by it.
pub(super) fn curve(cv: &CrossValidation) -> serde_json::Value {
    json!({
        "folds": cv.folds,
        "l1_ratio": cv.grid.l1_ratio,
        "l1": of_grid(&cv.grid, Grid::l1),
        "l2": of_grid(&cv.grid, Grid::l2),
        "metric": cv.score,
        "fold_log_loss": cv.fold_log_loss,
        "mean_log_loss": cv.mean_log_loss,
        "fold_metric": cv.fold_score,
        "mean_metric": cv.mean_score,
        "standard_error": cv.standard_error,
        "best_l1": cv.grid.l1(cv.best),
        "best_l2": cv.grid.l2(cv.best),
        "one_se_l1": cv.grid.l1(cv.one_se),
        "one_se_l2": cv.grid.l2(cv.one_se),
        "passes": cv.models.passes,
        "seconds": cv.seconds(),
    })
}
