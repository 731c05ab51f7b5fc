//! The example in plain f64: eight rows, three parameters, and gradient descent in ten lines.
//!
//! It shares no code with the engines, nor with [`crate::reference`], against which a test holds it.

use crate::data::hash::unit_interval;

/// w: a slope for each of the two features, and the intercept, last.
pub type Parameters = [f64; 3];

/// The largest slope at which the descent of the lesson stops.
pub const FLAT: f64 = 1e-6;

/// The rows of `data/lesson.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Design matrix X: hours, sheets, and the column of ones.
    pub x: Vec<[f64; 3]>,
    /// Targets t: 1 passed, 0 not.
    pub t: Vec<f64>,
}

/// A point of the descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// Steps taken so far.
    pub iteration: usize,
    /// Where the descent stands.
    pub w: Parameters,
}

/// The data set as it is shipped: `hours,sheets,passed`.
pub const CSV: &str = include_str!("../../data/lesson.csv");

impl Example {
    /// The data set of the lesson.
    pub fn shipped() -> Self {
        let cells = |line: &str| -> Vec<f64> { line.split(',').filter_map(|cell| cell.trim().parse().ok()).collect() };
        let rows: Vec<Vec<f64>> = CSV.lines().skip(1).map(cells).filter(|row| row.len() == 3).collect();
        Example {
            x: rows.iter().map(|row| [row[0], row[1], 1.0]).collect(),
            t: rows.iter().map(|row| row[2]).collect(),
        }
    }

    /// a = X·w, one linear predictor a row.
    pub fn linear_predictor(&self, w: &Parameters) -> Vec<f64> {
        self.x.iter().map(|row| dot(row, w)).collect()
    }

    /// J(w) = Σ log(1+eᵃ) − t·a.
    pub fn objective(&self, w: &Parameters) -> f64 {
        self.t.iter().zip(self.linear_predictor(w)).map(|(&t, a)| loss(t, a)).sum()
    }

    /// y − t, one residual a row.
    pub fn residual(&self, w: &Parameters) -> Vec<f64> {
        self.t.iter().zip(self.linear_predictor(w)).map(|(t, a)| sigmoid(a) - t).collect()
    }

    /// ∇J = Xᵀ(Y−T).
    pub fn gradient(&self, w: &Parameters) -> Parameters {
        let mut gradient = [0.0; 3];
        for (row, residual) in self.x.iter().zip(self.residual(w)) {
            for j in 0..3 {
                gradient[j] += row[j] * residual;
            }
        }
        gradient
    }

    /// trace(XᵀX) = Σ x² over all entries of X, which no eigenvalue of XᵀX exceeds.
    pub fn trace(&self) -> f64 {
        self.x.iter().map(|row| dot(row, row)).sum()
    }

    /// w ← w − η·∇J until the largest slope is below [`FLAT`]; every point on the way, the start included.
    pub fn descend(&self, start: &Parameters, rate: f64) -> Vec<Visit> {
        let mut visits = vec![Visit { iteration: 0, w: *start }];
        let mut w = *start;
        let mut gradient = self.gradient(&w);
        while largest(&gradient) > FLAT && visits.len() <= 100_000 {
            w = step(&w, &gradient, -rate);
            gradient = self.gradient(&w);
            visits.push(Visit { iteration: visits.len(), w });
        }
        visits
    }
}

/// x·w.
pub fn dot(x: &[f64; 3], w: &Parameters) -> f64 {
    x[0] * w[0] + x[1] * w[1] + x[2] * w[2]
}

/// w + α·d.
pub fn step(w: &Parameters, d: &Parameters, alpha: f64) -> Parameters {
    std::array::from_fn(|j| w[j] + alpha * d[j])
}

/// The largest |∂J/∂wⱼ|.
pub fn largest(gradient: &Parameters) -> f64 {
    gradient.iter().fold(0.0, |largest, slope| slope.abs().max(largest))
}

/// σ(a) = 1/(1+e^−a).
pub fn sigmoid(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// ℓ(t, a) = log(1+eᵃ) − t·a, as max(a, 0) − t·a + log(1 + e^−|a|), in which nothing overflows.
pub fn loss(t: f64, a: f64) -> f64 {
    a.max(0.0) - t * a + (-a.abs()).exp().ln_1p()
}

/// Three parameters in [−1, 1), drawn as `--init random` draws its start.
pub fn random_start(seed: u64) -> Parameters {
    std::array::from_fn(|i| 2.0 * unit_interval(seed, i as u64) - 1.0)
}
