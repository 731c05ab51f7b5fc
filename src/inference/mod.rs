//! What the data says of the coefficients of a maximum-likelihood fit: standard errors, tests and intervals, deviances and
//! criteria, as readers of R's `summary.glm` know them.
//!
//! With H = XᵀWX at the estimates, W = diag(s·y·(1−y)) (the Fisher information, which for the logit is the observed one too), n
//! rows of positive weight and k estimates:
//!
//! ```text
//! model     H⁻¹
//! hc0       H⁻¹·B·H⁻¹,  B = Σᵢ sᵢ·(yᵢ−tᵢ)²·xᵢxᵢᵀ            a row of weight s stands for s equal rows
//! hc1       that times n/(n−k)
//! cluster   H⁻¹·(Σ_g u_g·u_gᵀ)·H⁻¹ · G/(G−1)·(n−1)/(n−k),  u_g = Σ sᵢ·(yᵢ−tᵢ)·xᵢ over the rows of cluster g of G
//! ```
//!
//! Everything is computed in f64 on the host, in the standardised coordinates θ: the variance of a coefficient βⱼ = cᵀθ is cᵀVc.
//! `docs/inference.md` has the conventions.

mod collinearity;
mod covariance;
mod distributions;
mod influence;
mod profile;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::linalg::Cholesky;

pub use collinearity::Collinearity;
pub use covariance::{Estimator, Variances};
pub use distributions::{chi_squared_tail, normal_quantile, normal_two_sided};
pub use influence::{RowInfluence, influence};
pub use profile::Profiled;

/// What the intercept is called, as in R.
pub const INTERCEPT: &str = "(Intercept)";

/// How the covariance of the estimates is estimated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Covariance {
    /// By the inverse Fisher information: right where the model is.
    Model,
    /// By the sandwich, right in large samples although the variance of the target be another than the model's.
    Hc0,
    /// The same times n/(n−k).
    Hc1,
    /// By the sandwich of scores summed up over clusters, whose rows may depend on each other.
    Cluster {
        /// The column or file that says which cluster a row is in.
        column: String,
        /// How many there are.
        clusters: usize,
    },
}

/// A coefficient and its standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The feature, or [`INTERCEPT`].
    pub name: String,
    /// The estimate and its standard error; none for a column that is a combination of others, which R shows as NA.
    #[serde(flatten)]
    pub value: Option<Value>,
}

/// An estimate that the data determines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// β̂.
    pub estimate: f64,
    /// Its standard error.
    pub se: f64,
}

impl Value {
    /// The Wald statistic β̂/se.
    pub fn z(&self) -> f64 {
        self.estimate / self.se
    }

    /// P(|Z| ≥ |z|) of a standard normal Z.
    pub fn p(&self) -> f64 {
        normal_two_sided(self.z())
    }
}

/// What was inferred, as the model file keeps it; the rest follows from these numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    /// What the standard errors are made of.
    pub covariance: Covariance,
    /// The intercept first, where there is one, then a feature each, in input order.
    pub coefficients: Vec<Estimate>,
    /// Rows n of positive weight.
    pub rows: usize,
    /// Estimates k: the rank of the design matrix.
    pub parameters: usize,
    /// Those of the null model: the intercept, if there is one.
    pub null_parameters: usize,
    /// Whether they are the maximum of Firth's penalised likelihood, ½·log det H more than the log-likelihood: then the log-likelihood
    /// and both deviances have that in them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firth: bool,
    /// −2·log-likelihood.
    pub deviance: f64,
    /// That of the null model: the intercept alone, and the offset.
    pub null_deviance: f64,
    /// Profile-likelihood intervals, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// Intervals at one level, at whose ends the deviance, minimised over all other parameters, has risen by the quantile of χ²₁.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Their confidence.
    pub level: f64,
    /// One for each coefficient; none where there is no estimate.
    pub intervals: Vec<Option<(f64, f64)>>,
    /// By how much the deviance rises where the coefficient is zero: χ²₁ if it is (likelihood-ratio test).
    pub statistics: Vec<Option<f64>>,
}

/// The likelihood-ratio test against the null model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LikelihoodRatio {
    /// By how much the deviance falls, χ² of `df` degrees of freedom where no coefficient differs from zero.
    pub statistic: f64,
    /// Coefficients tested.
    pub df: usize,
    /// P(χ² ≥ statistic).
    pub p: f64,
}

impl Inference {
    /// The log-likelihood Σ s·log P(t).
    pub fn log_likelihood(&self) -> f64 {
        -0.5 * self.deviance
    }

    /// Degrees of freedom of the residual deviance, n − k, and of the null deviance.
    pub fn degrees_of_freedom(&self) -> (usize, usize) {
        (self.rows.saturating_sub(self.parameters), self.rows.saturating_sub(self.null_parameters))
    }

    /// Akaike's criterion: deviance + 2k. None of a penalised likelihood, for this and what follows are about maxima of plain ones.
    pub fn aic(&self) -> Option<f64> {
        (!self.firth).then_some(self.deviance + 2.0 * self.parameters as f64)
    }

    /// Schwarz's criterion: deviance + k·log n.
    pub fn bic(&self) -> Option<f64> {
        (!self.firth).then(|| self.deviance + self.parameters as f64 * (self.rows as f64).ln())
    }

    /// McFadden's R²: 1 − log-likelihood / that of the null model.
    pub fn mcfadden(&self) -> Option<f64> {
        (!self.firth).then(|| 1.0 - self.deviance / self.null_deviance)
    }

    /// The test against the null model; none where that is the model itself.
    pub fn likelihood_ratio(&self) -> Option<LikelihoodRatio> {
        let df = self.parameters.saturating_sub(self.null_parameters);
        let statistic = (self.null_deviance - self.deviance).max(0.0);
        (df > 0).then(|| LikelihoodRatio { statistic, df, p: chi_squared_tail(statistic, df) })
    }

    /// Whether there are profile-likelihood intervals at `level`.
    pub fn is_profiled(&self, level: f64) -> bool {
        self.profile.as_ref().is_some_and(|profile| profile.level == level)
    }

    /// The interval of each coefficient at `level`, in (0, 1): that of the profile where it is known, else Wald's, estimate ± z·se.
    pub fn intervals(&self, level: f64) -> Vec<Option<(f64, f64)>> {
        if let Some(profile) = self.profile.as_ref().filter(|profile| profile.level == level) {
            return profile.intervals.clone();
        }
        let z = normal_quantile(level);
        let wald = |value: Value| (value.estimate - z * value.se, value.estimate + z * value.se);
        self.coefficients.iter().map(|coefficient| coefficient.value.map(wald)).collect()
    }

    /// That the numbers are those of an inference about a model of these features.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn check<'a>(&self, features: impl Iterator<Item = &'a str>, intercept: bool) -> Result<(), String> {
        let expected = intercept.then_some(INTERCEPT).into_iter().chain(features);
        if !expected.eq(self.coefficients.iter().map(|coefficient| coefficient.name.as_str())) {
            return Err("the coefficients of its inference are not those of the model".into());
        }
        let values = || self.coefficients.iter().filter_map(|coefficient| coefficient.value);
        let finite = self.deviance.is_finite() && self.null_deviance.is_finite();
        if !(finite && values().all(|value| value.estimate.is_finite() && value.se > 0.0 && value.se.is_finite())) {
            return Err("a number of its inference is out of range".into());
        }
        if values().count() != self.parameters || self.null_parameters != usize::from(intercept) {
            return Err(format!("its inference has not {} estimates", self.parameters));
        }
        if let Some(Profile { level, intervals, statistics }) = &self.profile {
            let around = |value: Value, (low, high): (f64, f64)| low <= value.estimate && value.estimate <= high;
            let mut pairs = self.coefficients.iter().zip(intervals);
            let all = pairs.all(|(coefficient, interval)| match (coefficient.value, interval) {
                (Some(value), Some(interval)) => around(value, *interval),
                (value, interval) => value.is_none() && interval.is_none(),
            });
            let mut tests = self.coefficients.iter().zip(statistics);
            let tested = tests.all(|(coefficient, statistic)| match statistic {
                Some(statistic) => coefficient.value.is_some() && *statistic >= 0.0 && statistic.is_finite(),
                None => coefficient.value.is_none(),
            });
            let one_each = [intervals.len(), statistics.len()].iter().all(|len| *len == self.coefficients.len());
            if !(all && tested && one_each && check_level(*level).is_ok()) {
                return Err("the profile likelihoods of its inference are not those of its estimates".into());
            }
        }
        Ok(())
    }
}

/// Holds a confidence level to be one.
///
/// # Errors
/// [`Error::Usage`] when it is not.
pub fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::Usage(format!("--level {level}: it must lie between 0 and 1")))
}

/// The factor of the information matrix.
///
/// # Errors
/// [`Error::Numerics`] where it is singular to working precision.
fn factor(information: &faer::Mat<f64>) -> Result<Cholesky> {
    Cholesky::new(information).ok_or_else(|| {
        Error::Numerics(
            "no standard errors: the information matrix is singular to working precision; leave out columns that nearly \
             repeat others"
                .into(),
        )
    })
}
