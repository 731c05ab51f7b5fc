//! Parquet: row groups, in each of which the columns lie one after the other.

mod pages;

use std::io::{self, BufReader};
use std::ops::Range;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader};
use ::parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use ::parquet::file::reader::{ChunkReader, Length};
use arrow_schema::{DataType, Schema};
use bytes::Bytes;
use rayon::prelude::*;

use super::super::files::Source;
use super::super::{Batch, Field, Kind, Reader, Request};
use super::thrift::{Fault, check_metadata};
use super::{Onward, Parts, Places, Plan, Table, damaged, guarded};
use crate::error::Result;
use pages::CheckedRowGroup;

const FORMAT: &str = "a Parquet file";
/// What a file ends in: the length of its metadata, which lies before that, and its name.
const FOOTER_BYTES: u64 = 8;

/// A Parquet file.
pub(in crate::data) struct Parquet {
    table: Table,
    file: Places,
    metadata: ArrowReaderMetadata,
    /// The row group to be opened next, and the one before which reading ends.
    next: usize,
    end: usize,
    open: Option<RowGroup>,
    /// Rows of the whole file.
    rows: u64,
}

/// A row group that is being read.
struct RowGroup {
    index: usize,
    /// Rows that are not yet read.
    left: usize,
    /// One for each group of columns; nothing before the first rows are read.
    readers: Vec<Option<ParquetRecordBatchReader>>,
}

/// Rows of some columns of a row group, to be read by one thread.
struct Task {
    row_group: usize,
    columns: Range<usize>,
    rows: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl Parquet {
    /// Opens a file and reads what it says of its columns and row groups.
    pub(in crate::data) fn open(source: &Source) -> Result<Self> {
        let file = Places::open(source)?;
        check_footer(&file).map_err(|e| damaged(source, FORMAT, e))?;
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()));
        let metadata = metadata.map_err(|e| damaged(source, FORMAT, e))?;
        let mut table = Table::new(source, FORMAT, metadata.schema())?;
        let row_groups = metadata.metadata().row_groups();
        let lies = |column: &ColumnChunkMetaData| {
            let dictionary = column.dictionary_page_offset().unwrap_or(0);
            column.data_page_offset().min(dictionary).min(column.compressed_size()) < 0
        };
        if row_groups.iter().flat_map(RowGroupMetaData::columns).any(lies) {
            return Err(table.damaged("a column has a negative place or length"));
        }
        let rows =
            row_groups.iter().try_fold(0, |rows: u64, group| rows.checked_add(group.num_rows().try_into().ok()?));
        let rows = rows.ok_or_else(|| table.damaged("the numbers of rows are impossible"))?;
        let bound = |group: u64| usize::try_from(group).unwrap_or(usize::MAX).min(row_groups.len());
        let groups = source.portion.as_ref().map_or(0..row_groups.len(), |p| bound(p.start)..bound(p.end));
        let before: i64 = row_groups[..groups.start].iter().map(RowGroupMetaData::num_rows).sum();
        table.row += before.unsigned_abs();
        Ok(Parquet { table, file, metadata, next: groups.start, end: groups.end, open: None, rows })
    }

    /// Reads strings that become codes with their dictionary, which spares the hashing of every cell.
    fn keep_dictionaries(&mut self, wanted: &[Request]) {
        let schema = self.metadata.schema();
        let fields = schema.fields().iter().enumerate().map(|(i, field)| {
            let is_string = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            if !is_string || !wanted.iter().any(|request| request.field == i && request.kind == Kind::Text) {
                return Arc::clone(field);
            }
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Arc::new(field.as_ref().clone().with_data_type(dictionary))
        });
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        // Without it the strings are read as they are.
        if let Ok(metadata) = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options) {
            self.metadata = metadata;
        }
    }

    /// The row group that is read now, if any is left.
    fn row_group(&mut self, plan: &Plan) -> Option<RowGroup> {
        if let Some(open) = self.open.take() {
            return Some(open);
        }
        let index = self.next;
        let rows = self.metadata.metadata().row_groups().get(index).filter(|_| index < self.end)?.num_rows();
        self.next += 1;
        let readers = plan.groups.iter().map(|_| None).collect();
        Some(RowGroup { index, left: usize::try_from(rows).unwrap_or(usize::MAX), readers })
    }
}

impl Task {
    /// Reads the rows, slice by slice, and leaves the reader where they end.
    fn read(&mut self, plan: &Plan, file: &Places, metadata: &ArrowReaderMetadata) -> ParquetResult<Vec<Parts>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let schema = metadata.parquet_schema();
                let fields = ProjectionMask::roots(schema, plan.fields[self.columns.clone()].iter().copied());
                let levels = parquet_to_arrow_field_levels(schema, fields, Some(metadata.schema().fields()))?;
                let row_group = CheckedRowGroup::new(file, metadata.metadata(), self.row_group);
                // Room is made for so many rows at once. A group that goes on after these has as many as a slice.
                let rows = plan.slice_rows.min(self.rows);
                none.insert(ParquetRecordBatchReader::try_new_with_row_groups(&levels, &row_group, rows, None)?)
            }
        };
        let mut slices = Vec::new();
        for rows in slices_of(self.rows, plan.slice_rows) {
            let read = reader.next().transpose()?.filter(|read| read.num_rows() == rows);
            let short = || ParquetError::General(format!("row group {} is short of rows", self.row_group));
            let (_, arrays, _) = read.ok_or_else(short)?.into_parts();
            slices.push(plan.convert(&self.columns, arrays));
        }
        Ok(slices)
    }
}

/// Bytes of each row group of the file in `source`.
///
/// # Errors
/// As [`Parquet::open`].
pub(in crate::data) fn parquet_groups(source: &Source) -> Result<Vec<u64>> {
    let file = Parquet::open(source)?;
    Ok(file.metadata.metadata().row_groups().iter().map(|group| group.compressed_size().unsigned_abs()).collect())
}

/// The rows of each slice of `rows`.
fn slices_of(rows: usize, slice_rows: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(slice_rows).map(move |from| slice_rows.min(rows - from))
}

impl Reader for Parquet {
    fn fields(&self) -> &[Field] {
        &self.table.fields
    }

    fn start(&mut self, wanted: Vec<Request>) {
        self.table.start(&wanted);
        if wanted.iter().any(|request| request.kind == Kind::Text) {
            self.keep_dictionaries(&wanted);
        }
    }

    fn next(&mut self) -> Result<Option<Vec<Batch>>> {
        let Some(plan) = self.table.plan()? else { return Ok(None) };
        let (mut spans, mut tasks) = (Vec::new(), Vec::new());
        let mut budget = plan.wave_rows;
        while let Some(mut group) = self.row_group(&plan) {
            // Where a row group is left and taken up again, a slice ends.
            let rows = if group.left <= budget { group.left } else { budget / plan.slice_rows * plan.slice_rows };
            if rows == 0 && group.left > 0 {
                // Only one that was not begun finds so little room.
                self.next -= 1;
                break;
            }
            for (columns, reader) in plan.groups.iter().zip(&mut group.readers) {
                let reader = reader.take();
                tasks.push(Task { row_group: group.index, columns: columns.clone(), rows, reader });
            }
            budget -= rows;
            group.left -= rows;
            spans.push(rows);
            if group.left > 0 {
                self.open = Some(group);
                break;
            }
        }
        let (file, metadata) = (&self.file, &self.metadata);
        let read = tasks.par_iter_mut().with_max_len(1).map(|task| guarded(|| task.read(&plan, file, metadata)));
        let read: Vec<Result<Vec<Parts>, String>> = read.collect();
        if let Some(open) = &mut self.open {
            let last = tasks.len() - plan.groups.len();
            open.readers = tasks.split_off(last).into_iter().map(|task| task.reader).collect();
        }
        let (mut read, mut batches) = (read.into_iter(), Vec::new());
        for rows in spans {
            let groups: Result<Vec<Vec<Parts>>, String> = read.by_ref().take(plan.groups.len()).collect();
            let mut groups: Vec<_> = match groups {
                Ok(groups) => groups.into_iter().map(Vec::into_iter).collect(),
                Err(error) => {
                    let error = self.table.damaged(error);
                    return self.table.hand_out(batches, Some(error));
                }
            };
            for rows in slices_of(rows, plan.slice_rows) {
                let parts = groups.iter_mut().filter_map(Iterator::next).flatten().collect();
                if !self.table.push(&mut batches, rows, parts) {
                    return Ok(Some(batches));
                }
            }
        }
        let share = (self.table.row - 1) as f64 / self.rows as f64;
        let all = batches.is_empty() || self.table.row > self.rows;
        self.table.count(if all { self.file.length } else { (self.file.length as f64 * share) as u64 });
        self.table.hand_out(batches, None)
    }
}

impl Length for Places {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Places {
    type T = BufReader<Onward>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(self.from(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.bytes(start, length as u64);
        bytes.map(Bytes::from).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ParquetError::EOF(format!("there are no {length} bytes at {start}")),
            _ => error.into(),
        })
    }
}

/// Refuses metadata that would be read for ever.
fn check_footer(file: &Places) -> Result<(), String> {
    let Some(end) = file.length.checked_sub(FOOTER_BYTES) else { return Ok(()) };
    let read = |start, length| file.bytes(start, length).map_err(|e| e.to_string());
    let [a, b, c, d, ..] = read(end, FOOTER_BYTES)?[..] else { return Ok(()) };
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    // What is too short for its metadata, the crate says.
    let Some(start) = end.checked_sub(length) else { return Ok(()) };
    match check_metadata(&read(start, length)?) {
        Err(Fault::Impossible(what)) => Err(format!("its metadata has {what}")),
        Ok(()) | Err(Fault::Short) => Ok(()),
    }
}
