//! The command line as a person types it: what it prints where, what it writes, and how it ends.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::{Desk, Ended, data};
use serde_json::Value;

#[test]
fn train_predict_evaluate_on_real_strings_with_missing_ages() {
    let desk = Desk::new();
    let titanic = data("titanic.csv");
    let trained = desk.run(&["train", &titanic, "--target", "survived", "--missing", "mean", "--device", "cpu"]);
    assert_eq!(trained.code, 0, "{}", trained.err);
    for part in ["device     cpu", "1,309 rows", "status     converged", "log loss", "(intercept)", "sex=male", "age"] {
        assert!(trained.out.contains(part), "{part:?} is missing from:\n{}", trained.out);
    }
    assert_eq!(desk.names(""), ["model.json"]);

    let predicted = desk.run(&["predict", "model.json", &titanic, "--keep", "survived"]);
    assert_eq!(predicted.code, 0, "{}", predicted.err);
    let mut rows = csv::Reader::from_reader(predicted.out.as_bytes());
    assert_eq!(rows.headers().unwrap(), vec!["survived", "probability", "label"]);
    let (mut count, mut right, mut loss) = (0, 0, 0.0);
    for row in rows.records() {
        let row = row.unwrap();
        let y: f64 = row[1].parse().unwrap();
        assert!((0.0..=1.0).contains(&y));
        assert_eq!(&row[2] == "yes", y >= 0.5);
        right += usize::from(row[0] == row[2]);
        loss -= if &row[0] == "yes" { y.ln() } else { (1.0 - y).ln() };
        count += 1;
    }
    assert_eq!(count, 1309);

    let evaluated = desk.run(&["evaluate", "model.json", &titanic, "--json"]).json();
    let metrics = &evaluated["metrics"];
    assert_eq!(metrics["accuracy"].as_f64().unwrap(), right as f64 / 1309.0);
    assert!((metrics["log_loss"].as_f64().unwrap() - loss / 1309.0).abs() < 1e-12);
    for key in ["roc_auc", "pr_auc", "brier"] {
        assert!((0.0..1.0).contains(&metrics[key].as_f64().unwrap()), "{key}");
    }
    // The printed text and the model carry the same numbers.
    let model: Value = serde_json::from_str(&std::fs::read_to_string(desk.path("model.json")).unwrap()).unwrap();
    let trained_loss = model["training"]["log_loss"].as_f64().unwrap();
    assert!((trained_loss - loss / 1309.0).abs() < 1e-12);
    assert!(trained.out.contains(&format!("{trained_loss:.9}")));
}

#[test]
fn json_has_what_callers_rely_on() {
    let desk = Desk::new();
    let report = desk.run(&["train", &data("biopsy.csv"), "--target", "y", "--device", "cpu", "--json", "--l2", "0.5"]);
    assert_eq!(report.code, 0, "{}", report.err);
    let report = report.json();
    for key in [
        "rows",
        "features",
        "ranks",
        "device",
        "solver",
        "status",
        "stopped_by",
        "iterations",
        "passes",
        "objective",
        "gradient_inf_norm",
        "gradient_inf_norm_raw",
        "log_loss",
        "seconds",
        "bytes",
    ] {
        assert!(!report[key].is_null(), "{key}");
    }
    for key in ["name", "backend", "kind"] {
        assert!(report["device"][key].is_string(), "{key}");
    }
    for key in ["read", "setup", "upload", "solve", "verify", "total"] {
        assert!(report["seconds"][key].is_number(), "{key}");
    }
    for key in ["host_peak", "device_peak", "device_read"] {
        assert!(report["bytes"][key].is_number(), "{key}");
    }
    let model: Value = serde_json::from_str(&std::fs::read_to_string(desk.path("model.json")).unwrap()).unwrap();
    assert_eq!(model["format_version"], 1);
    assert_eq!(model["coefficients"].as_array().unwrap().len(), 9);
    assert!(model["coefficients"][0]["name"].is_string() && model["coefficients"][0]["value"].is_number());
    assert_eq!(model["objective"]["l2"], 0.5);
    for key in ["rows", "status", "gradient_inf_norm", "device", "seed", "version"] {
        assert!(!model["training"][key].is_null(), "{key}");
    }
}

#[test]
fn the_gpu_runs_where_it_is_asked_for_and_says_so() {
    let desk = Desk::new();
    let args = |device| {
        let file = data("vaso.csv");
        ["train".to_owned(), file, "--target".into(), "y".into(), "--json".into(), "--device".into(), device]
    };
    let run = |device: &str| {
        let args = args(device.to_owned());
        let ended = desk.run(&args.each_ref().map(String::as_str));
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.json()
    };
    let gpu = run("gpu");
    assert_ne!(gpu["device"]["backend"], "native");
    assert!(gpu["bytes"]["device_peak"].as_u64().unwrap() > 0);
    let by_id = run(gpu["device"]["id"].as_str().unwrap());
    assert_eq!(by_id["device"], gpu["device"]);
    assert_eq!(by_id["objective"], gpu["objective"]);
    let cpu = run("cpu");
    assert_eq!(cpu["device"]["backend"], "native");
    let difference = cpu["objective"].as_f64().unwrap() - gpu["objective"].as_f64().unwrap();
    assert!(difference.abs() < 1e-9, "{difference}");
}

#[test]
fn no_adapter_is_an_error_never_another_engine() {
    let desk = Desk::new();
    let nothing = [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];
    let biopsy = data("biopsy.csv");
    let ended = desk.run_with(&["train", &biopsy, "--target", "y", "--device", "gpu"], &nothing);
    ended.fails(3, &["GPU", "--device cpu"]);
    assert!(desk.names("").is_empty());
    desk.run_with(&["train", &biopsy, "--target", "y", "--device", "no such thing"], &[]).fails(3, &["no such thing"]);
    let auto = desk.run_with(&["train", &biopsy, "--target", "y"], &nothing);
    assert_eq!(auto.code, 0, "{}", auto.err);
    assert!(auto.out.contains("device     cpu"));
    let devices = desk.run_with(&["devices"], &nothing);
    assert!(devices.out.contains("--device auto takes cpu"), "{}", devices.out);
}

#[test]
fn wrong_input_ends_with_one_clear_sentence_and_no_model() {
    let desk = Desk::new();
    desk.write("good.csv", "a,b,y\n1,2,0\n2,1,1\n3,5,0\n4,1,1\n");
    desk.write("ragged.csv", "a,b,y\n1,2,0\n2,1\n3,5,0\n");
    desk.write("nan.csv", "a,b,y\n1,2,0\n2,NaN,1\n3,5,0\n");
    desk.write("word.csv", "a,b,y\n1,2,0\n2,inf,1\n3,5,0\n");
    desk.write("one.csv", "a,b,y\n1,2,1\n2,1,1\n");
    desk.write("three.csv", "a,b,y\n1,2,1\n2,1,0\n3,1,2.5\n");
    desk.write("empty.csv", "");
    desk.write("header.csv", "a,b,y\n");
    desk.write("twice.csv", "a,a,y\n1,2,0\n2,1,1\n");
    desk.write("binary.csv", [0u8, 159, 146, 150, 0, 1, 2, 3]);
    std::fs::create_dir(desk.path("folder.csv")).unwrap();
    let before = desk.names("");
    let cases: [(&[&str], &[&str]); 17] = [
        (&["train", "good.csv", "--target", "yy"], &["yy", "y"]),
        (&["train", "good.csv", "--target", "y", "--drop", "c"], &["c"]),
        (&["train", "ragged.csv", "--target", "y"], &["ragged.csv", "line 3"]),
        (&["train", "nan.csv", "--target", "y"], &["nan.csv", "line 3", "column b", "--missing"]),
        (&["train", "word.csv", "--target", "y"], &["word.csv", "line 3", "column b"]),
        (&["train", "one.csv", "--target", "y"], &["class"]),
        (&["train", "three.csv", "--target", "y"], &["fractions"]),
        (&["train", "empty.csv", "--target", "y"], &["empty.csv", "empty"]),
        (&["train", "header.csv", "--target", "y"], &["header.csv", "no row"]),
        (&["train", "twice.csv", "--target", "y"], &["twice.csv", "a"]),
        (&["train", "binary.csv", "--target", "y"], &["binary.csv"]),
        (&["train", "folder.csv", "--target", "y"], &["folder.csv"]),
        (&["train", "missing.csv", "--target", "y"], &["missing.csv"]),
        (&["train", "good.csv"], &["--target"]),
        (&["train", "good.csv", "--target", "y", "--l2", "-1"], &["--l2"]),
        (&["train", "good.csv", "--target", "y", "--learning-rate", "0.1"], &["--solver gd"]),
        (&["predict", "good.csv", "good.csv"], &["good.csv", "model"]),
    ];
    let mut seen = 0;
    for (args, parts) in cases {
        desk.run(&[args, &["--device", "cpu"]].concat()).fails(2, parts);
        assert_eq!(desk.names(""), before, "{args:?} left something behind");
        seen += 1;
    }
    assert_eq!(seen, 17);
    // A model that exists survives a failed run.
    desk.write("model.json", "precious");
    desk.run(&["train", "nan.csv", "--target", "y"]).fails(2, &["nan.csv"]);
    assert_eq!(std::fs::read_to_string(desk.path("model.json")).unwrap(), "precious");
}

#[test]
fn separated_and_unconverged_fits_say_so_and_exit_as_documented() {
    let desk = Desk::new();
    let setosa = data("iris_setosa.csv");
    let base = ["train", setosa.as_str(), "--target", "y", "--device", "cpu"];
    let ended = desk.run(&base);
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("status     separated"), "{}", ended.out);
    assert!(ended.err.contains("warning: ") && ended.err.contains("--l2"), "{}", ended.err);
    assert_eq!(desk.run(&[&base[..], &["--strict"]].concat()).code, 1);
    assert_eq!(desk.run(&[&base[..], &["--l2", "1", "--strict"]].concat()).code, 0);

    let nodal = data("nodal.csv");
    let short = desk.run(&["train", &nodal, "--target", "y", "--solver", "gd", "--max-iter", "2", "--device", "cpu"]);
    assert_eq!(short.code, 1);
    assert!(short.out.contains("status     max-iterations") && short.err.contains("--max-iter"), "{}", short.err);
    assert!(desk.path("model.json").exists(), "what was computed is written");
    let limited = desk.run(&["train", &nodal, "--target", "y", "--solver", "gd", "--learning-rate", "1e3"]);
    assert_eq!(limited.code, 1);
    assert!(limited.err.contains("--learning-rate"), "{}", limited.err);
}

#[test]
fn validate_passes_on_every_engine_here() {
    let desk = Desk::new();
    let ended = desk.run(&["validate", "--json"]);
    assert_eq!(ended.code, 0, "{}\n{}", ended.out, ended.err);
    let table = ended.json();
    let checks = table["kernels"].as_array().unwrap();
    assert!(checks.len() >= 9, "the CPU engine and an adapter, four checks each, and the CPU's curvature");
    for check in checks {
        assert_eq!(check["ok"], true, "{check}");
        assert!(check["cases"].as_u64().unwrap() > 0 && check["bound"].as_f64().unwrap() > 0.0, "{check}");
    }
    let titanic = data("titanic.csv");
    let own = desk.run(&["validate", &titanic, "--target", "survived", "--missing", "mean"]);
    assert_eq!(own.code, 0, "{}\n{}", own.out, own.err);
    assert!(own.out.contains("checks passed"));
}

#[test]
fn help_version_and_the_lesson() {
    let desk = Desk::new();
    for command in ["train", "predict", "evaluate", "validate", "bench", "devices", "explain"] {
        let help = desk.run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.out.contains("--device"), "{command}");
    }
    assert!(desk.run(&["--version"]).out.starts_with("gpulogit "));
    let lesson = desk.run(&["explain"]);
    assert_eq!(lesson.code, 0);
    assert!(lesson.out.contains("maximum likelihood") || lesson.out.contains("Maximum likelihood"));
    assert!(desk.run(&["explain", "--json"]).json().is_object());
    assert_eq!(desk.run(&["trian"]).code, 2);
}

#[test]
fn a_model_refuses_rows_it_does_not_fit_and_a_doctored_model_is_refused() {
    let desk = Desk::new();
    desk.write("rows.csv", "colour,size,bought\nred,1,yes\nblue,2,no\nred,3,no\nblue,1,yes\ngreen,2,yes\ngreen,5,no\n");
    let trained = desk.run(&["train", "rows.csv", "--target", "bought", "--l2", "1", "--model", "m.json"]);
    assert_eq!(trained.code, 0, "{}", trained.err);
    desk.write("new.csv", "size,colour\n2,red\n,blue\n3,violet\n4,green\n");
    let predicted = desk.run(&["predict", "m.json", "new.csv", "--keep", "colour"]);
    assert_eq!(predicted.code, 0, "{}", predicted.err);
    let lines: Vec<&str> = predicted.out.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[2] == "blue,," && lines[3] == "violet,,", "{}", predicted.out);
    assert!(lines[4].starts_with("green,0."), "{}", predicted.out);
    assert!(predicted.err.contains("violet"), "{}", predicted.err);
    desk.write("narrow.csv", "size\n1\n");
    desk.run(&["predict", "m.json", "narrow.csv"]).fails(2, &["colour"]);
    desk.run(&["evaluate", "m.json", "new.csv"]).fails(2, &["bought"]);

    let good = std::fs::read_to_string(desk.path("m.json")).unwrap();
    for (from, to) in [("\"format_version\": 1", "\"format_version\": 99"), ("colour=red", "colour=rot"), ("[", "{")] {
        desk.write("bad.json", good.replacen(from, to, 1));
        assert_ne!(std::fs::read_to_string(desk.path("bad.json")).unwrap(), good);
        desk.run(&["predict", "bad.json", "new.csv"]).fails(2, &["bad.json"]);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let desk = Desk::new();
    let rows: String = (0..100_000).map(|i| format!("{},{}\n", i % 7, u8::from(i % 3 == 0))).collect();
    desk.write("rows.csv", format!("a,y\n{rows}"));
    assert_eq!(desk.run(&["train", "rows.csv", "--target", "y", "--device", "cpu"]).code, 0);
    let mut child = desk
        .command(&["predict", "model.json", "rows.csv", "--device", "cpu", "--quiet"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn bench_measures_every_part_and_refuses_what_does_not_fit() {
    let desk = Desk::new();
    let titanic = data("titanic.csv");
    let made_up = ["bench", "--device", "cpu", "--rows", "3000", "--features", "5", "--repeat", "2"];
    let real = ["bench", "--device", "cpu", &titanic, "--target", "survived", "--missing", "mean", "--repeat", "1"];
    for (args, rows, features) in [(made_up.as_slice(), 3000, 5), (&real, 1309, 4)] {
        let ended = desk.run(&[args, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        let measured = ended.json();
        assert_eq!((measured["rows"].as_u64(), measured["features"].as_u64()), (Some(rows), Some(features)));
        assert_eq!(measured["ok"], true);
        let device = &measured["devices"][0];
        assert_eq!(device["device"]["id"], "cpu");
        assert_eq!(device["disagreement"].as_f64(), Some(0.0), "the CPU engine beside itself");
        let kernels = device["kernels"].as_array().unwrap();
        let names: Vec<&str> = kernels.iter().map(|kernel| kernel["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["loss_gradient", "line_probe", "logits", "hessian"]);
        for kernel in kernels {
            for number in ["seconds", "bytes", "multiply_adds", "share"] {
                assert!(kernel[number].as_f64().unwrap() > 0.0, "{number} of {kernel}");
            }
        }
        assert_eq!(device["fit"]["status"], "converged");
        assert!(device["fit"]["passes"].as_u64().unwrap() > 0 && device["bandwidth"].as_f64().unwrap() > 0.0);
    }
    let printed = desk.run(&made_up);
    for part in
        ["3,000 rows × 5 features, medians of 2 rounds", "reads X at", "loss_gradient", "share", "fit  ", "converged"]
    {
        assert!(printed.out.contains(part), "{part:?} is missing from:\n{}", printed.out);
    }
    assert!(desk.names("").is_empty());

    desk.run(&["bench", "--repeat", "0"]).fails(2, &["--repeat must be between 1 and 1000"]);
    desk.run(&["bench", "--rows", "1"]).fails(2, &["--rows must be at least 2"]);
    desk.run(&["bench", "--features", "0"]).fails(2, &["--features at least 1"]);
    desk.run(&["bench", "--rows", "9999999999999"]).fails(2, &["memory", "ask for fewer"]);
    desk.run(&["bench", "--target", "y"]).fails(2, &["name the files of rows"]);
    desk.run(&["bench", &titanic, "--target", "survived", "--rows", "9"]).fails(2, &["leave them out, or the files"]);
    desk.run(&["bench", "none.csv", "--target", "y"]).fails(2, &["none.csv"]);
    desk.run(&["bench", "--device", "no such thing", "--rows", "10"]).fails(3, &["no such thing"]);
}

#[test]
fn nothing_that_is_read_is_written_over_whatever_its_name() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("rows")).unwrap();
    let rows = std::fs::read_to_string(data("wdbc.csv")).unwrap();
    desk.write("rows/a.csv", &rows);
    let train = ["train", "rows", "--target", "y", "--l2", "1", "--device", "cpu"];
    assert_eq!(desk.run(&[&train[..], &["--model", "m.json"]].concat()).code, 0);
    let model = std::fs::read_to_string(desk.path("m.json")).unwrap();
    let pattern = ["train", "rows/*.csv", "--target", "y", "--l2", "1", "--device", "cpu"];
    let cases: [(&[&str], &[&str], &str); 6] = [
        (&train, &["--model", "rows/a.csv"], "it is one of the files to be read"),
        (&pattern, &["--model", "rows/a.csv"], "it is one of the files to be read"),
        (&pattern, &["--model", "n.json", "--checkpoint", "rows/a.csv"], "it is one of the files to be read"),
        (
            &train,
            &["--model", "n.json", "--init", "m.json", "--checkpoint", "m.json"],
            "it is one of the files to be read",
        ),
        (&train, &["--model", "m.json", "--checkpoint", "./m.json"], "the model goes there"),
        (&["predict", "m.json", "rows"], &["--output", "rows/a.csv"], "it is one of the files to be read"),
    ];
    let mut seen = 0;
    for (command, options, expected) in cases {
        let ended = desk.run(&[command, options].concat());
        assert!(ended.code == 2 && ended.err.contains(expected), "{options:?}: {} {}", ended.code, ended.err);
        seen += 1;
    }
    assert_eq!(seen, 6);
    assert_eq!(std::fs::read_to_string(desk.path("rows/a.csv")).unwrap(), rows);
    assert_eq!(std::fs::read_to_string(desk.path("m.json")).unwrap(), model);
}

#[test]
fn a_number_cut_in_two_is_a_target_to_train_and_to_judge() {
    let desk = Desk::new();
    let rows: String = (0..200).map(|i| format!("{},{}\n", (i * 7) % 50, (i * 13) % 31)).collect();
    desk.write("d.csv", format!("a,delay\n{rows}"));
    let trained = desk.run(&["train", "d.csv", "--target", "delay>15", "--json"]);
    assert_eq!(trained.json()["classes"], serde_json::json!(["delay<=15", "delay>15"]), "{}", trained.err);
    let judged = desk.run(&["evaluate", "model.json", "d.csv", "--json"]).json();
    let positive = (0..200).filter(|i| (i * 13) % 31 > 15).count() as f64;
    let confusion = &judged["metrics"]["confusion"];
    let sum = |keys: [&str; 2]| keys.iter().map(|key| confusion[*key].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum(["true_positive", "false_negative"]), positive);
    assert_eq!(sum(["true_negative", "false_positive"]), 200.0 - positive);
    let swapped = desk.run(&["train", "d.csv", "--target", "delay>15", "--positive", "delay<=15", "--json"]);
    assert_eq!(swapped.json()["classes"], serde_json::json!(["delay>15", "delay<=15"]));
    for (target, expected) in [("delay>99", "delay<=99 in every row"), ("dely>1", "has no column 'dely>1'")] {
        let ended = desk.run(&["train", "d.csv", "--target", target]);
        assert!(ended.code == 2 && ended.err.contains(expected), "{}", ended.err);
    }
    let parquet = desk.run(&["predict", "model.json", "d.csv", "--keep", "delay", "--output", "p.parquet"]);
    assert_eq!((parquet.code, parquet.out.as_str()), (0, ""), "{}", parquet.err);
    // What was written is a table like any other.
    let read =
        desk.run(&["train", "p.parquet", "--target", "label", "--features", "probability", "--l2", "1", "--json"]);
    assert_eq!(read.json()["rows"], 200, "{}", read.err);
}

#[cfg(unix)]
#[test]
fn results_have_the_permissions_that_the_umask_gives_and_kept_rows_are_the_users_own() {
    use std::os::unix::fs::PermissionsExt;

    let desk = Desk::on_cpu();
    // More than half of the memory that they may take.
    let mut rows = String::from("a,b,c,d,e,f,y\n");
    for i in 0..1_500_000u64 {
        [7, 5, 11, 3, 9, 13].iter().for_each(|n| rows += &format!("{},", i % n));
        rows += if gpulogit::data::hash::mix(1, i) % 5 > i % 3 { "1\n" } else { "0\n" };
    }
    desk.write("rows.csv", rows);
    for (mask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        std::fs::create_dir(desk.path(mask)).unwrap();
        let program = env!("CARGO_BIN_EXE_gpulogit");
        let script = format!(
            "umask {mask} && cd {mask} && export TMPDIR=. && {program} train ../rows.csv --target y --memory 64M --cache-dir kept \
             --inference --report page.html --quiet --device cpu > told && {program} predict model.json {} --output predictions.csv --quiet \
             && {program} export model.json --to c --output model.c && {program} cache --cache-dir kept",
            desk.path("rows.csv").display(),
        );
        let ended = Ended::new(
            std::process::Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).output().unwrap(),
        );
        assert_eq!(ended.code, 0, "{}", ended.err);
        let mode_of = |name: &str| desk.path(name).metadata().unwrap().permissions().mode() & 0o777;
        let names = desk.names(mask);
        assert_eq!(
            names,
            ["kept", "model.c", "model.json", "page.html", "predictions.csv", "told"],
            "temporary files are left"
        );
        for name in names.iter().filter(|name| *name != "kept") {
            assert_eq!(mode_of(&format!("{mask}/{name}")), mode, "{name} under {mask}");
        }
        let kept = desk.names(&format!("{mask}/kept"));
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(mode_of(&format!("{mask}/kept/{}", kept[0])), 0o600);
    }
}
