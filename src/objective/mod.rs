//! The objective J of [`crate`] over an engine: loss, penalty and standardisation. What a solver minimises.

mod batch;
mod classes;
mod coordinates;
mod likelihood;

pub use batch::{BatchEvaluation, BatchObjective, Member};
pub use classes::{ClassEvaluation, ClassObjective};
pub use coordinates::Coordinates;
pub use likelihood::{FirthObjective, Likelihood};

pub use crate::data::Precision;

use faer::Mat;

use crate::data::Dataset;
use crate::engine::cpu::{Below, Curvature, Host, PredictorMoments, RowSample, rounding_in_f32};
use crate::engine::{DeviceKind, Engine, LineId, Params, PointId};
use crate::error::Result;
use crate::linalg::each_column;

/// Rows of a sample that must be able to carry a column's variance for the sample to be trusted with it.
const SUPPORT: f64 = 64.0;

/// Curvature of a column below which products in f32 are not trusted to bound it.
const LEAST_IN_F32: f64 = 1e-20;

/// J(θ) = Σ s·ℓ + ½·l2·Σ fⱼβⱼ(θ)², its gradient and curvature in the standardised coordinates θ.
pub struct Objective<'a> {
    engine: &'a mut dyn Engine,
    host: &'a Host<'a>,
    coordinates: Coordinates,
    penalty: Vec<f64>,
    weight_sum: f64,
}

/// J and ∇J at a point; the engine holds its logits as the latest.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The point.
    pub theta: Vec<f64>,
    /// J, penalty included.
    pub value: f64,
    /// The part of J that is loss.
    pub loss: f64,
    /// ∂J/∂θ.
    pub gradient: Vec<f64>,
    point: PointId,
}

impl Evaluation {
    /// The stamp under which the engine may still hold the logits.
    pub fn point(&self) -> PointId {
        self.point
    }
}

/// A line between two evaluated points: step 0 is the kept one, step 1 the other.
#[derive(Debug)]
pub struct Line {
    id: LineId,
    /// Penalty along the line: constant, linear and quadratic coefficient.
    penalty: [f64; 3],
}

/// J and its derivative at a step along a line.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// The step.
    pub step: f64,
    /// J.
    pub value: f64,
    /// dJ/dstep.
    pub slope: f64,
}

/// The ridge of each coordinate on a row sample: half of the most that a standardised column's curvature can be, where its rows
/// cannot carry the column's variance.
pub(crate) fn sample_ridge(coordinates: &Coordinates, sample: &Dataset) -> Vec<f64> {
    let of = |reach: f64| {
        let supported = sample.rows as f64 >= SUPPORT * reach * reach;
        if supported { 0.0 } else { 0.125 * sample.weight_sum }
    };
    coordinates.reach(&sample.moments).into_iter().map(of).collect()
}

/// J of the loss at θ, given the curvature of the penalty; its gradient is added to that of the loss.
fn penalised(loss: f64, gradient: &mut [f64], theta: &[f64], penalty: impl Iterator<Item = f64>) -> f64 {
    let mut value = loss;
    for ((g, t), p) in gradient.iter_mut().zip(theta).zip(penalty) {
        value += 0.5 * p * t * t;
        *g += p * t;
    }
    value
}

/// A matrix with this `value` on all of its diagonal and the correlations of `gram`.
fn with_diagonal(gram: &Mat<f64>, value: f64) -> Mat<f64> {
    let root: Vec<f64> = (0..gram.nrows()).map(|i| (value / gram[(i, i)]).sqrt()).collect();
    // A column that is 0 in all of these rows is correlated with none.
    let root: Vec<f64> = root.into_iter().map(|root| if root.is_finite() { root } else { 0.0 }).collect();
    let mut scaled = gram.clone();
    each_column(&mut scaled, |j, column| {
        column.iter_mut().zip(&root).for_each(|(entry, of_row)| *entry *= root[j] * of_row);
    });
    (0..gram.nrows()).for_each(|i| scaled[(i, i)] = value);
    scaled
}

impl<'a> Objective<'a> {
    /// The objective of the rows of `host` with penalty `l2`, evaluated by `engine`, which holds the same rows.
    pub fn new(engine: &'a mut dyn Engine, host: &'a Host<'a>, coordinates: Coordinates, l2: f64) -> Self {
        let penalty = coordinates.penalty_curvature(l2);
        Objective { engine, host, coordinates, penalty, weight_sum: host.data().weight_sum }
    }

    /// The objective of a row sample, for a first idea of that of all rows.
    ///
    /// A column whose variance a few rows carry, such as a rare level, may have none of them in the sample, or all of
    /// one class. The sample has nothing to say about it, so a ridge of its expected curvature holds it in place.
    pub fn of_sample(engine: &'a mut dyn Engine, host: &'a Host<'a>, coordinates: Coordinates, l2: f64) -> Self {
        let mut objective = Objective::new(engine, host, coordinates, l2);
        let ridge = sample_ridge(&objective.coordinates, host.data());
        objective.penalty.iter_mut().zip(ridge).for_each(|(penalty, ridge)| *penalty += ridge);
        objective
    }

    /// The coordinates θ.
    pub fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// Rows n.
    pub fn rows(&self) -> usize {
        self.engine.shape().rows
    }

    /// What a pass costs, beside curvature on the host: 1 on the CPU engine, and no more on a real GPU.
    pub fn pass_cost(&self) -> usize {
        if self.engine.device().kind == DeviceKind::SoftwareGpu { 4 } else { 1 }
    }

    /// S = Σ s.
    pub fn weight_sum(&self) -> f64 {
        self.weight_sum
    }

    /// Differences of J below this part of it are rounding in the engine's arithmetic.
    pub fn resolution(&self) -> f64 {
        self.engine.resolution()
    }

    /// Full reads of X so far, by the engine and by the host.
    pub fn passes(&self) -> u64 {
        self.engine.cost().passes + self.host.passes()
    }

    /// J and ∇J at θ.
    ///
    /// # Errors
    /// As [`Engine::loss_gradient`].
    pub fn evaluate(&mut self, theta: Vec<f64>) -> Result<Evaluation> {
        let at = self.engine.loss_gradient(&self.coordinates.to_params(&theta))?;
        let mut gradient = self.coordinates.pull_back(at.gradient.model(0));
        let value = penalised(at.loss[0], &mut gradient, &theta, self.penalty.iter().copied());
        Ok(Evaluation { theta, value, loss: at.loss[0], gradient, point: at.point })
    }

    /// Makes `at` the point that lines start from.
    ///
    /// # Errors
    /// As [`Engine::keep`].
    pub fn keep(&mut self, at: &Evaluation) -> Result<()> {
        self.engine.keep(at.point)
    }

    /// The line from the kept point to the latest; no pass over X.
    ///
    /// # Errors
    /// As [`Engine::start_line`].
    pub fn start_line(&mut self, kept: &Evaluation, latest: &Evaluation) -> Result<Line> {
        let id = self.engine.start_line(kept.point, latest.point)?;
        let mut penalty = [0.0; 3];
        for ((from, to), p) in kept.theta.iter().zip(&latest.theta).zip(&self.penalty) {
            let d = to - from;
            penalty[0] += 0.5 * p * from * from;
            penalty[1] += p * from * d;
            penalty[2] += 0.5 * p * d * d;
        }
        Ok(Line { id, penalty })
    }

    /// J and its slope at each of `steps`; no pass over X.
    ///
    /// # Errors
    /// As [`Engine::probe`].
    pub fn probe(&mut self, line: &Line, steps: &[f64]) -> Result<Vec<Probe>> {
        let [constant, linear, quadratic] = line.penalty;
        let probes = self.engine.probe(line.id, steps)?;
        Ok(steps
            .iter()
            .zip(probes)
            .map(|(&step, at)| Probe {
                step,
                value: at[0].loss + constant + step * (linear + step * quadratic),
                slope: at[0].slope + linear + 2.0 * step * quadratic,
            })
            .collect())
    }

    /// ∂²J/∂θ² at θ, computed on the host from all rows, with products in f32 or f64.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn hessian(&self, theta: &[f64], products: Precision) -> Result<Mat<f64>> {
        let h = self.curvature(theta, RowSample::All, products)?;
        Ok(self.with_penalty(h))
    }

    /// The same from about `rows` rows, evenly spread and scaled up; from all where there are not twice as many.
    ///
    /// Where every row has the same probability each column's own curvature is known, for the columns are standardised: the rows
    /// tell how they are correlated and no more.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn sampled_hessian(&self, theta: &[f64], rows: usize, products: Precision) -> Result<Mat<f64>> {
        let sample = RowSample::of_about(rows, self.rows());
        let h = match self.host.flat_variance(self.coordinates.to_params(theta).model(0)) {
            Some(variance) => {
                let gram = self.host.gram(self.coordinates.map(), sample, products)?;
                with_diagonal(&gram, variance * self.weight_sum)
            }
            None => {
                let share = self.host.share(sample)?;
                let mut h = self.curvature(theta, sample, products)?;
                h *= faer::Scale(if share > 0.0 { 1.0 / share } else { 1.0 });
                h
            }
        };
        Ok(self.with_penalty(h))
    }

    /// How the loss curves at each of `thetas` along its own slopes and the intercept, from about `rows` rows, evenly spread and scaled up
    /// to all: Σ s·y(1−y)·bᵏ for k = 0, 1 and 2, where b is the linear predictor without intercept and offset.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn predictor_moments(&self, thetas: &[Vec<f64>], rows: usize) -> Result<Vec<PredictorMoments>> {
        let sample = RowSample::of_about(rows, self.rows());
        let mut params = Params::zeros(self.coordinates.features(), thetas.len());
        for (k, theta) in thetas.iter().enumerate() {
            params.model_mut(k).copy_from_slice(self.coordinates.to_params(theta).model(0));
        }
        let from: Vec<f64> = thetas.iter().map(|theta| self.coordinates.intercept_of(theta)).collect();
        let mut moments = self.host.predictor_moments(&params, &from, sample)?;
        let share = self.host.share(sample)?;
        if share > 0.0 {
            moments.as_flattened_mut().iter_mut().for_each(|moment| *moment /= share);
        }
        Ok(moments)
    }

    /// The curvature of the penalty in each θ.
    pub fn penalty(&self) -> &[f64] {
        &self.penalty
    }

    /// A matrix that ∂²J/∂θ² at θ exceeds, by way of about `rows` rows, evenly spread ([`Host::hessian_below`]); with products in f32
    /// less what they may err by, and `None` where that is not known.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn hessian_below(&self, theta: &[f64], rows: usize, products: Precision) -> Result<Option<Mat<f64>>> {
        let less = match products {
            Precision::F32 => rounding_in_f32(theta.len()),
            Precision::F64 => Some(0.0),
        };
        let Some(less) = less else { return Ok(None) };
        let (map, params) = (self.coordinates.map(), self.coordinates.to_params(theta));
        let sample = RowSample::of_about(rows, self.rows());
        let Below { mut matrix, summed } = self.host.hessian_below(map, params.model(0), sample, products)?;
        // Numbers far smaller are rounded more coarsely in f32.
        let is_bounded = products == Precision::F64 || summed.iter().all(|summed| *summed >= LEAST_IN_F32);
        summed.iter().enumerate().for_each(|(i, summed)| matrix[(i, i)] -= less * summed);
        Ok(is_bounded.then(|| self.with_penalty(matrix)))
    }

    /// The curvature of the loss of the rows in `sample`.
    fn curvature(&self, theta: &[f64], sample: RowSample, products: Precision) -> Result<Mat<f64>> {
        let params = self.coordinates.to_params(theta);
        self.host.hessian(self.coordinates.map(), Curvature::At(params.model(0)), sample, products)
    }

    /// `curvature` and that of the penalty.
    fn with_penalty(&self, mut curvature: Mat<f64>) -> Mat<f64> {
        for (i, p) in self.penalty.iter().enumerate() {
            curvature[(i, i)] += p;
        }
        curvature
    }

    /// Trace of X̃ᵀ diag(s) X̃ / 4 plus the largest penalty: no eigenvalue of the Hessian is larger, anywhere.
    pub fn curvature_bound(&self) -> f64 {
        self.coordinates.curvature_bound(self.weight_sum, self.penalty.iter().copied())
    }

    /// The gradient as `--tol` measures it, and on the original columns (see [`Coordinates::gradient_norms`]).
    pub fn gradient_norms(&self, at: &Evaluation) -> (f64, f64) {
        self.norms_of(&at.gradient)
    }

    /// The same of any gradient in θ.
    pub fn norms_of(&self, gradient: &[f64]) -> (f64, f64) {
        self.coordinates.gradient_norms(gradient, self.weight_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_with_another_diagonal_keeps_its_correlations() {
        // The third column is 0 in all rows.
        let gram = Mat::from_fn(3, 3, |i, j| [[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0; 3]][i][j]);
        let scaled = with_diagonal(&gram, 2.0);
        let expected = [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 2.0]];
        assert!((0..3).all(|i| (0..3).all(|j| (scaled[(i, j)] - expected[i][j]).abs() < 1e-15)), "{scaled:?}");
    }
}
