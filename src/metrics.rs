//! How well predictions fit labelled rows: log loss and Brier score, labels at thresholds, areas under the ROC and
//! precision–recall curves, lift, calibration. `docs/metrics.md` has the definitions and what each is in scikit-learn.
//!
//! Everything is computed from the linear predictor a, which does not saturate as y = σ(a) does: rows at a = 40 and
//! a = 50 still differ in rank, and a wrong row at a = 800 costs 800, not infinity.

mod calibration;
mod classes;
mod confusion;
mod curve;
mod curves;
mod groups;
mod ranked;

use calibration::Reliability;
pub use calibration::{Calibration, CalibrationBin};
pub use classes::{ClassMetric, ClassMetrics, ClassTally, most_probable};
pub use confusion::{AtThreshold, BestThreshold, Confusion, Cost, LabelScores};
pub use curve::{AreaInterval, Lift};
use curve::{Areas, Totals, sweep};
pub use curves::Curves;
pub use groups::{Group, Groups, Judge};
use ranked::{Overflow, Ranked};

use crate::error::{Error, Result};
use crate::logistic::{sigmoid, softplus};
use serde::Serialize;

/// Metrics of n labelled rows, each counted s times (s: sample weight).
///
/// What is not defined is `None`, in JSON `null`, as is a number that is not finite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Rows given, those of weight 0 among them.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
    /// Share of the weight in class 1, Σ s·t / S.
    pub base_rate: f64,
    /// Σ s·y / S, which is the base rate where predictions are neither too high nor too low on the whole.
    pub mean_probability: f64,
    /// Σ s·ℓ(t, a) / S in nats, ℓ as in [`crate`]. Infinite only where a itself is infinite on the wrong side.
    pub log_loss: f64,
    /// Brier score, Σ s·(y − t)² / S.
    pub brier: f64,
    /// What the labels at the threshold say.
    #[serde(flatten)]
    pub labels: LabelScores,
    /// Area under the ROC curve: the chance that a row of class 1 is ranked above one of class 0, ties counting half.
    /// `None` when one class has no weight.
    pub roc_auc: Option<f64>,
    /// How far that may be from the area of the population. `None` too when a class has one row, or the classes are separated.
    pub roc_auc_interval: Option<AreaInterval>,
    /// Average precision, Σ (Rₖ − Rₖ₋₁)·Pₖ over the distinct values of a, highest first: a step-wise area, with no line
    /// drawn between the points. `None` when one class has no weight.
    pub pr_auc: Option<f64>,
    /// Kolmogorov's and Smirnov's largest difference between the distributions of a in the two classes. `None` when one has no weight.
    pub ks: Option<f64>,
    /// How much of class 1 is ranked highest. `None` when one class has no weight.
    pub lift: Option<Vec<Lift>>,
    /// How far probabilities are those that events have.
    pub calibration: Calibration,
    /// Labels at the threshold against targets.
    pub confusion: Confusion,
    /// Labels at other thresholds, the lowest first.
    pub thresholds: Vec<AtThreshold>,
    /// The threshold at which errors cost least, where it was said what they cost.
    pub best_threshold: Option<BestThreshold>,
    /// What pictures are drawn from.
    #[serde(skip)]
    pub curves: Curves,
}

/// The metrics that a penalty may be chosen by; see [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headline {
    /// See [`Metrics::log_loss`].
    pub log_loss: f64,
    /// See [`LabelScores::accuracy`].
    pub accuracy: f64,
    /// See [`Metrics::roc_auc`].
    pub roc_auc: Option<f64>,
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
#[derive(Clone)]
pub struct Tally {
    rows: usize,
    totals: Totals,
    loss: f64,
    square: f64,
    reliability: Reliability,
    confusion: Confusion,
    cost: Option<Cost>,
    ranked: Ranked,
}

impl Tally {
    /// Of no rows yet; from the probability `threshold` on a row is labelled 1.
    ///
    /// # Errors
    /// [`Error::Usage`] when the threshold is not in [0, 1].
    pub fn new(threshold: f64) -> Result<Self> {
        check_threshold(threshold)?;
        Ok(Tally {
            rows: 0,
            totals: Totals::default(),
            loss: 0.0,
            square: 0.0,
            reliability: Reliability::default(),
            confusion: Confusion::new(threshold, [0.0; 2], [0.0; 2]),
            cost: None,
            ranked: Ranked::new(),
        })
    }

    /// With what errors cost, for the best threshold.
    pub fn with_cost(self, cost: Option<Cost>) -> Self {
        Tally { cost, ..self }
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
        let (is_one, y) = (t == 1.0, sigmoid(a));
        let wrong = if is_one { -a } else { a };
        self.totals.weight[usize::from(is_one)] += s;
        self.totals.rows[usize::from(is_one)] += 1;
        self.loss += s * softplus(wrong);
        self.square += s * sigmoid(wrong).powi(2);
        self.reliability.add(y, t, s);
        self.confusion.add(is_one, y >= self.confusion.threshold, s);
        self.ranked.push(a, is_one, s)
    }

    /// The metrics of all rows.
    ///
    /// # Errors
    /// [`Error::Numerics`] when no row has weight, [`Error::Io`] as for [`Tally::add`].
    pub fn finish(self) -> Result<Metrics> {
        let weight_sum = self.weight_sum()?;
        let Tally { rows, totals, loss, square, reliability, confusion, cost, mut ranked } = self;
        ranked.sort();
        let mean_probability = reliability.probability() / weight_sum;
        let calibration = reliability.finish(&ranked)?;
        let curve = sweep(ranked, &totals, cost.as_ref())?;
        let best_threshold = cost.zip(curve.best).map(|(cost, best)| BestThreshold {
            cost,
            at: best.into(),
            mean_cost: cost.of(&best) / weight_sum,
            mean_cost_before: cost.of(&confusion) / weight_sum,
        });
        let (roc_auc, pr_auc) = curve.areas.unzip();
        Ok(Metrics {
            rows,
            weight_sum,
            base_rate: totals.weight[1] / weight_sum,
            mean_probability,
            log_loss: loss / weight_sum,
            brier: square / weight_sum,
            labels: confusion.scores(),
            roc_auc,
            roc_auc_interval: curve.interval,
            pr_auc,
            ks: curve.ks,
            lift: curve.lift,
            calibration,
            confusion,
            thresholds: curve.thresholds.into_iter().map(AtThreshold::from).collect(),
            best_threshold,
            curves: curve.curves,
        })
    }

    /// A few of the metrics of all rows, for less work.
    ///
    /// # Errors
    /// As [`Tally::finish`].
    pub fn headline(self) -> Result<Headline> {
        Ok(Headline {
            log_loss: self.loss / self.weight_sum()?,
            accuracy: self.confusion.scores().accuracy,
            roc_auc: areas(self.ranked)?.map(|(roc, _)| roc),
        })
    }

    fn weight_sum(&self) -> Result<f64> {
        let weight_sum: f64 = self.totals.weight.iter().sum();
        if weight_sum > 0.0 { Ok(weight_sum) } else { Err(no_weight()) }
    }
}

impl Judge for Tally {
    type Metrics = Metrics;

    fn rows(&self) -> usize {
        self.rows
    }

    fn held(&self) -> usize {
        self.ranked.held()
    }

    fn spill(&mut self, file: &Overflow) -> Result<()> {
        self.ranked.spill(file)
    }

    fn weighs(&self) -> bool {
        self.totals.rows != [0, 0]
    }

    fn finish(self) -> Result<Metrics> {
        Tally::finish(self)
    }
}

fn no_weight() -> Error {
    Error::Numerics("there is no row with a weight above 0 to take metrics of".into())
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
    let mut areas = Areas::default();
    rows.each(|tie| areas.add(tie.weight))?;
    Ok(areas.finish())
}

#[cfg(test)]
mod tests;
