//! The objectives of many models over the same rows: each has a penalty and counts rows in its own way.

use faer::Mat;

use super::{Coordinates, Precision, penalised, sample_ridge};
use crate::engine::cpu::{Curvature, Host};
use crate::engine::{Batch, BatchSums, Draw, DrawnRows, Engine, Params};
use crate::error::Result;
use crate::linalg::MAX_COLUMNS;

/// What one of many models minimises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// l1 of its penalty l1·Σ fⱼ|βⱼ|, which is no part of the J below.
    pub l1: f64,
    /// l2 of its penalty ½·l2·Σ fⱼβⱼ².
    pub l2: f64,
    /// How often each row counts.
    pub draw: Draw,
    /// Σ s, each row as often as it counts.
    pub weight_sum: f64,
}

/// J and ∇J of one model at a point.
#[derive(Debug, Clone)]
pub struct BatchEvaluation {
    /// The point.
    pub theta: Vec<f64>,
    /// J, penalty included; infinite where the engine's numbers do not hold it.
    pub value: f64,
    /// The part of J that is loss.
    pub loss: f64,
    /// Σ s·ℓ of the rows that do not count.
    pub loss_left_out: f64,
    /// ∂J/∂θ.
    pub gradient: Vec<f64>,
}

/// The objectives of `members` over the rows of an engine, in standardised coordinates.
pub struct BatchObjective<'a> {
    engine: &'a mut dyn Engine,
    host: &'a Host<'a>,
    coordinates: &'a Coordinates,
    folds: &'a [u8],
    members: Vec<Member>,
    /// Curvature of the penalty with l2 = 1.
    penalty: Vec<f64>,
    /// Curvature that is added to every model's for want of rows.
    ridge: Vec<f64>,
}

impl<'a> BatchObjective<'a> {
    /// The objectives of `members` over the rows of `host`, which `engine` holds too; `folds` has the fold of each row, or
    /// nothing where no draw asks for it.
    pub fn new(
        engine: &'a mut dyn Engine,
        host: &'a Host<'a>,
        coordinates: &'a Coordinates,
        members: Vec<Member>,
        folds: &'a [u8],
    ) -> Self {
        let (penalty, ridge) = (coordinates.penalty_curvature(1.0), vec![0.0; coordinates.len()]);
        BatchObjective { engine, host, coordinates, folds, members, penalty, ridge }
    }

    /// The objectives of a row sample (see [`super::Objective::of_sample`]), on which every row counts once.
    pub fn of_sample(
        engine: &'a mut dyn Engine,
        host: &'a Host<'a>,
        coordinates: &'a Coordinates,
        members: Vec<Member>,
    ) -> Self {
        let mut objective = BatchObjective::new(engine, host, coordinates, members, &[]);
        objective.ridge = sample_ridge(coordinates, host.data());
        objective
    }

    /// The models.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The coordinates θ.
    pub fn coordinates(&self) -> &Coordinates {
        self.coordinates
    }

    /// Rows n.
    pub fn rows(&self) -> usize {
        self.engine.shape().rows
    }

    /// Differences of J below this part of it are rounding in the engine's arithmetic.
    pub fn resolution(&self) -> f64 {
        self.engine.batch_resolution()
    }

    /// Full reads of X so far, by the engine and by the host.
    pub fn passes(&self) -> u64 {
        self.engine.cost().passes + self.host.passes()
    }

    /// Whether the curvature of all rows can be factored.
    pub fn has_curvature(&self) -> bool {
        !self.coordinates.is_empty() && self.coordinates.len() <= MAX_COLUMNS
    }

    /// J and ∇J of some models, each at its own point, in one read of X; J is infinite where f32 does not hold the parameters.
    ///
    /// # Errors
    /// As [`Engine::loss_gradients`].
    pub fn evaluate(&mut self, trials: Vec<(usize, Vec<f64>)>) -> Result<Vec<BatchEvaluation>> {
        let features = self.engine.shape().features;
        let params: Vec<Params> = trials.iter().map(|(_, theta)| self.coordinates.to_params(theta)).collect();
        let held = |w: &&Params| w.model(0).iter().all(|w| (*w as f32).is_finite());
        let within: Vec<&Params> = params.iter().filter(held).collect();
        let mut w = Params::zeros(features, within.len());
        within.iter().enumerate().for_each(|(k, one)| w.model_mut(k).copy_from_slice(one.model(0)));
        let models = trials.iter().zip(&params).filter(|(_, w)| held(w)).map(|((k, _), _)| *k);
        let draws: Vec<Draw> = models.map(|k| self.members[k].draw).collect();
        let mut sums = match draws.is_empty() {
            true => Vec::new(),
            false => self.engine.loss_gradients(&Batch { w: &w, draws: &draws, rows: DrawnRows::all(self.folds) })?,
        }
        .into_iter();
        let evaluated = |((k, theta), w): ((usize, Vec<f64>), &Params)| {
            let sums = if held(&w) { sums.next() } else { None };
            let sums = sums.unwrap_or_else(|| BatchSums::out_of_range(features));
            let mut gradient = self.coordinates.pull_back(&sums.gradient);
            let value = penalised(sums.loss, &mut gradient, &theta, self.penalty_of(k));
            BatchEvaluation { theta, value, loss: sums.loss, loss_left_out: sums.loss_left_out, gradient }
        };
        Ok(trials.into_iter().zip(&params).map(evaluated).collect())
    }

    /// ∂²J/∂θ² of some models, each at its own point, on the host: from all rows, or from about `rows` of them, evenly spread
    /// and scaled up.
    ///
    /// # Errors
    /// As [`Host::hessians`].
    pub fn hessians(&self, at: &[(usize, &[f64])], rows: Option<usize>, products: Precision) -> Result<Vec<Mat<f64>>> {
        let columns: Vec<usize> = (0..self.coordinates.len()).collect();
        let mut hessians = self.loss_hessians(&columns, at, rows, products)?;
        for (h, (k, _)) in hessians.iter_mut().zip(at) {
            self.penalty_of(*k).enumerate().for_each(|(i, penalty)| h[(i, i)] += penalty);
        }
        Ok(hessians)
    }

    /// The part of [`BatchObjective::hessians`] that is of the loss, of the columns `columns` of θ alone.
    ///
    /// # Errors
    /// As [`Host::hessians`].
    pub fn loss_hessians(
        &self,
        columns: &[usize],
        at: &[(usize, &[f64])],
        rows: Option<usize>,
        products: Precision,
    ) -> Result<Vec<Mat<f64>>> {
        let params: Vec<Params> = at.iter().map(|(_, theta)| self.coordinates.to_params(theta)).collect();
        let draws = at.iter().map(|(k, _)| self.members[*k].draw);
        let drawn = DrawnRows::all(self.folds);
        let curvatures: Vec<Curvature<'_>> =
            params.iter().zip(draws).map(|(w, draw)| Curvature::Drawn(w.model(0), draw, drawn)).collect();
        self.host.hessians_of_about(&self.coordinates.map_of(columns), &curvatures, rows, products)
    }

    /// Curvature of what is not loss in the J of model `k`, column by column.
    pub fn penalty_of(&self, k: usize) -> impl Iterator<Item = f64> + '_ {
        let l2 = self.members[k].l2;
        self.penalty.iter().zip(&self.ridge).map(move |(p, ridge)| l2 * p + ridge)
    }

    /// No eigenvalue of the Hessian of model `k` is larger, anywhere.
    pub fn curvature_bound(&self, k: usize) -> f64 {
        self.coordinates.curvature_bound(self.members[k].weight_sum, self.penalty_of(k))
    }

    /// The gradient of model `k` as `--tol` measures it.
    pub fn gradient_norm(&self, k: usize, gradient: &[f64]) -> f64 {
        self.coordinates.gradient_norms(gradient, self.members[k].weight_sum).0
    }

    /// The subgradient of least size of model `k`, whose weights of |θⱼ| are `weights`, as `--tol` measures it.
    pub fn subgradient_norm(&self, k: usize, at: &BatchEvaluation, weights: &[f64]) -> f64 {
        self.coordinates.subgradient_norms(&at.gradient, &at.theta, weights, self.members[k].weight_sum).0
    }
}
