//! Rows in the order of their linear predictors, in bounded memory: sorted runs of them go to a file and are merged.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use rayon::slice::ParallelSliceMut;

use crate::data::folder_with_room;
use crate::disk::{DiskFile, MORE_ROOM};
use crate::error::Result;

/// Rows that are held in memory: some 84 MB.
pub(super) const MOST: usize = 1 << 21;
/// Ties of a run that are read at a time, where all runs are read at once and where one is.
const READ: usize = 1024;
const READ_ALONE: usize = 1 << 16;

/// Rows of one linear predictor.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Tie {
    pub(super) a: f64,
    /// Their weight in class 0 and in class 1.
    pub(super) weight: [f64; 2],
    /// The sums of the squares of their weights, which the variance of a weighted mean takes.
    pub(super) square: [f64; 2],
}

/// A file for the rows that memory does not hold, of one ranking or of several.
#[derive(Clone)]
pub struct Overflow(Arc<DiskFile>);

impl Overflow {
    /// # Errors
    /// [`crate::error::Error::Io`].
    pub(super) fn open() -> Result<Self> {
        Ok(Overflow(Arc::new(DiskFile::unnamed(&folder_with_room(), MORE_ROOM)?)))
    }
}

/// Rows that come in any order.
#[derive(Clone)]
pub(super) struct Ranked {
    most: usize,
    held: Vec<Tie>,
    /// Runs, highest first: where each begins and how many ties it has.
    file: Option<Overflow>,
    runs: Vec<(u64, usize)>,
}

impl Ranked {
    pub(super) fn new() -> Self {
        Ranked::of_most(MOST)
    }

    /// One of `several`, which share the memory.
    pub(super) fn among(several: usize) -> Self {
        Ranked::of_most((MOST / several.max(1)).max(READ))
    }

    fn of_most(most: usize) -> Self {
        Ranked { most, held: Vec::new(), file: None, runs: Vec::new() }
    }

    /// Adds a row of class 1 or of class 0.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] about the file.
    pub(super) fn push(&mut self, a: f64, is_one: bool, s: f64) -> Result<()> {
        if self.held.len() == self.most {
            let file = match &self.file {
                Some(file) => file.clone(),
                None => Overflow::open()?,
            };
            self.spill(&file)?;
        }
        let of_class = |x: f64| if is_one { [0.0, x] } else { [x, 0.0] };
        self.held.push(Tie { a, weight: of_class(s), square: of_class(s * s) });
        Ok(())
    }

    /// Rows, or ties, in memory.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Hands those in memory to `file`, which is the one that any others of it are in.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] about the file.
    pub(super) fn spill(&mut self, file: &Overflow) -> Result<()> {
        self.sort();
        let start = file.0.end();
        file.0.write(start, bytemuck::cast_slice(&self.held))?;
        self.runs.push((start, self.held.len()));
        self.held = Vec::new();
        self.file = Some(file.clone());
        Ok(())
    }

    /// Orders those held, the highest first, ties as one.
    pub(super) fn sort(&mut self) {
        // Ties by weight, so that these add up to the same bits on any number of threads.
        let weight = |tie: &Tie| tie.weight[1] - tie.weight[0];
        self.held.par_sort_unstable_by(|left, right| {
            right.a.total_cmp(&left.a).then_with(|| weight(left).total_cmp(&weight(right)))
        });
        self.held.dedup_by(|row, last| {
            let ties = last.a == row.a;
            if ties {
                last.add(row);
            }
            ties
        });
    }

    /// Calls `some` with all ties, some at a time and in no order; rows of one predictor may be in several of them.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] about the file.
    pub(super) fn each_unordered(&self, mut some: impl FnMut(&[Tie])) -> Result<()> {
        let mut read = Vec::new();
        for (file, &(start, ties)) in self.file.iter().flat_map(|file| self.runs.iter().map(move |run| (file, run))) {
            for first in (0..ties).step_by(READ_ALONE) {
                read.resize((ties - first).min(READ_ALONE), Tie::zeroed());
                file.0.read(start + (first * size_of::<Tie>()) as u64, bytemuck::cast_slice_mut(&mut read))?;
                some(&read);
            }
        }
        some(&self.held);
        Ok(())
    }

    /// Calls `each` with the rows of each predictor, highest first.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] about the file.
    pub(super) fn each(mut self, mut each: impl FnMut(&Tie)) -> Result<()> {
        self.sort();
        self.held.reverse();
        let file = self.file.as_ref().map(|file| file.0.as_ref());
        let of_file = self.runs.iter().map(|&(start, left)| Run { start, left, read: Vec::new() });
        let in_memory = Run { start: 0, left: 0, read: self.held };
        let mut runs: Vec<Run> = of_file.chain([in_memory]).collect();
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(file)?.map(|tie| Head { tie, run: index }));
        }
        let mut now: Option<Tie> = None;
        while let Some(Head { tie, run }) = heads.pop() {
            match &mut now {
                // 0 and −0 lie side by side in the order and are ties.
                Some(now) if now.a == tie.a => now.add(&tie),
                before => before.replace(tie).iter().for_each(&mut each),
            }
            heads.extend(runs[run].next(file)?.map(|tie| Head { tie, run }));
        }
        now.iter().for_each(each);
        Ok(())
    }
}

impl Tie {
    fn add(&mut self, other: &Tie) {
        for k in 0..2 {
            self.weight[k] += other.weight[k];
            self.square[k] += other.square[k];
        }
    }
}

/// What is left of a run.
struct Run {
    start: u64,
    left: usize,
    /// Read already, the next one last.
    read: Vec<Tie>,
}

impl Run {
    fn next(&mut self, file: Option<&DiskFile>) -> Result<Option<Tie>> {
        if let (true, Some(file)) = (self.read.is_empty(), file) {
            self.read.resize(self.left.min(READ), Tie::zeroed());
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.read);
            file.read(self.start, bytes)?;
            self.start += bytes.len() as u64;
            self.left -= self.read.len();
            self.read.reverse();
        }
        Ok(self.read.pop())
    }
}

/// The next tie of a run; the highest predictor is the greatest.
struct Head {
    tie: Tie,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.tie.a.total_cmp(&other.tie.a).then_with(|| other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::hash::mix;

    #[test]
    fn runs_in_a_file_are_the_order_in_memory() {
        let ranks = |most: usize, rows: u64| {
            let mut ranked = Ranked::of_most(most);
            for i in 0..rows {
                let a = (mix(1, i) % 300) as f64 - 150.0;
                ranked.push(if a == 0.0 && i % 2 == 0 { -0.0 } else { a }, i % 3 == 0, (i % 4) as f64).unwrap();
            }
            let mut all = Vec::new();
            let (mut unordered, mut squares) = ([0.0; 2], [0.0; 2]);
            let add = |sums: &mut [f64; 2], more: [f64; 2]| (0..2).for_each(|k| sums[k] += more[k]);
            ranked.each_unordered(|ties| ties.iter().for_each(|tie| add(&mut unordered, tie.weight))).unwrap();
            let mut ordered = [0.0; 2];
            ranked
                .each(|tie| {
                    all.push(tie.weight);
                    add(&mut ordered, tie.weight);
                    add(&mut squares, tie.square);
                })
                .unwrap();
            assert_eq!(unordered, ordered);
            // Whole numbers, so that sums are exact.
            let square = |i: u64| ((i % 4) * (i % 4)) as f64;
            let expected = |k: u32| (0..rows).filter(|i| (i % 3 == 0) == (k == 1)).map(square).sum::<f64>();
            assert_eq!(squares, [0, 1].map(expected));
            all
        };
        let mut seen = 0;
        for rows in [0, 1, 100, 101, 5000] {
            let whole = ranks(usize::MAX, rows);
            for most in [1, 7, 100, 4999] {
                assert_eq!(ranks(most, rows), whole, "{rows} rows, {most} in memory");
                seen += 1;
            }
        }
        assert_eq!((seen, ranks(50, 20_000).len()), (20, 300));
    }
}
