//! A Gram matrix that is kept: at a null model the Hessian is a multiple of it.

use std::cell::RefCell;
use std::rc::Rc;

use faer::{Mat, Scale};

use super::hessian::{ColumnMap, Curvature, RowSample};
use super::host::Host;
use crate::data::{Block, Precision};
use crate::error::Result;
use crate::logistic::variance;

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

impl Kept {
    fn get(&self, map: &ColumnMap, sample: RowSample, products: Precision) -> Option<Rc<Mat<f64>>> {
        let kept = self.0.borrow();
        let gram = kept.as_ref()?;
        let is_it = gram.map == *map && gram.sample == sample && gram.products == products;
        is_it.then(|| Rc::clone(&gram.matrix))
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

    /// The Hessian of a model that gives every row the same probability, where the Gram matrix is there that it is a multiple of.
    pub(super) fn multiple_of_gram(
        &self,
        map: &ColumnMap,
        curvature: Curvature<'_>,
        sample: RowSample,
        products: Precision,
    ) -> Option<Mat<f64>> {
        let Curvature::At(w) = curvature else { return None };
        let (intercept, slopes) = w.split_last()?;
        // Whether other ranks' rows have offsets is not known here.
        let is_flat = self.data().spread.is_none() && !self.data().blocks.iter().any(Block::has_offset);
        if !is_flat || slopes.iter().any(|slope| *slope != 0.0) {
            return None;
        }
        let gram = self.kept_gram().get(map, sample, products)?;
        Some(&*gram * Scale(variance(*intercept)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, PackOptions};

    #[test]
    fn the_hessian_of_a_null_model_is_the_same_with_and_without_a_gram_matrix() {
        let (rows, features) = (640, 3);
        let values: Vec<f64> = (0..rows * features).map(|i| (i as f64 * 0.7).sin()).collect();
        let target: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let data = Dataset::from_rows(&values, features, &target, PackOptions::default()).unwrap();
        let (map, sample) = (ColumnMap::as_stored(features), RowSample::of_about(100, rows));
        let (fresh, host) = (Host::new(&data), Host::new(&data));
        let gram = host.gram(&map, sample, Precision::F64).unwrap();
        assert!(Rc::ptr_eq(&gram, &host.gram(&map, sample, Precision::F64).unwrap()));
        let null = [0.0, 0.0, 0.0, -0.7];
        let mut told_by_it = 0;
        for (w, from, with) in [
            (null, sample, Precision::F64),
            (null, RowSample::All, Precision::F64),
            (null, sample, Precision::F32),
            ([0.0, 0.1, 0.0, -0.7], sample, Precision::F64),
        ] {
            told_by_it += usize::from(host.multiple_of_gram(&map, Curvature::At(&w), from, with).is_some());
            let hessian = |host: &Host<'_>| host.hessian(&map, Curvature::At(&w), from, with).unwrap();
            let difference = &hessian(&host) - &hessian(&fresh);
            assert!(difference.norm_max() <= 1e-12 * gram.norm_max());
        }
        assert_eq!(told_by_it, 1);
    }
}
