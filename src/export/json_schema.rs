//! The JSON Schema (draft 2020-12) of the rows that a model takes, and of its predictions.

use serde_json::{Map, Value, json};

use super::scoring::{Adds, Column, Keys, Kind, Scoring};
use crate::error::{Error, Result};
use crate::model::LABEL;

/// The schema: an array of rows, with `$defs/row` and `$defs/prediction`.
///
/// # Errors
/// [`Error::Numerics`] when a number has no JSON form.
pub(super) fn write(scoring: &Scoring<'_>) -> Result<String> {
    let names: Vec<&str> = scoring.columns.iter().map(|column| column.name).collect();
    let properties: Map<String, Value> =
        scoring.columns.iter().map(|column| (column.name.to_string(), property(column))).collect();
    let mut outputs: Map<String, Value> = scoring
        .probabilities()
        .iter()
        .map(|name| (name.clone(), json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 })))
        .collect();
    let labels: Vec<Value> = scoring.classes.iter().map(|class| json!(class)).chain([Value::Null]).collect();
    outputs.insert(LABEL.to_string(), json!({ "enum": labels }));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Rows for a logistic regression trained by gpulogit {}", scoring.version),
        "description": "Rows as the predict function of the model's Python export takes them; what it returns for each is \
                        a $defs/prediction.",
        "type": "array",
        "items": { "$ref": "#/$defs/row" },
        "$defs": {
            "row": { "type": "object", "properties": properties, "required": names },
            "prediction": {
                "description": "All null for a row that cannot be predicted.",
                "type": "object",
                "properties": outputs,
                "required": scoring.outputs,
                "additionalProperties": false,
            },
        },
    });
    serde_json::to_string_pretty(&schema)
        .map(|text| text + "\n")
        .map_err(|e| Error::Numerics(format!("the schema cannot be written as JSON: {e}")))
}

/// What a row may hold in a column.
fn property(column: &Column<'_>) -> Value {
    match &column.kind {
        Kind::Number { fill, date: false, .. } => {
            json!({ "type": ["number", "null"], "description": gap(fill.map(|fill| format!("the mean, {fill}"))) })
        }
        Kind::Number { fill, date: true, .. } => json!({
            "type": ["string", "null"],
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+ *([Zz]|[+-][0-9:]+)?)?$",
            "description": gap(fill.map(|fill| format!("the mean, {fill} days since 1970-01-01"))),
        }),
        Kind::Levels { levels, keys, adds } => {
            let known: Vec<Value> = levels.iter().map(|level| json!(level)).collect();
            let mut kinds = vec!["string", "null"];
            if matches!(keys, Keys::Numbers(_) | Keys::TextOrNumber) {
                kinds.push("number");
            }
            if levels.iter().any(|level| level == "true" || level == "false") {
                kinds.push("boolean");
            }
            json!({
                "anyOf": [
                    { "description": "the levels of the training", "enum": known },
                    { "description": format!("another level, or null: {}", gap(shares(adds))), "type": kinds },
                ],
            })
        }
        Kind::Hashed { adds, .. } => json!({ "type": ["string", "null"], "description": gap(shares(adds)) }),
    }
}

fn shares(adds: &Adds) -> Option<String> {
    adds.missing.as_ref().map(|_| "the levels' shares in training".to_string())
}

/// What becomes of a value that is missing.
fn gap(fill: Option<String>) -> String {
    match fill {
        Some(fill) => format!("what is missing is taken for {fill}"),
        None => "a row whose value is missing has no prediction".to_string(),
    }
}
