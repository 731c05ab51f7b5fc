//! NumPy arrays: read in batches of columns, or as they lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use rayon::prelude::*;

use super::files::Source;
use super::{Batch, Cells, Declared, Fault, Field, Kind, Lines, MISSING, Reader, Request, Text};
use crate::data::block::LANES;
use crate::data::storage::Storage;
use crate::error::{Error, Result};

/// Longest header that is read, which is NumPy's own limit.
const HEADER_BYTES: usize = 10_000;
/// Values of a batch, as a rule: their bytes stay in the second-level cache while they become columns.
const BATCH_VALUES: usize = 1 << 18;
/// Values that one thread reads at a time.
const PIECE_VALUES: usize = 1 << 20;
/// Labels that are looked for one by one.
const FEW_LABELS: usize = 4;

/// An element's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Element {
    kind: TypeChar,
    size: usize,
    big: bool,
}

impl Element {
    /// Writes the numbers that stand in `bytes`, from element `first` on and then each `stride`-th, to `out`.
    fn decode(self, bytes: &[u8], first: usize, stride: usize, out: &mut [f64]) {
        macro_rules! decode {
            ($from:ty, $convert:expr) => {{
                let all = bytes.as_chunks::<{ size_of::<$from>() }>().0;
                for (x, bytes) in out.iter_mut().zip(all[first..].iter().step_by(stride)) {
                    *x = $convert(if self.big {
                        <$from>::from_be_bytes(*bytes)
                    } else {
                        <$from>::from_le_bytes(*bytes)
                    });
                }
            }};
        }
        match (self.kind, self.size) {
            (TypeChar::Float, 4) => decode!(f32, f64::from),
            (TypeChar::Float, _) => decode!(f64, |x| x),
            (TypeChar::Bool, _) => decode!(u8, |x| f64::from(u8::from(x != 0))),
            (TypeChar::Int, 1) => decode!(i8, f64::from),
            (TypeChar::Int, 2) => decode!(i16, f64::from),
            (TypeChar::Int, 4) => decode!(i32, f64::from),
            (TypeChar::Int, _) => decode!(i64, |x| x as f64),
            (_, 1) => decode!(u8, f64::from),
            (_, 2) => decode!(u16, f64::from),
            (_, 4) => decode!(u32, f64::from),
            (_, _) => decode!(u64, |x| x as f64),
        }
    }
}

/// A file that holds an array of one or two dimensions.
#[derive(Debug)]
struct Array {
    path: PathBuf,
    file: File,
    /// Where the values begin.
    start: u64,
    rows: usize,
    columns: usize,
    fortran: bool,
    element: Element,
}

impl Array {
    fn open(source: &Source) -> Result<Self> {
        let path = &source.path;
        let bad = |message: &str| Error::data(path, message);
        let file = source.file()?;
        let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let mut reader = BufReader::new(file);
        let (header, start) = read_header(path, &mut reader)?;
        let DType::Plain(dtype) = header.dtype() else {
            return Err(bad("an array of records; save the columns as one plain matrix"));
        };
        let (rows, columns) = match *header.shape() {
            [rows] => (rows, 1),
            [rows, columns] => (rows, columns),
            ref shape => return Err(bad(&format!("an array of {} dimensions; expected one or two", shape.len()))),
        };
        let size = dtype.num_bytes().unwrap_or(0) as u64;
        let expected = rows.checked_mul(columns).and_then(|n| n.checked_mul(size)).unwrap_or(u64::MAX);
        let found = length.saturating_sub(start);
        if found != expected {
            return Err(bad(&format!(
                "the header promises {rows} × {columns} values of {size} bytes, but {found} bytes follow it; the file is \
                 damaged or was cut"
            )));
        }
        if rows == 0 || columns == 0 {
            return Err(bad("the array is empty"));
        }
        let is_read = match dtype.type_char() {
            TypeChar::Float => matches!(size, 4 | 8),
            TypeChar::Int | TypeChar::Uint => matches!(size, 1 | 2 | 4 | 8),
            TypeChar::Bool => size == 1,
            _ => false,
        };
        if !is_read {
            return Err(bad(&format!(
                "values of type {dtype}; those read are f4, f8, integers and bool (NumPy: x.astype('f8'))"
            )));
        }
        // The sizes fit: they are those of a file that exists, though a 32-bit machine may not hold it.
        let whole = |n: u64| usize::try_from(n).map_err(|_| bad("too large for this machine"));
        Ok(Array {
            path: path.clone(),
            file: reader.into_inner(),
            start,
            rows: whole(rows)?,
            columns: whole(columns)?,
            fortran: header.order() == Order::Fortran,
            element: Element {
                kind: dtype.type_char(),
                size: whole(size)?,
                big: dtype.endianness() == Endianness::Big,
            },
        })
    }

    /// Reads `count` elements from element `first` on into `bytes`.
    fn read(&self, first: usize, count: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let size = self.element.size;
        bytes.resize(count * size, 0);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.start + (first * size) as u64))
            .and_then(|_| file.read_exact(bytes))
            .map_err(|e| Error::io(&self.path, e))
    }

    /// The values of `columns` in `rows` rows from `first` on, of a matrix that lies column by column.
    fn fortran_columns(&self, columns: &[usize], first: usize, rows: usize) -> Result<Vec<Vec<f64>>> {
        let mut bytes = Vec::new();
        let column = |column: &usize| {
            self.read(column * self.rows + first, rows, &mut bytes)?;
            let mut values = vec![0.0; rows];
            self.element.decode(&bytes, 0, 1, &mut values);
            Ok(values)
        };
        columns.iter().map(column).collect()
    }

    /// The values of `columns` among the `bytes` of whole rows.
    fn columns_of(&self, columns: &[usize], bytes: &[u8]) -> Vec<Vec<f64>> {
        let rows = bytes.len() / (self.columns * self.element.size);
        let column = |column: &usize| {
            let mut values = vec![0.0; rows];
            self.element.decode(bytes, *column, self.columns, &mut values);
            values
        };
        columns.par_iter().map(column).collect()
    }

    /// Rows of a batch that begins with row `first`, of rows that end before row `end`.
    fn batch_rows(&self, first: usize, end: usize) -> usize {
        (BATCH_VALUES / self.columns).max(LANES).min(end - first)
    }

    /// The rows that `source` is read of.
    fn rows_of(&self, source: &Source) -> Range<usize> {
        let bound = |row: u64| usize::try_from(row).unwrap_or(usize::MAX).min(self.rows);
        source.portion.as_ref().map_or(0..self.rows, |portion| bound(portion.start)..bound(portion.end))
    }
}

/// A matrix, as a table of the columns x0, x1, …
pub(super) struct Matrix {
    array: Array,
    source: Source,
    fields: Vec<Field>,
    wanted: Vec<Request>,
    /// The rows that are read.
    rows: Range<usize>,
    next: usize,
    /// The bytes of the next rows, where those lie together.
    ahead: Vec<u8>,
}

impl Matrix {
    /// Opens a file and reads its header.
    pub(super) fn open(source: &Source) -> Result<Self> {
        let array = Array::open(source)?;
        let fields = (0..array.columns).map(|j| Field { name: format!("x{j}"), declared: Declared::Number });
        let rows = array.rows_of(source);
        Ok(Matrix {
            fields: fields.collect(),
            array,
            source: source.clone(),
            wanted: Vec::new(),
            next: rows.start,
            rows,
            ahead: Vec::new(),
        })
    }
}

impl Reader for Matrix {
    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn start(&mut self, wanted: Vec<Request>) {
        self.wanted = wanted;
    }

    fn next(&mut self) -> Result<Option<Vec<Batch>>> {
        let (array, first) = (&self.array, self.next);
        let (start, end) = (self.rows.start, self.rows.end);
        let mut rows = array.batch_rows(first, end);
        if rows == 0 {
            return Ok(None);
        }
        let columns: Vec<usize> = self.wanted.iter().map(|request| request.field).collect();
        self.next += rows;
        let mut values = if array.fortran {
            array.fortran_columns(&columns, first, rows)?
        } else {
            let mut now = std::mem::take(&mut self.ahead);
            if first == start {
                array.read(first * array.columns, rows * array.columns, &mut now)?;
            }
            // The next rows are read while these become columns.
            let (next, ahead) = (self.next, &mut self.ahead);
            let (values, read) = rayon::join(
                || array.columns_of(&columns, &now),
                || array.read(next * array.columns, array.batch_rows(next, end) * array.columns, ahead),
            );
            read?;
            values
        };
        let read = (rows * array.columns * array.element.size) as u64;
        let before = if first == start { array.start } else { 0 };
        self.source.bytes.fetch_add(read + before, Ordering::Relaxed);
        // The first value that is infinite, or negative where it must not be.
        let bad = |(c, values): (usize, &Vec<f64>)| {
            let weight = self.wanted[c].kind == Kind::Weight;
            values.iter().position(|x| x.is_infinite() || (weight && *x < 0.0)).map(|row| (row, c))
        };
        let fault = values.par_iter().enumerate().filter_map(bad).min().map(|(row, column)| {
            rows = row;
            let text = values[column][row].to_string().into_bytes();
            Fault::Cell { column, line: (first + row) as u64 + 1, text }
        });
        values.iter_mut().for_each(|values| values.truncate(rows));
        let cells = values.into_iter().zip(&self.wanted).map(|(values, request)| match request.kind {
            Kind::Text => Cells::Text(labels(&values)),
            Kind::Kept => {
                Cells::Kept(values.iter().map(|x| if x.is_nan() { String::new() } else { x.to_string() }).collect())
            }
            _ => Cells::Number(values),
        });
        Ok(Some(vec![Batch { rows, lines: Lines::From(first as u64 + 1), columns: cells.collect(), fault }]))
    }
}

/// Rows and columns of the matrix in `source`.
///
/// # Errors
/// As of the file's reading.
pub(in crate::data) fn shape(source: &Source) -> Result<(usize, usize)> {
    let array = Array::open(source)?;
    Ok((array.rows, array.columns))
}

/// The rows that are read of the matrix in `source`.
///
/// # Errors
/// As of the file's reading.
pub(in crate::data) fn rows(source: &Source) -> Result<Range<usize>> {
    let array = Array::open(source)?;
    Ok(array.rows_of(source))
}

/// The values of those rows one row after the other, and zeros up to a whole group of rows, if they lie so in f32 and all are finite.
///
/// # Errors
/// As of the file's reading, and as [`Storage::zeros`].
pub(in crate::data) fn rows_of_f32(source: &Source) -> Result<Option<Storage<f32>>> {
    let array = Array::open(source)?;
    let element = Element { kind: TypeChar::Float, size: size_of::<f32>(), big: cfg!(target_endian = "big") };
    if array.fortran || array.element != element {
        return Ok(None);
    }
    let rows = array.rows_of(source);
    let count = rows.len() * array.columns;
    let first = array.start + (rows.start * array.columns * size_of::<f32>()) as u64;
    let mut values = Storage::<f32>::zeros(rows.len().div_ceil(LANES) * LANES * array.columns)?;
    let finite = AtomicBool::new(true);
    values[..count].par_chunks_mut(PIECE_VALUES).enumerate().try_for_each(|(piece, values)| {
        // A file of its own, for each has but one place where it is read.
        let start = first + (piece * PIECE_VALUES * size_of::<f32>()) as u64;
        let read = |values: &mut [f32]| {
            let mut file = File::open(&array.path)?;
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(bytemuck::cast_slice_mut(values))
        };
        read(values).map_err(|e| Error::io(&array.path, e))?;
        // All of them, and not only to the first: many at a time are compared sooner.
        if !values.iter().fold(true, |finite, x| finite & x.is_finite()) {
            finite.store(false, Ordering::Relaxed);
        }
        Ok(())
    })?;
    source.bytes.fetch_add(array.start + (count * size_of::<f32>()) as u64, Ordering::Relaxed);
    Ok(finite.into_inner().then_some(values))
}

/// A vector (n or n×1) that goes with a matrix, read some values at a time.
#[derive(Debug)]
pub(in crate::data) struct Vector {
    array: Array,
    source: Source,
    next: usize,
    bytes: Vec<u8>,
}

impl Vector {
    /// Opens that of a matrix of `rows` rows.
    ///
    /// # Errors
    /// As of the file's reading; [`Error::Data`] when it has another length.
    pub(in crate::data) fn open(path: &Path, rows: usize) -> Result<Self> {
        let source = Source::new(path);
        let array = Array::open(&source)?;
        if array.columns != 1 {
            return Err(Error::data(path, format!("expected one column, found {}", array.columns)));
        }
        if array.rows != rows {
            return Err(Error::data(path, format!("{} values, but the data has {rows} rows", array.rows)));
        }
        Ok(Vector { array, source, next: 0, bytes: Vec::new() })
    }

    /// The same from row `row` on.
    pub(in crate::data) fn starting_at(self, row: usize) -> Self {
        Vector { next: row, ..self }
    }

    /// The file.
    pub(in crate::data) fn source(&self) -> &Source {
        &self.source
    }

    /// The row of the next value.
    pub(in crate::data) fn row(&self) -> usize {
        self.next
    }

    /// The next `rows` values, NaN where one is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::data) fn next(&mut self, rows: usize) -> Result<Vec<f64>> {
        self.array.read(self.next, rows, &mut self.bytes)?;
        self.next += rows;
        Ok(self.array.columns_of(&[0], &self.bytes).concat())
    }
}

/// Labels written as numbers.
pub(in crate::data) fn labels(values: &[f64]) -> Text {
    let mut text = Text { codes: Vec::with_capacity(values.len()), ..Text::default() };
    // The first few, as which classes come, are found sooner one by one.
    let (mut few, mut index) = (Vec::with_capacity(FEW_LABELS), HashMap::new());
    for value in values {
        // Adding 0 makes -0 the same as 0.
        let bits = (value + 0.0).to_bits();
        let code = if value.is_nan() {
            MISSING
        } else if let Some(code) = few.iter().position(|one| *one == bits) {
            code as u32
        } else {
            let text = &mut text.values;
            *index.entry(bits).or_insert_with(|| {
                text.push((value + 0.0).to_string());
                if few.len() < FEW_LABELS {
                    few.push(bits);
                }
                text.len() as u32 - 1
            })
        };
        text.codes.push(code);
    }
    text
}

/// Reads the header and tells how many bytes it has. npyz parses it recursively and multiplies the shape unchecked,
/// so what is no plain array's header is refused before.
fn read_header(path: &Path, reader: &mut BufReader<File>) -> Result<(NpyHeader, u64)> {
    let bad = || Error::data(path, "this is not a NumPy array file, or its header is damaged");
    let mut header = vec![0; 10];
    reader.read_exact(&mut header).map_err(|_| bad())?;
    if !header.starts_with(b"\x93NUMPY") {
        return Err(bad());
    }
    let length = if header[6] == 1 {
        usize::from(u16::from_le_bytes([header[8], header[9]]))
    } else {
        let mut high = [0; 2];
        reader.read_exact(&mut high).map_err(|_| bad())?;
        header.extend(high);
        u32::from_le_bytes([header[8], header[9], high[0], high[1]]) as usize
    };
    if length > HEADER_BYTES {
        return Err(bad());
    }
    let start = header.len();
    header.resize(start + length, 0);
    reader.read_exact(&mut header[start..]).map_err(|_| bad())?;
    let digits = header[start..].iter().filter(|b| b.is_ascii_digit()).count();
    let brackets = header[start..].iter().filter(|b| b"([{".contains(b)).count();
    // 19 digits cannot multiply to more than u64 holds.
    if digits > 19 || brackets > 8 {
        return Err(Error::data(path, "an array of records or of impossible size; expected a plain matrix"));
    }
    let parsed = NpyHeader::from_reader(header.as_slice()).map_err(|_| bad())?;
    Ok((parsed, header.len() as u64))
}
