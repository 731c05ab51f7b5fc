//! The objective of a softmax of K classes, each with a θ of its own.

use faer::Mat;

use super::{Coordinates, Precision, penalised};
use crate::engine::cpu::{Curvature, Host, HostEngine};
use crate::engine::{Engine, Params};
use crate::error::{Error, Result};

/// J(θ) = Σ s·ℓ + ½·l2·Σₖ Σⱼ fⱼβⱼₖ² with ℓ = log Σₖ e^aₖ − aₜ. θ holds the coordinates of the first class, then of the next, ….
///
/// A row's ℓ does not change when the same is added to the θ of every class. The gradient sums to 0 over the classes, and so do
/// all steps, so from a start that does the θ of the classes go on summing to 0: of all θ that predict the same the shortest.
pub struct ClassObjective<'a> {
    engine: &'a mut dyn Engine,
    exact: Box<dyn HostEngine + 'a>,
    host: &'a Host<'a>,
    coordinates: Coordinates,
    classes: usize,
    penalty: Vec<f64>,
    /// Whether J and its gradient are taken in f64 on the host.
    in_f64: bool,
}

/// J and ∇J at a point.
#[derive(Debug, Clone)]
pub struct ClassEvaluation {
    /// The point.
    pub theta: Vec<f64>,
    /// J, penalty included; infinite where the engine's numbers do not hold it.
    pub value: f64,
    /// The part of J that is loss.
    pub loss: f64,
    /// ∂J/∂θ.
    pub gradient: Vec<f64>,
}

impl<'a> ClassObjective<'a> {
    /// The objective of the rows of `host`, whose targets number `classes` classes, with penalty `l2`, evaluated by `engine`, which
    /// holds the same rows.
    ///
    /// # Errors
    /// As [`Host::engine`].
    pub fn new(
        engine: &'a mut dyn Engine,
        host: &'a Host<'a>,
        coordinates: Coordinates,
        classes: usize,
        l2: f64,
    ) -> Result<Self> {
        let penalty = coordinates.penalty_curvature(l2);
        Ok(ClassObjective { engine, exact: host.engine()?, host, coordinates, classes, penalty, in_f64: false })
    }

    /// From now on J and ∇J are taken in f64 on the host; products with the Hessian stay with the engine.
    pub fn set_in_f64(&mut self) {
        self.in_f64 = true;
    }

    /// The coordinates of a class.
    pub fn coordinates(&self) -> &Coordinates {
        &self.coordinates
    }

    /// Classes K.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Entries of θ.
    pub fn len(&self) -> usize {
        self.classes * self.coordinates.len()
    }

    /// Whether there is nothing to fit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// S = Σ s.
    pub fn weight_sum(&self) -> f64 {
        self.host.data().weight_sum
    }

    /// Differences of J below this part of it are rounding.
    pub fn resolution(&self) -> f64 {
        if self.in_f64 { self.exact.batch_resolution() } else { self.engine.batch_resolution() }
    }

    /// Full reads of X so far.
    pub fn passes(&self) -> u64 {
        self.engine.cost().passes + self.exact.cost().passes + self.host.passes()
    }

    /// J and ∇J at θ; J is infinite where f32 does not hold the parameters.
    ///
    /// # Errors
    /// As [`Engine::softmax`].
    pub fn evaluate(&mut self, theta: Vec<f64>) -> Result<ClassEvaluation> {
        let w = self.params(&theta);
        let held = (0..self.classes).all(|k| w.model(k).iter().all(|w| (*w as f32).is_finite()));
        if !held {
            let (value, loss) = (f64::INFINITY, f64::INFINITY);
            return Ok(ClassEvaluation { gradient: vec![0.0; theta.len()], theta, value, loss });
        }
        let sums = if self.in_f64 { self.exact.softmax(&w)? } else { self.engine.softmax(&w)? };
        let mut gradient = self.pull_back(&sums.gradient);
        let value = penalised(sums.loss, &mut gradient, &theta, self.penalty.iter().copied().cycle());
        Ok(ClassEvaluation { theta, value, loss: sums.loss, gradient })
    }

    /// The product of ∂²J/∂θ² at `theta` with `v`.
    ///
    /// # Errors
    /// As [`Engine::softmax_product`]; [`Error::Numerics`] when it is not finite.
    pub fn product(&mut self, theta: &[f64], v: &[f64]) -> Result<Vec<f64>> {
        let (w, direction) = (self.params(theta), self.params(v));
        let product = self.engine.softmax_product(&w, &direction)?;
        let mut product = self.pull_back(&product);
        if !product.iter().all(|x| x.is_finite()) {
            return Err(Error::Numerics("a product with the Hessian is not finite".into()));
        }
        product.iter_mut().zip(v).zip(self.penalty.iter().cycle()).for_each(|((x, v), p)| *x += p * v);
        Ok(product)
    }

    /// ∂²J/∂θ² at `theta` from all rows, on the host, made regular where it is flat: along what is added to every class.
    ///
    /// # Errors
    /// As [`Host::class_hessian`].
    pub fn hessian(&self, theta: &[f64]) -> Result<Mat<f64>> {
        let mut h = self.host.class_hessian(self.coordinates.map(), &self.params(theta))?;
        let columns = self.coordinates.len();
        for j in 0..columns {
            let of_class = |k: usize| k * columns + j;
            for k in 0..self.classes {
                h[(of_class(k), of_class(k))] += self.penalty[j];
            }
            let mean = (0..self.classes).map(|k| h[(of_class(k), of_class(k))]).sum::<f64>() / self.classes as f64;
            for (k, l) in (0..self.classes).flat_map(|k| (0..self.classes).map(move |l| (k, l))) {
                h[(of_class(k), of_class(l))] += mean / self.classes as f64;
            }
        }
        Ok(h)
    }

    /// The blocks on the diagonal of ∂²J/∂θ² at `theta` from about `rows` rows, one for each class; one for all where θ is 0 and they
    /// are the same.
    ///
    /// # Errors
    /// As [`Host::hessians`].
    pub fn class_blocks(&self, theta: &[f64], rows: usize) -> Result<Vec<Mat<f64>>> {
        let w = self.params(theta);
        let different = if theta.iter().all(|t| *t == 0.0) { 1 } else { self.classes };
        let curvatures: Vec<Curvature<'_>> = (0..different).map(|k| Curvature::Class(&w, k)).collect();
        let map = self.coordinates.map();
        let mut blocks = self.host.hessians_of_about(map, &curvatures, Some(rows), Precision::F32)?;
        for block in &mut blocks {
            self.penalty.iter().enumerate().for_each(|(i, p)| block[(i, i)] += p);
        }
        Ok(blocks)
    }

    /// Σ (∂J/∂βⱼ)²/(2·l2·fⱼ), how far J is above its minimum at the most once the intercepts are the best ones; none where a column
    /// is not penalised.
    pub fn gap(&self, gradient: &[f64]) -> Option<f64> {
        // The penalty in θ is l2·f/unit².
        let energy = |(g, p): (&f64, &f64)| if *p > 0.0 { g * g / p } else { 0.0 };
        let sum: f64 = gradient.iter().zip(self.penalty.iter().cycle()).map(energy).sum();
        let of_columns = &self.penalty[..self.coordinates.units().len()];
        (!of_columns.is_empty() && of_columns.iter().all(|p| *p > 0.0)).then_some(0.5 * sum)
    }

    /// The gradient as `--tol` measures it, the worst class's, and the largest |∂J/∂βⱼ|/S.
    pub fn gradient_norms(&self, gradient: &[f64]) -> (f64, f64) {
        let of_class = |gradient| self.coordinates.gradient_norms(gradient, self.weight_sum());
        gradient.chunks(self.coordinates.len().max(1)).map(of_class).fold((0.0, 0.0), |worst: (f64, f64), norms| {
            let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
            (larger(worst.0, norms.0), larger(worst.1, norms.1))
        })
    }

    /// θ as parameters of an engine.
    fn params(&self, theta: &[f64]) -> Params {
        let mut w = Params::zeros(self.host.data().features.len(), self.classes);
        for (k, theta) in theta.chunks(self.coordinates.len().max(1)).enumerate() {
            w.model_mut(k).copy_from_slice(self.coordinates.to_params(theta).model(0));
        }
        w
    }

    /// The gradient in θ of a function whose gradient in stored units is `gradient`.
    fn pull_back(&self, gradient: &Params) -> Vec<f64> {
        (0..self.classes).flat_map(|k| self.coordinates.pull_back(gradient.model(k))).collect()
    }
}
