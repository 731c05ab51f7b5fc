//! `gpulogit predict`: a probability and a label for every row, as CSV.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::args::{PredictArgs, trimmed};
use super::exit::Outcome;
use super::output::{device_words, json, plural};
use super::progress::Terminal;
use crate::data::{ReadOptions, RowStream, Rows};
use crate::engine::DeviceInfo;
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
    let mut stream = RowStream::open(&args.rows.files, &model.design, &options)?;
    let mut run = Predicting { model: &model, args, rows: 0, empty: 0, device: None };
    match &args.output {
        Some(path) => write_atomically(path, |out| run.write(&mut stream, out, path, terminal))?,
        None => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            run.write(&mut stream, &mut out, Path::new("standard output"), terminal)?;
        }
    }
    let Predicting { rows, empty, device, .. } = run;
    terminal.clear();
    stream.finish().notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    if empty > 0 {
        terminal.warn(&format!(
            "{} have missing values or levels unseen in training; their cells are left empty.",
            plural(empty, "row")
        ));
    }
    if args.common.json {
        json(&json!({
            "rows": rows,
            "rows_empty": empty,
            "device": device,
            "output": args.output.as_ref().map(|path| path.display().to_string()),
        }))?;
    } else {
        let device = device.map_or(String::new(), |device| format!(" on {}", device_words(&device)));
        terminal.note(&format!("{} predicted{device}", plural(rows, "row")));
    }
    Ok(Outcome::Done)
}

/// Predictions under way.
struct Predicting<'a> {
    model: &'a Model,
    args: &'a PredictArgs,
    /// Rows predicted, and those of them that could not be.
    rows: u64,
    empty: u64,
    device: Option<DeviceInfo>,
}

impl Predicting<'_> {
    /// Writes all rows of `stream`, some at a time: the columns kept, then `probability` and `label`.
    fn write(
        &mut self,
        stream: &mut RowStream<'_>,
        out: &mut dyn Write,
        path: &Path,
        terminal: &Terminal,
    ) -> Result<()> {
        let failed = |error: csv::Error| match error.into_kind() {
            // Unwrapped, so that a pipe that was closed is known as one.
            csv::ErrorKind::Io(error) => Error::io(path, error),
            other => Error::io(path, std::io::Error::other(format!("{other:?}"))),
        };
        let mut csv = csv::Writer::from_writer(out);
        let kept = trimmed(&self.args.keep);
        while let Some(rows) = stream.next(terminal)? {
            let (predictors, device) = self.model.linear_predictors(&rows.data, &self.args.common.device())?;
            self.device = Some(device);
            if self.rows == 0 {
                csv.write_record(kept.iter().map(String::as_str).chain(COLUMNS)).map_err(failed)?;
            }
            self.rows += rows.data.rows as u64;
            self.empty += rows.missing_rows.len() as u64;
            self.write_rows(&mut csv, &rows, &predictors).map_err(failed)?;
        }
        csv.flush().map_err(|e| Error::io(path, e))
    }

    fn write_rows(&self, csv: &mut csv::Writer<&mut dyn Write>, rows: &Rows, predictors: &[f64]) -> csv::Result<()> {
        let mut missing = rows.missing_rows.iter().copied().peekable();
        for (row, &a) in predictors.iter().enumerate() {
            for (_, values) in &rows.kept {
                csv.write_field(&values[row])?;
            }
            if missing.next_if_eq(&row).is_some() {
                csv.write_record(["", ""])?;
            } else {
                let y = sigmoid(a);
                let label = &self.model.classes[usize::from(y >= self.args.rows.threshold)];
                csv.write_record([format!("{y}").as_str(), label])?;
            }
        }
        Ok(())
    }
}
