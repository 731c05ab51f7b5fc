//! A model as a Python module: what it adds up as data, and `module.py`, which is the same for all models, behind it.

use std::fmt::Write;

use super::scoring::{Adds, Keys, Kind, Link, Scoring, number};
use crate::data::MISSING_MARKS;

/// What reads rows and computes.
const CODE: &str = include_str!("module.py");

/// The module; `header` says whether text files of rows have one. Python can do all that `predict` does.
pub(super) fn write(scoring: &Scoring<'_>, header: bool) -> String {
    let mut module = format!(
        "\"\"\"Predictions of a logistic regression trained by gpulogit {}: what `gpulogit predict` writes.\n\n\
         As a module, for rows as dicts with a value for each column of COLUMNS:\n\n    \
         predict(row)  # {{{}}}\n\n\
         On the command line, for files of CSV with a header (or standard input), to CSV on standard output:\n\n    \
         python3 THIS_FILE [--keep COLUMN,..] [FILE ...]\n\"\"\"\n\n",
        scoring.version,
        scoring.outputs.iter().map(|name| format!("{}: ...", text(name))).collect::<Vec<_>>().join(", ")
    );
    let link = match scoring.link {
        Link::Logistic => "logistic",
        Link::Softmax => "softmax",
        Link::Ovr => "ovr",
    };
    let _ = writeln!(module, "LINK = {}", text(link));
    let _ = writeln!(module, "CLASSES = {}", list(scoring.classes.iter().map(|class| text(class))));
    let _ = writeln!(module, "OUTPUTS = {}", list(scoring.outputs.iter().map(|output| text(output))));
    let _ = writeln!(module, "INTERCEPTS = {}", numbers(scoring.intercepts));
    let _ = writeln!(module, "HEADER = {}", if header { "True" } else { "False" });
    let _ = writeln!(module, "MISSING = {}", list(MISSING_MARKS.iter().map(|mark| text(mark))));
    module += "# What each column adds to the linear predictors. Where there is no \"missing\" or \"fill\" (None), a row whose value is\n\
               # missing has no prediction.\nCOLUMNS = {\n";
    for column in &scoring.columns {
        let _ = writeln!(module, "    {}: {{{}}},", text(column.name), entry(&column.kind));
    }
    module += "}\n\n";
    module + CODE
}

fn entry(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Number { coefficients, fill, date } => format!(
            "\"kind\": \"{}\", \"coefficients\": {}, \"fill\": {}",
            if *date { "date" } else { "number" },
            numbers(coefficients),
            fill.map_or("None".to_string(), number)
        ),
        Kind::Levels { levels, keys, adds } => {
            let levels =
                levels.iter().zip(&adds.of_level).map(|(level, adds)| format!("{}: {}", text(level), numbers(adds)));
            let levels: Vec<String> = levels.collect();
            let by_number = if matches!(keys, Keys::Text) { "False" } else { "True" };
            format!(
                "\"kind\": \"levels\", \"by_number\": {by_number}, \"missing\": {}, \"adds\": {{\n        {},\n    }}",
                missing(adds),
                levels.join(",\n        ")
            )
        }
        Kind::Hashed { bits, adds } => {
            let groups: Vec<String> = adds.of_level.iter().map(|adds| numbers(adds)).collect();
            format!(
                "\"kind\": \"hashed\", \"bits\": {bits}, \"missing\": {}, \"adds\": [\n        {},\n    ]",
                missing(adds),
                groups.join(",\n        ")
            )
        }
    }
}

fn missing(adds: &Adds) -> String {
    adds.missing.as_ref().map_or("None".to_string(), |adds| numbers(adds))
}

fn numbers(values: &[f64]) -> String {
    list(values.iter().map(|x| number(*x)))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A text: a JSON string whose characters stand for themselves wherever JSON lets them is one of Python's.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
