//! Numeric columns while they are read: exact at first, then stored as blocks will hold them.
//!
//! As long as they are few the values are kept in f64. Once there are more, the first rows suggest how each column is stored,
//! and from then on values go to the place, and take the form, that they have in a block of f32.

use rayon::prelude::*;

use super::block::LANES;
use super::pack::{SMALL_DATA, block_rows};
use super::panel::Affine;
use super::scaling::{StoredColumn, first_rows, suggest_all};
use super::source::ColumnSource;
use super::storage::Storage;
use crate::error::Result;
use crate::octet::{Octet, Stored, Work, dispatch};

/// Groups of rows that one task places, and tasks from which on they are spread over threads.
const TASK_GROUPS: usize = 32;
const PARALLEL_TASKS: usize = 8;

/// Numeric columns of some rows.
#[derive(Debug)]
pub(super) struct Frames {
    columns: usize,
    rows: usize,
    /// Rows of a frame.
    frame_rows: usize,
    /// Values that are kept in f64.
    most_exact: usize,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Exact(Vec<f64>),
    Stored(StoredFrames),
}

/// Numeric columns as stored.
#[derive(Debug)]
pub(super) struct StoredFrames {
    pub(super) columns: Vec<StoredColumn>,
    /// Largest |z − stored z| of each column.
    pub(super) rounding: Vec<f64>,
    /// Rows interleaved by [`LANES`]; the last frame is not full.
    pub(super) frames: Vec<Storage<f32>>,
    pub(super) frame_rows: usize,
    /// Memory of a frame that was given away.
    spare: Option<Storage<f32>>,
}

/// Rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen<'a> {
    /// All of so many.
    All(usize),
    /// Those of these numbers.
    Listed(&'a [u32]),
}

impl<'a> Chosen<'a> {
    pub(super) fn len(self) -> usize {
        match self {
            Chosen::All(rows) => rows,
            Chosen::Listed(rows) => rows.len(),
        }
    }

    /// The number in the batch of the `k`-th of them.
    pub(super) fn row(self, k: usize) -> usize {
        match self {
            Chosen::All(_) => k,
            Chosen::Listed(rows) => rows[k] as usize,
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> + use<'a> {
        (0..self.len()).map(move |k| self.row(k))
    }
}

impl Frames {
    /// No rows of `columns` columns yet, of which all are kept `exact`, or those of small data. Blocks have `asked` rows, where
    /// that is said.
    ///
    /// # Errors
    /// [`crate::error::Error::Usage`] when a block could not hold even one group of rows.
    pub(super) fn new(columns: usize, exact: bool, asked: Option<usize>) -> Result<Self> {
        Ok(Frames {
            columns,
            rows: 0,
            frame_rows: block_rows(columns, asked)?,
            most_exact: if exact { usize::MAX } else { SMALL_DATA },
            store: Store::Exact(Vec::new()),
        })
    }

    /// None in memory of `rows` rows that are elsewhere, stored as `columns` say with so much `rounding`.
    pub(super) fn elsewhere(rows: usize, frame_rows: usize, columns: Vec<StoredColumn>, rounding: Vec<f64>) -> Self {
        let stored = StoredFrames { columns, rounding, frames: Vec::new(), frame_rows, spare: None };
        Frames { columns: stored.columns.len(), rows, frame_rows, most_exact: 0, store: Store::Stored(stored) }
    }

    /// How the columns are stored, and the largest rounding of each; none while they are exact.
    pub(super) fn stored_columns(&self) -> Option<(&[StoredColumn], &[f64])> {
        match &self.store {
            Store::Stored(stored) => Some((&stored.columns, &stored.rounding)),
            Store::Exact(_) => None,
        }
    }

    /// Appends the `chosen` rows of a batch of `columns`.
    ///
    /// # Errors
    /// As [`Storage::zeros`], and as [`suggest_all`].
    pub(super) fn append(&mut self, columns: &[&[f64]], chosen: Chosen<'_>) -> Result<()> {
        let new = chosen.len();
        if self.columns == 0 || new == 0 {
            self.rows += new;
            return Ok(());
        }
        let width = LANES * self.columns;
        match &mut self.store {
            Store::Exact(values) => {
                values.resize((self.rows + new).div_ceil(LANES) * width, 0.0);
                let identity = vec![Affine { factor: 1.0, shift: 0.0 }; self.columns];
                place(&mut values[self.rows / LANES * width..], self.rows % LANES, columns, chosen, 0..new, &identity);
            }
            Store::Stored(stored) => stored.append(self.rows, columns, chosen)?,
        }
        self.rows += new;
        if let Store::Exact(_) = &self.store
            && self.rows * self.columns > self.most_exact
        {
            self.store = Store::Stored(self.stored()?);
        }
        Ok(())
    }

    /// The exact values as stored, the first rows of which suggest how.
    fn stored(&self) -> Result<StoredFrames> {
        let columns = suggest_all(self, first_rows(self.most_exact, self.columns))?;
        let rounding = vec![0.0; columns.len()];
        let mut stored =
            StoredFrames { columns, rounding, frames: Vec::new(), frame_rows: self.frame_rows, spare: None };
        if self.columns == 0 {
            return Ok(stored);
        }
        let mut values = vec![vec![0.0; LANES * TASK_GROUPS]; self.columns];
        for start in (0..self.rows).step_by(LANES * TASK_GROUPS) {
            let rows = (LANES * TASK_GROUPS).min(self.rows - start);
            values.iter_mut().enumerate().for_each(|(j, values)| self.fill(j, start, &mut values[..rows]));
            let columns: Vec<&[f64]> = values.iter().map(|values| &values[..rows]).collect();
            stored.append(start, &columns, Chosen::All(rows))?;
        }
        Ok(stored)
    }

    /// Bytes of memory held.
    pub(super) fn bytes(&self) -> u64 {
        match &self.store {
            Store::Exact(values) => size_of_val(values.as_slice()) as u64,
            Store::Stored(stored) => stored.frames.iter().map(|frame| size_of_val(&frame[..]) as u64).sum(),
        }
    }

    /// Makes the values what is stored, though they may be few.
    ///
    /// # Errors
    /// As [`Frames::append`].
    pub(super) fn store(&mut self) -> Result<()> {
        if let Store::Exact(_) = &self.store {
            self.store = Store::Stored(self.stored()?);
        }
        Ok(())
    }

    /// Rows of a frame.
    pub(super) fn frame_rows(&self) -> usize {
        self.frame_rows
    }

    /// Gives frame `index`, which begins with row `index·frame_rows`, to `take`, with the number of its rows, and lets go of
    /// it; rows that are none hold zeros. Nothing where values are exact.
    pub(super) fn give_away(&mut self, index: usize, take: impl FnOnce(usize, &[f32]) -> Result<()>) -> Result<()> {
        let rows = self.frame_rows.min(self.rows - index * self.frame_rows);
        if self.columns == 0 {
            return take(rows, &[]);
        }
        let Store::Stored(stored) = &mut self.store else { return Ok(()) };
        let mut frame = std::mem::replace(&mut stored.frames[index], Storage::none());
        if !rows.is_multiple_of(LANES) {
            // The memory may have been another frame's.
            let last = rows / LANES * LANES * self.columns;
            for lanes in frame[last..last + LANES * self.columns].chunks_mut(LANES) {
                lanes[rows % LANES..].fill(0.0);
            }
        }
        take(rows, &frame)?;
        stored.spare = Some(frame);
        Ok(())
    }

    /// The columns as stored, if they are stored already; else they can be read by column.
    pub(super) fn take_stored(&mut self) -> Option<StoredFrames> {
        match std::mem::replace(&mut self.store, Store::Exact(Vec::new())) {
            Store::Stored(stored) => Some(stored),
            exact @ Store::Exact(_) => {
                self.store = exact;
                None
            }
        }
    }
}

/// The exact values; none once they are stored.
impl ColumnSource for Frames {
    fn rows(&self) -> usize {
        self.rows
    }
    fn features(&self) -> usize {
        self.columns
    }
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]) {
        let Store::Exact(values) = &self.store else { return out.fill(f64::NAN) };
        for (i, x) in out.iter_mut().enumerate() {
            let row = start + i;
            *x = values[(row / LANES * self.columns + feature) * LANES + row % LANES];
        }
    }
}

impl StoredFrames {
    /// Appends the `chosen` rows of a batch behind `rows` rows.
    fn append(&mut self, mut rows: usize, columns: &[&[f64]], chosen: Chosen<'_>) -> Result<()> {
        let affine: Vec<Affine> = self.columns.iter().map(StoredColumn::affine).collect();
        let width = LANES * columns.len();
        let mut from = 0;
        while from < chosen.len() {
            if rows == self.frames.len() * self.frame_rows {
                let room = self.spare.take().map_or_else(|| Storage::zeros(self.frame_rows * columns.len()), Ok)?;
                self.frames.push(room);
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(()) };
            let at = rows % self.frame_rows;
            let now = (chosen.len() - from).min(self.frame_rows - at);
            let end = (at + now).div_ceil(LANES) * width;
            let out = &mut frame[at / LANES * width..end];
            let rounding = place(out, at % LANES, columns, chosen, from..from + now, &affine);
            self.rounding.iter_mut().zip(rounding).for_each(|(most, here)| *most = most.max(here));
            (rows, from) = (rows + now, from + now);
        }
        Ok(())
    }
}

/// Writes the `picked` ones of the `chosen` rows of `columns` to `out`, interleaved by [`LANES`], the first of them in lane
/// `lane`; returns the largest rounding of each column.
fn place<T: Stored>(
    out: &mut [T],
    lane: usize,
    columns: &[&[f64]],
    chosen: Chosen<'_>,
    picked: std::ops::Range<usize>,
    affine: &[Affine],
) -> Vec<f64> {
    let width = LANES * columns.len();
    let task = |(task, out): (usize, &mut [T])| {
        // Rows before the task's first group, those that fill the lanes before the first one counted.
        let before = task * TASK_GROUPS * LANES;
        let rows = (picked.start + before).saturating_sub(lane)..picked.end;
        let lane = if before == 0 { lane } else { 0 };
        dispatch(Place { out, lane, columns, chosen, rows, affine })
    };
    let most = |mut a: Vec<f64>, b: Vec<f64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a = a.max(b));
        a
    };
    let none = vec![0f64; columns.len()];
    let tasks = TASK_GROUPS * width;
    // Small batches come while others are parsed: to wait for a thread would take longer.
    if out.len() <= PARALLEL_TASKS * tasks {
        out.chunks_mut(tasks).enumerate().map(task).fold(none, most)
    } else {
        out.par_chunks_mut(tasks).enumerate().map(task).reduce(|| none.clone(), most)
    }
}

/// Places rows in some groups.
struct Place<'a, T> {
    out: &'a mut [T],
    lane: usize,
    columns: &'a [&'a [f64]],
    chosen: Chosen<'a>,
    /// The rows to place, of which as many are taken as there are lanes.
    rows: std::ops::Range<usize>,
    affine: &'a [Affine],
}

impl<T: Stored> Work for Place<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<O: Octet>(self, o: O) -> Vec<f64> {
        let Place { out, mut lane, columns, chosen, rows, affine } = self;
        let mut rounding = vec![[0.0; 8]; columns.len()];
        let mut next = rows.start;
        for group in out.chunks_exact_mut(LANES * columns.len()) {
            let lanes = lane..LANES.min(lane + rows.end - next);
            for (j, out) in group.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let mut values = [0.0; LANES];
                match chosen {
                    Chosen::All(_) => values[lanes.clone()].copy_from_slice(&columns[j][next..next + lanes.len()]),
                    Chosen::Listed(list) => {
                        for (value, row) in values[lanes.clone()].iter_mut().zip(&list[next..]) {
                            *value = columns[j][*row as usize];
                        }
                    }
                }
                let (factor, shift) = (o.splat(affine[j].factor), o.splat(affine[j].shift));
                let mut lost = o.load(&rounding[j]);
                let mut stored = [T::default(); LANES];
                for (values, stored) in values.as_chunks::<8>().0.iter().zip(stored.as_chunks_mut::<8>().0) {
                    let exact = o.mul_add(o.load(values), factor, shift);
                    *stored = T::rounded(o, exact);
                    // A missing value is not rounded: of it and the largest so far it is that which is taken.
                    lost = o.max(o.abs(o.sub(exact, T::octet(o, stored))), lost);
                }
                rounding[j] = o.store(lost);
                out[lanes.clone()].copy_from_slice(&stored[lanes.clone()]);
            }
            (next, lane) = (next + lanes.len(), 0);
        }
        rounding.iter().map(|lost| lost.iter().copied().fold(0.0, f64::max)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    fn value(row: usize, column: usize) -> f64 {
        if hash::mix(7, (row * 3 + column) as u64).is_multiple_of(50) {
            f64::NAN
        } else {
            (row * 3 + column) as f64 * 0.1 - 7.0
        }
    }

    /// Rows `0..rows` of three columns in batches of uneven size, every `stride`-th one of them.
    fn read(rows: usize, batch: usize, stride: usize, most_exact: usize) -> Frames {
        let mut frames = Frames { most_exact, ..Frames::new(3, false, Some(512)).unwrap() };
        let mut start = 0;
        for number in 0.. {
            let end = rows.min(start + batch + number % 7);
            let columns: Vec<Vec<f64>> = (0..3).map(|j| (start..end).map(|i| value(i, j)).collect()).collect();
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let list: Vec<u32> =
                (0..(end - start) as u32).filter(|i| (start + *i as usize).is_multiple_of(stride)).collect();
            let chosen = if stride == 1 { Chosen::All(end - start) } else { Chosen::Listed(&list) };
            frames.append(&columns, chosen).unwrap();
            start = end;
            if start == rows {
                return frames;
            }
        }
        frames
    }

    #[test]
    fn values_stay_exact_while_they_are_few() {
        let mut seen = 0;
        for (rows, batch, stride) in [(1, 1, 1), (1000, 5, 1), (3000, 1000, 1), (3000, 100, 3)] {
            let frames = read(rows, batch, stride, usize::MAX);
            let kept: Vec<usize> = (0..rows).step_by(stride).collect();
            assert_eq!(frames.rows(), kept.len());
            for j in 0..3 {
                let mut column = vec![0.0; kept.len()];
                frames.fill(j, 0, &mut column);
                for (k, &row) in kept.iter().enumerate() {
                    assert_eq!(column[k].to_bits(), value(row, j).to_bits());
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 3 * (1 + 1000 + 3000 + 1000));
    }

    #[test]
    fn stored_values_are_rounded_once_and_do_not_depend_on_batches() {
        let whole = read(3000, 3000, 1, 1000).take_stored().unwrap();
        assert_eq!(whole.frames.len(), 3000usize.div_ceil(512));
        let (mut seen, mut worst) = (0, [0f64; 3]);
        for (j, worst) in worst.iter_mut().enumerate() {
            let column = whole.columns[j];
            for row in 0..3000 {
                let at = row % 512;
                let z = whole.frames[row / 512][(at / LANES * 3 + j) * LANES + at % LANES];
                let exact = (value(row, j) - column.centre) / column.scale;
                assert!(
                    f64::from(z) == f64::from(exact as f32) || (z.is_nan() && exact.is_nan()),
                    "{row} {j}: {z} {exact}"
                );
                *worst = worst.max((f64::from(z) - exact).abs());
                seen += 1;
            }
            assert!((whole.rounding[j] - *worst).abs() <= 1e-3 * *worst, "{} {worst}", whole.rounding[j]);
        }
        assert_eq!(seen, 9000);
        for batch in [1, 33, 700] {
            let other = read(3000, batch, 1, 1000).take_stored().unwrap();
            assert_eq!((&whole.columns, &whole.rounding), (&other.columns, &other.rounding));
            let bits = |frames: &[Storage<f32>]| -> Vec<u32> {
                frames.iter().flat_map(|frame| frame.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
            };
            assert!(bits(&whole.frames) == bits(&other.frames), "batches of {batch}");
        }
        assert!(read(300, 10, 1, 1000).take_stored().is_none());
    }
}
