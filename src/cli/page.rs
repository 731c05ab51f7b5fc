//! What the pages of `train` and `evaluate` have in common.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use clap::ArgMatches;
use indicatif::HumanBytes;

use super::args::JudgingArgs;
use super::evaluate::{AnyMetrics, Scored};
use super::invocation::{command_line, options};
use super::metrics::{lift_words, parts};
use super::output::{count, plural, shorten, write};
use super::progress::Terminal;
use crate::error::Result;
use crate::metrics::Metrics;
use crate::report::page::{Figure, Page, Part, Section, Table};
use crate::report::picture::{self, Picture};

/// Files that are listed one by one.
const MOST_FILES: usize = 100;
/// Letters of a name.
const NAME: usize = 200;

/// Facts under way.
pub(super) fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// A name as a page shows it, which need not be that of a sane file.
pub(super) fn named(name: &str) -> String {
    shorten(name, NAME)
}

/// A picture with what it says, if there is one.
pub(super) fn figure(picture: Option<Picture>, says: String, caption: String) -> Option<Figure> {
    picture.map(|picture| Figure { picture, says, caption })
}

/// The files that were read.
pub(super) fn files(paths: &[PathBuf]) -> Part {
    let size = |path: &Path| match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Some(vec![count(found.len())]),
        _ if path.as_os_str() == "-" => Some(vec!["standard input".to_owned()]),
        _ => None,
    };
    let mut rows: Vec<(String, Vec<String>)> =
        paths.iter().filter_map(|path| Some((named(&path.display().to_string()), size(path)?))).collect();
    if rows.len() > MOST_FILES {
        let more = rows.len() - MOST_FILES;
        rows.truncate(MOST_FILES);
        rows.push((format!("and {}", plural(more as u64, "more file")), vec![String::new()]));
    }
    let heads = vec!["file".to_owned(), "bytes".to_owned()];
    Part::Table(Table { caption: "files".into(), heads, rows, numbers: true, folded: false })
}

/// What was warned of, if anything.
pub(super) fn warnings(terminal: &Terminal) -> Option<Section> {
    let parts: Vec<Part> = terminal.warnings().into_iter().map(Part::Warning).collect();
    (!parts.is_empty()).then_some(Section { id: "warnings", heading: "Warnings", parts })
}

/// Metrics of rows, with pictures where there are two classes; `whose` says of which rows, as in "ROC curve of the test rows".
pub(super) fn metrics(
    scored: &Scored,
    whose: &str,
    first: Part,
    classes: &[String],
    judging: &JudgingArgs,
) -> Result<Section> {
    let mut all = vec![first];
    if let AnyMetrics::Two(metrics) = &scored.metrics {
        all.push(Part::Figures(figures(metrics, whose, classes)?));
    }
    let told = parts(scored, classes, judging.cost, true).into_iter().map(|part| match part {
        Part::Table(table) => Part::Table(Table { folded: table.rows.len() > 8, ..table }),
        part => part,
    });
    all.extend(told);
    Ok(Section { id: "metrics", heading: "How well it predicts", parts: all })
}

fn figures(m: &Metrics, whose: &str, classes: &[String]) -> Result<Vec<Figure>> {
    let [zero, one] = [0, 1].map(|k| shorten(&classes[k], 40));
    let number = |value: Option<f64>| value.map_or("not defined".to_owned(), |value| format!("{value:.4}"));
    let interval = m.roc_auc_interval.map_or(String::new(), |interval| {
        format!(" ({}% interval {:.4} to {:.4})", 100.0 * interval.level, interval.low, interval.high)
    });
    let area = format!("area {}{interval}", number(m.roc_auc));
    let precision = format!("average precision {}", number(m.pr_auc));
    let share = format!("the share of {one}, {:.4}", m.base_rate);
    let c = &m.calibration;
    let fit = match c.slope.zip(c.intercept) {
        Some((slope, intercept)) => format!("slope {slope:.4}, intercept {intercept:.4}"),
        None => "no slope, for the classes do not overlap".to_owned(),
    };
    let calibrated = format!("{fit}, expected error {:.4}", c.expected_error);
    let apart = format!("KS {}", number(m.ks));
    let figures = [
        figure(
            picture::roc(m)?,
            format!("ROC curve of the {whose}: {area}."),
            format!("ROC curve: {area}. Dashed: chance, area 0.5."),
        ),
        figure(
            picture::precision_recall(m)?,
            format!("Precision over recall of the {whose}: {precision}; {share}."),
            format!("Precision over recall: {precision}. Dashed: {share}."),
        ),
        figure(
            Some(picture::calibration(&c.bins)?),
            format!("Calibration of the {whose}, observed shares of {one} over mean probabilities: {calibrated}."),
            format!("Calibration: {calibrated}. Larger dots stand for more rows. Dashed: as predicted."),
        ),
        figure(
            Some(picture::histogram(m, classes)?),
            format!(
                "Probabilities of {one} that the {whose} got, {one} upwards and {zero} downwards: {apart}; mean probability \
                 {:.4}, where {:.4} is observed.",
                m.mean_probability, m.base_rate
            ),
            format!("Probabilities of {one} that rows of {one} got (up) and rows of {zero} (down): {apart}."),
        ),
        match &m.lift {
            Some(lift) => figure(
                Some(picture::lift(lift)?),
                format!("Lift of the {whose}: {}.", lift_words(lift)),
                format!("Lift: {}. Dashed: no order at all.", lift_words(lift)),
            ),
            None => None,
        },
    ];
    Ok(figures.into_iter().flatten().collect())
}

/// What was typed, and what every option was.
pub(super) fn invocation(matches: &ArgMatches) -> Section {
    let rows = options(matches).into_iter().map(|(name, value, given)| {
        let origin = if given { "given" } else { "default" };
        (name, vec![shorten(&value, 2000), origin.to_owned()])
    });
    let table = Table {
        caption: "every option".into(),
        heads: ["option", "value", "by"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        numbers: false,
        folded: true,
    };
    let parts = vec![Part::Code(command_line()), Part::Table(table)];
    Section { id: "options", heading: "Command and options", parts }
}

/// Bytes in words.
pub(super) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// What wrote the page, and when.
pub(super) fn foot() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now: Option<DateTime<Utc>> = DateTime::from_timestamp(since.as_secs() as i64, 0);
    let when = now.map_or(String::new(), |now| format!(", {now}"));
    format!("gpulogit {}{when}", env!("CARGO_PKG_VERSION"))
}

/// Writes a page as a whole or not at all.
pub(super) fn save(page: &Page, path: &Path) -> Result<()> {
    write(path, &page.html()?)
}
