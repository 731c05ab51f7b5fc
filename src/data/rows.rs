//! Rows for a fitted model: files become the same features as in training.

use std::path::PathBuf;
use std::time::Instant;

use super::Dataset;
use super::cell;
use super::columns::{Cells, Kind};
use super::delimited::Delimited;
use super::design::{Design, InputColumn};
use super::learn;
use super::load::ReadSummary;
use super::matrix;
use super::names;
use super::options::{Format, Missing, ReadOptions};
use super::pack::PackOptions;
use super::size;
use super::source::RowVectors;
use super::table::{Table, Use, Wanted, check_format, format_of, read_arrays, read_text};
use super::text::MISSING;
use super::vector::RowVector;
use crate::error::{Error, Result};
use crate::monitor::Monitor;

/// Rows of a fitted model's features.
#[derive(Debug)]
pub struct Rows {
    /// All rows read, in input order. Without targets t is 0 everywhere.
    pub data: Dataset,
    /// Rows of `data` that cannot be predicted or judged: a value is missing, or a level that training did not have
    /// stands there, and the model keeps no fill for it (or target or weight are missing). Their features hold zeros.
    pub missing_rows: Vec<usize>,
    /// The columns carried through, as text.
    pub kept: Vec<(String, Vec<String>)>,
    /// What reading met; the class counts are those of rows that are not in `missing_rows`.
    pub summary: ReadSummary,
}

/// Reads rows for a model of this design. Columns are matched by name; those of no use are ignored.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] about the files, [`Error::Usage`] about columns that lack, options that do not
/// fit or a design that does not hold together.
pub fn load_rows(paths: &[PathBuf], design: &Design, options: &ReadOptions, monitor: &dyn Monitor) -> Result<Rows> {
    design.validate().map_err(|message| Error::Usage(format!("the model's columns are unusable: {message}")))?;
    let format = format_of(paths, options.format)?;
    let no_header = options.no_header == Some(true);
    check_format(format, no_header, options.with_target, [&options.target_file, &options.weight_file])?;
    let table = match format {
        Format::Npy => read_npy(paths, design, options, monitor)?,
        Format::Csv | Format::Tsv => read_csv(paths, design, options, monitor)?,
    };
    assemble(table, design, options, size::available())
}

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Usage(message.into()))
}

fn read_npy(paths: &[PathBuf], design: &Design, options: &ReadOptions, monitor: &dyn Monitor) -> Result<Table> {
    if !options.keep.is_empty() {
        return usage("--keep names columns of a text file and cannot apply to a .npy matrix");
    }
    if let Some(offset) = &design.offset {
        return usage(format!("the model needs the offset '{offset}', which a .npy matrix does not hold"));
    }
    let plan = |columns: &[String]| {
        let lacking = design.columns.iter().find(|column| {
            matches!(column, InputColumn::Categorical { .. }) || !columns.iter().any(|name| name == column.name())
        });
        match lacking {
            None => Ok(design.columns.iter().map(|column| column.name().to_string()).collect()),
            Some(column) => usage(format!(
                "the model needs column '{}', and {} has {} columns (x0, x1, …)",
                column.name(),
                paths[0].display(),
                columns.len()
            )),
        }
    };
    let target = options.target_file.as_deref().filter(|_| options.with_target);
    read_arrays(paths, target, options.weight_file.as_deref(), false, plan, monitor)
}

fn read_csv(paths: &[PathBuf], design: &Design, options: &ReadOptions, monitor: &dyn Monitor) -> Result<Table> {
    let target = match &design.target.name {
        Some(name) if options.with_target => Some(name),
        None if options.with_target => {
            return usage("the model was fitted on arrays and knows no target column; give X.npy with --target-file");
        }
        _ => None,
    };
    if let Some(name) = names::repeated(&options.keep) {
        return usage(format!("--keep names column '{name}' twice"));
    }
    let mut notes = Vec::new();
    let plan = |file: &Delimited| {
        let mut wanted: Vec<Wanted> = Vec::new();
        wanted.extend(target.map(|name| Wanted::new(name, Kind::Text, Use::Target, "the model's target")));
        match &design.weight {
            Some(name) if options.with_target && file.names().contains(name) => {
                wanted.push(Wanted::new(name, Kind::Weight, Use::Weight, "the model's weight"));
            }
            Some(name) if options.with_target => {
                notes.push(format!("{} has no column '{name}': all rows weigh 1", paths[0].display()));
            }
            _ => {}
        }
        let offset = design.offset.as_ref();
        wanted.extend(offset.map(|name| Wanted::new(name, Kind::Offset, Use::Offset, "the model's offset")));
        for column in &design.columns {
            let kind = match column {
                InputColumn::Numeric { .. } => Kind::Number,
                InputColumn::Categorical { .. } => Kind::Text,
            };
            wanted.push(Wanted::new(column.name(), kind, Use::Feature, "the model"));
        }
        wanted.extend(options.keep.iter().map(|name| Wanted::new(name, Kind::Kept, Use::Kept, "--keep")));
        let of_use = |name: &&String| {
            wanted.iter().any(|w| w.name == **name)
                || [&design.target.name, &design.weight].into_iter().flatten().any(|n| n == *name)
        };
        let ignored: Vec<String> = file.names().iter().filter(|name| !of_use(name)).cloned().collect();
        if !ignored.is_empty() {
            notes.push(format!("columns the model does not use: {}", names::listed(&ignored)));
        }
        Ok(wanted)
    };
    let no_header = options.no_header.unwrap_or(!design.header);
    let mut table = read_text(paths, options.format, no_header, false, plan, monitor)?;
    table.notes.append(&mut notes);
    Ok(table)
}

fn assemble(mut table: Table, design: &Design, options: &ReadOptions, memory: u64) -> Result<Rows> {
    size::check(design, table.rows, options.pack, memory, |_| "give fewer rows at a time".to_string())?;
    let mut notes = std::mem::take(&mut table.notes);
    if design.missing == Missing::Error
        && let Some(gap) = table.row_gaps.iter().find(|gap| Some(&gap.column) != design.offset.as_ref())
    {
        return Err(table.error(gap.first, &gap.column, "the value is missing; leave the row out or mend it"));
    }
    let mut unusable = vec![false; table.rows];
    let class = classes(&table, design, &mut unusable)?;
    let mut weight = table.weight.take().unwrap_or_else(|| vec![1.0; table.rows]);
    let mut offset = table.offset.take();
    for values in [Some(&mut weight), offset.as_mut()].into_iter().flatten() {
        for (value, unusable) in values.iter_mut().zip(&mut unusable) {
            if value.is_nan() {
                (*value, *unusable) = (0.0, true);
            }
        }
    }
    let mut filled_cells = 0;
    for ((name, cells), column) in table.features.iter_mut().zip(&design.columns) {
        let mut gapless = !table.gaps.iter().any(|gap| gap.column == *name);
        if let (Cells::Text(text), InputColumn::Categorical { levels, .. }) = (&mut *cells, column) {
            let unseen = learn::code_by(text, levels);
            gapless &= unseen.is_empty();
            notes.extend(unseen_note(name, &unseen));
        }
        if gapless {
            continue;
        }
        for (row, unusable) in unusable.iter_mut().enumerate() {
            if cells.is_missing(row) {
                match design.missing {
                    Missing::Mean => filled_cells += 1,
                    Missing::Error | Missing::Drop => *unusable = true,
                }
            }
        }
    }
    let mut class_counts = [0; 2];
    if options.with_target {
        class.iter().zip(&unusable).filter(|(_, unusable)| !**unusable).for_each(|(k, _)| class_counts[*k] += 1);
    }
    let packing = Instant::now();
    let target = RowVector::of(table.rows, |row| class[row] as f64);
    let vectors = RowVectors { target, weight: weight.into(), offset: offset.map(RowVector::from) };
    let data = matrix::pack(design, &mut table, None, &vectors, PackOptions { no_sample: true, ..options.pack })?;
    let pack_seconds = packing.elapsed().as_secs_f64();
    let missing_rows = unusable.iter().enumerate().filter(|(_, unusable)| **unusable).map(|(row, _)| row).collect();
    let rows = table.rows as u64;
    let summary = ReadSummary { rows, dropped_rows: 0, filled_cells, class_counts, notes, pack_seconds };
    Ok(Rows { data, missing_rows, kept: table.kept, summary })
}

/// The class of each row, 0 where there is no label; an unknown label is an error.
fn classes(table: &Table, design: &Design, unusable: &mut [bool]) -> Result<Vec<usize>> {
    let Some(text) = &table.target else { return Ok(vec![0; table.rows]) };
    let [negative, positive] = &design.target.classes;
    let mut class_of = Vec::with_capacity(text.values.len());
    for (label, at) in text.values.iter().zip(&text.first) {
        class_of.push(design.target.class_of(label).ok_or_else(|| {
            let message = format!(
                "the label {} is neither '{negative}' nor '{positive}', the model's classes",
                cell::shown(label.as_bytes())
            );
            table.error(*at, design.target.name.as_deref().unwrap_or("target"), message)
        })?);
    }
    let mut classes = Vec::with_capacity(table.rows);
    for (code, unusable) in text.codes.iter().zip(unusable) {
        *unusable |= *code == MISSING;
        classes.push(class_of.get(*code as usize).copied().unwrap_or(0));
    }
    Ok(classes)
}

fn unseen_note(column: &str, unseen: &[(String, u64)]) -> Option<String> {
    let cells: u64 = unseen.iter().map(|(_, count)| count).sum();
    let shown: Vec<String> =
        unseen.iter().take(3).map(|(level, count)| format!("{} ({count})", cell::shown(level.as_bytes()))).collect();
    let more = if unseen.len() > 3 { format!(" and {} more levels", unseen.len() - 3) } else { String::new() };
    (cells > 0).then(|| {
        format!(
            "column {column}: {cells} {} of a level that training did not have: {}{more}",
            if cells == 1 { "cell is" } else { "cells are" },
            shown.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn a_model_of_more_levels_than_memory_holds_is_refused() {
        let levels = ["a", "b", "c"].map(String::from).into();
        let design = Design {
            columns: vec![InputColumn::Categorical { name: "id".into(), levels, reference: true, fill: None }],
            target: Target { name: None, classes: ["0".into(), "1".into()] },
            weight: None,
            offset: None,
            missing: Missing::Error,
            header: true,
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "id\na\nb\nc\n").unwrap();
        let options = ReadOptions::default();
        let read = |memory| {
            let table = read_csv(&[file.path().to_path_buf()], &design, &options, &Silent).unwrap();
            assemble(table, &design, &options, memory)
        };
        assert!(read(24).is_ok());
        let message = read(23).unwrap_err().to_string();
        assert!(message.contains("column id alone has 3 levels: give fewer rows at a time"), "{message}");
    }
}
