//! Metrics of more than two classes.

use serde::Serialize;

use super::confusion::correlation;
use super::groups::Judge;
use super::ranked::{Overflow, Ranked};
use super::{areas, no_weight};
use crate::error::{Error, Result};

/// Metrics of n labelled rows of K classes, each counted s times (s: sample weight). A row is labelled with its most probable
/// class, the first of equals.
///
/// Of a class *precision* is the share of rows labelled with it that are of it, 0 where none is; *recall* the share of its rows
/// that are labelled with it; *F1* their harmonic mean. *Macro* is the plain mean over the classes that rows are of, *weighted* that by their weight. With one label
/// a row the *micro* means of all three are the accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Rows given, those of weight 0 among them.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
    /// −Σ s·log yₜ / S in nats.
    pub log_loss: f64,
    /// Share of the weight on rows whose label is right.
    pub accuracy: f64,
    /// Macro mean of the recalls.
    pub balanced_accuracy: f64,
    /// Matthews' correlation of label and target, of all classes at once (R_K); `None` where either is the same on all rows.
    pub mcc: Option<f64>,
    /// Macro means.
    pub macro_precision: f64,
    /// See [`ClassMetrics::macro_precision`].
    pub macro_f1: f64,
    /// Weighted mean of F1.
    pub weighted_f1: f64,
    /// Mean over the classes of the area under the ROC curve of the class against the rest, ranked by its probability; `None` when
    /// a class has no weight or all of it.
    pub macro_roc_auc: Option<f64>,
    /// Σ s·Σₖ (yₖ − [t = k])² / S.
    pub brier: f64,
    /// One for each class.
    pub classes: Vec<ClassMetric>,
    /// Sums of sample weights: a row for each true class, a column for each label.
    pub confusion: Vec<Vec<f64>>,
}

/// Metrics of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClassMetric {
    /// Weight of its rows.
    pub weight: f64,
    /// See [`ClassMetrics`].
    pub precision: f64,
    /// See [`ClassMetrics`]; 0 where the class has no rows.
    pub recall: f64,
    /// See [`ClassMetrics`].
    pub f1: f64,
    /// Area under the ROC curve of the class against the rest.
    pub roc_auc: Option<f64>,
}

/// Metrics under way, of rows that come one after the other, in bounded memory.
#[derive(Clone)]
pub struct ClassTally {
    rows: usize,
    weight_sum: f64,
    loss: f64,
    square: f64,
    confusion: Vec<Vec<f64>>,
    ranked: Vec<Ranked>,
}

impl ClassTally {
    /// Of no rows of `classes` classes yet.
    pub fn new(classes: usize) -> Self {
        ClassTally {
            rows: 0,
            weight_sum: 0.0,
            loss: 0.0,
            square: 0.0,
            confusion: vec![vec![0.0; classes]; classes],
            ranked: (0..classes).map(|_| Ranked::among(classes)).collect(),
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row with the logarithms of the probabilities of all classes, of class `class` and sample weight `s` (finite, ≥ 0).
    ///
    /// # Errors
    /// [`Error::Numerics`] when one of them is out of its range or NaN, [`Error::Io`] about the file of rows that memory does not
    /// hold.
    pub fn add(&mut self, log_probabilities: &[f64], class: usize, s: f64) -> Result<()> {
        self.rows += 1;
        let bad = |message: String| Err(Error::Numerics(message));
        let (row, classes) = (self.rows, self.confusion.len());
        if log_probabilities.len() != classes || log_probabilities.iter().any(|p| p.is_nan()) {
            return bad(format!("the prediction of row {row} is not a number for each of {classes} classes"));
        }
        if class >= classes {
            return bad(format!("row {row} is of class {class} of {classes}"));
        }
        if !(s >= 0.0 && s.is_finite()) {
            return bad(format!("the weight of row {row} is {s}: weights are finite and not negative"));
        }
        // Also keeps 0·∞ out of the sums.
        if s == 0.0 {
            return Ok(());
        }
        self.weight_sum += s;
        self.loss -= s * log_probabilities[class];
        self.confusion[class][most_probable(log_probabilities)] += s;
        for (k, (ranked, p)) in self.ranked.iter_mut().zip(log_probabilities).enumerate() {
            let off = p.exp() - f64::from(u8::from(k == class));
            self.square += s * off * off;
            ranked.push(*p, k == class, s)?;
        }
        Ok(())
    }

    /// The metrics of all rows.
    ///
    /// # Errors
    /// [`Error::Numerics`] when no row has weight, [`Error::Io`] as for [`ClassTally::add`].
    pub fn finish(self) -> Result<ClassMetrics> {
        let ClassTally { rows, weight_sum, loss, square, confusion, ranked } = self;
        if weight_sum == 0.0 {
            return Err(no_weight());
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let mut classes = Vec::with_capacity(confusion.len());
        for (k, ranked) in ranked.into_iter().enumerate() {
            let (right, weight) = (confusion[k][k], confusion[k].iter().sum::<f64>());
            let labelled: f64 = confusion.iter().map(|of_class| of_class[k]).sum();
            classes.push(ClassMetric {
                weight,
                precision: share(right, labelled),
                recall: share(right, weight),
                f1: share(2.0 * right, labelled + weight),
                roc_auc: areas(ranked)?.map(|(roc, _)| roc),
            });
        }
        let there: Vec<&ClassMetric> = classes.iter().filter(|class| class.weight > 0.0).collect();
        let mean =
            |of: &dyn Fn(&ClassMetric) -> f64| there.iter().map(|class| of(class)).sum::<f64>() / there.len() as f64;
        let right: f64 = (0..confusion.len()).map(|k| confusion[k][k]).sum();
        let of_classes: Option<Vec<f64>> = classes.iter().map(|class| class.roc_auc).collect();
        Ok(ClassMetrics {
            rows,
            weight_sum,
            log_loss: loss / weight_sum,
            accuracy: right / weight_sum,
            balanced_accuracy: mean(&|class| class.recall),
            mcc: correlation(&confusion),
            macro_precision: mean(&|class| class.precision),
            macro_f1: mean(&|class| class.f1),
            weighted_f1: classes.iter().map(|class| class.weight * class.f1).sum::<f64>() / weight_sum,
            macro_roc_auc: of_classes.map(|areas| areas.iter().sum::<f64>() / areas.len() as f64),
            brier: square / weight_sum,
            classes,
            confusion,
        })
    }
}

impl Judge for ClassTally {
    type Metrics = ClassMetrics;

    fn rows(&self) -> usize {
        self.rows
    }

    fn held(&self) -> usize {
        self.ranked.iter().map(Ranked::held).sum()
    }

    fn spill(&mut self, file: &Overflow) -> Result<()> {
        self.ranked.iter_mut().try_for_each(|ranked| ranked.spill(file))
    }

    fn weighs(&self) -> bool {
        self.weight_sum > 0.0
    }

    fn finish(self) -> Result<ClassMetrics> {
        ClassTally::finish(self)
    }
}

/// The class of the largest of `scores`, the first of equals.
pub fn most_probable(scores: &[f64]) -> usize {
    (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best })
}
