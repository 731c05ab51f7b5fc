//! Rows of which each of several ranks has a part: what all of them come to.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::pack::Purpose;
use super::sample::{self, Drawn};
use super::scaling::{Moments, Pooled, StoredColumn};
use crate::error::{Error, Result};
use crate::ranks::{Bits, Team};

/// The part of the rows that this rank has.
#[derive(Debug)]
pub struct Spread {
    /// The ranks that have the others.
    pub(crate) team: Arc<Team>,
    /// The rows here, stored as suits them.
    pub(crate) here: Dataset,
    /// How a value as all would store it follows from the one stored here, for each feature.
    pub(crate) units: Vec<Unit>,
    /// Rows of each rank.
    pub(crate) rows: Vec<usize>,
    /// The folds that the other ranks have of their rows; rank 0 knows.
    pub(crate) told_folds: ToldFolds,
}

/// Where the folds lie that ranks were told last, for as long as they stay there: comparing them would read a number a row.
#[derive(Debug, Default)]
pub(crate) struct ToldFolds(Mutex<Option<(usize, usize)>>);

impl ToldFolds {
    fn place(folds: &[u8]) -> (usize, usize) {
        (folds.as_ptr() as usize, folds.len())
    }

    /// Whether these are they.
    pub(crate) fn are(&self, folds: &[u8]) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == Some(ToldFolds::place(folds))
    }

    /// From now on these are they.
    pub(crate) fn set(&self, folds: Option<&[u8]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = folds.map(ToldFolds::place);
    }
}

impl Spread {
    /// The number of the first row here among all.
    pub(crate) fn first_row(&self) -> usize {
        self.rows[..self.team.rank()].iter().sum()
    }

    /// The same rows as two classes: 1 for those of class `class`, 0 for all others.
    pub(crate) fn against_rest(&self, class: usize) -> Spread {
        Spread {
            team: Arc::clone(&self.team),
            here: self.here.against_rest(class),
            units: self.units.clone(),
            rows: self.rows.clone(),
            told_folds: ToldFolds::default(),
        }
    }
}

/// The error about something that only one process can do.
pub(crate) fn alone(what: &str) -> Error {
    Error::Usage(format!("{what} cannot be had of rows that several ranks share; run it without mpirun"))
}

/// z of all = factor·z here + shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) factor: f64,
    pub(crate) shift: f64,
}

impl Unit {
    fn of(here: StoredColumn, all: StoredColumn) -> Self {
        Unit { factor: here.scale / all.scale, shift: (here.centre - all.centre) / all.scale }
    }

    /// These moments of the values here, as those of all would be: mean and standard deviation, ends, and largest rounding.
    fn moments(self, m: &Moments) -> Moments {
        let z = |z: f64| self.factor * z + self.shift;
        Moments { mean: z(m.mean), sd: self.factor * m.sd, min: z(m.min), max: z(m.max), rounding: m.rounding }
    }
}

/// What a rank tells of its rows.
#[derive(Serialize, Deserialize)]
struct Told {
    rows: usize,
    weight_sum: Bits,
    classes: usize,
    /// Centre and scale of each column, and its five moments.
    columns: Bits,
}

/// The rows of all ranks, of which each has those of `here`. They are in units that suit the first rank that has rows.
///
/// # Errors
/// Those of other ranks, and what reading rows that are not in memory fails with.
pub(super) fn spread(here: Dataset, team: &Arc<Team>, purpose: Purpose) -> Result<Dataset> {
    let columns = here.columns.iter().zip(&here.moments);
    let numbers = columns.flat_map(|(column, m)| [column.centre, column.scale, m.mean, m.sd, m.min, m.max, m.rounding]);
    let (rows, classes, weight_sum) = (here.rows, here.classes, Bits(vec![here.weight_sum]));
    let told = team.exchange(&Told { rows, weight_sum, classes, columns: Bits(numbers.collect()) })?;
    let features = here.features.len();
    let described: Vec<Vec<(StoredColumn, Moments)>> = told.iter().map(|rank| described(&rank.columns.0)).collect();
    let first = told.iter().position(|rank| rank.rows > 0).unwrap_or(0);
    let columns: Vec<StoredColumn> = described[first].iter().map(|(column, _)| *column).collect();
    let moments = (0..features).map(|j| {
        let mut pooled = Pooled::NONE;
        for (rank, told) in described.iter().zip(&told).filter(|(_, told)| told.rows > 0) {
            let (column, m) = &rank[j];
            let m = Unit::of(*column, columns[j]).moments(m);
            let weight = told.weight_sum.0[0];
            pooled.add(weight, m.mean, weight * m.sd * m.sd);
            pooled.reach(m.min, m.max, m.rounding * m.sd);
        }
        pooled.moments()
    });
    let moments: Vec<Moments> = moments.collect();
    let rows: Vec<usize> = told.iter().map(|rank| rank.rows).collect();
    let all = rows.iter().sum();
    let weight_sum = told.iter().map(|rank| rank.weight_sum.0[0]).sum();
    let classes = told.iter().map(|rank| rank.classes).max().unwrap_or(2);
    let samples =
        if purpose == Purpose::Fit && classes <= 2 { sample::of_ranks(&here, &rows, team)? } else { Vec::new() };
    let data = |rows, weight_sum, blocks, samples| Dataset {
        features: here.features.clone(),
        blocks,
        columns: columns.clone(),
        moments: moments.clone(),
        rows,
        weight_sum,
        classes,
        samples,
        // Ranks store rows each in units of their own, so that theirs do not tell what one process's does.
        fingerprint: None,
        spread: None,
    };
    let sample = |drawn: Drawn| -> Result<Dataset> {
        let block = drawn.block(&columns)?;
        Ok(data(block.rows(), block.weight().add_to(0.0), vec![block.into()], Vec::new()))
    };
    let samples = samples.into_iter().map(sample).collect::<Result<Vec<Dataset>>>()?;
    let mut whole = data(all, weight_sum, Vec::new(), samples);
    let units = here.columns.iter().zip(&whole.columns).map(|(here, all)| Unit::of(*here, *all)).collect();
    whole.spread =
        Some(Box::new(Spread { team: Arc::clone(team), here, units, rows, told_folds: ToldFolds::default() }));
    Ok(whole)
}

fn described(numbers: &[f64]) -> Vec<(StoredColumn, Moments)> {
    let of = |[centre, scale, mean, sd, min, max, rounding]: &[f64; 7]| {
        (
            StoredColumn { centre: *centre, scale: *scale },
            Moments { mean: *mean, sd: *sd, min: *min, max: *max, rounding: *rounding },
        )
    };
    numbers.as_chunks::<7>().0.iter().map(of).collect()
}
