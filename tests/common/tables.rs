//! Tables as tests write them to files, in every format.
#![allow(dead_code)] // Each test binary uses its own part of this.

use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, RecordBatch, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{Field, Schema};
use gpulogit::data::DataOptions;
use gpulogit::data::hash::{mix, unit_interval};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

/// A folder of files that a test writes.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Files(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A column as a table is written from it.
pub(crate) enum Column {
    Numbers(Vec<Option<f64>>),
    Text(Vec<Option<&'static str>>),
    Flags(Vec<Option<bool>>),
    /// Dates as text, and as days since 1970-01-01.
    Dates(Vec<Option<(&'static str, i32)>>),
}

pub(crate) type Table = Vec<(String, Column)>;

impl Column {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Column::Numbers(cells) => cells.len(),
            Column::Text(cells) => cells.len(),
            Column::Flags(cells) => cells.len(),
            Column::Dates(cells) => cells.len(),
        }
    }

    fn print(&self, row: usize, out: &mut String) {
        match self {
            Column::Numbers(cells) => cells[row].map(|x| write!(out, "{x}").unwrap()),
            Column::Text(cells) => cells[row].map(|text| out.push_str(text)),
            Column::Flags(cells) => cells[row].map(|flag| write!(out, "{flag}").unwrap()),
            Column::Dates(cells) => cells[row].map(|(text, _)| out.push_str(text)),
        };
    }

    pub(crate) fn array(&self, dictionary: bool) -> ArrayRef {
        match self {
            Column::Numbers(cells) => Arc::new(Float64Array::from(cells.clone())),
            Column::Text(cells) if dictionary => {
                Arc::new(cells.iter().copied().collect::<DictionaryArray<Int32Type>>())
            }
            Column::Text(cells) => Arc::new(StringArray::from(cells.clone())),
            Column::Flags(cells) => Arc::new(BooleanArray::from(cells.clone())),
            Column::Dates(cells) => {
                Arc::new(cells.iter().map(|cell| cell.map(|(_, days)| days)).collect::<Date32Array>())
            }
        }
    }
}

/// Some rows of a table as text.
pub(crate) fn text(table: &Table, delimiter: char, rows: Range<usize>) -> String {
    let mut out = String::new();
    let line = |out: &mut String, cell: &dyn Fn(&(String, Column), &mut String)| {
        for (j, column) in table.iter().enumerate() {
            if j > 0 {
                out.push(delimiter);
            }
            cell(column, out);
        }
        out.push('\n');
    };
    line(&mut out, &|(name, _), out| out.push_str(name));
    rows.for_each(|row| line(&mut out, &|(_, column), out| column.print(row, out)));
    out
}

pub(crate) fn csv(table: &Table) -> String {
    text(table, ',', 0..table[0].1.rows())
}

pub(crate) fn batch(table: &Table, dictionary: bool) -> RecordBatch {
    columns(table.iter().map(|(name, column)| (name.as_str(), column.array(dictionary))).collect())
}

pub(crate) fn columns(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

/// A Parquet file of row groups of `rows` rows.
pub(crate) fn parquet(batch: &RecordBatch, rows: usize) -> Vec<u8> {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows));
    let properties = properties.set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// An Arrow file of batches of `rows` rows.
pub(crate) fn arrow(batch: &RecordBatch, rows: usize) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    parts(batch, rows).for_each(|part| writer.write(&part).unwrap());
    writer.into_inner().unwrap()
}

/// The same as a stream, compressed.
pub(crate) fn stream(batch: &RecordBatch, rows: usize) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    parts(batch, rows).for_each(|part| writer.write(&part).unwrap());
    writer.into_inner().unwrap()
}

pub(crate) fn parts(batch: &RecordBatch, rows: usize) -> impl Iterator<Item = RecordBatch> + '_ {
    let all = batch.num_rows();
    (0..all).step_by(rows).map(move |start| batch.slice(start, rows.min(all - start)))
}

pub(crate) fn gz(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_ref()).unwrap();
    packer.finish().unwrap()
}

pub(crate) fn zst(text: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(text.as_ref(), 1).unwrap()
}

/// A zip archive of files, beside which lies what macOS adds; packed, or stored as they are.
pub(crate) fn zip(files: &[&[u8]], packed: bool) -> Vec<u8> {
    let mut archive = rawzip::ZipArchiveWriter::new(Vec::new());
    let stored: &[u8] = b"no table";
    let named = files.iter().enumerate().map(|(i, file)| (format!("folder/{i}.csv"), *file));
    for (name, content) in named.chain([("__MACOSX/folder/._0.csv".to_string(), stored)]) {
        let method = if packed { rawzip::CompressionMethod::DEFLATE } else { rawzip::CompressionMethod::STORE };
        let (mut entry, config) = archive.new_file(&name).compression_method(method).start().unwrap();
        let descriptor = if packed {
            let mut writer = config.wrap(flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast()));
            writer.write_all(content).unwrap();
            let (packer, descriptor) = writer.finish().unwrap();
            packer.finish().unwrap();
            descriptor
        } else {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(content).unwrap();
            writer.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap()
}

/// A .npy file of rows that lie one after the other, or of columns that do.
pub(crate) fn npy(dtype: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': ({shape}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat()
}

/// Numbers, strings, flags, dates and gaps in each of them, weights, and labels.
pub(crate) fn mixed(rows: usize) -> Table {
    let cell = |column: u64, row: usize| mix(column, row as u64) as usize;
    let gap = |column: u64, row: usize| cell(column + 100, row).is_multiple_of(40);
    let trees = ["oak", "ash", "Élan", "birch tree", "yew"];
    let dates = [("2013-01-31", 15_736), ("1969-12-31", -1), ("2000-02-29", 11_016), ("2024-03-01", 19_783)];
    let number = |i| (!gap(1, i)).then(|| 100.0 * unit_interval(1, i as u64) - 30.0);
    let label = |i| if unit_interval(5, i as u64) < 0.4 { "yes" } else { "no" };
    vec![
        ("height".into(), Column::Numbers((0..rows).map(number).collect())),
        ("tree".into(), Column::Text((0..rows).map(|i| (!gap(2, i)).then(|| trees[cell(2, i) % 5])).collect())),
        ("sunny".into(), Column::Flags((0..rows).map(|i| (!gap(3, i)).then(|| cell(3, i) % 3 == 0)).collect())),
        ("day".into(), Column::Dates((0..rows).map(|i| (!gap(4, i)).then(|| dates[cell(4, i) % 4])).collect())),
        ("w".into(), Column::Numbers((0..rows).map(|i| Some((cell(6, i) % 8) as f64 / 4.0)).collect())),
        ("label".into(), Column::Text((0..rows).map(|i| Some(label(i))).collect())),
    ]
}

/// The same numbers in every format of numbers, the .npy ones with the targets beside them.
pub(crate) fn every_format_of(files: &Files, x: &[Vec<f32>], y: &[u8]) -> Vec<(PathBuf, DataOptions)> {
    let target = |name: &str| DataOptions { target: Some(name.into()), ..DataOptions::default() };
    let (rows, features) = (y.len(), x.len());
    let numbers = |column: &Vec<f32>| Column::Numbers(column.iter().map(|x| Some(f64::from(*x))).collect());
    let mut table: Table = x.iter().enumerate().map(|(j, column)| (format!("x{j}"), numbers(column))).collect();
    table.push(("y".into(), Column::Numbers(y.iter().map(|y| Some(f64::from(*y))).collect())));
    let (plain, batch) = (csv(&table), batch(&table, false));
    let mut sparse = String::new();
    for (row, label) in y.iter().enumerate() {
        write!(sparse, "{label}").unwrap();
        for (j, value) in x.iter().map(|column| column[row]).enumerate().filter(|(_, value)| *value != 0.0) {
            write!(sparse, " {j}:{}", f64::from(value)).unwrap();
        }
        sparse.push('\n');
    }
    let by_row: Vec<f32> = (0..rows).flat_map(|i| x.iter().map(move |column| column[i])).collect();
    let f4 = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let f8: Vec<u8> = by_row.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
    let shape = format!("{rows}, {features}");
    let labels = files.write("y.npy", npy("|u1", false, &format!("{rows},"), y));
    let beside = || DataOptions { target_file: Some(labels.clone()), ..DataOptions::default() };
    vec![
        (files.write("x.csv", &plain), target("y")),
        (files.write("x.csv.gz", gz(&plain)), target("y")),
        (files.write("x.parquet", parquet(&batch, rows / 3)), target("y")),
        (files.write("x.arrow", arrow(&batch, rows / 2)), target("y")),
        (files.write("c.npy", npy("<f4", false, &shape, &f4(&by_row))), beside()),
        (files.write("f.npy", npy("<f4", true, &shape, &f4(&x.concat()))), beside()),
        (files.write("d.npy", npy("<f8", false, &shape, &f8)), beside()),
        (files.write("x.svm", sparse), DataOptions::default()),
    ]
}
