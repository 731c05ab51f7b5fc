//! A model as one SQL query over a table that has the model's columns. SQLite and DuckDB take it as it stands.
//!
//! Three habits of theirs shape it. Numbers stand with an exponent, because DuckDB takes others for decimals. Columns are named
//! behind the table, because SQLite takes a quoted name that it does not find for text. And numbers are compared with the range
//! of doubles first: that is false for NaN and infinities, for text that SQLite would read as 0, and an error of DuckDB's for a
//! column of another type.

use std::fmt::Write;

use super::scoring::{Adds, Column, Keys, Kind, Link, Scoring};
use crate::data::MISSING_MARKS;
use crate::error::Result;
use crate::model::LABEL;

/// The table that the query reads; it stands there once.
const TABLE: &str = "input_rows";

/// Terms that are added without parentheses: SQLite nests expressions 1,000 deep at the most.
const TERMS: usize = 40;

/// Predictors whose largest is found in one expression, the length of which is quadratic.
const COMPARED: usize = 16;

/// What keeps SQLite from putting expressions in the place of their names, again and again: with 20 classes that fills the memory.
const KEPT: &str = "MATERIALIZED ";

/// The query.
///
/// # Errors
/// As [`Scoring::check_keys`], [`Scoring::check_characters`] and [`Scoring::check_case`].
pub(super) fn write(scoring: &Scoring<'_>) -> Result<String> {
    scoring.check_keys("SQL", false)?;
    scoring.check_characters("SQL", |c| c == '\0')?;
    scoring.check_case("SQL")?;
    let mut query = format!(
        "-- Predictions of a logistic regression trained by gpulogit {}, in SQLite and DuckDB.\n\
         -- Put the name of your table in the place of {TABLE}. Its columns come back behind the linear predictors, and behind\n\
         -- them the predictions: NULL where `gpulogit predict` leaves a cell empty. Missing values are NULL; dates are numbers\n\
         -- of days since 1970-01-01: julianday(day) - 2440587.5 in SQLite, epoch(day) / 86400 in DuckDB.\n",
        scoring.version
    );
    let predictors: Vec<String> = (1..=scoring.intercepts.len()).map(|k| format!("gpulogit_predictor_{k}")).collect();
    let kept = if scoring.link == Link::Logistic { "" } else { KEPT };
    let _ = writeln!(query, "WITH gpulogit_predictors AS {kept}(\n  SELECT");
    for (k, name) in predictors.iter().enumerate() {
        let terms = [number(scoring.intercepts[k])].into_iter();
        let terms = terms.chain(scoring.columns.iter().map(|column| term(column, k))).collect();
        let _ = writeln!(query, "    {} AS {name},", sum(terms, "\n      "));
    }
    let _ = writeln!(query, "    r.*\n  FROM {TABLE} AS r\n)");
    match scoring.link {
        Link::Logistic => query += &logistic(scoring, &predictors[0]),
        Link::Softmax | Link::Ovr => query += &classes(scoring, &predictors),
    }
    Ok(query)
}

fn logistic(scoring: &Scoring<'_>, a: &str) -> String {
    let [negative, positive] = [0, 1].map(|class| text(&scoring.classes[class]));
    // e^-a may be infinite, and the probability is 0 then.
    format!(
        "SELECT\n  *,\n  1e0 / (1e0 + exp(-{a})) AS {},\n  CASE WHEN {a} >= 0e0 THEN {positive} WHEN {a} < 0e0 THEN {negative} END \
         AS {LABEL}\nFROM gpulogit_predictors;\n",
        name(&scoring.outputs[0])
    )
}

/// P(k) = e^(s_k - m)/Σ e^(s_l - m), with the scores s and their largest m, each step a table of its own.
fn classes(scoring: &Scoring<'_>, predictors: &[String]) -> String {
    let (mut query, mut from) = (String::new(), "gpulogit_predictors".to_string());
    let mut step = |table: &str, columns: Vec<(String, String)>| {
        let columns: String = columns.into_iter().map(|(value, name)| format!("    {value} AS {name},\n")).collect();
        let _ = writeln!(query, ", {table} AS {KEPT}(\n  SELECT\n{columns}    r.*\n  FROM {from} AS r\n)");
        from = table.to_string();
    };
    let mut scores = predictors.to_vec();
    if scoring.link == Link::Ovr {
        // log σ(a), so that what is next to 0 in every class keeps its proportions.
        let score =
            |a: &String| format!("CASE WHEN {a} >= 0e0 THEN -ln(1e0 + exp(-{a})) ELSE {a} - ln(1e0 + exp({a})) END");
        scores = (1..=predictors.len()).map(|k| format!("gpulogit_score_{k}")).collect();
        step("gpulogit_scores", predictors.iter().map(score).zip(scores.clone()).collect());
    }
    let mut largest = scores.clone();
    while largest.len() > 1 {
        let names: Vec<String> = (1..=largest.len().div_ceil(COMPARED))
            .map(|block| format!("gpulogit_largest_{}_{block}", largest.len()))
            .collect();
        let table = format!("gpulogit_largest_of_{}", largest.len());
        step(&table, largest.chunks(COMPARED).map(largest_of).zip(names.clone()).collect());
        largest = names;
    }
    let largest = &largest[0];
    let powers: Vec<String> = scores.iter().map(|score| format!("exp({score} - {largest})")).collect();
    step("gpulogit_sums", vec![(sum(powers.clone(), " "), "gpulogit_sum".to_string())]);
    query += "SELECT\n  *,\n";
    for (power, output) in powers.iter().zip(scoring.probabilities()) {
        let _ = writeln!(query, "  {power} / gpulogit_sum AS {},", name(output));
    }
    query += "  CASE\n";
    for (score, class) in scores.iter().zip(scoring.classes) {
        // Classes whose probabilities are the same but for rounding are equals, of which the first is taken.
        let _ = writeln!(
            query,
            "    WHEN {score} - {largest} - ln(gpulogit_sum) >= -ln(gpulogit_sum) THEN {}",
            text(class)
        );
    }
    let _ = writeln!(query, "  END AS {LABEL}\nFROM gpulogit_sums;");
    query
}

/// The largest of some numbers. SQLite calls that max and DuckDB greatest.
fn largest_of(names: &[String]) -> String {
    let (last, others) = names.split_last().expect("chunks are not empty");
    let mut cases = String::new();
    for (i, name) in others.iter().enumerate() {
        let above: Vec<String> = names[i + 1..].iter().map(|other| format!("{name} >= {other}")).collect();
        let _ = write!(cases, " WHEN {} THEN {name}", above.join(" AND "));
    }
    if cases.is_empty() { last.clone() } else { format!("CASE{cases} ELSE {last} END") }
}

/// What a column adds to predictor `k`.
fn term(column: &Column<'_>, k: usize) -> String {
    let x = format!("r.{}", name(column.name));
    match &column.kind {
        Kind::Number { coefficients, fill, .. } => {
            let missing = fill.map_or(String::new(), |fill| {
                let marks: Vec<String> = MISSING_MARKS.iter().map(|mark| text(mark)).collect();
                let marks = marks.join(", ");
                format!(" WHEN {x} IS NULL OR lower(trim(CAST({x} AS TEXT))) IN ({marks}) THEN {}", number(fill))
            });
            format!("{} * CASE WHEN {} THEN {x}{missing} END", number(coefficients[k]), in_range(&x))
        }
        Kind::Levels { keys: Keys::Numbers(numbers), adds, .. } => {
            // Adding 0 makes a number of what SQLite keeps as text.
            let value = format!("0e0 + CASE WHEN {} THEN {x} END", in_range(&x));
            levels(&value, numbers.iter().map(|x| number(*x)), adds, k)
        }
        Kind::Levels { levels: names, adds, .. } => {
            levels(&format!("trim(CAST({x} AS TEXT))"), names.iter().map(|level| text(level)), adds, k)
        }
        Kind::Hashed { .. } => unreachable!("refused above"),
    }
}

fn levels(value: &str, keys: impl Iterator<Item = String>, adds: &Adds, k: usize) -> String {
    let mut case = format!("CASE {value}");
    for (key, adds) in keys.zip(&adds.of_level) {
        let _ = write!(case, " WHEN {key} THEN {}", number(adds[k]));
    }
    if let Some(missing) = &adds.missing {
        let _ = write!(case, " ELSE {}", number(missing[k]));
    }
    case + " END"
}

fn in_range(x: &str) -> String {
    let bound = |bound: f64| format!("CAST({} AS DOUBLE PRECISION)", number(bound));
    format!("{x} BETWEEN {} AND {}", bound(f64::MIN), bound(f64::MAX))
}

/// The sum of terms, in parentheses within parentheses where they are many.
fn sum(terms: Vec<String>, space: &str) -> String {
    if terms.len() <= TERMS {
        return terms.join(&format!("{space}+ "));
    }
    let size = terms.len().div_ceil(TERMS).max(TERMS);
    let inner = terms.chunks(size).map(|chunk| format!("({})", sum(chunk.to_vec(), space))).collect();
    sum(inner, space)
}

/// A double.
fn number(x: f64) -> String {
    format!("{x:e}")
}

/// A text.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The name of a column.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
