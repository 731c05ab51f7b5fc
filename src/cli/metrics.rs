//! Metrics as parts of a page, and these as text.

use super::args::JudgingArgs;
use super::evaluate::{AnyMetrics, Scored};
use super::output::{count, plural, short, shorten};
use crate::metrics::{AtThreshold, BestThreshold, ClassMetrics, Confusion, Cost, Group, Lift, Metrics};
use crate::report::page::{Part, Table};

/// Classes whose confusion is printed.
const MOST_CONFUSED: usize = 12;
/// Groups that are printed; the JSON has all.
const MOST_GROUPS: usize = 50;
/// Shares of the rows that lift is printed at without a table of it.
const LIFT_AT: [f64; 2] = [0.1, 0.2];

/// What stands where a number is not defined.
const NONE: &str = "–";

/// Metrics as lines of text, under `title`.
pub(super) fn text(title: &str, scored: &Scored, classes: &[String], judging: &JudgingArgs) -> String {
    let mut text = format!("{title}\n");
    for part in parts(scored, classes, judging.cost, judging.tables) {
        match part {
            Part::Facts(facts) => text.extend(facts.iter().map(|(name, value)| format!("  {name:17}  {value}\n"))),
            Part::Table(table) => text += &table_text(&table),
            Part::Text(words) => text += &format!("  {words}\n"),
            // Metrics have no others.
            Part::Warning(_) | Part::Code(_) | Part::Figures(_) => {}
        }
    }
    text
}

/// Metrics in words and tables; those of thresholds, lift and calibration where `tables` are wanted.
pub(super) fn parts(scored: &Scored, classes: &[String], cost: Option<Cost>, tables: bool) -> Vec<Part> {
    let mut parts = match &scored.metrics {
        AnyMetrics::Two(metrics) => of_two(metrics, classes),
        AnyMetrics::More(metrics) => of_more(metrics, classes),
    };
    if let (AnyMetrics::Two(metrics), true) = (&scored.metrics, tables) {
        parts.extend(tables_of_two(metrics, cost, &classes[1]));
    }
    if let Some((by, groups)) = &scored.groups {
        parts.extend(by_group(by, groups));
    }
    parts
}

/// A name and what there is to say.
fn line(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A number, or that it is none.
fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.digits$}"))
}

/// A sum of weights.
fn cell(weight: f64) -> String {
    if weight.fract() == 0.0 { format!("{weight}") } else { format!("{weight:.3}") }
}

/// A table of numbers.
fn table(title: &str, heads: &[&str], rows: Vec<(String, Vec<String>)>) -> Part {
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    Part::Table(Table { caption: title.to_owned(), heads, rows, numbers: true, folded: false })
}

/// A table as text.
fn table_text(Table { caption, heads, rows, .. }: &Table) -> String {
    let widest = |cells: &mut dyn Iterator<Item = &String>| cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
    let names = widest(&mut rows.iter().map(|(name, _)| name).chain(heads.first()));
    let width = |k: usize| widest(&mut rows.iter().map(|(_, cells)| &cells[k]).chain([&heads[k + 1]]));
    let widths: Vec<usize> = (0..heads.len() - 1).map(width).collect();
    let line = |name: &str, cells: &[String]| {
        let cells: String = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}")).collect();
        format!("    {name:names$}{cells}\n")
    };
    let mut text = format!("  {caption}\n") + &line(&heads[0], &heads[1..]);
    for (name, cells) in rows {
        text += &line(name, cells);
    }
    text
}

/// The confusion of classes called `labels`.
fn confusion(title: &str, labels: &[String], weights: &[Vec<f64>]) -> Part {
    let short: Vec<String> = labels.iter().map(|label| shorten(label, 12)).collect();
    let heads: Vec<&str> = [""].into_iter().chain(short.iter().map(String::as_str)).collect();
    let rows = labels.iter().zip(weights).map(|(label, weights)| {
        let cells = weights.iter().map(|weight| cell(*weight)).collect();
        (label.clone(), cells)
    });
    table(&format!("{title} (rows: truth, columns: prediction)"), &heads, rows.collect())
}

fn of_two(m: &Metrics, classes: &[String]) -> Vec<Part> {
    let both = |value: Option<f64>| value.map_or(format!("{NONE} (one class only)"), |value| format!("{value:.6}"));
    let interval = m.roc_auc_interval.map_or(String::new(), |interval| {
        format!(" ({}% interval {:.6} to {:.6})", 100.0 * interval.level, interval.low, interval.high)
    });
    let mut facts = vec![
        line("rows", &count(m.rows as u64)),
        line("log loss", &format!("{:.6}", m.log_loss)),
        line("Brier", &format!("{:.6}", m.brier)),
        line("ROC AUC", &(both(m.roc_auc) + &interval)),
        line("PR AUC", &both(m.pr_auc)),
        line("KS", &both(m.ks)),
    ];
    if let Some(lift) = &m.lift {
        facts.push(line("lift", &lift_words(lift)));
    }
    let c = &m.calibration;
    facts.push(line(
        "calibration",
        &match c.slope.zip(c.intercept) {
            Some((slope, intercept)) => {
                format!("slope {slope:.4}, intercept {intercept:.4} ({} at slope 1)", number(c.intercept_at_slope_1, 4))
            }
            None if m.roc_auc.is_none() => both(None),
            None => format!("{NONE} (the classes do not overlap)"),
        },
    ));
    let bins = c.bins.len();
    facts.push(line("calibration error", &format!("{:.6} expected, in {bins} bins of equal width", c.expected_error)));
    let mean = format!("{:.6}, where {:.6} is observed", m.mean_probability, m.base_rate);
    facts.push(line("mean probability", &mean));
    let from = format!("labels from probability {} on", short(m.confusion.threshold));
    let mut parts = vec![Part::Facts(facts), Part::Text(from)];
    parts.extend(labels(&AtThreshold { confusion: m.confusion, scores: m.labels }, Vec::new(), classes));
    if let Some(best) = &m.best_threshold {
        parts.extend(best_threshold(best, &m.confusion, classes));
    }
    parts
}

/// The lift at a few shares of the rows.
pub(super) fn lift_words(lift: &[Lift]) -> String {
    let at = lift.iter().filter(|lift| LIFT_AT.contains(&lift.share));
    let words: Vec<String> = at.map(|at| format!("{:.3} in the top {}%", at.lift, 100.0 * at.share)).collect();
    words.join(", ")
}

/// What labels at a threshold say, after what is known already, and their confusion.
fn labels(at: &AtThreshold, mut facts: Vec<(String, String)>, classes: &[String]) -> [Part; 2] {
    let (scores, c) = (&at.scores, &at.confusion);
    for (name, value) in [
        ("accuracy", Some(scores.accuracy)),
        ("balanced accuracy", Some(scores.balanced_accuracy)),
        ("precision", scores.precision),
        ("recall", scores.recall),
        ("F1", scores.f1),
        ("MCC", scores.mcc),
    ] {
        facts.push(line(name, &number(value, 6)));
    }
    let labels: Vec<String> = classes.iter().map(|class| shorten(class, 24)).collect();
    let weights = [vec![c.true_negative, c.false_positive], vec![c.false_negative, c.true_positive]];
    [Part::Facts(facts), confusion("confusion", &labels, &weights)]
}

fn best_threshold(best: &BestThreshold, before: &Confusion, classes: &[String]) -> Vec<Part> {
    let Cost { false_positive, false_negative } = best.cost;
    let threshold = short(best.at.confusion.threshold);
    let from = format!(
        "labels from probability {threshold} on, which cost least at {}:{} for a false positive and a false negative",
        short(false_positive),
        short(false_negative),
    );
    let (here, there) = (format!("{:.6}", best.mean_cost), format!("{:.6}", best.mean_cost_before));
    let cost = line("mean cost", &format!("{here}, {there} at probability {}", short(before.threshold)));
    [Part::Text(from)].into_iter().chain(labels(&best.at, vec![cost], classes)).collect()
}

/// Thresholds, lift and bins of calibration.
fn tables_of_two(m: &Metrics, cost: Option<Cost>, one: &str) -> Vec<Part> {
    let mut heads = vec!["from", "TN", "FP", "FN", "TP", "accuracy", "precision", "recall", "specificity", "F1", "MCC"];
    heads.extend(cost.map(|_| "mean cost"));
    let rows = m.thresholds.iter().map(|AtThreshold { confusion: c, scores }| {
        let mut cells = [c.true_negative, c.false_positive, c.false_negative, c.true_positive].map(cell).to_vec();
        let scores =
            [Some(scores.accuracy), scores.precision, scores.recall, scores.specificity, scores.f1, scores.mcc];
        cells.extend(scores.map(|score| number(score, 4)));
        cells.extend(cost.map(|cost| number(Some(cost.of(c) / m.weight_sum), 4)));
        (short(c.threshold), cells)
    });
    let mut parts = vec![table("labels from other probabilities on", &heads, rows.collect())];
    if let Some(lift) = &m.lift {
        let rows = lift.iter().map(|at| {
            let cells = vec![number(Some(at.lift), 4), number(Some(at.captured), 4)];
            (format!("{}%", 100.0 * at.share), cells)
        });
        let one = format!("share of {}", shorten(one, 24));
        parts.push(table("rows ranked highest", &["top", "lift", &one], rows.collect()));
    }
    let bins = m.calibration.bins.iter().map(|bin| {
        let cells = vec![cell(bin.weight), number(bin.mean_probability, 4), number(bin.share, 4)];
        (format!("{} to {}", bin.from, bin.to), cells)
    });
    let heads = ["probability", "weight", "predicted", "observed"];
    parts.push(table("calibration", &heads, bins.collect()));
    parts
}

/// Metrics of more than two classes. The confusion of many classes is in the JSON alone.
fn of_more(m: &ClassMetrics, classes: &[String]) -> Vec<Part> {
    let mut facts = vec![line("rows", &count(m.rows as u64))];
    for (name, value, note) in [
        ("log loss", Some(m.log_loss), ""),
        ("Brier", Some(m.brier), ""),
        ("accuracy", Some(m.accuracy), " (micro F1)"),
        ("balanced accuracy", Some(m.balanced_accuracy), " (macro recall)"),
        ("macro precision", Some(m.macro_precision), ""),
        ("macro F1", Some(m.macro_f1), ""),
        ("weighted F1", Some(m.weighted_f1), ""),
        ("MCC", m.mcc, ""),
        ("macro ROC AUC", m.macro_roc_auc, " (one against the rest)"),
    ] {
        facts.push(line(name, &(number(value, 6) + note)));
    }
    let labels: Vec<String> = classes.iter().map(|class| shorten(class, 24)).collect();
    let rows = labels.iter().zip(&m.classes).map(|(label, class)| {
        let mut cells = vec![cell(class.weight)];
        cells.extend([class.precision, class.recall, class.f1].map(|value| number(Some(value), 4)));
        cells.push(number(class.roc_auc, 4));
        (label.clone(), cells)
    });
    let heads = ["", "weight", "precision", "recall", "F1", "ROC AUC"];
    let mut parts = vec![Part::Facts(facts), table("classes", &heads, rows.collect())];
    if classes.len() <= MOST_CONFUSED {
        parts.push(confusion("confusion", &labels, &m.confusion));
    }
    parts
}

/// A table of some metrics of each group.
fn by_group(by: &str, groups: &[Group<AnyMetrics>]) -> Vec<Part> {
    let of_two = ["", "rows", "predicted", "observed", "log loss", "Brier", "ROC AUC", "accuracy", "F1", "MCC"];
    let of_more = ["", "rows", "log loss", "Brier", "macro ROC AUC", "accuracy", "macro recall", "macro F1", "MCC"];
    let is_two = groups.iter().any(|group| matches!(group.metrics, Some(AnyMetrics::Two(_))));
    let heads = if is_two { &of_two[..] } else { &of_more[..] };
    let rows = groups.iter().take(MOST_GROUPS).map(|Group { group, rows, metrics }| {
        let scores = match metrics {
            Some(AnyMetrics::Two(m)) => {
                let all = [m.mean_probability, m.base_rate, m.log_loss, m.brier].map(Some);
                [&all[..], &[m.roc_auc, Some(m.labels.accuracy), m.labels.f1, m.labels.mcc]].concat()
            }
            Some(AnyMetrics::More(m)) => {
                let labels = [Some(m.accuracy), Some(m.balanced_accuracy), Some(m.macro_f1), m.mcc];
                [&[Some(m.log_loss), Some(m.brier), m.macro_roc_auc], &labels[..]].concat()
            }
            None => vec![None; heads.len() - 2],
        };
        let mut cells = vec![count(*rows as u64)];
        cells.extend(scores.into_iter().map(|score| number(score, 4)));
        (if group.is_empty() { "(empty)".to_owned() } else { shorten(group, 24) }, cells)
    });
    let mut parts = vec![table(&format!("by {}", shorten(by, 60)), heads, rows.collect())];
    if groups.len() > MOST_GROUPS {
        let more = plural((groups.len() - MOST_GROUPS) as u64, "more group");
        parts.push(Part::Text(format!("and {more}, in the JSON (--json)")));
    }
    parts
}
