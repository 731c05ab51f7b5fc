//! The kernels, one function each, named as its shader. Each works on groups of [`LANES`] rows, eight rows at a time.
//!
//! [`LossGradient`] reads the rows once from memory: `logits`, `residual` and `gradient` of a few groups follow each other while
//! these are in cache. The products with X are taken in f64, or in f32 where X is ([`super::products`]); residuals and losses
//! are f64 always. The padding rows of a last group have weight 0, so they add exact zeros to every sum.

use std::ops::Range;

use super::products::{Products, ahead, products};
pub use crate::data::stored;
use crate::data::{Group, LANES, RowBlock, RowVectors};
use crate::engine::{LossSlope, Params};
use crate::logistic::{log1p_octet, residual_and_loss_octet, residual_linear_decay_octet, variance_octet};
use crate::octet::{Octet, Stored, Work};

/// Octets in a group.
pub const OCTETS: usize = LANES / 8;
/// Groups that [`LossGradient`] takes together, as long as the second-level cache holds them, and where features are more.
const TOGETHER: [usize; 2] = [4, 2];
const HELD: usize = 1024;
/// Features up to which the logits of each of them are taken by themselves, and what follows from logits overlaps with reading on.
const FEW: usize = 128;

/// Groups of so many `features` that [`LossGradient`] takes together, so that a feature's sums are loaded and stored once for all of
/// them; and rows that a lane adds up in f32, where products are.
pub fn together(features: usize) -> usize {
    TOGETHER[usize::from(features > HELD)]
}

/// The values of one feature in a group of rows.
pub type Column<T> = [[T; 8]; OCTETS];

/// One number for each row of a group.
pub type Lanes<O> = [<O as Octet>::F; OCTETS];

/// `x` as columns, group by group, p to a group.
pub fn columns<T>(x: &[T]) -> &[Column<T>] {
    x.as_chunks().0.as_chunks().0
}

/// A group of a vector with one number a row.
#[inline(always)]
pub fn lanes<O: Octet>(o: O, group: Group<'_>) -> Lanes<O> {
    group.octets(o)
}

/// a = z·w + w₀ (+ offset) for the rows of `N` groups; `x` holds the p columns of each.
#[inline(always)]
pub fn logits<O: Octet, T, P: Products<T>, const N: usize>(
    o: O,
    x: [&[Column<T>]; N],
    slopes: &P::Slopes,
    intercept: f64,
    offset: [Option<Group<'_>>; N],
) -> [Lanes<O>; N] {
    let mut a = P::logits(o, x, slopes);
    for (a, offset) in a.iter_mut().zip(offset) {
        *a = with_intercept(o, *a, intercept, offset);
    }
    a
}

/// Adds what does not come from the features to the logits of a group.
#[inline(always)]
pub fn with_intercept<O: Octet>(o: O, mut a: Lanes<O>, intercept: f64, offset: Option<Group<'_>>) -> Lanes<O> {
    for a in &mut a {
        *a = o.add(*a, o.splat(intercept));
    }
    if let Some(offset) = offset {
        let offset = lanes(o, offset);
        for k in 0..OCTETS {
            a[k] = o.add(a[k], offset[k]);
        }
    }
    a
}

/// r = s·(σ(a) − t) for the rows of a group, and Σ s·ℓ(t, a) in eight parts, added to `loss`.
#[inline(always)]
pub fn residual<O: Octet>(o: O, a: Lanes<O>, target: Group<'_>, weight: Group<'_>, loss: &mut O::F) -> Lanes<O> {
    let t = lanes(o, target);
    let mut r = a;
    if let Group::Same(s) = weight {
        // Σ log(1+e) is the logarithm of a product, which is kept less 1 so that it keeps the digits of small e.
        let (s, mut sum, mut product) = (o.splat(s), o.splat(0.0), o.splat(0.0));
        for k in 0..OCTETS {
            let [difference, linear, e] = residual_linear_decay_octet(o, a[k], t[k]);
            sum = o.add(sum, linear);
            product = o.add(product, o.mul_add(product, e, e));
            r[k] = o.mul(s, difference);
        }
        *loss = o.mul_add(s, o.add(sum, log1p_octet(o, product)), *loss);
        return r;
    }
    let s = lanes(o, weight);
    for k in 0..OCTETS {
        let (difference, l) = residual_and_loss_octet(o, a[k], t[k]);
        *loss = o.mul_add(s[k], l, *loss);
        r[k] = o.mul(s[k], difference);
    }
    r
}

/// Adds Zᵀr of `N` groups to `sums`, eight parts a feature; the last entry is that of the intercept.
#[inline(always)]
pub fn gradient<O: Octet, T, P: Products<T>, const N: usize>(
    o: O,
    x: [&[Column<T>]; N],
    r: &[Lanes<O>; N],
    sums: &mut [[f64; 8]],
) {
    let (slopes, intercept) = sums.split_at_mut(sums.len() - 1);
    P::gradient(o, x, r, slopes);
    let mut ones = o.load(&intercept[0]);
    for r in r.iter().flatten() {
        ones = o.add(ones, *r);
    }
    intercept[0] = o.store(ones);
}

/// Groups of rows of a block.
#[derive(Debug, Clone)]
pub struct Rows<'a, T> {
    /// The block.
    pub block: &'a RowBlock,
    /// The columns of all its groups.
    pub x: &'a [Column<T>],
    /// The groups meant.
    pub groups: Range<usize>,
}

impl<'a, T> Rows<'a, T> {
    /// The columns of group `g`.
    #[inline(always)]
    fn group(&self, g: usize) -> &'a [Column<T>] {
        let features = self.block.features();
        &self.x[g * features..(g + 1) * features]
    }
}

/// Loss and gradient of some groups for several models, and their logits.
pub struct LossGradient<'a, T, P> {
    /// The rows.
    pub rows: Rows<'a, T>,
    /// How products are taken.
    pub products: P,
    /// W.
    pub w: &'a Params,
    /// Where the logits of the groups go, model by model; nowhere where there is no place.
    pub logits: Vec<&'a mut [T]>,
}

/// A model's W, and what its rows come to in eight parts.
struct Model<S> {
    slopes: S,
    intercept: f64,
    loss: [f64; 8],
    gradient: Vec<[f64; 8]>,
}

impl<T: Stored, P: Products<T>> Work for LossGradient<'_, T, P> {
    /// Loss and gradient (p slopes, intercept) of each model.
    type Output = Vec<(f64, Vec<f64>)>;

    #[inline(always)]
    fn run<O: Octet>(mut self, o: O) -> Self::Output {
        let features = self.rows.block.features();
        let mut models: Vec<Model<P::Slopes>> = (0..self.w.models())
            .map(|k| Model {
                slopes: P::slopes(&self.w.model(k)[..features]),
                intercept: self.w.model(k)[features],
                loss: [0.0; 8],
                gradient: vec![[0.0; 8]; features + 1],
            })
            .collect();
        let Range { start, end } = self.rows.groups;
        let mut g = start;
        let (few, together) = (features <= FEW, together(features));
        while end - g >= together {
            if few {
                self.loss_gradient::<O, { TOGETHER[0] }, false>(o, g, &mut models);
            } else if together == TOGETHER[0] {
                self.loss_gradient::<O, { TOGETHER[0] }, true>(o, g, &mut models);
            } else {
                self.loss_gradient::<O, { TOGETHER[1] }, true>(o, g, &mut models);
            }
            g += together;
        }
        while g < end {
            self.loss_gradient::<O, 1, false>(o, g, &mut models);
            g += 1;
        }
        let total = |parts: &[f64; 8]| parts.iter().sum();
        models.iter().map(|model| (total(&model.loss), model.gradient.iter().map(total).collect())).collect()
    }
}

impl<T: Stored, P: Products<T>> LossGradient<'_, T, P> {
    /// Adds `N` groups from `first` on to the sums of every model, whose logits are taken in one go where they are `JOINT`.
    #[inline(always)]
    fn loss_gradient<O: Octet, const N: usize, const JOINT: bool>(
        &mut self,
        o: O,
        first: usize,
        models: &mut [Model<P::Slopes>],
    ) {
        let block = self.rows.block;
        let x: [&[Column<T>]; N] = std::array::from_fn(|i| self.rows.group(first + i));
        let offset: [_; N] = std::array::from_fn(|i| block.offset().map(|offset| offset.group(first + i)));
        for (k, model) in models.iter_mut().enumerate() {
            let mut loss = o.load(&model.loss);
            let mut r = [[loss; OCTETS]; N];
            let mut a = r;
            if JOINT {
                a = logits::<O, T, P, N>(o, x, &model.slopes, model.intercept, offset);
            }
            for i in 0..N {
                let g = first + i;
                if !JOINT {
                    [a[i]] = logits::<O, T, P, 1>(o, [x[i]], &model.slopes, model.intercept, [offset[i]]);
                }
                let at = (g - self.rows.groups.start) * LANES;
                if let Some(out) = self.logits.get_mut(k) {
                    for (out, a) in out[at..at + LANES].as_chunks_mut().0.iter_mut().zip(a[i]) {
                        *out = T::rounded(o, a);
                    }
                }
                r[i] = residual(o, a[i], block.target().group(g), block.weight().group(g), &mut loss);
            }
            model.loss = o.store(loss);
            gradient::<O, T, P, N>(o, x, &r, &mut model.gradient);
        }
    }
}

/// Logits of some groups for one model.
pub struct Logits<'a, T> {
    /// The rows.
    pub rows: Rows<'a, T>,
    /// p slopes and the intercept.
    pub w: &'a [f64],
    /// Where they go, padding included.
    pub out: &'a mut [f64],
}

impl<T: Stored> Work for Logits<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<O: Octet>(self, o: O) {
        let features = self.rows.block.features();
        let (slopes, intercept) = (&self.w[..features], self.w[features]);
        for (g, out) in self.rows.groups.clone().zip(self.out.as_chunks_mut::<LANES>().0) {
            let offset = self.rows.block.offset().map(|offset| offset.group(g));
            let a = with_intercept(o, products(o, self.rows.group(g), slopes), intercept, offset);
            for (out, a) in out.as_chunks_mut().0.iter_mut().zip(a) {
                *out = o.store(a);
            }
        }
    }
}

/// Loss and slope of some groups of one model at several steps along a line: a + α·d.
pub struct LineProbe<'a, T> {
    /// What goes with the rows of their block.
    pub vectors: &'a RowVectors,
    /// The groups.
    pub groups: Range<usize>,
    /// a of the groups' rows.
    pub start: &'a [T],
    /// d of the groups' rows.
    pub direction: &'a [T],
    /// Steps α.
    pub steps: &'a [f64],
}

impl<T: Stored> Work for LineProbe<'_, T> {
    /// Σ s·ℓ(t, a + α·d) and Σ s·(σ(a + α·d) − t)·d for each step.
    type Output = Vec<LossSlope>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Vec<LossSlope> {
        let mut sums = vec![[[0.0; 8]; 2]; self.steps.len()];
        let (starts, directions) = (self.start.as_chunks().0, self.direction.as_chunks().0);
        for ((g, a), d) in self.groups.zip(starts).zip(directions) {
            line_probe(o, self.vectors, g, stored(o, a), stored(o, d), self.steps, &mut sums);
        }
        let total = |parts: &[f64; 8]| parts.iter().sum();
        sums.iter().map(|[loss, slope]| LossSlope { loss: total(loss), slope: total(slope) }).collect()
    }
}

/// Adds group `g` to `sums`: loss and slope of each step in eight parts.
#[inline(always)]
fn line_probe<O: Octet>(
    o: O,
    vectors: &RowVectors,
    g: usize,
    a: Lanes<O>,
    d: Lanes<O>,
    steps: &[f64],
    sums: &mut [[[f64; 8]; 2]],
) {
    for (&step, [loss_sum, slope_sum]) in steps.iter().zip(sums) {
        let (mut loss, mut slope) = (o.load(loss_sum), o.load(slope_sum));
        let mut at = a;
        for k in 0..OCTETS {
            at[k] = o.mul_add(o.splat(step), d[k], a[k]);
        }
        let r = residual(o, at, vectors.target.group(g), vectors.weight.group(g), &mut loss);
        for (r, d) in r.into_iter().zip(d) {
            slope = o.mul_add(r, d, slope);
        }
        (*loss_sum, *slope_sum) = (o.store(loss), o.store(slope));
    }
}

/// Curvature s·y(1−y) of the rows of some groups of one model with logits `a`.
pub struct Curvatures<'a, T> {
    /// What goes with the rows of their block.
    pub vectors: &'a RowVectors,
    /// The groups.
    pub groups: Range<usize>,
    /// a of the groups' rows.
    pub logits: &'a [T],
}

impl<T: Stored> Work for Curvatures<'_, T> {
    /// Their sum.
    type Output = f64;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> f64 {
        let mut sum = o.splat(0.0);
        for (g, a) in self.groups.zip(self.logits.as_chunks().0) {
            for (s, a) in lanes(o, self.vectors.weight.group(g)).into_iter().zip(stored(o, a)) {
                sum = o.mul_add(s, variance_octet(o, a), sum);
            }
        }
        o.store(sum).iter().sum()
    }
}

/// The plain sum of values: a read of X and next to nothing else.
pub struct Sum<'a, T> {
    /// The columns of some groups.
    pub x: &'a [Column<T>],
}

impl<T: Stored> Work for Sum<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> f64 {
        let mut sums = [o.splat(0.0); OCTETS];
        for column in self.x {
            ahead(o, column);
            for k in 0..OCTETS {
                sums[k] = o.add(sums[k], T::octet(o, &column[k]));
            }
        }
        sums.iter().map(|sum| o.store(*sum).iter().sum::<f64>()).sum()
    }
}
