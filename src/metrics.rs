//! How well predictions fit labelled rows: log loss, accuracy, areas under the ROC and precision–recall curves, Brier
//! score, confusion matrix.
//!
//! Everything is computed from the linear predictor a, which does not saturate as y = σ(a) does: rows at a = 40 and
//! a = 50 still differ in rank, and a wrong row at a = 800 costs 800, not infinity.

use crate::error::{Error, Result};
use crate::logistic::{sigmoid, softplus};
use rayon::slice::ParallelSliceMut;
use serde::Serialize;

/// Metrics of n labelled rows, each counted s times (s: sample weight).
///
/// In JSON a number that is not finite and an area that is not defined are `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Rows given, those of weight 0 among them.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
    /// Σ s·ℓ(t, a) / S in nats, ℓ as in [`crate`]. Infinite only where a itself is infinite on the wrong side.
    pub log_loss: f64,
    /// Share of the weight on rows whose label at the threshold is right.
    pub accuracy: f64,
    /// Area under the ROC curve: the chance that a row of class 1 is ranked above one of class 0, ties counting half.
    /// `None` when one class has no weight.
    pub roc_auc: Option<f64>,
    /// Average precision, Σ (Rₖ − Rₖ₋₁)·Pₖ over the distinct values of a, highest first: a step-wise area, with no line
    /// drawn between the points. `None` when one class has no weight.
    pub pr_auc: Option<f64>,
    /// Brier score, Σ s·(y − t)² / S.
    pub brier: f64,
    /// Labels at the threshold against targets.
    pub confusion: Confusion,
}

/// Sums of sample weights by target and predicted label. A row is labelled 1 when y ≥ `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Confusion {
    /// The probability from which on a row is labelled 1.
    pub threshold: f64,
    /// t = 0, labelled 0.
    pub true_negative: f64,
    /// t = 0, labelled 1.
    pub false_positive: f64,
    /// t = 1, labelled 0.
    pub false_negative: f64,
    /// t = 1, labelled 1.
    pub true_positive: f64,
}

/// Metrics of rows with linear predictors `a`, targets `t` (0 or 1) and sample weights `s` (finite, ≥ 0), n of each.
///
/// # Errors
/// [`Error::Usage`] when the threshold is not in [0, 1]; [`Error::Numerics`] when the lengths differ, a value is out of
/// its range or NaN, or no row has weight.
pub fn evaluate(a: &[f64], t: &[f64], s: &[f64], threshold: f64) -> Result<Metrics> {
    check(a, t, s, threshold)?;
    let mut confusion =
        Confusion { threshold, true_negative: 0.0, false_positive: 0.0, false_negative: 0.0, true_positive: 0.0 };
    let (mut weight_sum, mut loss, mut square) = (0.0, 0.0, 0.0);
    let mut ranked = Vec::with_capacity(a.len());
    for ((&a, &t), &s) in a.iter().zip(t).zip(s) {
        // Also keeps 0·∞ out of the sums.
        if s == 0.0 {
            continue;
        }
        // With u = −a for t = 1 and a for t = 0, ℓ(t, a) = log(1+eᵘ) and |y − t| = σ(u).
        let wrong = if t == 1.0 { -a } else { a };
        weight_sum += s;
        loss += s * softplus(wrong);
        square += s * sigmoid(wrong).powi(2);
        let cell = match (t == 1.0, sigmoid(a) >= threshold) {
            (false, false) => &mut confusion.true_negative,
            (false, true) => &mut confusion.false_positive,
            (true, false) => &mut confusion.false_negative,
            (true, true) => &mut confusion.true_positive,
        };
        *cell += s;
        ranked.push((a, t == 1.0, s));
    }
    let (roc_auc, pr_auc) = areas(ranked).unzip();
    Ok(Metrics {
        rows: a.len(),
        weight_sum,
        log_loss: loss / weight_sum,
        accuracy: (confusion.true_negative + confusion.true_positive) / weight_sum,
        roc_auc,
        pr_auc,
        brier: square / weight_sum,
        confusion,
    })
}

/// That a threshold is a probability.
///
/// # Errors
/// [`Error::Usage`] when it is not in [0, 1].
pub fn check_threshold(threshold: f64) -> Result<()> {
    if (0.0..=1.0).contains(&threshold) {
        Ok(())
    } else {
        Err(Error::Usage(format!("the threshold is a probability between 0 and 1, not {threshold}")))
    }
}

fn check(a: &[f64], t: &[f64], s: &[f64], threshold: f64) -> Result<()> {
    check_threshold(threshold)?;
    let numerics = |message: String| Err(Error::Numerics(message));
    if a.len() != t.len() || a.len() != s.len() {
        return numerics(format!("{} predictions, {} targets and {} weights do not pair", a.len(), t.len(), s.len()));
    }
    if let Some(i) = a.iter().position(|a| a.is_nan()) {
        return numerics(format!("the prediction of row {} is not a number", i + 1));
    }
    if let Some(i) = t.iter().position(|&t| t != 0.0 && t != 1.0) {
        return numerics(format!("the target of row {} is {}: metrics need classes, 0 or 1", i + 1, t[i]));
    }
    if let Some(i) = s.iter().position(|&s| !(s >= 0.0 && s.is_finite())) {
        return numerics(format!("the weight of row {} is {}: weights are finite and not negative", i + 1, s[i]));
    }
    if !s.iter().any(|&s| s > 0.0) {
        return numerics("there is no row with a weight above 0 to take metrics of".into());
    }
    Ok(())
}

/// Areas under the ROC and the precision–recall curve of rows (a, whether t = 1, s); `None` when a class is absent.
fn areas(mut rows: Vec<(f64, bool, f64)>) -> Option<(f64, f64)> {
    rows.par_sort_unstable_by(|left, right| right.0.total_cmp(&left.0));
    // Weight of both classes ranked so far, and Σ over groups of equal a of what each adds to the areas.
    let (mut negative, mut positive) = (0.0, 0.0);
    let (mut above, mut precision) = (0.0, 0.0);
    // 0 and −0 lie side by side in the order and are one group.
    for group in rows.chunk_by(|left, right| left.0 == right.0) {
        let weight = |class| group.iter().filter(|row| row.1 == class).map(|row| row.2).sum::<f64>();
        let (group_negative, group_positive) = (weight(false), weight(true));
        above += group_negative * (positive + 0.5 * group_positive);
        negative += group_negative;
        positive += group_positive;
        precision += group_positive * (positive / (positive + negative));
    }
    (negative > 0.0 && positive > 0.0).then(|| (above / (negative * positive), precision / positive))
}

#[cfg(test)]
mod tests;
