//! The covariance of the estimates, as the variances of linear combinations of θ.

use faer::Mat;

use super::{Covariance, factor};
use crate::data::Clusters;
use crate::engine::cpu::{Curvature, Host, RowSample};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, unit_of};
use crate::objective::{Coordinates, Precision};

/// How the covariance of the estimates is to be estimated.
#[derive(Debug, Clone, Copy)]
pub enum Estimator<'a> {
    /// As [`Covariance::Model`].
    Model,
    /// As [`Covariance::Hc0`].
    Hc0,
    /// As [`Covariance::Hc1`].
    Hc1,
    /// As [`Covariance::Cluster`], of these clusters.
    Cluster(&'a Clusters),
}

impl Estimator<'_> {
    /// What a model keeps of it.
    pub fn record(self) -> Covariance {
        match self {
            Estimator::Model => Covariance::Model,
            Estimator::Hc0 => Covariance::Hc0,
            Estimator::Hc1 => Covariance::Hc1,
            Estimator::Cluster(clusters) => {
                Covariance::Cluster { column: clusters.name.clone(), clusters: clusters.count }
            }
        }
    }
}

/// V, the covariance of θ: H⁻¹, or a sandwich H⁻¹·B·H⁻¹ times a factor.
#[derive(Debug)]
pub struct Variances {
    bread: Cholesky,
    filling: Option<Mat<f64>>,
    correction: f64,
}

impl Variances {
    /// The covariance of the estimates θ in `coordinates`, of `rows` rows of positive weight.
    ///
    /// # Errors
    /// [`Error::Numerics`] where the information is singular, [`Error::Usage`] where there are too few rows for the small-sample
    /// factor, and as [`Host::hessian`] and [`Host::clustered_scores`].
    pub fn new(
        host: &Host<'_>,
        coordinates: &Coordinates,
        theta: &[f64],
        rows: usize,
        by: Estimator<'_>,
    ) -> Result<Self> {
        let (params, map) = (coordinates.to_params(theta), coordinates.map());
        let w = params.model(0);
        let sum = |curvature| host.hessian(map, curvature, RowSample::All, Precision::F64);
        let bread = factor(&sum(Curvature::At(w))?)?;
        let (n, k) = (rows as f64, theta.len() as f64);
        if rows <= theta.len() && matches!(by, Estimator::Hc1 | Estimator::Cluster(_)) {
            return Err(Error::Usage(format!(
                "the factor of a small sample needs more rows than there are estimates, and there are {rows} for {k}; take \
                 --covariance hc0"
            )));
        }
        let (filling, correction) = match by {
            Estimator::Model => (None, 1.0),
            Estimator::Hc0 => (Some(sum(Curvature::Scores(w))?), 1.0),
            Estimator::Hc1 => (Some(sum(Curvature::Scores(w))?), n / (n - k)),
            Estimator::Cluster(clusters) => {
                let g = clusters.count as f64;
                (Some(host.clustered_scores(map, w, clusters)?), g / (g - 1.0) * (n - 1.0) / (n - k))
            }
        };
        Ok(Variances { bread, filling, correction })
    }

    /// The standard error of Σ cⱼθⱼ.
    pub fn standard_error(&self, c: &[f64]) -> f64 {
        let unit = unit_of(c.iter().copied());
        let c: Vec<f64> = c.iter().map(|c| c / unit).collect();
        let slice = self.bread.solve(&c);
        let sum: f64 = match &self.filling {
            None => slice.iter().zip(&c).map(|(s, c)| s * c).sum(),
            Some(filling) => {
                let row = |j: usize| filling.col(j).iter().zip(&slice).map(|(b, s)| b * s).sum::<f64>();
                slice.iter().enumerate().map(|(j, s)| s * row(j)).sum()
            }
        };
        (sum * self.correction).sqrt() * unit
    }
}
