//! Parquet and Arrow files: columns of a declared type, read in parallel by slices of rows and groups of columns.

mod arrow;
mod convert;
mod parquet;
#[cfg(test)]
mod tests;
mod thrift;

pub(super) use arrow::Arrow;
pub(super) use parquet::Parquet;
pub(in crate::data) use parquet::parquet_groups;

use std::cell::Cell;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::ArrayRef;
use arrow_schema::{Schema, SchemaRef};

use super::files::Source;
use super::{Batch, Cells, Declared, Fault, Field, Kind, Lines, Request, error_at};
use crate::data::names;
use crate::error::{Error, Result};
use convert::{Converted, content, convert};

/// Cells of a slice of rows, as a rule.
const SLICE_CELLS: usize = 1 << 19;
/// Rows of a slice, at the least and at the most.
#[cfg(not(test))]
const SLICE_ROWS: [usize; 2] = [1024, 65_536];
#[cfg(test)]
const SLICE_ROWS: [usize; 2] = [3, 4];
/// Slices that are read at a time, for each thread.
const SLICES_A_THREAD: usize = 1;
/// Slices at the most: they are memory.
const MOST_SLICES: usize = 16;
/// Bytes that packed ones may say they unpack to, however few they are; beyond that so many for each, which no codec but Brotli exceeds.
const UNPACKED: u64 = 64 << 20;
const UNPACKED_OF_A_BYTE: u64 = 1 << 15;
/// What a slice takes until its rows are taken in.
const SLICE_COST: u64 = 6 << 20;
/// Groups of columns that are read on their own, for each thread.
const GROUPS_A_THREAD: usize = 8;

/// What is read, and as what.
struct Plan {
    /// The fields to read, each once, in the file's order.
    fields: Vec<usize>,
    /// For each of them, the columns asked for that it goes to, and what those hold.
    columns: Vec<Vec<(usize, Kind)>>,
    /// Fields that are read together.
    groups: Vec<Range<usize>>,
    slice_rows: usize,
    /// Rows that are read at a time.
    wave_rows: usize,
}

/// Columns of some rows, and which of those asked for they are.
type Parts = Vec<(usize, Converted)>;

impl Plan {
    fn new(source: &Source, fields: usize, wanted: &[Request]) -> Self {
        let mut columns = vec![Vec::new(); fields];
        wanted.iter().enumerate().for_each(|(column, request)| columns[request.field].push((column, request.kind)));
        let fields: Vec<usize> = (0..fields).filter(|field| !columns[*field].is_empty()).collect();
        columns.retain(|columns| !columns.is_empty());
        let together = fields.len().div_ceil(GROUPS_A_THREAD * rayon::current_num_threads()).max(1);
        let groups = (0..fields.len()).step_by(together).map(|at| at..(at + together).min(fields.len())).collect();
        let slice_rows = (SLICE_CELLS / fields.len().max(1)).clamp(SLICE_ROWS[0], SLICE_ROWS[1]);
        let wave_rows = source.at_a_time(SLICES_A_THREAD, MOST_SLICES, SLICE_COST) * slice_rows;
        Plan { fields, columns, groups, slice_rows, wave_rows }
    }

    /// The columns that a group of fields goes to.
    fn convert(&self, group: &Range<usize>, arrays: Vec<ArrayRef>) -> Parts {
        let mut parts = Vec::new();
        for (array, columns) in arrays.into_iter().zip(&self.columns[group.clone()]) {
            if let Some(((last, last_kind), others)) = columns.split_last() {
                parts.extend(others.iter().map(|(column, kind)| (*column, convert(Arc::clone(&array), *kind))));
                parts.push((*last, convert(array, *last_kind)));
            }
        }
        parts
    }
}

/// Rows that end before the first one with a fault.
fn batch(rows: usize, first_row: u64, mut parts: Parts) -> Batch {
    parts.sort_by_key(|(column, _)| *column);
    let fault = parts.iter().filter_map(|(column, part)| part.fault.as_ref().map(|(row, _)| (*row, *column))).min();
    let rows = fault.map_or(rows, |(row, _)| row);
    let mut found = None;
    let mut columns = Vec::with_capacity(parts.len());
    for (column, mut part) in parts {
        match &mut part.cells {
            Cells::Number(values) => values.truncate(rows),
            Cells::Text(text) => text.codes.truncate(rows),
            Cells::Kept(cells) => cells.truncate(rows),
        }
        columns.push(part.cells);
        if fault == Some((rows, column)) {
            let line = first_row + rows as u64;
            found = part.fault.map(|(_, text)| Fault::Cell { column, line, text });
        }
    }
    Batch { rows, lines: Lines::From(first_row), columns, fault: found }
}

/// What both formats have: columns, what is read of them, and how far.
struct Table {
    source: Source,
    /// The format's name.
    format: &'static str,
    fields: Vec<Field>,
    schema: SchemaRef,
    plan: Option<Arc<Plan>>,
    /// The number of the next row.
    row: u64,
    /// What ends the rows that were handed out.
    failed: Option<Error>,
    /// Bytes of the file that count as read.
    counted: u64,
}

impl Table {
    fn new(source: &Source, format: &'static str, schema: &Schema) -> Result<Self> {
        let field = |field: &arrow_schema::FieldRef| {
            let declared = content(field.data_type()).unwrap_or(Declared::Text);
            Field { name: field.name().clone(), declared }
        };
        let fields: Vec<Field> = schema.fields().iter().map(field).collect();
        if fields.is_empty() {
            return Err(Error::data(&source.path, "there is no column in this file"));
        }
        if let Some(name) = names::repeated(fields.iter().map(|field| &field.name)) {
            let message = format!("two columns are named '{name}'; rename one of them");
            return Err(Error::data(&source.path, message));
        }
        let (source, schema) = (source.clone(), Arc::new(schema.clone()));
        Ok(Table { source, format, fields, schema, plan: None, row: 1, failed: None, counted: 0 })
    }

    fn start(&mut self, wanted: &[Request]) {
        let plan = Plan::new(&self.source, self.fields.len(), wanted);
        let refused = plan.fields.iter().find(|field| content(self.schema.field(**field).data_type()).is_none());
        self.failed = refused.map(|field| {
            let name = self.fields[*field].name.as_str();
            let of = self.schema.field(*field).data_type();
            let message = format!("values of type {of} are not read; leave the column out (--drop '{name}')");
            error_at(&self.source.path, None, Some(name), message)
        });
        self.plan = Some(Arc::new(plan));
    }

    /// What to read, unless all was read.
    fn plan(&mut self) -> Result<Option<Arc<Plan>>> {
        match self.failed.take() {
            Some(error) => {
                self.plan = None;
                Err(error)
            }
            None => Ok(self.plan.clone()),
        }
    }

    /// Appends a batch; whether more may follow.
    fn push(&mut self, batches: &mut Vec<Batch>, rows: usize, parts: Parts) -> bool {
        let batch = batch(rows, self.row, parts);
        self.row += rows as u64;
        let whole = batch.fault.is_none();
        batches.push(batch);
        if !whole {
            self.plan = None;
        }
        whole
    }

    /// The rows that were read before what failed, if any.
    fn hand_out(&mut self, batches: Vec<Batch>, failed: Option<Error>) -> Result<Option<Vec<Batch>>> {
        self.failed = failed;
        if batches.is_empty() { self.plan().map(|_| None) } else { Ok(Some(batches)) }
    }

    /// Counts the bytes up to this one as read.
    fn count(&mut self, bytes: u64) {
        self.source.bytes.fetch_add(bytes.saturating_sub(self.counted), Ordering::Relaxed);
        self.counted = self.counted.max(bytes);
    }

    fn damaged(&self, said: impl Display) -> Error {
        damaged(&self.source, self.format, said)
    }
}

/// What to say of a file that cannot be read as `format`.
fn damaged(source: &Source, format: &str, said: impl Display) -> Error {
    let said = said.to_string();
    let line = said.lines().next().unwrap_or_default();
    Error::data(&source.path, format!("this is not {format}, or it is damaged or was cut ({line})"))
}

thread_local! {
    /// Whether this thread is decoding.
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is caught and told as damage of a file: its report would only confuse.
pub(in crate::data) fn is_decoding() -> bool {
    DECODING.get()
}

/// What the crate that decodes makes of a file. Some damage makes those crates panic (impossible widths, places and
/// lengths, in parquet and arrow-ipc 60.1); that is damage like any other here, for what was being decoded is not used
/// again.
fn guarded<T, E: Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    let before = DECODING.replace(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(before);
    match decoded {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(_) => Err("its decoder gave up".to_string()),
    }
}

/// Refuses what `packed` bytes say they unpack to where it cannot be: decoders make room for it at once.
fn check_unpacked(packed: u64, unpacked: u64) -> Result<(), String> {
    if unpacked <= UNPACKED.max(packed.saturating_mul(UNPACKED_OF_A_BYTE)) {
        return Ok(());
    }
    Err(format!("{packed} bytes say that they unpack to {unpacked}"))
}

/// A file that is read at several places at a time.
#[derive(Debug, Clone)]
struct Places {
    file: Arc<File>,
    length: u64,
}

impl Places {
    fn open(source: &Source) -> Result<Self> {
        let file = source.file()?;
        let length = file.metadata().map_err(|e| Error::io(&source.path, e))?.len();
        Ok(Places { file: Arc::new(file), length })
    }

    /// Exactly `length` bytes from `at` on.
    fn bytes(&self, at: u64, length: u64) -> io::Result<Vec<u8>> {
        // A length that lies must not have room made for it.
        let end = at.checked_add(length).filter(|end| *end <= self.length);
        let room = usize::try_from(length).ok().filter(|_| end.is_some());
        let mut bytes = vec![0; room.ok_or(io::ErrorKind::UnexpectedEof)?];
        self.from(at).read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn from(&self, at: u64) -> Onward {
        Onward { file: Arc::clone(&self.file), at }
    }
}

/// Reads on from a place, whoever else reads the file.
struct Onward {
    file: Arc<File>,
    at: u64,
}

impl Read for Onward {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let n = std::os::unix::fs::FileExt::read_at(&*self.file, out, self.at)?;
        #[cfg(windows)]
        let n = std::os::windows::fs::FileExt::seek_read(&*self.file, out, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
