//! What is compared: awkward shapes made on the spot, or the user's own rows.

use crate::data::hash::unit_interval;
use crate::data::{Block, Dataset, PackOptions, Precision, RowMajor, RowVector, RowVectors, each_block};
use crate::error::Result;

/// Penalty of the whole fits, so that each has one optimum.
pub(super) const FIT_L2: f64 = 1.0;

/// Rows × features around every edge of group (32 rows), tile (256 rows), register batch and block.
const SHAPES: [(usize, usize); 18] = [
    (1, 0),
    (1, 1),
    (2, 3),
    (31, 4),
    (32, 5),
    (33, 8),
    (255, 31),
    (256, 32),
    (257, 33),
    (511, 63),
    (513, 64),
    (1000, 65),
    (1024, 127),
    (1025, 129),
    (2049, 16),
    (4099, 7),
    (300, 257),
    (70, 1030),
];

/// Rows × features × classes, likewise; few of many classes have rows of every one.
const CLASS_SHAPES: [(usize, usize, usize); 7] =
    [(3, 1, 3), (33, 5, 4), (257, 33, 3), (1025, 7, 26), (70, 300, 5), (513, 16, 10), (600, 2, 255)];

/// Rows in original or stored units, as the reference takes them.
pub(super) struct Rows {
    /// n×p, row-major.
    pub(super) x: Vec<f64>,
    pub(super) target: Vec<f64>,
    pub(super) weight: Vec<f64>,
    pub(super) offset: Option<Vec<f64>>,
}

/// Data sets of awkward shapes, of two classes and then of more, the same ones every time: weights (some of them zero), offsets in
/// every other set of two, columns of sizes from 10⁻³ to 10³ far from zero, and rows with linear predictors beyond ±10³.
///
/// # Errors
/// As [`Dataset::pack`].
pub fn awkward() -> Result<Vec<Dataset>> {
    let of_two = SHAPES.map(|(rows, features)| (rows, features, 2));
    of_two
        .into_iter()
        .chain(CLASS_SHAPES)
        .enumerate()
        .map(|(number, (rows, features, classes))| {
            let seed = number as u64;
            let random = |stream: u64, i: usize| unit_interval(seed * 8 + stream, i as u64);
            let x: Vec<f64> = (0..rows * features)
                .map(|i| {
                    let size = 10f64.powi((i % features) as i32 % 7 - 3);
                    (random(0, i) + random(1, i) + 5.0) * size
                })
                .collect();
            let vectors = RowVectors {
                target: RowVector::of(rows, |i| match classes {
                    2 => f64::from(u8::from(random(2, i) < 0.4)),
                    _ if i == 0 => (classes - 1) as f64,
                    _ => (random(2, i) * classes as f64).floor(),
                }),
                weight: RowVector::of(rows, |i| if i % 11 == 10 { 0.0 } else { 0.5 + 2.0 * random(3, i) }),
                offset: (number % 2 == 1 && classes == 2).then(|| {
                    let far = |i: usize| if i % 97 == 5 { 2000.0 } else { 1.0 };
                    RowVector::of(rows, |i| (random(4, i) - 0.5) * far(i))
                }),
            };
            // Several blocks, the last one not full.
            // A third of the cases as large data is stored.
            let precision = (number % 3 == 2).then_some(Precision::F32);
            let options = PackOptions { block_rows: Some(512), precision, ..PackOptions::default() };
            let names = (0..features).map(|j| format!("x{j}")).collect();
            Dataset::pack(names, &RowMajor { values: &x, features, rows }, &vectors, options)
        })
        .collect()
}

/// The numbers of models that are compared at once: one and several for small data, one for large.
pub(super) fn models_for(data: &Dataset) -> &'static [usize] {
    if data.rows * data.features.len() <= 1 << 17 { &[1, 3, 5] } else { &[1] }
}

/// Whether a penalised fit of `data` has an optimum that f64 finds: two classes.
///
/// # Errors
/// What reading blocks that are not in memory fails with, as for the rows below.
pub(super) fn has_optimum(data: &Dataset) -> Result<bool> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for block in &data.blocks {
        let vectors = block.vectors()?;
        for (t, _) in vectors.target.iter().zip(vectors.weight.iter()).filter(|(_, s)| *s > 0.0) {
            (least, most) = (least.min(t), most.max(t));
        }
    }
    Ok(least < most)
}

/// Seeded parameters in stored units that keep most linear predictors within ±5 or so.
pub(super) fn parameters(data: &Dataset, stream: usize) -> Vec<f64> {
    let features = data.features.len();
    let size = 4.0 / (features.max(1) as f64).sqrt();
    (0..=features).map(|j| (unit_interval(1000 + stream as u64, j as u64) - 0.5) * size).collect()
}

/// The rows of `data` in stored units.
pub(super) fn stored_rows(data: &Dataset) -> Result<Rows> {
    rows_in(data, |_, z| z)
}

/// The rows of `data` in original units.
pub(super) fn original_rows(data: &Dataset) -> Result<Rows> {
    rows_in(data, |feature, z| data.columns[feature].centre + data.columns[feature].scale * z)
}

fn rows_in(data: &Dataset, value: impl Fn(usize, f64) -> f64) -> Result<Rows> {
    let features = data.features.len();
    let mut rows = Rows {
        x: Vec::with_capacity(data.rows * features),
        target: Vec::with_capacity(data.rows),
        weight: Vec::with_capacity(data.rows),
        offset: data.blocks.iter().all(Block::has_offset).then(Vec::new),
    };
    each_block(&data.blocks, |_, block| {
        for i in 0..block.rows() {
            rows.x.extend((0..features).map(|j| value(j, block.value(i, j))));
        }
        rows.target.extend(block.target().iter());
        rows.weight.extend(block.weight().iter());
        if let (Some(all), Some(offset)) = (&mut rows.offset, block.offset()) {
            all.extend(offset.iter());
        }
        Ok(())
    })?;
    Ok(rows)
}
