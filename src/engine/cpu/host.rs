//! The rows as the host has them, for what only f64 on the host can say: curvature, rank, and proofs row by row.

use std::cell::Cell;

use faer::Mat;
use rayon::prelude::*;

use super::hessian::{ColumnMap, Curvature, RowSample, hessian};
use super::kernels::{self, Lanes, PARTIALS, Stored};
use super::{CpuEngine, group};
use crate::data::{Dataset, LANES, RowBlock, Values};

/// A data set on the host, and how often it was read in full.
#[derive(Debug)]
pub struct Host<'a> {
    data: &'a Dataset,
    passes: Cell<u64>,
}

impl<'a> Host<'a> {
    /// The host's view of `data`.
    pub fn new(data: &'a Dataset) -> Self {
        Host { data, passes: Cell::new(0) }
    }

    /// The data set.
    pub fn data(&self) -> &'a Dataset {
        self.data
    }

    /// Full reads of X by the functions below.
    pub fn passes(&self) -> u64 {
        self.passes.get()
    }

    /// The CPU engine on these rows, for one model; it counts its own passes.
    pub fn engine(&self) -> CpuEngine<'a> {
        CpuEngine::new(&self.data.blocks, self.data.features.len(), 1)
    }

    /// X̃ᵀ diag(s·c) X̃ in f64, `width × width`, both triangles filled. A sample is no full read and not counted.
    pub fn hessian(&self, map: &ColumnMap, curvature: Curvature<'_>, sample: RowSample) -> Mat<f64> {
        if sample == RowSample::All {
            self.count_pass();
        }
        hessian(&self.data.blocks, map, curvature, sample)
    }

    /// z·w + w₀ of every row and |z|·m + m₀, of which the rounding of the first is a small part (p slopes and the
    /// intercept in `w` and in its magnitudes `m`, stored units; no offset).
    pub fn products(&self, w: &[f64], m: &[f64]) -> Vec<(f64, f64)> {
        self.count_pass();
        let blocks = self.data.blocks.iter();
        blocks
            .flat_map(|block| match block.x() {
                Values::F32(x) => block_products(block, x, w, m),
                Values::F64(x) => block_products(block, x, w, m),
            })
            .collect()
    }

    /// Zᵀr, and last Σ r, for `r` with one entry a row.
    pub fn transposed_products(&self, r: &[f64]) -> Vec<f64> {
        self.count_pass();
        let mut sums = vec![0.0; self.data.features.len() + 1];
        let mut rest = r;
        for block in &self.data.blocks {
            let (head, tail) = rest.split_at(block.rows());
            let part = match block.x() {
                Values::F32(x) => block_transposed(block, x, head),
                Values::F64(x) => block_transposed(block, x, head),
            };
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            rest = tail;
        }
        sums
    }

    fn count_pass(&self) {
        self.passes.set(self.passes.get() + 1);
    }
}

fn block_products<T: Stored>(block: &RowBlock, x: &[T], w: &[f64], m: &[f64]) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = (0..block.groups())
        .into_par_iter()
        .flat_map_iter(|g| {
            let x = group(x, g, block.features());
            let sizes: Vec<f64> = x.iter().map(|z| z.wide().abs()).collect();
            kernels::logits(x, w, None).into_iter().zip(kernels::logits(&sizes, m, None))
        })
        .collect();
    out.truncate(block.rows());
    out
}

fn block_transposed<T: Stored>(block: &RowBlock, x: &[T], r: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; (block.features() + 1) * PARTIALS];
    for (g, r) in r.chunks(LANES).enumerate() {
        let mut lanes: Lanes = [0.0; LANES];
        lanes[..r.len()].copy_from_slice(r);
        kernels::gradient(group(x, g, block.features()), &lanes, &mut sums);
    }
    sums.chunks_exact(PARTIALS).map(|partials| partials.iter().sum()).collect()
}
