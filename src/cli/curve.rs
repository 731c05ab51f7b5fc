//! What is said of a cross-validated grid of penalties, wherever one is.

use serde_json::json;

use super::output::{plural, short, some_names};
use super::progress::Terminal;
use crate::certificate::Status;
use crate::fit::CrossValidation;

/// What a person must know about the answer.
pub(super) fn warn(cv: &CrossValidation, tolerance: f64, terminal: &Terminal) {
    let fits = cv.members().zip(&cv.models.fits);
    let short: Vec<String> = fits
        .filter(|(_, fit)| fit.status != Status::Converged)
        .map(|((l2, fold), fit)| {
            format!("l2 = {} without fold {fold} (slope {:.1e})", short(l2), fit.gradient_inf_norm)
        })
        .collect();
    if !short.is_empty() {
        terminal.warn(&format!(
            "{} not converged to a slope of {tolerance:.0e}: {}; raise --max-iter or --tol, or leave small penalties out.",
            plural(short.len() as u64, "model"),
            some_names(short.iter().map(String::as_str), 4)
        ));
    }
    if cv.l2.len() > 1 && cv.best == 0 {
        terminal.warn("the best penalty is the largest one tried; the data may have little to say about the target.");
    }
    if cv.l2.len() > 1 && cv.best == cv.l2.len() - 1 && cv.l2[cv.best] > 0.0 {
        terminal.warn("the best penalty is the smallest one tried: a smaller one, or none, may be better still.");
    }
}

/// The curve, and what is chosen by it.
pub(super) fn curve(cv: &CrossValidation) -> serde_json::Value {
    json!({
        "folds": cv.folds,
        "l2": cv.l2,
        "metric": cv.score,
        "fold_log_loss": cv.fold_log_loss,
        "mean_log_loss": cv.mean_log_loss,
        "fold_metric": cv.fold_score,
        "mean_metric": cv.mean_score,
        "standard_error": cv.standard_error,
        "best_l2": cv.l2[cv.best],
        "one_se_l2": cv.l2[cv.one_se],
        "passes": cv.models.passes,
        "seconds": cv.seconds(),
    })
}
