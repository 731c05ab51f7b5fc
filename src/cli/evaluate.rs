//! `gpulogit evaluate`: metrics of a model on labelled rows.

mod page;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use serde::Serialize;
use serde_json::json;

use super::agreed;
use super::args::{EvaluateArgs, JudgingArgs};
use super::exit::Outcome;
use super::job;
use super::metrics::text;
use super::output::{device_words, json, plural, ranks_text, stdout};
use super::page::save;
use super::progress::Terminal;
use super::scored::{ScoredRows, ScoredStream, Scorer};
use crate::data::{Dataset, HeldOut, ReadOptions, RowStream, Rows, files_of};
use crate::engine::gpu::GpuOptions;
use crate::engine::{DeviceInfo, DeviceRequest};
use crate::error::{Error, Result};
use crate::metrics::{ClassMetrics, ClassTally, Group, Groups, Judge, Metrics, Tally, check_threshold};
use crate::model::{Model, check_output};
use crate::monitor::Monitor;
use crate::ranks::Team;

/// What rows that are held out are called.
pub(super) const HELD_OUT: &str = "held-out rows";

/// Metrics of two classes or of more.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum AnyMetrics {
    Two(Box<Metrics>),
    More(ClassMetrics),
}

/// Metrics, those of groups, and what computed the linear predictors.
pub(super) struct Scored {
    pub(super) metrics: AnyMetrics,
    /// The column that says the groups, and these.
    pub(super) groups: Option<(String, Vec<Group<AnyMetrics>>)>,
    pub(super) device: DeviceInfo,
}

impl Scored {
    /// The column of the groups and these, as JSON; nothing where none were asked for.
    pub(super) fn groups_json(&self) -> Option<serde_json::Value> {
        self.groups.as_ref().map(|(by, groups)| json!({ "by": by, "groups": groups }))
    }
}

/// Holds the arguments together, and reads the model; with it all files that are read.
fn load(args: &EvaluateArgs) -> Result<(Model, Vec<PathBuf>)> {
    check_threshold(args.rows.threshold())?;
    let model = Model::load(&args.model)?;
    args.rows.check_for(&model)?;
    args.judging.check_for(model.classes.len())?;
    let mut inputs = files_of(&args.rows.files)?;
    inputs.extend([&args.target_file, &args.weight_file].into_iter().flatten().cloned());
    inputs.insert(0, args.model.clone());
    args.page.report.as_ref().map_or(Ok(()), |page| check_output(page, &inputs))?;
    Ok((model, inputs))
}

pub(super) fn run(
    args: &EvaluateArgs,
    matches: &ArgMatches,
    terminal: &Terminal,
    team: Option<&Arc<Team>>,
) -> Result<Outcome> {
    let (model, inputs) = agreed(team, load(args))?;
    let options = ReadOptions {
        format: args.rows.format.map(Into::into),
        no_header: args.rows.no_header.then_some(true),
        target_file: args.target_file.clone(),
        weight_file: args.weight_file.clone(),
        with_target: true,
        by: args.judging.by.clone(),
        ..ReadOptions::default()
    };
    let scorer = Scorer::new(&model, &args.common.device(), &GpuOptions::default(), team);
    let Some(mut stream) = ScoredStream::open(&args.rows.files, scorer, &options, team, terminal)? else {
        return Ok(Outcome::Done);
    };
    let mut judged = Judged::new(&model, args.rows.threshold(), &args.judging)?;
    while let Some(rows) = stream.next(terminal)? {
        judged.add(&rows)?;
    }
    terminal.clear();
    let (left_out_rows, (read, device)) = (judged.left_out, stream.finish());
    read.notes.iter().for_each(|note| terminal.note(&format!("note: {note}")));
    let scored = judged.finish(device)?;
    if left_out_rows > 0 {
        terminal.warn(&left_out(left_out_rows));
    }
    let ranks = job::ranks(team);
    if args.common.json {
        json(&json!({
            "device": scored.device,
            "ranks": ranks,
            "classes": model.classes,
            "rows_left_out": left_out_rows,
            "metrics": scored.metrics,
            "groups": scored.groups_json(),
        }))?;
    } else {
        stdout(&format!("device     {}{}\n", device_words(&scored.device), ranks_text(ranks)))?;
        stdout(&text("metrics", &scored, &model.classes, &args.judging))?;
    }
    if let Some(path) = &args.page.report {
        let page = page::page(args, matches, &model, &inputs, (&read, left_out_rows), &scored, terminal)?;
        save(&page, path)?;
        if !args.common.json {
            stdout(&format!("\nreport     {}\n", path.display()))?;
        }
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

/// Metrics under way, of all rows and of groups.
struct Tallies<T> {
    all: T,
    groups: Option<Groups<T>>,
}

impl<T: Judge> Tallies<T> {
    /// From those of no rows, with groups by the values of a column, if any.
    fn new(of_none: T, by: Option<&str>) -> Box<Self> {
        Box::new(Tallies { groups: by.map(|by| Groups::new(by, of_none.clone())), all: of_none })
    }

    /// Has `add` add a row to the metrics of all rows, and to those of its group.
    fn add(&mut self, group: Option<&str>, add: impl Fn(&mut T) -> Result<()>) -> Result<()> {
        add(&mut self.all)?;
        match self.groups.as_mut().zip(group) {
            Some((groups, group)) => groups.add(group, add),
            None => Ok(()),
        }
    }

    /// The metrics of all rows and of each group.
    fn finish(self, any: impl Fn(T::Metrics) -> AnyMetrics) -> Result<(AnyMetrics, Option<Vec<Group<AnyMetrics>>>)> {
        let groups = self.groups.map(Groups::finish).transpose()?.map(|groups| {
            let of = |Group { group, rows, metrics }| Group { group, rows, metrics: Option::map(metrics, &any) };
            groups.into_iter().map(of).collect()
        });
        Ok((any(self.all.finish()?), groups))
    }
}

/// Metrics under way of two classes or of more.
enum AnyTally {
    Two(Box<Tallies<Tally>>),
    More(Box<Tallies<ClassTally>>),
}

impl AnyTally {
    fn rows(&self) -> usize {
        match self {
            AnyTally::Two(tallies) => tallies.all.rows(),
            AnyTally::More(tallies) => tallies.all.rows(),
        }
    }
}

/// Rows judged so far.
struct Judged<'a> {
    model: &'a Model,
    tally: AnyTally,
    /// The column of the groups.
    by: Option<String>,
    /// Rows that could not be judged.
    left_out: usize,
}

impl<'a> Judged<'a> {
    /// None yet, of those that `model` labels 1 from the probability `threshold` on.
    fn new(model: &'a Model, threshold: f64, judging: &JudgingArgs) -> Result<Self> {
        let by = judging.by.clone();
        let tally = match model.classes.len() {
            2 => AnyTally::Two(Tallies::new(Tally::new(threshold)?.with_cost(judging.cost), by.as_deref())),
            classes => AnyTally::More(Tallies::new(ClassTally::new(classes), by.as_deref())),
        };
        Ok(Judged { model, tally, by, left_out: 0 })
    }

    /// Judges the rows that can be.
    fn add(&mut self, rows: &ScoredRows) -> Result<()> {
        self.left_out += rows.missing_rows.len();
        let mut missing = rows.missing_rows.iter().copied().peekable();
        for (row, (t, s)) in rows.targets.iter().copied().enumerate() {
            if missing.next_if_eq(&row).is_some() {
                continue;
            }
            let group = rows.groups.as_ref().map(|groups| groups[row].as_str());
            match &mut self.tally {
                AnyTally::Two(tallies) => tallies.add(group, |tally| tally.add(rows.predictor_of(row), t, s))?,
                AnyTally::More(tallies) => {
                    let logs = self.model.log_probabilities(&rows.predictors_of(row).collect::<Vec<f64>>());
                    tallies.add(group, |tally| tally.add(&logs, t as usize, s))?;
                }
            }
        }
        Ok(())
    }

    /// The metrics of all rows that could be judged, whose linear predictors `device` computed.
    fn finish(self, device: Option<DeviceInfo>) -> Result<Scored> {
        let Some(device) = device.filter(|_| self.tally.rows() > 0) else {
            return Err(Error::Usage("no row is left to evaluate: each has a missing value or an unseen level".into()));
        };
        let (metrics, groups) = match self.tally {
            AnyTally::Two(tallies) => tallies.finish(|metrics| AnyMetrics::Two(Box::new(metrics)))?,
            AnyTally::More(tallies) => tallies.finish(AnyMetrics::More)?,
        };
        Ok(Scored { metrics, groups: self.by.zip(groups), device })
    }
}

/// Rows scored and judged.
pub(super) struct Scores<'a> {
    scorer: Scorer<'a>,
    judged: Judged<'a>,
}

impl<'a> Scores<'a> {
    /// None yet; `model` will predict on `device` as the options say, and label rows 1 from the probability `threshold` on.
    pub(super) fn new(
        model: &'a Model,
        device: &DeviceRequest,
        options: &GpuOptions,
        threshold: f64,
        judging: &JudgingArgs,
    ) -> Result<Self> {
        let scorer = Scorer::new(model, device, options, None);
        Ok(Scores { scorer, judged: Judged::new(model, threshold, judging)? })
    }

    /// Judges the rows of `data` but those `missing` (ascending).
    pub(super) fn add(&mut self, data: &Dataset, missing: &[usize]) -> Result<()> {
        let mut scored = self.scorer.score(data)?;
        scored.missing_rows = missing.to_vec();
        self.judged.add(&scored)
    }

    /// The same of rows of a file.
    fn add_rows(&mut self, rows: Rows) -> Result<()> {
        self.judged.add(&self.scorer.score_rows(rows)?)
    }

    /// The metrics of all rows that could be judged.
    pub(super) fn finish(self) -> Result<Scored> {
        self.judged.finish(self.scorer.device().cloned())
    }
}

/// Rows of files that a model is to be judged on.
pub(super) struct Unseen<'a> {
    /// What they are called.
    pub(super) title: &'static str,
    pub(super) stream: RowStream<'a>,
    /// The first of them, where they have been read.
    pub(super) first: Option<Rows>,
}

/// Metrics of rows that were not trained on, those of files or those held out, and what they are called, if there are any.
pub(super) fn judge(
    mut scores: Scores<'_>,
    unseen: Option<Unseen<'_>>,
    holdout: Option<&HeldOut>,
    terminal: &Terminal,
) -> Result<Option<(&'static str, Scored)>> {
    let Some(Unseen { title, mut stream, first }) = unseen else {
        let Some(holdout) = holdout else { return Ok(None) };
        scores.add(&holdout.data, &holdout.missing_rows)?;
        return Ok(Some((HELD_OUT, scores.finish()?)));
    };
    let mut next = match first {
        None => stream.next(terminal)?,
        first => first,
    };
    while let Some(rows) = next {
        if terminal.interrupted() {
            terminal.note(&format!("note: the {title} were not judged"));
            return Ok(None);
        }
        scores.add_rows(rows)?;
        next = stream.next(terminal)?;
    }
    terminal.clear();
    // Those not held out are no loss.
    if scores.judged.left_out > 0 && title != HELD_OUT {
        terminal.warn(&left_out(scores.judged.left_out));
    }
    Ok(Some((title, scores.finish()?)))
}
