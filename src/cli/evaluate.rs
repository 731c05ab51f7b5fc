//! `gpulogit evaluate`: metrics of a model on labelled rows.

use serde::Serialize;
use serde_json::json;

use super::args::EvaluateArgs;
use super::exit::Outcome;
use super::output::{device_words, json, metrics_text, plural, stdout};
use super::progress::Terminal;
use crate::data::{Dataset, HeldOut, ReadOptions, RowStream, Rows};
use crate::engine::gpu::GpuOptions;
use crate::engine::{Device, DeviceInfo, DeviceRequest};
use crate::error::{Error, Result};
use crate::metrics::{ClassMetrics, ClassTally, Metrics, Tally, check_threshold};
use crate::model::Model;
use crate::monitor::Monitor;

/// Metrics of two classes or of more.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum AnyMetrics {
    Two(Metrics),
    More(ClassMetrics),
}

/// Metrics, and what computed the linear predictors.
pub(super) struct Scored {
    pub(super) metrics: AnyMetrics,
    pub(super) device: DeviceInfo,
}

pub(super) fn run(args: &EvaluateArgs, terminal: &Terminal) -> Result<Outcome> {
    check_threshold(args.rows.threshold())?;
    let model = Model::load(&args.model)?;
    args.rows.check_for(&model)?;
    let options = ReadOptions {
        format: args.rows.format.map(Into::into),
        no_header: args.rows.no_header.then_some(true),
        target_file: args.target_file.clone(),
        weight_file: args.weight_file.clone(),
        with_target: true,
        ..ReadOptions::default()
    };
    let mut stream = RowStream::open(&args.rows.files, &model.design, &options)?;
    let mut scores = Scores::new(&model, &args.common.device(), &GpuOptions::default(), args.rows.threshold())?;
    while let Some(rows) = stream.next(terminal)? {
        scores.add(&rows.data, &rows.missing_rows)?;
    }
    let (left_out_rows, scored) = (scores.left_out, scores.finish());
    terminal.clear();
    stream.finish().notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    let scored = scored?;
    if left_out_rows > 0 {
        terminal.warn(&left_out(left_out_rows));
    }
    if args.common.json {
        json(&json!({
            "device": scored.device,
            "classes": model.classes,
            "rows_left_out": left_out_rows,
            "metrics": scored.metrics,
        }))?;
    } else {
        stdout(&format!("device     {}\n", device_words(&scored.device)))?;
        stdout(&metrics_text("metrics", &scored.metrics, &model.classes))?;
    }
    Ok(Outcome::Done)
}

/// Says that rows take no part in the metrics.
fn left_out(rows: usize) -> String {
    format!(
        "{} have missing values or levels unseen in training and are left out of the metrics.",
        plural(rows as u64, "row")
    )
}

/// Metrics under way.
enum AnyTally {
    Two(Tally),
    More(ClassTally),
}

impl AnyTally {
    fn rows(&self) -> usize {
        match self {
            AnyTally::Two(tally) => tally.rows(),
            AnyTally::More(tally) => tally.rows(),
        }
    }
}

/// Rows judged so far.
pub(super) struct Scores<'a> {
    model: &'a Model,
    request: DeviceRequest,
    options: GpuOptions,
    /// Open from the first rows on.
    device: Option<(Device, DeviceInfo)>,
    tally: AnyTally,
    /// Rows that could not be judged.
    left_out: usize,
}

impl<'a> Scores<'a> {
    /// None yet; `model` will predict on `device` as the options say, and label rows 1 from the probability `threshold` on.
    pub(super) fn new(model: &'a Model, device: &DeviceRequest, options: &GpuOptions, threshold: f64) -> Result<Self> {
        let tally = match model.classes.len() {
            2 => AnyTally::Two(Tally::new(threshold)?),
            classes => AnyTally::More(ClassTally::new(classes)),
        };
        Ok(Scores { model, request: device.clone(), options: options.clone(), device: None, tally, left_out: 0 })
    }

    /// Judges the rows of `data` that are not among `missing` (ascending).
    pub(super) fn add(&mut self, data: &Dataset, missing: &[usize]) -> Result<()> {
        let device = match self.device.take() {
            Some((device, _)) => device,
            None => Device::open(&self.request, &self.options)?,
        };
        let (predictors, info) = self.model.linear_predictors(data, &device)?;
        self.device = Some((device, info));
        self.left_out += missing.len();
        let mut missing = missing.iter().copied().peekable();
        let mut rows = 0..data.rows;
        for block in &data.blocks {
            let vectors = block.vectors()?;
            for ((t, s), row) in vectors.target.iter().zip(vectors.weight.iter()).zip(&mut rows) {
                if missing.next_if_eq(&row).is_some() {
                    continue;
                }
                match &mut self.tally {
                    AnyTally::Two(tally) => tally.add(predictors[row], t, s)?,
                    AnyTally::More(tally) => {
                        let of_row: Vec<f64> = predictors.iter().skip(row).step_by(data.rows).copied().collect();
                        tally.add(&self.model.log_probabilities(&of_row), t as usize, s)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The metrics of all rows that could be judged.
    pub(super) fn finish(self) -> Result<Scored> {
        let Some((_, device)) = self.device.filter(|_| self.tally.rows() > 0) else {
            return Err(Error::Usage("no row is left to evaluate: each has a missing value or an unseen level".into()));
        };
        let metrics = match self.tally {
            AnyTally::Two(tally) => AnyMetrics::Two(tally.finish()?),
            AnyTally::More(tally) => AnyMetrics::More(tally.finish()?),
        };
        Ok(Scored { metrics, device })
    }
}

/// Metrics of rows that were not trained on, and what they are called, if there are any.
pub(super) fn judge(
    mut scores: Scores<'_>,
    holdout: Option<&HeldOut>,
    test: Option<(RowStream<'_>, Option<Rows>)>,
    terminal: &Terminal,
) -> Result<Option<(&'static str, Scored)>> {
    if let Some(holdout) = holdout {
        scores.add(&holdout.data, &holdout.missing_rows)?;
        return Ok(Some(("held-out rows", scores.finish()?)));
    }
    let Some((mut stream, mut next)) = test else { return Ok(None) };
    while let Some(rows) = next {
        if terminal.interrupted() {
            terminal.note("note: the test rows were not judged");
            return Ok(None);
        }
        scores.add(&rows.data, &rows.missing_rows)?;
        drop(rows);
        next = stream.next(terminal)?;
    }
    terminal.clear();
    if scores.left_out > 0 {
        terminal.warn(&left_out(scores.left_out));
    }
    Ok(Some(("test rows", scores.finish()?)))
}
