//! The rows as the host has them, for what only f64 on the host can say: curvature, rank, and proofs row by row.

use std::cell::Cell;

use faer::Mat;
use rayon::prelude::*;

use super::CpuEngine;
use super::class_hessian::class_hessian;
use super::draws::{WeightSums, weight_sums};
use super::gram::Kept;
use super::hessian::{ColumnMap, Curvature, RowSample, hessians, most_at_once};
use super::kernels::{self, Column, OCTETS};
use super::leverage::leverages;
use super::predictor::{PredictorMoments, predictor_moments};
use super::products::InF64;
use super::rows::logits;
use super::scores::clustered_scores;
use crate::data::{Clusters, Dataset, LANES, Precision, RowBlock, Values, each_block};
use crate::engine::{Draw, DrawnRows, Engine, Params, PointId, RankedEngine};
use crate::error::Result;
use crate::linalg::Cholesky;
use crate::octet::{Octet, Stored, Work, dispatch};

/// An engine on the host.
pub trait HostEngine: Engine {
    /// Σ s·y(1−y) over the rows at `point`, of the first model: the curvature in the intercept. No pass over X.
    ///
    /// # Errors
    /// [`crate::error::Error::Numerics`] when `point` is neither the kept nor the latest one, and what reading fails with.
    fn curvature_sum(&mut self, point: PointId) -> Result<f64>;
}

impl HostEngine for CpuEngine<'_> {
    fn curvature_sum(&mut self, point: PointId) -> Result<f64> {
        CpuEngine::curvature_sum(self, point)
    }
}

impl HostEngine for RankedEngine<'_> {
    fn curvature_sum(&mut self, point: PointId) -> Result<f64> {
        RankedEngine::curvature_sum(self, point)
    }
}

/// A data set on the host, and how often it was read in full.
#[derive(Debug)]
pub struct Host<'a> {
    data: &'a Dataset,
    passes: Cell<u64>,
    gram: Kept,
}

impl<'a> Host<'a> {
    /// The host's view of `data`.
    pub fn new(data: &'a Dataset) -> Self {
        Host { data, passes: Cell::new(0), gram: Kept::default() }
    }

    /// The data set.
    pub fn data(&self) -> &'a Dataset {
        self.data
    }

    /// Full reads of X by the functions below.
    pub fn passes(&self) -> u64 {
        self.passes.get()
    }

    /// The CPU engine on these rows, for one model and all in f64; it counts its own passes.
    ///
    /// # Errors
    /// [`crate::error::Error::Rank`] where other ranks that have some of the rows cannot be reached.
    pub fn engine(&self) -> Result<Box<dyn HostEngine + 'a>> {
        Ok(match &self.data.spread {
            Some(spread) => Box::new(RankedEngine::on_hosts(spread)?),
            None => Box::new(self.engine_here()),
        })
    }

    /// The same, where the curvature in the intercept will not be asked for: such an engine need not hold logits.
    ///
    /// # Errors
    /// As [`Host::engine`].
    pub fn engine_for_steps(&self) -> Result<Box<dyn HostEngine + 'a>> {
        match self.data.spread {
            Some(_) => self.engine(),
            None => Ok(Box::new(self.plain_engine())),
        }
    }

    /// [`Host::engine`] of the rows that are here.
    pub(in crate::engine) fn engine_here(&self) -> CpuEngine<'a> {
        self.plain_engine().holding_logits()
    }

    fn plain_engine(&self) -> CpuEngine<'a> {
        CpuEngine::new(&self.data.blocks, self.data.features.len(), 1, Precision::F64)
    }

    /// X̃ᵀ diag(s·c) X̃ of the rows in `sample`, `width × width`, both triangles filled: with `products` in f64, or in f32 where
    /// it is for no more than a direction. A sample is no full read and not counted.
    ///
    /// # Errors
    /// What reading blocks that are not in memory fails with, as for all that follows here.
    pub fn hessian(
        &self,
        map: &ColumnMap,
        curvature: Curvature<'_>,
        sample: RowSample,
        products: Precision,
    ) -> Result<Mat<f64>> {
        let mut one = self.hessians(map, &[curvature], sample, products)?;
        Ok(one.swap_remove(0))
    }

    pub(super) fn kept_gram(&self) -> &Kept {
        &self.gram
    }

    /// One such matrix for each of `curvatures`; X is read once for as many of them as memory allows.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn hessians(
        &self,
        map: &ColumnMap,
        curvatures: &[Curvature<'_>],
        sample: RowSample,
        products: Precision,
    ) -> Result<Vec<Mat<f64>>> {
        let mut all = Vec::with_capacity(curvatures.len());
        for some in curvatures.chunks(most_at_once(map.width())) {
            if sample == RowSample::All {
                self.count_pass();
            }
            all.extend(match &self.data.spread {
                Some(spread) => spread.hessians(map, some, sample, products)?,
                None => hessians(&self.data.blocks, map, some, sample, products)?,
            });
        }
        Ok(all)
    }

    /// The same from about `rows` rows, evenly spread and scaled up, or from all where that is none or there are not twice as many.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn hessians_of_about(
        &self,
        map: &ColumnMap,
        curvatures: &[Curvature<'_>],
        rows: Option<usize>,
        products: Precision,
    ) -> Result<Vec<Mat<f64>>> {
        let sample = rows.map_or(RowSample::All, |rows| RowSample::of_about(rows, self.data.rows));
        let mut all = self.hessians(map, curvatures, sample, products)?;
        let share = self.share(sample)?;
        if share > 0.0 && share != 1.0 {
            all.iter_mut().for_each(|h| *h *= faer::Scale(1.0 / share));
        }
        Ok(all)
    }

    /// Of each model of W (stored units, p slopes and the intercept) how J curves along the linear predictor b = z·w + w₀ − from over the
    /// rows in `sample`, `from` having one entry a model. A sample is no full read and not counted.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn predictor_moments(&self, w: &Params, from: &[f64], sample: RowSample) -> Result<Vec<PredictorMoments>> {
        if sample == RowSample::All {
            self.count_pass();
        }
        match &self.data.spread {
            Some(spread) => spread.predictor_moments(w, from, sample),
            None => predictor_moments(&self.data.blocks, w, from, sample),
        }
    }

    /// The Hessian of the softmax at W, a column a class, over all rows: the coordinates of the first class, then of the next.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn class_hessian(&self, map: &ColumnMap, w: &Params) -> Result<Mat<f64>> {
        self.count_pass();
        match &self.data.spread {
            Some(spread) => spread.class_hessian(map, w),
            None => class_hessian(&self.data.blocks, map, w, RowSample::All),
        }
    }

    /// Σ_g u_g·u_gᵀ for u_g = Σ s·(y−t)·x̃ over the rows of cluster g, at the parameters `w` (stored units, p slopes and the
    /// intercept): what the covariance of clustered rows is made of.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] where the sums of so many clusters do not fit, and as [`Host::hessian`].
    pub fn clustered_scores(&self, map: &ColumnMap, w: &[f64], clusters: &Clusters) -> Result<Mat<f64>> {
        self.data.all_here("the covariance of clustered rows")?;
        self.count_pass();
        clustered_scores(&self.data.blocks, map, w, clusters)
    }

    /// The leverage of every row at the parameters `w` (stored units, p slopes and the intercept): s·y(1−y)·x̃ᵀH⁻¹x̃ for the H whose
    /// factor is `information`.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn leverages(&self, map: &ColumnMap, w: &[f64], information: &Cholesky) -> Result<Vec<f64>> {
        self.data.all_here("the leverage of rows")?;
        self.count_pass();
        leverages(&self.data.blocks, map, w, information)
    }

    /// The weights of the `rows` here under each of `draws`.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn weight_sums(&self, draws: &[Draw], rows: DrawnRows<'_>) -> Result<Vec<WeightSums>> {
        if let Some(spread) = &self.data.spread {
            return spread.weight_sums(draws, rows);
        }
        weight_sums(&self.data.blocks, draws, rows)
    }

    /// Rows of positive weight, and rows whose weight is no whole number.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn counts(&self) -> Result<(usize, usize)> {
        if let Some(spread) = &self.data.spread {
            return spread.counts();
        }
        let (mut rows, mut fractions) = (0, 0);
        for block in &self.data.blocks {
            for s in block.vectors()?.weight.iter() {
                rows += usize::from(s > 0.0);
                fractions += usize::from(s.fract() != 0.0);
            }
        }
        Ok((rows, fractions))
    }

    /// Target and weight of each row.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn vectors(&self) -> Result<Vec<(f64, f64)>> {
        if let Some(spread) = &self.data.spread {
            return spread.vectors();
        }
        let mut all = Vec::with_capacity(self.data.rows);
        for block in &self.data.blocks {
            let vectors = block.vectors()?;
            all.extend(vectors.target.iter().zip(vectors.weight.iter()));
        }
        Ok(all)
    }

    /// Σ s of the rows in `sample`.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn weight_sum(&self, sample: RowSample) -> Result<f64> {
        match &self.data.spread {
            Some(spread) => spread.weight_sum(sample),
            None => sample.weight_sum(&self.data.blocks),
        }
    }

    /// The part of Σ s that the rows in `sample` have.
    pub fn share(&self, sample: RowSample) -> Result<f64> {
        match sample {
            RowSample::All => Ok(1.0),
            RowSample::EveryNthGroup(_) => Ok(self.weight_sum(sample)? / self.data.weight_sum),
        }
    }

    /// z·w + w₀ of every row and |z|·m + m₀, of which the rounding of the first is a small part (p slopes and the
    /// intercept in `w` and in its magnitudes `m`, stored units; no offset).
    pub fn products(&self, w: &[f64], m: &[f64]) -> Result<Vec<(f64, f64)>> {
        self.count_pass();
        if let Some(spread) = &self.data.spread {
            return spread.products(w, m);
        }
        let mut out = Vec::with_capacity(self.data.rows);
        each_block(&self.data.blocks, |_, block| {
            match block.x() {
                Values::F32(x) => out.extend(block_products(block, x, w, m)),
                Values::F64(x) => out.extend(block_products(block, x, w, m)),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Zᵀr, and last Σ r, for `r` with one entry a row.
    pub fn transposed_products(&self, r: &[f64]) -> Result<Vec<f64>> {
        self.count_pass();
        if let Some(spread) = &self.data.spread {
            return spread.transposed_products(r);
        }
        let mut sums = vec![0.0; self.data.features.len() + 1];
        let mut rest = r;
        each_block(&self.data.blocks, |_, block| {
            let (head, tail) = rest.split_at(block.rows());
            let part = match block.x() {
                Values::F32(x) => block_transposed(block, x, head),
                Values::F64(x) => block_transposed(block, x, head),
            };
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            rest = tail;
            Ok(())
        })?;
        Ok(sums)
    }

    /// Calls `each` for every row in input order with its number, its linear predictor (offset included) under a model of W, its
    /// target and its weight.
    ///
    /// # Errors
    /// What reading blocks that are not in memory or `each` fails with.
    pub fn each_row(
        &self,
        w: &Params,
        mut each: impl FnMut(usize, &dyn Fn(usize) -> f64, f64, f64) -> Result<()>,
    ) -> Result<()> {
        self.data.all_here("the influence of each row")?;
        self.count_pass();
        let mut first = 0;
        each_block(&self.data.blocks, |_, block| {
            let mut predictors = vec![vec![0.0; block.rows()]; w.models()];
            for (k, out) in predictors.iter_mut().enumerate() {
                logits(block, w.model(k), out);
            }
            let beside = block.target().iter().zip(block.weight().iter());
            for (row, (t, s)) in beside.enumerate() {
                each(first + row, &|model| predictors[model][row], t, s)?;
            }
            first += block.rows();
            Ok(())
        })
    }

    /// Calls `each` for every row in input order with its fold, its linear predictor (offset included) under the model of W that is
    /// of its fold, its target and its weight; `folds` holds the fold of each row.
    ///
    /// # Errors
    /// As [`Host::each_row`].
    pub fn each_row_of_folds(
        &self,
        w: &Params,
        folds: &[u8],
        mut each: impl FnMut(usize, f64, f64, f64) -> Result<()>,
    ) -> Result<()> {
        let Some(spread) = &self.data.spread else {
            return self.each_row(w, |row, a, t, s| {
                let fold = usize::from(folds[row]);
                each(fold, a(fold), t, s)
            });
        };
        self.count_pass();
        let rows = spread.rows_of_folds(w, folds)?;
        rows.iter().zip(folds).try_for_each(|([a, t, s], fold)| each(usize::from(*fold), *a, *t, *s))
    }

    fn count_pass(&self) {
        self.passes.set(self.passes.get() + 1);
    }
}

/// z·w + w₀ and |z|·m + m₀ of the rows of one group.
struct Products<'a, T> {
    x: &'a [Column<T>],
    w: &'a [f64],
    m: &'a [f64],
}

impl<T: Stored> Work for Products<'_, T> {
    type Output = [[[f64; 8]; OCTETS]; 2];

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let Products { x, w, m } = self;
        let (mut value, mut size) = ([o.splat(w[x.len()]); OCTETS], [o.splat(m[x.len()]); OCTETS]);
        for ((column, &w), &m) in x.iter().zip(w).zip(m) {
            for k in 0..OCTETS {
                let z = T::octet(o, &column[k]);
                value[k] = o.mul_add(z, o.splat(w), value[k]);
                size[k] = o.mul_add(o.abs(z), o.splat(m), size[k]);
            }
        }
        [value.map(|octet| o.store(octet)), size.map(|octet| o.store(octet))]
    }
}

fn block_products<T: Stored>(block: &RowBlock, x: &[T], w: &[f64], m: &[f64]) -> Vec<(f64, f64)> {
    let (columns, features) = (kernels::columns(x), block.features());
    let mut out: Vec<(f64, f64)> = (0..block.groups())
        .into_par_iter()
        .flat_map_iter(|g| {
            let x = &columns[g * features..(g + 1) * features];
            let [value, size] = dispatch(Products { x, w, m });
            (0..LANES).map(move |lane| (value[lane / 8][lane % 8], size[lane / 8][lane % 8]))
        })
        .collect();
    out.truncate(block.rows());
    out
}

/// Zᵀr of a block in eight parts, the sum of r last.
struct Transposed<'a, T> {
    x: &'a [Column<T>],
    r: &'a [f64],
    features: usize,
}

impl<T: Stored> Work for Transposed<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Vec<f64> {
        let mut sums = vec![[0.0; 8]; self.features + 1];
        for (g, r) in self.r.chunks(LANES).enumerate() {
            let mut padded = [0.0; LANES];
            padded[..r.len()].copy_from_slice(r);
            let x = &self.x[g * self.features..(g + 1) * self.features];
            kernels::gradient::<O, T, InF64, 1>(o, [x], &[kernels::stored(o, &padded)], &mut sums);
        }
        sums.iter().map(|parts| parts.iter().sum()).collect()
    }
}

fn block_transposed<T: Stored>(block: &RowBlock, x: &[T], r: &[f64]) -> Vec<f64> {
    dispatch(Transposed { x: kernels::columns(x), r, features: block.features() })
}
