//! The rows as the host has them, for what only f64 on the host can say: curvature, rank, and proofs row by row.

use std::cell::Cell;

use faer::Mat;

use super::hessian::{ColumnMap, Curvature, RowSample, hessian};
use super::{CpuEngine, block_logits};
use crate::data::{Dataset, RowBlock, Values};

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

    /// z·w + w₀ of every row (p slopes and the intercept in `w`, stored units), the offset left out.
    pub fn products(&self, w: &[f64]) -> Vec<f64> {
        self.count_pass();
        let mut out = vec![0.0; self.data.blocks.iter().map(RowBlock::rows).sum()];
        let mut rest = out.as_mut_slice();
        for block in &self.data.blocks {
            let (head, tail) = rest.split_at_mut(block.rows());
            match block.x() {
                Values::F32(x) => block_logits(block, x, w, None, head),
                Values::F64(x) => block_logits(block, x, w, None, head),
            }
            rest = tail;
        }
        out
    }

    fn count_pass(&self) {
        self.passes.set(self.passes.get() + 1);
    }
}
