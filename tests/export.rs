//! Every export against `gpulogit predict`, on rows with categories, gaps, levels unseen in training, dates, offsets, and names and
//! levels that need quoting everywhere. `tests/export/check.py` runs the exports.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::fmt::Write;
use std::process::Command;

use gpulogit::data::hash::{mix, unit_interval};
use serde_json::{Value, json};

use desk::Desk;

const ROWS: u64 = 1_200;

/// What the exports may differ by from `predict`; they promise 10⁻⁶.
const LIMIT: f64 = 1e-9;
/// Probabilities that differ by less are level.
const ROUNDING: f64 = 1e-14;

/// What a machine that runs the tests has, and what `test.sh` installs.
const SURE: [&str; 4] = ["python", "c", "sqlite", "pmml"];
const INSTALLED: [&str; 2] = ["duckdb", "onnx"];

const LEVELS: [&str; 9] =
    ["münchen", "o'brien", "say \"hi\"", "a,b", "β <&> ]]>", "what??/ */", "back\\slash", "two\nlines", "🙂"];

/// A model, what it reads, and how many rows it must leave without a prediction, at the least.
struct Case {
    name: &'static str,
    train: &'static [&'static str],
    offset: bool,
    hashed: bool,
    empty: usize,
}

const CASES: [Case; 5] = [
    Case {
        name: "mean",
        train: &["--target", "two", "--drop", "three", "--offset", "o", "--missing", "mean"],
        offset: true,
        hashed: false,
        // A missing offset is filled by nothing.
        empty: 10,
    },
    Case {
        name: "drop",
        train: &["--target", "two", "--drop", "three,o", "--missing", "drop", "--l2", "1", "--positive", "no"],
        offset: false,
        hashed: false,
        empty: 200,
    },
    Case {
        name: "softmax",
        train: &["--target", "three", "--drop", "two,o", "--missing", "mean", "--l2", "1"],
        offset: false,
        hashed: false,
        empty: 0,
    },
    Case {
        name: "ovr",
        train: &["--target", "three", "--drop", "two,o", "--missing", "drop", "--multi", "ovr"],
        offset: false,
        hashed: false,
        empty: 200,
    },
    Case {
        name: "hashed",
        train: &["--target", "two", "--drop", "three,o", "--missing", "mean", "--hash-bits", "3", "--max-levels", "4"],
        offset: false,
        hashed: true,
        empty: 0,
    },
];

/// Rows as CSV; those that are not for training hold levels that it does not know, and numbers and dates in other spellings.
fn rows(training: bool) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["in \"years\", age", "Straße's", "grade", "day", "flag", "o", "two", "three"]).unwrap();
    for i in 0..ROWS {
        let seed = |column: u64| 2 * column + u64::from(training);
        let share = |column: u64| unit_interval(seed(column), i);
        let pick = |column: u64, from: &[&str]| from[(mix(seed(column), i) % from.len() as u64) as usize].to_owned();
        let mut row = vec![
            format!("{:.3}", 80.0 * share(0) - 10.0),
            pick(1, &LEVELS),
            pick(2, &["1", "2", "10"]),
            pick(3, &["1969-12-31", "2000-02-29", "2013-01-31"]),
            pick(4, &["true", "false"]),
            format!("{:.3}", share(5) - 0.5),
        ];
        if !training {
            row[2] += &pick(6, &["", ".0", "e0"]);
            row[3] += &pick(7, &["", "T10:30:00", " 23:59"]);
            for (column, unseen) in [(1, "unseen"), (2, "3")] {
                if share(10 + column as u64) < 0.05 {
                    row[column] = unseen.into();
                }
            }
        }
        for (column, cell) in row.iter_mut().enumerate().take(if training { 5 } else { 6 }) {
            if share(20 + column as u64) < 0.04 {
                *cell = pick(30, &["", "NA"]);
            }
        }
        let noise = share(40) + 0.01 * share(0);
        row.push(if noise + f64::from(u8::from(row[4] == "true")) > 0.9 { "yes" } else { "no" }.into());
        row.push(if noise > 0.6 { pick(41, &["ä \"1\"", "b"]) } else { pick(42, &["c'", "b"]) });
        writer.write_record(&row).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// The columns that the model of a case reads, as `check.py` takes them.
fn kinds(case: &Case) -> Value {
    let mut kinds = json!({
        "in \"years\", age": "number", "Straße's": "text", "grade": "number", "day": "date", "flag": "text"
    });
    if case.offset {
        kinds["o"] = json!("number");
    }
    kinds
}

fn succeeds(desk: &Desk, args: &[&str]) -> String {
    let ended = desk.run(args);
    assert_eq!(ended.code, 0, "{args:?}: {}", ended.err);
    ended.out
}

/// Trains the models of all cases.
fn trained() -> Desk {
    let desk = Desk::on_cpu();
    desk.write("train.csv", rows(true));
    desk.write("rows.csv", rows(false));
    for case in &CASES {
        let model = format!("{}.json", case.name);
        succeeds(&desk, &[&["train", "train.csv", "--model", &model, "--categorical", "grade"], case.train].concat());
    }
    desk
}

/// What the export of a model to `language` predicts of `rows.csv`, by `python`.
fn predicted(desk: &Desk, python: &str, model: &str, language: &str, kinds: &Value) -> String {
    let to = if ["sqlite", "duckdb"].contains(&language) { "sql" } else { language };
    let export = format!("export.{to}");
    succeeds(desk, &["export", &format!("{model}.json"), "--to", to, "--output", &export]);
    check(desk, python, language, &export, kinds)
}

fn check(desk: &Desk, python: &str, language: &str, export: &str, kinds: &Value) -> String {
    desk.write("kinds.json", kinds.to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/check.py");
    let mut command = Command::new(python);
    command.args([script, language, export, "rows.csv", "kinds.json"]).current_dir(desk.path(""));
    let output =
        command.output().unwrap_or_else(|e| panic!("{python} cannot be run: {e}; the tests of exports need it"));
    assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Holds predictions against those of `predict`, and returns how many rows there are and how many have none.
fn compare(predicted: &str, expected: &str) -> Result<(usize, usize), String> {
    let read = |text: &str| -> Vec<csv::StringRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        reader.records().map(Result::unwrap).collect()
    };
    let (predicted, expected) = (read(predicted), read(expected));
    if predicted.len() != expected.len() {
        return Err(format!("{} rows instead of {}", predicted.len(), expected.len()));
    }
    // Some languages have no names for results.
    if !(predicted[0].iter().all(str::is_empty) || predicted[0] == expected[0]) {
        return Err(format!("{:?} instead of {:?}", predicted[0], expected[0]));
    }
    let label = expected[0].len() - 1;
    for (row, (found, wanted)) in predicted.iter().zip(&expected).enumerate().skip(1) {
        let near = |k: usize| match (found[k].parse::<f64>(), wanted[k].parse::<f64>()) {
            (Ok(found), Ok(wanted)) => (found - wanted).abs() <= LIMIT,
            _ => found[k].is_empty() && wanted[k].is_empty(),
        };
        // Classes that are level but for rounding may be told apart either way.
        let probabilities: Vec<f64> = (0..label).filter_map(|k| wanted[k].parse().ok()).collect();
        let most = probabilities.iter().copied().fold(0.0, f64::max);
        let level = probabilities.iter().filter(|p| most - **p <= ROUNDING).count() > 1;
        if found.len() != wanted.len() || !(found[label] == wanted[label] || level) || !(0..label).all(near) {
            return Err(format!("row {row}: {found:?} instead of {wanted:?}"));
        }
    }
    Ok((expected.len() - 1, expected.iter().filter(|row| row[label].is_empty()).count()))
}

fn hold(desk: &Desk, python: &str, languages: &[&str]) {
    let mut compared = 0;
    for case in &CASES {
        let expected = succeeds(desk, &["predict", &format!("{}.json", case.name), "rows.csv"]);
        for language in languages.iter().filter(|language| !case.hashed || ["python", "c"].contains(language)) {
            let found = predicted(desk, python, case.name, language, &kinds(case));
            let (rows, empty) = compare(&found, &expected).unwrap_or_else(|e| panic!("{} {language}: {e}", case.name));
            assert!(
                rows == ROWS as usize && empty >= case.empty && empty < rows / 2,
                "{}: {empty} of {rows}",
                case.name
            );
            compared += 1;
        }
    }
    let cannot_hash = languages.iter().filter(|language| !["python", "c"].contains(language)).count();
    assert_eq!(compared, CASES.len() * languages.len() - cannot_hash);
}

#[test]
fn python_c_sqlite_and_pmml_predict_what_predict_does() {
    let desk = trained();
    hold(&desk, "python3", &SURE);
    // Hashes are for languages with arithmetic on integers.
    for to in ["sql", "pmml", "onnx"] {
        let ended = desk.run(&["export", "hashed.json", "--to", to]);
        assert!(ended.code == 2 && ended.err.contains("'Straße's' is hashed") && ended.out.is_empty(), "{}", ended.err);
    }
    // A comparison that cannot fail would be none.
    let case = &CASES[0];
    let expected = succeeds(&desk, &["predict", "mean.json", "rows.csv"]);
    let module = succeeds(&desk, &["export", "mean.json", "--to", "python"]);
    let intercept = module.find("INTERCEPTS = [").unwrap() + "INTERCEPTS = [".len();
    let doctored = format!("{}1e-8 + {}", &module[..intercept], &module[intercept..]);
    let doctored = desk.write("doctored.py", doctored);
    let fault = compare(&check(&desk, "python3", "python", &doctored, &kinds(case)), &expected).unwrap_err();
    assert!(fault.starts_with("row 1:"), "{fault}");
}

#[test]
#[ignore = "needs the Python packages duckdb, onnx and onnxruntime, which test.sh installs"]
fn duckdb_and_onnx_predict_what_predict_does() {
    let python = std::env::var("EXPORT_PYTHON").expect("EXPORT_PYTHON names a python that has the packages");
    hold(&trained(), &python, &INSTALLED);
    hold_many(&python, &INSTALLED);
}

/// More columns than one expression of SQL adds, more classes than one compares, and logits that overflow an exponential.
fn hold_many(python: &str, languages: &[&str]) {
    let (rows, columns, classes) = (300, 60, 20);
    let desk = Desk::on_cpu();
    let names: Vec<String> = (0..columns).map(|j| format!("x{j}")).collect();
    let mut text = names.join(",") + ",class\n";
    for i in 0..rows {
        let class = mix(1, i) % classes;
        for j in 0..columns {
            let near = if j % classes == class { 3.0 } else { 0.0 };
            write!(text, "{:.3},", near + unit_interval(2 + j, i)).unwrap();
        }
        writeln!(text, "{class}").unwrap();
    }
    desk.write("rows.csv", text);
    for multi in ["softmax", "ovr"] {
        let train = ["train", "rows.csv", "--target", "class", "--l2", "1", "--multi", multi, "--model", "m.json"];
        succeeds(&desk, &train);
        let mut model: Value = serde_json::from_str(&desk.text("m.json")).unwrap();
        for coefficient in model["coefficients"].as_array_mut().unwrap() {
            coefficient["value"] = json!(coefficient["value"].as_f64().unwrap() * 300.0);
        }
        desk.write("far.json", model.to_string());
        let kinds: Value = names.iter().map(|name| (name.clone(), json!("number"))).collect();
        for model in ["m", "far"] {
            let expected = succeeds(&desk, &["predict", &format!("{model}.json"), "rows.csv"]);
            for language in languages {
                let found = predicted(&desk, python, model, language, &kinds);
                let compared = compare(&found, &expected).unwrap_or_else(|e| panic!("{multi} {model} {language}: {e}"));
                assert_eq!(compared, (rows as usize, 0));
            }
        }
    }
}

#[test]
fn many_columns_and_classes_and_far_logits_are_no_trouble() {
    hold_many("python3", &SURE);
}

#[test]
fn the_json_schema_is_that_of_the_model() {
    let desk = trained();
    let schema: Value =
        serde_json::from_str(&succeeds(&desk, &["export", "mean.json", "--to", "json-schema"])).unwrap();
    let row = &schema["$defs"]["row"];
    let names: Vec<&String> = row["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["in \"years\", age", "Straße's", "grade", "day", "flag", "o"]);
    assert_eq!(row["required"].as_array().unwrap().len(), 6);
    assert_eq!(row["properties"]["grade"]["anyOf"][0]["enum"], json!(["1", "2", "10"]));
    assert_eq!(row["properties"]["flag"]["anyOf"][1]["type"], json!(["string", "null", "boolean"]));
    let fill = row["properties"]["in \"years\", age"]["description"].as_str().unwrap();
    assert!(fill.contains("the mean, 2") || fill.contains("the mean, 3"), "{fill}");
    let gap = row["properties"]["o"]["description"].as_str().unwrap();
    assert!(gap.contains("has no prediction"), "{gap}");
    let prediction = &schema["$defs"]["prediction"];
    assert_eq!(prediction["required"], json!(["probability", "label"]));
    assert_eq!(prediction["properties"]["label"]["enum"], json!(["no", "yes", null]));
}

#[test]
fn what_a_language_cannot_do_is_an_error() {
    let desk = Desk::on_cpu();
    let table = |columns: &str, cells: [&str; 2]| {
        let row = |i: u64| format!("{},{}\n", cells[(mix(1, i) % 2) as usize], mix(2, i) % 2);
        format!("{columns},y\n{}", (0..40).map(row).collect::<String>())
    };
    let cases: [(&str, [&str; 2], &[&str], &str); 5] = [
        ("g", ["9", "9.0"], &["sql", "pmml", "onnx", "c"], "spell one number in two ways"),
        ("label", ["1", "2"], &["pmml", "onnx"], "'label' has the name of a prediction"),
        ("a,A", ["1,2", "2,5"], &["sql"], "the name of 'A' but for capitals"),
        ("g", ["a", "U+0000"], &["sql", "pmml", "c"], "the character U+0000"),
        ("g", ["a", "U+0001"], &["pmml"], "the character U+0001"),
    ];
    let mut seen = 0;
    for (columns, cells, refused, message) in cases {
        desk.write("rows.csv", table(columns, cells));
        let mut train = vec!["train", "rows.csv", "--target", "y", "--l2", "1"];
        train.extend(["--categorical", "g"].iter().filter(|_| columns == "g"));
        succeeds(&desk, &train);
        // No file of text brings such characters, but Parquet does.
        desk.write("model.json", desk.text("model.json").replace("U+", "\\u"));
        for to in ["python", "c", "sql", "pmml", "onnx", "json-schema"] {
            let ended = desk.run(&["export", "model.json", "--to", to, "--output", "export"]);
            let expected = if refused.contains(&to) { 2 } else { 0 };
            assert_eq!(ended.code, expected, "{columns} {to}: {}", ended.err);
            assert_eq!(ended.code == 2, ended.err.contains(message), "{}", ended.err);
            seen += 1;
        }
    }
    assert_eq!(seen, 30);
    for (args, message) in [
        (&["export", "model.json", "--to", "cobol"] as &[&str], "possible values"),
        (&["export", "model.json", "--to", "sql", "--output", "model.json"], "one of the files to be read"),
        (&["export", "model.json", "--to", "python", "--json"], "--output FILE"),
        (&["export", "none.json", "--to", "sql"], "none.json"),
    ] {
        let ended = desk.run(args);
        assert!(ended.code == 2 && ended.err.contains(message), "{args:?}: {}", ended.err);
    }
    let ended = desk.run(&["export", "model.json", "--to", "python", "--output", "m.py", "--json"]);
    assert_eq!(ended.json()["bytes"], json!(desk.text("m.py").len()));
}
