//! `gpulogit evaluate`: metrics of a model on labelled rows.

use serde_json::json;

use super::args::EvaluateArgs;
use super::exit::Outcome;
use super::output::{device_words, json, metrics_text, plural, stdout};
use super::progress::Terminal;
use crate::data::{Dataset, ReadOptions, load_rows};
use crate::engine::{DeviceInfo, DeviceRequest};
use crate::error::{Error, Result};
use crate::metrics::{Metrics, check_threshold, evaluate};
use crate::model::Model;

/// Metrics, and what computed the linear predictors.
pub(super) struct Scored {
    pub(super) metrics: Metrics,
    pub(super) device: DeviceInfo,
}

pub(super) fn run(args: &EvaluateArgs, terminal: &Terminal) -> Result<Outcome> {
    check_threshold(args.rows.threshold)?;
    let model = Model::load(&args.model)?;
    let options = ReadOptions {
        format: args.rows.format.map(Into::into),
        no_header: args.rows.no_header.then_some(true),
        target_file: args.target_file.clone(),
        weight_file: args.weight_file.clone(),
        with_target: true,
        ..ReadOptions::default()
    };
    let rows = load_rows(&args.rows.files, &model.design, &options, terminal)?;
    rows.summary.notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    let scored = score(&model, &rows.data, &rows.missing_rows, &args.common.device(), args.rows.threshold)?;
    terminal.clear();
    if !rows.missing_rows.is_empty() {
        terminal.warn(&left_out(rows.missing_rows.len()));
    }
    if args.common.json {
        json(&json!({
            "device": scored.device,
            "classes": model.classes,
            "rows_left_out": rows.missing_rows.len(),
            "metrics": scored.metrics,
        }))?;
    } else {
        stdout(&format!("device     {}\n", device_words(&scored.device)))?;
        stdout(&metrics_text("metrics", &scored.metrics, &model.classes))?;
    }
    Ok(Outcome::Done)
}

/// Says that rows take no part in the metrics.
pub(super) fn left_out(rows: usize) -> String {
    format!(
        "{} have missing values or levels unseen in training and are left out of the metrics.",
        plural(rows as u64, "row")
    )
}

/// Metrics of `model` on the rows of `data` that are not among `missing` (ascending).
pub(super) fn score(
    model: &Model,
    data: &Dataset,
    missing: &[usize],
    device: &DeviceRequest,
    threshold: f64,
) -> Result<Scored> {
    let (predictors, device) = model.linear_predictors(data, device)?;
    let mut missing = missing.iter().copied().peekable();
    let (mut a, mut t, mut s) = (Vec::new(), Vec::new(), Vec::new());
    let labelled = data.blocks.iter().flat_map(|block| block.target().iter().zip(block.weight().iter()));
    for (row, (predictor, (target, weight))) in predictors.into_iter().zip(labelled).enumerate() {
        if missing.next_if_eq(&row).is_none() {
            a.push(predictor);
            t.push(target);
            s.push(weight);
        }
    }
    if a.is_empty() {
        return Err(Error::Usage("no row is left to evaluate: each has a missing value or an unseen level".into()));
    }
    Ok(Scored { metrics: evaluate(&a, &t, &s, threshold)?, device })
}
