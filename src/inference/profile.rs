//! Profile likelihood: where the deviance, minimised over all other parameters, has risen by the quantile of χ²₁, and how far it rises
//! where a coefficient is zero.
//!
//! Along b = cᵀθ the profile is D(b) = 2·(min{J(θ) : cᵀθ = b} − min J), and at each of its points ∇J = λc with dD/db = 2λ. The inner
//! minimum is found by steps that stay on cᵀθ = b; the outer root by Newton's method on √D(b) = √q, which is nearly a straight line,
//! within a bracket that only shrinks.

use super::factor;
use crate::error::{Error, Result};
use crate::objective::{Evaluation, Likelihood};
use crate::solver::dot;
use crate::solver::pointwise::{self, Minimum, along};

/// How far D at an end may be from its quantile; more where the rounding of J is.
const TOLERANCE: f64 = 1e-9;
/// Rounding of J as a part of it, for sums over very many rows.
const ROUNDING: f64 = 16.0 * f64::EPSILON;
/// Decrease of J that a further step along the constraint must promise.
const SETTLED: f64 = 1e-11;
/// Steps along a constraint, and of the outer root, at the most.
const STEPS: usize = 200;
const ENDS: usize = 60;

/// The profile of one coefficient, cᵀθ on its original scale.
pub struct Profiled<'a> {
    likelihood: &'a mut dyn Likelihood,
    best: &'a Evaluation,
    c: Vec<f64>,
    /// H⁻¹c at the best point.
    tangent: Vec<f64>,
}

impl<'a> Profiled<'a> {
    /// That of cᵀθ about the minimum `best` of `likelihood`.
    ///
    /// # Errors
    /// [`Error::Numerics`] where the information is singular, and as [`Likelihood::information`].
    pub fn new(likelihood: &'a mut dyn Likelihood, best: &'a Evaluation, c: Vec<f64>) -> Result<Self> {
        let tangent = factor(&likelihood.information(&best.theta)?)?.solve(&c);
        Ok(Profiled { likelihood, best, c, tangent })
    }

    /// How far below and above its value at the minimum cᵀθ comes to D = `quantile`.
    ///
    /// # Errors
    /// [`Error::Numerics`] where an end is not found, and as [`Likelihood::evaluate`].
    pub fn interval(&mut self, quantile: f64) -> Result<(f64, f64)> {
        Ok((self.end(-1.0, quantile)?, self.end(1.0, quantile)?))
    }

    /// D where cᵀθ is zero: the likelihood-ratio statistic of that hypothesis.
    ///
    /// # Errors
    /// As [`Profiled::interval`].
    pub fn at_zero(&mut self) -> Result<f64> {
        let length = -dot(&self.c, &self.best.theta) / dot(&self.c, &self.tangent);
        let there = self.minimum(along(&self.best.theta, length, &self.tangent))?;
        Ok((2.0 * (there.at.value - self.best.value)).max(0.0))
    }

    /// How far from the minimum on the given side, −1 or 1, D comes to `quantile`.
    fn end(&mut self, side: f64, quantile: f64) -> Result<f64> {
        let least = self.best.value;
        let tolerance = TOLERANCE.max(ROUNDING * least.abs());
        let (mut inside, mut outside) = (0.0, f64::INFINITY);
        let mut here = Minimum { at: self.best.clone(), multiplier: 0.0, tangent: self.tangent.clone() };
        let mut x = 0.0;
        // Wald's end.
        let mut next = (quantile * dot(&self.c, &here.tangent)).sqrt();
        for _ in 0..ENDS {
            let length = side * (next - x) / dot(&self.c, &here.tangent);
            (here, x) = (self.minimum(along(&here.at.theta, length, &here.tangent))?, next);
            let rise = 2.0 * (here.at.value - least);
            if (rise - quantile).abs() <= tolerance {
                return Ok(x);
            }
            if rise < quantile {
                inside = x
            } else {
                outside = x
            }
            let root = rise.max(0.0).sqrt();
            next = x - (root - quantile.sqrt()) * root / (side * here.multiplier);
            if !(next > inside && next < outside) {
                next = if outside.is_finite() { 0.5 * (inside + outside) } else { 2.0 * x };
            }
        }
        Err(Error::Numerics("an end of a profile-likelihood interval was not found; leave --profile out".into()))
    }

    /// The minimum over the θ' with cᵀθ' = cᵀθ.
    fn minimum(&mut self, theta: Vec<f64>) -> Result<Minimum> {
        let mut steps = 0;
        pointwise::minimise(self.likelihood, theta, Some(&self.c), &mut |_, at, predicted| {
            steps += 1;
            let settled = predicted <= SETTLED.max(ROUNDING * at.value.abs());
            if !settled && steps > STEPS {
                return Err(Error::Numerics(
                    "a profile of the likelihood was not followed to its minimum; leave --profile out".into(),
                ));
            }
            Ok(settled)
        })
    }
}
