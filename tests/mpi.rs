//! Several ranks, started by the MPI at hand for real. Built with `--features mpi` alone.
#![cfg(feature = "mpi")]

#[path = "common/tables.rs"]
mod tables;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gpulogit::data::hash::unit_interval;
use gpulogit::logistic::sigmoid;
use serde_json::Value;
use tables::{Files, arrow, batch, csv, gz, mixed, npy, parquet, text};

/// What `mpirun` needs to start more ranks than there are cores, as any user: Open MPI 4 and 5.
const ANYWHERE: [(&str, &str); 4] = [
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"),
];
const PROGRAM: &str = env!("CARGO_BIN_EXE_gpulogit");

fn data(name: &str) -> String {
    format!("{}/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `mpirun` of `ranks` ranks of `program`, in `folder`.
fn mpirun(ranks: usize, folder: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.envs(ANYWHERE).current_dir(folder).args(["-n", &ranks.to_string()]).args(program);
    command
}

/// Runs `gpulogit` with these arguments on so many ranks.
fn run(ranks: usize, folder: &Path, args: &[&str]) -> Output {
    mpirun(ranks, folder, &[&[PROGRAM], args].concat()).output().unwrap()
}

/// A fit: its report, and its coefficients, the intercept last.
fn train(ranks: usize, folder: &Path, args: &[&str]) -> (Value, Vec<f64>) {
    let model = format!("model{ranks}.json");
    let args = [&["train", "--json", "--device", "cpu", "--model", &model], args].concat();
    let output = run(ranks, folder, &args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{ranks} ranks, {args:?}: {said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let model: Value = serde_json::from_slice(&std::fs::read(folder.join(model)).unwrap()).unwrap();
    let slopes = model["coefficients"].as_array().unwrap().iter().map(|c| c["value"].as_f64().unwrap());
    let mut all: Vec<f64> = slopes.collect();
    match &model["intercept"] {
        Value::Number(intercept) => all.push(intercept.as_f64().unwrap()),
        many => all.extend(many.as_array().into_iter().flatten().map(|b| b.as_f64().unwrap())),
    }
    assert_eq!(report["ranks"], ranks);
    (report, all)
}

/// The largest difference, relative to the largest coefficient.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(0f64, |most, x| most.max(x.abs()));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs() / size);
    apart.fold(0.0, |most, x| if x > most || x.is_nan() { x } else { most })
}

fn is_certified(report: &Value) {
    assert_eq!(report["status"], "converged", "{report}");
    assert!(report["certificate"]["gradient_inf_norm"].as_f64().unwrap() <= 1e-8, "{report}");
}

/// Fits on one rank to four, whose fits must be the same.
fn same_on_all(folder: &Path, args: &[&str]) -> (Value, Vec<f64>) {
    let (one, beta) = train(1, folder, args);
    is_certified(&one);
    for ranks in 2..=4 {
        let (report, other) = train(ranks, folder, args);
        is_certified(&report);
        for number in ["rows", "features", "classes", "rows_read", "rows_dropped", "cells_filled", "column_rank"] {
            assert_eq!(report[number], one[number], "{number} on {ranks} ranks, {args:?}");
        }
        assert!(difference(&other, &beta) <= 1e-9, "{ranks} ranks, {args:?}: {other:?} {beta:?}");
    }
    (one, beta)
}

#[test]
fn every_format_is_one_fit_on_one_to_four_ranks() {
    let (table, files) = (mixed(3000), Files::new());
    let plain = csv(&table);
    let (strings, dictionary) = (batch(&table, false), batch(&table, true));
    files.write("cut/a.csv", text(&table, ',', 0..700));
    files.write("cut/b.csv.gz", gz(text(&table, ';', 700..701)));
    files.write("cut/c.tsv", text(&table, '\t', 701..3000));
    files.write("groups/1.parquet", parquet(&strings.slice(0, 1001), 100));
    files.write("groups/2.parquet", parquet(&dictionary.slice(1001, 1999), 333));
    // A file that cannot be divided leaves ranks without rows.
    let paths = [
        files.write("plain.csv", &plain),
        files.write("packed.csv.gz", gz(&plain)),
        files.path("cut"),
        files.path("groups"),
        files.write("one.parquet", parquet(&strings, 5000)),
        files.write("strings.arrow", arrow(&strings, 3000)),
    ];
    let folder = files.path("");
    let (mut seen, mut first): (usize, Option<Vec<f64>>) = (0, None);
    for path in &paths {
        let path = path.to_str().unwrap();
        for missing in ["mean", "drop"] {
            let args = [path, "--target", "label", "--weight", "w", "--missing", missing, "--l2", "0.5"];
            let (report, beta) = same_on_all(&folder, &args);
            assert!(report["rows"].as_u64().unwrap() > 2000);
            if missing == "mean" {
                assert!(difference(&beta, first.get_or_insert_with(|| beta.clone())) <= 1e-9, "{path}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}

/// Rows of numbers in f32, and the label of each.
fn numbers(rows: usize, features: usize) -> (Vec<f32>, Vec<u8>) {
    let value = |i: usize, j: usize| (unit_interval(j as u64, i as u64) - 0.5) as f32;
    let x: Vec<f32> = (0..rows).flat_map(|i| (0..features).map(move |j| value(i, j))).collect();
    let a = |i: usize| {
        x[i * features..(i + 1) * features]
            .iter()
            .enumerate()
            .map(|(j, x)| f64::from(*x) * (1.0 - 0.3 * j as f64))
            .sum::<f64>()
    };
    let y = (0..rows).map(|i| u8::from(unit_interval(99, i as u64) < sigmoid(a(i) - 0.2))).collect();
    (x, y)
}

/// The same as arrays.
fn arrays(files: &Files, rows: usize, features: usize) -> [PathBuf; 2] {
    let (x, y) = numbers(rows, features);
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    [
        files.write("x.npy", npy("<f4", false, &format!("{rows}, {features}"), &bytes)),
        files.write("y.npy", npy("|u1", false, &format!("{rows},"), &y)),
    ]
}

#[test]
fn arrays_and_sparse_text_are_one_fit_and_large_ones_begin_with_samples() {
    let files = Files::new();
    let [x, y] = arrays(&files, 600_001, 8);
    let args = [x.to_str().unwrap(), "--target-file", y.to_str().unwrap()];
    let (report, _) = same_on_all(&files.path(""), &args);
    assert_eq!(report["samples"].as_array().unwrap().len(), 2);
    // The same rows are drawn, whoever has them.
    let rows =
        |report: &Value| report["samples"].as_array().unwrap().iter().map(|s| s["rows"].clone()).collect::<Vec<_>>();
    assert_eq!(rows(&train(3, &files.path(""), &args).0), rows(&report));

    let (x, y) = numbers(2000, 5);
    let line = |i: usize| -> String {
        let pairs = x[i * 5..(i + 1) * 5].iter().zip(1..).filter(|(x, _)| x.abs() > 0.2);
        std::iter::once(y[i].to_string()).chain(pairs.map(|(x, j)| format!(" {j}:{x}"))).chain(["\n".into()]).collect()
    };
    // The widest row is the last.
    let text: String = (0..2000).map(line).chain(["1 1:0.25 6:0.5\n0 2:0.25 6:0.25\n".to_string()]).collect();
    let path = files.write("rows.svmlight", text);
    same_on_all(&files.path(""), &[path.to_str().unwrap(), "--l2", "1"]);
}

#[test]
fn the_same_ranks_give_the_same_bits_and_a_pass_one_sum() {
    let files = Files::new();
    let bits =
        |args: &[&str]| -> Vec<u64> { train(3, &files.path(""), args).1.into_iter().map(f64::to_bits).collect() };
    let wdbc = data("wdbc.csv");
    let args = [wdbc.as_str(), "--target", "y", "--l2", "1"];
    assert_eq!(bits(&args), bits(&args));
    let mut bytes = Vec::new();
    for rows in [2_000, 8_000] {
        let [x, y] = arrays(&files, rows, 6);
        let rule = ["--solver", "gd", "--max-iter", "5", "--no-verify", "--tol", "1e-30"];
        let args = [&[x.to_str().unwrap(), "--target-file", y.to_str().unwrap()][..], &rule].concat();
        let args = [&["train", "--json", "--device", "cpu"], args.as_slice()].concat();
        let output = run(2, &files.path(""), &args);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |name: &str| report["communication"][name].as_u64().unwrap();
        // Besides the passes of the engine there is one of the host, for the rank of X. The flat model of the start is a sum and no pass.
        let passes = report["kernels"][0]["calls"].as_u64().unwrap();
        assert_eq!((count("reductions"), report["passes"].as_u64().unwrap()), (passes + 2, passes + 1));
        bytes.push(count("reduced_bytes"));
    }
    assert_eq!(bytes[0], bytes[1]);
}

#[test]
fn text_that_one_process_would_find_late_and_quotes_are_found_by_all() {
    let files = Files::new();
    let number = |i: usize| unit_interval(1, i as u64);
    let label = |i: usize| u8::from(unit_interval(2, i as u64) < number(i));
    // What looks like numbers in the first rows is text in the last ones.
    let late = |i: usize| if i < 300 { (i % 3).to_string() } else { ["a", "1", "2"][i % 3].to_string() };
    let rows: String = (0..400).map(|i| format!("{},{},{}\n", label(i), number(i), late(i))).collect();
    let path = files.write("late.csv", format!("y,x,k\n{rows}"));
    let (report, _) = same_on_all(&files.path(""), &[path.to_str().unwrap(), "--target", "y", "--l2", "1"]);
    assert_eq!(report["features"], 5);
    // A line end in the middle of a cell, where a part could begin.
    let rows: String = (0..400).map(|i| format!("{},{},\"{}\n,5\n\"\n", label(i), number(i), i % 4)).collect();
    let path = files.write("quoted.csv", format!("y,x,\"k\n\"\n{rows}"));
    let (report, _) = same_on_all(&files.path(""), &[path.to_str().unwrap(), "--target", "y", "--l2", "1"]);
    assert_eq!((report["features"].as_u64(), report["rows"].as_u64()), (Some(5), Some(400)));
}

#[test]
fn every_kind_of_fit_is_the_same_on_several_ranks() {
    let files = Files::new();
    let wdbc = data("wdbc.csv");
    let mut seen = 0;
    for args in [
        &["--l2", "1", "--class-weight", "balanced"][..],
        &["--no-intercept", "--l2", "1"],
        &["--l1", "5", "--l2", "1"],
    ] {
        let args = [&[wdbc.as_str(), "--target", "y"], args].concat();
        same_on_all(&files.path(""), &args);
        seen += 1;
    }
    let iris = data("iris3.csv");
    let (one, beta) = train(1, &files.path(""), &[&iris, "--target", "y", "--l2", "1"]);
    let (report, other) = train(3, &files.path(""), &[&iris, "--target", "y", "--l2", "1"]);
    assert_eq!((&one["status"], &report["status"]), (&"converged".into(), &"converged".into()));
    assert!(difference(&other, &beta) <= 1e-6);
    let biopsy = data("biopsy.csv");
    same_on_all(&files.path(""), &[&biopsy, "--target", "y", "--missing", "drop", "--solver", "lbfgs", "--l2", "10"]);
    let inferred = |ranks| {
        let args = [biopsy.as_str(), "--target", "y", "--missing", "drop", "--inference"];
        let report = train(ranks, &files.path(""), &args).0;
        let errors = report["inference"]["coefficients"].as_array().unwrap().iter().map(|c| c["se"].as_f64().unwrap());
        errors.chain([report["inference"]["null_deviance"].as_f64().unwrap()]).collect::<Vec<f64>>()
    };
    assert!(difference(&inferred(3), &inferred(1)) <= 1e-9);
    // Separated classes are told from fits that only look converged.
    let setosa = data("iris_setosa.csv");
    for ranks in [1, 2, 4] {
        let (report, _) = train(ranks, &files.path(""), &[&setosa, "--target", "y"]);
        assert_eq!((report["status"].as_str(), &report["separation"]["complete"]), (Some("separated"), &true.into()));
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// Predictions: the cells of each row but the probability, and the probabilities.
fn predictions(output: &Output) -> (Vec<String>, Vec<f64>) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let at = reader.headers().unwrap().iter().position(|name| name == "probability").unwrap();
    let (mut cells, mut probabilities) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.unwrap();
        let others = record.iter().enumerate().filter(|(c, _)| *c != at).map(|(_, cell)| cell);
        cells.push(others.collect::<Vec<_>>().join("|"));
        probabilities.push(record[at].parse().unwrap_or(-1.0));
    }
    (cells, probabilities)
}

#[test]
fn predictions_and_metrics_are_those_of_one_process() {
    let (table, files) = (mixed(3000), Files::new());
    let folder = files.path("");
    let strings = batch(&table, false);
    let plain = files.write("plain.csv", csv(&table));
    files.write("cut/a.csv", text(&table, ',', 0..700));
    files.write("cut/b.csv.gz", gz(text(&table, ';', 700..701)));
    files.write("cut/c.tsv", text(&table, '\t', 701..3000));
    // Lines that end in the middle of a cell, and levels that training does not have, in the last rows most of all.
    let mut rows = csv(&table);
    let late: String = (0..900)
        .map(|i| format!("{i},{},true,2013-01-31,1,yes\n", if i % 3 == 0 { "\"no\nwhere\"" } else { "nobody" }))
        .collect();
    rows += &late;
    let inputs = [
        plain.clone(),
        files.path("cut"),
        files.write("groups.parquet", parquet(&strings, 200)),
        files.write("one.arrow", arrow(&strings, 3000)),
        files.write("quoted.csv", rows),
    ];
    let train_args = [plain.to_str().unwrap(), "--target", "label", "--missing", "drop", "--l2", "0.5"];
    train(1, &folder, &train_args);
    let mut seen = 0;
    for input in &inputs {
        let input = input.to_str().unwrap();
        let predict = |ranks| {
            let args = ["predict", "model1.json", input, "--keep", "w", "--keep", "tree", "--device", "cpu"];
            run(ranks, &folder, &args)
        };
        let evaluate = |ranks| -> Value {
            let args = ["evaluate", "model1.json", input, "--by", "tree", "--json", "--device", "cpu"];
            let output = run(ranks, &folder, &args);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let notes = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        let (one, metrics) = (predict(1), evaluate(1));
        let (cells, probabilities) = predictions(&one);
        assert!(cells.len() >= 3000 && probabilities.iter().any(|y| *y > 0.4) && probabilities.contains(&-1.0));
        // Rows in another order would be seen.
        assert_ne!(cells[..1500], cells[1500..3000]);
        for ranks in [2, 4] {
            let several = predict(ranks);
            let (others, theirs) = predictions(&several);
            assert_eq!(others, cells, "{input}");
            assert!(probabilities.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 1e-6), "{input}");
            let alone = notes(&several).replace(&format!(" on {ranks} ranks"), "");
            assert!(alone != notes(&several) && alone == notes(&one), "{input}: {alone}");
            let judged = evaluate(ranks);
            for name in ["log_loss", "brier", "roc_auc", "pr_auc", "accuracy"] {
                let (a, b) = (metrics["metrics"][name].as_f64().unwrap(), judged["metrics"][name].as_f64().unwrap());
                assert!((a - b).abs() <= 1e-6, "{name}: {a} and {b}");
            }
            assert_eq!(judged["metrics"]["confusion"], metrics["metrics"]["confusion"]);
            assert_eq!((&judged["ranks"], &judged["rows_left_out"]), (&ranks.into(), &metrics["rows_left_out"]));
            let groups = |of: &Value| -> Vec<Value> {
                of["groups"]["groups"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|g| serde_json::json!([g["group"], g["rows"]]))
                    .collect()
            };
            assert!(groups(&judged).len() > 2 && groups(&judged) == groups(&metrics));
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
    // A file of predictions is written by one rank; nothing is where the rows end in an error, which has its line.
    let to = |name: &str, input: &str| {
        run(3, &folder, &["predict", "model1.json", input, "--output", name, "--device", "cpu"])
    };
    assert!(to("all.parquet", "plain.csv").status.success());
    assert!(std::fs::metadata(files.path("all.parquet")).unwrap().len() > 1000);
    let lines = csv(&table);
    let bad = |(i, line): (usize, &str)| if i == 2900 { "what\n".to_owned() } else { format!("{line}\n") };
    files.write("bad.csv", lines.lines().enumerate().map(bad).collect::<String>());
    let output = to("bad.out.csv", "bad.csv");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.matches("error: ").count() == 1 && said.contains("bad.csv, line 2901"), "{said}");
    assert!(!files.path("bad.out.csv").exists());
}

/// Every number of a report by its place, but for what was measured of the machine and of the ranks.
fn numbers_of(report: &Value) -> Vec<(String, f64)> {
    fn add(value: &Value, at: &str, all: &mut Vec<(String, f64)>) {
        match value {
            Value::Number(number) => all.push((at.into(), number.as_f64().unwrap())),
            Value::Array(list) => list.iter().enumerate().for_each(|(k, one)| add(one, &format!("{at}/{k}"), all)),
            Value::Object(fields) => {
                let machine = ["seconds", "bytes", "communication", "ranks", "kernels"];
                fields.iter().filter(|(name, _)| !machine.contains(&name.as_str())).for_each(|(name, one)| {
                    add(one, &format!("{at}/{name}"), all);
                });
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    add(report, "", &mut all);
    all
}

/// What `gpulogit` reports with `args` on so many ranks, fitted so well that hardly more than rounding is left.
fn reported(ranks: usize, folder: &Path, args: &[&str]) -> Value {
    let args = [args, &["--json", "--device", "cpu", "--tol", "1e-12"]].concat();
    let output = run(ranks, folder, &args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{ranks} ranks, {args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// The first number in which two reports differ by more than 10⁻⁹ of the largest that stand in the same list, if one does. What is
/// rounding alone is left out: slopes and gaps, that are zero but for it, and how long it took to get there.
fn first_difference(a: &Value, b: &Value) -> Option<String> {
    let rounding = ["gradient", "gap", "evaluations", "passes", "iterations", "violation", "predicted"];
    let all = |report: &Value| -> Vec<(String, f64)> {
        numbers_of(report).into_iter().filter(|(at, _)| !rounding.iter().any(|word| at.contains(word))).collect()
    };
    let (a, b) = (all(a), all(b));
    assert!(a.len() > 20, "{a:?}");
    let names = |all: &[(String, f64)]| all.iter().map(|(at, _)| at.clone()).collect::<Vec<_>>();
    if names(&a) != names(&b) {
        return Some(format!("{:?} against {:?}", names(&a), names(&b)));
    }
    let list = |at: &str| at.rsplit_once('/').map_or(String::new(), |(list, _)| list.to_owned());
    let size = |of: &str| a.iter().filter(|(at, _)| list(at) == list(of)).fold(0f64, |most, (_, x)| most.max(x.abs()));
    let apart = a.iter().zip(&b).find(|((at, x), (_, y))| x != y && !((x - y).abs() <= 1e-9 * size(at)));
    apart.map(|((at, x), (_, y))| format!("{at}: {x} against {y}"))
}

/// Rows in an order in which they say different things, and of which ranks get uneven parts: the last column is as long as it may be.
fn uneven(files: &Files, name: &str, classes: usize) -> String {
    let number = |seed: u64, i: usize| unit_interval(seed, i as u64);
    let row = |i: usize| {
        let x: Vec<f64> = (0..3).map(|j| number(j, i) * (j + 1) as f64 + i as f64 / 200.0).collect();
        let a = 1.5 * x[0] - x[1] + 0.3 * x[2] + 2.0 * number(7, i);
        let class = ((a + 1.0).max(0.0) as usize * classes / 4).min(classes - 1);
        format!("{class},{},{},{},{}\n", x[0], x[1], x[2], "7".repeat(1 + i * i / 9000))
    };
    let rows: String = (0..600).map(row).collect();
    files.write(name, format!("y,a,b,c,long\n{rows}")).to_str().unwrap().to_owned()
}

#[test]
fn paths_and_classes_against_the_rest_are_the_same_on_several_ranks() {
    let files = Files::new();
    let folder = files.path("");
    let (two, three) = (uneven(&files, "two.csv", 2), uneven(&files, "three.csv", 3));
    // Of a file that cannot be divided one rank has all rows.
    let whole = files.write("two.csv.gz", gz(std::fs::read(&two).unwrap()));
    let iris = data("iris3.csv");
    let path = ["path", &two, "--target", "y", "--drop", "long", "--penalties", "12"];
    let one = reported(1, &folder, &path);
    let mut seen = 0;
    for args in [
        &path[..],
        &[&path[..], &["--l1-ratio", "0"]].concat(),
        &["path", whole.to_str().unwrap(), "--target", "y", "--drop", "long", "--penalties", "5"],
    ] {
        let alone = reported(1, &folder, args);
        for ranks in [2, 3, 4] {
            let shared = reported(ranks, &folder, args);
            assert_eq!((&shared["ranks"], &shared["status"]), (&ranks.into(), &alone["status"]));
            assert_eq!(first_difference(&alone, &shared), None, "{ranks} ranks, {args:?}");
            seen += 1;
        }
    }
    for args in [&[&three, "--l2", "1", "--drop", "long"][..], &[&iris, "--l2", "0.5"]] {
        let args = [args, &["--target", "y", "--multi", "ovr"]].concat();
        let (alone, beta) = train(1, &folder, &args);
        for ranks in [2, 3, 4] {
            let (shared, other) = train(ranks, &folder, &args);
            assert_eq!((&shared["status"], &alone["status"]), (&"converged".into(), &"converged".into()));
            assert!(difference(&other, &beta) <= 1e-9, "{ranks} ranks, {args:?}: {other:?} {beta:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 15);
    // Negative control: a row less.
    let text = std::fs::read_to_string(&two).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    files.write("two.csv", format!("{header}\n{}", rows.split_once('\n').unwrap().1));
    assert!(first_difference(&one, &reported(2, &folder, &path)).is_some());
}

#[test]
fn cross_validation_is_the_same_on_several_ranks() {
    let files = Files::new();
    let folder = files.path("");
    let two = uneven(&files, "two.csv", 2);
    let whole = files.write("two.csv.gz", gz(std::fs::read(&two).unwrap()));
    let [x, y] = arrays(&files, 3001, 4);
    let of_rows: Vec<u8> = (0..3001).map(|i| (i / 7 % 4) as u8).collect();
    let fold = files.write("fold.npy", npy("|u1", false, "3001,", &of_rows));
    let cv = ["cv", &two, "--target", "y", "--drop", "long", "--penalties", "4", "--folds", "3"];
    let mut seen = 0;
    for args in [
        &cv[..],
        &[&cv[..], &["--metric", "auc", "--class-weight", "balanced", "--model", "chosen.json"]].concat(),
        &["cv", &two, "--target", "y", "--drop", "long", "--grid", "3,0.5", "--l1-ratio", "0.5"],
        // Folds that lie together, so that a rank has no row of some.
        &["cv", &two, "--target", "y", "--drop", "b", "--fold", "long", "--grid", "2,1", "--metric", "accuracy"],
        &["cv", whole.to_str().unwrap(), "--target", "y", "--drop", "long", "--grid", "2,1"],
        &["cv", x.to_str().unwrap(), "--target-file", y.to_str().unwrap(), "--fold", fold.to_str().unwrap()],
    ] {
        let alone = reported(1, &folder, args);
        for ranks in [2, 4] {
            let shared = reported(ranks, &folder, args);
            assert_eq!((&shared["ranks"], &shared["folds"]), (&ranks.into(), &alone["folds"]));
            assert_eq!(first_difference(&alone, &shared), None, "{ranks} ranks, {args:?}");
            seen += 1;
        }
    }
    let auto = [&two, "--target", "y", "--drop", "long", "--l2", "auto", "--penalties", "5"];
    let (alone, beta) = train(1, &folder, &auto);
    for ranks in [2, 3, 4] {
        let (shared, other) = train(ranks, &folder, &auto);
        assert_eq!((&shared["l2"], &shared["status"]), (&alone["l2"], &alone["status"]));
        assert!(difference(&other, &beta) <= 1e-9, "{ranks} ranks: {other:?} {beta:?}");
        seen += 1;
    }
    assert_eq!(seen, 15);
    // Negative control: other folds.
    let other = reported(2, &folder, &[&cv[..], &["--seed", "5"]].concat());
    assert!(first_difference(&reported(1, &folder, &cv), &other).is_some());
}

#[test]
fn bootstrap_draws_the_same_rows_on_several_ranks() {
    let files = Files::new();
    let folder = files.path("");
    let two = uneven(&files, "two.csv", 2);
    let whole = files.write("two.csv.gz", gz(std::fs::read(&two).unwrap()));
    let train = ["train", &two, "--target", "y", "--drop", "long", "--bootstrap", "40"];
    let mut seen = 0;
    for args in [
        &[&train[..], &["--l2", "1"]].concat()[..],
        &[&train[..], &["--l1", "2"]].concat(),
        &["train", whole.to_str().unwrap(), "--target", "y", "--drop", "long", "--bootstrap", "10", "--l2", "1"],
    ] {
        let alone = reported(1, &folder, args);
        for ranks in [2, 3, 4] {
            let shared = reported(ranks, &folder, args);
            assert_eq!(first_difference(&alone["bootstrap"], &shared["bootstrap"]), None, "{ranks} ranks, {args:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
    // Negative control: other draws.
    let other = reported(2, &folder, &[&train[..], &["--l2", "1", "--seed", "5"]].concat());
    let first = reported(1, &folder, &[&train[..], &["--l2", "1"]].concat());
    assert!(first_difference(&first["bootstrap"], &other["bootstrap"]).is_some());
}

#[test]
fn what_is_wrong_is_said_once_with_its_place() {
    let files = Files::new();
    let rows = |bad: usize| -> String {
        (0..500).map(|i| if i == bad { "1,x\n".to_string() } else { format!("{},{}\n", i % 2, i % 7) }).collect()
    };
    let mut seen = 0;
    for (bad, option) in [(3, "--weight"), (250, "--weight"), (499, "--weight")] {
        let path = files.write("bad.csv", format!("y,a\n{}", rows(bad)));
        for ranks in [1, 4] {
            let args = ["train", path.to_str().unwrap(), "--target", "y", option, "a"];
            let output = run(ranks, &files.path(""), &args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert_eq!(said.matches("error: ").count(), 1, "{said}");
            assert!(said.contains(&format!("bad.csv, line {}, column a", bad + 2)), "{said}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    let refused = |args: &[&str], part: &str| {
        let output = run(2, &files.path(""), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.matches("error: ").count() == 1 && said.contains(part), "{said}");
    };
    let wdbc = data("wdbc.csv");
    refused(&["train", &wdbc, "--target", "y", "--holdout", "0.2"], "--holdout cannot be shared by several ranks yet");
    refused(&["train", "none.csv", "--target", "y"], "none.csv");
    refused(&["train", &wdbc, "--target", "nothing"], "nothing");
    refused(&["devices"], "run it without mpirun");
    refused(&["predict", "none.json", "-"], "standard input (-) cannot be shared by several ranks");
    refused(&["evaluate", "none.json", &wdbc], "none.json");
    refused(&["train", "--nonsense"], "--nonsense");
}

#[test]
fn when_a_rank_is_killed_the_others_end_and_the_fit_goes_on_from_its_checkpoint() {
    let files = Files::new();
    let folder = files.path("");
    let [x, y] = arrays(&files, 20_000, 6);
    let fit = [x.to_str().unwrap(), "--target-file", y.to_str().unwrap(), "--checkpoint", "fit.checkpoint"];
    let slow = ["--solver", "gd", "--learning-rate", "1e-9", "--max-iter", "100000000", "--tol", "1e-14"];
    // A shell beside each rank notes its number and how it ended.
    let noted = "rank=${OMPI_COMM_WORLD_RANK:-$PMI_RANK}; trap '' TERM; \"$@\" & echo $! $$ > pids.$rank; wait $!; echo $? > code.$rank.part; mv code.$rank.part code.$rank";
    let program = [&["sh", "-c", noted, "sh", PROGRAM, "train"], fit.as_slice(), slow.as_slice()].concat();
    // A machine that does much else needs more than the second that ranks have to end in.
    let patient = ("OMPI_MCA_odls_base_sigkill_timeout", "20");
    let job = mpirun(3, &folder, &program)
        .env(patient.0, patient.1)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let wait = |what: &str, there: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !there() {
            assert!(start.elapsed() < Duration::from_secs(120), "no {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
        start.elapsed()
    };
    wait("checkpoint", &|| folder.join("fit.checkpoint").exists());
    // The shell goes along with its rank, for it is its end that the launcher sees.
    let pids = std::fs::read_to_string(folder.join("pids.1")).unwrap();
    let kill = [&["-9"], pids.split_whitespace().collect::<Vec<_>>().as_slice()].concat();
    assert!(Command::new("kill").args(kill).status().unwrap().success());
    let took = wait("end of the others", &|| [0, 2].iter().all(|rank| folder.join(format!("code.{rank}")).exists()));
    assert!(took < Duration::from_secs(30), "{took:?}");
    let output = job.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for rank in [0, 2] {
        assert_eq!(std::fs::read_to_string(folder.join(format!("code.{rank}"))).unwrap().trim(), "1", "{said}");
    }
    assert!(!output.status.success());
    assert!(said.contains("another rank was lost") && said.contains("--resume goes on from fit.checkpoint"), "{said}");
    // On any number of ranks.
    let (report, beta) = train(2, &folder, &[fit.as_slice(), &["--resume"]].concat());
    is_certified(&report);
    assert!(!folder.join("fit.checkpoint").exists());
    let (_, anew) = train(1, &folder, &fit[..3]);
    assert!(difference(&beta, &anew) <= 1e-9);
}
