//! NumPy arrays: kept in the precision of the file, read by column.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bytemuck::Pod;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::block::LANES;
use super::delimited::open_file;
use super::storage::Storage;
use super::text::{At, Gap, MISSING, Text};
use crate::error::{Error, Place, Result};
use crate::monitor::{Event, Monitor};

/// Longest header that is read, which is NumPy's own limit.
const HEADER_BYTES: usize = 10_000;
/// Bytes converted at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The values of an array, and zeros after them up to a whole number of groups of rows.
#[derive(Debug)]
enum Elements {
    F32(Storage<f32>),
    F64(Storage<f64>),
}

/// One array of one or two dimensions.
#[derive(Debug)]
struct Array {
    rows: usize,
    columns: usize,
    fortran: bool,
    elements: Elements,
}

impl Array {
    fn index(&self, row: usize, column: usize) -> usize {
        if self.fortran { column * self.rows + row } else { row * self.columns + column }
    }

    fn value(&self, row: usize, column: usize) -> f64 {
        let index = self.index(row, column);
        match &self.elements {
            Elements::F32(values) => f64::from(values[index]),
            Elements::F64(values) => values[index],
        }
    }

    /// Writes `column` of the rows from `start` on to `out`.
    fn fill(&self, column: usize, start: usize, out: &mut [f64]) {
        let stride = if self.fortran { 1 } else { self.columns };
        let first = self.index(start, column);
        match &self.elements {
            Elements::F32(values) => {
                out.iter_mut()
                    .zip(values[first..].iter().step_by(stride))
                    .for_each(|(x, value)| *x = f64::from(*value));
            }
            Elements::F64(values) => {
                out.iter_mut().zip(values[first..].iter().step_by(stride)).for_each(|(x, value)| *x = *value);
            }
        }
    }
}

/// Matrices of equal width, one below the other.
#[derive(Debug)]
pub(super) struct Arrays {
    parts: Vec<Array>,
    /// First row of each part.
    starts: Vec<usize>,
    rows: usize,
    columns: usize,
}

impl Arrays {
    /// Reads matrices; the gaps are their NaN, by column.
    pub(super) fn read(paths: &[impl AsRef<Path>], monitor: &dyn Monitor) -> Result<(Self, Vec<Gap>)> {
        let mut arrays = Arrays { parts: Vec::new(), starts: Vec::new(), rows: 0, columns: 0 };
        let mut missed: Vec<Missed> = Vec::new();
        let sizes = paths.iter().map(|p| std::fs::metadata(p).map_or(0, |m| m.len()));
        let (total_bytes, mut bytes) = (sizes.sum(), 0);
        for (file, path) in paths.iter().map(AsRef::as_ref).enumerate() {
            let part = read_array(path)?;
            if file == 0 {
                arrays.columns = part.columns;
                missed.resize(part.columns, None);
            } else if part.columns != arrays.columns {
                let message = format!("{} columns, but the first file has {}", part.columns, arrays.columns);
                return Err(Error::data(path, message));
            }
            find_gaps(&part, path, file, &mut missed)?;
            arrays.starts.push(arrays.rows);
            arrays.rows += part.rows;
            arrays.parts.push(part);
            bytes += std::fs::metadata(path).map_or(0, |m| m.len());
            monitor.event(Event::Reading { file: path, rows: arrays.rows as u64, bytes, total_bytes });
        }
        let gap = |(column, missed): (usize, &Missed)| {
            missed.map(|(count, first)| Gap { column: format!("x{column}"), count, first })
        };
        let gaps = missed.iter().enumerate().filter_map(gap).collect();
        Ok((arrays, gaps))
    }

    /// Whether it is one matrix of f32 that lies row by row.
    pub(super) fn is_rows_of_f32(&self) -> bool {
        matches!(self.parts.as_slice(), [Array { fortran: false, elements: Elements::F32(_), .. }])
    }

    /// Its values row by row and zeros after them up to a whole group of rows, if [`Arrays::is_rows_of_f32`].
    pub(super) fn into_rows(self) -> Option<Storage<f32>> {
        match self.parts.into_iter().next()?.elements {
            Elements::F32(values) => Some(values),
            Elements::F64(_) => None,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Writes `column` of the rows from `start` on to `out`.
    pub(super) fn fill(&self, column: usize, mut start: usize, mut out: &mut [f64]) {
        let first = self.starts.partition_point(|first| *first <= start) - 1;
        for (part, first) in self.parts.iter().zip(&self.starts).skip(first) {
            let (here, rest) = out.split_at_mut(out.len().min(first + part.rows - start));
            part.fill(column, start - first, here);
            (start, out) = (start + here.len(), rest);
        }
    }

    /// Value at `row`, `column`.
    pub(super) fn value(&self, row: usize, column: usize) -> f64 {
        let part = self.starts.partition_point(|start| *start <= row) - 1;
        self.parts[part].value(row - self.starts[part], column)
    }
}

/// Reads the vector (n or n×1) that goes with a matrix of `rows` rows; NaN is a gap.
pub(super) fn read_vector(path: &Path, rows: usize, name: &str) -> Result<(Vec<f64>, Option<Gap>)> {
    let array = read_array(path)?;
    if array.columns != 1 {
        return Err(Error::data(path, format!("expected one column, found {}", array.columns)));
    }
    if array.rows != rows {
        return Err(Error::data(path, format!("{} values, but the data has {rows} rows", array.rows)));
    }
    let mut missed = [None];
    find_gaps(&array, path, 0, &mut missed)?;
    let values = (0..rows).map(|i| array.value(i, 0)).collect();
    Ok((values, missed[0].map(|(count, first)| Gap { column: name.to_string(), count, first })))
}

/// Labels written as numbers.
pub(super) fn labels(values: &[f64]) -> Result<Text, String> {
    let mut text = Text::default();
    for (i, value) in values.iter().enumerate() {
        if value.is_nan() {
            text.codes.push(MISSING);
        } else {
            text.push(value.to_string().as_bytes(), Some(|| At { file: 0, line: i as u64 + 1 }))?;
        }
    }
    Ok(text)
}

/// Missing values of one column: how many, and the first of them.
type Missed = Option<(u64, At)>;

/// Adds the NaN of `part` to `missed`, by column; an infinite value is an error.
fn find_gaps(part: &Array, path: &Path, file: usize, missed: &mut [Missed]) -> Result<()> {
    let finite = |i: usize| match &part.elements {
        Elements::F32(values) => values[i].is_finite(),
        Elements::F64(values) => values[i].is_finite(),
    };
    for i in (0..part.rows * part.columns).filter(|i| !finite(*i)) {
        let (row, column) =
            if part.fortran { (i % part.rows, i / part.rows) } else { (i / part.columns, i % part.columns) };
        let at = At { file, line: row as u64 + 1 };
        if !part.value(row, column).is_nan() {
            let place = Place { file: path.to_path_buf(), line: Some(at.line), column: Some(format!("x{column}")) };
            return Err(Error::Data { place, message: "the value is infinite".to_string() });
        }
        let (count, first) = missed[column].unwrap_or((0, at));
        missed[column] = Some((count + 1, first.min(at)));
    }
    Ok(())
}

fn read_array(path: &Path) -> Result<Array> {
    let bad = |message: &str| Error::data(path, message);
    let file = open_file(path)?;
    let length = file.metadata().map_err(|e| Error::io(path, e))?.len();
    let mut reader = BufReader::new(file);
    let (header, header_bytes) = read_header(path, &mut reader)?;
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
    let found = length.saturating_sub(header_bytes);
    if found != expected {
        return Err(bad(&format!(
            "the header promises {rows} × {columns} values of {size} bytes, but {found} bytes follow it; the file is \
             damaged or was cut"
        )));
    }
    if rows == 0 || columns == 0 {
        return Err(bad("the array is empty"));
    }
    let padded = rows.div_ceil(LANES as u64) * LANES as u64 * columns;
    let big = dtype.endianness() == Endianness::Big;
    // The sizes fit: they are those of a file that exists, though a 32-bit machine may not hold it.
    let whole = |n: u64| usize::try_from(n).map_err(|_| bad("too large for this machine"));
    let (count, padded) = (whole(rows * columns)?, whole(padded)?);
    macro_rules! read {
        ($variant:ident, $from:ty, $convert:expr) => {
            Elements::$variant(read_elements(
                path,
                &mut reader,
                [count, padded],
                |bytes: &[u8; size_of::<$from>()]| {
                    ($convert)(if big { <$from>::from_be_bytes(*bytes) } else { <$from>::from_le_bytes(*bytes) })
                },
            )?)
        };
    }
    let elements = match (dtype.type_char(), size) {
        (TypeChar::Float, 4) => read!(F32, f32, |x| x),
        (TypeChar::Float, 8) => read!(F64, f64, |x| x),
        (TypeChar::Bool, 1) => read!(F32, u8, |x| f32::from(u8::from(x != 0))),
        (TypeChar::Int, 1) => read!(F32, i8, f32::from),
        (TypeChar::Int, 2) => read!(F32, i16, f32::from),
        (TypeChar::Int, 4) => read!(F64, i32, f64::from),
        (TypeChar::Int, 8) => read!(F64, i64, |x| x as f64),
        (TypeChar::Uint, 1) => read!(F32, u8, f32::from),
        (TypeChar::Uint, 2) => read!(F32, u16, f32::from),
        (TypeChar::Uint, 4) => read!(F64, u32, f64::from),
        (TypeChar::Uint, 8) => read!(F64, u64, |x| x as f64),
        _ => {
            return Err(bad(&format!(
                "values of type {dtype}; those read are f4, f8, integers and bool (NumPy: x.astype('f8'))"
            )));
        }
    };
    let columns = whole(columns)?;
    Ok(Array { rows: count / columns, columns, fortran: header.order() == Order::Fortran, elements })
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

/// Reads `count` elements of `N` bytes into room for `padded`.
fn read_elements<T: Pod, const N: usize>(
    path: &Path,
    reader: &mut impl Read,
    [count, padded]: [usize; 2],
    convert: impl Fn(&[u8; N]) -> T,
) -> Result<Storage<T>> {
    let mut elements = Storage::zeros(padded)?;
    let mut buffer = vec![0; CHUNK_BYTES / N * N];
    for elements in elements[..count].chunks_mut(CHUNK_BYTES / N) {
        let bytes = &mut buffer[..elements.len() * N];
        reader.read_exact(bytes).map_err(|e| Error::io(path, e))?;
        elements.iter_mut().zip(bytes.as_chunks::<N>().0).for_each(|(element, bytes)| *element = convert(bytes));
    }
    Ok(elements)
}
