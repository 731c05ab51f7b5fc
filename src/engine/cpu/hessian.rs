//! Curvature: X̃ᵀ diag(s·c) X̃ in f64, the Gram matrix of mapped columns under row weights.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use super::kernels::{self, Lanes, Stored};
use super::{group, lanes};
use crate::data::{LANES, RowBlock, Values};
use crate::logistic::variance;

/// Rows gathered into one dense panel before it is multiplied with itself.
const PANEL_GROUPS: usize = 8;
/// Partial sums that are kept apart and added in order, whatever the number of threads: as many as a wide matrix can
/// afford, and more of a narrow one.
const fn parts(width: usize) -> usize {
    if width <= 256 { 64 } else { 8 }
}

/// Columns as the solver sees them: x̃ = factor·z + shift for the stored columns in `features`, the others left out.
#[derive(Debug, Clone, Default)]
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
}

/// Which rows take part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowSample {
    /// All of them.
    All,
    /// Every `stride`-th group of rows; the sum is scaled up by Σs over the sampled Σs.
    EveryNthGroup(usize),
}

/// Multiply-adds of a Gram matrix over `rows` × `width`.
pub fn gram_cost(rows: usize, width: usize) -> f64 {
    rows as f64 * width as f64 * width as f64
}

/// X̃ᵀ diag(s·c) X̃, `width × width`, both triangles filled.
pub(super) fn hessian(blocks: &[RowBlock], map: &ColumnMap, curvature: Curvature<'_>, sample: RowSample) -> Mat<f64> {
    let width = map.width();
    let stride = match sample {
        RowSample::All => 1,
        RowSample::EveryNthGroup(stride) => stride.max(1),
    };
    let mut first = 0;
    let groups: Vec<Group<'_>> = blocks
        .iter()
        .flat_map(|block| {
            let start = first;
            first += block.rows();
            (0..block.groups()).map(move |g| Group { block, g, first_row: start + g * LANES })
        })
        .step_by(stride)
        .collect();
    let part_len = groups.len().div_ceil(parts(width)).max(1);
    let parts: Vec<(Mat<f64>, f64)> = groups
        .par_chunks(part_len)
        .map(|part| {
            let mut sum = Mat::<f64>::zeros(width, width);
            let mut panel = Mat::<f64>::zeros(PANEL_GROUPS * LANES, width);
            let mut sampled_weight = 0.0;
            for panel_groups in part.chunks(PANEL_GROUPS) {
                panel.fill(0.0);
                for (i, place) in panel_groups.iter().enumerate() {
                    match place.block.x() {
                        Values::F32(x) => fill_panel(x, place, map, curvature, i * LANES, &mut panel),
                        Values::F64(x) => fill_panel(x, place, map, curvature, i * LANES, &mut panel),
                    }
                    sampled_weight += lanes(place.block.weight(), place.g).iter().sum::<f64>();
                }
                matmul(
                    sum.as_mut(),
                    BlockStructure::TriangularLower,
                    Accum::Add,
                    panel.transpose(),
                    BlockStructure::Rectangular,
                    panel.as_ref(),
                    BlockStructure::Rectangular,
                    1.0,
                    Par::Seq,
                );
            }
            (sum, sampled_weight)
        })
        .collect();
    let mut total = Mat::<f64>::zeros(width, width);
    let mut sampled_weight = 0.0;
    for (part, weight) in &parts {
        total += part;
        sampled_weight += weight;
    }
    let scale = if stride == 1 || sampled_weight == 0.0 {
        1.0
    } else {
        blocks.iter().flat_map(|b| b.weight()).sum::<f64>() / sampled_weight
    };
    for j in 0..width {
        for i in j..width {
            let value = total[(i, j)] * scale;
            total[(i, j)] = value;
            total[(j, i)] = value;
        }
    }
    total
}

/// A group of rows.
struct Group<'a> {
    block: &'a RowBlock,
    /// Its number in the block.
    g: usize,
    /// The number of its first row among the rows of all blocks.
    first_row: usize,
}

/// √(s·c) of the rows of one group, whose values are `x`; 0 for padding.
fn row_roots<T: Stored>(x: &[T], place: &Group<'_>, curvature: Curvature<'_>) -> Lanes {
    let (block, g) = (place.block, place.g);
    let mut root = [0.0; LANES];
    match curvature {
        Curvature::Gram => root.copy_from_slice(lanes(block.weight(), g)),
        Curvature::Rows(rows) => {
            let present = LANES.min(block.rows() - g * LANES);
            root[..present].copy_from_slice(&rows[place.first_row..place.first_row + present]);
        }
        Curvature::At(w) => {
            let a = kernels::logits(x, w, block.offset().map(|offset| lanes(offset, g)));
            for ((root, a), s) in root.iter_mut().zip(a).zip(lanes(block.weight(), g)) {
                *root = s * variance(a);
            }
        }
    }
    root.map(f64::sqrt)
}

/// Writes √(s·c)·x̃ of one group of the block with values `x` to rows `at..` of `panel`.
fn fill_panel<T: Stored>(
    x: &[T],
    place: &Group<'_>,
    map: &ColumnMap,
    curvature: Curvature<'_>,
    at: usize,
    panel: &mut Mat<f64>,
) {
    let x = group(x, place.g, place.block.features());
    let root = row_roots(x, place, curvature);
    for (column, &feature) in map.features.iter().enumerate() {
        let (factor, shift) = (map.factor[column], map.shift[column]);
        let values = &x[feature * LANES..(feature + 1) * LANES];
        let out = &mut panel.col_as_slice_mut(column)[at..at + LANES];
        for ((out, value), root) in out.iter_mut().zip(values).zip(root) {
            *out = root * (factor * value.wide() + shift);
        }
    }
    if map.intercept {
        panel.col_as_slice_mut(map.features.len())[at..at + LANES].copy_from_slice(&root);
    }
}
