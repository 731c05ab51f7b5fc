//! The Hessian of a softmax: the blocks of all pairs of classes, in f64.
//!
//! With y the probabilities of a row it is Σ s·(diag(y) − yyᵀ) ⊗ x̃x̃ᵀ: on the diagonal the Gram matrix of each class under
//! the weights s·y, and from all blocks that of the products y ⊗ x̃ taken off, one large matrix product instead of many
//! small ones.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use super::hessian::{ColumnMap, Curvature, Group, PANEL_GROUPS, RowSample, add_symmetric, fill_panel, most_parts};
use super::kernels::{self, Column, Lanes, OCTETS};
use super::products::products;
use crate::data::{Block, LANES, Values};
use crate::engine::Params;
use crate::error::Result;
use crate::logistic::decay_octet;
use crate::octet::{Octet, Stored, Work, dispatch};

/// The Hessian over the rows in `sample` at W, a column a class: the coordinates of the first class, then of the next, both
/// triangles filled.
pub(super) fn class_hessian(blocks: &[Block], map: &ColumnMap, w: &Params, sample: RowSample) -> Result<Mat<f64>> {
    let width = map.width() * w.models();
    let mut total = Mat::zeros(width, width);
    sample.each(blocks, |groups| {
        let part_len = groups.len().div_ceil(most_parts(width)).max(1).next_multiple_of(PANEL_GROUPS);
        let parts: Vec<Mat<f64>> = groups.par_chunks(part_len).map(|groups| of_groups(groups, map, w)).collect();
        add_symmetric(&mut total, &parts.iter().collect::<Vec<_>>());
    })?;
    Ok(total)
}

/// The lower triangle of the sum of some groups.
fn of_groups(groups: &[Group<'_>], map: &ColumnMap, w: &Params) -> Mat<f64> {
    let (columns, classes) = (map.width(), w.models());
    let rows = PANEL_GROUPS * LANES;
    let mut sum = Mat::<f64>::zeros(columns * classes, columns * classes);
    let mut panel = Mat::<f64>::zeros(rows, columns);
    let mut rooted = Mat::<f64>::zeros(rows, columns);
    let mut products = Mat::<f64>::zeros(rows, columns * classes);
    let mut shares = vec![vec![0.0; rows]; classes];
    let lower = BlockStructure::TriangularLower;
    let all = BlockStructure::Rectangular;
    for groups in groups.chunks(PANEL_GROUPS) {
        if groups.len() < PANEL_GROUPS {
            panel.fill(0.0);
        }
        for (i, place) in groups.iter().enumerate() {
            match place.block.x() {
                Values::F32(x) => fill(x, place, map, w, i * LANES, &mut panel, &mut shares),
                Values::F64(x) => fill(x, place, map, w, i * LANES, &mut panel, &mut shares),
            }
        }
        for (k, shares) in shares.iter().enumerate() {
            for j in 0..columns {
                let column = panel.col_as_slice(j);
                let rooted = rooted.col_as_slice_mut(j);
                let products = products.col_as_slice_mut(k * columns + j);
                for (((rooted, product), x), y) in rooted.iter_mut().zip(products).zip(column).zip(shares) {
                    (*rooted, *product) = (x * y.sqrt(), x * y);
                }
            }
            let block = sum.submatrix_mut(k * columns, k * columns, columns, columns);
            matmul(block, lower, Accum::Add, rooted.transpose(), all, rooted.as_ref(), all, 1.0, Par::Seq);
        }
        matmul(sum.as_mut(), lower, Accum::Add, products.transpose(), all, products.as_ref(), all, -1.0, Par::Seq);
    }
    sum
}

/// Writes √s·x̃ of a group to rows `at..` of `panel`, and the probabilities of its rows to `shares`, class by class.
fn fill<T: Stored>(
    x: &[T],
    place: &Group<'_>,
    map: &ColumnMap,
    w: &Params,
    at: usize,
    panel: &mut Mat<f64>,
    shares: &mut [Vec<f64>],
) {
    fill_panel(x, place, map, Curvature::Gram, at, panel);
    dispatch(Shares { x: place.columns(x), w, at, shares });
}

/// Writes the probabilities of a group with columns `x` to places `at..` of `shares`.
struct Shares<'a, T> {
    x: &'a [Column<T>],
    w: &'a Params,
    at: usize,
    shares: &'a mut [Vec<f64>],
}

impl<T: Stored> Work for Shares<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<O: Octet>(self, o: O) {
        let mut logits = vec![[o.splat(0.0); OCTETS]; self.w.models()];
        class_logits(o, self.x, self.w, &mut logits);
        shares(o, &mut logits, 0);
        for (out, share) in self.shares.iter_mut().zip(&logits) {
            let out = out[self.at..self.at + LANES].as_chunks_mut().0;
            for i in 0..OCTETS {
                out[i] = o.store(share[i]);
            }
        }
    }
}

/// The logits of a group in each class.
#[inline(always)]
pub(super) fn class_logits<O: Octet, T: Stored>(o: O, x: &[Column<T>], w: &Params, out: &mut [Lanes<O>]) {
    for (k, out) in out.iter_mut().enumerate() {
        let w = w.model(k);
        *out = kernels::with_intercept(o, products(o, x, &w[..x.len()]), w[x.len()], None);
    }
}

/// Turns logits into probabilities; those of class `k`, and of all others together.
#[inline(always)]
pub(super) fn shares<O: Octet>(o: O, logits: &mut [Lanes<O>], k: usize) -> (Lanes<O>, Lanes<O>) {
    let zero = o.splat(0.0);
    let mut others = [zero; OCTETS];
    for i in 0..OCTETS {
        let mut largest = logits[0][i];
        for logit in logits.iter() {
            largest = o.max(logit[i], largest);
        }
        let mut sum = zero;
        for (class, logit) in logits.iter_mut().enumerate() {
            logit[i] = decay_octet(o, o.sub(logit[i], largest));
            sum = o.add(sum, logit[i]);
            if class != k {
                others[i] = o.add(others[i], logit[i]);
            }
        }
        let unit = o.div(o.splat(1.0), sum);
        for logit in logits.iter_mut() {
            logit[i] = o.mul(logit[i], unit);
        }
        others[i] = o.mul(others[i], unit);
    }
    (logits[k], others)
}
