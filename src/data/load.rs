//! Training data: files become a [`Dataset`] and the [`Design`] learnt from them.

use std::path::PathBuf;
use std::time::Instant;

use super::Dataset;
use super::columns::Cells;
use super::design::Design;
use super::learn;
use super::matrix;
use super::names;
use super::options::{ClassWeight, DataOptions, Format, Missing};
use super::pack::PackOptions;
use super::roles;
use super::size;
use super::source::RowVectors;
use super::split::is_held_out;
use super::table::{Table, check_format, format_of, read_arrays, read_text};
use super::target::Target;
use super::text::{Gap, MISSING};
use super::vector::RowVector;
use crate::error::{Error, Result};
use crate::monitor::Monitor;

/// Data to train on.
#[derive(Debug)]
pub struct Training {
    /// The rows to fit.
    pub train: Dataset,
    /// The rows held out. A row with a level that no training row has is left out of them (and noted), unless missing
    /// values are filled. Class weights do not count here.
    pub holdout: Option<Dataset>,
    /// How the input's columns became features.
    pub design: Design,
    /// What reading met; the class counts are those of the training rows.
    pub summary: ReadSummary,
}

/// What reading met.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadSummary {
    /// Rows read.
    pub rows: u64,
    /// Rows left out because a value is missing.
    pub dropped_rows: u64,
    /// Cells (of input columns) that a mean was put into.
    pub filled_cells: u64,
    /// Rows of the class modelled as 0 and of the one modelled as 1.
    pub class_counts: [u64; 2],
    /// What the user should be told.
    pub notes: Vec<String>,
    /// Seconds of the reading that went into packing: all the steps from host arrays to blocks.
    pub pack_seconds: f64,
}

/// Reads training data.
///
/// Levels and fills are learnt from the training rows of positive weight alone; those of weight 0 and those held out
/// teach nothing.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] about the files, [`Error::Usage`] about options that do not fit each other or the
/// files, [`Error::Numerics`] about values that cannot be stored.
pub fn load_training(paths: &[PathBuf], options: &DataOptions, monitor: &dyn Monitor) -> Result<Training> {
    check_options(options)?;
    let format = format_of(paths, options.format)?;
    check_format(format, options.no_header, true, [&options.target_file, &options.weight_file])?;
    let table = match format {
        Format::Npy => read_npy(paths, options, monitor)?,
        Format::Csv | Format::Tsv => read_csv(paths, options, monitor)?,
    };
    assemble(table, options, size::available())
}

fn usage<T>(message: &str) -> Result<T> {
    Err(Error::Usage(message.to_string()))
}

fn check_options(options: &DataOptions) -> Result<()> {
    if let Some(fraction) = options.holdout
        && !(fraction > 0.0 && fraction < 1.0)
    {
        return usage(&format!("--holdout {fraction}: the fraction must lie between 0 and 1"));
    }
    if let ClassWeight::Labels(factors) = &options.class_weight {
        for (label, factor) in factors {
            if !(*factor > 0.0 && factor.is_finite()) {
                return usage(&format!("--class-weight {label}={factor}: a class weight must be finite and positive"));
            }
        }
    }
    Ok(())
}

fn read_csv(paths: &[PathBuf], options: &DataOptions, monitor: &dyn Monitor) -> Result<Table> {
    if options.target.is_none() {
        return usage("no target is named; name the column of labels with --target");
    }
    let plan = |file: &super::delimited::Delimited| {
        roles::choose(file.names(), options, &paths[0]).map_err(|e| match e {
            Error::Usage(message) if file.numeric_header => {
                Error::Usage(format!("{message}; the first line holds numbers only: is --no-header missing?"))
            }
            other => other,
        })
    };
    read_text(paths, options.format, options.no_header, true, plan, monitor)
}

fn read_npy(paths: &[PathBuf], options: &DataOptions, monitor: &dyn Monitor) -> Result<Table> {
    let text_only = [
        (options.target.is_some(), "--target names a column of a text file; a .npy matrix takes --target-file Y.npy"),
        (options.weight.is_some(), "--weight names a column of a text file; a .npy matrix takes --weight-file W.npy"),
        (options.offset.is_some(), "--offset names a column of a text file; a .npy matrix cannot have one"),
        (!options.categorical.is_empty(), "--categorical cannot apply to a .npy matrix, which holds numbers"),
    ];
    if let Some((_, message)) = text_only.iter().find(|(found, _)| *found) {
        return usage(message);
    }
    let plan = |names: &[String]| {
        Ok(roles::choose(names, options, &paths[0])?.into_iter().map(|wanted| wanted.name).collect())
    };
    read_arrays(paths, options.target_file.as_deref(), options.weight_file.as_deref(), true, plan, monitor)
}

fn assemble(mut table: Table, options: &DataOptions, memory: u64) -> Result<Training> {
    let mut notes = std::mem::take(&mut table.notes);
    let present = present_rows(&table, options.missing)?;
    let rows: Vec<usize> = (0..table.rows).filter(|&i| present[i]).collect();
    let dropped_rows = (table.rows - rows.len()) as u64;
    if rows.is_empty() {
        let worst = table.gaps.iter().chain(&table.row_gaps).max_by_key(|gap| gap.count);
        let hint = worst.map_or(String::new(), |gap| {
            format!("; column {} lacks {} of {} values (--drop {})", gap.column, gap.count, table.rows, gap.column)
        });
        return Err(table.whole(format!("every row has a missing value, so none is left{hint}")));
    }
    let text = table.target.take().ok_or_else(|| table.whole("the target was not read"))?;
    let target_name = options.target.as_deref();
    let target = learn_target(&table, &text.codes, &text.values, &rows, target_name, options)?;
    // Rows that are left out have no class; nothing reads theirs.
    let class_of: Vec<usize> = text.values.iter().map(|label| target.class_of(label).unwrap_or(0)).collect();
    let class = |row: usize| class_of.get(text.codes[row] as usize).copied().unwrap_or(0);
    let weight = |row: usize| table.weight.as_ref().map_or(1.0, |weights| weights[row]);

    let held = |row: &usize| options.holdout.is_some_and(|f| is_held_out(options.seed, *row as u64, f));
    let (mut held_rows, train_rows): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| held(row));
    for (part, of) in [(&train_rows, "training"), (&held_rows, "held-out")] {
        if of == "training" || options.holdout.is_some() {
            check_part(&table, part, of, &target, &class, &weight)?;
        }
    }
    let teaching: Vec<usize> = train_rows.iter().copied().filter(|row| weight(*row) > 0.0).collect();

    let mut columns = Vec::new();
    for (name, cells) in &mut table.features {
        columns.push(learn::column(name, cells, &teaching, options, &mut notes)?);
    }
    let design = Design {
        columns,
        target,
        weight: options.weight.clone(),
        offset: options.offset.clone(),
        missing: options.missing,
        header: !options.no_header,
    };
    let features = design.feature_names();
    if let Some(name) = names::repeated(&features) {
        return Err(table.whole(format!("two features would be named '{name}'; rename the column of one of them")));
    }
    size::check(&design, rows.len(), options.pack, memory, |name| format!("leave it out with --drop {name}"))?;

    let unfillable = |row: &usize| {
        options.missing != Missing::Mean && table.features.iter().any(|(_, cells)| cells.is_missing(*row))
    };
    let unseen = held_rows.iter().filter(|row| unfillable(row)).count();
    if unseen > 0 {
        held_rows.retain(|row| !unfillable(row));
        notes.push(format!("{unseen} held-out rows have a level that no training row has and are left out"));
        check_part(&table, &held_rows, "held-out", &design.target, &class, &weight)?;
    }
    let filled = |rows: &[usize]| -> u64 {
        let count = |cells: &Cells| rows.iter().filter(|row| cells.is_missing(**row)).count() as u64;
        table.features.iter().map(|(_, cells)| count(cells)).sum()
    };
    let filled_cells = if options.missing == Missing::Mean { filled(&train_rows) + filled(&held_rows) } else { 0 };
    let mut class_counts = [0; 2];
    train_rows.iter().for_each(|row| class_counts[class(*row)] += 1);

    let factors = class_factors(&options.class_weight, &design.target, &train_rows, &class, &weight)?;
    let packing = Instant::now();
    let vectors = |chosen: Option<&[usize]>, factors: [f64; 2]| {
        let rows = chosen.map_or(table.rows, <[usize]>::len);
        let row = |i: usize| chosen.map_or(i, |chosen| chosen[i]);
        RowVectors {
            target: RowVector::of(rows, |i| class(row(i)) as f64),
            weight: match &table.weight {
                None if factors == [1.0; 2] => RowVector::same(rows, 1.0),
                _ => RowVector::of(rows, |i| weight(row(i)) * factors[class(row(i))]),
            },
            offset: table.offset.as_ref().map(|offset| RowVector::of(rows, |i| offset[row(i)])),
        }
    };
    let chosen = (train_rows.len() < table.rows).then_some(train_rows.as_slice());
    let train_vectors = vectors(chosen, factors);
    let holdout_vectors = options.holdout.map(|_| vectors(Some(&held_rows), [1.0; 2]));
    let no_sample = PackOptions { no_sample: true, ..options.pack };
    let hold = |vectors| matrix::pack(&design, &mut table, Some(&held_rows), &vectors, no_sample);
    let holdout = holdout_vectors.map(hold).transpose()?;
    let train = matrix::pack(&design, &mut table, chosen, &train_vectors, options.pack)?;
    let pack_seconds = packing.elapsed().as_secs_f64();
    let summary =
        ReadSummary { rows: table.rows as u64, dropped_rows, filled_cells, class_counts, notes, pack_seconds };
    Ok(Training { train, holdout, design, summary })
}

/// Which rows stay: all that lack nothing they must have.
fn present_rows(table: &Table, missing: Missing) -> Result<Vec<bool>> {
    if missing == Missing::Error {
        let gaps: Vec<&Gap> = table.row_gaps.iter().chain(&table.gaps).collect();
        if let Some(first) = gaps.iter().min_by_key(|gap| gap.first) {
            let remedy = if table.gaps.iter().any(|gap| gap.column == first.column) {
                "--missing drop leaves such rows out and --missing mean fills in the column's mean"
            } else {
                "--missing drop leaves such rows out"
            };
            let cells: u64 = gaps.iter().map(|gap| gap.count).sum();
            let of = if cells == 1 { String::new() } else { format!(" (one of {cells} missing values)") };
            return Err(table.error(first.first, &first.column, format!("the value is missing{of}; {remedy}")));
        }
    }
    let mut present = vec![true; table.rows];
    let mut mark = |is_missing: &dyn Fn(usize) -> bool| {
        present.iter_mut().enumerate().for_each(|(row, present)| *present &= !is_missing(row));
    };
    if let Some(text) = &table.target {
        mark(&|row| text.codes[row] == MISSING);
    }
    for values in [&table.weight, &table.offset].into_iter().flatten() {
        mark(&|row| values[row].is_nan());
    }
    if missing == Missing::Drop {
        for (name, cells) in &table.features {
            if table.gaps.iter().any(|gap| gap.column == *name) {
                mark(&|row| cells.is_missing(row));
            }
        }
    }
    Ok(present)
}

fn learn_target(
    table: &Table,
    codes: &[u32],
    labels: &[String],
    rows: &[usize],
    name: Option<&str>,
    options: &DataOptions,
) -> Result<Target> {
    let mut used = vec![false; labels.len()];
    rows.iter().for_each(|row| used[codes[*row] as usize] = true);
    let labels: Vec<&str> = labels.iter().zip(&used).filter(|(_, used)| **used).map(|(l, _)| l.as_str()).collect();
    Target::learn(name, &labels, options.positive.as_deref()).map_err(|message| {
        if message.starts_with("--positive") {
            return Error::Usage(message);
        }
        let column = name.map_or(String::new(), |name| format!("target {name}: "));
        table.whole(format!("{column}{message}"))
    })
}

/// Both classes must be there, and weigh something.
fn check_part(
    table: &Table,
    rows: &[usize],
    of: &str,
    target: &Target,
    class: &impl Fn(usize) -> usize,
    weight: &impl Fn(usize) -> f64,
) -> Result<()> {
    if rows.is_empty() {
        return Err(table.whole(format!("there are no {of} rows; change --holdout or --seed")));
    }
    let (mut counts, mut weights) = ([0u64; 2], [0.0; 2]);
    for &row in rows {
        counts[class(row)] += 1;
        weights[class(row)] += weight(row);
    }
    for k in 0..2 {
        let label = &target.classes[k];
        if counts[k] == 0 {
            let message = format!("no {of} row is of class '{label}'; change --holdout or --seed");
            return Err(table.whole(message));
        }
        if !(weights[k] > 0.0 && weights[k].is_finite()) {
            let message = format!("the {of} rows of class '{label}' have a total weight of {}", weights[k]);
            return Err(table.whole(format!("{message}; it must be positive and finite")));
        }
    }
    Ok(())
}

/// Factor on the weights of each class.
fn class_factors(
    asked: &ClassWeight,
    target: &Target,
    rows: &[usize],
    class: &impl Fn(usize) -> usize,
    weight: &impl Fn(usize) -> f64,
) -> Result<[f64; 2]> {
    let mut factors = [1.0; 2];
    match asked {
        ClassWeight::None => {}
        ClassWeight::Balanced => {
            let mut sums = [0.0; 2];
            rows.iter().for_each(|row| sums[class(*row)] += weight(*row));
            factors = sums.map(|sum| (sums[0] + sums[1]) / (2.0 * sum));
        }
        ClassWeight::Labels(labels) => {
            let mut given = [false; 2];
            for (label, factor) in labels {
                let [negative, positive] = &target.classes;
                let Some(k) = target.class_of(label.trim()) else {
                    return usage(&format!("--class-weight {label}: the labels are '{negative}' and '{positive}'"));
                };
                if std::mem::replace(&mut given[k], true) {
                    return usage(&format!("--class-weight names the class '{}' twice", target.classes[k]));
                }
                factors[k] = *factor;
            }
        }
    }
    Ok(factors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn an_encoding_larger_than_memory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "id,y\na,0\nb,1\nc,1\n").unwrap();
        let options = DataOptions { target: Some("y".into()), ..DataOptions::default() };
        let read = |memory| {
            let table = read_csv(&[file.path().to_path_buf()], &options, &Silent).unwrap();
            assemble(table, &options, memory)
        };
        assert!(read(24).is_ok());
        let message = read(23).unwrap_err().to_string();
        assert!(message.contains("3 rows × 2 features × 4 bytes would take 24 bytes"), "{message}");
        assert!(message.contains("leave it out with --drop id"), "{message}");
    }
}
