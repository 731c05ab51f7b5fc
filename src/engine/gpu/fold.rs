//! Sums over tiles, added up in f64 and in row order, whatever the device.

use rayon::prelude::*;

use super::out_of_range;
use super::plan::{Chunk, Plan, Region};
use crate::engine::{LossSlope, Params};
use crate::error::Result;

/// A tile's loss from here on means a logit that a kernel refused (OUT_OF_RANGE in shaders/common/logistic.wgsl),
/// possibly added to others.
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
                    if !(*value < REFUSED) {
                        return Err(out_of_range());
                    }
                    *sum += f64::from(*value);
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
    pub(super) fn new(plan: &Plan, steps: &[f64]) -> Self {
        let mut sums = Vec::with_capacity(steps.len() * plan.columns());
        for step in steps {
            // A device need not say what comes of a step that f32 does not hold.
            let loss = if (*step as f32).is_finite() { 0.0 } else { f64::INFINITY };
            sums.resize(sums.len() + plan.columns(), LossSlope { loss, slope: 0.0 });
        }
        ProbeSums { sums }
    }

    /// Adds what the `line_probe` kernel left of `chunk`: steps × batches × tiles × 2 × batch.
    pub(super) fn add(&mut self, plan: &Plan, chunk: &Chunk, results: &[f32]) {
        let values = slice(results, chunk.probes);
        for (sums, of_batch) in self.sums.chunks_mut(plan.batch).zip(values.chunks(chunk.tiles * 2 * plan.batch)) {
            for tile in of_batch.chunks(2 * plan.batch) {
                let (losses, slopes) = tile.split_at(plan.batch);
                for ((sum, loss), slope) in sums.iter_mut().zip(losses).zip(slopes) {
                    sum.loss += if *loss < REFUSED { f64::from(*loss) } else { f64::INFINITY };
                    sum.slope += f64::from(*slope);
                }
            }
        }
    }

    /// One list of m entries for each step; what is out of range has an infinite loss and a slope that is not a number.
    pub(super) fn finish(mut self, plan: &Plan) -> Vec<Vec<LossSlope>> {
        for sum in &mut self.sums {
            if !(sum.loss.is_finite() && sum.slope.is_finite()) {
                *sum = LossSlope { loss: f64::INFINITY, slope: f64::NAN };
            }
        }
        self.sums.chunks(plan.columns()).map(|step| step[..plan.models].to_vec()).collect()
    }
}

fn slice(results: &[f32], region: Region) -> &[f32] {
    &results[region.offset as usize / 4..(region.offset + region.bytes) as usize / 4]
}

#[cfg(test)]
mod tests {
    use super::super::plan::PlanLimits;
    use super::*;

    #[test]
    fn a_probe_sum_that_is_not_finite_spoils_its_own_step_and_model_only() {
        let limits = PlanLimits { binding: 1 << 20, buffer: 1 << 20, workgroups: 256 };
        let plan = Plan::new(&[300], 1, 1, limits).unwrap();
        // Two tiles, each a loss and a slope, for each of five steps.
        let steps = [1.0, 2.0, 3.0, 1e39, 5.0];
        let mut results = vec![1f32; plan.results_bytes as usize / 4];
        results[7] = f32::NEG_INFINITY;
        results[8] = REFUSED;
        let mut sums = ProbeSums::new(&plan, &steps);
        sums.add(&plan, &plan.chunks[0], &results);
        let probed = sums.finish(&plan);
        assert_eq!(probed.len(), steps.len());
        for good in [0, 4] {
            assert_eq!(probed[good], [LossSlope { loss: 2.0, slope: 2.0 }]);
        }
        for bad in [1, 2, 3] {
            assert!(probed[bad][0].loss == f64::INFINITY && probed[bad][0].slope.is_nan(), "{:?}", probed[bad]);
        }
    }
}
