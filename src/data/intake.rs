//! Rows taken in, batch by batch: which stay, which are held out, and what they teach.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::agree;
use super::cache::Cache;
use super::frames::Chosen;
use super::input::{Batch, Cells, Kind, MISSING, Text};
use super::options::{DataOptions, Missing};
use super::pack::SMALL_DATA;
use super::part::{Dictionary, Labels, MANY_LABELS, Part, label_code};
use super::split::is_held_out;
use super::table::{Halt, Reading, Stop, Use};
use crate::error::{Error, Result};
use crate::monitor::Monitor;

/// A feature column: the `n`-th of numbers, or the `n`-th of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    Number(usize),
    Text(usize),
}

/// All that was taken in.
#[derive(Debug)]
pub(super) struct Intake {
    /// Names of the feature columns, where each is, and whether it holds dates.
    pub(super) features: Vec<(String, Place, bool)>,
    pub(super) labels: Vec<Labels>,
    pub(super) target: Dictionary,
    pub(super) train: Part,
    pub(super) holdout: Option<Part>,
    /// Running sum and number, in rows that teach, of each number column.
    pub(super) sums: Vec<(f64, u64)>,
    /// Rows read, and those left out for a missing value.
    pub(super) rows: u64,
    pub(super) dropped: u64,
    /// Missing cells of each feature that stay, to be filled.
    pub(super) gaps: Vec<u64>,
    /// Each column (as asked for) and how many of its cells were missing.
    pub(super) missing: Vec<(String, u64)>,
}

/// What is done with rows.
struct Policy<'a> {
    options: &'a DataOptions,
    /// Columns of the target, of weights, of offsets and of groups among those asked for.
    target: Option<usize>,
    weight: Option<usize>,
    offset: Option<usize>,
    group: Option<usize>,
    /// Those of the features.
    features: Vec<usize>,
}

impl Intake {
    /// Takes in all rows of `reading`; those that memory does not hold go to the cache, and then all do.
    ///
    /// # Errors
    /// [`Stop::IsText`] when a column was taken for numbers and is not; errors about a row; [`Error::Usage`] when a column
    /// has too many levels.
    pub(super) fn read(
        reading: &mut Reading,
        options: &DataOptions,
        cache: &mut Cache,
        monitor: &dyn Monitor,
    ) -> Result<Intake, Stop> {
        let of = |purpose: Use| reading.columns.iter().position(|column| column.wanted.purpose == purpose);
        let policy = Policy {
            options,
            target: of(Use::Target),
            weight: of(Use::Weight),
            offset: of(Use::Offset),
            group: of(Use::Group),
            features: (0..reading.columns.len())
                .filter(|&c| reading.columns[c].wanted.purpose == Use::Feature)
                .collect(),
        };
        let (mut features, mut numbers, mut texts) = (Vec::new(), 0, 0);
        for &c in &policy.features {
            let column = &reading.columns[c];
            let place = if column.kind == Kind::Text {
                texts += 1;
                Place::Text(texts - 1)
            } else {
                numbers += 1;
                Place::Number(numbers - 1)
            };
            features.push((column.wanted.name.clone(), place, column.kind == Kind::Date));
        }
        // The groups go with the text of features.
        texts += usize::from(policy.group.is_some());
        let beside = [policy.weight.is_some(), policy.offset.is_some()];
        let part = || Part::new(numbers, texts, beside, options.pack);
        let mut intake = Intake {
            gaps: vec![0; features.len()],
            features,
            labels: (0..texts).map(|_| Labels::default()).collect(),
            target: Dictionary::default(),
            train: part()?,
            holdout: if options.holdout.is_some() { Some(part()?) } else { None },
            sums: vec![(0.0, 0); numbers],
            rows: 0,
            dropped: 0,
            missing: reading.columns.iter().map(|column| (column.wanted.name.clone(), 0)).collect(),
        };
        let taken = intake.take_all(reading, &policy, cache, monitor);
        match reading.files.team.clone() {
            None => taken.map_err(|halt| reading.settled(halt, &[]))?,
            Some(team) => {
                agree::settle(&team, reading, taken)?;
                agree::merge(&mut intake, &team, options)?;
            }
        }
        if intake.rows == 0 {
            return Err(reading.whole("there is a header but no row").into());
        }
        for &c in &policy.features {
            let (name, missing) = &intake.missing[c];
            if *missing == intake.rows {
                let message = format!("all values are missing; leave the column out with --drop {name}");
                return Err(super::input::error_at(reading.files.first(), None, Some(name), message).into());
            }
        }
        if intake.parts().all(|part| part.classes.rows.is_empty()) {
            let worst = intake.missing.iter().max_by_key(|(_, count)| *count);
            let hint = worst.map_or(String::new(), |(name, count)| {
                format!("; column {name} lacks {count} of {} values (--drop {name})", intake.rows)
            });
            return Err(reading.whole(format!("every row has a missing value, so none is left{hint}")).into());
        }
        intake.spill(options, cache, true)?;
        Ok(intake)
    }

    /// Both parts of the rows.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        [Some(&self.train), self.holdout.as_ref()].into_iter().flatten()
    }

    /// Both parts of the rows.
    pub(super) fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        [Some(&mut self.train), self.holdout.as_mut()].into_iter().flatten()
    }

    /// Cells that a fill stands for, once the codes of text are those of levels.
    ///
    /// # Errors
    /// As [`Part::each_level`].
    pub(super) fn filled_cells(&self) -> Result<u64> {
        let mut cells = 0;
        for ((_, place, _), gaps) in self.features.iter().zip(&self.gaps) {
            match place {
                Place::Number(_) => cells += gaps,
                Place::Text(n) => {
                    let mut count = |levels: &[u32]| {
                        cells += levels.iter().filter(|level| **level == MISSING).count() as u64;
                    };
                    self.parts().try_for_each(|part| part.each_level(*n, &mut count))?;
                }
            }
        }
        Ok(cells)
    }

    /// Whether the rows take more than half of what memory there may be, as they were taken in or with all their features.
    pub(super) fn exceeds_memory(&self, options: &DataOptions) -> bool {
        let rows: usize = self.parts().map(|part| part.rows).sum();
        let exact = rows.saturating_mul(self.sums.len()) <= SMALL_DATA;
        let numbers = self.sums.len() * if exact { size_of::<f64>() } else { size_of::<f32>() };
        let beside = self.train.beside.iter().filter(|there| **there).count() * size_of::<f64>() + 1;
        let features = self.features_at_most(options) * size_of::<f32>();
        let a_row = numbers.max(features) + self.labels.len() * size_of::<u32>() + beside;
        rows.saturating_mul(a_row) as u64 > options.memory() / 2
    }

    /// Features that the columns make, or a few more.
    fn features_at_most(&self, options: &DataOptions) -> usize {
        let features = |(_, place, _): &(String, Place, bool)| match (place, options.hash_bits) {
            (Place::Number(_), _) => 1,
            (Place::Text(n), bits) => {
                let levels = self.levels(*n);
                bits.filter(|_| levels > options.max_levels).map_or(levels, |bits| 1 << bits)
            }
        };
        self.features.iter().map(features).sum()
    }

    /// Levels that text column `n` has in rows that teach.
    fn levels(&self, n: usize) -> usize {
        self.labels[n].counts.iter().filter(|count| **count > 0).count()
    }

    /// Moves rows to the cache where they take more than half of what memory there may be; all of them at the `end`, where some
    /// are there or all their features would take more.
    fn spill(&mut self, options: &DataOptions, cache: &mut Cache, end: bool) -> Result<()> {
        let due = if end {
            self.parts().any(|part| part.spilled.is_some()) || self.exceeds_memory(options)
        } else {
            self.parts().map(Part::bytes).sum::<u64>() > options.memory() / 2
        };
        if due {
            let file = cache.file()?;
            self.parts_mut().try_for_each(|part| part.spill(&file, end))?;
        }
        Ok(())
    }

    /// Takes in all that `reading` has.
    fn take_all(
        &mut self,
        reading: &mut Reading,
        policy: &Policy<'_>,
        cache: &mut Cache,
        monitor: &dyn Monitor,
    ) -> Result<(), Halt> {
        while let Some((file, batches)) = reading.next(monitor)? {
            for batch in batches {
                self.take(reading, policy, file, batch)?;
            }
            self.spill(policy.options, cache, false)?;
        }
        Ok(())
    }

    fn take(&mut self, reading: &mut Reading, policy: &Policy<'_>, file: usize, mut batch: Batch) -> Result<(), Halt> {
        let (rows, first) = (batch.rows, self.rows as usize);
        let gaps = self.gaps_of(reading, policy, file, &batch)?;
        let target = self.target_codes(policy, &mut batch);
        self.recode(policy, &mut batch);
        let columns = &batch.columns;
        let weight = policy.weight.and_then(|c| columns[c].numbers());
        let split = Split::new(policy, rows, first, &gaps);
        self.dropped += split.dropped;
        self.learn(policy, columns, weight, split.chosen(0))?;
        for (f, &c) in policy.features.iter().enumerate() {
            let rows = gaps.iter().filter(|(column, _)| *column == c).flat_map(|(_, rows)| rows);
            self.gaps[f] += rows.filter(|row| split.stays(**row as usize)).count() as u64;
        }
        let numbers: Vec<&[f64]> = policy.features.iter().filter_map(|&c| columns[c].numbers()).collect();
        let offset = policy.offset.and_then(|c| columns[c].numbers());
        for (k, part) in [Some(&mut self.train), self.holdout.as_mut()].into_iter().enumerate() {
            let (Some(part), chosen) = (part, split.chosen(k)) else { continue };
            part.numbers.append(&numbers, chosen)?;
            for (n, text) in texts_of(policy, columns).enumerate() {
                part.codes[n].extend(chosen.iter().map(|row| text.codes[row]));
            }
            part.weight.extend(weight.iter().flat_map(|weight| chosen.iter().map(|row| weight[row])));
            part.offset.extend(offset.iter().flat_map(|offset| chosen.iter().map(|row| offset[row])));
            for row in chosen.iter() {
                part.target.push(target[row]);
                part.classes.count(target[row], weight.map_or(1.0, |weight| weight[row]));
            }
            part.rows += chosen.len();
        }
        self.rows += rows as u64;
        match batch.fault {
            Some(fault) => Err(Halt::Fault(file, fault)),
            None => Ok(()),
        }
    }

    /// Makes the codes of a batch's text those of all rows.
    fn recode(&mut self, policy: &Policy<'_>, batch: &mut Batch) {
        let texts: Vec<usize> = policy.texts(&batch.columns).collect();
        for (labels, c) in self.labels.iter_mut().zip(texts) {
            if let Cells::Text(text) = &mut batch.columns[c] {
                let map = labels.dictionary.codes(std::mem::take(&mut text.values));
                labels.counts.resize(labels.dictionary.values.len(), 0);
                text.codes.iter_mut().for_each(|code| *code = map.get(*code as usize).copied().unwrap_or(MISSING));
            }
        }
    }

    /// Counts the levels and adds up the numbers of those of the `chosen` rows that weigh something.
    fn learn(
        &mut self,
        policy: &Policy<'_>,
        columns: &[Cells],
        weight: Option<&[f64]>,
        chosen: Chosen<'_>,
    ) -> Result<()> {
        let teaches = |row: &usize| weight.is_none_or(|weight| weight[*row] > 0.0);
        self.labels.par_iter_mut().zip(texts_of(policy, columns).collect::<Vec<_>>()).for_each(|(labels, text)| {
            for code in chosen.iter().filter(teaches).map(|row| text.codes[row]).filter(|code| *code != MISSING) {
                labels.counts[code as usize] += 1;
            }
        });
        if policy.options.missing == Missing::Mean {
            let numbers = policy.features.par_iter().filter_map(|&c| columns[c].numbers()).collect::<Vec<_>>();
            // Row by row, so that it is the same however the rows come.
            self.sums.par_iter_mut().zip(numbers).for_each(|((sum, count), values)| {
                for value in chosen.iter().filter(teaches).map(|row| values[row]).filter(|value| !value.is_nan()) {
                    *sum += value;
                    *count += 1;
                }
            });
        }
        self.check_levels(policy.options)
    }

    /// The rows of a batch with missing cells, by column asked for; an error where that is one.
    fn gaps_of(
        &mut self,
        reading: &mut Reading,
        policy: &Policy<'_>,
        file: usize,
        batch: &Batch,
    ) -> Result<Vec<(usize, Vec<u32>)>> {
        let missing_rows = |cells: &Cells| -> Vec<u32> {
            let rows = 0..batch.rows as u32;
            match cells {
                Cells::Number(values) if values.iter().any(|x| x.is_nan()) => {
                    rows.filter(|row| values[*row as usize].is_nan()).collect()
                }
                Cells::Text(text) if text.codes.contains(&MISSING) => {
                    rows.filter(|row| text.codes[*row as usize] == MISSING).collect()
                }
                _ => Vec::new(),
            }
        };
        let mut gaps: Vec<(usize, Vec<u32>)> =
            batch.columns.iter().enumerate().map(|(c, cells)| (c, missing_rows(cells))).collect();
        for (c, rows) in &gaps {
            reading.count_present(*c, (batch.rows - rows.len()) as u64);
            self.missing[*c].1 += rows.len() as u64;
        }
        gaps.retain(|(_, rows)| !rows.is_empty());
        if policy.options.missing == Missing::Error
            && let Some((c, rows)) = gaps.iter().min_by_key(|(c, rows)| (rows[0], *c))
        {
            let is_feature = reading.columns[*c].wanted.purpose == Use::Feature;
            return Err(reading.error(file, batch, rows[0] as usize, *c, missing_message(is_feature)));
        }
        Ok(gaps)
    }

    /// The codes of the labels of a batch, those of rows that are left out being of no meaning.
    fn target_codes(&mut self, policy: &Policy<'_>, batch: &mut Batch) -> Vec<u8> {
        match policy.target.map(|c| &mut batch.columns[c]) {
            Some(Cells::Text(text)) => {
                let map = self.target.codes(std::mem::take(&mut text.values));
                text.codes
                    .iter()
                    .map(|code| map.get(*code as usize).map_or(MANY_LABELS, |code| label_code(*code)))
                    .collect()
            }
            _ => vec![0; batch.rows],
        }
    }

    /// The group of each row to fit, given the numbers that stand for the labels of groups: the last text column, recoded.
    ///
    /// # Errors
    /// What reading rows that are not in memory fails with.
    pub(super) fn groups(&mut self, numbers: &[u32]) -> Result<Vec<u32>> {
        let column = self.labels.len() - 1;
        self.parts_mut().for_each(|part| part.recode(column, numbers));
        let mut of_row = Vec::with_capacity(self.train.rows);
        self.train.each_level(column, &mut |groups| of_row.extend_from_slice(groups))?;
        Ok(of_row)
    }

    /// Refuses columns of more levels than there may be, as soon as that is known.
    pub(super) fn check_levels(&self, options: &DataOptions) -> Result<()> {
        if options.hash_bits.is_some() {
            return Ok(());
        }
        for (name, place, _) in &self.features {
            let Place::Text(n) = place else { continue };
            if self.levels(*n) > options.max_levels {
                return Err(Error::Usage(format!(
                    "column {name} has more than {} levels: leave it out with --drop {name}, allow more with --max-levels N, \
                     or hash its levels into fewer features with --hash-bits {}",
                    options.max_levels,
                    options.max_levels.max(2).ilog2().min(10)
                )));
            }
        }
        Ok(())
    }
}

impl Policy<'_> {
    /// The columns of text that stay: those of features in order, then the groups.
    fn texts(&self, columns: &[Cells]) -> impl Iterator<Item = usize> {
        self.features.iter().chain(&self.group).copied().filter(|c| matches!(columns[*c], Cells::Text(_)))
    }

    /// Whether a row that lacks a value of `column` does not stay.
    fn leaves_out(&self, column: usize) -> bool {
        self.options.missing == Missing::Drop || !self.features.contains(&column)
    }
}

/// Which rows of a batch stay, and with which part.
struct Split {
    rows: usize,
    /// Whether each row is left out, if any is.
    out: Option<Vec<bool>>,
    /// The rows of each part, where the first does not have all.
    lists: Option<[Vec<u32>; 2]>,
    dropped: u64,
}

impl Split {
    fn new(policy: &Policy<'_>, rows: usize, first: usize, gaps: &[(usize, Vec<u32>)]) -> Self {
        let mut out: Option<Vec<bool>> = None;
        for (_, missing) in gaps.iter().filter(|(column, _)| policy.leaves_out(*column)) {
            let out = out.get_or_insert_with(|| vec![false; rows]);
            missing.iter().for_each(|row| out[*row as usize] = true);
        }
        let dropped = out.iter().flatten().filter(|out| **out).count() as u64;
        let mut split = Split { rows, out, lists: None, dropped };
        if let Some(fraction) = policy.options.holdout {
            let held = |row: &u32| is_held_out(policy.options.seed, (first + *row as usize) as u64, fraction);
            let (held, kept) = (0..rows as u32).filter(|row| split.stays(*row as usize)).partition(held);
            split.lists = Some([kept, held]);
        } else if split.out.is_some() {
            split.lists = Some([(0..rows as u32).filter(|row| split.stays(*row as usize)).collect(), Vec::new()]);
        }
        split
    }

    fn stays(&self, row: usize) -> bool {
        self.out.as_ref().is_none_or(|out| !out[row])
    }

    /// The rows of part `part`: those to fit, or those held out.
    fn chosen(&self, part: usize) -> Chosen<'_> {
        self.lists.as_ref().map_or(Chosen::All(self.rows), |lists| Chosen::Listed(&lists[part]))
    }
}

/// The text columns that stay, in order.
fn texts_of<'a>(policy: &Policy<'_>, columns: &'a [Cells]) -> impl Iterator<Item = &'a Text> {
    let text = |c: usize| if let Cells::Text(text) = &columns[c] { Some(text) } else { None };
    policy.texts(columns).filter_map(text).collect::<Vec<_>>().into_iter()
}

/// What to say of a missing value, of a feature or of what every row must have.
pub(super) fn missing_message(feature: bool) -> String {
    let remedy = if feature {
        "--missing drop leaves such rows out and --missing mean fills in the column's mean"
    } else {
        "--missing drop leaves such rows out"
    };
    format!("the value is missing; {remedy}")
}
