//! The model: what `train` leaves and `predict` reads, as JSON.

mod checkpoint;
mod file;

use serde::{Deserialize, Serialize};

use crate::certificate::Status;
use crate::data::{Dataset, Design};
use crate::engine::{Device, DeviceInfo, Params};
use crate::error::{Error, Result};
use crate::solver::Solver;

pub use checkpoint::{Checkpoint, Checkpoints, FitIdentity};
pub use file::{check_output, write_atomically};

/// The format this version writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// A fitted binary model: P(positive | x) = σ(Σ βⱼ·xⱼ + β₀).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Model {
    /// Version of this format.
    pub format_version: u32,
    /// β on the original columns, in input order; 0 for a column that adds nothing.
    pub coefficients: Vec<Coefficient>,
    /// β₀, 0 where the model was fitted without one.
    pub intercept: f64,
    /// The label modelled as 0, then the one modelled as 1.
    pub classes: [String; 2],
    /// What was minimised.
    pub objective: ObjectiveRecord,
    /// How the numbers came about.
    pub training: TrainingRecord,
    /// How input columns become features.
    pub design: Design,
}

/// One coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// The feature.
    pub name: String,
    /// Its coefficient.
    pub value: f64,
}

/// The objective of a fit, in the terms of [`crate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveRecord {
    /// Weight of ‖β‖₁.
    pub l1: f64,
    /// Weight of ½·‖β‖².
    pub l2: f64,
    /// Whether an intercept was fitted.
    pub intercept: bool,
}

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
    /// The method.
    pub solver: Solver,
    /// What computed.
    pub device: DeviceInfo,
    /// The seed of everything random.
    pub seed: u64,
    /// Version of gpulogit.
    pub version: String,
}

impl Model {
    /// The linear predictors of `data` (offset included) and what computed them.
    ///
    /// # Errors
    /// As [`Device::hold`] and [`crate::engine::Engine::logits`].
    pub fn linear_predictors(&self, data: &Dataset, device: &Device) -> Result<(Vec<f64>, DeviceInfo)> {
        let coefficients: Vec<f64> = self.coefficients.iter().map(|coefficient| coefficient.value).collect();
        let w = data.in_stored_units(&coefficients, self.intercept);
        let (mut engine, _) = device.hold(data, 1)?;
        let predictors = engine.logits(&Params::single(w))?;
        Ok((predictors, engine.device().clone()))
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
        self.design.validate()?;
        let features = self.design.feature_names();
        if features.len() != self.coefficients.len() {
            return Err(format!("it has {} coefficients for {} features", self.coefficients.len(), features.len()));
        }
        for (feature, coefficient) in features.iter().zip(&self.coefficients) {
            if *feature != coefficient.name {
                return Err(format!("coefficient {:?} stands where feature {feature:?} should", coefficient.name));
            }
        }
        if self.classes != self.design.target.classes {
            return Err("its classes and those of its design differ".into());
        }
        if !(self.intercept.is_finite() && self.coefficients.iter().all(|c| c.value.is_finite())) {
            return Err("a coefficient is not a finite number".into());
        }
        Ok(())
    }

    /// As JSON text, ending in a line break.
    ///
    /// # Errors
    /// [`Error::Numerics`] when a number has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        let t = &self.training;
        let finite = [self.intercept, t.gradient_inf_norm, t.objective, t.log_loss].iter().all(|v| v.is_finite());
        if !(finite && self.coefficients.iter().all(|c| c.value.is_finite())) {
            return Err(Error::Numerics("the fit left the range of numbers: a coefficient or J is not finite".into()));
        }
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|e| Error::Numerics(format!("the model cannot be written as JSON: {e}")))
    }
}
