//! The records of a piece of text become a batch of columns.

use std::collections::HashMap;

use csv::ByteRecord;
use memchr::{memchr, memchr2};

use super::lines::Lines as Normalised;
use super::pieces::{Piece, is_text};
use super::{Batch, Cells, Fault, Kind, Lines, MISSING, Request, Text, cell};

/// What is read of each record.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    delimiter: u8,
    /// For each field of a record, the columns that it goes to.
    fields: Vec<Vec<usize>>,
    /// What each column holds.
    kinds: Vec<Kind>,
}

impl Plan {
    /// Reads of records of `fields` fields what is `wanted`.
    pub(super) fn new(delimiter: u8, fields: usize, wanted: &[Request]) -> Self {
        let mut columns = vec![Vec::new(); fields];
        wanted.iter().enumerate().for_each(|(column, request)| columns[request.field].push(column));
        Plan { delimiter, fields: columns, kinds: wanted.iter().map(|request| request.kind).collect() }
    }

    /// The rows of `piece`, the first line of which is `first_line`.
    pub(super) fn read(&self, piece: &Piece, first_line: u64) -> Batch {
        let bytes = &piece.bytes;
        if piece.plain && is_text(bytes) {
            let mut rows = Rows::new(self, bytes.len());
            let fault = self.plain(bytes, first_line, &mut rows);
            return rows.finish(first_line, fault);
        }
        let mut rows = Rows::new(self, bytes.len());
        let fault = records(bytes, self.delimiter, self.fields.len() == 1, first_line, |line, record| {
            if record.len() != self.fields.len() {
                return Err(self.ragged(line, record.len()));
            }
            for (cell, columns) in record.iter().zip(&self.fields) {
                for &column in columns {
                    rows.push(column, cell.trim_ascii(), line)?;
                }
            }
            rows.row(line - first_line);
            Ok(true)
        });
        rows.finish(first_line, fault)
    }

    fn ragged(&self, line: u64, found: usize) -> Fault {
        let expected = self.fields.len();
        let cells = if expected == 1 { "cell" } else { "cells" };
        Fault::row(line, format!("expected {expected} {cells} as on the first line, found {found}"))
    }

    /// Reads records without quotes, each on a line of its own.
    fn plain(&self, bytes: &[u8], first_line: u64, rows: &mut Rows) -> Option<Fault> {
        let (mut at, mut line) = (0, 0);
        while at < bytes.len() {
            if is_blank_byte(bytes[at]) {
                let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
                if bytes[at..end].trim_ascii().is_empty() {
                    (at, line) = (end + 1, line + 1);
                    continue;
                }
            }
            let last = self.fields.len() - 1;
            for (field, columns) in self.fields.iter().enumerate() {
                let (cell, end) = match columns.as_slice() {
                    [column] if rows.is_number(*column) => match leading_number(&bytes[at..]) {
                        Some((value, length)) if self.ends_cell(bytes, at + length, field == last) => {
                            rows.push_number(*column, value);
                            at += length + 1;
                            continue;
                        }
                        _ => self.cell(bytes, at),
                    },
                    _ => self.cell(bytes, at),
                };
                if !self.ends_cell(bytes, end, field == last) {
                    let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
                    let more = bytes[at..end].iter().filter(|b| **b == self.delimiter).count();
                    return Some(self.ragged(first_line + line, field + 1 + more));
                }
                for &column in columns {
                    if let Err(fault) = rows.push(column, cell, first_line + line) {
                        return Some(fault);
                    }
                }
                at = end + 1;
            }
            rows.row(line);
            line += 1;
        }
        None
    }

    /// The cell that begins at `at`, trimmed, and where it ends.
    fn cell<'a>(&self, bytes: &'a [u8], at: usize) -> (&'a [u8], usize) {
        let rest = bytes.get(at..).unwrap_or_default();
        let length = memchr2(self.delimiter, b'\n', rest).unwrap_or(rest.len());
        (rest[..length].trim_ascii(), at + length)
    }

    /// Whether a cell that is (or is not) a record's `last` one ends at `at`.
    #[inline(always)]
    fn ends_cell(&self, bytes: &[u8], at: usize, last: bool) -> bool {
        match bytes.get(at) {
            Some(&b) => b == if last { b'\n' } else { self.delimiter },
            None => last,
        }
    }
}

fn is_blank_byte(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// The finite number that `bytes` begin with, and how many of them it takes.
#[inline(always)]
fn leading_number(bytes: &[u8]) -> Option<(f64, usize)> {
    // Not `nan` or `inf`, which have rules of their own.
    if !matches!(bytes.first()?, b'0'..=b'9' | b'-' | b'+' | b'.') {
        return None;
    }
    fast_float2::parse_partial::<f64, _>(bytes).ok().filter(|(value, _)| value.is_finite())
}

/// Reads the records of `bytes`, which begin on line `first_line`, with quotes and line ends of every kind. `each` gets the line
/// that a record begins on and its cells, and says whether to go on.
pub(super) fn records(
    bytes: &[u8],
    delimiter: u8,
    one_field: bool,
    first_line: u64,
    mut each: impl FnMut(u64, &ByteRecord) -> Result<bool, Fault>,
) -> Option<Fault> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(Normalised::new(bytes, delimiter));
    let mut record = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(Fault::Row { line: None, message: error.to_string() }),
        }
        // A record that the end of the text cut has no line feed of its own.
        let drained = reader.get_ref().is_drained();
        let inner = record.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
        let line = (first_line + reader.position().line()).saturating_sub(1 + u64::from(!drained) + inner);
        let text = record.as_slice();
        if text.contains(&0) || std::str::from_utf8(text).is_err() {
            return Some(Fault::row(line, "this is not UTF-8 text; is it a binary file or another encoding?"));
        }
        // Every text is made to end with a line feed, so only an open quote can carry a record to its end.
        if drained {
            return Some(Fault::row(line, "a quote that opens in this row is never closed"));
        }
        let blank = record.len() == 1 && text.trim_ascii().is_empty();
        if blank && !(text.is_empty() && one_field) {
            continue;
        }
        match each(line, &record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => return Some(fault),
        }
    }
}

/// Rows while they are read.
struct Rows {
    columns: Vec<Column>,
    /// Lines of the rows behind the piece's first one; what is needed of them.
    lines: Vec<u32>,
    rows: usize,
}

/// A column while it is read.
enum Column {
    Number(Kind, Vec<f64>),
    Text { text: Text, index: HashMap<Box<[u8]>, u32>, last: (Vec<u8>, u32) },
    Kept(Vec<String>),
}

impl Rows {
    /// Room for the rows of `bytes` bytes.
    fn new(plan: &Plan, bytes: usize) -> Self {
        // Cells of a few characters each; it grows where they are shorter.
        let guess = bytes / (8 * plan.fields.len()).max(8);
        let columns = plan.kinds.iter().map(|kind| match kind {
            Kind::Text => Column::Text { text: Text::default(), index: HashMap::new(), last: (Vec::new(), MISSING) },
            Kind::Kept => Column::Kept(Vec::new()),
            kind => Column::Number(*kind, Vec::with_capacity(guess)),
        });
        Rows { columns: columns.collect(), lines: Vec::with_capacity(guess), rows: 0 }
    }

    #[inline(always)]
    fn is_number(&self, column: usize) -> bool {
        matches!(self.columns[column], Column::Number(Kind::Number | Kind::GuessedNumber | Kind::Offset, _))
    }

    #[inline(always)]
    fn push_number(&mut self, column: usize, value: f64) {
        if let Column::Number(_, values) = &mut self.columns[column] {
            values.push(value);
        }
    }

    /// A row, on line `line` of the piece, is whole.
    #[inline(always)]
    fn row(&mut self, line: u64) {
        self.lines.push(line as u32);
        self.rows += 1;
    }

    /// Appends a trimmed cell of line `line` of the file.
    fn push(&mut self, column: usize, cell: &[u8], line: u64) -> Result<(), Fault> {
        let fault = || Fault::Cell { column, line, text: cell.to_vec() };
        match &mut self.columns[column] {
            Column::Kept(cells) => cells.push(String::from_utf8_lossy(cell).into_owned()),
            Column::Number(kind, values) => {
                let value = if cell::is_missing(cell) {
                    f64::NAN
                } else {
                    let value = if *kind == Kind::Date { cell::date(cell) } else { cell::number(cell) };
                    let good = |x: &f64| x.is_finite() && (*kind != Kind::Weight || *x >= 0.0);
                    value.filter(good).ok_or_else(fault)?
                };
                values.push(value);
            }
            Column::Text { text, index, last } => {
                let code = if cell::is_missing(cell) {
                    MISSING
                } else if last.1 != MISSING && last.0 == cell {
                    last.1
                } else {
                    let code = match index.get(cell) {
                        Some(code) => *code,
                        None => {
                            let code = text.values.len() as u32;
                            text.values.push(String::from_utf8_lossy(cell).into_owned());
                            index.insert(cell.into(), code);
                            code
                        }
                    };
                    last.0.clear();
                    last.0.extend_from_slice(cell);
                    last.1 = code;
                    code
                };
                text.codes.push(code);
            }
        }
        Ok(())
    }

    /// The whole rows, the first line of whose piece is `first_line`.
    fn finish(self, first_line: u64, fault: Option<Fault>) -> Batch {
        let Rows { columns, lines, rows } = self;
        let columns = columns.into_iter().map(|column| match column {
            Column::Number(_, mut values) => {
                values.truncate(rows);
                Cells::Number(values)
            }
            Column::Text { mut text, .. } => {
                text.codes.truncate(rows);
                Cells::Text(text)
            }
            Column::Kept(mut cells) => {
                cells.truncate(rows);
                Cells::Kept(cells)
            }
        });
        let consecutive =
            lines.iter().zip(lines.first().copied().unwrap_or(0)..).all(|(line, expected)| *line == expected);
        let lines = match lines.first() {
            Some(first) if consecutive => Lines::From(first_line + u64::from(*first)),
            _ => Lines::Listed(first_line, lines),
        };
        Batch { rows, lines, columns: columns.collect(), fault }
    }
}
