//! A Gram matrix that is kept: where a model is flat the Hessian is a multiple of it, and elsewhere the Hessian exceeds a multiple of
//! what is left of it without a few rows.

use std::cell::RefCell;
use std::rc::Rc;

use faer::Mat;
use rayon::prelude::*;

use super::flat;
use super::hessian::{ColumnMap, Curvature, Group, RowSample, hessians};
use super::host::Host;
use super::kernels::{self, Column, OCTETS};
use super::products::products;
use super::wide::WIDE;
use crate::data::{Block, LANES, Precision, RowBlock, RowVector, Values};
use crate::error::Result;
use crate::linalg::each_column;
use crate::logistic::{variance, variance_octet};
use crate::octet::{Octet, Stored, Work, dispatch};

/// One in so many rows may have less curvature than the Gram matrix is multiplied by.
const FEW: usize = 8;
/// Part of the mean curvature of a row that this must be.
const LEAST: f64 = 0.125;

/// The Gram matrix that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Kept(RefCell<Option<Gram>>);

#[derive(Debug)]
struct Gram {
    map: ColumnMap,
    sample: RowSample,
    products: Precision,
    matrix: Rc<Mat<f64>>,
}

/// A matrix that a Hessian exceeds, but for the rounding of its products.
pub struct Below {
    /// The matrix, both triangles filled.
    pub matrix: Mat<f64>,
    /// The diagonal of all that was added up to it or taken from it, which its rounding is a part of.
    pub summed: Vec<f64>,
}

impl Kept {
    fn get(&self, map: &ColumnMap, sample: RowSample, products: Precision) -> Option<Rc<Mat<f64>>> {
        let kept = self.0.borrow();
        let gram = kept.as_ref()?;
        let is_it = gram.map == *map && gram.sample == sample && gram.products == products;
        is_it.then(|| Rc::clone(&gram.matrix))
    }

    /// What is kept, and no longer is, where it is of these columns.
    fn take(&self, map: &ColumnMap, products: Precision) -> Option<Gram> {
        self.0.take().filter(|gram| gram.map == *map && gram.products == products)
    }
}

impl Host<'_> {
    /// X̃ᵀ diag(s) X̃ of the rows in `sample`, as [`Host::hessian`]; kept until another one is asked for.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn gram(&self, map: &ColumnMap, sample: RowSample, products: Precision) -> Result<Rc<Mat<f64>>> {
        if let Some(gram) = self.kept_gram().get(map, sample, products) {
            return Ok(gram);
        }
        let matrix = Rc::new(self.hessian(map, Curvature::Gram, sample, products)?);
        let gram = Gram { map: map.clone(), sample, products, matrix: Rc::clone(&matrix) };
        *self.kept_gram().0.borrow_mut() = Some(gram);
        Ok(matrix)
    }

    /// y(1−y) of the model `w` (stored units, p slopes and the intercept) where it gives every row the same probability.
    pub fn flat_variance(&self, w: &[f64]) -> Option<f64> {
        // Whether other ranks' rows have offsets is not known here.
        let has_offsets = self.data().spread.is_some() || self.data().blocks.iter().any(Block::has_offset);
        if has_offsets { None } else { flat::intercept(w).map(variance) }
    }

    /// A matrix that the Hessian of the loss at `w` (stored units, p slopes and the intercept) exceeds: that of the rows in `sample`, or
    /// where a Gram matrix of many columns is kept one made of it, which saves most of the work.
    ///
    /// # Errors
    /// As [`Host::hessian`].
    pub fn hessian_below(&self, map: &ColumnMap, w: &[f64], sample: RowSample, products: Precision) -> Result<Below> {
        let is_wide = map.width() > WIDE && self.data().spread.is_none();
        if is_wide
            && let Some(gram) = self.kept_gram().take(map, products)
            && let Some(below) = self.below_gram(gram, w)?
        {
            return Ok(below);
        }
        let matrix = self.hessian(map, Curvature::At(w), sample, products)?;
        let summed = (0..map.width()).map(|i| matrix[(i, i)]).collect();
        Ok(Below { matrix, summed })
    }

    /// With v = y(1−y) of a row, v ≥ v* − (v* − v)₊ for any v* > 0, so that Σ s·v·x̃x̃ᵀ exceeds
    /// v*·(Σ s·x̃x̃ᵀ − Σ s·(1 − v/v*)₊·x̃x̃ᵀ): a multiple of a Gram matrix less one of few rows. `None` where v* is too small for that to
    /// say much.
    fn below_gram(&self, gram: Gram, w: &[f64]) -> Result<Option<Below>> {
        let Gram { map, sample, products, matrix } = gram;
        let blocks = &self.data().blocks;
        let mut variances: Vec<[f64; LANES]> = Vec::new();
        sample.each(blocks, |groups| variances.par_extend(groups.par_iter().map(|place| variances_of(place, w))))?;
        let mut sorted = variances.as_flattened().to_vec();
        let place = sorted.len() / FEW;
        let least = *sorted.select_nth_unstable_by(place, f64::total_cmp).1;
        if least < LEAST * variances.as_flattened().iter().sum::<f64>() / (LANES * variances.len()) as f64 {
            return Ok(None);
        }
        let (mut few, mut rest) = (Vec::new(), variances.as_slice());
        sample.each(blocks, |groups| {
            let (here, later) = rest.split_at(groups.len());
            few.extend(rows_below(least, groups, here).map(Block::Here));
            rest = later;
        })?;
        let less = hessians(&few, &map, &[Curvature::Gram], RowSample::All, products)?.swap_remove(0);
        let mut matrix = Rc::try_unwrap(matrix).unwrap_or_else(|shared| (*shared).clone());
        let summed = (0..map.width()).map(|i| least * (matrix[(i, i)] + less[(i, i)])).collect();
        each_column(&mut matrix, |j, column| {
            column.iter_mut().zip(less.col_as_slice(j)).for_each(|(entry, less)| *entry = least * (*entry - less));
        });
        Ok(Some(Below { matrix, summed }))
    }
}

/// The rows of `groups` that have less than the variance `least`, as a block: each weighs what it is short of, as a part of that.
fn rows_below(least: f64, groups: &[Group<'_>], variances: &[[f64; LANES]]) -> Option<RowBlock> {
    let (mut rows, mut weights) = (Vec::new(), Vec::new());
    for (place, variances) in groups.iter().zip(variances) {
        let weight = place.block.weight().group(place.g).lanes();
        for lane in (0..LANES).filter(|&lane| variances[lane] < least && weight[lane] > 0.0) {
            rows.push((place.block, place.g * LANES + lane));
            weights.push(weight[lane] * (1.0 - variances[lane] / least));
        }
    }
    let features = groups.first()?.block.features();
    let x = match groups.iter().any(|place| matches!(place.block.x(), Values::F64(_))) {
        true => Values::from(copied::<f64>(&rows, features)),
        false => Values::from(copied::<f32>(&rows, features)),
    };
    RowBlock::new(features, x, RowVector::same(rows.len(), 0.0), weights.into(), None).ok()
}

/// The values of some rows, interleaved as those of a block.
fn copied<T: Stored>(rows: &[(&RowBlock, usize)], features: usize) -> Vec<T> {
    let mut values = vec![T::default(); rows.len().next_multiple_of(LANES) * features];
    values.par_chunks_mut(LANES * features).zip(rows.par_chunks(LANES)).for_each(|(group, rows)| {
        for (feature, column) in group.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            column
                .iter_mut()
                .zip(rows)
                .for_each(|(value, (block, row))| *value = T::narrow(block.value(*row, feature)));
        }
    });
    values
}

/// y(1−y) of the rows of a group at `w`.
fn variances_of(place: &Group<'_>, w: &[f64]) -> [f64; LANES] {
    let octets = match place.block.x() {
        Values::F32(x) => dispatch(Variances { place, x: place.columns(x), w }),
        Values::F64(x) => dispatch(Variances { place, x: place.columns(x), w }),
    };
    std::array::from_fn(|lane| octets[lane / 8][lane % 8])
}

struct Variances<'a, T> {
    place: &'a Group<'a>,
    x: &'a [Column<T>],
    w: &'a [f64],
}

impl<T: Stored> Work for Variances<'_, T> {
    type Output = [[f64; 8]; OCTETS];

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let Variances { place, x, w } = self;
        let offset = place.block.offset().map(|offset| offset.group(place.g));
        let a = kernels::with_intercept(o, products(o, x, &w[..x.len()]), w[x.len()], offset);
        let mut variances = [[0.0; 8]; OCTETS];
        for k in 0..OCTETS {
            variances[k] = o.store(variance_octet(o, a[k]));
        }
        variances
    }
}

#[cfg(test)]
mod tests {
    use faer::Scale;

    use super::*;
    use crate::data::{Dataset, PackOptions, hash};
    use crate::linalg::Cholesky;

    #[test]
    fn a_gram_matrix_is_kept_and_flat_models_are_known() {
        let (rows, features) = (640, 3);
        let values: Vec<f64> = (0..rows * features).map(|i| (i as f64 * 0.7).sin()).collect();
        let target: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let data = Dataset::from_rows(&values, features, &target, PackOptions::default()).unwrap();
        let (map, sample) = (ColumnMap::as_stored(features), RowSample::of_about(100, rows));
        let host = Host::new(&data);
        let gram = host.gram(&map, sample, Precision::F64).unwrap();
        assert!(Rc::ptr_eq(&gram, &host.gram(&map, sample, Precision::F64).unwrap()));
        let flat = host.flat_variance(&[0.0, 0.0, 0.0, -0.7]).unwrap();
        let hessian = host.hessian(&map, Curvature::At(&[0.0, 0.0, 0.0, -0.7]), sample, Precision::F64).unwrap();
        assert!((&*gram * Scale(flat) - hessian).norm_max() <= 1e-12 * gram.norm_max());
        assert_eq!(host.flat_variance(&[0.0, 0.1, 0.0, -0.7]), None);
        for (sample, products) in [(RowSample::All, Precision::F64), (sample, Precision::F32)] {
            assert!(!Rc::ptr_eq(&gram, &host.gram(&map, sample, products).unwrap()));
        }
    }

    #[test]
    fn a_hessian_exceeds_what_is_made_of_a_gram_matrix() {
        let (rows, features) = (3000, 280);
        let values: Vec<f64> = (0..rows * features)
            .map(|i| hash::unit_interval(3, i as u64) + 0.3 * ((i / features) as f64).sin())
            .collect();
        let target: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let options = [Precision::F32, Precision::F64]
            .map(|precision| PackOptions { precision: Some(precision), ..PackOptions::default() });
        let model = |size: f64| (0..=features).map(|j| size * (j as f64).cos()).collect::<Vec<f64>>();
        let (w, far) = (model(0.1), model(3.0));
        let map = ColumnMap::as_stored(features);
        for (options, sample) in options.into_iter().zip([RowSample::All, RowSample::EveryNthGroup(2)]) {
            let data = Dataset::from_rows(&values, features, &target, options).unwrap();
            let host = Host::new(&data);
            let plain = host.hessian_below(&map, &w, sample, Precision::F64).unwrap();
            host.gram(&map, sample, Precision::F64).unwrap();
            let made = host.hessian_below(&map, &w, sample, Precision::F64).unwrap();
            assert!(host.kept_gram().0.borrow().is_none());
            let hessian = host.hessian(&map, Curvature::At(&w), sample, Precision::F64).unwrap();
            assert!(plain.matrix == hessian && made.matrix != hessian);
            for (part, exceeds) in [(1.0, true), (8.0, false)] {
                let left = Mat::from_fn(map.width(), map.width(), |i, j| {
                    hessian[(i, j)] * if i == j { 1.0 + 1e-12 } else { 1.0 } - part * made.matrix[(i, j)]
                });
                assert_eq!(Cholesky::of(left).is_some(), exceeds, "{part} times it");
            }
            // Where most rows have next to no curvature nothing is made of it.
            host.gram(&map, sample, Precision::F64).unwrap();
            let plain_far = host.hessian_below(&map, &far, sample, Precision::F64).unwrap();
            assert!(plain_far.matrix == host.hessian(&map, Curvature::At(&far), sample, Precision::F64).unwrap());
            assert!(
                (0..map.width()).all(|i| made.summed[i] > made.matrix[(i, i)] && plain.summed[i] == hessian[(i, i)])
            );
            assert!(Cholesky::of(made.matrix).is_some());
        }
    }
}
