//! The columns that are wanted of the input, whatever its files and their format, as one stream of batches.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::beside::Beside;
use super::cut::Cut;
use super::files::Files;
use super::input::{self, Batch, Declared, Fault, Field, Guess, Kind, Reader, Request, Source, cell, error_at};
use super::names;
use super::options::Format;
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};

/// Rows between two reports.
const REPORT_ROWS: u64 = 65_536;
/// Cells that are not missing that settle what a column holds.
const DECIDING_CELLS: u64 = input::DECIDING_CELLS;

/// What a column is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Target,
    Weight,
    Offset,
    /// Folds, or clusters.
    Group,
    Feature,
    Kept,
}

/// A column to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// What it holds; as the file says, or its first cells, where that is none.
    pub(super) kind: Option<Kind>,
    pub(super) purpose: Use,
    /// The option or model part that asks for it.
    pub(super) asker: &'static str,
    /// How its numbers become labels.
    pub(super) cut: Option<Cut>,
    /// The file that it fills, where it is no column of the data's files.
    pub(super) file: Option<PathBuf>,
}

impl Wanted {
    pub(super) fn new(name: &str, kind: Option<Kind>, purpose: Use, asker: &'static str) -> Self {
        Wanted { name: name.to_string(), kind, purpose, asker, cut: None, file: None }
    }
}

/// What opening an input met.
pub(super) struct Opened {
    pub(super) files: Files,
    reader: Box<dyn Reader>,
    pub(super) notes: Vec<String>,
}

impl Opened {
    /// Opens the first of `files`.
    pub(super) fn new(files: &Files) -> Result<Self> {
        files.sources.iter().for_each(Source::rewind);
        let reader = files.open(0)?;
        Ok(Opened { files: files.clone(), reader, notes: Vec::new() })
    }

    /// The columns of the first file.
    pub(super) fn fields(&self) -> &[Field] {
        self.reader.fields()
    }

    /// Names of the columns of the first file.
    pub(super) fn names(&self) -> Vec<String> {
        self.fields().iter().map(|field| field.name.clone()).collect()
    }

    /// Whether the header looks like a row of numbers.
    pub(super) fn has_numeric_header(&self) -> bool {
        self.reader.has_numeric_header()
    }

    /// Begins to read what is `wanted`; columns of no kind get the one that the file says, or their first cells, but text for
    /// those named in `text`. For a training every file must have the same columns, in any order.
    pub(super) fn start(
        mut self,
        wanted: Vec<Wanted>,
        text: &HashMap<String, String>,
        training: bool,
    ) -> Result<Reading> {
        let first_names = self.names();
        let positions = positions(&first_names);
        let mut columns = Vec::new();
        let mut guessed = Vec::new();
        let beside = Beside::open(&self.files, wanted.iter())?;
        for wanted in wanted {
            let field = match wanted.file {
                None => position(&positions, &first_names, &wanted, self.files.first())?,
                Some(_) => 0,
            };
            let kind = match (wanted.kind, self.fields()[field].declared) {
                (Some(kind), _) => kind,
                (None, Declared::Number) => Kind::Number,
                (None, Declared::Date) => Kind::Date,
                (None, Declared::Text) => Kind::Text,
                (None, Declared::Unknown) if text.contains_key(&wanted.name) => Kind::Text,
                (None, Declared::Unknown) => {
                    guessed.push((columns.len(), field));
                    Kind::GuessedNumber
                }
            };
            columns.push(Column { wanted, kind, guessed: false, present: 0 });
        }
        let fields: Vec<usize> = guessed.iter().map(|(_, field)| *field).collect();
        let guesses = if fields.is_empty() { Vec::new() } else { self.guesses(&fields)? };
        for ((column, _), guess) in guessed.iter().zip(guesses) {
            let column = &mut columns[*column];
            (column.kind, column.guessed) = (guess.kind(), true);
            if let (Kind::Text, Some((line, cell))) = (column.kind, &guess.first_text) {
                self.notes.push(text_among(guess.others(), &column.wanted.name, *line, cell));
            }
        }
        self.notes.extend(text.values().cloned());
        let (file, reader) = match self.files.here.start {
            0 => (0, self.reader),
            first => (first, self.files.open(first)?),
        };
        let mut reading = Reading {
            files: self.files,
            reader,
            file,
            columns,
            rows_before: beside.rows_before,
            beside,
            first_names,
            training,
            rows: 0,
            notes: self.notes,
            reported: 0,
        };
        reading.request()?;
        Ok(reading)
    }

    /// What the columns seem to hold; of several ranks the first that has cells of a column says it.
    fn guesses(&mut self, fields: &[usize]) -> Result<Vec<Guess>> {
        let here = match self.files.here.start {
            0 => self.reader.guess(fields),
            first => self.files.open(first).and_then(|mut reader| reader.guess(fields)),
        };
        let Some(team) = &self.files.team else { return here };
        let mut all = team.exchange(&team.agree(here)?)?;
        let first = |column: usize| all.iter().position(|rank| rank[column].is_of_cells()).unwrap_or(0);
        let chosen: Vec<usize> = (0..fields.len()).map(first).collect();
        Ok(chosen.into_iter().enumerate().map(|(column, rank)| std::mem::take(&mut all[rank][column])).collect())
    }
}

fn positions(names: &[String]) -> HashMap<&str, usize> {
    names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect()
}

fn position(positions: &HashMap<&str, usize>, names: &[String], wanted: &Wanted, path: &Path) -> Result<usize> {
    match positions.get(wanted.name.as_str()) {
        Some(&field) => Ok(field),
        None => names::find(names, &wanted.name, wanted.asker, path),
    }
}

fn text_among(others: &str, column: &str, line: u64, cell: &str) -> String {
    format!(
        "column {column} is categorical, because line {line} holds {cell} among {others}; mend the cell if it should be one"
    )
}

/// A column that is read.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) wanted: Wanted,
    pub(super) kind: Kind,
    /// Whether its first cells said the kind.
    guessed: bool,
    /// Cells that were not missing in the batches before.
    present: u64,
}

/// Reading under way.
pub(super) struct Reading {
    pub(super) files: Files,
    reader: Box<dyn Reader>,
    file: usize,
    /// The columns that are read, those of files beside the data's last.
    pub(super) columns: Vec<Column>,
    beside: Beside,
    first_names: Vec<String>,
    training: bool,
    /// Rows read, and those of the files before.
    pub(super) rows: u64,
    rows_before: u64,
    /// What the user should be told.
    pub(super) notes: Vec<String>,
    /// Those that were reported.
    reported: u64,
}

/// Why a batch cannot be used.
pub(super) enum Stop {
    Error(Error),
    /// A column that seemed to hold numbers or dates holds text: its name, and what to tell of it.
    IsText(String, String),
    /// Files, by their numbers, that have quotes and so cannot be read in parts.
    Quoted(BTreeSet<usize>),
}

/// What ended the taking in of rows, before it is known what it means.
pub(super) enum Halt {
    Error(Error),
    /// What is wrong with a row of the file of this number.
    Fault(usize, Fault),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Error(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

impl Reading {
    /// Tells the reader of the file what is wanted of it.
    fn request(&mut self) -> Result<()> {
        let path = self.files.path(self.file);
        self.notes.extend(self.reader.notes());
        if self.file == 0 && self.reader.has_numeric_header() {
            self.notes.push(format!(
                "{}: the first line was read as column names although it holds numbers only; if it is a row, use \
                 --no-header",
                path.display()
            ));
        }
        let names: Vec<String> = self.reader.fields().iter().map(|field| field.name.clone()).collect();
        if self.training && self.file > 0 {
            compare_headers(&self.first_names, &names, self.files.first(), path)?;
        }
        let positions = positions(&names);
        let request = |column: &Column| {
            Ok(Request { field: position(&positions, &names, &column.wanted, path)?, kind: column.kind })
        };
        let of_files = self.columns.iter().filter(|column| column.wanted.file.is_none());
        let requests = of_files.map(request).collect::<Result<_>>()?;
        self.reader.start(requests);
        Ok(())
    }

    /// The next batches of the file whose number comes with them; none at the end.
    pub(super) fn next(&mut self, monitor: &dyn Monitor) -> Result<Option<(usize, Vec<Batch>)>> {
        loop {
            if let Some(mut batches) = self.reader.next()? {
                for batch in &mut batches {
                    self.beside.append(batch)?;
                    for (cells, column) in batch.columns.iter_mut().zip(&self.columns) {
                        if let Some(cut) = &column.wanted.cut {
                            cut.apply(&column.wanted.name, cells);
                        }
                    }
                }
                self.rows += batches.iter().map(|batch| batch.rows as u64).sum::<u64>();
                if self.rows >= self.reported + REPORT_ROWS {
                    self.report(monitor);
                }
                return Ok(Some((self.file, batches)));
            }
            if self.rows > self.reported {
                self.report(monitor);
            }
            if self.file + 1 >= self.files.here.end {
                self.files.sources[self.files.here.clone()].iter().try_for_each(Source::check_unchanged)?;
                self.beside.check_unchanged()?;
                return Ok(None);
            }
            self.file += 1;
            self.rows_before = self.beside.first_row + self.rows;
            self.reader = self.files.open(self.file)?;
            self.request()?;
        }
    }

    fn report(&mut self, monitor: &dyn Monitor) {
        self.reported = self.rows;
        let (mut bytes, mut total_bytes) = (0, 0);
        for source in &self.files.sources[self.files.here.clone()] {
            bytes += source.bytes_read();
            total_bytes += std::fs::metadata(&source.path).map_or(0, |m| m.len());
        }
        let file = self.files.path(self.file);
        monitor.event(Event::Reading { file, rows: self.rows, bytes, total_bytes });
    }

    /// An error about a cell of column `column` in a row of a batch of the file `file`.
    pub(super) fn error(
        &self,
        file: usize,
        batch: &Batch,
        row: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Error {
        let (wanted, line) = (&self.columns[column].wanted, batch.lines.of(row));
        match &wanted.file {
            None => error_at(self.files.path(file), Some(self.line(file, line)), Some(&wanted.name), message),
            Some(path) => error_at(path, Some(self.rows_before + line), Some(&wanted.name), message),
        }
    }

    /// An error about the whole of the data.
    pub(super) fn whole(&self, message: impl Into<String>) -> Error {
        Error::data(self.files.first(), message)
    }

    /// Counts the cells of a batch that are not missing.
    pub(super) fn count_present(&mut self, column: usize, present: u64) {
        self.columns[column].present += present;
    }

    /// What ends the reading, as [`Reading::stop`].
    pub(super) fn settled(&self, halt: Halt, before: &[u64]) -> Stop {
        match halt {
            Halt::Error(error) => Stop::Error(error),
            Halt::Fault(file, fault) => self.stop(file, fault, before),
        }
    }

    /// Cells of each column that were not missing.
    pub(super) fn present(&self) -> Vec<u64> {
        self.columns.iter().map(|column| column.present).collect()
    }

    /// A line of the file `file`, the part of which that is read here counts it from 1 on.
    fn line(&self, file: usize, line: u64) -> u64 {
        match self.files.format {
            Format::Csv | Format::Tsv | Format::Svmlight => line + self.files.sources[file].lines_before(),
            Format::Parquet | Format::Arrow | Format::Npy => line,
        }
    }

    /// What a fault behind the rows that were counted means, where `before` says how many cells of each column other ranks have
    /// counted before these.
    pub(super) fn stop(&self, file: usize, fault: Fault, before: &[u64]) -> Stop {
        let path = self.files.path(file);
        let (column, present, line, text) = match fault {
            Fault::Row { line, message } => {
                return Stop::Error(error_at(path, line.map(|line| self.line(file, line)), None, message));
            }
            Fault::Cell { column, line, text } => {
                let earlier = before.get(column).copied().unwrap_or(0);
                (&self.columns[column], self.columns[column].present + earlier, self.line(file, line), text)
            }
        };
        let name = &column.wanted.name;
        let shown = cell::shown(&text);
        let is_number = cell::number(&text).is_some();
        let undecided = column.guessed && present < DECIDING_CELLS && !is_number;
        if undecided && !self.files.are_streams() {
            let others = if column.kind == Kind::Date { "dates" } else { "numbers" };
            let note = if present > 0 { text_among(others, name, line, &shown) } else { String::new() };
            return Stop::IsText(name.clone(), note);
        }
        let infinite = format!("{shown} is infinite or too large for a number");
        let message = match column.kind {
            Kind::Weight if is_number => not_a_weight(&shown),
            Kind::Weight => format!("{shown} is not a number; a weight must be a finite number ≥ 0"),
            Kind::Offset if !is_number => format!("{shown} is not a number; an offset must be a finite number"),
            Kind::GuessedNumber if is_number => {
                format!(
                    "the value is infinite or too large for a number ({shown}); mend it, or leave the column out with --drop {name}"
                )
            }
            Kind::GuessedNumber => format!(
                "{shown} is not a number, although the column's first {} are; mend it, or take the column as labels with \
                 --categorical {name}",
                first_cells(present)
            ),
            Kind::Date if column.guessed => format!(
                "{shown} is not a date, although the column's first {} are; mend it, or take the column as labels with \
                 --categorical {name}",
                first_cells(present)
            ),
            Kind::Date => format!(
                "{shown} is not a date (2013-01-31, 2013-01-31T10:00:00Z), and the model takes this column for dates"
            ),
            _ if is_number => infinite,
            _ if self.training => {
                format!("{shown} is not a number; mend it, or leave the column out with --drop {name}")
            }
            _ => format!("{shown} is not a number, and the model takes this column for numbers"),
        };
        Stop::Error(error_at(path, Some(line), Some(name), message))
    }
}

fn first_cells(present: u64) -> String {
    format!("{} values", present.min(DECIDING_CELLS))
}

/// What to say of a number that cannot be a weight.
pub(super) fn not_a_weight(shown: impl std::fmt::Display) -> String {
    format!("{shown} cannot be a weight; a weight must be a finite number ≥ 0")
}

/// Holds the columns of a further file against those of the first.
fn compare_headers(first: &[String], other: &[String], first_path: &Path, path: &Path) -> Result<()> {
    let lacking = |a: &[String], b: &[String]| {
        let there: HashSet<&String> = b.iter().collect();
        a.iter().filter(|name| !there.contains(name)).cloned().collect::<Vec<_>>()
    };
    let (missing, extra) = (lacking(first, other), lacking(other, first));
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let mut differences = Vec::new();
    if !missing.is_empty() {
        differences.push(format!("lacks {}", names::listed(&missing)));
    }
    if !extra.is_empty() {
        differences.push(format!("has {} besides", names::listed(&extra)));
    }
    let message =
        format!("its columns differ from those of {}: it {}", first_path.display(), differences.join(" and "));
    Err(Error::data(path, message))
}
