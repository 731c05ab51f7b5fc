//! Tests of both formats on files written by the crates' own writers.

mod types;

use std::io::Write;
use std::path::Path;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow_array::types::Int8Type;
use arrow_array::*;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::Field as Column;
use tempfile::NamedTempFile;

use super::super::{MISSING, Reader, Text};
use super::*;

const NAN: f64 = f64::NAN;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Parquet,
    File,
    Stream,
}

const FORMS: [Form; 3] = [Form::Parquet, Form::File, Form::Stream];

/// What was read of a file.
#[derive(Debug, Default, PartialEq)]
struct Found {
    numbers: Vec<Vec<f64>>,
    /// Texts, each with its code in its batch.
    texts: Vec<Vec<Option<(u32, String)>>>,
    kept: Vec<Vec<String>>,
    rows: usize,
    largest_batch: usize,
    fault: Option<(usize, u64, String)>,
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Column> =
        columns.iter().map(|(name, array)| Column::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

/// The bytes of a file in which each batch is one batch or, in Parquet, in row groups of at most five rows.
fn written(form: Form, batches: &[RecordBatch], packed: bool) -> Vec<u8> {
    let schema = batches[0].schema();
    let mut bytes = Vec::new();
    let compression = packed.then_some(CompressionType::ZSTD);
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    match form {
        Form::Parquet => {
            let codec = if packed { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
            let properties =
                WriterProperties::builder().set_max_row_group_row_count(Some(5)).set_compression(codec).build();
            let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.close().unwrap();
        }
        Form::File => {
            let mut writer = FileWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
        }
        Form::Stream => {
            let mut writer = StreamWriter::try_new_with_options(&mut bytes, &schema, options).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap();
        }
    }
    bytes
}

fn saved(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn open(form: Form, source: &Source) -> Result<Box<dyn Reader>> {
    Ok(match form {
        Form::Parquet => Box::new(Parquet::open(source)?),
        Form::File | Form::Stream => Box::new(Arrow::open(source)?),
    })
}

fn read_path(form: Form, path: &Path, wanted: &[(usize, Kind)]) -> Result<Found> {
    let source = Source::new(path);
    let mut reader = open(form, &source)?;
    if let Some((field, _)) = wanted.iter().find(|(field, _)| *field >= reader.fields().len()) {
        return Err(Error::data(path, format!("there is no column {field}")));
    }
    reader.start(wanted.iter().map(|(field, kind)| Request { field: *field, kind: *kind }).collect());
    let mut found = Found::default();
    while let Some(batches) = reader.next()? {
        assert!(!batches.is_empty());
        for batch in batches {
            assert_eq!((found.fault.is_some(), batch.columns.len()), (false, wanted.len()));
            assert_eq!(batch.lines.of(0), found.rows as u64 + 1);
            let (mut number, mut text, mut kept) = (0, 0, 0);
            for cells in batch.columns {
                match cells {
                    Cells::Number(values) => {
                        assert_eq!(values.len(), batch.rows);
                        found.numbers.resize(found.numbers.len().max(number + 1), Vec::new());
                        found.numbers[number].extend(values);
                        number += 1;
                    }
                    Cells::Text(Text { codes, values }) => {
                        assert_eq!(codes.len(), batch.rows);
                        found.texts.resize(found.texts.len().max(text + 1), Vec::new());
                        let cell = |code: &u32| (*code != MISSING).then(|| (*code, values[*code as usize].clone()));
                        found.texts[text].extend(codes.iter().map(cell));
                        text += 1;
                    }
                    Cells::Kept(cells) => {
                        assert_eq!(cells.len(), batch.rows);
                        found.kept.resize(found.kept.len().max(kept + 1), Vec::new());
                        found.kept[kept].extend(cells);
                        kept += 1;
                    }
                }
            }
            found.rows += batch.rows;
            found.largest_batch = found.largest_batch.max(batch.rows);
            if let Some(Fault::Cell { column, line, text }) = batch.fault {
                found.fault = Some((column, line, String::from_utf8(text).unwrap()));
            }
        }
    }
    if found.fault.is_none() {
        assert_eq!(source.bytes.load(Ordering::Relaxed), std::fs::metadata(path).unwrap().len());
    }
    assert!(reader.next().unwrap().is_none());
    Ok(found)
}

fn read(form: Form, batches: &[RecordBatch], wanted: &[(usize, Kind)]) -> Result<Found> {
    let file = saved(&written(form, batches, true));
    read_path(form, file.path(), wanted)
}

fn texts(found: &Found, column: usize) -> Vec<String> {
    found.texts[column].iter().map(|cell| cell.as_ref().map_or("-".into(), |(_, text)| text.clone())).collect()
}

#[test]
fn row_groups_and_batches_come_in_order_with_what_was_asked_for() {
    let words = ["x", "y", "x", "z", "", "y", "y", "w", "x", "u", "x"];
    let batch = |from: usize| {
        let number: ArrayRef = Arc::new(Float64Array::from_iter_values((from..from + 11).map(|i| i as f64)));
        let nested: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..11).map(|_| b"x")));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(words));
        let coded: DictionaryArray<Int8Type> = words.into_iter().collect();
        table(vec![("n", number), ("skipped", nested), ("t", text), ("d", Arc::new(coded))])
    };
    let wanted = [(2, Kind::Text), (0, Kind::Kept), (3, Kind::Text), (0, Kind::Number), (2, Kind::Kept)];
    let mut seen = 0;
    for form in FORMS {
        let found = read(form, &[batch(0), batch(11), batch(22)], &wanted).unwrap();
        assert_eq!(found.numbers, [(0..33).map(f64::from).collect::<Vec<_>>()]);
        assert_eq!(found.kept[0], (0..33).map(|i| i.to_string()).collect::<Vec<_>>());
        assert_eq!(found.kept[1].iter().map(String::as_str).collect::<Vec<_>>(), words.repeat(3));
        assert_eq!(found.texts[0], found.texts[1]);
        assert_eq!(texts(&found, 0)[..11].concat(), "xyxz-yywxux");
        let codes: Vec<u32> = found.texts[0].iter().take(3).map(|cell| cell.as_ref().unwrap().0).collect();
        assert_eq!((found.rows, found.largest_batch, codes), (33, 4, vec![0, 1, 0]));
        assert_eq!(read(form, &[batch(0)], &[]).unwrap().rows, 11);
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_first_row_with_a_cell_that_does_not_fit_ends_the_rows() {
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0, NAN, 2.0, 3.0, 4.0, f64::NEG_INFINITY, 6.0]));
    let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0, 4.0, -5.5, f32::INFINITY, 6.0]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1", " 2 ", "NA", "2013-01-31", "1e999", "true", "7"]));
    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![None, Some(false), None, None, None, None, None]));
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![None, None, None, None, None, None, Some(15736)]));
    let coded: DictionaryArray<Int8Type> = ["1", "1", "2", "b", "a", "a", "b"].into_iter().collect();
    let batch =
        table(vec![("n", numbers), ("f", floats), ("t", text), ("b", flags), ("d", dates), ("c", Arc::new(coded))]);
    let cases: [(&[(usize, Kind)], _); 11] = [
        (&[(0, Kind::Number)], (0, 6, "-inf")),
        (&[(0, Kind::GuessedNumber), (1, Kind::Weight)], (1, 5, "-5.5")),
        (&[(1, Kind::Offset)], (0, 6, "inf")),
        (&[(1, Kind::Number), (0, Kind::Offset)], (0, 6, "inf")),
        (&[(2, Kind::Number)], (0, 4, "2013-01-31")),
        (&[(0, Kind::Kept), (2, Kind::Date)], (1, 1, "1")),
        (&[(3, Kind::Number), (0, Kind::Number)], (0, 2, "false")),
        (&[(3, Kind::Date)], (0, 2, "false")),
        (&[(4, Kind::Number)], (0, 7, "2013-01-31")),
        (&[(0, Kind::Date)], (0, 1, "1")),
        (&[(4, Kind::Date), (5, Kind::Number), (2, Kind::Text)], (1, 4, "b")),
    ];
    let mut seen = 0;
    for (wanted, (column, line, text)) in cases {
        for form in FORMS {
            let found = read(form, std::slice::from_ref(&batch), wanted).unwrap();
            assert_eq!(found.fault, Some((column, line, text.to_string())), "{form:?} {wanted:?}");
            assert_eq!(found.rows as u64, line - 1);
            seen += 1;
        }
    }
    assert_eq!(seen, 33);
    let found = read(Form::Parquet, &[batch], &[(5, Kind::Number), (4, Kind::Date), (5, Kind::Text)]).unwrap();
    assert_eq!((&found.numbers[0], texts(&found, 0).concat()), (&vec![1.0, 1.0, 2.0], "112".to_string()));
}

#[test]
fn text_that_a_model_takes_for_numbers_or_dates_is_parsed() {
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some(" 1.5"), None, Some("NaN"), Some("-2")]));
    let dates: DictionaryArray<Int8Type> = ["2013-01-31", "?", "1970-01-02 12:00", "?"].into_iter().collect();
    let batch = table(vec![("t", text), ("d", Arc::new(dates))]);
    for form in FORMS {
        let found = read(form, std::slice::from_ref(&batch), &[(0, Kind::Number), (1, Kind::Date)]).unwrap();
        assert_eq!(format!("{:?}", found.numbers), "[[1.5, NaN, NaN, -2.0], [15736.0, NaN, 1.5, NaN]]");
    }
}

#[test]
fn columns_of_other_types_are_refused_only_when_asked_for() {
    let lists = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some([Some(1)]), None]);
    let times: ArrayRef = Arc::new(Time32SecondArray::from(vec![1, 2]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x", b"y"]));
    let record = table(vec![("a", Arc::clone(&bytes))]);
    let batch = table(vec![
        ("l", Arc::new(lists)),
        ("n", Arc::new(Int32Array::from(vec![7, 8]))),
        ("t", times),
        ("b", bytes),
        ("s", Arc::new(StructArray::from(record))),
    ]);
    let mut seen = 0;
    for form in FORMS {
        assert_eq!(read(form, std::slice::from_ref(&batch), &[(1, Kind::Number)]).unwrap().numbers, [[7.0, 8.0]]);
        for (field, name) in [(0, "l"), (2, "t"), (3, "b"), (4, "s")] {
            let error =
                read(form, std::slice::from_ref(&batch), &[(1, Kind::Number), (field, Kind::Text)]).unwrap_err();
            let Error::Data { place, message } = error else { panic!("{error}") };
            assert_eq!(place.column.as_deref(), Some(name));
            assert!(message.contains(&format!("(--drop '{name}')")), "{message}");
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let number = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
    let told = |form, bytes: &[u8], said: &str| {
        let file = saved(bytes);
        let error = open(form, &Source::new(file.path())).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Data { .. }) && error.to_string().contains(said), "{error}");
        1
    };
    let mut seen = 0;
    for form in FORMS {
        seen += told(
            form,
            &written(form, &[table(vec![("a", number()), ("a", number())])], false),
            "two columns are named 'a'",
        );
        seen += told(form, b"", "was cut");
        seen += told(form, b"a,b\n1,2\n3,4\n", "this is not a");
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        if form != Form::Parquet {
            seen += told(form, &written(form, &[empty], false), "there is no column");
        }
        let none = table(vec![("a", number())]).slice(0, 0);
        assert_eq!(read(form, &[none], &[(0, Kind::Number)]).unwrap(), Found::default());
    }
    seen += told(Form::File, b"FEA1....FEA1", "version 1");
    seen += told(Form::Parquet, b"ARROW1\0\0", "this is not a Parquet file");
    assert_eq!(seen, 13);
    assert!(matches!(open(Form::File, &Source::new(Path::new("-"))), Err(Error::Usage(_))));
}

/// Damaged files that are tried of each kind.
const FLIPS: usize = 300;

/// A small file with something of everything, in two batches.
fn sample() -> [RecordBatch; 2] {
    let half = |from: usize| {
        let words = (0..8).map(|i| (i != 3).then(|| format!("word {}", (i + from) % 3)));
        let words: StringArray = words.collect();
        let coded: DictionaryArray<Int8Type> = (0..8).map(|i| ["a", "b"][i % 2]).collect();
        let numbers = Float64Array::from_iter((0..8).map(|i| (i != 5).then(|| (i + from) as f64)));
        let views =
            StringViewArray::from_iter_values((0..8).map(|i| format!("a text that is longer than its view {i}")));
        let lists =
            ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>((0..8).map(|i| Some([Some(i)])));
        let (words, coded, views) = (Arc::new(words), Arc::new(coded), Arc::new(views));
        table(vec![("n", Arc::new(numbers)), ("t", words), ("c", coded), ("v", views), ("l", Arc::new(lists))])
    };
    [half(0), half(8)]
}

const SAMPLE_WANTED: [(usize, Kind); 4] = [(0, Kind::Number), (1, Kind::Text), (2, Kind::Text), (3, Kind::Kept)];

#[test]
fn files_that_were_cut_are_told() {
    let mut seen = 0;
    for form in FORMS {
        for packed in [false, true] {
            let bytes = written(form, &sample(), packed);
            let whole = read_path(form, saved(&bytes).path(), &SAMPLE_WANTED).unwrap();
            assert_eq!(whole.rows, 16);
            let file = saved(&bytes);
            for length in (0..bytes.len()).rev() {
                file.as_file().set_len(length as u64).unwrap();
                match read_path(form, file.path(), &SAMPLE_WANTED) {
                    Err(Error::Data { .. }) => {}
                    // A stream may end after any message.
                    Ok(found) if form == Form::Stream => assert!(matches!(found.rows, 0 | 8 | 16), "{}", found.rows),
                    other => panic!("{form:?} cut to {length}: {other:?}"),
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}

#[test]
fn damaged_files_are_told_or_read() {
    let (mut state, mut read, mut told) = (1u64, 0, 0);
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for form in FORMS {
        for packed in [false, true] {
            let whole = written(form, &sample(), packed);
            for _ in 0..FLIPS {
                let mut bytes = whole.clone();
                for _ in 0..=random(2) {
                    let at = random(bytes.len());
                    bytes[at] = if random(3) == 0 { [0, 0x7f, 0xff][random(3)] } else { bytes[at] ^ (1 << random(8)) };
                }
                match read_path(form, saved(&bytes).path(), &SAMPLE_WANTED) {
                    Ok(_) => read += 1,
                    Err(Error::Data { .. }) => told += 1,
                    Err(other) => panic!("{form:?}: {other:?}"),
                }
            }
        }
    }
    assert_eq!(read + told, 6 * FLIPS);
    assert!(read > 100 && told > 100, "{read} {told}");
}
