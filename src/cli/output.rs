//! What commands have in common in printing results.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::evaluate::AnyMetrics;
use crate::engine::{DeviceInfo, DeviceKind};
use crate::error::{Error, Result};
use crate::metrics::{ClassMetrics, Metrics};
use crate::model::{check_output, write_atomically};

/// Classes whose confusion is printed as text.
const MOST_CONFUSED: usize = 12;

/// Writes to stdout.
pub(super) fn stdout(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::io(Path::new("standard output"), e))
}

/// Writes one JSON object to stdout.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Numerics(format!("the result cannot be written as JSON: {e}")))?;
    stdout(&(text + "\n"))
}

/// Holds the files to be written to be of use, each other than the others and than what is read.
pub(super) fn check_outputs(outputs: &[&PathBuf], inputs: &[PathBuf]) -> Result<()> {
    for (i, path) in outputs.iter().enumerate() {
        check_output(path, inputs)?;
        if outputs[..i].contains(path) {
            return Err(Error::Usage(format!("{} is to be written twice; name another file", path.display())));
        }
    }
    Ok(())
}

/// Writes a text file as a whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, |out| out.write_all(text.as_bytes()).map_err(|e| Error::io(path, e)))
}

/// A device in words.
pub(super) fn device_words(device: &DeviceInfo) -> String {
    let kind = match device.kind {
        DeviceKind::Cpu => "native CPU engine",
        DeviceKind::DiscreteGpu => "discrete GPU",
        DeviceKind::IntegratedGpu => "integrated GPU",
        DeviceKind::VirtualGpu => "virtual GPU",
        DeviceKind::SoftwareGpu => "software GPU: shaders computed on the CPU",
        DeviceKind::OtherGpu => "GPU",
    };
    if device.kind == DeviceKind::Cpu {
        format!("{} ({kind}, {} threads, {})", device.id, rayon::current_num_threads(), device.name)
    } else {
        format!("{} ({}, {}, {kind})", device.id, device.name, device.backend)
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// A count of things.
pub(super) fn plural(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// Metrics as lines of text, under `title`.
pub(super) fn metrics_text(title: &str, metrics: &AnyMetrics, classes: &[String]) -> String {
    match metrics {
        AnyMetrics::Two(metrics) => of_two(title, metrics, classes),
        AnyMetrics::More(metrics) => of_more(title, metrics, classes),
    }
}

/// Metrics of more than two classes. The confusion of many classes is in the JSON alone.
fn of_more(title: &str, m: &ClassMetrics, classes: &[String]) -> String {
    let area = m.macro_roc_auc.map_or("–".to_owned(), |v| format!("{v:.6}"));
    let mut text = format!(
        "{title}\n  rows               {}\n  log loss           {:.6}\n  accuracy           {:.6} (micro F1)\n  balanced accuracy  \
         {:.6} (macro recall)\n  macro precision    {:.6}\n  macro F1           {:.6}\n  weighted F1        {:.6}\n  macro ROC AUC      \
         {area} (one against the rest)\n  Brier              {:.6}\n",
        count(m.rows as u64),
        m.log_loss,
        m.accuracy,
        m.balanced_accuracy,
        m.macro_precision,
        m.macro_f1,
        m.weighted_f1,
        m.brier,
    );
    let labels: Vec<String> = classes.iter().map(|class| shorten(class, 24)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(5);
    let line = |name: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>9}")).collect();
        format!("    {name:width$}{cells}\n")
    };
    let heads = ["weight", "precision", "recall", "F1", "ROC AUC"].map(str::to_owned);
    text += &line("class", &heads);
    for (label, class) in labels.iter().zip(&m.classes) {
        let number = |v: f64| format!("{v:.4}");
        let area = class.roc_auc.map_or("–".to_owned(), number);
        text +=
            &line(label, &[cell(class.weight), number(class.precision), number(class.recall), number(class.f1), area]);
    }
    if classes.len() <= MOST_CONFUSED {
        text += "  confusion (rows: truth, columns: prediction)\n";
        let heads: Vec<String> = labels.iter().map(|label| shorten(label, 9)).collect();
        text += &line("", &heads);
        for (label, weights) in labels.iter().zip(&m.confusion) {
            text += &line(label, &weights.iter().map(|weight| cell(*weight)).collect::<Vec<_>>());
        }
    }
    text
}

/// A sum of weights.
fn cell(weight: f64) -> String {
    if weight.fract() == 0.0 { format!("{weight}") } else { format!("{weight:.3}") }
}

fn of_two(title: &str, m: &Metrics, classes: &[String]) -> String {
    let area = |value: Option<f64>| value.map_or("– (one class only)".to_owned(), |v| format!("{v:.6}"));
    let c = &m.confusion;
    let mut text = format!(
        "{title}\n  rows       {}\n  log loss   {:.6}\n  accuracy   {:.6}\n  ROC AUC    {}\n  PR AUC     {}\n  Brier      {:.6}\n",
        count(m.rows as u64),
        m.log_loss,
        m.accuracy,
        area(m.roc_auc),
        area(m.pr_auc),
        m.brier,
    );
    let labels = [0, 1].map(|class| shorten(&classes[class], 24));
    let width = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0).max(12);
    text += &format!("  confusion at probability {} (rows: truth, columns: prediction)\n", c.threshold);
    text += &format!("    {:width$}  {:>width$}  {:>width$}\n", "", labels[0], labels[1]);
    text +=
        &format!("    {:width$}  {:>width$}  {:>width$}\n", labels[0], cell(c.true_negative), cell(c.false_positive));
    text +=
        &format!("    {:width$}  {:>width$}  {:>width$}\n", labels[1], cell(c.false_negative), cell(c.true_positive));
    text
}

/// `text`, cut to `most` characters.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// Up to `most` names, and how many more there are.
pub(super) fn some_names<'a>(names: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let total = names.len();
    let shown: Vec<String> = names.take(most).map(|name| shorten(name, 60)).collect();
    let more = if total > shown.len() { format!(" and {} more", total - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Most memory the process has held, in bytes, where the system tells (Linux: VmHWM).
pub(super) fn host_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// A number in as many digits as it has, with an exponent where it would be long.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || (1e-5..1e15).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}
