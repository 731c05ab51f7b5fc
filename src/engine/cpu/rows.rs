//! One block of rows as the engine holds it: X in the precision it is stored in, logits in the same.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{self, Column, Curvatures, LineProbe, LossGradient, Rows, Sum};
use super::products::{InF32, InF64, Products};
use crate::data::storage::Storage;
use crate::data::{Block, LANES, Precision, RowBlock, RowVectors, Values};
use crate::engine::{LossSlope, Params};
use crate::error::Result;
use crate::octet::{Stored, dispatch};

/// Groups of rows that one task takes at the least; more when there are so many rows that the tasks' partial sums
/// would fill memory.
const CHUNK_GROUPS: usize = 64;
const MAX_CHUNKS: usize = 1024;

/// What is held of a block, whose X and vectors are given when they are needed.
pub(super) enum Held {
    /// X in f32, products in f32.
    Fast(Logits<f32, InF32>),
    F32(Logits<f32, InF64>),
    F64(Logits<f64, InF64>),
}

/// What logits are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The kept point.
    Kept,
    /// The latest point.
    Latest,
    /// Neither: they lead from the one to the other.
    Direction,
}

/// Does `$work` on the logits that `$held` is, whatever their precision.
macro_rules! typed {
    ($held:expr, $logits:ident => $work:expr) => {
        match $held {
            Held::Fast($logits) => $work,
            Held::F32($logits) => $work,
            Held::F64($logits) => $work,
        }
    };
}
pub(super) use typed;

impl Held {
    pub(super) fn new(block: &Block, models: usize, products: Precision) -> Self {
        match (block.is_wide(), products) {
            (true, _) => Held::F64(Logits::new(models, InF64)),
            (false, Precision::F32) => Held::Fast(Logits::new(models, InF32)),
            (false, Precision::F64) => Held::F32(Logits::new(models, InF64)),
        }
    }
}

/// Logits of the rows of a block, in the precision of X: a stretch of padded rows for each model, and empty until needed.
pub(super) struct Logits<T, P> {
    models: usize,
    products: P,
    /// One for each [`Role`].
    of: [Storage<T>; 3],
}

impl<T: Stored, P: Products<T>> Logits<T, P> {
    fn new(models: usize, products: P) -> Self {
        Logits { models, products, of: [const { Storage::none() }; 3] }
    }

    fn of(&self, role: Role) -> &[T] {
        &self.of[role as usize]
    }

    /// The `len` logits of a role, zeros at first.
    fn of_mut(&mut self, role: Role, len: usize) -> Result<&mut [T]> {
        let of = &mut self.of[role as usize];
        if of.is_empty() {
            *of = Storage::zeros(len)?;
        }
        Ok(of)
    }

    /// The same as bytes.
    ///
    /// # Errors
    /// As [`Storage::zeros`].
    pub(super) fn bytes(&mut self, role: Role, len: usize) -> Result<&mut [u8]> {
        Ok(bytemuck::cast_slice_mut(self.of_mut(role, len)?))
    }

    /// Loss and gradient of each model at `w`; the logits become the latest where they are to be `held`.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for the logits.
    pub(super) fn loss_gradient(
        &mut self,
        block: &RowBlock,
        x: &[Column<T>],
        w: &Params,
        held: bool,
    ) -> Result<Vec<(f64, Vec<f64>)>> {
        let (padded, models, products) = (block.groups() * LANES, self.models, self.products);
        let latest = if held { self.of_mut(Role::Latest, padded * models)? } else { &mut [][..] };
        // Each task owns the logits of its rows: one stretch for each model.
        let tasks = tasks(block.groups());
        let mut stretches: Vec<Vec<&mut [T]>> = tasks.iter().map(|_| Vec::new()).collect();
        for mut model in latest.chunks_mut(padded) {
            for (task, stretches) in tasks.iter().zip(&mut stretches) {
                let (stretch, rest) = model.split_at_mut(task.len() * LANES);
                stretches.push(stretch);
                model = rest;
            }
        }
        let parts: Vec<Vec<(f64, Vec<f64>)>> = tasks
            .into_par_iter()
            .zip(stretches)
            .with_max_len(1)
            .map(|(groups, logits)| dispatch(LossGradient { rows: Rows { block, x, groups }, products, w, logits }))
            .collect();
        let mut total = vec![(0.0, vec![0.0; block.features() + 1]); models];
        for part in parts {
            for (total, (loss, gradient)) in total.iter_mut().zip(part) {
                total.0 += loss;
                total.1.iter_mut().zip(gradient).for_each(|(total, g)| *total += g);
            }
        }
        Ok(total)
    }

    /// Puts `logits` to those of a role, of which there are `len`, from the one of number `first` on.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for them.
    pub(super) fn set(
        &mut self,
        role: Role,
        len: usize,
        first: usize,
        logits: impl Iterator<Item = f64>,
    ) -> Result<()> {
        let of = self.of_mut(role, len)?;
        of[first..].iter_mut().zip(logits).for_each(|(of, logit)| *of = T::narrow(logit));
        Ok(())
    }

    /// The latest logits become the kept ones.
    pub(super) fn keep(&mut self) {
        self.of.swap(Role::Kept as usize, Role::Latest as usize);
    }

    /// The direction becomes latest − kept logits.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when there is no memory for it.
    pub(super) fn start_line(&mut self) -> Result<()> {
        self.of_mut(Role::Direction, self.of(Role::Kept).len())?;
        let [kept, latest, direction] = &mut self.of;
        let pairs = kept.par_iter().zip(latest.par_iter());
        let direction = direction.par_iter_mut().with_min_len(CHUNK_GROUPS * LANES);
        direction.zip(pairs).for_each(|(d, (kept, latest))| *d = T::narrow(latest.wide() - kept.wide()));
        Ok(())
    }

    /// Loss and slope at each of `steps` from the kept logits along the direction, added to `sums`: for each step a list of
    /// the models.
    pub(super) fn probe(&self, vectors: &RowVectors, steps: &[f64], sums: &mut [Vec<LossSlope>]) {
        let groups = vectors.groups();
        let of_models = |role| self.of(role).chunks(groups * LANES);
        for (k, (kept, direction)) in of_models(Role::Kept).zip(of_models(Role::Direction)).enumerate() {
            let parts: Vec<Vec<LossSlope>> = tasks(groups)
                .into_par_iter()
                .map(|groups| {
                    let (start, direction) = (&kept[rows_of(&groups)], &direction[rows_of(&groups)]);
                    dispatch(LineProbe { vectors, groups, start, direction, steps })
                })
                .collect();
            for part in parts {
                for (sum, part) in sums.iter_mut().zip(part) {
                    sum[k].loss += part.loss;
                    sum[k].slope += part.slope;
                }
            }
        }
    }

    /// Σ s·y(1−y) of the first model at the kept or the latest point.
    pub(super) fn curvature_sum(&self, role: Role, vectors: &RowVectors) -> f64 {
        let parts: Vec<f64> = tasks(vectors.groups())
            .into_par_iter()
            .map(|groups| {
                let logits = &self.of(role)[rows_of(&groups)];
                dispatch(Curvatures { vectors, groups, logits })
            })
            .collect();
        parts.iter().sum()
    }
}

/// Logits of one model at `w` in the rows of `block` into `out`: one for each row.
pub(super) fn logits(block: &RowBlock, w: &[f64], out: &mut [f64]) {
    match block.x() {
        Values::F32(x) => logits_of(block, kernels::columns(x), w, out),
        Values::F64(x) => logits_of(block, kernels::columns(x), w, out),
    }
}

fn logits_of<T: Stored>(block: &RowBlock, x: &[Column<T>], w: &[f64], out: &mut [f64]) {
    let tasks = tasks(block.groups());
    let rows_a_task = tasks.first().map_or(LANES, |groups| groups.len() * LANES);
    tasks.into_par_iter().zip(out.par_chunks_mut(rows_a_task)).for_each(|(groups, out)| {
        let mut padded = vec![0.0; groups.len() * LANES];
        dispatch(kernels::Logits { rows: Rows { block, x, groups }, w, out: &mut padded });
        out.copy_from_slice(&padded[..out.len()]);
    });
}

/// Σ of all values of `block`, whose columns are `x`.
pub(super) fn sum<T: Stored>(block: &RowBlock, x: &[Column<T>]) -> f64 {
    let features = block.features();
    let parts: Vec<f64> = tasks(block.groups())
        .into_par_iter()
        .map(|groups| dispatch(Sum { x: &x[groups.start * features..groups.end * features] }))
        .collect();
    parts.iter().sum()
}

/// The padded rows of `groups`.
fn rows_of(groups: &Range<usize>) -> Range<usize> {
    groups.start * LANES..groups.end * LANES
}

/// The groups of each task, cut by their number alone.
pub(super) fn tasks(groups: usize) -> Vec<Range<usize>> {
    let chunk = CHUNK_GROUPS.max(groups.div_ceil(MAX_CHUNKS));
    (0..groups).step_by(chunk).map(|start| start..groups.min(start + chunk)).collect()
}
