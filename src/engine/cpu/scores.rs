//! Sums of scores over clusters of rows.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::hessian::ColumnMap;
use super::rows::logits;
use crate::data::{Block, Clusters, RowBlock, Values, each_block};
use crate::error::{Error, Result};
use crate::logistic::residual_and_loss;
use crate::octet::Stored;

/// Bytes that the sums may take.
const MOST_BYTES: usize = 2 << 30;

/// Σ_g u_g·u_gᵀ for u_g = Σ s·(y−t)·x̃ over the rows of cluster g, at the parameters `w` (stored units, p slopes and the
/// intercept).
pub(super) fn clustered_scores(blocks: &[Block], map: &ColumnMap, w: &[f64], clusters: &Clusters) -> Result<Mat<f64>> {
    let (count, width) = (clusters.count, map.width());
    if count.saturating_mul(width).saturating_mul(size_of::<f64>()) > MOST_BYTES {
        return Err(Error::Usage(format!(
            "--cluster {}: the scores of {count} clusters × {width} columns take more than 2 GiB; use fewer columns, or \
             --covariance hc1",
            clusters.name
        )));
    }
    // A column after the other, so that each is summed up by one task, in the order of the rows.
    let mut sums = vec![0.0; count * width];
    let mut rest = clusters.of_row.as_slice();
    each_block(blocks, |_, block| {
        let (here, later) = rest.split_at(block.rows());
        match block.x() {
            Values::F32(x) => add_scores(block, x, map, w, here, &mut sums),
            Values::F64(x) => add_scores(block, x, map, w, here, &mut sums),
        }
        rest = later;
        Ok(())
    })?;
    let sums = MatRef::from_column_major_slice(&sums, count, width);
    Ok(sums.transpose() * sums)
}

/// Adds the scores of the rows of a block, whose clusters are `of_row`, to the columns in `sums`.
fn add_scores<T: Stored>(block: &RowBlock, x: &[T], map: &ColumnMap, w: &[f64], of_row: &[u32], sums: &mut [f64]) {
    let mut residuals = vec![0.0; block.rows()];
    logits(block, w, &mut residuals);
    let beside = block.target().iter().zip(block.weight().iter());
    residuals.iter_mut().zip(beside).for_each(|(r, (t, s))| *r = s * residual_and_loss(*r, t).0);
    sums.par_chunks_mut(sums.len() / map.width()).enumerate().for_each(|(k, sums)| {
        let rows = residuals.iter().zip(of_row);
        match map.features.get(k) {
            Some(&feature) => rows.enumerate().for_each(|(row, (r, cluster))| {
                let z = x[RowBlock::index(row, feature, block.features())].wide();
                sums[*cluster as usize] += r * (map.factor[k] * z + map.shift[k]);
            }),
            None => rows.for_each(|(r, cluster)| sums[*cluster as usize] += r),
        }
    });
}
