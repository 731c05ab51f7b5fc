//! Tests of what the types of both formats say.

use ::parquet::basic::Encoding;
use ::parquet::file::properties::WriterVersion;
use arrow_array::types::{Float16Type, Int8Type, UInt16Type};
use arrow_buffer::i256;

use super::super::convert::{decimal, decimal_text};
use super::*;

/// Columns of every type that is read, with the numbers (or days) and the texts that its three rows say.
fn every_type() -> Vec<(ArrayRef, Declared, [f64; 3], [&'static str; 3])> {
    use Declared::{Date, Number, Text};
    let (whole, shown) = ([1.0, NAN, 2.0], ["1", "-", "2"]);
    let day = 1_359_628_200; // 2013-01-31T10:30:00
    let (days, time) = ([15736.4375, NAN, -1.5], ["2013-01-31T10:30:00", "-", "1969-12-30T12:00:00"]);
    let zoned = ["2013-01-31T10:30:00Z", "-", "1969-12-30T12:00:00Z"];
    macro_rules! whole {
        ($($array:ident),*) => {
            vec![$(
                (Arc::new($array::from(vec![Some(1 as _), None, Some(2 as _)])) as ArrayRef, Number, whole, shown)
            ),*]
        };
    }
    let mut all = whole![
        Int8Array,
        Int16Array,
        Int32Array,
        Int64Array,
        UInt8Array,
        UInt16Array,
        UInt32Array,
        UInt64Array,
        Float32Array,
        Float64Array
    ];
    let half = |x: u16| <Float16Type as ArrowPrimitiveType>::Native::from_bits(x);
    let decimals = ([1.5, NAN, -0.05], ["1.5", "-", "-0.05"]);
    let words = ["a", "-", "b"];
    let keys = || Int8Array::from(vec![Some(2), None, Some(1)]);
    macro_rules! add {
        ($array:expr, $($rest:expr),*) => { all.push((Arc::new($array) as ArrayRef, $($rest),*)) };
    }
    add!(
        Float16Array::from(vec![half(0x3e00), half(0x7e00), half(0xc000)]),
        Number,
        [1.5, NAN, -2.0],
        ["1.5", "-", "-2"]
    );
    add!(
        Float32Array::from(vec![0.1, f32::NAN, 1e20]),
        Number,
        [f64::from(0.1f32), NAN, f64::from(1e20f32)],
        ["0.1", "-", "100000000000000000000"]
    );
    add!(Float64Array::from(vec![0.1, NAN, -1e-7]), Number, [0.1, NAN, -1e-7], ["0.1", "-", "-0.0000001"]);
    add!(
        Decimal32Array::from(vec![Some(150), None, Some(-5)]).with_precision_and_scale(9, 2).unwrap(),
        Number,
        decimals.0,
        decimals.1
    );
    add!(
        Decimal64Array::from(vec![Some(150), None, Some(-5)]).with_precision_and_scale(18, 2).unwrap(),
        Number,
        decimals.0,
        decimals.1
    );
    add!(
        Decimal128Array::from(vec![Some(150), None, Some(-5)]).with_precision_and_scale(38, 2).unwrap(),
        Number,
        decimals.0,
        decimals.1
    );
    let wide = |x: i128| Some(i256::from_i128(x));
    add!(
        Decimal256Array::from(vec![wide(150), None, wide(-5)]).with_precision_and_scale(76, 2).unwrap(),
        Number,
        decimals.0,
        decimals.1
    );
    add!(NullArray::new(3), Number, [NAN; 3], ["-"; 3]);
    add!(
        Date32Array::from(vec![Some(15736), None, Some(-1)]),
        Date,
        [15736.0, NAN, -1.0],
        ["2013-01-31", "-", "1969-12-31"]
    );
    add!(
        Date64Array::from(vec![Some(15736 * 86_400_000), None, Some(-86_400_000)]),
        Date,
        [15736.0, NAN, -1.0],
        ["2013-01-31", "-", "1969-12-31"]
    );
    add!(TimestampSecondArray::from(vec![Some(day), None, Some(-129_600)]), Date, days, time);
    add!(TimestampMillisecondArray::from(vec![Some(day * 1_000), None, Some(-129_600_000)]), Date, days, time);
    add!(
        TimestampMicrosecondArray::from(vec![Some(day * 1_000_000), None, Some(-129_600_000_000)])
            .with_timezone("+02:00"),
        Date,
        days,
        zoned
    );
    add!(
        TimestampNanosecondArray::from(vec![Some(day * 1_000_000_000), None, Some(-129_600_000_000_000)])
            .with_timezone("UTC"),
        Date,
        days,
        zoned
    );
    add!(
        TimestampMillisecondArray::from(vec![Some(500), None, Some(-1)]),
        Date,
        [0.5 / 86_400.0, NAN, -0.001 / 86_400.0],
        ["1970-01-01T00:00:00.500", "-", "1969-12-31T23:59:59.999"]
    );
    add!(StringArray::from(vec![Some(" a\t"), Some("n/a"), Some("b")]), Text, [NAN; 3], words);
    add!(LargeStringArray::from(vec![Some("a"), Some("  "), Some("b")]), Text, [NAN; 3], words);
    add!(
        StringViewArray::from(vec![Some("a"), None, Some("a text that is too long to stand in its view")]),
        Text,
        [NAN; 3],
        ["a", "-", "a text that is too long to stand in its view"]
    );
    add!(BooleanArray::from(vec![Some(true), None, Some(false)]), Text, [NAN; 3], ["true", "-", "false"]);
    let values = || Arc::new(StringArray::from(vec![Some("unused"), Some("b"), Some("a ")])) as ArrayRef;
    add!(DictionaryArray::new(keys(), values()), Text, [NAN; 3], words);
    let wide_keys = UInt16Array::from(vec![2, 0, 1]);
    let with_null = Arc::new(StringArray::from(vec![None, Some("b"), Some("a")]));
    add!(DictionaryArray::<UInt16Type>::new(wide_keys, with_null), Text, [NAN; 3], words);
    add!(DictionaryArray::<Int8Type>::new(keys(), Arc::new(Int64Array::from(vec![9, 2, 1]))), Number, whole, shown);
    add!(
        DictionaryArray::<Int8Type>::new(keys(), Arc::new(Date32Array::from(vec![9, -1, 15736]))),
        Date,
        [15736.0, NAN, -1.0],
        ["2013-01-31", "-", "1969-12-31"]
    );
    all
}

#[test]
fn every_type_says_the_same_in_every_format() {
    let mut seen = 0;
    let same = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(x, y)| (x - y).abs() <= 1e-15 * y.abs().max(1.0) || x.is_nan() && y.is_nan()),
            "{found:?}"
        );
    };
    for (array, declared, numbers, expected) in every_type() {
        for form in FORMS {
            let batch = table(vec![("x", Arc::clone(&array))]);
            let file = saved(&written(form, std::slice::from_ref(&batch), false));
            let field = open(form, &Source::new(file.path())).unwrap().fields()[0].clone();
            assert_eq!(field, Field { name: "x".into(), declared }, "{form:?} {}", array.data_type());
            let found = read(form, std::slice::from_ref(&batch), &[(0, Kind::Text), (0, Kind::Kept)]).unwrap();
            assert_eq!(texts(&found, 0), expected, "{form:?} {}", array.data_type());
            let kept: Vec<&str> = expected.iter().map(|text| if *text == "-" { "" } else { text }).collect();
            assert_eq!(found.kept[0], kept, "{form:?} {}", array.data_type());
            match declared {
                Declared::Text => {}
                Declared::Date => same(&read(form, &[batch], &[(0, Kind::Date)]).unwrap().numbers[0], &numbers),
                _ => same(&read(form, &[batch], &[(0, Kind::Number)]).unwrap().numbers[0], &numbers),
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 3 * 33);
}

#[test]
fn decimals_are_rounded_once_and_printed_in_full() {
    assert_eq!(decimal(9_007_199_254_740_993, 3), 9_007_199_254_740.993);
    assert_eq!(decimal(-12345, -2), -1_234_500.0);
    assert_eq!(decimal(1, 30), 1e-30);
    let cases = [
        (0, 0, "0"),
        (0, 2, "0"),
        (0, -2, "0"),
        (100, 2, "1"),
        (-7, 3, "-0.007"),
        (-12, -2, "-1200"),
        (1050, 2, "10.5"),
    ];
    let right = cases.iter().filter(|(digits, scale, text)| decimal_text(digits, *scale) == *text);
    assert_eq!(right.count(), 7);
}

#[test]
fn times_that_no_calendar_reaches_stand_as_numbers() {
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX, i64::MIN, 0]));
    let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, i32::MIN, 0]));
    let batch = table(vec![("far", far), ("days", days)]);
    let found =
        read(Form::File, &[batch], &[(0, Kind::Text), (1, Kind::Text), (0, Kind::Date), (1, Kind::Date)]).unwrap();
    assert_eq!(texts(&found, 0), ["9223372036854775807", "-9223372036854775808", "1970-01-01T00:00:00"]);
    assert_eq!(texts(&found, 1), ["2147483647", "-2147483648", "1970-01-01"]);
    assert_eq!(found.numbers[1], [2_147_483_647.0, -2_147_483_648.0, 0.0]);
}

#[test]
fn strings_in_delta_encodings_are_read() {
    let words: Vec<Option<String>> = (0..1000u32)
        .map(|i| (i % 7 > 0).then(|| format!("{:04}{}", i % 40 * 211, "x".repeat(i as usize % 9))))
        .collect();
    let batch = table(vec![("t", Arc::new(words.iter().cloned().collect::<StringArray>()))]);
    let mut seen = 0;
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            let properties = WriterProperties::builder().set_writer_version(version).set_dictionary_enabled(false);
            let mut writer =
                ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.set_encoding(encoding).build()))
                    .unwrap();
            writer.write(&batch).unwrap();
            let file = saved(&writer.into_inner().unwrap());
            let found = read_path(Form::Parquet, file.path(), &[(0, Kind::Text)]).unwrap();
            assert_eq!(
                texts(&found, 0),
                words.iter().map(|word| word.clone().unwrap_or("-".into())).collect::<Vec<_>>()
            );
            seen += found.rows;
        }
    }
    assert_eq!(seen, 4000);
}
