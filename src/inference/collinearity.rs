//! How nearly columns are combinations of each other.

use faer::Mat;

use crate::certificate;
use crate::data::{Dataset, Precision};
use crate::engine::cpu::{ColumnMap, Curvature, Host, RowSample};
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, eigenvalues};
use crate::objective::Coordinates;

/// What the correlations of the columns say. Sample weights count; columns are centred where there is an intercept.
#[derive(Debug, Clone, PartialEq)]
pub struct Collinearity {
    /// √(λ₁/λₚ) of the correlation matrix of the columns that are no exact combinations of others; 1 where none is correlated with any.
    pub condition: f64,
    /// The variance inflation factor of each feature: 1/(1−R²), R² being that of the feature explained by all others. None for a
    /// feature that is constant or a combination of those before it.
    pub inflation: Vec<Option<f64>>,
}

impl Collinearity {
    /// That of the columns of `data`.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is too much data for a matrix of correlations, [`Error::Numerics`] where it has no eigenvalues,
    /// and as [`Host::hessian`].
    pub fn new(data: &Dataset, intercept: bool) -> Result<Self> {
        let host = Host::new(data);
        let coordinates = Coordinates::new(data, intercept, &[]);
        let Some(independence) = certificate::rank(&host, &coordinates, 0.0)? else {
            return Err(Error::Usage(format!(
                "--diagnostics would need the correlations of {} rows × {} columns, which are too many; use fewer columns (--features, \
                 --drop)",
                data.rows,
                coordinates.len()
            )));
        };
        let kept = coordinates.restricted(&independence.kept);
        let map = ColumnMap { intercept: false, ..kept.map().clone() };
        let mut inflation = vec![None; data.features.len()];
        if map.width() == 0 {
            return Ok(Collinearity { condition: 1.0, inflation });
        }
        let gram = host.hessian(&map, Curvature::Gram, RowSample::All, Precision::F64)?;
        let p = gram.nrows();
        let correlations = Mat::from_fn(p, p, |i, j| gram[(i, j)] / (gram[(i, i)] * gram[(j, j)]).sqrt());
        let found = Cholesky::new(&correlations).zip(eigenvalues(&correlations));
        let Some((factor, values)) = found else {
            return Err(Error::Numerics("the correlations of the columns are singular to working precision".into()));
        };
        for (&feature, factor) in map.features.iter().zip(factor.inverse_diagonal()) {
            inflation[feature] = Some(factor);
        }
        Ok(Collinearity { condition: (values[p - 1] / values[0].max(f64::MIN_POSITIVE)).sqrt(), inflation })
    }
}
