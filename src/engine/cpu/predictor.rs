//! Curvature along the linear predictor: how J bends where the model itself grows, shrinks or shifts.

use rayon::prelude::*;

use super::hessian::{Group, PANEL_GROUPS, RowSample};
use super::kernels::{self, Column, OCTETS};
use super::products::products;
use crate::data::{Block, Values};
use crate::engine::Params;
use crate::error::Result;
use crate::logistic::variance_octet;
use crate::octet::{Octet, Stored, Work, dispatch};

/// Σ s·y(1−y)·bᵏ for k = 0, 1 and 2.
pub type PredictorMoments = [f64; 3];

/// Of each model of `w` the moments of b = z·w + w₀ − from over the rows in `sample`; `from` has one entry a model.
pub(super) fn predictor_moments(
    blocks: &[Block],
    w: &Params,
    from: &[f64],
    sample: RowSample,
) -> Result<Vec<PredictorMoments>> {
    let mut totals = vec![[0.0; 3]; w.models()];
    sample.each(blocks, |groups| {
        let parts: Vec<Vec<PredictorMoments>> =
            groups.par_chunks(PANEL_GROUPS).map(|some| of_groups(some, w, from)).collect();
        parts.iter().for_each(|part| add(&mut totals, part));
    })?;
    Ok(totals)
}

fn of_groups(groups: &[Group<'_>], w: &Params, from: &[f64]) -> Vec<PredictorMoments> {
    let mut totals = vec![[0.0; 3]; w.models()];
    for place in groups {
        let part = match place.block.x() {
            Values::F32(x) => dispatch(Moments { place, x: place.columns(x), w, from }),
            Values::F64(x) => dispatch(Moments { place, x: place.columns(x), w, from }),
        };
        add(&mut totals, &part);
    }
    totals
}

fn add(totals: &mut [PredictorMoments], parts: &[PredictorMoments]) {
    totals.as_flattened_mut().iter_mut().zip(parts.as_flattened()).for_each(|(total, part)| *total += part);
}

/// The moments of one group with columns `x`.
struct Moments<'a, T> {
    place: &'a Group<'a>,
    x: &'a [Column<T>],
    w: &'a Params,
    from: &'a [f64],
}

impl<T: Stored> Work for Moments<'_, T> {
    type Output = Vec<PredictorMoments>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let Moments { place, x, w, from } = self;
        let (block, g) = (place.block, place.g);
        let weight = kernels::lanes(o, block.weight().group(g));
        let offset = block.offset().map(|offset| offset.group(g));
        let mut all = Vec::with_capacity(from.len());
        for (k, &from) in from.iter().enumerate() {
            let w = w.model(k);
            let slopes = products(o, x, &w[..x.len()]);
            let a = kernels::with_intercept(o, slopes, w[x.len()], offset);
            let mut sums = [o.splat(0.0); 3];
            for i in 0..OCTETS {
                let b = o.add(slopes[i], o.splat(w[x.len()] - from));
                let curvature = o.mul(weight[i], variance_octet(o, a[i]));
                let times_b = o.mul(curvature, b);
                sums[0] = o.add(sums[0], curvature);
                sums[1] = o.add(sums[1], times_b);
                sums[2] = o.mul_add(times_b, b, sums[2]);
            }
            let mut moments = [0.0; 3];
            for (moment, sum) in moments.iter_mut().zip(sums) {
                *moment = o.store(sum).iter().sum();
            }
            all.push(moments);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, PackOptions, Precision, Purpose, RowMajor, RowVector, RowVectors};
    use crate::logistic::variance;

    #[test]
    fn moments_are_those_of_the_rows_one_by_one() {
        let (rows, features) = (1003, 3);
        let values: Vec<f64> = (0..rows * features).map(|i| (i as f64 * 0.7).sin()).collect();
        let vectors = RowVectors {
            target: RowVector::of(rows, |i| (i % 2) as f64),
            weight: RowVector::of(rows, |i| [1.0, 0.0, 2.5][i % 3]),
            offset: Some(RowVector::of(rows, |i| 0.01 * (i % 7) as f64)),
        };
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let source = RowMajor { values: &values, features, rows };
        let options = PackOptions { precision: Some(Precision::F64), block_rows: Some(256), purpose: Purpose::Score };
        let data = Dataset::pack(names, &source, &vectors, options).unwrap();
        let mut w = Params::zeros(features, 2);
        w.model_mut(0).copy_from_slice(&[0.5, -1.0, 0.25, 0.3]);
        w.model_mut(1).copy_from_slice(&[-2.0, 0.1, 0.4, -0.6]);
        let from = [0.1, -0.2];
        let found = predictor_moments(&data.blocks, &w, &from, RowSample::All).unwrap();
        for k in 0..2 {
            let mut expected = [0.0; 3];
            for i in 0..rows {
                let z = |j: usize| (values[i * features + j] - data.columns[j].centre) / data.columns[j].scale;
                let w = w.model(k);
                let b = (0..features).map(|j| w[j] * z(j)).sum::<f64>() + w[features];
                let curvature = vectors.weight.at(i) * variance(b + vectors.offset.as_ref().unwrap().at(i));
                let b = b - from[k];
                expected.iter_mut().enumerate().for_each(|(n, sum)| *sum += curvature * b.powi(n as i32));
            }
            for (found, expected) in found[k].iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{found} for {expected}");
            }
        }
    }
}
