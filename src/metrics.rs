//! How well predictions fit labelled rows: log loss, accuracy, areas under the ROC and precision–recall curves, Brier
//! score, confusion matrix.
//!
//! Everything is computed from the linear predictor a, which does not saturate as y = σ(a) does: rows at a = 40 and
//! a = 50 still differ in rank, and a wrong row at a = 800 costs 800, not infinity.

mod classes;
mod ranked;

pub use classes::{ClassMetric, ClassMetrics, ClassTally, most_probable};
use ranked::Ranked;

use crate::error::{Error, Result};
use crate::logistic::{sigmoid, softplus};
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
/// As those of a [`Tally`]; [`Error::Numerics`] when the lengths differ.
pub fn evaluate(a: &[f64], t: &[f64], s: &[f64], threshold: f64) -> Result<Metrics> {
    let mut tally = Tally::new(threshold)?;
    if a.len() != t.len() || a.len() != s.len() {
        let lengths = format!("{} predictions, {} targets and {} weights", a.len(), t.len(), s.len());
        return Err(Error::Numerics(format!("{lengths} do not pair")));
    }
    for ((&a, &t), &s) in a.iter().zip(t).zip(s) {
        tally.add(a, t, s)?;
    }
    tally.finish()
}

/// Metrics under way, of rows that come one after the other, in bounded memory.
pub struct Tally {
    rows: usize,
    weight_sum: f64,
    loss: f64,
    square: f64,
    confusion: Confusion,
    ranked: Ranked,
}

impl Tally {
    /// Of no rows yet; from the probability `threshold` on a row is labelled 1.
    ///
    /// # Errors
    /// [`Error::Usage`] when the threshold is not in [0, 1].
    pub fn new(threshold: f64) -> Result<Self> {
        check_threshold(threshold)?;
        let confusion =
            Confusion { threshold, true_negative: 0.0, false_positive: 0.0, false_negative: 0.0, true_positive: 0.0 };
        Ok(Tally { rows: 0, weight_sum: 0.0, loss: 0.0, square: 0.0, confusion, ranked: Ranked::new() })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row of linear predictor `a`, target `t` (0 or 1) and sample weight `s` (finite, ≥ 0).
    ///
    /// # Errors
    /// [`Error::Numerics`] when one of them is out of its range or NaN, [`Error::Io`] about the file of rows that memory does
    /// not hold.
    pub fn add(&mut self, a: f64, t: f64, s: f64) -> Result<()> {
        self.rows += 1;
        let bad = |message: String| Err(Error::Numerics(message));
        let row = self.rows;
        if a.is_nan() {
            return bad(format!("the prediction of row {row} is not a number"));
        }
        if t != 0.0 && t != 1.0 {
            return bad(format!("the target of row {row} is {t}: metrics need classes, 0 or 1"));
        }
        if !(s >= 0.0 && s.is_finite()) {
            return bad(format!("the weight of row {row} is {s}: weights are finite and not negative"));
        }
        // Also keeps 0·∞ out of the sums.
        if s == 0.0 {
            return Ok(());
        }
        // With u = −a for t = 1 and a for t = 0, ℓ(t, a) = log(1+eᵘ) and |y − t| = σ(u).
        let wrong = if t == 1.0 { -a } else { a };
        self.weight_sum += s;
        self.loss += s * softplus(wrong);
        self.square += s * sigmoid(wrong).powi(2);
        let cell = match (t == 1.0, sigmoid(a) >= self.confusion.threshold) {
            (false, false) => &mut self.confusion.true_negative,
            (false, true) => &mut self.confusion.false_positive,
            (true, false) => &mut self.confusion.false_negative,
            (true, true) => &mut self.confusion.true_positive,
        };
        *cell += s;
        self.ranked.push(a, t == 1.0, s)
    }

    /// The metrics of all rows.
    ///
    /// # Errors
    /// [`Error::Numerics`] when no row has weight, [`Error::Io`] as for [`Tally::add`].
    pub fn finish(self) -> Result<Metrics> {
        let Tally { rows, weight_sum, loss, square, confusion, ranked } = self;
        if weight_sum == 0.0 {
            return Err(Error::Numerics("there is no row with a weight above 0 to take metrics of".into()));
        }
        let (roc_auc, pr_auc) = areas(ranked)?.unzip();
        Ok(Metrics {
            rows,
            weight_sum,
            log_loss: loss / weight_sum,
            accuracy: (confusion.true_negative + confusion.true_positive) / weight_sum,
            roc_auc,
            pr_auc,
            brier: square / weight_sum,
            confusion,
        })
    }
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

/// Areas under the ROC and the precision–recall curve; `None` when a class is absent.
fn areas(rows: Ranked) -> Result<Option<(f64, f64)>> {
    // Weight of both classes ranked so far, and Σ over groups of equal a of what each adds to the areas.
    let (mut negative, mut positive) = (0.0, 0.0);
    let (mut above, mut precision) = (0.0, 0.0);
    rows.each(|[group_negative, group_positive]| {
        above += group_negative * (positive + 0.5 * group_positive);
        negative += group_negative;
        positive += group_positive;
        precision += group_positive * (positive / (positive + negative));
    })?;
    Ok((negative > 0.0 && positive > 0.0).then(|| (above / (negative * positive), precision / positive)))
}

#[cfg(test)]
mod tests;
