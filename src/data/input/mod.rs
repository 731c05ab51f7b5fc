//! Rows in: every format becomes batches of columns, read in order, in parallel, in bounded memory.

pub(super) mod cell;
mod cells;
mod columnar;
mod delimited;
mod files;
mod guess;
mod lines;
pub(super) mod npy;
mod pieces;
mod svmlight;
mod zip;

pub(super) use columnar::{is_decoding, parquet_groups};
pub(super) use files::{Source, expand, format_of};
pub(super) use guess::{DECIDING_CELLS, Guess};
pub(super) use svmlight::{Extent, MOST_COLUMNS, extent};

use std::path::Path;

use super::options::Format;
use crate::error::{Error, Place, Result};

/// The code of a missing cell.
pub(super) const MISSING: u32 = u32::MAX;

/// What a column holds, and so what to say of a cell that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers, because the first cells are.
    GuessedNumber,
    /// Numbers, because the format or the model says so.
    Number,
    /// Dates and times, as days since 1970-01-01.
    Date,
    /// Text, whatever it looks like.
    Text,
    /// Sample weights.
    Weight,
    /// Offsets.
    Offset,
    /// Text that is carried through as it stands.
    Kept,
}

/// A column to read.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Its position among the file's columns.
    pub(super) field: usize,
    pub(super) kind: Kind,
}

/// What a format says that a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    /// Nothing: its cells say.
    Unknown,
    Number,
    Date,
    Text,
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) declared: Declared,
}

/// Cells of one column in the rows of a batch.
#[derive(Debug)]
pub(super) enum Cells {
    /// Numbers; NaN where missing.
    Number(Vec<f64>),
    /// Text as codes into its distinct values.
    Text(Text),
    /// Text as it stands.
    Kept(Vec<String>),
}

impl Cells {
    /// The numbers, if it is those that it holds.
    pub(super) fn numbers(&self) -> Option<&[f64]> {
        match self {
            Cells::Number(values) => Some(values),
            Cells::Text(_) | Cells::Kept(_) => None,
        }
    }
}

/// Text as codes into the distinct values of one batch.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// One code a row; [`MISSING`] where the cell is missing.
    pub(super) codes: Vec<u32>,
    /// The distinct values, as first seen.
    pub(super) values: Vec<String>,
}

/// The numbers of a batch's rows: lines of text, or rows counted from 1.
#[derive(Debug, Clone)]
pub(super) enum Lines {
    /// One after the other, from this one on.
    From(u64),
    /// A number to begin with and what each row is behind it.
    Listed(u64, Vec<u32>),
}

impl Lines {
    /// The number of row `row` of the batch.
    pub(super) fn of(&self, row: usize) -> u64 {
        match self {
            Lines::From(first) => first + row as u64,
            Lines::Listed(first, behind) => first + behind.get(row).map_or(0, |b| u64::from(*b)),
        }
    }
}

/// Rows that were read.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) lines: Lines,
    /// One for each column asked for.
    pub(super) columns: Vec<Cells>,
    /// What ended the reading after these rows.
    pub(super) fault: Option<Fault>,
}

/// What is wrong with the row after a batch's last one.
#[derive(Debug)]
pub(super) enum Fault {
    /// A cell that is not what its column holds.
    Cell {
        /// Which of the columns asked for.
        column: usize,
        /// Its line or row.
        line: u64,
        /// The cell.
        text: Vec<u8>,
    },
    /// A row that cannot be read.
    Row {
        /// Its line or row, where there is one.
        line: Option<u64>,
        message: String,
    },
}

impl Fault {
    /// A row that cannot be read as a row of `path`.
    pub(super) fn row(line: u64, message: impl Into<String>) -> Self {
        Fault::Row { line: Some(line), message: message.into() }
    }
}

/// One file (or stream) of rows.
pub(super) trait Reader {
    /// Its columns, in order.
    fn fields(&self) -> &[Field];

    /// What the columns of undeclared content seem to hold, by their first cells; the positions of those in question are
    /// `fields`. Called before anything is read. Formats that declare their columns are not asked.
    ///
    /// # Errors
    /// As [`Reader::next`].
    fn guess(&mut self, fields: &[usize]) -> Result<Vec<Guess>> {
        Ok(vec![Guess::default(); fields.len()])
    }

    /// Says what to read. Called once.
    fn start(&mut self, wanted: Vec<Request>);

    /// The next rows; nothing at the end.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Data`] about the file as a whole; what is wrong with a row comes as a [`Fault`].
    fn next(&mut self) -> Result<Option<Vec<Batch>>>;

    /// What the user should know about the header.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the header looks like a row of numbers.
    fn has_numeric_header(&self) -> bool {
        false
    }
}

/// Opens a source of rows; the `extent` of svmlight files is that of all that are read together.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] when it cannot be read as the format it should have.
pub(super) fn open(
    source: &Source,
    format: Format,
    no_header: bool,
    extent: Option<Extent>,
) -> Result<Box<dyn Reader>> {
    Ok(match format {
        Format::Csv | Format::Tsv => Box::new(delimited::Delimited::open(source, format, no_header)?),
        Format::Parquet => Box::new(columnar::Parquet::open(source)?),
        Format::Arrow => Box::new(columnar::Arrow::open(source)?),
        Format::Npy => Box::new(npy::Matrix::open(source)?),
        Format::Svmlight => {
            let extent = extent.map_or_else(|| svmlight::extent(std::slice::from_ref(source)), Ok)?;
            Box::new(svmlight::Svmlight::open(source, extent)?)
        }
    })
}

/// An error about a row (and column) of `path`.
pub(super) fn error_at(path: &Path, line: Option<u64>, column: Option<&str>, message: impl Into<String>) -> Error {
    let place = Place { file: path.to_path_buf(), line, column: column.map(ToString::to_string) };
    Error::Data { place, message: message.into() }
}
