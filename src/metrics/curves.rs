//! What pictures of metrics are drawn from, in as few numbers as a picture shows.

use super::curve::Totals;

/// Bins of the probability.
const BINS: usize = 20;
/// How far points of the ROC curve are apart, as the sum of the differences of both rates.
const APART: f64 = 1.0 / 400.0;

/// What pictures of metrics are drawn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// Share of class 0 and of class 1 above each cut between distinct predictions, from (0, 0) to (1, 1): false- and true-positive
    /// rates. Of cuts that lie closer than a picture shows only some. Empty where one class is absent.
    pub roc: Vec<(f64, f64)>,
    /// Weight of class 0 and of class 1 whose probability lies in each of 20 bins of equal width, [0, 0.05) the first.
    pub histogram: Vec<[f64; 2]>,
}

impl Default for Curves {
    fn default() -> Self {
        Curves { roc: Vec::new(), histogram: vec![[0.0; 2]; BINS] }
    }
}

impl Curves {
    /// Adds rows of one predictor and of probability `y`, that weigh `weight`; down to them `ranked` of `totals` came.
    pub(super) fn add(&mut self, y: f64, weight: [f64; 2], ranked: [f64; 2], totals: &Totals) {
        let bin = ((y * BINS as f64) as usize).min(BINS - 1);
        (0..2).for_each(|k| self.histogram[bin][k] += weight[k]);
        if totals.rows.contains(&0) {
            return;
        }
        let (x, y) = (ranked[0] / totals.weight[0], ranked[1] / totals.weight[1]);
        let (before_x, before_y) = match self.roc.last() {
            Some(last) => *last,
            None => {
                self.roc.push((0.0, 0.0));
                (0.0, 0.0)
            }
        };
        if x - before_x + y - before_y >= APART {
            self.roc.push((x, y));
        }
    }

    /// All rows came.
    pub(super) fn finish(mut self) -> Self {
        if self.roc.last().is_some_and(|last| *last != (1.0, 1.0)) {
            self.roc.push((1.0, 1.0));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::evaluate;

    #[test]
    fn few_rows_have_every_cut_and_many_hardly_lose_any_area() {
        let few = evaluate(&[2.0, 1.0, 1.0, -1.0], &[1.0, 1.0, 0.0, 0.0], &[1.0; 4], 0.5).unwrap();
        assert_eq!(few.curves.roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(few.curves.histogram.iter().flatten().sum::<f64>(), 4.0);
        assert_eq!((few.curves.histogram[5], few.curves.histogram[14]), ([1.0, 0.0], [1.0, 1.0]));

        let rows = 100_000;
        let a: Vec<f64> = (0..rows).map(|i| (f64::from(i) * 0.618_033_988_7).fract() * 6.0 - 3.0).collect();
        let t: Vec<f64> = (0..rows).map(|i| f64::from(u8::from(a[i as usize] + f64::from(i % 7) > 3.0))).collect();
        let many = evaluate(&a, &t, &vec![1.0; rows as usize], 0.5).unwrap();
        let roc = &many.curves.roc;
        assert!((400..=802).contains(&roc.len()), "{} points", roc.len());
        assert_eq!((roc[0], roc[roc.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        let area: f64 = roc.windows(2).map(|w| (w[1].0 - w[0].0) * 0.5 * (w[0].1 + w[1].1)).sum();
        assert!((area - many.roc_auc.unwrap()).abs() < 1e-5, "{area} and {:?}", many.roc_auc);
    }

    #[test]
    fn one_class_has_a_histogram_and_no_curve() {
        let one = evaluate(&[40.0, -40.0], &[1.0, 1.0], &[1.0, 3.0], 0.5).unwrap();
        assert!(one.curves.roc.is_empty());
        assert_eq!((one.curves.histogram[0], one.curves.histogram[19]), ([0.0, 3.0], [0.0, 1.0]));
    }
}
