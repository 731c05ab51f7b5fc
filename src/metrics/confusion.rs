//! Labels at a threshold against targets: their weights, what is computed of these, and what wrong labels cost.

use serde::Serialize;

use crate::error::{Error, Result};

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

/// What the weights of a [`Confusion`] say. `None` where the quotient is 0/0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabelScores {
    /// Share of the weight on rows whose label is right.
    pub accuracy: f64,
    /// Mean of the recalls of the classes that rows are of.
    pub balanced_accuracy: f64,
    /// TP/(TP + FP).
    pub precision: Option<f64>,
    /// TP/(TP + FN), the recall of class 1.
    pub recall: Option<f64>,
    /// TN/(TN + FP), the recall of class 0.
    pub specificity: Option<f64>,
    /// 2·TP/(2·TP + FP + FN), the harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Matthews' correlation of label and target; `None` where either is the same on all rows.
    pub mcc: Option<f64>,
}

impl Confusion {
    /// Of rows of these weights: in class 0 and in class 1, of all and of those labelled 1.
    pub(super) fn new(threshold: f64, all: [f64; 2], labelled: [f64; 2]) -> Self {
        Confusion {
            threshold,
            true_negative: all[0] - labelled[0],
            false_positive: labelled[0],
            false_negative: all[1] - labelled[1],
            true_positive: labelled[1],
        }
    }

    /// Adds a row of weight `s`.
    pub(super) fn add(&mut self, is_one: bool, labelled_one: bool, s: f64) {
        let cell = match (is_one, labelled_one) {
            (false, false) => &mut self.true_negative,
            (false, true) => &mut self.false_positive,
            (true, false) => &mut self.false_negative,
            (true, true) => &mut self.true_positive,
        };
        *cell += s;
    }

    /// What its weights say; some of them is above 0.
    pub fn scores(&self) -> LabelScores {
        let Confusion { true_negative: tn, false_positive: fp, false_negative: fn_, true_positive: tp, .. } = *self;
        let share = |part: f64, rest: f64| (part + rest > 0.0).then(|| part / (part + rest));
        let (recall, specificity) = (share(tp, fn_), share(tn, fp));
        let recalls = [recall, specificity].into_iter().flatten();
        LabelScores {
            accuracy: (tn + tp) / (tn + fp + fn_ + tp),
            balanced_accuracy: recalls.clone().sum::<f64>() / recalls.count() as f64,
            precision: share(tp, fp),
            recall,
            specificity,
            f1: share(2.0 * tp, fp + fn_),
            mcc: correlation(&[vec![tn, fp], vec![fn_, tp]]),
        }
    }
}

/// Matthews' correlation of labels and targets of K classes (Gorodkin's R_K), from the weights of each target (row) and label:
/// (c − Σ tₖ·pₖ)/√((1 − Σ pₖ²)·(1 − Σ tₖ²)), where c is the share that is right, tₖ that of class k and pₖ that of label k.
pub(super) fn correlation(confusion: &[Vec<f64>]) -> Option<f64> {
    let classes = 0..confusion.len();
    let of_class: Vec<f64> = confusion.iter().map(|row| row.iter().sum()).collect();
    let of_label: Vec<f64> = classes.clone().map(|k| confusion.iter().map(|row| row[k]).sum()).collect();
    // Rounding would hide a product that is 0.
    let vary = |weights: &[f64]| weights.iter().filter(|weight| **weight > 0.0).count() > 1;
    if !(vary(&of_class) && vary(&of_label)) {
        return None;
    }
    let all: f64 = of_class.iter().sum();
    // 1 − Σ qₖ², without cancellation.
    let spread = |weights: &[f64]| weights.iter().map(|weight| weight / all * ((all - weight) / all)).sum::<f64>();
    // c − Σ tₖ·pₖ = Σ over k of what is right beyond chance.
    let beyond = |k: usize| confusion[k][k] / all - of_class[k] / all * (of_label[k] / all);
    Some(classes.map(beyond).sum::<f64>() / (spread(&of_class).sqrt() * spread(&of_label).sqrt()))
}

/// What a row of weight 1 costs that is labelled wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Labelled 1 although t = 0.
    pub false_positive: f64,
    /// Labelled 0 although t = 1.
    pub false_negative: f64,
}

impl Cost {
    /// Costs of both errors.
    ///
    /// # Errors
    /// [`Error::Usage`] unless both are finite and above 0.
    pub fn new(false_positive: f64, false_negative: f64) -> Result<Self> {
        if [false_positive, false_negative].iter().all(|cost| *cost > 0.0 && cost.is_finite()) {
            return Ok(Cost { false_positive, false_negative });
        }
        Err(Error::Usage(format!(
            "--cost {false_positive}:{false_negative}: what a false positive and a false negative cost are finite numbers above 0"
        )))
    }

    /// What the rows of a confusion cost.
    pub fn of(&self, confusion: &Confusion) -> f64 {
        self.false_positive * confusion.false_positive + self.false_negative * confusion.false_negative
    }
}

impl std::str::FromStr for Cost {
    type Err = String;

    /// From `FP:FN`, as 1:5.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let costs = text.split_once(':').and_then(|(fp, fn_)| Some((number(fp)?, number(fn_)?)));
        let costs = costs.and_then(|(fp, fn_)| Cost::new(fp, fn_).ok());
        costs.ok_or_else(|| {
            "it must be what a false positive and a false negative cost: two numbers above 0, as 1:5".to_owned()
        })
    }
}

/// Labels at one threshold of several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    /// Labels against targets.
    #[serde(flatten)]
    pub confusion: Confusion,
    /// What they say.
    #[serde(flatten)]
    pub scores: LabelScores,
}

impl From<Confusion> for AtThreshold {
    fn from(confusion: Confusion) -> Self {
        AtThreshold { confusion, scores: confusion.scores() }
    }
}

/// The threshold at which wrong labels cost least on these rows, of equally good ones the highest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestThreshold {
    /// What an error costs.
    pub cost: Cost,
    /// Labels at the threshold.
    #[serde(flatten)]
    pub at: AtThreshold,
    /// Their cost, over S.
    pub mean_cost: f64,
    /// The same at the threshold of [`Metrics::confusion`](super::Metrics::confusion).
    pub mean_cost_before: f64,
}
