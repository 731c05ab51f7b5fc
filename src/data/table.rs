//! Input files read into one table of columns, whatever their format.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::ByteRecord;

use super::columns::{Builder, Cells, Finished, Kind, not_a_weight};
use super::delimited::Delimited;
use super::names;
use super::npy::{self, Arrays};
use super::options::Format;
use super::storage::Storage;
use super::text::{At, Gap, Text};
use crate::error::{Error, Place, Result};
use crate::monitor::{Event, Monitor};

/// Rows between two reports.
const REPORT_ROWS: u64 = 65_536;
/// Names of the vectors that come from files of their own.
const TARGET_FILE: &str = "target";
const WEIGHT_FILE: &str = "weight";

/// What a column is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Target,
    Weight,
    Offset,
    Feature,
    Kept,
}

/// A column to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) purpose: Use,
    /// The option or model part that asks for it.
    pub(super) asker: &'static str,
}

impl Wanted {
    pub(super) fn new(name: &str, kind: Kind, purpose: Use, asker: &'static str) -> Self {
        Wanted { name: name.to_string(), kind, purpose, asker }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Rows over all files.
    pub(super) rows: usize,
    /// Columns that features come from.
    pub(super) features: Vec<(String, Cells)>,
    /// Labels.
    pub(super) target: Option<Text>,
    /// Sample weights.
    pub(super) weight: Option<Vec<f64>>,
    /// Offsets.
    pub(super) offset: Option<Vec<f64>>,
    /// Columns carried through.
    pub(super) kept: Vec<(String, Vec<String>)>,
    /// Missing cells of features.
    pub(super) gaps: Vec<Gap>,
    /// Missing cells of target, weight and offset.
    pub(super) row_gaps: Vec<Gap>,
    /// What the user should be told.
    pub(super) notes: Vec<String>,
    files: Vec<PathBuf>,
    target_file: Option<PathBuf>,
    weight_file: Option<PathBuf>,
}

impl Table {
    /// An error about a cell of column `column`.
    pub(super) fn error(&self, at: At, column: &str, message: impl Into<String>) -> Error {
        let own = match column {
            TARGET_FILE => self.target_file.as_ref(),
            WEIGHT_FILE => self.weight_file.as_ref(),
            _ => None,
        };
        let file = own.unwrap_or(&self.files[at.file]).clone();
        let place = Place { file, line: Some(at.line), column: Some(column.to_string()) };
        Error::Data { place, message: message.into() }
    }

    /// An error about the whole of the data.
    pub(super) fn whole(&self, message: impl Into<String>) -> Error {
        Error::data(&self.files[0], message)
    }

    /// The values of all features row by row, and zeros up to a whole group of rows, where the table is nothing but one gapless
    /// matrix of f32 that lies so: its features are gone then.
    pub(super) fn take_rows(&mut self) -> Option<Storage<f32>> {
        let (_, Cells::Array { arrays, .. }) = self.features.first()? else { return None };
        let is_column = |j: usize, cells: &Cells| matches!(cells, Cells::Array { column, .. } if *column == j);
        let as_they_lie = self.features.iter().enumerate().all(|(j, (_, cells))| is_column(j, cells));
        if !(as_they_lie && self.features.len() == arrays.columns() && self.gaps.is_empty() && arrays.is_rows_of_f32())
        {
            return None;
        }
        let arrays = Arc::clone(arrays);
        self.features.clear();
        Arc::into_inner(arrays)?.into_rows()
    }

    fn all_missing(&self, column: &str) -> Error {
        let place = Place { file: self.files[0].clone(), line: None, column: Some(column.to_string()) };
        Error::Data { place, message: format!("all values are missing; leave the column out with --drop {column}") }
    }

    fn add(&mut self, purpose: Use, column: Finished) -> Result<()> {
        let gaps = if purpose == Use::Feature { &mut self.gaps } else { &mut self.row_gaps };
        gaps.extend(column.gap);
        match (purpose, column.cells) {
            (Use::Feature, Some(cells)) => {
                if let (Some((at, cell)), Cells::Text(text)) = (&column.first_text, &cells) {
                    self.notes.push(format!(
                        "column {} is categorical with {} levels, because line {} holds {cell} among numbers; \
                         mend the cell if it should be one",
                        column.name,
                        text.values.len(),
                        at.line
                    ));
                }
                self.features.push((column.name, cells));
            }
            (Use::Target, Some(Cells::Text(text))) => self.target = Some(text),
            (Use::Weight, Some(Cells::Number(values))) => self.weight = Some(values),
            (Use::Offset, Some(Cells::Number(values))) => self.offset = Some(values),
            (_, _) => self.kept.extend(column.kept.map(|cells| (column.name, cells))),
        }
        Ok(())
    }
}

/// The one format of all files.
pub(super) fn format_of(paths: &[PathBuf], asked: Option<Format>) -> Result<Format> {
    let [first, rest @ ..] = paths else { return Err(Error::Usage("no data file is given".to_string())) };
    if let Some(format) = asked {
        return Ok(format);
    }
    let format = by_ending(first)?;
    for path in rest {
        if (by_ending(path)? == Format::Npy) != (format == Format::Npy) {
            return Err(Error::Usage(format!(
                "{} and {} are of different formats; text and .npy files cannot be read together",
                first.display(),
                path.display()
            )));
        }
    }
    Ok(format)
}

/// Holds the options to be those of the format; `files` are those of target and weight.
pub(super) fn check_format(
    format: Format,
    no_header: bool,
    labelled: bool,
    [target, weight]: [&Option<PathBuf>; 2],
) -> Result<()> {
    let message = match format {
        Format::Npy if no_header => "--no-header cannot apply to a .npy matrix, which has none",
        Format::Npy if labelled && target.is_none() => "a .npy matrix needs its labels: --target-file Y.npy",
        Format::Csv | Format::Tsv if target.is_some() => {
            "--target-file goes with a .npy matrix; text files hold their labels in a column"
        }
        Format::Csv | Format::Tsv if weight.is_some() => {
            "--weight-file goes with a .npy matrix; text files hold their weights in a column"
        }
        _ => return Ok(()),
    };
    Err(Error::Usage(message.to_string()))
}

fn by_ending(path: &Path) -> Result<Format> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match ending.as_str() {
        "npy" => Ok(Format::Npy),
        "tsv" | "tab" => Ok(Format::Tsv),
        "parquet" | "arrow" | "feather" | "svm" | "svmlight" | "libsvm" | "npz" | "xlsx" | "xls" | "json" | "gz"
        | "zst" | "bz2" | "xz" | "zip" => Err(Error::Usage(format!(
            "{}: .{ending} files are not read; those read are .csv, .tsv and .npy (--format names one for another \
             ending)",
            path.display()
        ))),
        _ => Ok(Format::Csv),
    }
}

/// Reads text files. `plan` chooses the columns by the first file's names. For a training every file must have the
/// same columns, in any order, and no feature may lack all its values; for a model only the columns wanted count.
pub(super) fn read_text(
    paths: &[PathBuf],
    asked: Option<Format>,
    no_header: bool,
    training: bool,
    plan: impl FnOnce(&Delimited) -> Result<Vec<Wanted>>,
    monitor: &dyn Monitor,
) -> Result<Table> {
    let mut table = Table { files: paths.to_vec(), ..Table::default() };
    let open = |path: &PathBuf| Delimited::open(path, asked.map_or_else(|| by_ending(path), Ok)?, no_header);
    let mut file = open(&paths[0])?;
    let first_names = file.names().to_vec();
    let wanted = plan(&file)?;
    let mut builders: Vec<Builder> = wanted.iter().map(|w| Builder::new(&w.name, w.kind)).collect();
    let mut progress = Progress::new(paths, monitor);
    for (index, path) in paths.iter().enumerate() {
        if index > 0 {
            file = open(path)?;
            if training {
                compare_headers(&first_names, file.names(), &paths[0], path)?;
            }
        }
        table.notes.append(&mut file.notes);
        if file.numeric_header && index == 0 {
            table.notes.push(format!(
                "{}: the first line was read as column names although it holds numbers only; if it is a row, use \
                 --no-header",
                path.display()
            ));
        }
        let positions: HashMap<&str, usize> = file.names().iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let field = |w: &Wanted| match positions.get(w.name.as_str()) {
            Some(&field) => Ok(field),
            None => names::find(file.names(), &w.name, w.asker, path),
        };
        let fields = wanted.iter().map(field).collect::<Result<Vec<usize>>>()?;
        let mut record = ByteRecord::new();
        while file.next(&mut record)? {
            for (builder, &field) in builders.iter_mut().zip(&fields) {
                let raw = record.get(field).unwrap_or_default();
                let at = || At { file: index, line: file.line(&record) };
                builder.push(raw.trim_ascii(), at).map_err(|problem| match problem.at {
                    Some(at) => table.error(at, &builder.name, problem.message),
                    None => file.error(&record, Some(&builder.name), problem.message),
                })?;
            }
            table.rows += 1;
            progress.row(path, table.rows as u64, file.bytes());
        }
        progress.file(path, table.rows as u64, file.bytes());
    }
    if table.rows == 0 {
        return Err(table.whole("there is a header but no row"));
    }
    for (builder, wanted) in builders.into_iter().zip(&wanted) {
        let column = builder.finish().map_err(|problem| match problem.at {
            Some(at) => table.error(at, &wanted.name, problem.message),
            None => table.whole(problem.message),
        })?;
        if training && wanted.purpose == Use::Feature && column.present == 0 {
            return Err(table.all_missing(&column.name));
        }
        table.add(wanted.purpose, column)?;
    }
    Ok(table)
}

/// Reads .npy matrices with their targets and weights, by the rules of [`read_text`]. `plan` chooses columns among
/// x0, x1, …
pub(super) fn read_arrays(
    paths: &[PathBuf],
    target: Option<&Path>,
    weight: Option<&Path>,
    training: bool,
    plan: impl FnOnce(&[String]) -> Result<Vec<String>>,
    monitor: &dyn Monitor,
) -> Result<Table> {
    let (arrays, gaps) = Arrays::read(paths, monitor)?;
    let columns: Vec<String> = (0..arrays.columns()).map(|j| format!("x{j}")).collect();
    let wanted = plan(&columns)?;
    let rows = arrays.rows();
    let arrays = Arc::new(arrays);
    let mut table = Table {
        rows,
        files: paths.to_vec(),
        target_file: target.map(Path::to_path_buf),
        weight_file: weight.map(Path::to_path_buf),
        ..Table::default()
    };
    for name in wanted {
        let column = names::find(&columns, &name, "the model", &paths[0])?;
        if let Some(gap) = gaps.iter().find(|gap| gap.column == name) {
            if training && gap.count == rows as u64 {
                return Err(table.all_missing(&name));
            }
            table.gaps.push(gap.clone());
        }
        table.features.push((name, Cells::Array { arrays: Arc::clone(&arrays), column }));
    }
    if let Some(path) = target {
        let (values, gap) = npy::read_vector(path, rows, TARGET_FILE)?;
        table.row_gaps.extend(gap);
        table.target = Some(npy::labels(&values).map_err(|message| Error::data(path, message))?);
    }
    if let Some(path) = weight {
        let (values, gap) = npy::read_vector(path, rows, WEIGHT_FILE)?;
        table.row_gaps.extend(gap);
        if let Some(row) = values.iter().position(|s| *s < 0.0) {
            let at = At { file: 0, line: row as u64 + 1 };
            return Err(table.error(at, WEIGHT_FILE, not_a_weight(values[row])));
        }
        table.weight = Some(values);
    }
    Ok(table)
}

/// Holds the columns of a further file against those of the first.
fn compare_headers(first: &[String], other: &[String], first_path: &Path, path: &Path) -> Result<()> {
    let lacking = |a: &[String], b: &[String]| a.iter().filter(|name| !b.contains(name)).cloned().collect::<Vec<_>>();
    let (missing, extra) = (lacking(first, other), lacking(other, first));
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let mut differences = Vec::new();
    if !missing.is_empty() {
        differences.push(format!("lacks {}", names::listed(&missing)));
    }
    if !extra.is_empty() {
        differences.push(format!("has {} besides", names::listed(&extra)));
    }
    let message =
        format!("its columns differ from those of {}: it {}", first_path.display(), differences.join(" and "));
    Err(Error::data(path, message))
}

/// Reports on reading.
struct Progress<'a> {
    monitor: &'a dyn Monitor,
    total_bytes: u64,
    bytes_before: u64,
    next: u64,
}

impl<'a> Progress<'a> {
    fn new(paths: &[PathBuf], monitor: &'a dyn Monitor) -> Self {
        let total_bytes = paths.iter().map(|path| std::fs::metadata(path).map_or(0, |m| m.len())).sum();
        Progress { monitor, total_bytes, bytes_before: 0, next: REPORT_ROWS }
    }

    fn row(&mut self, file: &Path, rows: u64, bytes: u64) {
        if rows >= self.next {
            self.next = rows + REPORT_ROWS;
            self.report(file, rows, bytes);
        }
    }

    /// A file has been read.
    fn file(&mut self, file: &Path, rows: u64, bytes: u64) {
        self.report(file, rows, bytes);
        self.bytes_before += bytes;
    }

    fn report(&self, file: &Path, rows: u64, bytes: u64) {
        let (bytes, total_bytes) = (self.bytes_before + bytes, self.total_bytes);
        self.monitor.event(Event::Reading { file, rows, bytes, total_bytes });
    }
}
