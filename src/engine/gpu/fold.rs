//! Sums over tiles, added up in f64 and in row order, whatever the device.

use rayon::prelude::*;

use super::out_of_range;
use super::plan::{Chunk, Plan, Region};
use crate::engine::{LossSlope, Params};
use crate::error::Result;

/// A tile's loss from here on means a logit that the `residual` kernel refused (OUT_OF_RANGE in
/// shaders/common/logistic.wgsl), possibly added to others.
const REFUSED: f32 = 1e37;
/// Entries of the gradient that one thread adds up.
const ENTRIES: usize = 1024;

/// Loss and gradient of every model so far, laid out as on the device.
#[derive(Debug)]
pub(super) struct GradientSums {
    loss: Vec<f64>,
    gradient: Vec<f64>,
}

impl GradientSums {
    pub(super) fn new(plan: &Plan) -> Self {
        let columns = plan.columns();
        GradientSums { loss: vec![0.0; columns], gradient: vec![0.0; columns * (plan.features + 1)] }
    }

    /// Adds what the `residual` and `gradient` kernels left of `chunk`.
    pub(super) fn add(&mut self, plan: &Plan, chunk: &Chunk, results: &[f32]) -> Result<()> {
        // losses: batches × tiles × batch
        let losses = slice(results, chunk.losses);
        for (sums, of_batch) in self.loss.chunks_mut(plan.batch).zip(losses.chunks(chunk.tiles * plan.batch)) {
            for tile in of_batch.chunks(plan.batch) {
                for (sum, value) in sums.iter_mut().zip(tile) {
                    *sum += checked_loss(*value)?;
                }
            }
        }
        // partials: tiles × (batches × features × batch), the latter as the sums are
        let partials = slice(results, chunk.partials);
        let width = self.gradient.len();
        self.gradient.par_chunks_mut(ENTRIES).enumerate().for_each(|(i, sums)| {
            for tile in partials.chunks(width) {
                for (sum, value) in sums.iter_mut().zip(&tile[i * ENTRIES..]) {
                    *sum += f64::from(*value);
                }
            }
        });
        Ok(())
    }

    /// The loss of each model and the gradient.
    pub(super) fn finish(self, plan: &Plan) -> Result<(Vec<f64>, Params)> {
        let mut gradient = Params::zeros(plan.features, plan.models);
        let width = plan.features + 1;
        for k in 0..plan.models {
            for (j, value) in gradient.model_mut(k).iter_mut().enumerate() {
                *value = self.gradient[(k / plan.batch * width + j) * plan.batch + k % plan.batch];
                if !value.is_finite() {
                    return Err(out_of_range());
                }
            }
        }
        Ok((self.loss[..plan.models].to_vec(), gradient))
    }
}

/// Loss and slope of every step and model so far.
#[derive(Debug)]
pub(super) struct ProbeSums {
    sums: Vec<LossSlope>,
}

impl ProbeSums {
    pub(super) fn new(plan: &Plan, steps: usize) -> Self {
        ProbeSums { sums: vec![LossSlope { loss: 0.0, slope: 0.0 }; steps * plan.columns()] }
    }

    /// Adds what the `line_probe` kernel left of `chunk`: steps × batches × tiles × 2 × batch.
    pub(super) fn add(&mut self, plan: &Plan, chunk: &Chunk, results: &[f32]) -> Result<()> {
        let values = slice(results, chunk.probes);
        for (sums, of_batch) in self.sums.chunks_mut(plan.batch).zip(values.chunks(chunk.tiles * 2 * plan.batch)) {
            for tile in of_batch.chunks(2 * plan.batch) {
                let (losses, slopes) = tile.split_at(plan.batch);
                for ((sum, loss), slope) in sums.iter_mut().zip(losses).zip(slopes) {
                    sum.loss += checked_loss(*loss)?;
                    sum.slope += f64::from(*slope);
                }
            }
        }
        match self.sums.iter().all(|sum| sum.slope.is_finite()) {
            true => Ok(()),
            false => Err(out_of_range()),
        }
    }

    /// One list of m entries for each step.
    pub(super) fn finish(self, plan: &Plan) -> Vec<Vec<LossSlope>> {
        self.sums.chunks(plan.columns()).map(|step| step[..plan.models].to_vec()).collect()
    }
}

fn checked_loss(value: f32) -> Result<f64> {
    if value < REFUSED { Ok(f64::from(value)) } else { Err(out_of_range()) }
}

fn slice(results: &[f32], region: Region) -> &[f32] {
    &results[region.offset as usize / 4..(region.offset + region.bytes) as usize / 4]
}
