//! `gpulogit predict`: a probability and a label for every row, as CSV.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::args::{PredictArgs, trimmed};
use super::exit::Outcome;
use super::output::{device_words, json, plural};
use super::progress::Terminal;
use crate::data::{ReadOptions, Rows, load_rows};
use crate::error::{Error, Result};
use crate::logistic::sigmoid;
use crate::metrics::check_threshold;
use crate::model::{Model, check_output, write_atomically};

/// The columns that predictions have.
const COLUMNS: [&str; 2] = ["probability", "label"];

pub(super) fn run(args: &PredictArgs, terminal: &Terminal) -> Result<Outcome> {
    check_threshold(args.rows.threshold)?;
    if let Some(path) = &args.output
        && path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("csv"))
    {
        return Err(Error::Usage(format!("--output {} must end in .csv", path.display())));
    }
    if args.common.json && args.output.is_none() {
        return Err(Error::Usage(
            "--json reports on the run: send the predictions elsewhere with --output FILE.csv".into(),
        ));
    }
    if let Some(path) = &args.output {
        check_output(path, &[args.rows.files.as_slice(), std::slice::from_ref(&args.model)].concat())?;
    }
    if let Some(name) = args.keep.iter().find(|name| COLUMNS.contains(&name.as_str())) {
        return Err(Error::Usage(format!("--keep {name}: the predictions have a column of that name")));
    }
    let model = Model::load(&args.model)?;
    let options = ReadOptions {
        format: args.rows.format.map(Into::into),
        no_header: args.rows.no_header.then_some(true),
        keep: trimmed(&args.keep),
        ..ReadOptions::default()
    };
    let rows = load_rows(&args.rows.files, &model.design, &options, terminal)?;
    rows.summary.notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    let (predictors, device) = model.linear_predictors(&rows.data, &args.common.device())?;
    terminal.clear();
    let table = Table { model: &model, rows: &rows, predictors: &predictors, threshold: args.rows.threshold };
    match &args.output {
        Some(path) => write_atomically(path, |out| table.write(out))?,
        None => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            table.write(&mut out).and_then(|()| out.flush()).map_err(|e| Error::io(Path::new("standard output"), e))?;
        }
    }
    if !rows.missing_rows.is_empty() {
        terminal.warn(&format!(
            "{} have missing values or levels unseen in training; their cells are left empty.",
            plural(rows.missing_rows.len() as u64, "row")
        ));
    }
    if args.common.json {
        json(&json!({
            "rows": rows.data.rows,
            "rows_empty": rows.missing_rows.len(),
            "device": device,
            "output": args.output.as_ref().map(|path| path.display().to_string()),
        }))?;
    } else {
        terminal.note(&format!("{} predicted on {}", plural(rows.data.rows as u64, "row"), device_words(&device)));
    }
    Ok(Outcome::Done)
}

/// The predictions as a table: the columns kept, then `probability` and `label`.
struct Table<'a> {
    model: &'a Model,
    rows: &'a Rows,
    predictors: &'a [f64],
    threshold: f64,
}

impl Table<'_> {
    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        self.write_records(out).map_err(|error| match error.into_kind() {
            // Unwrapped, so that a pipe that was closed is known as one.
            csv::ErrorKind::Io(error) => error,
            other => std::io::Error::other(format!("{other:?}")),
        })
    }

    fn write_records(&self, out: &mut dyn Write) -> csv::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        let kept = &self.rows.kept;
        let names = kept.iter().map(|(name, _)| name.as_str());
        csv.write_record(names.chain(COLUMNS))?;
        let mut missing = self.rows.missing_rows.iter().copied().peekable();
        for (row, &a) in self.predictors.iter().enumerate() {
            for (_, values) in kept {
                csv.write_field(&values[row])?;
            }
            if missing.next_if_eq(&row).is_some() {
                csv.write_record(["", ""])?;
            } else {
                let y = sigmoid(a);
                let label = &self.model.classes[usize::from(y >= self.threshold)];
                csv.write_record([format!("{y}").as_str(), label])?;
            }
        }
        Ok(csv.flush()?)
    }
}
