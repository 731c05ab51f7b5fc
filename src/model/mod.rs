//! The model: what `train` leaves and `predict` reads, as JSON.

mod checkpoint;
mod file;
mod record;

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Design, Fingerprint, InputColumn, hash};
use crate::engine::{Device, DeviceInfo, Params};
use crate::error::{Error, Result};
use crate::inference::Inference;
use crate::logistic::softplus;

pub use checkpoint::{Checkpoint, Checkpoints, FitIdentity};
pub use file::{check_output, write_atomically};
pub use record::{Apart, Comparison, Fingerprints, TrainingRecord};

/// The format this version writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// The column of predictions that holds the most probable class.
pub const LABEL: &str = "label";

/// A fitted model.
///
/// Of two classes P(positive | x) = σ(Σ βⱼ·xⱼ + β₀). Of more, class k has a linear predictor aₖ of its own, and P(k | x) is
/// e^aₖ/Σ e^aₗ (softmax), or σ(aₖ)/Σ σ(aₗ) (one against the rest).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    /// Version of this format.
    pub format_version: u32,
    /// β on the original columns, in input order; 0 for a column that adds nothing. Of more than two classes all those of the
    /// first class, then all of the second, …
    pub coefficients: Vec<Coefficient>,
    /// β₀, 0 where the model was fitted without one.
    pub intercept: Intercept,
    /// Of two classes the label modelled as 0, then the one modelled as 1; else one for each class.
    pub classes: Vec<String>,
    /// What was minimised.
    pub objective: ObjectiveRecord,
    /// How the numbers came about.
    pub training: TrainingRecord,
    /// Standard errors and what goes with them, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// How input columns become features.
    pub design: Design,
}

/// One coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// The feature.
    pub name: String,
    /// The class whose linear predictor it is in, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Its coefficient.
    pub value: f64,
}

/// β₀.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Intercept {
    /// Of two classes.
    One(f64),
    /// Of each of more classes.
    OfClass(Vec<f64>),
}

impl Intercept {
    /// One for each linear predictor.
    pub fn values(&self) -> &[f64] {
        match self {
            Intercept::One(value) => std::slice::from_ref(value),
            Intercept::OfClass(values) => values,
        }
    }
}

/// How more than two classes are modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Multi {
    /// All at once: P(k | x) = e^aₖ/Σ e^aₗ.
    Softmax,
    /// Each against the rest.
    Ovr,
}

impl Multi {
    /// The word the reports use.
    pub fn name(self) -> &'static str {
        match self {
            Multi::Softmax => "softmax",
            Multi::Ovr => "one against the rest",
        }
    }
}

/// The objective of a fit, in the terms of [`crate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveRecord {
    /// Weight of Σ fⱼ|βⱼ|.
    pub l1: f64,
    /// Weight of ½·Σ fⱼβⱼ².
    pub l2: f64,
    /// fⱼ, one for each feature; none where all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalty_factors: Vec<f64>,
    /// Whether it was Firth's penalised likelihood, which takes ½·log det H from the loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firth: bool,
    /// Whether an intercept was fitted.
    pub intercept: bool,
    /// How more than two classes are modelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi: Option<Multi>,
}

impl Model {
    /// The linear predictors of `data` (offset included), those of all rows in the first class, then in the next, and what
    /// computed them. Of two classes there is one for each row.
    ///
    /// # Errors
    /// As [`Device::hold`] and [`crate::engine::Engine::logits`].
    pub fn linear_predictors(&self, data: &Dataset, device: &Device) -> Result<(Vec<f64>, DeviceInfo)> {
        let intercepts = self.intercept.values();
        let (features, mut w) = (data.features.len(), Params::zeros(data.features.len(), intercepts.len()));
        for (k, intercept) in intercepts.iter().enumerate() {
            let of_class = &self.coefficients[k * features..(k + 1) * features];
            let coefficients: Vec<f64> = of_class.iter().map(|coefficient| coefficient.value).collect();
            w.model_mut(k).copy_from_slice(&data.in_stored_units(&coefficients, *intercept));
        }
        let (mut engine, _) = device.hold(data, intercepts.len())?;
        let predictors = engine.logits(&w)?;
        Ok((predictors, engine.device().clone()))
    }

    /// The logarithm of the probability of each class of a row whose linear predictors are `predictors`.
    pub fn log_probabilities(&self, predictors: &[f64]) -> Vec<f64> {
        let scores: Vec<f64> = match (predictors, self.objective.multi) {
            (&[a], _) => return vec![-softplus(a), -softplus(-a)],
            // log σ(a), so that what is next to 0 in every class keeps its proportions.
            (_, Some(Multi::Ovr)) => predictors.iter().map(|a| -softplus(-a)).collect(),
            _ => predictors.to_vec(),
        };
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|a| (a - largest).exp()).sum();
        scores.into_iter().map(|a| a - largest - sum.ln()).collect()
    }

    /// The columns of its predictions: the probability of the positive class, or of each of more than two, and [`LABEL`].
    pub fn prediction_columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = match self.classes.len() {
            2 => vec!["probability".into()],
            _ => self.classes.iter().map(|class| format!("probability_{class}")).collect(),
        };
        columns.push(LABEL.into());
        columns
    }

    /// What tells its coefficients and intercepts from others.
    pub fn fingerprint(&self) -> Fingerprint {
        let values = self.intercept.values().iter().copied().chain(self.coefficients.iter().map(|c| c.value));
        Fingerprint(hash::of_words(0, values.map(f64::to_bits)))
    }

    /// This model, with what tells its rows, options and numbers from others put into its record, where the rows have that.
    pub fn with_fingerprints(mut self, data: Option<Fingerprint>, options: Fingerprint) -> Self {
        self.training.fingerprints = data.map(|data| Fingerprints { data, options, result: self.fingerprint() });
        self
    }

    /// That the parts of the model fit each other.
    fn check(&self) -> Result<(), String> {
        if self.format_version != FORMAT_VERSION {
            return Err(format!(
                "its format_version is {}, and this gpulogit reads {FORMAT_VERSION}; train it again, or use the gpulogit \
                 that wrote it",
                self.format_version
            ));
        }
        if self.classes != self.design.target.classes {
            return Err("its classes and those of its design differ".into());
        }
        let many = self.classes.len() > 2;
        let predictors = if many { self.classes.len() } else { 1 };
        if self.objective.multi.is_some() != many || self.intercept.values().len() != predictors {
            return Err(format!("its parts are not those of a model of {} classes", self.classes.len()));
        }
        let columns = &self.design.columns;
        let features = columns.iter().fold(0usize, |sum, column| sum.saturating_add(column.features()));
        if features.checked_mul(predictors) != Some(self.coefficients.len()) {
            return Err(format!("it has {} coefficients for {features} features", self.coefficients.len()));
        }
        // One by one, for a few bytes of a crafted design may name more features than memory holds. Those of coefficients are all in
        // the file.
        let mut named = columns.iter().flat_map(InputColumn::feature_names).zip(&self.coefficients);
        if let Some((feature, coefficient)) = named.find(|(feature, coefficient)| *feature != coefficient.name) {
            return Err(format!("coefficient {:?} stands where feature {feature:?} should", coefficient.name));
        }
        self.design.validate()?;
        let features = self.design.feature_names();
        let factors = &self.objective.penalty_factors;
        if !(factors.is_empty() || factors.len() == features.len()) {
            return Err(format!("it has {} penalty factors for {} features", factors.len(), features.len()));
        }
        for (i, coefficient) in self.coefficients.iter().enumerate() {
            let feature = &features[i % features.len()];
            if *feature != coefficient.name {
                return Err(format!("coefficient {:?} stands where feature {feature:?} should", coefficient.name));
            }
            let class = many.then(|| &self.classes[i / features.len()]);
            if coefficient.class.as_ref() != class {
                return Err(format!("a coefficient of {feature:?} is of the class {:?}", coefficient.class));
            }
        }
        if !(self.intercept.values().iter().all(|b| b.is_finite())
            && self.coefficients.iter().all(|c| c.value.is_finite()))
        {
            return Err("a coefficient is not a finite number".into());
        }
        match &self.inference {
            Some(_) if many => Err("it has an inference, which is for two classes".into()),
            Some(inference) => inference.check(features.iter().map(String::as_str), self.objective.intercept),
            None => Ok(()),
        }
    }

    /// As JSON text, ending in a line break.
    ///
    /// # Errors
    /// [`Error::Numerics`] when a number has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        let t = &self.training;
        let intercepts = self.intercept.values().iter().all(|b| b.is_finite());
        let finite = intercepts && [t.gradient_inf_norm, t.objective, t.log_loss].iter().all(|v| v.is_finite());
        if !(finite && self.coefficients.iter().all(|c| c.value.is_finite())) {
            return Err(Error::Numerics("the fit left the range of numbers: a coefficient or J is not finite".into()));
        }
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|e| Error::Numerics(format!("the model cannot be written as JSON: {e}")))
    }
}
