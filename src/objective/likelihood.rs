//! What a method can ask of a likelihood that needs no more than values, slopes and information at points; and Firth's likelihood.

use faer::Mat;

use super::{Coordinates, Evaluation, Objective, Precision};
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::logistic::sigmoid;

/// A negative log-likelihood of θ, penalised or not.
pub trait Likelihood {
    /// Its value and gradient at θ.
    ///
    /// # Errors
    /// As [`Objective::evaluate`].
    fn evaluate(&mut self, theta: Vec<f64>) -> Result<Evaluation>;

    /// The Fisher information H = X̃ᵀ diag(s·y(1−y)) X̃ at θ, penalty included.
    ///
    /// # Errors
    /// As [`Objective::hessian`].
    fn information(&self, theta: &[f64]) -> Result<Mat<f64>>;

    /// Whether that is its second derivative; else it only stands for it.
    fn is_curvature(&self) -> bool;

    /// The coordinates θ.
    fn coordinates(&self) -> &Coordinates;

    /// The gradient as `--tol` measures it, and on the original columns.
    fn gradient_norms(&self, at: &Evaluation) -> (f64, f64);

    /// Full reads of X so far.
    fn passes(&self) -> u64;
}

impl Likelihood for Objective<'_> {
    fn evaluate(&mut self, theta: Vec<f64>) -> Result<Evaluation> {
        Objective::evaluate(self, theta)
    }

    fn information(&self, theta: &[f64]) -> Result<Mat<f64>> {
        self.hessian(theta, Precision::F64)
    }

    fn is_curvature(&self) -> bool {
        true
    }

    fn coordinates(&self) -> &Coordinates {
        Objective::coordinates(self)
    }

    fn gradient_norms(&self, at: &Evaluation) -> (f64, f64) {
        Objective::gradient_norms(self, at)
    }

    fn passes(&self) -> u64 {
        Objective::passes(self)
    }
}

/// Firth's penalised likelihood: J(θ) − ½·log det H(θ), the penalty being Jeffreys' prior (Firth 1993, Biometrika 80:27; for logits
/// Heinze & Schemper 2002, Statistics in Medicine 21:2409).
///
/// Its gradient is X̃ᵀ(s∘(y−t) + h∘(y−½)), h the leverages of the rows, so that it has a finite minimum although the classes be
/// separated. The determinant is that of the information of the original columns.
pub struct FirthObjective<'a> {
    likelihood: Objective<'a>,
}

impl<'a> FirthObjective<'a> {
    /// That of `likelihood`, which has no penalty of its own.
    pub fn new(likelihood: Objective<'a>) -> Self {
        FirthObjective { likelihood }
    }
}

impl Likelihood for FirthObjective<'_> {
    fn evaluate(&mut self, theta: Vec<f64>) -> Result<Evaluation> {
        let mut at = self.likelihood.evaluate(theta)?;
        let Some(information) = Cholesky::of(self.information(&at.theta)?) else {
            // So far out that all curvature is lost to rounding: det H is 0 there.
            at.value = f64::INFINITY;
            return Ok(at);
        };
        let (coordinates, host) = (self.likelihood.coordinates(), self.likelihood.host);
        let params = coordinates.to_params(&at.theta);
        let mut pull = host.leverages(coordinates.map(), params.model(0), &information)?;
        host.each_row(&params, |row, a, _, _| {
            pull[row] *= sigmoid(a(0)) - 0.5;
            Ok(())
        })?;
        let pulled = coordinates.pull_back(&host.transposed_products(&pull)?);
        at.gradient.iter_mut().zip(pulled).for_each(|(g, pulled)| *g += pulled);
        let scales: f64 = coordinates.units().iter().map(|unit| unit.ln()).sum();
        at.value -= 0.5 * information.log_determinant() + scales;
        Ok(at)
    }

    fn information(&self, theta: &[f64]) -> Result<Mat<f64>> {
        Likelihood::information(&self.likelihood, theta)
    }

    fn is_curvature(&self) -> bool {
        false
    }

    fn coordinates(&self) -> &Coordinates {
        self.likelihood.coordinates()
    }

    fn gradient_norms(&self, at: &Evaluation) -> (f64, f64) {
        self.likelihood.gradient_norms(at)
    }

    fn passes(&self) -> u64 {
        self.likelihood.passes()
    }
}
