//! Newton's method for a softmax: the step is solved for by conjugate gradients, as far as it is worth it (Dembo & Steihaug
//! 1983, Mathematical Programming 26:190), or by the factor of the whole Hessian where that is small.
//!
//! Each product with the Hessian is one read of X. The preconditioner is the curvature of each class by itself, from some
//! of the rows: the eigenvalues that are left to conjugate gradients are those of how classes share rows.

use super::dot;
use super::line_search::{SHORTER, TRIALS, lowers, shorter};
use super::quasi_newton::difference;
use super::stopping::StopReason;
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::monitor::{Event, Monitor};
use crate::objective::{ClassEvaluation, ClassObjective, Probe};

/// Part of the energy of the residual at which conjugate gradients stop, at the most.
const FORCING: f64 = 0.01;
/// Products a step at the most.
const MOST_PRODUCTS: usize = 250;
/// Products that curvature of all classes is worth: where a step took more, it is taken anew.
const RENEWAL_PRODUCTS: usize = 8;
/// Rows for each column that a class's curvature is taken from.
const ROWS_PER_COLUMN: usize = 8;
/// Entries of θ up to which the whole Hessian is cheaper than as many products as conjugate gradients take.
const WHOLE: usize = 300;
/// Ridge on each class's curvature, as a part of the mean: a column may have none on some of the rows.
const RIDGE: f64 = 1e-6;

/// When a fit is done.
#[derive(Debug, Clone, Copy)]
pub struct ClassRule {
    /// Largest gradient entry as `--tol` measures it.
    pub tolerance: f64,
    /// Predicted decrease, as a part of max(J, S/1000), at which it may stop as well.
    pub relative_decrease: f64,
    /// Steps at the most, all of them together.
    pub max_iterations: usize,
    /// J − min J, as a part of S, that a penalty must have proved as well.
    pub gap: f64,
}

/// A fit under way.
#[derive(Debug)]
pub struct ClassFitting {
    /// Where it is.
    pub at: ClassEvaluation,
    /// Why it stopped.
    pub reason: StopReason,
    /// Steps taken.
    pub iterations: usize,
    /// Products with the Hessian.
    pub products: usize,
    /// The decrease of J that its next step promises.
    pub predicted: f64,
    /// The step that it took last, or would take next.
    pub last_step: Vec<f64>,
    curvature: Option<Curvature>,
}

/// What stands for the inverse Hessian.
#[derive(Debug)]
enum Curvature {
    /// The Hessian as a whole.
    Whole(Cholesky),
    /// The block of each class, or the one that all share.
    Blocks(Vec<Cholesky>),
}

impl Curvature {
    /// H⁻¹·`gradient`, or what stands for it.
    fn solve(&self, gradient: &[f64], classes: usize) -> Vec<f64> {
        let columns = gradient.len() / classes;
        let mut x: Vec<f64> = match self {
            Curvature::Whole(factor) => factor.solve(gradient),
            Curvature::Blocks(factors) => {
                let of = |(k, gradient): (usize, &[f64])| factors[k % factors.len()].solve(gradient);
                gradient.chunks(columns).enumerate().flat_map(of).collect()
            }
        };
        // What is the same in every class changes nothing.
        for j in 0..columns {
            let mean = (0..classes).map(|k| x[k * columns + j]).sum::<f64>() / classes as f64;
            (0..classes).for_each(|k| x[k * columns + j] -= mean);
        }
        x
    }
}

impl ClassFitting {
    /// At θ.
    ///
    /// # Errors
    /// As [`ClassObjective::evaluate`].
    pub fn start(objective: &mut ClassObjective<'_>, theta: Vec<f64>) -> Result<Self> {
        let at = objective.evaluate(theta)?;
        let (reason, predicted) = (StopReason::NoProgress, f64::INFINITY);
        let last_step = vec![0.0; at.theta.len()];
        Ok(ClassFitting { at, reason, iterations: 0, products: 0, predicted, last_step, curvature: None })
    }

    /// Evaluates where it is anew: the objective's numbers have become finer.
    ///
    /// # Errors
    /// As [`ClassObjective::evaluate`].
    pub fn refine(&mut self, objective: &mut ClassObjective<'_>) -> Result<()> {
        objective.set_in_f64();
        self.at = objective.evaluate(std::mem::take(&mut self.at.theta))?;
        Ok(())
    }

    /// Goes on from where it is until `rule` holds.
    ///
    /// # Errors
    /// As [`ClassObjective::evaluate`] and [`ClassObjective::hessian`].
    pub fn minimise(
        &mut self,
        objective: &mut ClassObjective<'_>,
        rule: &ClassRule,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let noise = objective.resolution();
        loop {
            report(objective, self, monitor);
            let slope = objective.gradient_norms(&self.at.gradient).0;
            self.reason = StopReason::Gradient;
            let weight_sum = objective.weight_sum();
            let proved = objective.gap(&self.at.gradient).is_none_or(|gap| gap <= rule.gap * weight_sum);
            if (slope <= rule.tolerance && proved) || objective.is_empty() {
                return Ok(());
            }
            let step = self.step(objective)?;
            self.predicted = -0.5 * dot(&self.at.gradient, &step);
            let floor = rule.relative_decrease * self.at.value.max(weight_sum / 1000.0);
            let stop = if self.predicted <= floor {
                Some(StopReason::PredictedDecrease)
            } else if self.iterations >= rule.max_iterations {
                Some(StopReason::MaxIterations)
            } else {
                monitor.interrupted().then_some(StopReason::Interrupted)
            };
            self.reason = stop.unwrap_or(StopReason::NoProgress);
            if stop.is_some() {
                return Ok(());
            }
            let next = advance(objective, &self.at, &step, noise)?;
            self.last_step = step;
            match next {
                Some(next) => self.at = next,
                None => return Ok(()),
            }
            self.iterations += 1;
        }
    }

    /// The step to take.
    fn step(&mut self, objective: &mut ClassObjective<'_>) -> Result<Vec<f64>> {
        let (theta, classes) = (&self.at.theta, objective.classes());
        let minus: Vec<f64> = self.at.gradient.iter().map(|g| -g).collect();
        if objective.len() <= WHOLE
            && let Some(factor) = Cholesky::with_ridge(objective.hessian(theta)?)
        {
            return Ok(Curvature::Whole(factor).solve(&minus, classes));
        }
        let curvature = match self.curvature.take() {
            Some(curvature) => curvature,
            None => {
                let rows = ROWS_PER_COLUMN * objective.coordinates().len();
                Curvature::Blocks(objective.class_blocks(theta, rows)?.iter().filter_map(factor).collect())
            }
        };
        let (step, products) = conjugate_gradients(objective, &self.at, &minus, &curvature)?;
        self.products += products;
        // What was taken of θ = 0 is of one class.
        let of_start = matches!(&curvature, Curvature::Blocks(blocks) if blocks.len() < classes);
        if products <= RENEWAL_PRODUCTS && !of_start {
            self.curvature = Some(curvature);
        }
        Ok(step)
    }
}

/// The factor of a class's curvature.
fn factor(block: &faer::Mat<f64>) -> Option<Cholesky> {
    let columns = block.nrows();
    let mean = (0..columns).map(|i| block[(i, i)]).sum::<f64>() / columns as f64;
    let mut ridged = block.clone();
    (0..columns).for_each(|i| ridged[(i, i)] += RIDGE * mean);
    Cholesky::with_ridge(ridged)
}

/// Solves H·x = `minus` at `at` as far as it is worth it: x, and the products that it took.
fn conjugate_gradients(
    objective: &mut ClassObjective<'_>,
    at: &ClassEvaluation,
    minus: &[f64],
    curvature: &Curvature,
) -> Result<(Vec<f64>, usize)> {
    let classes = objective.classes();
    let mut x = vec![0.0; minus.len()];
    let mut residual = minus.to_vec();
    let mut z = curvature.solve(&residual, classes);
    let mut d = z.clone();
    let mut energy = dot(&residual, &z);
    // Nearer to the optimum a step is worth more.
    let enough = energy * FORCING.min((energy / at.value.max(objective.weight_sum() / 1000.0)).sqrt());
    for products in 1..=MOST_PRODUCTS {
        let hd = objective.product(&at.theta, &d)?;
        let bent = dot(&d, &hd);
        if !(bent > 0.0) {
            // Rounding alone makes a convex function bend down: what there is has to do.
            return Ok((if products == 1 { d } else { x }, products));
        }
        let alpha = energy / bent;
        x.iter_mut().zip(&d).for_each(|(x, d)| *x += alpha * d);
        residual.iter_mut().zip(&hd).for_each(|(r, h)| *r -= alpha * h);
        z = curvature.solve(&residual, classes);
        let next = dot(&residual, &z);
        if !(next > enough) {
            return Ok((x, products));
        }
        let beta = next / energy;
        d.iter_mut().zip(&z).for_each(|(d, z)| *d = z + beta * *d);
        energy = next;
    }
    Ok((x, MOST_PRODUCTS))
}

/// Moves from `from` along `direction`; `None` when no step along it lowers J any more.
fn advance(
    objective: &mut ClassObjective<'_>,
    from: &ClassEvaluation,
    direction: &[f64],
    noise: f64,
) -> Result<Option<ClassEvaluation>> {
    let slope = dot(&from.gradient, direction);
    let mut step = 1.0;
    for _ in 0..TRIALS {
        let theta = from.theta.iter().zip(direction).map(|(t, d)| t + step * d).collect();
        let end = objective.evaluate(theta)?;
        if !end.value.is_finite() {
            step *= SHORTER;
            continue;
        }
        let here = Probe { step, value: end.value, slope: dot(&end.gradient, direction) };
        if lowers(from.value, slope, here, noise) {
            let moved = difference(&end.theta, &from.theta).iter().any(|d| *d != 0.0);
            return Ok(moved.then_some(end));
        }
        step = shorter(slope, here);
    }
    Ok(None)
}

/// Reports an iteration to the monitor.
fn report(objective: &ClassObjective<'_>, fitting: &ClassFitting, monitor: &dyn Monitor) {
    monitor.event(Event::Iteration {
        iteration: fitting.iterations,
        objective: fitting.at.value,
        gradient_inf_norm: objective.gradient_norms(&fitting.at.gradient).0,
        passes: objective.passes(),
        point: None,
    });
}
