//! What f64 says of a fit of more than two classes.

use std::f64::consts::SQRT_2;

use faer::Side;

use super::Problem;
use super::bounds::{self, PenalisedClasses};
use crate::engine::Params;
use crate::engine::cpu::ColumnMap;
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::objective::{ClassEvaluation, ClassObjective};

/// A step that moves a logit by this much has no optimum near.
const MOVING: f64 = 0.1;
/// Part of the largest move of a logit that is none.
const UNMOVED: f64 = 1e-3;

/// The point returned, on the original scale, and what f64 says of it.
#[derive(Debug, Clone)]
pub struct CertifiedClasses {
    /// β, one for each feature, and β₀ of each class.
    pub coefficients: Vec<(Vec<f64>, f64)>,
    /// J, penalty included, and the part of it that is loss.
    pub objective: f64,
    /// See [`CertifiedClasses::objective`].
    pub loss: f64,
    /// The gradient as `--tol` measures it, the worst class's, and the largest |∂J/∂βⱼ|/S on the original columns.
    pub gradient_norms: (f64, f64),
    /// Proved upper bounds of J − min J and of ‖β − β*‖, where every column is penalised.
    pub bounds: Option<(f64, f64)>,
    /// Full reads of X that this took, but for those the host counts.
    pub passes: u64,
}

impl Problem<'_> {
    /// β and β₀ of each class; among all that predict the same, those of smallest ‖β‖ on the standardised columns, of sum 0 over
    /// the classes.
    pub fn shortest_of_classes(&self, theta: &[f64], classes: usize) -> Vec<(Vec<f64>, f64)> {
        let of_class = |theta| self.shortest_coefficients(theta);
        let width = self.coordinates.len();
        let mut all: Vec<(Vec<f64>, f64)> =
            (0..classes).map(|k| of_class(&theta[k * width..(k + 1) * width])).collect();
        let mean = |sum: f64| sum / classes as f64;
        let means: Vec<f64> =
            (0..self.full.features()).map(|j| mean(all.iter().map(|class| class.0[j]).sum())).collect();
        let of_intercepts = mean(all.iter().map(|class| class.1).sum());
        for (coefficients, intercept) in &mut all {
            coefficients.iter_mut().zip(&means).for_each(|(beta, mean)| *beta -= mean);
            *intercept -= of_intercepts;
        }
        all
    }

    /// Evaluates the coefficients of `theta`, as they will be written down, in f64; under a penalty after a last step of the
    /// intercepts alone, for what the penalty proves is of the best ones.
    ///
    /// # Errors
    /// As [`crate::engine::Engine::softmax`].
    pub fn certify_classes(&self, theta: &[f64], classes: usize) -> Result<CertifiedClasses> {
        let mut coefficients = self.shortest_of_classes(theta, classes);
        let in_full = |(beta, intercept): &(Vec<f64>, f64)| self.full.from_original(beta, *intercept);
        let theta: Vec<f64> = coefficients.iter().flat_map(in_full).collect();
        let mut engine = self.host.engine()?;
        let mut objective = ClassObjective::new(engine.as_mut(), self.host, self.full.clone(), classes, self.l2)?;
        let mut at = objective.evaluate(theta)?;
        let mut least = None;
        if self.penalises_all() && self.full.map().intercept {
            let width = self.full.len();
            if let Some((step, curvature)) = self.intercept_step(&at, classes)? {
                let mut theta = at.theta.clone();
                for (k, d) in step.iter().enumerate() {
                    coefficients[k].1 += d;
                    theta[k * width + width - 1] += d;
                }
                at = objective.evaluate(theta)?;
                // It falls no faster than that on the way.
                least = Some(curvature * (-SQRT_2 * step.iter().map(|d| d * d).sum::<f64>().sqrt()).exp());
            }
        }
        let gradient_norms = objective.gradient_norms(&at.gradient);
        let bounds = if self.penalises_all() { self.class_bounds(&at.gradient, least) } else { None };
        drop(objective);
        Ok(CertifiedClasses {
            coefficients,
            objective: at.value,
            loss: at.loss,
            gradient_norms,
            // A bound below the rounding of J itself would say more than f64 can know.
            bounds: bounds.map(|(gap, distance)| (gap.max(f64::EPSILON * at.value), distance)),
            passes: engine.cost().passes,
        })
    }

    /// The Newton step of the intercepts alone, and the smallest curvature of J in them but for that of moving all classes alike.
    fn intercept_step(&self, at: &ClassEvaluation, classes: usize) -> Result<Option<(Vec<f64>, f64)>> {
        let width = self.full.len();
        let mut w = Params::zeros(self.host.data().features.len(), classes);
        for (k, theta) in at.theta.chunks(width).enumerate() {
            w.model_mut(k).copy_from_slice(self.full.to_params(theta).model(0));
        }
        let ones = ColumnMap { intercept: true, ..ColumnMap::default() };
        let mut curvature = self.host.class_hessian(&ones, &w)?;
        let Ok(eigenvalues) = curvature.self_adjoint_eigenvalues(Side::Lower) else { return Ok(None) };
        // Regular where it is flat: where all classes move alike.
        let mean = (0..classes).map(|k| curvature[(k, k)]).sum::<f64>() / classes as f64;
        (0..classes).for_each(|k| (0..classes).for_each(|l| curvature[(k, l)] += mean));
        let minus: Vec<f64> = at.gradient.chunks(width).map(|of_class| -of_class[width - 1]).collect();
        Ok(Cholesky::of(curvature).map(|factor| (factor.solve(&minus), eigenvalues[1])))
    }

    /// Whether the classes are separated along `step`, the last one of a fit: whether it leaves every row's own class where it is
    /// among the others or raises it, and some row's by so much that the optimum cannot be near. That is how steps go on that
    /// have no optimum to go to. It is taken up to a small part of the largest move, and no proof beyond that. What is penalised
    /// does not go on, so its part of the step is left out.
    ///
    /// # Errors
    /// As [`crate::engine::cpu::Host::products`].
    pub fn are_separated(&self, step: &[f64], classes: usize) -> Result<bool> {
        let width = self.coordinates.len();
        let held = self.coordinates.penalty_curvature(self.l2);
        let going_on = |(d, held): (&f64, &f64)| if *held > 0.0 { 0.0 } else { *d };
        let step: Vec<f64> = step.iter().zip(held.iter().cycle()).map(going_on).collect();
        if step.iter().fold(0f64, |most, d| most.max(d.abs())) < MOVING {
            return Ok(false);
        }
        let mut moved = Vec::with_capacity(classes);
        for step in step.chunks(width) {
            let w = self.coordinates.to_params(step);
            moved.push(self.host.products(w.model(0), w.model(0))?);
        }
        let (mut least, mut most) = (0f64, 0f64);
        for (row, (t, s)) in self.host.vectors()?.into_iter().enumerate() {
            let own = moved[t as usize][row].0;
            for of_class in moved.iter().filter(|_| s > 0.0) {
                let raised = own - of_class[row].0;
                (least, most) = (least.min(raised), most.max(raised));
            }
        }
        Ok(most > MOVING && least >= -UNMOVED * most)
    }

    /// What the penalty proves of a point whose gradient is `gradient`, given the smallest curvature in the intercepts.
    fn class_bounds(&self, gradient: &[f64], curvature: Option<f64>) -> Option<(f64, f64)> {
        let (spreads, width) = (self.full.units(), self.full.len());
        let of_classes = || gradient.chunks(width.max(1));
        let slopes: Vec<f64> =
            of_classes().flat_map(|of_class| of_class.iter().zip(spreads).map(|(g, unit)| g * unit)).collect();
        let of_ones: Vec<f64> = of_classes().filter_map(|of_class| of_class.get(spreads.len()).copied()).collect();
        let intercept = match self.full.map().intercept {
            true => Some((of_ones.as_slice(), curvature?)),
            false => None,
        };
        let (factors, weight_sum) = (self.full.penalty_factors(), self.host.data().weight_sum);
        let at = PenalisedClasses { slopes: &slopes, spreads, factors, intercept, weight_sum, l2: self.l2 };
        bounds::penalised_classes(at)
    }
}
