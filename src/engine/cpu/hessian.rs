//! Curvature: X̃ᵀ diag(s·c) X̃, the Gram matrix of mapped columns under row weights.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::traits::ComplexField;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::class_hessian::{class_logits, shares};
use super::draws::Drawn;
use super::kernels::{self, Column, OCTETS};
use super::products::products;
use super::wide::{WIDE, add_wide, mirror};
use crate::data::{Block, LANES, Precision, RowBlock, Values, each_block};
use crate::engine::Params;
use crate::engine::batch::{Draw, DrawnRows};
use crate::error::Result;
use crate::linalg::{self, strips};
use crate::logistic::{residual_and_loss_octet, variance_octet};
use crate::octet::{Octet, Stored, Work, dispatch};

/// Rows gathered into one dense panel before it is multiplied with itself.
pub(super) const PANEL_GROUPS: usize = 8;
/// Partial sums that are kept apart and added in order, whatever the number of threads: as many as a wide matrix can
/// afford, and more of a narrow one.
pub(super) const fn most_parts(width: usize) -> usize {
    match width {
        0..=64 => 64,
        65..=256 => 16,
        _ => 8,
    }
}

/// Columns as the solver sees them: x̃ = factor·z + shift for the stored columns in `features`, the others left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnMap {
    /// Indices of stored features, ascending.
    pub features: Vec<usize>,
    /// One factor for each of `features`.
    pub factor: Vec<f64>,
    /// One shift for each of `features`.
    pub shift: Vec<f64>,
    /// Whether a column of ones follows them.
    pub intercept: bool,
}

impl ColumnMap {
    /// All of `features` stored features as they are, and the column of ones.
    pub fn as_stored(features: usize) -> Self {
        ColumnMap {
            features: (0..features).collect(),
            factor: vec![1.0; features],
            shift: vec![0.0; features],
            intercept: true,
        }
    }

    /// Columns of X̃, the column of ones included.
    pub fn width(&self) -> usize {
        self.features.len() + usize::from(self.intercept)
    }
}

/// What a row counts for beyond its weight s.
#[derive(Debug, Clone, Copy)]
pub enum Curvature<'a> {
    /// c = 1: the plain Gram matrix.
    Gram,
    /// These in the place of s·c: one entry a row.
    Rows(&'a [f64]),
    /// c = y(1−y) at these parameters (stored units, p slopes and the intercept): the Hessian of the loss.
    At(&'a [f64]),
    /// The same of rows that count as this draw says.
    Drawn(&'a [f64], Draw, DrawnRows<'a>),
    /// c = (y−t)² at these parameters: the sum of the squared scores.
    Scores(&'a [f64]),
    /// c = y(1−y) at the probability of one class of the softmax at these parameters, a column a class.
    Class(&'a Params, usize),
}

/// Which rows take part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum RowSample {
    /// All of them.
    All,
    /// Every `stride`-th group of rows, and nothing for the others: a matrix that the one of all rows exceeds.
    EveryNthGroup(usize),
}

impl RowSample {
    /// Some `rows` of `all`; all of them where there are not twice as many.
    pub fn of_about(rows: usize, all: usize) -> Self {
        match all / rows.max(1) {
            0 | 1 => RowSample::All,
            stride => RowSample::EveryNthGroup(stride),
        }
    }

    /// Groups between two that take part, and one.
    fn stride(self) -> usize {
        match self {
            RowSample::All => 1,
            RowSample::EveryNthGroup(stride) => stride.max(1),
        }
    }

    /// The first group of each block that takes part, counted from the block's first, and the block's first row among all.
    fn places(self, blocks: &[Block]) -> impl Iterator<Item = (usize, usize)> + '_ {
        let stride = self.stride();
        blocks.iter().scan((0usize, 0), move |(groups, rows), block| {
            let place = (groups.next_multiple_of(stride) - *groups, *rows);
            *groups += block.groups();
            *rows += block.rows();
            Some(place)
        })
    }

    /// Calls `each` with the groups that take part, all of them after a few calls: all at once where X is in memory, else
    /// those of one block after the other.
    pub(super) fn each(self, blocks: &[Block], mut each: impl FnMut(&[Group<'_>])) -> Result<()> {
        let stride = self.stride();
        let places = self.places(blocks).collect::<Vec<_>>();
        if let Some(here) = blocks.iter().map(Block::here).collect::<Option<Vec<_>>>() {
            let mut groups = Vec::new();
            for (block, &(next, first)) in here.into_iter().zip(&places) {
                let group = |g| Group { block, g, first_row: first + g * LANES };
                groups.extend((next..block.groups()).step_by(stride).map(group));
            }
            each(&groups);
            return Ok(());
        }
        if stride == 1 {
            return each_block(blocks, |b, block| {
                let group = |g| Group { block, g, first_row: places[b].1 + g * LANES };
                each(&(0..block.groups()).map(group).collect::<Vec<_>>());
                Ok(())
            });
        }
        for (block, (next, first)) in blocks.iter().zip(places) {
            if let Some(some) = block.some_groups(next, stride)? {
                let group = |g| Group { block: &some, g, first_row: first + (next + g * stride) * LANES };
                each(&(0..some.groups()).map(group).collect::<Vec<_>>());
            }
        }
        Ok(())
    }

    /// Σ s of the rows that take part.
    pub(super) fn weight_sum(self, blocks: &[Block]) -> Result<f64> {
        let mut sum = 0.0;
        for (block, (next, _)) in blocks.iter().zip(self.places(blocks)) {
            let vectors = block.vectors()?;
            let groups = (next..block.groups()).step_by(self.stride());
            sum = groups.fold(sum, |sum, g| sum + vectors.weight.group(g).lanes().iter().sum::<f64>());
        }
        Ok(sum)
    }
}

/// Multiply-adds of a Gram matrix over `rows` × `width`.
pub fn gram_cost(rows: usize, width: usize) -> f64 {
    rows as f64 * width as f64 * width as f64
}

/// Matrices that are summed up in one read of X: what their parts take is to fit into half a gigabyte.
pub(super) fn most_at_once(width: usize) -> usize {
    ((512 << 20) / (most_parts(width) * width * width * size_of::<f64>()).max(1)).max(1)
}

/// X̃ᵀ diag(s·c) X̃ of the rows in `sample` for each of `curvatures`, `width × width`, both triangles filled; with products in
/// f32 the sum of a part is in f32 as well.
pub(super) fn hessians(
    blocks: &[Block],
    map: &ColumnMap,
    curvatures: &[Curvature<'_>],
    sample: RowSample,
    products: Precision,
) -> Result<Vec<Mat<f64>>> {
    match products {
        Precision::F32 => hessians_in::<f32>(blocks, map, curvatures, sample),
        Precision::F64 => hessians_in::<f64>(blocks, map, curvatures, sample),
    }
}

fn hessians_in<P: Stored + ComplexField>(
    blocks: &[Block],
    map: &ColumnMap,
    curvatures: &[Curvature<'_>],
    sample: RowSample,
) -> Result<Vec<Mat<f64>>> {
    let mut totals = vec![Mat::<f64>::zeros(map.width(), map.width()); curvatures.len()];
    sample.each(blocks, |groups| {
        if map.width() > WIDE {
            totals
                .iter_mut()
                .zip(curvatures)
                .for_each(|(total, &curvature)| add_wide::<P>(groups, map, curvature, total));
            return;
        }
        let parts = parts::<P>(groups, map, curvatures);
        for (k, total) in totals.iter_mut().enumerate() {
            let of_one: Vec<&Mat<P>> = parts.iter().map(|part| &part[k]).collect();
            add_symmetric(total, &of_one);
        }
    })?;
    if map.width() > WIDE {
        totals.iter_mut().for_each(mirror);
    }
    Ok(totals)
}

/// The lower triangles of the sums of some groups each, for each of `curvatures`.
fn parts<P: Stored + ComplexField>(
    groups: &[Group<'_>],
    map: &ColumnMap,
    curvatures: &[Curvature<'_>],
) -> Vec<Vec<Mat<P>>> {
    let width = map.width();
    let part_len = groups.len().div_ceil(most_parts(width)).max(1).next_multiple_of(PANEL_GROUPS);
    groups
        .par_chunks(part_len)
        .map(|part| {
            let mut sums = vec![Mat::<P>::zeros(width, width); curvatures.len()];
            let mut panel = Mat::<P>::zeros(PANEL_GROUPS * LANES, width);
            for groups in part.chunks(PANEL_GROUPS) {
                for (sum, &curvature) in sums.iter_mut().zip(curvatures) {
                    fill_all(groups, map, curvature, &mut panel);
                    let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
                    let (left, one) = (panel.transpose(), P::narrow(1.0));
                    triangular::matmul(sum.as_mut(), lower, Accum::Add, left, all, panel.as_ref(), all, one, Par::Seq);
                }
            }
            sums
        })
        .collect()
}

/// Adds matrices of which the lower triangles are given to both triangles of `total`.
pub(super) fn add_symmetric<P: Stored>(total: &mut Mat<f64>, parts: &[&Mat<P>]) {
    strips(total.as_mut()).into_par_iter().for_each(|(first, mut strip)| {
        let end = first + strip.ncols();
        for part in parts {
            for i in 0..end {
                // Column i of the part below the diagonal is row i of the sum beyond it, as far as that lies in this strip.
                let column = part.col_as_slice(i);
                for j in first.max(i + 1)..end {
                    strip[(i, j - first)] += column[j].wide();
                }
                if i >= first {
                    let below = linalg::column(&mut strip, i - first)[i..].iter_mut();
                    below.zip(&column[i..]).for_each(|(out, x)| *out += x.wide());
                }
            }
        }
    });
}

/// A group of rows.
pub(super) struct Group<'a> {
    pub(super) block: &'a RowBlock,
    /// Its number in the block.
    pub(super) g: usize,
    /// The number of its first row among the rows of all blocks.
    first_row: usize,
}

impl Group<'_> {
    /// The group's columns, `x` being the values of its block.
    pub(super) fn columns<'x, T>(&self, x: &'x [T]) -> &'x [Column<T>] {
        let features = self.block.features();
        &kernels::columns(x)[self.g * features..(self.g + 1) * features]
    }
}

/// Writes √(s·c)·x̃ of `groups`, no more than fit, to `panel`, and zeros to the rows that are left.
pub(super) fn fill_all<P: Stored>(groups: &[Group<'_>], map: &ColumnMap, curvature: Curvature<'_>, panel: &mut Mat<P>) {
    if groups.len() < PANEL_GROUPS {
        panel.fill(P::default());
    }
    for (i, place) in groups.iter().enumerate() {
        match place.block.x() {
            Values::F32(x) => fill_panel(x, place, map, curvature, i * LANES, panel),
            Values::F64(x) => fill_panel(x, place, map, curvature, i * LANES, panel),
        }
    }
}

pub(super) fn fill_panel<T: Stored, P: Stored>(
    x: &[T],
    place: &Group<'_>,
    map: &ColumnMap,
    curvature: Curvature<'_>,
    at: usize,
    panel: &mut Mat<P>,
) {
    dispatch(FillPanel { place, x: place.columns(x), map, curvature, at, panel });
}

/// Writes √(s·c)·x̃ of one group with columns `x` to rows `at..` of `panel`.
struct FillPanel<'a, T, P> {
    place: &'a Group<'a>,
    x: &'a [Column<T>],
    map: &'a ColumnMap,
    curvature: Curvature<'a>,
    at: usize,
    panel: &'a mut Mat<P>,
}

impl<T: Stored, P: Stored> Work for FillPanel<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn run<O: Octet>(self, o: O) {
        let FillPanel { place, x, map, curvature, at, panel } = self;
        let root = roots(o, x, place, curvature);
        for (column, &feature) in map.features.iter().enumerate() {
            let (factor, shift) = (o.splat(map.factor[column]), o.splat(map.shift[column]));
            let out = panel.col_as_slice_mut(column)[at..at + LANES].as_chunks_mut().0;
            for k in 0..OCTETS {
                let value = o.mul_add(factor, T::octet(o, &x[feature][k]), shift);
                out[k] = P::rounded(o, o.mul(root[k], value));
            }
        }
        if map.intercept {
            let out = panel.col_as_slice_mut(map.features.len())[at..at + LANES].as_chunks_mut().0;
            out.iter_mut().zip(root).for_each(|(out, root)| *out = P::rounded(o, root));
        }
    }
}

/// √(s·c) of the rows of one group with columns `x`; 0 for padding.
#[inline(always)]
fn roots<O: Octet, T: Stored>(o: O, x: &[Column<T>], place: &Group<'_>, curvature: Curvature<'_>) -> [O::F; OCTETS] {
    let (block, g) = (place.block, place.g);
    let weight = kernels::lanes(o, block.weight().group(g));
    let mut root = match curvature {
        Curvature::Gram | Curvature::Class(..) => weight,
        Curvature::Rows(rows) => {
            let mut lanes = [0.0; LANES];
            let present = LANES.min(block.rows() - g * LANES);
            lanes[..present].copy_from_slice(&rows[place.first_row..place.first_row + present]);
            kernels::stored(o, &lanes)
        }
        Curvature::At(w) | Curvature::Drawn(w, ..) | Curvature::Scores(w) => {
            let offset = block.offset().map(|offset| offset.group(g));
            let a = kernels::with_intercept(o, products(o, x, &w[..x.len()]), w[x.len()], offset);
            let mut square = weight;
            if let Curvature::Scores(_) = curvature {
                let target = kernels::lanes(o, block.target().group(g));
                for k in 0..OCTETS {
                    let (residual, _) = residual_and_loss_octet(o, a[k], target[k]);
                    square[k] = o.mul(weight[k], o.mul(residual, residual));
                }
            } else {
                for k in 0..OCTETS {
                    square[k] = o.mul(weight[k], variance_octet(o, a[k]));
                }
            }
            if let Curvature::Drawn(_, draw, rows) = curvature {
                let drawn = Drawn::new(rows, place.first_row, LANES.min(block.rows() - g * LANES));
                for (square, count) in square.iter_mut().zip(drawn.counts(draw, 0).as_chunks().0) {
                    *square = o.mul(*square, o.widen(count));
                }
            }
            square
        }
    };
    if let Curvature::Class(w, k) = curvature {
        let mut logits = vec![root; w.models()];
        class_logits(o, x, w, &mut logits);
        let (shares, others) = shares(o, &mut logits, k);
        for i in 0..OCTETS {
            root[i] = o.mul(root[i], o.mul(shares[i], others[i]));
        }
    }
    for root in &mut root {
        *root = o.sqrt(*root);
    }
    root
}
