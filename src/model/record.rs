//! What a model remembers of its training, and how a second fit by that record compares.

use serde::{Deserialize, Serialize};

use super::Model;
use crate::certificate::Status;
use crate::data::Fingerprint;
use crate::engine::DeviceInfo;
use crate::solver::Solver;

/// Rounding that bounds proved in f64 do not cover, as a part of the coefficients' length or of J.
const ROUNDING: f64 = 1e-12;

/// What a model remembers of its training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Rows fitted.
    pub rows: usize,
    /// S = Σ s.
    pub weight_sum: f64,
    /// How the fit ended.
    pub status: Status,
    /// What stopped it.
    pub stopped_by: String,
    /// The gradient at the returned point as `--tol` measures it.
    pub gradient_inf_norm: f64,
    /// J at the returned point.
    pub objective: f64,
    /// Mean loss at the returned point.
    pub log_loss: f64,
    /// Proved upper bound of J − min J, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective_gap: Option<f64>,
    /// Proved upper bound of ‖β − β*‖ on the original columns, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coefficient_gap: Option<f64>,
    /// The method.
    pub solver: Solver,
    /// What computed.
    pub device: DeviceInfo,
    /// The seed of everything random.
    pub seed: u64,
    /// Version of gpulogit.
    pub version: String,
    /// What went in and what came out, each as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprints: Option<Fingerprints>,
    /// What was typed after `gpulogit train` that bears on the fit: `train --replay` runs it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// What went into a fit and what came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// The rows fitted: names, values, targets, weights, offsets.
    pub data: Fingerprint,
    /// How they were fitted; on what is not part of it.
    pub options: Fingerprint,
    /// The coefficients and intercepts.
    pub result: Fingerprint,
}

/// A fit beside the recorded one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Whether the rows are the same.
    pub same_data: bool,
    /// Whether they were fitted in the same way.
    pub same_options: bool,
    /// Whether every coefficient has the same bits.
    pub same_bits: bool,
    /// How far the two are from each other; `None` where their features or classes are not the same.
    pub apart: Option<Apart>,
}

/// How far two fits are from each other, and how far both certificates let them be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Apart {
    /// ‖β − β′‖ on the original columns.
    pub coefficients: f64,
    /// What both prove of it, rounding added; `None` where one proves nothing.
    pub coefficient_bound: Option<f64>,
    /// |J − J′|.
    pub objective: f64,
    /// What both prove of it, likewise.
    pub objective_bound: Option<f64>,
}

impl Comparison {
    /// Of `again` with `recorded`; nothing is the same where one has no fingerprints.
    pub fn of(recorded: &Model, again: &Model) -> Self {
        let both = recorded.training.fingerprints.zip(again.training.fingerprints);
        let same = |of: fn(Fingerprints) -> Fingerprint| both.is_some_and(|(then, now)| of(then) == of(now));
        Comparison {
            same_data: same(|prints| prints.data),
            same_options: same(|prints| prints.options),
            same_bits: same(|prints| prints.result),
            apart: Apart::of(recorded, again),
        }
    }

    /// Whether it is the same fit: the same bits, or an optimum of the same within what the certificates prove.
    pub fn agrees(&self) -> bool {
        self.same_data && self.same_options && (self.same_bits || self.apart.is_some_and(|apart| apart.is_proved()))
    }
}

impl Apart {
    fn of(recorded: &Model, again: &Model) -> Option<Self> {
        let named =
            |model: &Model| model.coefficients.iter().map(|c| (c.name.clone(), c.class.clone())).collect::<Vec<_>>();
        if recorded.classes != again.classes || named(recorded) != named(again) {
            return None;
        }
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|b| b * b).sum::<f64>().sqrt();
        let pairs = || recorded.coefficients.iter().zip(&again.coefficients);
        let (then, now) = (&recorded.training, &again.training);
        let size = norm(&mut recorded.coefficients.iter().map(|c| c.value));
        Some(Apart {
            coefficients: norm(&mut pairs().map(|(a, b)| a.value - b.value)),
            coefficient_bound: then.coefficient_gap.zip(now.coefficient_gap).map(|(a, b)| a + b + ROUNDING * size),
            objective: (then.objective - now.objective).abs(),
            // Neither is below the minimum by more than rounding.
            objective_bound: then
                .objective_gap
                .zip(now.objective_gap)
                .map(|(a, b)| a.max(b) + ROUNDING * then.objective),
        })
    }

    /// Whether both certificates explain it: that of the coefficients where they bound them, else that of J.
    pub fn is_proved(&self) -> bool {
        match (self.coefficient_bound, self.objective_bound) {
            (Some(bound), _) => self.coefficients <= bound,
            (None, Some(bound)) => self.objective <= bound,
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_certificate_explains_does_not_agree() {
        let apart =
            Apart { coefficients: 1e-9, coefficient_bound: Some(1e-9), objective: 1.0, objective_bound: Some(0.0) };
        let same = Comparison { same_data: true, same_options: true, same_bits: false, apart: Some(apart) };
        assert!(same.agrees());
        let of_objective =
            Apart { coefficients: 1.0, coefficient_bound: None, objective: 0.0, objective_bound: Some(0.0) };
        assert!(Comparison { apart: Some(of_objective), ..same }.agrees());
        assert!(Comparison { same_bits: true, apart: None, ..same }.agrees());
        let not = [
            Comparison { same_data: false, ..same },
            Comparison { same_options: false, same_bits: true, ..same },
            Comparison { apart: None, ..same },
            Comparison { apart: Some(Apart { coefficients: 1.1e-9, ..apart }), ..same },
            Comparison { apart: Some(Apart { coefficients: f64::NAN, ..apart }), ..same },
            Comparison { apart: Some(Apart { objective: 1e-300, ..of_objective }), ..same },
            Comparison { apart: Some(Apart { objective_bound: None, ..of_objective }), ..same },
        ];
        assert_eq!(not.iter().filter(|comparison| !comparison.agrees()).count(), 7);
    }
}
