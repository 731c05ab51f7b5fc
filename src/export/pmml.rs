//! A model as PMML 4.4: a RegressionModel of the input's columns.
//!
//! Each column is declared with its levels. What is missing, or no level, makes the result invalid, or is replaced where the
//! model keeps a fill: a number by the mean, a level by one more value of the column, whose coefficient is what the training's
//! shares of the levels add.

use std::fmt::Write;

use super::scoring::{Adds, Column, Keys, Kind, Link, Scoring, number};
use crate::error::Result;

/// The document; `target` is the name of the column that holds the classes, if there is one.
///
/// # Errors
/// As [`Scoring::check_keys`], [`Scoring::check_characters`] and [`Scoring::check_names`].
pub(super) fn write(scoring: &Scoring<'_>, target: Option<&str>) -> Result<String> {
    scoring.check_keys("PMML", false)?;
    scoring.check_characters("PMML", not_xml)?;
    let target = target.unwrap_or("target");
    let mut outputs = scoring.outputs.clone();
    if let Some(output) = outputs.iter_mut().find(|output| *output == target) {
        *output = format!("predicted_{target}");
    }
    let names: Vec<&str> = outputs.iter().map(String::as_str).chain([target]).collect();
    scoring.check_names("PMML", &names)?;
    let mut xml = Xml { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_string(), open: Vec::new() };
    xml.open("PMML", &[("xmlns", "http://www.dmg.org/PMML-4_4"), ("version", "4.4")]);
    xml.open(
        "Header",
        &[("description", "Logistic regression: what `gpulogit predict` computes. Dates are days since 1970-01-01.")],
    );
    xml.leaf("Application", &[("name", "gpulogit"), ("version", scoring.version)]);
    xml.close();
    dictionary(&mut xml, scoring, target);
    let normalization = if scoring.link == Link::Logistic { "logit" } else { "softmax" };
    xml.open(
        "RegressionModel",
        &[("modelName", "gpulogit"), ("functionName", "classification"), ("normalizationMethod", normalization)],
    );
    mining_schema(&mut xml, scoring, target);
    xml.open("Output", &[]);
    for (k, name) in outputs[..outputs.len() - 1].iter().enumerate() {
        let class = if scoring.link == Link::Logistic { &scoring.classes[1] } else { &scoring.classes[k] };
        let attributes =
            [("optype", "continuous"), ("dataType", "double"), ("feature", "probability"), ("value", class)];
        xml.leaf("OutputField", &[&[("name", name.as_str())], &attributes[..]].concat());
    }
    let label = outputs.last().map_or("", String::as_str);
    xml.leaf(
        "OutputField",
        &[("name", label), ("optype", "categorical"), ("dataType", "string"), ("feature", "predictedValue")],
    );
    xml.close();
    match scoring.link {
        Link::Logistic => {
            table(&mut xml, scoring, 0, &scoring.classes[1]);
            xml.leaf("RegressionTable", &[("intercept", "0"), ("targetCategory", &scoring.classes[0])]);
        }
        Link::Softmax => {
            scoring.classes.iter().enumerate().for_each(|(k, class)| table(&mut xml, scoring, k, class));
        }
        Link::Ovr => against_rest(&mut xml, scoring),
    }
    xml.close();
    xml.close();
    Ok(xml.text)
}

/// A document under way.
struct Xml {
    text: String,
    /// The elements that are not closed yet.
    open: Vec<&'static str>,
}

impl Xml {
    fn open(&mut self, element: &'static str, attributes: &[(&str, &str)]) {
        self.start(element, attributes, ">\n");
        self.open.push(element);
    }

    fn leaf(&mut self, element: &'static str, attributes: &[(&str, &str)]) {
        self.start(element, attributes, "/>\n");
    }

    fn text(&mut self, element: &'static str, attributes: &[(&str, &str)], text: &str) {
        self.start(element, attributes, ">");
        let _ = writeln!(self.text, "{}</{element}>", escaped(text));
    }

    fn close(&mut self) {
        if let Some(element) = self.open.pop() {
            let _ = writeln!(self.text, "{:indent$}</{element}>", "", indent = 2 * self.open.len());
        }
    }

    fn start(&mut self, element: &str, attributes: &[(&str, &str)], end: &str) {
        let _ = write!(self.text, "{:indent$}<{element}", "", indent = 2 * self.open.len());
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"{}\"", escaped(value));
        }
        self.text += end;
    }
}

/// Whether XML 1.0 has no such character, not even escaped.
fn not_xml(c: char) -> bool {
    (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// Text as it stands between tags, or between quotes, where blanks other than spaces would become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// The columns, and what values they may have.
fn dictionary(xml: &mut Xml, scoring: &Scoring<'_>, target: &str) {
    let count = (scoring.columns.len() + 1).to_string();
    xml.open("DataDictionary", &[("numberOfFields", &count)]);
    for column in &scoring.columns {
        let attributes = |optype, kind| [("name", column.name), ("optype", optype), ("dataType", kind)];
        match &column.kind {
            Kind::Number { .. } => {
                xml.open("DataField", &attributes("continuous", "double"));
                let (least, most) = (number(f64::MIN), number(f64::MAX));
                xml.leaf("Interval", &[("closure", "closedClosed"), ("leftMargin", &least), ("rightMargin", &most)]);
                xml.close();
            }
            Kind::Levels { levels, keys, adds } => {
                let kind = if matches!(keys, Keys::Numbers(_)) { "double" } else { "string" };
                xml.open("DataField", &attributes("categorical", kind));
                values(levels, keys, adds).iter().for_each(|(value, _)| xml.leaf("Value", &[("value", value)]));
                xml.close();
            }
            Kind::Hashed { .. } => unreachable!("refused above"),
        }
    }
    xml.open("DataField", &[("name", target), ("optype", "categorical"), ("dataType", "string")]);
    scoring.classes.iter().for_each(|class| xml.leaf("Value", &[("value", class)]));
    xml.close();
    xml.close();
}

/// The levels of a column and what they add; behind them the value that stands for what is missing, where that is filled.
fn values<'a>(levels: &[String], keys: &Keys, adds: &'a Adds) -> Vec<(String, &'a [f64])> {
    let spelt = |(i, level): (usize, &String)| match keys {
        Keys::Numbers(numbers) => number(numbers[i]),
        _ => level.clone(),
    };
    let adds = adds.of_level.iter().map(Vec::as_slice).chain(adds.missing.as_deref());
    levels.iter().enumerate().map(spelt).chain([stand_in(levels, keys)]).zip(adds).collect()
}

/// A value that is no level.
fn stand_in(levels: &[String], keys: &Keys) -> String {
    if let Keys::Numbers(numbers) = keys {
        let free = (1..).map(f64::from).find(|x| !numbers.contains(x));
        return free.map_or(String::new(), number);
    }
    let mut value = String::from("(missing)");
    while levels.contains(&value) {
        value.push('*');
    }
    value
}

/// What becomes of missing and invalid values.
fn mining_schema(xml: &mut Xml, scoring: &Scoring<'_>, target: &str) {
    xml.open("MiningSchema", &[]);
    for column in &scoring.columns {
        let (missing, replacement, invalid) = match &column.kind {
            Kind::Number { fill: Some(fill), .. } => ("asMean", Some(number(*fill)), "returnInvalid"),
            Kind::Levels { levels, keys, adds } if adds.missing.is_some() => {
                ("asValue", Some(stand_in(levels, keys)), "asMissing")
            }
            _ => ("returnInvalid", None, "returnInvalid"),
        };
        let mut attributes =
            vec![("name", column.name), ("missingValueTreatment", missing), ("invalidValueTreatment", invalid)];
        attributes.extend(replacement.as_deref().map(|value| ("missingValueReplacement", value)));
        xml.leaf("MiningField", &attributes);
    }
    xml.leaf("MiningField", &[("name", target), ("usageType", "target")]);
    xml.close();
}

/// The linear predictor `k`, which is that of `class`.
fn table(xml: &mut Xml, scoring: &Scoring<'_>, k: usize, class: &str) {
    let intercept = number(scoring.intercepts[k]);
    xml.open("RegressionTable", &[("intercept", &intercept), ("targetCategory", class)]);
    for column in &scoring.columns {
        if let Kind::Number { coefficients, .. } = &column.kind {
            let coefficient = number(coefficients[k]);
            xml.leaf("NumericPredictor", &[("name", column.name), ("coefficient", &coefficient)]);
        }
    }
    for column in &scoring.columns {
        if let Kind::Levels { levels, keys, adds } = &column.kind {
            for (value, adds) in values(levels, keys, adds) {
                let coefficient = number(adds[k]);
                let attributes = [("name", column.name), ("value", &value), ("coefficient", &coefficient)];
                xml.leaf("CategoricalPredictor", &attributes);
            }
        }
    }
    xml.close();
}

/// One against the rest: σ(aₖ)/Σ σ(aₗ) is the softmax of log σ(aₖ), which fields of the model derive.
fn against_rest(xml: &mut Xml, scoring: &Scoring<'_>) {
    let predictor = |k: usize| format!("gpulogit:predictor_{}", k + 1);
    let score = |k: usize| format!("gpulogit:score_{}", k + 1);
    xml.open("LocalTransformations", &[]);
    for k in 0..scoring.classes.len() {
        derived(xml, &predictor(k), |xml| {
            sum(xml, &scoring.columns, k, &number(scoring.intercepts[k]));
        });
        derived(xml, &score(k), |xml| log_sigmoid(xml, &predictor(k)));
    }
    xml.close();
    for (k, class) in scoring.classes.iter().enumerate() {
        xml.open("RegressionTable", &[("intercept", "0"), ("targetCategory", class)]);
        xml.leaf("NumericPredictor", &[("name", &score(k)), ("coefficient", "1")]);
        xml.close();
    }
}

fn derived(xml: &mut Xml, name: &str, expression: impl FnOnce(&mut Xml)) {
    xml.open("DerivedField", &[("name", name), ("optype", "continuous"), ("dataType", "double")]);
    expression(xml);
    xml.close();
}

fn apply(xml: &mut Xml, function: &str, arguments: impl FnOnce(&mut Xml)) {
    xml.open("Apply", &[("function", function)]);
    arguments(xml);
    xml.close();
}

fn constant(xml: &mut Xml, value: &str) {
    xml.text("Constant", &[("dataType", "double")], value);
}

/// `start` + what these columns add to predictor `k`, halved again and again so that it nests no deeper than it must.
fn sum(xml: &mut Xml, columns: &[Column<'_>], k: usize, start: &str) {
    match columns {
        [] => constant(xml, start),
        [column] => apply(xml, "+", |xml| {
            constant(xml, start);
            term(xml, column, k);
        }),
        _ => apply(xml, "+", |xml| {
            let (left, right) = columns.split_at(columns.len() / 2);
            sum(xml, left, k, start);
            sum(xml, right, k, "0");
        }),
    }
}

fn term(xml: &mut Xml, column: &Column<'_>, k: usize) {
    match &column.kind {
        Kind::Number { coefficients, .. } => apply(xml, "*", |xml| {
            constant(xml, &number(coefficients[k]));
            xml.leaf("FieldRef", &[("field", column.name)]);
        }),
        Kind::Levels { levels, keys, adds } => {
            xml.open("MapValues", &[("outputColumn", "adds"), ("dataType", "double")]);
            xml.leaf("FieldColumnPair", &[("field", column.name), ("column", "level")]);
            xml.open("InlineTable", &[]);
            for (value, adds) in values(levels, keys, adds) {
                xml.open("row", &[]);
                xml.text("level", &[], &value);
                xml.text("adds", &[], &number(adds[k]));
                xml.close();
            }
            xml.close();
            xml.close();
        }
        Kind::Hashed { .. } => unreachable!("refused above"),
    }
}

/// log σ(a) as a − log(1 + eᵃ) below 0 and −log(1 + e⁻ᵃ) from there on.
fn log_sigmoid(xml: &mut Xml, a: &str) {
    let field = |xml: &mut Xml| xml.leaf("FieldRef", &[("field", a)]);
    let log = |xml: &mut Xml, sign: &str| {
        apply(xml, "ln", |xml| {
            apply(xml, "+", |xml| {
                constant(xml, "1");
                apply(xml, "exp", |xml| {
                    apply(xml, "*", |xml| {
                        constant(xml, sign);
                        field(xml);
                    });
                });
            });
        });
    };
    apply(xml, "if", |xml| {
        apply(xml, "lessThan", |xml| {
            field(xml);
            constant(xml, "0");
        });
        apply(xml, "-", |xml| {
            field(xml);
            log(xml, "1");
        });
        apply(xml, "-", |xml| {
            constant(xml, "0");
            log(xml, "-1");
        });
    });
}
