//! Files of rows.

use std::path::Path;

use gpulogit::data::{
    DataOptions, Design, Format, InputColumn, Missing, PackOptions, Precision, ReadOptions, Rows, Target, load_rows,
    load_training,
};
use gpulogit::error::{Error, Result};
use gpulogit::monitor::Silent;

use super::tables::npy as array;
use super::{check_rows, file, path};

/// Bytes of memory that rows may take.
const MEMORY: u64 = 8 << 20;
/// Those of sparse rows, a few bytes of which make a table as wide as memory allows: a wider one takes longer and is no other case.
const SPARSE_MEMORY: u64 = 64 << 10;
/// Rows of the arrays.
const ROWS: usize = 8;

/// Trains on a file, which may fail.
fn train(data: &Path, options: &DataOptions) {
    let options =
        DataOptions { memory: options.memory.or(Some(MEMORY)), cache_dir: Some(path("spilled")), ..options.clone() };
    if let Ok(training) = load_training(&[data.to_path_buf()], &options, &Silent) {
        check_rows(&training.train);
        training.holdout.iter().for_each(|held_out| check_rows(&held_out.data));
        training.design.validate().unwrap();
        assert_eq!(training.design.feature_names(), training.train.features);
    }
}

fn numbers(names: impl IntoIterator<Item = String>) -> Vec<InputColumn> {
    names.into_iter().map(|name| InputColumn::Numeric { name, fill: None, date: false }).collect()
}

fn design(columns: Vec<InputColumn>) -> Design {
    Design {
        columns,
        target: Target { name: Some("label".into()), classes: vec!["no".into(), "yes".into()], cut: None },
        weight: None,
        offset: None,
        missing: Missing::Drop,
        header: true,
    }
}

/// Reads rows for a model, with some columns as they stand.
fn rows(data: &Path, design: &Design, keep: &[String]) -> Result<Rows> {
    let pack = PackOptions { precision: Some(Precision::F64), ..PackOptions::default() };
    let options = ReadOptions { keep: keep.to_vec(), pack, ..ReadOptions::default() };
    let (rows, summary) = load_rows(&[data.to_path_buf()], design, &options, &Silent)?;
    check_rows(&rows.data);
    assert_eq!(rows.data.rows as u64, summary.rows);
    assert!(rows.kept.iter().all(|(_, cells)| cells.len() == rows.data.rows));
    Ok(rows)
}

/// Holds the numbers read to be `expected`, but for the rounding of x = centre + scale·z (z may underflow).
fn check_numbers(rows: &Rows, expected: &[Vec<f64>]) {
    assert_eq!((rows.data.rows, rows.data.features.len()), (expected[0].len(), expected.len()));
    let mut first = 0;
    for block in rows.data.blocks.iter().map(|block| block.here().unwrap()) {
        for (j, column) in rows.data.columns.iter().enumerate() {
            for row in 0..block.rows() {
                let (x, right) = (block.value(row, j) * column.scale + column.centre, expected[j][first + row]);
                let rounding = 1e-15 * (right.abs() + column.centre.abs()) + column.scale * f64::MIN_POSITIVE;
                assert!((x - right).abs() <= rounding, "{x} for {right} in row {row} of column {j}");
            }
        }
        first += block.rows();
    }
}

/// Delimited text, packed or not; the first byte chooses the options.
pub(super) fn csv(bytes: &[u8]) {
    let Some((&choice, text)) = bytes.split_first() else { return };
    let has = |bit: u8| choice & 1 << bit != 0;
    let data = file(if has(0) { "x.tsv" } else { "x.csv" }, text);
    let options = DataOptions {
        target: Some(if has(1) { "c2" } else { "label" }.into()),
        no_header: has(1),
        missing: [Missing::Error, Missing::Drop, Missing::Mean, Missing::Drop][usize::from(choice >> 2 & 3)],
        weight: has(4).then(|| "w".into()),
        holdout: has(5).then_some(0.3),
        memory: has(6).then_some(64),
        no_cache: true,
        ..DataOptions::default()
    };
    train(&data, &options);
    if let Some(records) = (!has(0)).then(|| std::str::from_utf8(text).ok().and_then(records)).flatten() {
        check_cells(&data, &records);
    }
}

/// The header and the records of `text` as the csv crate reads them, where its rules are those of the house: with commas, without
/// blanks and zeros, and with more than one column.
fn records(text: &str) -> Option<Vec<Vec<String>>> {
    let foreign = |c: char| c != '\n' && (c.is_whitespace() || matches!(c, ';' | '|' | '\0' | '\u{feff}'));
    if text.contains(foreign) {
        return None;
    }
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let records = reader.into_records().map(|record| Some(record.ok()?.iter().map(str::to_owned).collect()));
    let records: Vec<Vec<String>> = records.collect::<Option<_>>()?;
    let header = records.first()?;
    let distinct = (1..header.len()).all(|j| !header[..j].contains(&header[j]));
    let known = ["PK\u{3}\u{4}", "PAR1", "ARROW1"].iter().any(|magic| text.starts_with(magic));
    let plain = records.iter().flatten().all(|cell| !cell.contains('\n'));
    let sound = records.len() > 1 && header.len() > 1 && !header.iter().any(String::is_empty);
    (sound && distinct && plain && !known).then_some(records)
}

/// Holds cells and numbers to be those of the csv crate and of `str::parse`.
fn check_cells(data: &Path, records: &[Vec<String>]) {
    let (header, records) = (&records[0], &records[1..]);
    let column = |j: usize| records.iter().map(move |record| record[j].parse().ok().filter(|x: &f64| x.is_finite()));
    let numeric: Vec<(usize, Vec<f64>)> =
        (0..header.len()).filter_map(|j| Some((j, column(j).collect::<Option<_>>()?))).collect();
    let columns = numbers(numeric.iter().map(|(j, _)| header[*j].clone()).filter(|name| name != "label"));
    let expected: Vec<Vec<f64>> =
        numeric.into_iter().filter(|(j, _)| header[*j] != "label").map(|(_, column)| column).collect();
    match rows(data, &design(columns), header) {
        Ok(rows) => {
            if !expected.is_empty() {
                check_numbers(&rows, &expected);
            }
            for (j, (_, cells)) in rows.kept.iter().enumerate() {
                assert!(cells.iter().eq(records.iter().map(|record| &record[j])), "column {j}: {cells:?}");
            }
        }
        // Numbers so far apart that no difference holds them.
        Err(Error::Numerics(_)) => {}
        // The csv crate closes a quote at the end of the file, which the house refuses.
        Err(error) if error.to_string().ends_with("is never closed") => {}
        Err(error) => panic!("{error}"),
    }
}

/// svmlight text.
pub(super) fn svmlight(bytes: &[u8]) {
    let data = file("x.svm", bytes);
    train(&data, &DataOptions { memory: Some(SPARSE_MEMORY), no_cache: true, ..DataOptions::default() });
    let Some(lines) = std::str::from_utf8(bytes).ok().and_then(sparse) else { return };
    // Features that no row names are zero.
    let last = lines.iter().flatten().map(|(index, _)| *index).max().unwrap_or(1);
    let design = design(numbers((1..=last).map(|index| format!("x{index}"))));
    let mut expected = vec![vec![0.0; lines.len()]; last];
    for (row, values) in lines.iter().enumerate() {
        values.iter().for_each(|(index, value)| expected[index - 1][row] = *value);
    }
    match rows(&data, &design, &[]) {
        Ok(rows) => check_numbers(&rows, &expected),
        Err(Error::Numerics(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Indices and values of each line, where all are written plainly.
fn sparse(text: &str) -> Option<Vec<Vec<(usize, f64)>>> {
    let value = |pair: &str| {
        let (index, value) = pair.split_once(':')?;
        let index: usize = index.parse().ok().filter(|index| (1..=64).contains(index))?;
        let plain = pair.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'e'));
        value.parse().ok().filter(|value: &f64| plain && value.is_finite()).map(|value| (index, value))
    };
    let line = |line: &str| {
        let (label, pairs) = line.split_once(' ')?;
        let pairs: Vec<(usize, f64)> = pairs.split(' ').map(value).collect::<Option<_>>()?;
        (matches!(label, "1" | "0" | "-1") && pairs.is_sorted_by(|a, b| a.0 < b.0)).then_some(pairs)
    };
    text.strip_suffix('\n')?.split('\n').map(line).collect()
}

/// A NumPy array, as a matrix and as the targets and weights of one.
pub(super) fn npy(bytes: &[u8]) {
    let given = file("x.npy", bytes);
    let labels: Vec<u8> = (0..ROWS).map(|row| u8::from(row % 3 == 0)).collect();
    let labels = file("y.npy", &array("|u1", false, &format!("{ROWS},"), &labels));
    let values: Vec<u8> = (0..ROWS).flat_map(|row| (row as f64).to_le_bytes()).collect();
    let matrix = file("z.npy", &array("<f8", false, &format!("{ROWS}, 1"), &values));
    let beside = |target: &Path, weight: Option<&Path>| DataOptions {
        target_file: Some(target.into()),
        weight_file: weight.map(Into::into),
        missing: Missing::Drop,
        ..DataOptions::default()
    };
    train(&given, &beside(&labels, None));
    train(&matrix, &beside(&given, None));
    train(&matrix, &beside(&labels, Some(&given)));
    let design = design(numbers(["x0".into(), "x1".into()]));
    let read = rows(&given, &design, &[]);
    // What NumPy writes for eight rows of two f8, row by row.
    let plain = array("<f8", false, &format!("{ROWS}, 2"), &[]);
    let Some(values) = bytes.strip_prefix(plain.as_slice()) else { return };
    let (values, rest) = values.as_chunks::<8>();
    let values: Vec<f64> = values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    if rest.is_empty() && values.len() == 2 * ROWS && values.iter().all(|x| x.is_finite()) {
        let column = |j: usize| values.iter().skip(j).step_by(2).copied().collect();
        match read {
            Ok(rows) => check_numbers(&rows, &[column(0), column(1)]),
            Err(Error::Numerics(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A file of typed columns, those of [`mixed`](super::tables::mixed).
fn columnar(data: &Path, format: Format) {
    let options = DataOptions { target: Some("label".into()), format: Some(format), ..DataOptions::default() };
    train(data, &DataOptions { missing: Missing::Mean, weight: Some("w".into()), ..options.clone() });
    train(data, &DataOptions { missing: Missing::Drop, drop: vec!["day".into()], ..options });
    let mut columns = numbers(["height".into(), "w".into()]);
    let levels = vec!["ash".into(), "oak".into()];
    columns.push(InputColumn::Categorical { name: "tree".into(), levels, reference: false, fill: None });
    let _ = rows(data, &design(columns), &["day".into(), "sunny".into(), "label".into()]);
}

/// A Parquet file.
pub(super) fn parquet(bytes: &[u8]) {
    columnar(&file("x.parquet", bytes), Format::Parquet);
}

/// An Arrow file or stream.
pub(super) fn arrow(bytes: &[u8]) {
    columnar(&file("x.arrow", bytes), Format::Arrow);
}
