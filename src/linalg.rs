//! Small dense linear algebra on symmetric matrices, over `faer`.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

/// A Cholesky factor of a symmetric positive definite matrix.
pub struct Cholesky(Llt<f64>);

impl Cholesky {
    /// Factors `matrix`, or says `None` where it is not positive definite to working precision.
    pub fn new(matrix: &Mat<f64>) -> Option<Self> {
        let finite = matrix.col_iter().all(|column| column.iter().all(|v| v.is_finite()));
        if !finite {
            return None;
        }
        matrix.llt(Side::Lower).ok().map(Cholesky)
    }

    /// Factors `matrix`, adding the smallest multiple of its diagonal (from 10⁻¹⁴ up) that makes it positive definite.
    pub fn with_ridge(matrix: &Mat<f64>) -> Option<Self> {
        if let Some(factor) = Cholesky::new(matrix) {
            return Some(factor);
        }
        (0..12).find_map(|k| {
            let ridge = 1e-14 * 10f64.powi(k);
            let largest = (0..matrix.nrows()).map(|i| matrix[(i, i)]).fold(0.0, f64::max);
            let mut ridged = matrix.clone();
            for i in 0..matrix.nrows() {
                ridged[(i, i)] += ridge * matrix[(i, i)].max(1e-8 * largest);
            }
            Cholesky::new(&ridged)
        })
    }

    /// x with A·x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let rhs = Mat::from_fn(b.len(), 1, |i, _| b[i]);
        let x = self.0.solve(&rhs);
        x.col(0).iter().copied().collect()
    }
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
    /// A basis of the combinations of `columns` columns that vanish: one vector for each redundant column.
    pub fn null_vectors(&self, columns: usize) -> Vec<Vec<f64>> {
        self.redundant
            .iter()
            .map(|(column, combination)| {
                let mut null = vec![0.0; columns];
                null[*column] = 1.0;
                for (k, c) in combination {
                    null[*k] = -c;
                }
                null
            })
            .collect()
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

/// The shortest vector that differs from `x` by a combination of `null`, given as columns.
pub fn remove_component(x: &mut [f64], null: &[Vec<f64>]) {
    if null.is_empty() {
        return;
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let inner = Mat::from_fn(null.len(), null.len(), |i, j| dot(&null[i], &null[j]));
    let rhs: Vec<f64> = null.iter().map(|column| dot(column, x)).collect();
    if let Some(factor) = Cholesky::with_ridge(&inner) {
        for (column, amount) in null.iter().zip(factor.solve(&rhs)) {
            for (x, n) in x.iter_mut().zip(column) {
                *x -= amount * n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut x = [3.0, 0.0];
        remove_component(&mut x, &[vec![-1.0, 1.0]]);
        assert!((x[0] - 1.5).abs() < 1e-14 && (x[1] - 1.5).abs() < 1e-14);
    }

    #[test]
    fn solving_undoes_multiplying() {
        let a = Mat::from_fn(3, 3, |i, j| if i == j { 4.0 } else { 1.0 });
        let x = Cholesky::new(&a).unwrap().solve(&[6.0, 6.0, 6.0]);
        assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-14), "{x:?}");
    }
}
