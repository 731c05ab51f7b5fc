//! Matrices of so many columns that tasks share them instead of the rows.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, Mat, Par};
use rayon::prelude::*;

use super::hessian::{ColumnMap, Curvature, Group, PANEL_GROUPS, fill_all};
use crate::data::LANES;
use crate::linalg::{column, strips};
use crate::octet::Stored;

/// Columns from which on tasks share the matrix instead of the rows: partial sums of so many would cost more than they are
/// made of.
pub(super) const WIDE: usize = 256;
/// Rows and columns that are mirrored while they are at hand.
const SQUARE: usize = 32;
/// Panels that are filled before such a matrix grows by them.
const PANELS: usize = 8;

/// How far X̃ᵀCX̃ of so many columns with products in f32 is from what it stands for, as a part of its diagonal D: no more than that
/// times D above or below it. `None` where it is too small for panels to be folded in f64 one by one.
///
/// An entry is a sum of products of numbers that were rounded once, a panel's rows of them in f32: it errs by no more than
/// γ = (rows + 2)·2⁻²⁴ times √(Dᵢᵢ·Dⱼⱼ), and the matrix scaled to a unit diagonal by no more than γ times its width.
pub fn rounding_in_f32(width: usize) -> Option<f64> {
    let gamma = (PANEL_GROUPS * LANES + 2) as f64 * 0.5 * f64::from(f32::EPSILON);
    // A little more, for the diagonal is rounded too.
    (width > WIDE).then_some(1.01 * gamma * width as f64)
}

/// Adds the sum of some groups to the lower triangle of `sum`: each strip of columns grows panel by panel, and each panel adds a
/// product in `P`.
pub(super) fn add_wide<P: Stored + ComplexField>(
    groups: &[Group<'_>],
    map: &ColumnMap,
    curvature: Curvature<'_>,
    sum: &mut Mat<f64>,
) {
    let width = map.width();
    let panels = (0..PANELS.min(groups.len().div_ceil(PANEL_GROUPS))).into_par_iter();
    let mut panels: Vec<Mat<P>> = panels.map(|_| Mat::zeros(PANEL_GROUPS * LANES, width)).collect();
    for groups in groups.chunks(PANELS * PANEL_GROUPS) {
        let filled = panels.par_iter_mut().zip(groups.par_chunks(PANEL_GROUPS));
        let filled = filled.map(|(panel, groups)| {
            fill_all(groups, map, curvature, panel);
            &*panel
        });
        let filled: Vec<&Mat<P>> = filled.collect();
        strips(sum.as_mut()).into_par_iter().for_each(|(first, mut strip)| {
            let columns = strip.ncols();
            let mut product = Mat::<P>::zeros(width - first, columns);
            for panel in &filled {
                let (left, right) = (panel.subcols(first, width - first), panel.subcols(first, columns));
                matmul(product.as_mut(), Accum::Replace, left.transpose(), right, P::narrow(1.0), Par::Seq);
                for j in 0..columns {
                    let below = column(&mut strip, j)[first..].iter_mut();
                    below.zip(product.col_as_slice(j)).for_each(|(sum, product)| *sum += product.wide());
                }
            }
        });
    }
}

/// Makes the upper triangle that of the lower one, square by square.
pub(super) fn mirror(matrix: &mut Mat<f64>) {
    let width = matrix.ncols();
    for left in (0..width).step_by(SQUARE) {
        for top in (left..width).step_by(SQUARE) {
            for j in left..width.min(left + SQUARE) {
                for i in top.max(j + 1)..width.min(top + SQUARE) {
                    matrix[(j, i)] = matrix[(i, j)];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hessian::{RowSample, hessians};
    use super::*;
    use crate::data::{Dataset, PackOptions, Precision, hash};
    use crate::linalg::Cholesky;

    #[test]
    fn products_in_f32_err_by_no_more_than_is_said() {
        let (rows, features) = (1000, 300);
        // Columns that are nearly one another's multiples, where rounding matters most.
        let value = |i: usize, j: usize| {
            let common = hash::unit_interval(1, i as u64) - 0.5;
            common * (1 + j % 7) as f64 + 1e-3 * hash::unit_interval(2, (i * features + j) as u64)
        };
        let values: Vec<f64> = (0..rows * features).map(|at| value(at / features, at % features)).collect();
        let target: Vec<f64> = (0..rows).map(|i| (i % 2) as f64).collect();
        let data = Dataset::from_rows(&values, features, &target, PackOptions::default()).unwrap();
        let map = ColumnMap::as_stored(features);
        let of =
            |products| hessians(&data.blocks, &map, &[Curvature::Gram], RowSample::All, products).unwrap().remove(0);
        let [exact, rough] = [Precision::F64, Precision::F32].map(of);
        let bound = rounding_in_f32(map.width()).unwrap();
        for sign in [1.0, -1.0] {
            let beyond = |part: f64| {
                let difference = (&exact - &rough) * faer::Scale(sign);
                Mat::from_fn(map.width(), map.width(), |i, j| {
                    difference[(i, j)] + if i == j { part * bound * rough[(i, i)] } else { 0.0 }
                })
            };
            assert!(Cholesky::of(beyond(1.0)).is_some());
            // It is there to be bounded.
            assert!(Cholesky::of(beyond(1e-4)).is_none());
        }
        assert_eq!(rounding_in_f32(WIDE), None);
    }
}
