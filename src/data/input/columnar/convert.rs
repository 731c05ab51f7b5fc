//! Arrow arrays become the cells of a batch.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{AnyDictionaryArray, Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};
use chrono::DateTime;

use super::super::{Cells, Declared, Kind, MISSING, Text, cell};

const SECONDS_A_DAY: i64 = 86_400;
/// The largest power of ten, and the largest integers, that an `f64` holds with nothing lost.
const EXACT_POWER: i8 = 22;
const EXACT_INTEGER: u128 = 1 << 53;

/// The cells of a column, and the first that is not what it should be: its row and what it says.
pub(super) struct Converted {
    pub(super) cells: Cells,
    pub(super) fault: Option<(usize, Vec<u8>)>,
}

/// What columns of an Arrow type hold; nothing where the type is not one of those read.
pub(super) fn content(of: &DataType) -> Option<Declared> {
    use DataType::*;
    match of {
        Null | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => Some(Declared::Number),
        Float16 | Float32 | Float64 => Some(Declared::Number),
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Some(Declared::Number),
        Date32 | Date64 | Timestamp(..) => Some(Declared::Date),
        Utf8 | LargeUtf8 | Utf8View | Boolean => Some(Declared::Text),
        Dictionary(_, values) => content(values),
        _ => None,
    }
}

/// Cells of `kind` out of an array.
pub(super) fn convert(array: ArrayRef, kind: Kind) -> Converted {
    match kind {
        Kind::Text => return Converted { cells: Cells::Text(text(&array)), fault: None },
        Kind::Kept => return Converted { cells: Cells::Kept(kept(&array)), fault: None },
        _ => {}
    }
    let at_fault = |x: &f64| x.is_infinite() || (kind == Kind::Weight && *x < 0.0);
    if kind != Kind::Date && *array.data_type() == DataType::Float64 && array.null_count() == 0 {
        let numbers = own(array);
        let fault = numbers.iter().position(at_fault).map(|row| (row, numbers[row].to_string().into_bytes()));
        return Converted { cells: Cells::Number(numbers), fault };
    }
    let numbers = numbers(&array, kind == Kind::Date);
    let fault = numbers.iter().position(at_fault).map(|row| {
        let shown = text(&array.slice(row, 1)).values.pop();
        (row, shown.unwrap_or_default().into_bytes())
    });
    Converted { cells: Cells::Number(numbers), fault }
}

/// The values of an array of `f64` without nulls, taken over where nothing else holds them.
fn own(array: ArrayRef) -> Vec<f64> {
    let values = array.as_primitive::<Float64Type>().values().clone();
    drop(array);
    values.into_inner().into_vec().unwrap_or_else(|shared| shared.typed_data::<f64>().to_vec())
}

/// Numbers, or days since 1970-01-01 where a `date` is asked for; NaN where missing, infinite where the cell is
/// neither.
fn numbers(array: &dyn Array, date: bool) -> Vec<f64> {
    let mut numbers = match array.data_type() {
        DataType::Int8 => values::<Int8Type>(array, f64::from),
        DataType::Int16 => values::<Int16Type>(array, f64::from),
        DataType::Int32 => values::<Int32Type>(array, f64::from),
        DataType::Int64 => values::<Int64Type>(array, |x| x as f64),
        DataType::UInt8 => values::<UInt8Type>(array, f64::from),
        DataType::UInt16 => values::<UInt16Type>(array, f64::from),
        DataType::UInt32 => values::<UInt32Type>(array, f64::from),
        DataType::UInt64 => values::<UInt64Type>(array, |x| x as f64),
        DataType::Float16 => values::<Float16Type>(array, f64::from),
        DataType::Float32 => values::<Float32Type>(array, f64::from),
        DataType::Float64 => values::<Float64Type>(array, |x| x),
        DataType::Decimal32(_, scale) => values::<Decimal32Type>(array, |x| decimal(i128::from(x), *scale)),
        DataType::Decimal64(_, scale) => values::<Decimal64Type>(array, |x| decimal(i128::from(x), *scale)),
        DataType::Decimal128(_, scale) => values::<Decimal128Type>(array, |x| decimal(x, *scale)),
        DataType::Decimal256(_, scale) => values::<Decimal256Type>(array, |x| match x.to_i128() {
            Some(x) => decimal(x, *scale),
            None => parsed_decimal(x, *scale),
        }),
        DataType::Date32 => values::<Date32Type>(array, f64::from),
        DataType::Date64 => values::<Date64Type>(array, |x| days(x, TimeUnit::Millisecond)),
        DataType::Timestamp(unit @ TimeUnit::Second, _) => values::<TimestampSecondType>(array, |x| days(x, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Millisecond, _) => {
            values::<TimestampMillisecondType>(array, |x| days(x, *unit))
        }
        DataType::Timestamp(unit @ TimeUnit::Microsecond, _) => {
            values::<TimestampMicrosecondType>(array, |x| days(x, *unit))
        }
        DataType::Timestamp(unit @ TimeUnit::Nanosecond, _) => {
            values::<TimestampNanosecondType>(array, |x| days(x, *unit))
        }
        DataType::Boolean => {
            return array.as_boolean().iter().map(|x| x.map_or(f64::NAN, |_| f64::INFINITY)).collect();
        }
        DataType::Utf8 => return parsed(array.as_string::<i32>().iter(), date),
        DataType::LargeUtf8 => return parsed(array.as_string::<i64>().iter(), date),
        DataType::Utf8View => return parsed(array.as_string_view().iter(), date),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let of_keys = numbers(dictionary.values(), date);
            return keys(dictionary).map(|key| key.map_or(f64::NAN, |key| of_keys[key])).collect();
        }
        _ => vec![f64::NAN; array.len()],
    };
    if date != (content(array.data_type()) == Some(Declared::Date)) {
        numbers.iter_mut().filter(|x| !x.is_nan()).for_each(|x| *x = f64::INFINITY);
    }
    numbers
}

/// The values of an array, NaN where null.
fn values<T: ArrowPrimitiveType>(array: &dyn Array, to_number: impl Fn(T::Native) -> f64) -> Vec<f64> {
    let array = array.as_primitive::<T>();
    let mut numbers: Vec<f64> = array.values().iter().map(|x| to_number(*x)).collect();
    if let Some(nulls) = array.nulls() {
        numbers.iter_mut().zip(nulls).filter(|(_, valid)| !valid).for_each(|(x, _)| *x = f64::NAN);
    }
    numbers
}

/// The numbers or dates that text cells hold.
fn parsed<'a>(cells: impl Iterator<Item = Option<&'a str>>, date: bool) -> Vec<f64> {
    let value = |cell: Option<&str>| match cell.and_then(present) {
        None => f64::NAN,
        Some(cell) if date => cell::date(cell.as_bytes()).unwrap_or(f64::INFINITY),
        Some(cell) => cell::number(cell.as_bytes()).unwrap_or(f64::INFINITY),
    };
    cells.map(value).collect()
}

/// For each row of a dictionary array the position of its value; nothing where null.
fn keys(array: &dyn AnyDictionaryArray) -> impl Iterator<Item = Option<usize>> {
    let empty = array.values().is_empty();
    let keys = if empty { vec![0; array.len()] } else { array.normalized_keys() };
    keys.into_iter().enumerate().map(move |(row, key)| (!empty && array.is_valid(row)).then_some(key))
}

/// The number that is `digits` divided by ten to the power of `scale`, rounded once.
pub(super) fn decimal(digits: i128, scale: i8) -> f64 {
    if digits.unsigned_abs() <= EXACT_INTEGER && (0..=EXACT_POWER).contains(&scale) {
        return digits as f64 / 10f64.powi(i32::from(scale));
    }
    parsed_decimal(digits, scale)
}

fn parsed_decimal(digits: impl ToString, scale: i8) -> f64 {
    format!("{}e{}", digits.to_string(), -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

/// As [`decimal`], in digits and without zeros at its end.
pub(super) fn decimal_text(digits: impl ToString, scale: i8) -> String {
    let digits = digits.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let places = usize::from(scale.unsigned_abs());
    if scale < 0 && digits != "0" {
        return format!("{sign}{digits}{}", "0".repeat(places));
    } else if scale <= 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// Seconds and nanoseconds since 1970-01-01.
fn instant(time: i64, unit: TimeUnit) -> (i64, u32) {
    let (a_second, nanoseconds) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    (time.div_euclid(a_second), time.rem_euclid(a_second) as u32 * nanoseconds)
}

/// Days since 1970-01-01, computed as those of dates in text are.
fn days(time: i64, unit: TimeUnit) -> f64 {
    let (seconds, nanoseconds) = instant(time, unit);
    seconds as f64 / SECONDS_A_DAY as f64 + f64::from(nanoseconds) / (SECONDS_A_DAY as f64 * 1e9)
}

/// A date in ISO 8601; what no calendar reaches stands as its number.
fn date_text(seconds: i64) -> String {
    let date = DateTime::from_timestamp(seconds, 0).map(|time| time.date_naive());
    date.map_or_else(|| (seconds / SECONDS_A_DAY).to_string(), |date| format!("{date:?}"))
}

/// As [`date_text`], with the time of day; it is UTC where there is a time `zone`.
fn time_text(time: i64, unit: TimeUnit, zone: bool) -> String {
    let (seconds, nanoseconds) = instant(time, unit);
    match DateTime::from_timestamp(seconds, nanoseconds) {
        Some(time) => format!("{:?}{}", time.naive_utc(), if zone { "Z" } else { "" }),
        None => time.to_string(),
    }
}

/// A trimmed cell, unless it stands for a missing value.
fn present(cell: &str) -> Option<&str> {
    Some(cell.trim_ascii()).filter(|cell| !cell::is_missing(cell.as_bytes()))
}

/// What a cell says; nothing where it is missing. Dictionaries are not looked through.
fn printed(array: &dyn Array, row: usize) -> Option<Cow<'_, str>> {
    macro_rules! value {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row)
        };
    }
    if array.is_null(row) {
        return None;
    }
    let float = |x: f64, text: String| (!x.is_nan()).then_some(text);
    Some(Cow::Owned(match array.data_type() {
        DataType::Utf8 => return present(array.as_string::<i32>().value(row)).map(Cow::Borrowed),
        DataType::LargeUtf8 => return present(array.as_string::<i64>().value(row)).map(Cow::Borrowed),
        DataType::Utf8View => return present(array.as_string_view().value(row)).map(Cow::Borrowed),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => value!(Int8Type).to_string(),
        DataType::Int16 => value!(Int16Type).to_string(),
        DataType::Int32 => value!(Int32Type).to_string(),
        DataType::Int64 => value!(Int64Type).to_string(),
        DataType::UInt8 => value!(UInt8Type).to_string(),
        DataType::UInt16 => value!(UInt16Type).to_string(),
        DataType::UInt32 => value!(UInt32Type).to_string(),
        DataType::UInt64 => value!(UInt64Type).to_string(),
        DataType::Float16 => float(value!(Float16Type).into(), value!(Float16Type).to_string())?,
        DataType::Float32 => float(value!(Float32Type).into(), value!(Float32Type).to_string())?,
        DataType::Float64 => float(value!(Float64Type), value!(Float64Type).to_string())?,
        DataType::Decimal32(_, scale) => decimal_text(value!(Decimal32Type), *scale),
        DataType::Decimal64(_, scale) => decimal_text(value!(Decimal64Type), *scale),
        DataType::Decimal128(_, scale) => decimal_text(value!(Decimal128Type), *scale),
        DataType::Decimal256(_, scale) => decimal_text(value!(Decimal256Type), *scale),
        DataType::Date32 => date_text(SECONDS_A_DAY * i64::from(value!(Date32Type))),
        DataType::Date64 => date_text(instant(value!(Date64Type), TimeUnit::Millisecond).0),
        DataType::Timestamp(unit, zone) => {
            let time = match unit {
                TimeUnit::Second => value!(TimestampSecondType),
                TimeUnit::Millisecond => value!(TimestampMillisecondType),
                TimeUnit::Microsecond => value!(TimestampMicrosecondType),
                TimeUnit::Nanosecond => value!(TimestampNanosecondType),
            };
            time_text(time, *unit, zone.is_some())
        }
        _ => return None,
    }))
}

/// What the cells say, as they stand; nothing where missing.
fn kept(array: &dyn Array) -> Vec<String> {
    if !matches!(array.data_type(), DataType::Dictionary(..)) {
        return (0..array.len()).map(|row| printed(array, row).map_or_else(String::new, Cow::into_owned)).collect();
    }
    let Text { codes, values } = text(array);
    codes.iter().map(|code| values.get(*code as usize).cloned().unwrap_or_default()).collect()
}

/// What the cells say, as codes.
fn text(array: &dyn Array) -> Text {
    let mut seen = Seen::default();
    let codes = match (array.data_type(), array.data_type().primitive_width()) {
        (DataType::Utf8, _) => seen.strings(array.as_string::<i32>().iter()),
        (DataType::LargeUtf8, _) => seen.strings(array.as_string::<i64>().iter()),
        (DataType::Utf8View, _) => seen.strings(array.as_string_view().iter()),
        (DataType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            let mut codes = vec![None; values.len()];
            let mut code = |key: usize| *codes[key].get_or_insert_with(|| seen.code(printed(values, key)));
            keys(dictionary).map(|key| key.map_or(MISSING, &mut code)).collect()
        }
        // Equal bytes are equal values, whatever the type, and are printed but once.
        (_, Some(width)) => {
            let data = array.to_data();
            let bytes = data.buffers().first().map_or(&[][..], |buffer| buffer.as_slice());
            let cells = bytes.chunks_exact(width).skip(data.offset()).take(array.len());
            let mut codes = HashMap::new();
            let code = |(row, cell)| {
                if array.is_null(row) {
                    return MISSING;
                }
                *codes.entry(cell).or_insert_with(|| seen.code(printed(array, row)))
            };
            cells.enumerate().map(code).collect()
        }
        _ => (0..array.len()).map(|row| seen.code(printed(array, row))).collect(),
    };
    Text { codes, values: seen.values }
}

/// The distinct texts met so far.
#[derive(Default)]
struct Seen<'a> {
    values: Vec<String>,
    index: HashMap<Cow<'a, str>, u32>,
}

impl<'a> Seen<'a> {
    fn code(&mut self, cell: Option<Cow<'a, str>>) -> u32 {
        let Some(cell) = cell else { return MISSING };
        *self.index.entry(cell).or_insert_with_key(|cell| {
            self.values.push(cell.to_string());
            self.values.len() as u32 - 1
        })
    }

    fn strings(&mut self, cells: impl Iterator<Item = Option<&'a str>>) -> Vec<u32> {
        let mut last = (None, MISSING);
        let code = |cell: Option<&'a str>| {
            if last.0 != cell {
                last = (cell, self.code(cell.and_then(present).map(Cow::Borrowed)));
            }
            last.1
        };
        cells.map(code).collect()
    }
}
