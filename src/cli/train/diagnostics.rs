//! What `train --diagnostics` says of the data, and `--influence` of its rows.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::args::TrainArgs;
use super::super::output::{count, plural, shorten};
use super::super::progress::Terminal;
use super::super::summary;
use crate::data::{Training, rows_to_fit};
use crate::error::{Error, Result};
use crate::fit::{Fit, FitOptions, influence_of_rows};
use crate::inference::{Collinearity, RowInfluence};
use crate::model::write_atomically;

/// Columns, and rows, told one by one.
const MOST_COLUMNS: usize = 12;
const MOST_ROWS: usize = 5;

/// What there is to say of the data before anything is fitted.
pub(super) struct Diagnostics {
    collinearity: Collinearity,
}

impl Diagnostics {
    /// Those of `training`, where they are asked for.
    pub(super) fn new(args: &TrainArgs, training: &Training) -> Result<Option<Self>> {
        if !args.diagnostics {
            return Ok(None);
        }
        let collinearity = Collinearity::new(&training.train, !args.fit.optimum.no_intercept)?;
        Ok(Some(Diagnostics { collinearity }))
    }

    pub(super) fn json(&self, training: &Training) -> serde_json::Value {
        let (summary, features) = (&training.summary, &training.train.features);
        let classes = training.design.target.classes.iter().zip(&summary.class_counts);
        let inflation = features.iter().zip(&self.collinearity.inflation);
        json!({
            "classes": classes.map(|(label, rows)| json!({ "label": label, "rows": rows })).collect::<Vec<_>>(),
            "missing": summary.missing_cells.iter().map(|(column, cells)| json!({ "column": column, "cells": cells })).collect::<Vec<_>>(),
            "condition_number": self.collinearity.condition,
            "vif": inflation.map(|(name, factor)| json!({ "name": name, "vif": factor })).collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self, training: &Training) -> String {
        let lines = self.facts(training);
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: String = lines.iter().map(|(name, what)| format!("  {name:width$}  {what}\n")).collect();
        format!("diagnostics\n{lines}\n")
    }

    /// What there is to say, each under its name.
    pub(super) fn facts(&self, training: &Training) -> [(&'static str, String); 4] {
        let (summary, features) = (&training.summary, &training.train.features);
        let named = |name: &str, n: u64, of: u64| {
            format!("{} {} ({:.1}%)", shorten(name, 30), count(n), 100.0 * n as f64 / of.max(1) as f64)
        };
        let rows = summary.class_counts.iter().sum::<u64>();
        let classes = training.design.target.classes.iter().zip(&summary.class_counts);
        let classes: Vec<String> = classes.map(|(label, n)| named(label, *n, rows)).collect();
        let missing = summary.missing_cells.iter().map(|(column, cells)| named(column, *cells, summary.rows));
        let missing: Vec<String> = missing.collect();
        let mut inflation: Vec<_> = features.iter().zip(&self.collinearity.inflation).collect();
        inflation.sort_by(|a, b| b.1.unwrap_or(f64::INFINITY).total_cmp(&a.1.unwrap_or(f64::INFINITY)));
        let factors = inflation
            .into_iter()
            .map(|(name, factor)| format!("{} {}", shorten(name, 30), factor.map_or("redundant".to_owned(), rounded)));
        [
            ("classes", some(&classes)),
            ("missing", if missing.is_empty() { "nothing".to_owned() } else { some(&missing) }),
            ("condition", format!("{} of the standardised columns", rounded(self.collinearity.condition))),
            ("VIF", some(&factors.collect::<Vec<_>>())),
        ]
    }
}

/// The first of `items`, and how many more there are.
fn some(items: &[String]) -> String {
    let more = items.len().saturating_sub(MOST_COLUMNS);
    let shown = items[..items.len() - more].join(", ");
    if more > 0 { format!("{shown}, … {more} more") } else { shown }
}

/// Three digits.
fn rounded(value: f64) -> String {
    match value {
        v if v < 1000.0 => format!("{v:.2}"),
        v => format!("{v:.2e}"),
    }
}

/// The rows that move the estimates most, and the file of all.
pub(super) struct Influence {
    path: PathBuf,
    /// Numbers among all rows read (from 1), largest distances first.
    most: Vec<(u64, RowInfluence)>,
}

impl Influence {
    /// Writes what each row does to the estimates of `fit` to `path`.
    pub(super) fn write(
        path: &Path,
        training: &Training,
        fit: &Fit,
        options: &FitOptions,
        held_out: Option<(f64, u64)>,
        terminal: &Terminal,
    ) -> Result<Self> {
        let mut most: Vec<(u64, RowInfluence)> = Vec::new();
        let classes = &training.design.target.classes;
        write_atomically(path, |out| {
            let failed = |error: csv::Error| Error::write(path, error.into());
            let mut table = csv::Writer::from_writer(out);
            let header = ["row", "target", "probability", "pearson", "deviance", "leverage", "cooks_distance"];
            table.write_record(header).map_err(failed)?;
            let mut numbers = rows_to_fit(held_out).enumerate();
            influence_of_rows(&training.train, fit, options, terminal, |of| {
                let number = numbers.find(|(row, _)| *row == of.row).map_or(0, |(_, number)| number + 1);
                let values = [of.probability, of.pearson, of.deviance, of.leverage, of.cooks_distance];
                let label = &classes[usize::from(of.target > 0.5)];
                let cells = [number.to_string(), label.clone()].into_iter().chain(values.map(|v| v.to_string()));
                table.write_record(cells).map_err(failed)?;
                let at = most.partition_point(|(_, before)| before.cooks_distance >= of.cooks_distance);
                if at < MOST_ROWS {
                    most.insert(at, (number, of));
                    most.truncate(MOST_ROWS);
                }
                Ok(())
            })?;
            table.flush().map_err(|error| Error::write(path, error))
        })?;
        Ok(Influence { path: path.to_path_buf(), most })
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let row = |(number, of): &(u64, RowInfluence)| json!({ "row": number, "leverage": of.leverage, "cooks_distance": of.cooks_distance });
        json!({ "file": self.path.display().to_string(), "most": self.most.iter().map(row).collect::<Vec<_>>() })
    }

    pub(super) fn text(&self) -> String {
        let mut rows = vec![["row", "Cook's distance", "leverage", "Pearson's residual"].map(str::to_owned)];
        rows.extend(self.most.iter().map(|(number, of)| {
            let [distance, leverage, residual] = [of.cooks_distance, of.leverage, of.pearson].map(summary::number);
            [count(*number), distance, leverage, residual]
        }));
        let heading = plural(self.most.len() as u64, "row");
        format!(
            "\nThe {heading} that move the estimates most (all: {}):\n{}",
            self.path.display(),
            summary::aligned(&rows)
        )
    }
}

/// Holds the rows to be those of the files, by number.
pub(super) fn check_numbered(args: &TrainArgs, training: &Training) -> Result<()> {
    match training.summary.dropped_rows {
        dropped if dropped > 0 && args.inference.influence.is_some() => Err(Error::Usage(format!(
            "--influence tells rows by their number, and --missing drop has left out {}: take --missing mean, or a file without \
             them",
            plural(dropped, "row")
        ))),
        _ => Ok(()),
    }
}
