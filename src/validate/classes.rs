//! A softmax of several classes against the reference's.

use super::bounds::{Arithmetic, Worst};
use super::cases::{self, Rows};
use crate::data::Dataset;
use crate::engine::{Engine, Params};
use crate::error::Result;
use crate::reference::SoftmaxProblem;

/// What a row's classes may be off by.
struct RowErrors {
    /// Of a logit of V, the largest class's.
    b: f64,
    /// Of a probability, and of the loss.
    probability: f64,
    loss: f64,
}

/// Loss, gradient and product on the rows of `data`, whose targets number its classes.
pub(super) fn compare(engine: &mut dyn Engine, data: &Dataset, rows: &Rows, worst: &mut [Worst]) -> Result<()> {
    let (features, classes) = (data.features.len(), data.classes);
    let parameters =
        |first: usize| -> Vec<Vec<f64>> { (0..classes).map(|k| cases::parameters(data, first + k)).collect() };
    let (w, v) = (parameters(0), parameters(classes));
    let params = |columns: &[Vec<f64>]| {
        let mut params = Params::zeros(features, classes);
        columns.iter().enumerate().for_each(|(k, column)| params.model_mut(k).copy_from_slice(column));
        params
    };
    let sums = engine.softmax(&params(&w))?;
    let product = engine.softmax_product(&params(&w), &params(&v))?;

    let problem = SoftmaxProblem {
        x: &rows.x,
        features,
        classes,
        target: &rows.target,
        weight: &rows.weight,
        l2: 0.0,
        intercept: true,
    };
    let arithmetic = Arithmetic::of_batch();
    let (objective, gradient, exact_product) = (problem.objective(&w), problem.gradient(&w), problem.product(&w, &v));
    let (u, sum_error) = (arithmetic.unit(), arithmetic.sum_error());
    let mut loss_bound = (sum_error + 6.0 * u) * objective;
    let mut bounds = vec![vec![[0.0; 2]; features + 1]; classes];
    for i in 0..rows.target.len() {
        let row = &rows.x[i * features..(i + 1) * features];
        let s = rows.weight[i];
        let (a, b) = (problem.predictors(i, &w), problem.predictors(i, &v));
        let errors = row_errors(&arithmetic, row, &w, &v, &a);
        loss_bound += s * errors.loss;
        let y = SoftmaxProblem::probabilities(&a);
        let largest = b.iter().fold(0f64, |most, b| most.max(b.abs()));
        let mean: f64 = y.iter().zip(&b).map(|(y, b)| y * b).sum();
        for k in 0..classes {
            let residual = if rows.target[i] == k as f64 { 1.0 - y[k] } else { y[k] };
            let change = y[k] * (b[k] - mean).abs();
            let of_residual = errors.probability + (sum_error + 3.0 * u) * residual;
            // The mean carries the errors of all probabilities, and the rounding of what is taken from it.
            let of_change = errors.probability * (largest + (b[k] - mean).abs()) * classes as f64
                + 2.0 * y[k] * (errors.b + (classes as f64 + 6.0) * u * largest)
                + (sum_error + 3.0 * u) * change;
            for (bound, z) in bounds[k].iter_mut().zip(row.iter().chain([&1.0])) {
                bound[0] += s * z.abs() * of_residual;
                bound[1] += s * z.abs() * of_change;
            }
        }
    }
    worst[0].see((sums.loss - objective).abs(), loss_bound);
    for k in 0..classes {
        for j in 0..=features {
            let [of_gradient, of_product] = bounds[k][j];
            worst[0].see((sums.gradient.model(k)[j] - gradient[k][j]).abs(), of_gradient);
            worst[1].see((product.model(k)[j] - exact_product[k][j]).abs(), of_product);
        }
    }
    Ok(())
}

fn row_errors(arithmetic: &Arithmetic, row: &[f64], w: &[Vec<f64>], v: &[Vec<f64>], a: &[f64]) -> RowErrors {
    // Rounding of z and of w, the product, and the sum of p + 1 terms.
    let roundings = (row.len() as f64 + 6.0) * arithmetic.unit();
    let magnitude = |columns: &[Vec<f64>]| {
        let of = |w: &Vec<f64>| row.iter().chain([&1.0]).zip(w).map(|(z, w)| (z * w).abs()).sum::<f64>();
        columns.iter().map(of).fold(0.0, f64::max) * roundings
    };
    let (a_error, b_error) = (magnitude(w), magnitude(v));
    let (classes, largest) = (a.len() as f64, a.iter().fold(0f64, |most, a| most.max(a.abs())));
    // |∂yₖ| ≤ yₖ(1−yₖ)·2·max|∂a| ≤ ½·max|∂a|; e^a of a difference, a sum of K terms, and a quotient.
    let probability = 0.5 * (a_error + 2.0 * arithmetic.unit() * largest)
        + 2.0 * arithmetic.sigmoid()
        + (classes + 4.0) * arithmetic.unit();
    let loss = 2.0 * a_error + (2.0 * arithmetic.loss() + classes * arithmetic.unit()) * (1.0 + largest);
    RowErrors { b: b_error, probability, loss }
}
