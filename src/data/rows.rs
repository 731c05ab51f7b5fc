//! Rows for a fitted model: files become the same features as in training, some rows at a time.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Dataset;
use super::classes::Classes;
use super::design::{Design, InputColumn, hash_group};
use super::files::Files;
use super::frames::Chosen;
use super::input::{Batch, Cells, MISSING, Text, cell};
use super::intake::Place;
use super::learn::LevelIndex;
use super::load::{ReadSummary, check_format};
use super::matrix;
use super::options::{Format, Missing, ReadOptions};
use super::pack::{PackOptions, Purpose};
use super::part::{Dictionary, Part};
use super::roles::{wanted_by_name, wanted_of_arrays};
use super::size;
use super::split::is_held_out;
use super::table::{Opened, Reading, Stop, Use};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::ranks::Team;

/// Values of X that are held at a time.
const CHUNK_VALUES: usize = 8 << 20;

/// Rows of a fitted model's features.
#[derive(Debug)]
pub struct Rows {
    /// The rows, in input order. Without targets t is 0 everywhere.
    pub data: Dataset,
    /// Rows of `data` that cannot be predicted or judged: a value is missing, or a level that training did not have
    /// stands there, and the model keeps no fill for it (or target or weight are missing), or the options do not want
    /// them. Their features hold zeros.
    pub missing_rows: Vec<usize>,
    /// The columns carried through, as text.
    pub kept: Vec<(String, Vec<String>)>,
    /// The group of each row, where a column says it.
    pub groups: Option<Vec<String>>,
}

/// Reads all rows for a model of this design. Columns are matched by name; those of no use are ignored.
///
/// # Errors
/// As [`RowStream::open`] and [`RowStream::next`].
pub fn load_rows(
    paths: &[PathBuf],
    design: &Design,
    options: &ReadOptions,
    monitor: &dyn Monitor,
) -> Result<(Rows, ReadSummary)> {
    let mut stream = RowStream::open(paths, design, options)?;
    match stream.next_rows(usize::MAX, monitor)? {
        Some(rows) => Ok((rows, stream.finish())),
        None => Err(stream.no_row()),
    }
}

/// Rows for a model of a design, read some at a time.
pub struct RowStream<'a> {
    design: &'a Design,
    options: &'a ReadOptions,
    reading: Reading,
    /// How the columns of text are coded, in the order of the design.
    levels: Vec<Levels<'a>>,
    /// The class of each label met.
    labels: Dictionary,
    classes: Vec<usize>,
    summary: ReadSummary,
}

/// A text column of the design and the values met in it.
struct Levels<'a> {
    column: &'a InputColumn,
    index: Option<LevelIndex<'a>>,
    met: Dictionary,
    /// The level of each value met, and how often those stand that are none.
    codes: Vec<u32>,
    unseen: Vec<u64>,
}

impl<'a> RowStream<'a> {
    /// Opens files whose rows are to become the features of `design`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] about the files, [`Error::Usage`] about columns that lack, options that do not
    /// fit or a design that does not hold together.
    pub fn open(paths: &[PathBuf], design: &'a Design, options: &'a ReadOptions) -> Result<Self> {
        RowStream::open_share(paths, design, options, None, &HashSet::new())
    }

    /// The same of this rank's share of the files, of which those of the numbers `undivided` are one rank's; every rank calls it.
    ///
    /// # Errors
    /// As [`RowStream::open`], and those of other ranks where they look at the files together.
    pub fn open_share(
        paths: &[PathBuf],
        design: &'a Design,
        options: &'a ReadOptions,
        team: Option<&Arc<Team>>,
        undivided: &HashSet<usize>,
    ) -> Result<Self> {
        design.validate().map_err(|message| Error::Usage(format!("the model's columns are unusable: {message}")))?;
        let no_header = options.no_header.unwrap_or(!design.header);
        let mut files = Files::new(paths, options.format, no_header, u64::MAX, team.cloned())?;
        if !undivided.is_empty() {
            files.divide(undivided)?;
        }
        let has_lines = matches!(files.format, Format::Csv | Format::Tsv);
        files.no_header &= has_lines;
        let asked_no_header = options.no_header == Some(true);
        check_format(files.format, asked_no_header, options.with_target, [&options.target_file, &options.weight_file])?;
        files.widen(design.columns.iter().map(InputColumn::name));
        let opened = Opened::new(&files)?;
        let mut notes = Vec::new();
        let wanted = if files.format == Format::Npy {
            wanted_of_arrays(&opened, design, options)?
        } else {
            wanted_by_name(&opened, design, options, &mut notes)?
        };
        let mut reading = opened.start(wanted, &HashMap::new(), false)?;
        notes.splice(0..0, std::mem::take(&mut reading.notes));
        let text = |column: &'a InputColumn| {
            let index = match column {
                InputColumn::Numeric { .. } => return None,
                InputColumn::Categorical { levels, .. } => Some(LevelIndex::new(levels)),
                InputColumn::Hashed { .. } => None,
            };
            Some(Levels { column, index, met: Dictionary::default(), codes: Vec::new(), unseen: Vec::new() })
        };
        Ok(RowStream {
            design,
            options,
            reading,
            levels: design.columns.iter().filter_map(text).collect(),
            labels: Dictionary::default(),
            classes: Vec::new(),
            summary: ReadSummary {
                notes,
                class_counts: vec![0; design.target.classes.len()],
                ..ReadSummary::default()
            },
        })
    }

    /// The next rows, as many as make some million values; none at the end.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] about the files, [`Error::Usage`] when memory does not suffice.
    pub fn next(&mut self, monitor: &dyn Monitor) -> Result<Option<Rows>> {
        let features: usize = self.design.columns.iter().map(InputColumn::features).sum();
        let some = CHUNK_VALUES / features.max(1);
        match self.next_rows(some.max(1), monitor)? {
            // The share of a rank may have none.
            None if self.reading.rows == 0 && self.reading.files.team.is_none() => Err(self.no_row()),
            rows => Ok(rows),
        }
    }

    /// The next `most` rows or a few more; none at the end.
    fn next_rows(&mut self, most: usize, monitor: &dyn Monitor) -> Result<Option<Rows>> {
        let (mut numbers, mut places) = (0, Vec::new());
        for column in &self.design.columns {
            places.push(match column {
                InputColumn::Numeric { .. } => {
                    numbers += 1;
                    Place::Number(numbers - 1)
                }
                _ => Place::Text(places.len() - numbers),
            });
        }
        let there = |purpose| self.reading.columns.iter().any(|column| column.wanted.purpose == purpose);
        let beside = [there(Use::Weight), there(Use::Offset)];
        let mut chunk = Chunk {
            part: Part::new(numbers, self.levels.len(), beside, self.options.pack)?,
            unusable: Vec::new(),
            kept: self.options.keep.iter().chain(&self.options.by).map(|name| (name.clone(), Vec::new())).collect(),
        };
        while chunk.part.rows < most {
            let Some((file, batches)) = self.reading.next(monitor)? else { break };
            for batch in batches {
                self.take(&mut chunk, &places, file, batch)?;
            }
        }
        let Chunk { mut part, unusable, mut kept } = chunk;
        let groups = self.options.by.as_ref().and_then(|_| kept.pop()).map(|(_, groups)| groups);
        if part.rows == 0 {
            return Ok(None);
        }
        size::check(self.design, part.rows, self.options.pack, size::available(), |_| {
            "give fewer rows at a time".to_string()
        })?;
        let packing = Instant::now();
        let classes = Arc::new(Classes::known(&self.design.target));
        let vectors = part.vectors(&classes, None);
        let pack = PackOptions { purpose: Purpose::Score, ..self.options.pack };
        let shares = vec![Vec::new(); self.levels.len()];
        let data = matrix::pack(self.design, &places, &shares, &mut part, vectors, pack)?;
        self.summary.pack_seconds += packing.elapsed().as_secs_f64();
        let missing_rows = unusable.iter().enumerate().filter(|(_, unusable)| **unusable).map(|(row, _)| row).collect();
        Ok(Some(Rows { data, missing_rows, kept, groups }))
    }

    fn no_row(&self) -> Error {
        self.reading.whole("there is a header but no row")
    }

    /// Files, by their numbers, of which only a part is read here although they have quotes, so that it may begin inside of a cell.
    pub fn quoted(&self) -> Vec<usize> {
        self.reading.files.quoted()
    }

    /// What reading met; the class counts are those of rows that can be judged.
    pub fn finish(self) -> ReadSummary {
        let met = self.met();
        self.told(met)
    }

    /// The same of the rows of all ranks of `team`, once each has read its share.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no row, and those of ranks that cannot be reached.
    pub fn finish_share(self, team: &Team) -> Result<ReadSummary> {
        let mut ranks = team.exchange(&self.met())?.into_iter();
        let mut all = ranks.next().unwrap_or_default();
        ranks.for_each(|rank| all.add(rank));
        if all.rows == 0 {
            return Err(self.no_row());
        }
        Ok(self.told(all))
    }

    fn met(&self) -> Met {
        Met {
            rows: self.reading.rows,
            filled_cells: self.summary.filled_cells,
            class_counts: self.summary.class_counts.clone(),
            unseen: self.levels.iter().map(Levels::unseen).collect(),
        }
    }

    fn told(mut self, met: Met) -> ReadSummary {
        let notes = self.levels.iter().zip(met.unseen).filter_map(|(levels, unseen)| levels.note(unseen));
        self.summary.notes.extend(notes);
        ReadSummary { rows: met.rows, filled_cells: met.filled_cells, class_counts: met.class_counts, ..self.summary }
    }

    fn take(&mut self, chunk: &mut Chunk, places: &[Place], file: usize, mut batch: Batch) -> Result<()> {
        let rows = batch.rows;
        let is_wanted = |row: usize| {
            let row = self.summary.rows + row as u64;
            self.options.held_out.is_none_or(|(fraction, seed)| is_held_out(seed, row, fraction))
        };
        let mut unusable: Vec<bool> = (0..rows).map(|row| !is_wanted(row)).collect();
        let purposes: Vec<Use> = self.reading.columns.iter().map(|column| column.wanted.purpose).collect();
        // What every labelled row must have.
        let strict = self.design.missing == Missing::Error;
        for (c, purpose) in purposes.iter().enumerate() {
            let missing = match &batch.columns[c] {
                Cells::Number(values) => values.iter().position(|x| x.is_nan()),
                Cells::Text(text) => text.codes.iter().position(|code| *code == MISSING),
                Cells::Kept(_) => None,
            };
            if let (Use::Target | Use::Weight, Some(row), true) = (purpose, missing, strict) {
                let message = "the value is missing; leave the row out or mend it";
                return Err(self.reading.error(file, &batch, row, c, message));
            }
        }
        let mut classes = self.classes_of(&batch, &purposes, file, &mut unusable)?;
        chunk.part.target.append(&mut classes);
        let column =
            |purpose: Use| purposes.iter().position(|p| *p == purpose).and_then(|c| batch.columns[c].numbers());
        let weight = column(Use::Weight).map(<[f64]>::to_vec);
        let offset = column(Use::Offset).map(<[f64]>::to_vec);
        for (values, into) in [(weight, &mut chunk.part.weight), (offset, &mut chunk.part.offset)] {
            for (value, unusable) in values.iter().flatten().zip(&mut unusable) {
                *unusable |= value.is_nan();
                into.push(if value.is_nan() { 0.0 } else { *value });
            }
        }
        let features: Vec<usize> = (0..purposes.len()).filter(|c| purposes[*c] == Use::Feature).collect();
        let mut is_missing = |missing: &dyn Fn(usize) -> bool, filled: &mut u64| {
            for (_, unusable) in unusable.iter_mut().enumerate().filter(|(row, _)| missing(*row)) {
                match self.design.missing {
                    Missing::Mean => *filled += 1,
                    Missing::Error | Missing::Drop => *unusable = true,
                }
            }
        };
        for (&c, place) in features.iter().zip(places) {
            match (place, &mut batch.columns[c]) {
                (Place::Text(n), Cells::Text(text)) => {
                    let codes = self.levels[*n].codes(text);
                    is_missing(&|row| codes[row] == MISSING, &mut self.summary.filled_cells);
                    chunk.part.codes[*n].extend(codes);
                }
                (_, Cells::Number(values)) if values.iter().any(|x| x.is_nan()) => {
                    is_missing(&|row| values[row].is_nan(), &mut self.summary.filled_cells);
                    // Rows that cannot be used hold zeros.
                    if self.design.missing != Missing::Mean {
                        values.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.0);
                    }
                }
                _ => {}
            }
        }
        let numbers: Vec<&[f64]> = features.iter().filter_map(|&c| batch.columns[c].numbers()).collect();
        chunk.part.numbers.append(&numbers, Chosen::All(rows))?;
        let kept = batch
            .columns
            .iter_mut()
            .filter_map(|cells| if let Cells::Kept(cells) = cells { Some(cells) } else { None });
        chunk.kept.iter_mut().zip(kept).for_each(|((_, all), cells)| all.append(cells));
        if self.options.with_target {
            let from = chunk.part.rows;
            for (class, _) in chunk.part.target[from..].iter().zip(&unusable).filter(|(_, unusable)| !**unusable) {
                self.summary.class_counts[usize::from(*class)] += 1;
            }
        }
        chunk.unusable.append(&mut unusable);
        chunk.part.rows += rows;
        self.summary.rows += rows as u64;
        match batch.fault.map(|fault| self.reading.stop(file, fault, &[])) {
            Some(Stop::Error(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The class of each row of a batch, 0 where there is no label; an unknown label is an error.
    fn classes_of(&mut self, batch: &Batch, purposes: &[Use], file: usize, unusable: &mut [bool]) -> Result<Vec<u8>> {
        let column = purposes.iter().position(|purpose| *purpose == Use::Target);
        let Some((c, Cells::Text(Text { codes, values }))) = column.map(|c| (c, &batch.columns[c])) else {
            return Ok(vec![0; batch.rows]);
        };
        let map = self.labels.codes(values.clone());
        for label in &self.labels.values[self.classes.len()..] {
            let Some(class) = self.design.target.class_of(label) else {
                let message = format!(
                    "the label {} is none of the model's classes, {}",
                    cell::shown(label.as_bytes()),
                    self.design.target.shown()
                );
                let row = codes.iter().position(|code| values.get(*code as usize) == Some(label));
                return Err(self.reading.error(file, batch, row.unwrap_or(0), c, message));
            };
            self.classes.push(class);
        }
        let class = |(code, unusable): (&u32, &mut bool)| {
            *unusable |= *code == MISSING;
            map.get(*code as usize).map_or(0, |code| self.classes[*code as usize] as u8)
        };
        Ok(codes.iter().zip(unusable).map(class).collect())
    }
}

/// What was counted of rows that were read.
#[derive(Default, Serialize, Deserialize)]
struct Met {
    rows: u64,
    filled_cells: u64,
    class_counts: Vec<u64>,
    /// Values of each text column that are no level, and how many cells hold them.
    unseen: Vec<Vec<(String, u64)>>,
}

impl Met {
    /// Adds what was counted of other rows.
    fn add(&mut self, other: Met) {
        self.rows += other.rows;
        self.filled_cells += other.filled_cells;
        self.class_counts.iter_mut().zip(other.class_counts).for_each(|(sum, count)| *sum += count);
        for (all, others) in self.unseen.iter_mut().zip(other.unseen) {
            let places: HashMap<String, usize> =
                all.iter().zip(0..).map(|((value, _), at)| (value.clone(), at)).collect();
            for (value, count) in others {
                match places.get(&value) {
                    Some(at) => all[*at].1 += count,
                    None => all.push((value, count)),
                }
            }
        }
    }
}

/// Rows while they are read.
struct Chunk {
    part: Part,
    unusable: Vec<bool>,
    kept: Vec<(String, Vec<String>)>,
}

impl Levels<'_> {
    /// The levels of a batch's cells.
    fn codes(&mut self, text: &mut Text) -> Vec<u32> {
        let map = self.met.codes(std::mem::take(&mut text.values));
        for value in &self.met.values[self.codes.len()..] {
            self.codes.push(match (&self.index, self.column) {
                (Some(index), _) => index.code(value),
                (None, InputColumn::Hashed { bits, .. }) => hash_group(value, *bits),
                (None, _) => MISSING,
            });
        }
        self.unseen.resize(self.codes.len(), 0);
        let level = |code: &u32| {
            let Some(&value) = map.get(*code as usize) else { return MISSING };
            let level = self.codes[value as usize];
            self.unseen[value as usize] += u64::from(level == MISSING);
            level
        };
        text.codes.iter().map(level).collect()
    }

    /// Values that are no level, and how many cells hold them.
    fn unseen(&self) -> Vec<(String, u64)> {
        self.met.values.iter().cloned().zip(self.unseen.iter().copied()).filter(|(_, cells)| *cells > 0).collect()
    }

    /// What to tell of values that are no level, the most frequent first.
    fn note(&self, mut unseen: Vec<(String, u64)>) -> Option<String> {
        unseen.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let cells: u64 = unseen.iter().map(|(_, count)| count).sum();
        let shown: Vec<String> = unseen
            .iter()
            .take(3)
            .map(|(level, count)| format!("{} ({count})", cell::shown(level.as_bytes())))
            .collect();
        let more = if unseen.len() > 3 { format!(" and {} more levels", unseen.len() - 3) } else { String::new() };
        (cells > 0).then(|| {
            format!(
                "column {}: {cells} {} of a level that training did not have: {}{more}",
                self.column.name(),
                if cells == 1 { "cell is" } else { "cells are" },
                shown.join(", ")
            )
        })
    }
}
