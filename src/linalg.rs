//! Small dense linear algebra on symmetric matrices, over `faer`.

mod cholesky;

pub use cholesky::{Cholesky, exceeds_part_of_diagonal};

use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, Side};
use rayon::prelude::*;

/// Columns up to which a matrix of their products is kept and factored.
pub const MAX_COLUMNS: usize = 2048;

/// Columns of a matrix that one task works on.
const STRIP: usize = 64;

/// The columns of a matrix in strips, each with the number of its first.
pub(crate) fn strips(matrix: MatMut<'_, f64>) -> Vec<(usize, MatMut<'_, f64>)> {
    let width = matrix.ncols();
    let mut strips = Vec::new();
    let mut rest = matrix;
    for first in (0..width).step_by(STRIP) {
        let (strip, later) = rest.split_at_col_mut(STRIP.min(width - first));
        strips.push((first, strip));
        rest = later;
    }
    strips
}

/// Column `j` of a strip.
pub(crate) fn column<'a>(strip: &'a mut MatMut<'_, f64>, j: usize) -> &'a mut [f64] {
    strip.rb_mut().col_mut(j).try_as_col_major_mut().map_or(&mut [], |column| column.as_slice_mut())
}

/// Does `work` on each column of `matrix`, with its number, in parallel.
pub(crate) fn each_column(matrix: &mut Mat<f64>, work: impl Fn(usize, &mut [f64]) + Sync) {
    strips(matrix.as_mut()).into_par_iter().for_each(|(first, mut strip)| {
        (0..strip.ncols()).for_each(|j| work(first + j, column(&mut strip, j)));
    });
}

/// A power of two of the size of the largest of `values`: what they are divided by before they are squared, so that squares neither
/// overflow nor underflow.
pub fn unit_of(values: impl Iterator<Item = f64>) -> f64 {
    let largest = values.fold(0f64, |largest, value| largest.max(value.abs()));
    largest.log2().floor().clamp(-1000.0, 1000.0).exp2()
}

/// √Σ v², whatever the size of the `values`.
pub fn length(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let unit = unit_of(values.clone());
    values.map(|value| (value / unit).powi(2)).sum::<f64>().sqrt() * unit
}

/// Eigenvalues of a symmetric matrix, ascending; nothing where they were not found.
pub fn eigenvalues(matrix: &Mat<f64>) -> Option<Vec<f64>> {
    matrix.self_adjoint_eigenvalues(Side::Lower).ok()
}

/// Which columns carry information of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Independence {
    /// Columns that are no combination of earlier ones, ascending.
    pub kept: Vec<usize>,
    /// Each other column with its combination: pairs of (kept column, coefficient).
    pub redundant: Vec<(usize, Vec<(usize, f64)>)>,
}

impl Independence {
    /// The same in terms of `width` columns, of which these stand at `places` (ascending): all others are kept, and part of no
    /// combination.
    pub fn placed(self, places: &[usize], width: usize) -> Self {
        let is_kept = |k: &usize| !self.redundant.iter().any(|(column, _)| places[*column] == *k);
        let kept: Vec<usize> = (0..width).filter(is_kept).collect();
        let of = |(column, parts): &(usize, Vec<(usize, f64)>)| {
            let column = places[*column];
            let mut factors = vec![0.0; width];
            parts.iter().for_each(|(part, factor)| factors[places[*part]] = *factor);
            let before = kept.iter().take_while(|k| **k < column);
            (column, before.map(|&k| (k, factors[k])).collect())
        };
        let redundant = self.redundant.iter().map(of).collect();
        Independence { kept, redundant }
    }

    /// The shortest vector that gives the same combination of columns as `x` (one entry a column, and any that follow
    /// are left alone): x less its part in the space of combinations that vanish.
    ///
    /// With the columns as X = X_kept·B, B = \[I | C\], it is Bᵀ(BBᵀ)⁻¹B·x; or x − N(NᵀN)⁻¹Nᵀ·x with N = \[−C; I\].
    /// The smaller of the two inner matrices is taken; both are I plus a Gram matrix, so they can be factored.
    pub fn shortest(&self, x: &[f64]) -> Vec<f64> {
        let mut shortest = x.to_vec();
        if self.redundant.is_empty() {
            return shortest;
        }
        // C, one column for each redundant one.
        let c: Vec<Vec<f64>> =
            self.redundant.iter().map(|(_, parts)| parts.iter().map(|(_, value)| *value).collect()).collect();
        let coefficient = |q: usize, r: usize| c[q].get(r).copied().unwrap_or(0.0);
        let (kept, redundant) = (self.kept.len(), self.redundant.len());
        if kept <= redundant {
            let inner = Mat::from_fn(kept, kept, |i, j| {
                f64::from(u8::from(i == j)) + (0..redundant).map(|q| coefficient(q, i) * coefficient(q, j)).sum::<f64>()
            });
            let rhs: Vec<f64> = (0..kept)
                .map(|r| {
                    let others = self.redundant.iter().enumerate().map(|(q, (k, _))| coefficient(q, r) * x[*k]);
                    x[self.kept[r]] + others.sum::<f64>()
                })
                .collect();
            let Some(factor) = Cholesky::with_ridge(inner) else { return shortest };
            let y = factor.solve(&rhs);
            for (r, &k) in self.kept.iter().enumerate() {
                shortest[k] = y[r];
            }
            for (q, (k, _)) in self.redundant.iter().enumerate() {
                shortest[*k] = (0..kept).map(|r| coefficient(q, r) * y[r]).sum();
            }
        } else {
            let inner = Mat::from_fn(redundant, redundant, |i, j| {
                f64::from(u8::from(i == j)) + (0..kept).map(|r| coefficient(i, r) * coefficient(j, r)).sum::<f64>()
            });
            let rhs: Vec<f64> = (0..redundant)
                .map(|q| {
                    let others = self.kept.iter().enumerate().map(|(r, &k)| coefficient(q, r) * x[k]);
                    x[self.redundant[q].0] - others.sum::<f64>()
                })
                .collect();
            let Some(factor) = Cholesky::with_ridge(inner) else { return shortest };
            let y = factor.solve(&rhs);
            for (r, &k) in self.kept.iter().enumerate() {
                shortest[k] += (0..redundant).map(|q| coefficient(q, r) * y[q]).sum::<f64>();
            }
            for (q, (k, _)) in self.redundant.iter().enumerate() {
                shortest[*k] -= y[q];
            }
        }
        shortest
    }
}

/// Finds, from left to right, the columns whose residual variance on the columns kept so far is more than `tolerance`
/// of their own: a Cholesky factorisation of their Gram matrix that steps over the others.
///
/// Earlier columns are preferred over later ones, as readers of R's `lm` and `glm` expect.
pub fn independent_columns(gram: &Mat<f64>, tolerance: f64) -> Independence {
    let mut found = Independence::default();
    // Row r of the factor belongs to kept[r] and holds r + 1 entries.
    let mut factor: Vec<Vec<f64>> = Vec::new();
    for j in 0..gram.nrows() {
        let mut row: Vec<f64> = Vec::with_capacity(factor.len() + 1);
        for (r, &k) in found.kept.iter().enumerate() {
            let known: f64 = factor[r][..r].iter().zip(&row).map(|(a, b)| a * b).sum();
            row.push((gram[(j, k)] - known) / factor[r][r]);
        }
        let residual = gram[(j, j)] - row.iter().map(|v| v * v).sum::<f64>();
        if residual > tolerance * gram[(j, j)] {
            row.push(residual.sqrt());
            factor.push(row);
            found.kept.push(j);
        } else {
            // Back substitution: Lᵀ·c = row.
            let mut c = row;
            for r in (0..c.len()).rev() {
                let later: f64 = (r + 1..c.len()).map(|q| factor[q][r] * c[q]).sum();
                c[r] = (c[r] - later) / factor[r][r];
            }
            found.redundant.push((j, found.kept.iter().copied().zip(c).collect()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_numbers_whose_squares_are_none() {
        for unit in [1.0, 1e-160, 1e-310, 1e160, 1e307] {
            let found = length([3.0 * unit, -4.0 * unit, 0.0].into_iter());
            assert!((found / (5.0 * unit) - 1.0).abs() < 1e-13, "{found:e}");
        }
        assert_eq!(length([0.0, -0.0].into_iter()), 0.0);
        assert!(length([0.0, f64::NAN].into_iter()).is_nan() && length([1.0, f64::INFINITY].into_iter()).is_infinite());
    }

    #[test]
    fn a_sum_of_columns_is_named_with_its_coefficients() {
        let columns = [[1.0, -1.0, 0.5, -0.5], [1.0, 1.0, -1.0, -1.0], [3.0, 1.0, -1.5, -2.5], [0.0, 1.0, 0.0, -1.0]];
        let gram = Mat::from_fn(4, 4, |i, j| columns[i].iter().zip(&columns[j]).map(|(a, b)| a * b).sum());
        let found = independent_columns(&gram, 1e-12);
        assert_eq!(found.kept, [0, 1, 3]);
        let (column, combination) = &found.redundant[0];
        assert_eq!(*column, 2);
        assert!((combination[0].1 - 1.0).abs() < 1e-12 && (combination[1].1 - 2.0).abs() < 1e-12, "{combination:?}");
    }

    #[test]
    fn the_shortest_vector_shares_a_duplicate_equally() {
        // Two columns, the second a copy; then three copies, where the other inner matrix is the smaller one.
        let two = independent_columns(&Mat::from_fn(2, 2, |_, _| 1.0), 1e-12);
        let x = two.shortest(&[3.0, 0.0, 9.0]);
        assert!((x[0] - 1.5).abs() < 1e-14 && (x[1] - 1.5).abs() < 1e-14 && x[2] == 9.0, "{x:?}");
        let three = independent_columns(&Mat::from_fn(3, 3, |_, _| 1.0), 1e-12);
        let x = three.shortest(&[3.0, 0.0, 0.0]);
        assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-14), "{x:?}");
        // Kept columns in the majority: the fourth is the sum of the first two.
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]];
        let gram = Mat::from_fn(4, 4, |i, j| columns[i].iter().zip(&columns[j]).map(|(a, b)| a * b).sum());
        let x = independent_columns(&gram, 1e-12).shortest(&[3.0, 0.0, 2.0, 0.0]);
        let expected = [2.0, -1.0, 2.0, 1.0];
        assert!(x.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{x:?}");
    }

    #[test]
    fn columns_among_others_are_redundant_as_they_are_alone() {
        // a, b, a + 2b, b at the places 1, 2, 4 and 5 of six.
        let columns = [[1.0, -1.0, 0.5, -0.5], [1.0, 1.0, -1.0, -1.0], [3.0, 1.0, -1.5, -2.5], [1.0, 1.0, -1.0, -1.0]];
        let gram = Mat::from_fn(4, 4, |i, j| columns[i].iter().zip(&columns[j]).map(|(a, b)| a * b).sum());
        let alone = independent_columns(&gram, 1e-12);
        let among = alone.clone().placed(&[1, 2, 4, 5], 6);
        assert_eq!(among.kept, [0, 1, 2, 3]);
        assert_eq!(among.redundant.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [4, 5]);
        let expected = [0.0, 1.0, 2.0, 0.0];
        let parts = &among.redundant[0].1;
        assert!(parts.iter().zip(expected).enumerate().all(|(k, ((i, c), e))| *i == k && (c - e).abs() < 1e-12));
        let (x, y) = (alone.shortest(&[1.0, 2.0, 0.5, -3.0]), among.shortest(&[9.0, 1.0, 2.0, -7.0, 0.5, -3.0]));
        assert_eq!((y[0], y[3]), (9.0, -7.0));
        assert!(x.iter().zip([y[1], y[2], y[4], y[5]]).all(|(x, y)| (x - y).abs() < 1e-14), "{x:?} {y:?}");
    }

    #[test]
    fn solving_undoes_multiplying() {
        let a = Mat::from_fn(3, 3, |i, j| if i == j { 4.0 } else { 1.0 });
        let x = Cholesky::new(&a).unwrap().solve(&[6.0, 6.0, 6.0]);
        assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-14), "{x:?}");
    }
}
