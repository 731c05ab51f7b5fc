//! `gpulogit predict`: a probability and a label for every row.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::agreed;
use super::args::{PredictArgs, trimmed};
use super::exit::Outcome;
use super::job;
use super::output::{device_words, json, plural, ranks_text};
use super::predictions::{Prediction, Predictions, is_parquet};
use super::progress::Terminal;
use super::scored::{ScoredRows, ScoredStream, Scorer};
use crate::data::{ReadOptions, files_of};
use crate::engine::gpu::GpuOptions;
use crate::error::{Error, Result};
use crate::logistic::sigmoid;
use crate::metrics::{check_threshold, most_probable};
use crate::model::{Model, check_output, write_atomically};
use crate::ranks::Team;

/// Holds the arguments together, and reads the model.
fn load(args: &PredictArgs) -> Result<Model> {
    check_threshold(args.rows.threshold())?;
    if let Some(path) = &args.output
        && path.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("csv"))
        && !is_parquet(path)
    {
        return Err(Error::Usage(format!("--output {} must end in .csv or .parquet", path.display())));
    }
    if args.common.json && args.output.is_none() {
        return Err(Error::Usage(
            "--json reports on the run: send the predictions elsewhere with --output FILE.csv".into(),
        ));
    }
    if let Some(path) = &args.output {
        let mut inputs = files_of(&args.rows.files)?;
        inputs.push(args.model.clone());
        check_output(path, &inputs)?;
    }
    let model = Model::load(&args.model)?;
    args.rows.check_for(&model)?;
    let columns = model.prediction_columns();
    if let Some(name) = args.keep.iter().find(|name| columns.contains(name)) {
        return Err(Error::Usage(format!("--keep {name}: the predictions have a column of that name")));
    }
    Ok(model)
}

pub(super) fn run(args: &PredictArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Outcome> {
    let model = agreed(team, load(args))?;
    let options = ReadOptions {
        format: args.rows.format.map(Into::into),
        no_header: args.rows.no_header.then_some(true),
        keep: trimmed(&args.keep),
        ..ReadOptions::default()
    };
    let scorer = Scorer::new(&model, &args.common.device(), &GpuOptions::default(), team);
    let Some(mut stream) = ScoredStream::open(&args.rows.files, scorer, &options, team, terminal)? else {
        return Ok(Outcome::Done);
    };
    let mut run = Predicting { model: &model, args, rows: 0, empty: 0 };
    match &args.output {
        Some(path) => write_atomically(path, |out| run.write(&mut stream, out, path, terminal))?,
        None => {
            let (mut out, path) = (std::io::BufWriter::new(std::io::stdout()), Path::new("standard output"));
            run.write(&mut stream, &mut out, path, terminal)?;
            out.flush().map_err(|e| Error::write(path, e))?;
        }
    }
    let Predicting { rows, empty, .. } = run;
    terminal.clear();
    let (read, device) = stream.finish();
    read.notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    if empty > 0 {
        terminal.warn(&format!(
            "{} have missing values or levels unseen in training; their cells are left empty.",
            plural(empty, "row")
        ));
    }
    let ranks = job::ranks(team);
    if args.common.json {
        json(&json!({
            "rows": rows,
            "ranks": ranks,
            "rows_empty": empty,
            "device": device,
            "output": args.output.as_ref().map(|path| path.display().to_string()),
        }))?;
    } else {
        let words = |device| format!(" on {}{}", device_words(&device), ranks_text(ranks));
        let device = device.map_or(String::new(), words);
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
}

impl Predicting<'_> {
    /// Writes all rows of `stream`, some at a time.
    fn write(
        &mut self,
        stream: &mut ScoredStream<'_>,
        out: &mut (dyn Write + Send),
        path: &Path,
        terminal: &Terminal,
    ) -> Result<()> {
        let kept = trimmed(&self.args.keep);
        // What cannot be read must not leave an empty table behind.
        let mut next = stream.next(terminal)?;
        let mut predictions = Predictions::new(out, path, &kept, &self.model.prediction_columns())?;
        while let Some(scored) = next {
            self.rows += scored.rows as u64;
            self.empty += scored.missing_rows.len() as u64;
            predictions.write(&scored.kept, &self.predictions(&scored))?;
            next = stream.next(terminal)?;
        }
        predictions.finish()
    }

    fn predictions(&self, scored: &ScoredRows) -> Vec<Prediction<'_>> {
        let mut missing = scored.missing_rows.iter().copied().peekable();
        let of_row = |row| {
            let is_there = missing.next_if_eq(&row).is_none();
            is_there.then(|| self.predict(&scored.predictors_of(row).collect::<Vec<f64>>()))
        };
        (0..scored.rows).map(of_row).collect()
    }

    /// The probabilities to be written of a row of these linear predictors, and its label.
    fn predict(&self, predictors: &[f64]) -> (Vec<f64>, &str) {
        if let &[a] = predictors {
            let y = sigmoid(a);
            return (vec![y], &self.model.classes[usize::from(y >= self.args.rows.threshold())]);
        }
        let logs = self.model.log_probabilities(predictors);
        (logs.iter().map(|log| log.exp()).collect(), &self.model.classes[most_probable(&logs)])
    }
}
