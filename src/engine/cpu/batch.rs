//! Loss and gradient of many models in one read of X, each with rows of its own: a tile of rows stays in the first-level cache
//! while one model after the other is evaluated on it.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{self, Column, Lanes, OCTETS, Rows};
use super::products::{self, InF64};
use super::rows::tasks;
use crate::data::{Block, Group, LANES, Precision, RowBlock, RowVectors, Values, each_block};
use crate::engine::batch::{Batch, BatchSums, Draw, mix, poisson, poisson_key};
use crate::error::Result;
use crate::logistic::{residual_and_loss_16, residual_and_loss_octet};
use crate::octet::{Octet, Stored, Work, dispatch};

/// Bytes of X in a tile, at the most, unless it is two groups of rows: they are to stay in the second-level cache.
const TILE_BYTES: usize = 256 << 10;
/// Groups of rows in a tile, at the most; an even number.
const TILE_GROUPS: usize = 8;

/// The rows that draws are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn<'a> {
    /// The fold of each row of the block; may be empty where no draw asks for it.
    pub(super) folds: &'a [u8],
    /// The block's first row among all.
    pub(super) first_row: usize,
}

impl<'a> Drawn<'a> {
    /// Those of the `rows` rows from `first_row` on.
    pub(super) fn new(folds: &'a [u8], first_row: usize, rows: usize) -> Self {
        Drawn { folds: if folds.is_empty() { folds } else { &folds[first_row..first_row + rows] }, first_row }
    }

    /// How often each row of group `g` counts; of no meaning for padding.
    #[inline(always)]
    pub(super) fn counts(&self, draw: Draw, g: usize) -> [f32; LANES] {
        let mut counts = [1.0; LANES];
        match draw {
            Draw::All => {}
            Draw::Without(fold) => {
                let folds = &self.folds[g * LANES..self.folds.len().min((g + 1) * LANES)];
                for (count, of_row) in counts.iter_mut().zip(folds) {
                    *count = f32::from(u8::from(*of_row != fold));
                }
            }
            Draw::Poisson { seed, replicate } => {
                let key = poisson_key(seed, replicate);
                let first = (self.first_row + g * LANES) as u32;
                for (count, lane) in counts.iter_mut().zip(0..) {
                    *count = poisson(key, mix(first.wrapping_add(lane))) as f32;
                }
            }
        }
        counts
    }
}

/// Loss and gradient of each model of `batch` over the rows of `blocks`, in f32 where X is f32 and `products` says so.
///
/// # Errors
/// What reading blocks that are not in memory fails with.
pub(super) fn loss_gradients(
    blocks: &[Block],
    features: usize,
    products: Precision,
    batch: &Batch<'_>,
) -> Result<Vec<BatchSums>> {
    let mut sums = vec![BatchSums::zeros(features); batch.draws.len()];
    let mut first_row = 0;
    each_block(blocks, |_, block| {
        let drawn = Drawn::new(batch.folds, first_row, block.rows());
        let parts = match (block.x(), products) {
            (Values::F32(x), Precision::F32) => of_block::<f32, f32>(block, kernels::columns(x), batch, drawn),
            (Values::F32(x), Precision::F64) => of_block::<f32, f64>(block, kernels::columns(x), batch, drawn),
            (Values::F64(x), _) => of_block::<f64, f64>(block, kernels::columns(x), batch, drawn),
        };
        sums.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(&part));
        first_row += block.rows();
        Ok(())
    })?;
    Ok(sums.into_iter().map(BatchSums::checked).collect())
}

fn of_block<T: Stored, W: Arithmetic<T>>(
    block: &RowBlock,
    x: &[Column<T>],
    batch: &Batch<'_>,
    drawn: Drawn<'_>,
) -> Vec<BatchSums> {
    let model = |k| {
        let w: Vec<W> = batch.w.model(k).iter().map(|w| W::narrow(*w)).collect();
        Model { intercept: w[w.len() - 1], slopes: w[..w.len() - 1].to_vec() }
    };
    let models: Vec<Model<W>> = (0..batch.draws.len()).map(model).collect();
    let parts: Vec<Vec<BatchSums>> = tasks(block.groups())
        .into_par_iter()
        .map(|groups| {
            let rows = Rows { block, x, groups };
            dispatch(LossGradients { rows, models: &models, batch, drawn })
        })
        .collect();
    let mut total = vec![BatchSums::zeros(block.features()); batch.draws.len()];
    parts.iter().for_each(|part| total.iter_mut().zip(part).for_each(|(total, part)| total.add(part)));
    total
}

/// A model as it is evaluated.
struct Model<W> {
    slopes: Vec<W>,
    intercept: W,
}

/// What a model's rows come to, in eight parts.
struct Sums {
    loss: [f64; 8],
    left_out: [f64; 8],
    gradient: Vec<[f64; 8]>,
}

/// A number for each row of a tile.
type TileRows<W> = [[W; LANES]; TILE_GROUPS];

/// What lies beside X in the rows of a tile.
struct Tile<W> {
    target: TileRows<W>,
    offset: TileRows<W>,
    weight: TileRows<W>,
    /// The weights under a draw: as often as rows count, and of those that do not.
    counted: TileRows<W>,
    left_out: TileRows<W>,
}

/// The numbers that models are evaluated in on X of `T`.
trait Arithmetic<T>: Stored {
    /// Whether eight groups together are better than two: their residuals stay in registers.
    const EIGHT: bool;

    /// Adds `N` groups, the ones from the `at`-th of a tile on, to the sums of one model.
    fn add<O: Octet, const N: usize>(
        o: O,
        x: [&[Column<T>]; N],
        tile: &Tile<Self>,
        at: usize,
        model: &Model<Self>,
        sums: &mut Sums,
    );
}

/// Loss and gradient of some groups for many models, in numbers of `W`.
struct LossGradients<'a, T, W> {
    rows: Rows<'a, T>,
    models: &'a [Model<W>],
    batch: &'a Batch<'a>,
    drawn: Drawn<'a>,
}

impl<T: Stored, W: Arithmetic<T>> Work for LossGradients<'_, T, W> {
    type Output = Vec<BatchSums>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let features = self.rows.block.features();
        let mut sums: Vec<Sums> = (0..self.models.len())
            .map(|_| Sums { loss: [0.0; 8], left_out: [0.0; 8], gradient: vec![[0.0; 8]; features + 1] })
            .collect();
        let group_bytes = (features * size_of::<Column<T>>()).max(1);
        let groups = match TILE_BYTES / group_bytes {
            0..4 => 2,
            4..8 => 4,
            _ => TILE_GROUPS,
        };
        let empty = || [[W::default(); LANES]; TILE_GROUPS];
        let mut tile = Tile { target: empty(), offset: empty(), weight: empty(), counted: empty(), left_out: empty() };
        let Range { start, end } = self.rows.groups;
        for first in (start..end).step_by(groups) {
            let next = end.min(first + groups);
            self.fill(o, first..next, &mut tile);
            let mut k = 0;
            while k < self.models.len() {
                let same = self.batch.of_equal_draw(k);
                self.weigh(o, first..next, self.batch.draws[k], &mut tile);
                k = same.end;
                for k in same {
                    self.model::<O>(o, first..next, &tile, &self.models[k], &mut sums[k]);
                }
            }
        }
        let total = |parts: &[f64; 8]| parts.iter().sum();
        let of = |sums: &Sums| BatchSums {
            loss: total(&sums.loss),
            loss_left_out: total(&sums.left_out),
            gradient: sums.gradient.iter().map(total).collect(),
        };
        sums.iter().map(of).collect()
    }
}

impl<T: Stored, W: Arithmetic<T>> LossGradients<'_, T, W> {
    /// What lies beside X in some groups.
    #[inline(always)]
    fn fill<O: Octet>(&self, o: O, groups: Range<usize>, tile: &mut Tile<W>) {
        let block = self.rows.block;
        for (i, g) in groups.enumerate() {
            put(o, block.target().group(g), &mut tile.target[i]);
            put(o, block.weight().group(g), &mut tile.weight[i]);
            if let Some(offset) = block.offset() {
                put(o, offset.group(g), &mut tile.offset[i]);
            }
        }
    }

    /// The weights of some groups under `draw`.
    #[inline(always)]
    fn weigh<O: Octet>(&self, o: O, groups: Range<usize>, draw: Draw, tile: &mut Tile<W>) {
        let (zero, half) = (o.splat(0.0), o.splat(0.5));
        for (i, g) in groups.enumerate() {
            let counts = self.drawn.counts(draw, g);
            let (counted, left_out) = (tile.counted[i].as_chunks_mut().0, tile.left_out[i].as_chunks_mut().0);
            for (k, count) in counts.as_chunks().0.iter().enumerate() {
                let (count, s) = (o.widen(count), W::octet(o, &tile.weight[i].as_chunks().0[k]));
                counted[k] = W::rounded(o, o.mul(s, count));
                left_out[k] = W::rounded(o, o.select_ge(count, half, zero, s));
            }
        }
    }

    /// Adds the groups of a tile to the sums of one model.
    #[inline(always)]
    fn model<O: Octet>(&self, o: O, groups: Range<usize>, tile: &Tile<W>, model: &Model<W>, sums: &mut Sums) {
        let Range { start, end } = groups;
        let mut g = start;
        while W::EIGHT && end - g >= 8 {
            self.some::<O, 8>(o, g, g - start, tile, model, sums);
            g += 8;
        }
        while end - g >= 2 {
            self.some::<O, 2>(o, g, g - start, tile, model, sums);
            g += 2;
        }
        if g < end {
            self.some::<O, 1>(o, g, g - start, tile, model, sums);
        }
    }

    #[inline(always)]
    fn some<O: Octet, const N: usize>(
        &self,
        o: O,
        first: usize,
        at: usize,
        tile: &Tile<W>,
        model: &Model<W>,
        sums: &mut Sums,
    ) {
        let x: [&[Column<T>]; N] = std::array::from_fn(|i| self.rows.group(first + i));
        W::add::<O, N>(o, x, tile, at, model, sums);
    }
}

/// Writes the numbers of a group down.
#[inline(always)]
fn put<O: Octet, W: Stored>(o: O, group: Group<'_>, out: &mut [W; LANES]) {
    let lanes: Lanes<O> = kernels::lanes(o, group);
    for (out, lane) in out.as_chunks_mut().0.iter_mut().zip(lanes) {
        *out = W::rounded(o, lane);
    }
}

impl<T: Stored> Arithmetic<T> for f64 {
    const EIGHT: bool = false;

    #[inline(always)]
    fn add<O: Octet, const N: usize>(
        o: O,
        x: [&[Column<T>]; N],
        tile: &Tile<f64>,
        at: usize,
        model: &Model<f64>,
        sums: &mut Sums,
    ) {
        let (mut loss, mut left_out) = (o.load(&sums.loss), o.load(&sums.left_out));
        let mut r = [[loss; OCTETS]; N];
        for i in 0..N {
            let row = |rows: &TileRows<f64>| -> Lanes<O> { kernels::stored(o, &rows[at + i]) };
            let products = products::products(o, x[i], &model.slopes);
            let (t, offset) = (row(&tile.target), row(&tile.offset));
            let (counted, out) = (row(&tile.counted), row(&tile.left_out));
            for k in 0..OCTETS {
                let a = o.add(o.add(products[k], o.splat(model.intercept)), offset[k]);
                let (difference, l) = residual_and_loss_octet(o, a, t[k]);
                loss = o.mul_add(counted[k], l, loss);
                left_out = o.mul_add(out[k], l, left_out);
                r[i][k] = o.mul(counted[k], difference);
            }
        }
        (sums.loss, sums.left_out) = (o.store(loss), o.store(left_out));
        kernels::gradient::<O, T, InF64, N>(o, x, &r, &mut sums.gradient);
    }
}

/// Sixteen rows of a group.
const HALVES: usize = 2;

impl Arithmetic<f32> for f32 {
    const EIGHT: bool = true;

    /// Logits, residuals and losses in f32, W rounded to it; sums of up to 16 rows a lane, then f64.
    #[inline(always)]
    fn add<O: Octet, const N: usize>(
        o: O,
        x: [&[Column<f32>]; N],
        tile: &Tile<f32>,
        at: usize,
        model: &Model<f32>,
        sums: &mut Sums,
    ) {
        let zero = o.splat_16(0.0);
        let mut r = [[zero; HALVES]; N];
        // Four groups side by side, so that no addition waits for the one before.
        let mut i = 0;
        while N - i >= 4 {
            let four = logits_16::<O, 4>(o, [x[i], x[i + 1], x[i + 2], x[i + 3]], &model.slopes);
            r[i..i + 4].copy_from_slice(&four);
            i += 4;
        }
        while i < N {
            r[i] = logits_16::<O, 1>(o, [x[i]], &model.slopes)[0];
            i += 1;
        }
        let (mut loss, mut left_out, mut ones) = (zero, zero, zero);
        for i in 0..N {
            for (k, r) in r[i].iter_mut().enumerate() {
                let sixteen = |rows: &TileRows<f32>| o.load_16(&rows[at + i].as_chunks().0.as_chunks().0[k]);
                let offset = o.add_16(sixteen(&tile.offset), o.splat_16(model.intercept));
                let (difference, l) = residual_and_loss_16(o, o.add_16(*r, offset), sixteen(&tile.target));
                let counted = sixteen(&tile.counted);
                loss = o.mul_add_16(counted, l, loss);
                left_out = o.mul_add_16(sixteen(&tile.left_out), l, left_out);
                *r = o.mul_16(counted, difference);
                ones = o.add_16(*r, ones);
            }
        }
        widen_onto(o, loss, &mut sums.loss);
        widen_onto(o, left_out, &mut sums.left_out);
        let (gradient, of_ones) = sums.gradient.split_at_mut(model.slopes.len());
        for (j, sum) in gradient.iter_mut().enumerate() {
            let (mut even, mut odd) = (zero, zero);
            for (x, r) in x.iter().zip(&r) {
                let halves = x[j].as_chunks().0;
                even = o.mul_add_16(o.load_16(&halves[0]), r[0], even);
                odd = o.mul_add_16(o.load_16(&halves[1]), r[1], odd);
            }
            widen_onto(o, o.add_16(even, odd), sum);
        }
        widen_onto(o, ones, &mut of_ones[0]);
    }
}

/// z·w of the rows of `M` groups.
#[inline(always)]
fn logits_16<O: Octet, const M: usize>(o: O, x: [&[Column<f32>]; M], slopes: &[f32]) -> [[O::S; HALVES]; M] {
    let mut a = [[o.splat_16(0.0); HALVES]; M];
    for (j, slope) in slopes.iter().enumerate() {
        let slope = o.splat_16(*slope);
        for i in 0..M {
            products::ahead(o, &x[i][j]);
            let halves = x[i][j].as_chunks().0;
            for k in 0..HALVES {
                a[i][k] = o.mul_add_16(o.load_16(&halves[k]), slope, a[i][k]);
            }
        }
    }
    a
}

/// Adds sixteen f32 to eight sums.
#[inline(always)]
fn widen_onto<O: Octet>(o: O, values: O::S, sums: &mut [f64; 8]) {
    let [low, high] = o.widen_16(values);
    *sums = o.store(o.add(o.load(sums), o.add(low, high)));
}

/// What the weights of the rows come to under a draw.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WeightSums {
    /// Σ s·(1−t) and Σ s·t, each row as often as it counts.
    pub classes: [f64; 2],
    /// Σ s of the rows that do not count.
    pub left_out: f64,
}

/// The weights of the rows under each of `draws`.
///
/// # Errors
/// As [`loss_gradients`].
pub(super) fn weight_sums(blocks: &[Block], draws: &[Draw], folds: &[u8]) -> Result<Vec<WeightSums>> {
    let mut sums = vec![WeightSums::default(); draws.len()];
    let mut first_row = 0;
    for block in blocks {
        let vectors = block.vectors()?;
        let drawn = Drawn::new(folds, first_row, block.rows());
        sums.par_iter_mut().zip(draws).for_each(|(sums, draw)| {
            let [negative, positive, left_out] = dispatch(Weigh { vectors: &vectors, draw: *draw, drawn });
            sums.classes[0] += negative;
            sums.classes[1] += positive;
            sums.left_out += left_out;
        });
        first_row += block.rows();
    }
    Ok(sums)
}

/// The weights of the rows of a block under a draw.
struct Weigh<'a> {
    vectors: &'a RowVectors,
    draw: Draw,
    drawn: Drawn<'a>,
}

impl Work for Weigh<'_> {
    /// Σ s·(1−t), Σ s·t, and Σ s of the rows that do not count.
    type Output = [f64; 3];

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> [f64; 3] {
        let (zero, half, one) = (o.splat(0.0), o.splat(0.5), o.splat(1.0));
        let mut sums = [zero; 3];
        for g in 0..self.vectors.groups() {
            let counts = self.drawn.counts(self.draw, g);
            let s: Lanes<O> = kernels::lanes(o, self.vectors.weight.group(g));
            let t: Lanes<O> = kernels::lanes(o, self.vectors.target.group(g));
            for (k, count) in counts.as_chunks().0.iter().enumerate() {
                let count = o.widen(count);
                let counted = o.mul(s[k], count);
                sums[0] = o.mul_add(counted, o.sub(one, t[k]), sums[0]);
                sums[1] = o.mul_add(counted, t[k], sums[1]);
                sums[2] = o.add(sums[2], o.select_ge(count, half, zero, s[k]));
            }
        }
        sums.map(|sum| o.store(sum).iter().sum())
    }
}
