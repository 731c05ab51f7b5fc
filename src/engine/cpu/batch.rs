//! Loss and gradient of many models in one read of X, each with rows of its own: a tile of rows stays in cache while one model
//! after the other is evaluated on it.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::draws::Drawn;
use super::kernels::{self, Column, Lanes, OCTETS};
use super::products::{self, InF64};
use super::rows::tasks;
use crate::data::{Block, Group, LANES, Precision, RowBlock, Values, each_block};
use crate::engine::batch::{Batch, BatchSums, Draw};
use crate::error::Result;
use crate::logistic::{residual_and_loss_16, residual_and_loss_octet};
use crate::octet::{Octet, Stored, Work, dispatch};

/// Bytes of X in a tile, at the most, unless it is two groups of rows: they are to stay in the second-level cache.
const TILE_BYTES: usize = 256 << 10;
/// Groups of rows in a tile, at the most; an even number.
const TILE_GROUPS: usize = 8;

/// Models that are evaluated at once: the sums of a block's tasks are to fit into a quarter of a gigabyte.
pub(super) fn most_at_once(blocks: &[Block], features: usize) -> usize {
    let tasks = blocks.iter().map(|block| tasks(block.groups()).len()).max().unwrap_or(1);
    let model = tasks * (features + 3) * size_of::<f64>() + 2 * (features + 3) * size_of::<[f64; 8]>();
    ((256 << 20) / model).max(1)
}

/// Loss and gradient of each model of `batch` over the rows of `blocks`, in f32 or in f64.
///
/// # Errors
/// What reading blocks that are not in memory fails with.
pub(super) fn loss_gradients(
    blocks: &[Block],
    features: usize,
    precision: Precision,
    batch: &Batch<'_>,
) -> Result<Vec<BatchSums>> {
    let mut sums = vec![BatchSums::zeros(features); batch.draws.len()];
    let mut first_row = 0;
    each_block(blocks, |_, block| {
        let drawn = Drawn::new(batch.rows, first_row, block.rows());
        let parts = match (block.x(), precision) {
            (Values::F32(x), Precision::F32) => of_block::<f32, f32>(block, batch, drawn, InPlace(x)),
            (Values::F32(x), Precision::F64) => of_block::<f32, f64>(block, batch, drawn, InPlace(x)),
            (Values::F64(x), Precision::F32) => of_block::<f32, f32>(block, batch, drawn, Rounded(x)),
            (Values::F64(x), Precision::F64) => of_block::<f64, f64>(block, batch, drawn, InPlace(x)),
        };
        sums.iter_mut().zip(parts).for_each(|(sum, part)| sum.add(&part));
        first_row += block.rows();
        Ok(())
    })?;
    Ok(sums.into_iter().map(BatchSums::checked).collect())
}

/// The X of a block as numbers of `T`, a stretch of it at a time.
pub(super) trait Stretches<T: Stored>: Sync {
    /// The numbers in `range`.
    fn stretch(&self, range: Range<usize>) -> Cow<'_, [T]>;
}

/// X as it is.
pub(super) struct InPlace<'a, T>(pub(super) &'a [T]);

impl<T: Stored> Stretches<T> for InPlace<'_, T> {
    fn stretch(&self, range: Range<usize>) -> Cow<'_, [T]> {
        Cow::Borrowed(&self.0[range])
    }
}

/// X rounded to f32, once for all models.
pub(super) struct Rounded<'a>(pub(super) &'a [f64]);

impl Stretches<f32> for Rounded<'_> {
    fn stretch(&self, range: Range<usize>) -> Cow<'_, [f32]> {
        self.0[range].iter().map(|x| *x as f32).collect()
    }
}

fn of_block<T: Stored, W: Arithmetic<T>>(
    block: &RowBlock,
    batch: &Batch<'_>,
    drawn: Drawn<'_>,
    x: impl Stretches<T>,
) -> Vec<BatchSums> {
    let model = |k| {
        let w: Vec<W> = batch.w.model(k).iter().map(|w| W::narrow(*w)).collect();
        Model { intercept: w[w.len() - 1], slopes: w[..w.len() - 1].to_vec() }
    };
    let models: Vec<Model<W>> = (0..batch.draws.len()).map(model).collect();
    let of_group = block.features() * LANES;
    let parts: Vec<Vec<BatchSums>> = tasks(block.groups())
        .into_par_iter()
        .map(|groups| {
            let x = x.stretch(groups.start * of_group..groups.end * of_group);
            dispatch(LossGradients { block, x: kernels::columns(&x), groups, models: &models, batch, drawn })
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

    /// The weights of a group's rows as often as they count, and of those that do not.
    fn weigh(weight: &[Self; LANES], counts: &[f32; LANES], counted: &mut [Self; LANES], left_out: &mut [Self; LANES]);

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
    block: &'a RowBlock,
    /// The columns of the groups.
    x: &'a [Column<T>],
    groups: Range<usize>,
    models: &'a [Model<W>],
    batch: &'a Batch<'a>,
    drawn: Drawn<'a>,
}

impl<T: Stored, W: Arithmetic<T>> Work for LossGradients<'_, T, W> {
    type Output = Vec<BatchSums>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Self::Output {
        let features = self.block.features();
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
        let Range { start, end } = self.groups;
        for first in (start..end).step_by(groups) {
            let next = end.min(first + groups);
            self.fill(o, first..next, &mut tile);
            let mut k = 0;
            while k < self.models.len() {
                let same = self.batch.of_equal_draw(k);
                self.weigh(first..next, self.batch.draws[k], &mut tile);
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
        let block = self.block;
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
    fn weigh(&self, groups: Range<usize>, draw: Draw, tile: &mut Tile<W>) {
        for (i, g) in groups.enumerate() {
            let counts = self.drawn.counts(draw, g);
            W::weigh(&tile.weight[i], &counts, &mut tile.counted[i], &mut tile.left_out[i]);
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
        let (p, at_x) = (self.block.features(), first - self.groups.start);
        let x: [&[Column<T>]; N] = std::array::from_fn(|i| &self.x[(at_x + i) * p..(at_x + i + 1) * p]);
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
    fn weigh(weight: &[f64; LANES], counts: &[f32; LANES], counted: &mut [f64; LANES], left_out: &mut [f64; LANES]) {
        for i in 0..LANES {
            counted[i] = weight[i] * f64::from(counts[i]);
            left_out[i] = if counts[i] == 0.0 { weight[i] } else { 0.0 };
        }
    }

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

    #[inline(always)]
    fn weigh(weight: &[f32; LANES], counts: &[f32; LANES], counted: &mut [f32; LANES], left_out: &mut [f32; LANES]) {
        for i in 0..LANES {
            counted[i] = weight[i] * counts[i];
            left_out[i] = if counts[i] == 0.0 { weight[i] } else { 0.0 };
        }
    }

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
