//! Sums over tiles, added up in f64 and in row order, whatever the device.

use rayon::prelude::*;

use super::out_of_range;
use super::plan::{Chunk, Plan, Region};
use crate::engine::batch::BatchSums;
use crate::engine::{ClassSums, LossSlope, Params};
use crate::error::Result;

/// A tile's loss from here on means a logit that a kernel refused (OUT_OF_RANGE in shaders/common/logistic.wgsl),
/// possibly added to others.
const REFUSED: f32 = 1e37;
/// Entries of the gradient that one thread adds up.
const ENTRIES: usize = 1024;

/// Loss and gradient of every model so far, laid out as on the device: batches × [`Plan::sums`] × batch, the sum of the
/// residuals and losses last.
#[derive(Debug)]
pub(super) struct GradientSums {
    sums: Vec<f64>,
    /// Whether a tile of each model had a logit out of range.
    refused: Vec<bool>,
}

impl GradientSums {
    pub(super) fn new(plan: &Plan) -> Self {
        GradientSums { sums: vec![0.0; plan.padded_models() * plan.sums], refused: vec![false; plan.padded_models()] }
    }

    /// Adds what the kernel left of `chunk`, tile by tile.
    pub(super) fn add(&mut self, plan: &Plan, chunk: &Chunk, results: &[f32]) {
        let tiles = slice(results, chunk.sums);
        let of_batch = plan.batch * plan.sums;
        let losses = plan.batch * (plan.features + 1)..plan.batch * (plan.features + 2);
        for tile in tiles.chunks(self.sums.len()) {
            for (of_batch, refused) in tile.chunks(of_batch).zip(self.refused.chunks_mut(plan.batch)) {
                let losses = &of_batch[losses.clone()];
                refused.iter_mut().zip(losses).for_each(|(refused, loss)| *refused |= !(*loss < REFUSED));
            }
        }
        let width = self.sums.len();
        self.sums.par_chunks_mut(ENTRIES).enumerate().for_each(|(i, sums)| {
            for tile in tiles.chunks(width) {
                for (sum, value) in sums.iter_mut().zip(&tile[i * ENTRIES..]) {
                    *sum += f64::from(*value);
                }
            }
        });
    }

    /// Sum `j` of model `k`.
    fn entry(&self, plan: &Plan, k: usize, j: usize) -> f64 {
        self.sums[(k / plan.batch * plan.sums + j) * plan.batch + k % plan.batch]
    }

    /// The sums of each model of a batch.
    pub(super) fn batch(self, plan: &Plan) -> impl Iterator<Item = BatchSums> {
        (0..plan.models).map(move |k| {
            let entry = |j| self.entry(plan, k, j);
            let gradient = (0..=plan.features).map(entry).collect();
            let loss = if self.refused[k] { f64::INFINITY } else { entry(plan.features + 1) };
            BatchSums { loss, loss_left_out: entry(plan.features + 2), gradient }.checked()
        })
    }

    /// Loss and gradient of all classes together, or their product with a direction.
    pub(super) fn classes(self, plan: &Plan) -> ClassSums {
        let mut gradient = Params::zeros(plan.features, plan.models);
        for k in 0..plan.models {
            gradient.model_mut(k).iter_mut().enumerate().for_each(|(j, value)| *value = self.entry(plan, k, j));
        }
        let loss = if self.refused.contains(&true) { f64::INFINITY } else { self.entry(plan, 0, plan.features + 1) };
        ClassSums { loss, gradient }.checked()
    }

    /// The loss of each model and the gradient.
    pub(super) fn finish(self, plan: &Plan) -> Result<(Vec<f64>, Params)> {
        if self.refused.contains(&true) || !self.sums.iter().all(|sum| sum.is_finite()) {
            return Err(out_of_range());
        }
        let entry = |k: usize, j: usize| self.entry(plan, k, j);
        let mut gradient = Params::zeros(plan.features, plan.models);
        for k in 0..plan.models {
            for (j, value) in gradient.model_mut(k).iter_mut().enumerate() {
                *value = entry(k, j);
            }
        }
        Ok(((0..plan.models).map(|k| entry(k, plan.features + 1)).collect(), gradient))
    }
}

/// Loss and slope of every step and model so far.
#[derive(Debug)]
pub(super) struct ProbeSums {
    sums: Vec<LossSlope>,
}

impl ProbeSums {
    pub(super) fn new(plan: &Plan, steps: &[f64]) -> Self {
        let mut sums = Vec::with_capacity(steps.len() * plan.padded_models());
        for step in steps {
            // A device need not say what comes of a step that f32 does not hold.
            let loss = if (*step as f32).is_finite() { 0.0 } else { f64::INFINITY };
            sums.resize(sums.len() + plan.padded_models(), LossSlope { loss, slope: 0.0 });
        }
        ProbeSums { sums }
    }

    /// Adds what the `line_probe` kernel left of `chunk`: tiles × batches × steps × 2 × batch.
    pub(super) fn add(&mut self, plan: &Plan, chunk: &Chunk, results: &[f32]) {
        let (models, batch) = (plan.padded_models(), plan.batch);
        let steps = self.sums.len() / models;
        let pieces = slice(results, chunk.probes).chunks_exact(2 * steps * batch).take(chunk.tiles * plan.batches);
        for (i, piece) in pieces.enumerate() {
            let first = i % plan.batches * batch;
            for (sums, probe) in self.sums.chunks_mut(models).zip(piece.chunks(2 * batch)) {
                let (losses, slopes) = probe.split_at(batch);
                for ((sum, loss), slope) in sums[first..first + batch].iter_mut().zip(losses).zip(slopes) {
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
                *sum = LossSlope::OUT_OF_RANGE;
            }
        }
        self.sums.chunks(plan.padded_models()).map(|step| step[..plan.models].to_vec()).collect()
    }
}

fn slice(results: &[f32], region: Region) -> &[f32] {
    &results[region.offset as usize / 4..(region.offset + region.bytes) as usize / 4]
}

#[cfg(test)]
mod tests {
    use super::super::plan::{PlanLimits, Problem};
    use super::*;

    #[test]
    fn a_probe_sum_that_is_not_finite_spoils_its_own_step_and_model_only() {
        let (binding, workgroups) = (1 << 20, 256);
        let limits = PlanLimits { binding, buffer: binding, workgroups, chunk: u64::MAX, submission: u64::MAX };
        let problem = Problem { block_rows: &[300], features: 1, models: 1, offsets: false };
        let plan = Plan::new(problem, limits).unwrap();
        // A loss and a slope for each of five steps, for each of two tiles.
        let steps = [1.0, 2.0, 3.0, 1e39, 5.0];
        let mut results = vec![1f32; plan.results_bytes as usize / 4];
        results[10 + 3] = f32::NEG_INFINITY;
        results[4] = REFUSED;
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
