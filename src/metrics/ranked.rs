//! Rows in the order of their linear predictors, in bounded memory: sorted runs of them go to a file and are merged.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bytemuck::{Pod, Zeroable};
use rayon::slice::ParallelSliceMut;

use crate::data::folder_with_room;
use crate::disk::{DiskFile, MORE_ROOM};
use crate::error::Result;

/// Rows that are held in memory: some 50 MB.
const MOST: usize = 1 << 21;
/// Rows of a run that are read at a time.
const READ: usize = 1024;

/// Rows of one linear predictor.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Tie {
    a: f64,
    /// Their weight in class 0 and in class 1.
    weight: [f64; 2],
}

/// Rows that come in any order.
pub(super) struct Ranked {
    most: usize,
    held: Vec<Tie>,
    /// Runs, highest first: where each begins and how many ties it has.
    file: Option<DiskFile>,
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
            self.sort();
            let file = match &self.file {
                Some(file) => file,
                None => self.file.insert(DiskFile::unnamed(&folder_with_room(), MORE_ROOM)?),
            };
            let start = file.end();
            file.write(start, bytemuck::cast_slice(&self.held))?;
            self.runs.push((start, self.held.len()));
            self.held.clear();
        }
        self.held.push(Tie { a, weight: if is_one { [0.0, s] } else { [s, 0.0] } });
        Ok(())
    }

    /// Orders those held, the highest first, ties as one.
    fn sort(&mut self) {
        self.held.par_sort_unstable_by(|left, right| right.a.total_cmp(&left.a));
        self.held.dedup_by(|row, last| {
            let ties = last.a == row.a;
            if ties {
                last.add(row.weight);
            }
            ties
        });
    }

    /// Calls `each` with the weight of class 0 and of class 1 in the rows of each predictor, highest first.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] about the file.
    pub(super) fn each(mut self, mut each: impl FnMut([f64; 2])) -> Result<()> {
        self.sort();
        self.held.reverse();
        let of_file = self.runs.iter().map(|&(start, left)| Run { start, left, read: Vec::new() });
        let in_memory = Run { start: 0, left: 0, read: self.held };
        let mut runs: Vec<Run> = of_file.chain([in_memory]).collect();
        let mut heads = BinaryHeap::new();
        for (index, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next(self.file.as_ref())?.map(|tie| Head { tie, run: index }));
        }
        let mut now: Option<Tie> = None;
        while let Some(Head { tie, run }) = heads.pop() {
            match &mut now {
                // 0 and −0 lie side by side in the order and are ties.
                Some(now) if now.a == tie.a => now.add(tie.weight),
                before => before.replace(tie).into_iter().for_each(|before| each(before.weight)),
            }
            heads.extend(runs[run].next(self.file.as_ref())?.map(|tie| Head { tie, run }));
        }
        now.into_iter().for_each(|now| each(now.weight));
        Ok(())
    }
}

impl Tie {
    fn add(&mut self, weight: [f64; 2]) {
        self.weight[0] += weight[0];
        self.weight[1] += weight[1];
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
            ranked.each(|weight| all.push(weight)).unwrap();
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
