//! The Cholesky factor A = L·Lᵀ, made by all threads in the memory of A.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::prelude::ReborrowMut;
use faer::{Accum, Mat, MatMut, Par, Side};
use rayon::prelude::*;

use super::strips;

/// Columns of L that are made at a time.
const BLOCK: usize = 128;

/// A Cholesky factor of a symmetric positive definite matrix.
#[derive(Debug)]
pub struct Cholesky {
    /// L in the lower triangle, and above it what was there.
    factor: Mat<f64>,
    /// The diagonal of A.
    diagonal: Vec<f64>,
    /// Whether it is the factor of the matrix as given, without a ridge.
    exact: bool,
}

impl Cholesky {
    /// Factors a copy of `matrix`, or says `None` where it is not positive definite to working precision.
    pub fn new(matrix: &Mat<f64>) -> Option<Self> {
        Cholesky::of(matrix.clone())
    }

    /// Factors `matrix` in its own memory, or says `None` where it is not positive definite to working precision.
    pub fn of(mut matrix: Mat<f64>) -> Option<Self> {
        let diagonal = diagonal(&matrix);
        // A value that is not finite makes a pivot that is none.
        factor_in_place(matrix.as_mut()).then_some(Cholesky { factor: matrix, diagonal, exact: true })
    }

    /// Factors `matrix`, of which both triangles are given, in its own memory, adding the smallest multiple of its diagonal (from
    /// 10⁻¹⁴ up) that makes it positive definite.
    pub fn with_ridge(mut matrix: Mat<f64>) -> Option<Self> {
        let given = diagonal(&matrix);
        if factor_in_place(matrix.as_mut()) {
            return Some(Cholesky { factor: matrix, diagonal: given, exact: true });
        }
        let largest = given.iter().copied().fold(0.0, f64::max);
        for k in 0..12 {
            let ridge = 1e-14 * 10f64.powi(k);
            let diagonal: Vec<f64> = given.iter().map(|d| d + ridge * d.max(1e-8 * largest)).collect();
            restore(&mut matrix, &diagonal);
            if factor_in_place(matrix.as_mut()) {
                return Some(Cholesky { factor: matrix, diagonal, exact: false });
            }
        }
        None
    }

    /// x with A·x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Mat::from_fn(b.len(), 1, |i, _| b[i]);
        self.solve_in_place(x.as_mut());
        x.col_as_slice(0).to_vec()
    }

    fn solve_in_place(&self, mut x: MatMut<'_, f64>) {
        solve_lower_triangular_in_place(self.factor.as_ref(), x.rb_mut(), Par::Seq);
        solve_upper_triangular_in_place(self.factor.transpose(), x, Par::Seq);
    }

    /// vᵀA⁻¹v of each column v of `vectors`, which are overwritten.
    pub fn inverse_lengths(&self, mut vectors: MatMut<'_, f64>) -> Vec<f64> {
        solve_lower_triangular_in_place(self.factor.as_ref(), vectors.rb_mut(), Par::Seq);
        vectors.as_ref().col_iter().map(|column| column.squared_norm_l2()).collect()
    }

    /// UᵀAU for the columns U that are given.
    pub fn form(&self, columns: &[Vec<f64>]) -> Mat<f64> {
        let n = self.factor.nrows();
        let row = |j: usize, u: &[f64]| (j..n).map(|i| self.factor[(i, j)] * u[i]).sum::<f64>();
        let rooted = Mat::from_fn(n, columns.len(), |j, k| row(j, &columns[k]));
        rooted.transpose() * &rooted
    }

    /// A⁻¹.
    pub fn inverse(&self) -> Mat<f64> {
        let width = self.factor.nrows();
        let mut inverse = Mat::identity(width, width);
        self.solve_in_place(inverse.as_mut());
        inverse
    }

    /// The trace of A.
    pub fn trace(&self) -> f64 {
        self.diagonal.iter().sum()
    }

    /// log det A.
    pub fn log_determinant(&self) -> f64 {
        self.roots().map(|root| 2.0 * root.ln()).sum()
    }

    /// Whether no ridge was added.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The smallest pivot: the least that a column of A keeps of its own once the columns before it are projected out.
    pub fn smallest_pivot(&self) -> f64 {
        self.roots().map(|root| root * root).fold(f64::INFINITY, f64::min)
    }

    /// The smallest part of its diagonal entry that a pivot is.
    pub fn smallest_share(&self) -> f64 {
        let shares = self.diagonal.iter().zip(self.roots()).map(|(a, root)| root * root / a);
        shares.fold(f64::INFINITY, f64::min)
    }

    /// The largest diagonal entry of A.
    pub fn largest_diagonal(&self) -> f64 {
        self.diagonal.iter().copied().fold(0.0, f64::max)
    }

    /// The diagonal of A⁻¹ = L⁻ᵀL⁻¹.
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let width = self.factor.nrows();
        let mut inverse = Mat::<f64>::zeros(width, width);
        invert_lower_triangular(inverse.as_mut(), self.factor.as_ref(), Par::Seq);
        inverse.col_iter().map(|column| column.iter().map(|x| x * x).sum()).collect()
    }

    /// The diagonal of L.
    fn roots(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.factor.nrows()).map(|i| self.factor[(i, i)])
    }
}

fn diagonal(matrix: &Mat<f64>) -> Vec<f64> {
    (0..matrix.nrows()).map(|i| matrix[(i, i)]).collect()
}

/// Makes the lower triangle that of the upper one again, which no factor overwrites, with this `diagonal`.
fn restore(matrix: &mut Mat<f64>, diagonal: &[f64]) {
    for (j, d) in diagonal.iter().enumerate() {
        for i in j + 1..diagonal.len() {
            matrix[(i, j)] = matrix[(j, i)];
        }
        matrix[(j, j)] = *d;
    }
}

/// Whether `matrix`, of which both triangles are given and which is as it was afterwards, exceeds `part` of its diagonal: a factor of
/// the difference proves it, up to rounding in f64.
pub fn exceeds_part_of_diagonal(matrix: &mut Mat<f64>, part: f64) -> bool {
    let given = diagonal(matrix);
    given.iter().enumerate().for_each(|(j, d)| matrix[(j, j)] -= part * d);
    let exceeds = factor_in_place(matrix.as_mut());
    restore(matrix, &given);
    exceeds
}

/// Puts L in the place of the lower triangle of a symmetric matrix and leaves what is above it alone; whether the matrix is positive
/// definite to working precision.
///
/// Blocks and strips are of one size, so that no bit depends on the number of threads.
fn factor_in_place(matrix: MatMut<'_, f64>) -> bool {
    let mut rest = matrix;
    while rest.nrows() > 0 {
        let block = BLOCK.min(rest.nrows());
        let (mut corner, _, mut below, mut later) = rest.split_at_mut(block, block);
        let Ok(factor) = corner.as_ref().llt(Side::Lower) else { return false };
        corner.copy_from_triangular_lower(factor.L());
        let rows = strips(below.rb_mut().transpose_mut());
        rows.into_par_iter().for_each(|(_, rows)| solve_lower_triangular_in_place(factor.L(), rows, Par::Seq));
        let below = below.as_ref();
        strips(later.rb_mut()).into_par_iter().for_each(|(first, strip)| {
            let width = strip.ncols();
            let (diagonal, under) = strip.split_at_row_mut(first).1.split_at_row_mut(width);
            let (across, down) = below.split_at_row(first).1.split_at_row(width);
            let (lower, all) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            triangular::matmul(diagonal, lower, Accum::Add, across, all, across.transpose(), all, -1.0, Par::Seq);
            matmul(under, Accum::Add, down, across.transpose(), -1.0, Par::Seq);
        });
        rest = later;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of some condition: a multiple of the identity and a sum of products.
    fn matrix(n: usize, ridge: f64) -> Mat<f64> {
        let x = Mat::from_fn(n / 2 + 1, n, |i, j| ((i * 31 + j * 17) as f64).sin());
        let mut a = x.transpose() * &x;
        (0..n).for_each(|i| a[(i, i)] += ridge);
        a
    }

    #[test]
    fn factors_of_any_size_give_their_matrix_back() {
        for n in [1, 2, 127, 128, 129, 191, 300, 515] {
            let a = matrix(n, 0.5);
            let factor = Cholesky::new(&a).unwrap();
            let l = Mat::from_fn(n, n, |i, j| if i >= j { factor.factor[(i, j)] } else { 0.0 });
            let error = (&l * l.transpose() - &a).norm_max() / a.norm_max();
            assert!(error < 1e-14 * n as f64, "{n}: {error:e}");
            let b: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let x = Mat::from_fn(n, 1, |i, _| factor.solve(&b)[i]);
            let left = &a * x;
            assert!(b.iter().enumerate().all(|(i, b)| (left[(i, 0)] - b).abs() < 1e-10), "{n}");
            let inverse = factor.inverse();
            let diagonal = factor.inverse_diagonal();
            assert!((0..n).all(|i| (inverse[(i, i)] - diagonal[i]).abs() < 1e-10 * diagonal[i]), "{n}");
        }
    }

    #[test]
    fn a_matrix_exceeds_what_its_least_eigenvalue_says() {
        for n in [3, 200] {
            // Scaled to a unit diagonal all eigenvalues are 0.4 but for one.
            let unit = |i: usize| 1.0 + (i % 5) as f64;
            let a = Mat::from_fn(n, n, |i, j| unit(i) * unit(j) * if i == j { 1.0 } else { 0.6 });
            let mut same = a.clone();
            assert!(exceeds_part_of_diagonal(&mut same, 0.399) && same == a);
            assert!(!exceeds_part_of_diagonal(&mut same, 0.401) && same == a);
        }
    }

    #[test]
    fn no_bit_depends_on_the_number_of_threads() {
        let factored = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Cholesky::of(matrix(401, 0.1)).unwrap().factor)
        };
        let one = factored(1);
        assert!([2, 3, 7].into_iter().all(|threads| factored(threads) == one));
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor_and_the_smallest_ridge_that_helps() {
        for n in [3, 200] {
            for (at, value) in [(0, -1.0), (n - 1, -1.0), (n / 2, f64::NAN), (n - 1, f64::INFINITY)] {
                let mut a = matrix(n, 0.5);
                a[(at, at)] = value;
                assert!(Cholesky::of(a).is_none(), "{n}, {value}");
            }
            let mut lost = matrix(n, 0.5);
            lost[(n - 1, 0)] = f64::NAN;
            assert!(Cholesky::of(lost).is_none());
            // Singular by construction, so that rounding decides and some ridge is needed.
            let singular = Mat::from_fn(n, n, |i, j| ((i + 1) * (j + 1)) as f64);
            let ridged = Cholesky::with_ridge(singular).unwrap();
            let added = ridged.diagonal.iter().enumerate().map(|(i, d)| d / ((i + 1) * (i + 1)) as f64 - 1.0);
            assert!(!ridged.is_exact() && added.clone().all(|part| (0.0..1e-10).contains(&part)));
            let plain = matrix(n, 0.5);
            let kept = Cholesky::with_ridge(plain.clone()).unwrap();
            assert!(kept.is_exact() && kept.factor == Cholesky::new(&plain).unwrap().factor);
        }
    }
}
