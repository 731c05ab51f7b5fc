//! `gpulogit cv`, `train --l2 auto` and `train --bootstrap` as a person runs them.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::Desk;
use gpulogit::data::{DataOptions, load_training};
use gpulogit::monitor::Silent;
use serde_json::Value;

/// A table of `rows` rows: two features, text, a class, weights, and a fold of five in its last column.
fn table(rows: usize) -> String {
    let mut text = String::from("a,b,kind,y,w,part\n");
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for i in 0..rows {
        let (a, b) = (uniform() * 4.0 - 2.0, uniform() * 10.0);
        let kind = ["red", "green", "blue"][(uniform() * 3.0) as usize];
        let logit = 1.5 * a - 0.2 * b + if kind == "red" { 1.0 } else { 0.0 };
        let y = if uniform() < 1.0 / (1.0 + (-logit).exp()) { "yes" } else { "no" };
        text += &format!("{a},{b},{kind},{y},{},{}\n", 1 + i % 3, ["p1", "p2", "p3", "p4", "p5"][i * 7 % 5]);
    }
    text
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn the_curve_is_that_of_models_trained_one_by_one() {
    let desk = Desk::on_cpu();
    let text = table(600);
    desk.write("all.csv", &text);
    let args = "cv all.csv --target y --weight w --fold part --l2-grid 0.1,1,30 --json --metric accuracy --table t.csv --plot p.svg";
    let report = desk.run(&args.split(' ').collect::<Vec<_>>()).succeeds();
    assert_eq!(numbers(&report["l2"]), [30.0, 1.0, 0.1]);
    assert_eq!(report["folds"], serde_json::json!(["p1", "p2", "p3", "p4", "p5"]));
    assert_eq!(report["models"].as_array().unwrap().len(), 15);
    let mut seen = 0;
    for (f, fold) in ["p1", "p2", "p3", "p4", "p5"].iter().enumerate() {
        let part = |inside: bool| {
            let keep = |line: &&str| line.ends_with(&format!(",{fold}")) == inside;
            let lines: Vec<&str> = text.lines().skip(1).filter(keep).collect();
            format!("a,b,kind,y,w,part\n{}\n", lines.join("\n"))
        };
        desk.write("outside.csv", part(false));
        desk.write("inside.csv", part(true));
        for (k, l2) in ["30", "1", "0.1"].iter().enumerate() {
            let train = "train outside.csv --target y --weight w --drop part --test inside.csv --json --l2";
            let one = desk.run(&train.split(' ').chain([*l2]).collect::<Vec<_>>()).json();
            let metrics = &one["holdout"];
            let of = |name: &str| numbers(&report[name][f])[k];
            assert!((of("fold_log_loss") - metrics["log_loss"].as_f64().unwrap()).abs() < 1e-9);
            assert!((of("fold_metric") - metrics["accuracy"].as_f64().unwrap()).abs() < 1e-12);
            seen += 1;
        }
    }
    assert_eq!(seen, 15);
    let table = std::fs::read_to_string(desk.path("t.csv")).unwrap();
    assert!(table.starts_with("l2,mean_accuracy,standard_error,mean_log_loss,fold_p1,fold_p2"), "{table}");
    assert_eq!(table.lines().count(), 4);
    let plot = std::fs::read_to_string(desk.path("p.svg")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("accuracy") && plot.contains("best: l2 = "), "{plot}");
}

#[test]
fn log_loss_needs_no_second_look_and_class_weights_do_not_count_in_it() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(400));
    let run = |more: &str| {
        let args = format!("cv all.csv --target y --drop w --fold part --l2-grid 1,10 --json{more}");
        desk.run(&args.split(' ').collect::<Vec<_>>()).succeeds()
    };
    // By the fits' own sums, and by predictions row by row.
    let (fast, slow) = (run(""), run(" --metric auc"));
    let mut seen = 0;
    for (a, b) in fast["fold_log_loss"].as_array().unwrap().iter().zip(slow["fold_log_loss"].as_array().unwrap()) {
        for (a, b) in numbers(a).iter().zip(numbers(b)) {
            assert!((a - b).abs() < 1e-12);
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
    assert!(numbers(&slow["mean_metric"]).iter().all(|auc| (0.6..1.0).contains(auc)));
    // Doubling both classes is half the penalty and the same loss of an unseen row.
    let doubled = run(" --class-weight yes=2,no=2");
    let halved = {
        let args = "cv all.csv --target y --drop w --fold part --l2-grid 0.5,5 --json";
        desk.run(&args.split(' ').collect::<Vec<_>>()).json()
    };
    for (a, b) in numbers(&doubled["mean_log_loss"]).iter().zip(numbers(&halved["mean_log_loss"])) {
        assert!((a - b).abs() < 1e-9);
    }
}

#[test]
fn arrays_take_their_folds_from_a_file_and_the_choice_is_refitted() {
    let desk = Desk::on_cpu();
    let n = 300;
    let npy = |values: &[f32], shape: &str| {
        let mut head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
        while !(head.len() + 11).is_multiple_of(64) {
            head.push(' ');
        }
        head.push('\n');
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((head.len() as u16).to_le_bytes());
        bytes.extend(head.as_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    };
    let x: Vec<f32> = (0..2 * n).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let y: Vec<f32> =
        (0..n).map(|i| f32::from(u8::from(x[2 * i] + 0.8 * x[2 * i + 1] > (i % 5) as f32 * 0.3 - 0.6))).collect();
    let folds: Vec<f32> = (0..n).map(|i| (i % 4) as f32).collect();
    desk.write("x.npy", npy(&x, &format!("{n}, 2")));
    desk.write("y.npy", npy(&y, &format!("{n},")));
    desk.write("fold.npy", npy(&folds, &format!("{n},")));
    let args =
        "cv x.npy --target-file y.npy --fold fold.npy --l2-grid 0.01,1,100 --model m.json --choose one-se --json";
    let report = desk.run(&args.split(' ').collect::<Vec<_>>()).succeeds();
    assert_eq!(report["folds"], serde_json::json!(["0", "1", "2", "3"]));
    let model: Value = serde_json::from_slice(&std::fs::read(desk.path("m.json")).unwrap()).unwrap();
    assert_eq!(model["objective"]["l2"], report["one_se_l2"]);
    assert!(report["one_se_l2"].as_f64() >= report["best_l2"].as_f64());
    let train = "train x.npy --target-file y.npy --fold fold.npy --l2-grid 0.01,1,100 --l2 auto --choose one-se --model n.json --json";
    let trained = desk.run(&train.split(' ').collect::<Vec<_>>()).json();
    assert_eq!(trained["l2"], report["one_se_l2"]);
    assert_eq!(trained["cross_validation"]["mean_log_loss"], report["mean_log_loss"]);
    assert_eq!(trained["objective"], report["refit"]["objective"]);
}

#[test]
fn two_runs_are_the_same_and_the_seed_deals_other_folds() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(300));
    let run = |seed: &str| {
        let args = format!("cv all.csv --target y --drop part --json --seed {seed} --folds 3 --penalties 4");
        let mut report = desk.run(&args.split(' ').collect::<Vec<_>>()).json();
        report["seconds"].take();
        report["bytes"].take();
        report
    };
    let one = run("1");
    assert_eq!(run("1"), one);
    assert_eq!((one["l2"].as_array().unwrap().len(), one["folds"].as_array().unwrap().len()), (4, 3));
    assert!(run("2")["mean_log_loss"] != one["mean_log_loss"]);
}

#[test]
fn what_is_not_verified_or_not_converged_says_so() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(200));
    let run =
        |more: &str| desk.run(&format!("cv all.csv --target y --drop part {more}").split(' ').collect::<Vec<_>>());
    assert!(run("--l2-grid 1,2").out.contains("re-computed in f64"));
    let unverified = run("--l2-grid 1,2 --no-verify --no-intercept");
    assert!(unverified.code == 0 && unverified.out.contains("not verified"), "{}", unverified.out);
    let short = run("--l2-grid 1,2 --max-iter 0");
    assert!(short.code == 1 && short.err.contains("10 models not converged"), "{}", short.err);
}

#[test]
fn what_cannot_be_cross_validated_says_so() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(60));
    // All rows labelled yes are in one fold.
    let mut sorted = String::from("a,y,part\n");
    (0..40).for_each(|i| sorted += &format!("{i},{},{}\n", if i < 20 { "yes" } else { "no" }, i / 20));
    desk.write("sorted.csv", &sorted);
    // A fold of one class, the others of both.
    let mut one = String::from("a,y,part\n");
    (0..40).for_each(|i| {
        one += &format!(
            "{},{},{}\n",
            i * 7 % 13,
            if i % 3 == 0 { "yes" } else { "no" },
            if i % 3 == 1 { 0 } else { 1 + i % 2 }
        )
    });
    desk.write("one.csv", &one);
    let cases = [
        ("cv sorted.csv --target y --fold part", "without fold 0 no row of class 'yes' is left to fit"),
        ("cv one.csv --target y --fold part --metric auc", "holds no row of class"),
        ("cv all.csv --target y --folds 1", "2 folds at the least"),
        ("cv all.csv --target y --folds 61", "there are 60 rows only"),
        ("cv all.csv --target y --fold y", "cannot serve both --target and --fold"),
        ("cv all.csv --target y --fold nope", "no column 'nope'"),
        ("cv all.csv --target y --fold fold.npy", "goes with a .npy matrix"),
        ("cv all.csv --target y --fold w --weight w", "cannot serve both --weight and --fold"),
        ("cv all.csv --target y --table t.csv --plot t.csv", "written twice"),
        ("cv all.csv --target y --l2-grid=-1", "not negative, not -1"),
        ("cv all.csv --target y --penalties 0", "--penalties 0"),
        ("cv all.csv --target y --choose best", "add --model FILE"),
        ("cv all.csv --target y --table all.csv", "one of the files to be read"),
        ("train all.csv --target y --folds 3", "add --l2 auto"),
        ("train all.csv --target y --l2 much", "a number, or auto"),
        ("train all.csv --target y --bootstrap 1", "2 to 100000 replicates"),
        ("train all.csv --target y --bootstrap 9 --level 1", "between 0 and 1"),
    ];
    for (args, expected) in cases {
        let ended = desk.run(&args.split(' ').collect::<Vec<_>>());
        ended.fails(2, &[expected]);
    }
    // One class inside a fold is no matter for the log loss.
    let ended = desk.run(&"cv one.csv --target y --fold part --l2-grid 1,2 --json".split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[test]
fn folds_come_along_where_memory_does_not_hold_the_rows() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(60_000));
    let load = |memory: Option<u64>| {
        let options = DataOptions {
            target: Some("y".into()),
            fold: Some("part".into()),
            holdout: Some(0.1),
            memory,
            cache_dir: Some(desk.path("kept")),
            ..DataOptions::default()
        };
        let training = load_training(&[desk.path("all.csv")], &options, &Silent).unwrap();
        (training.train.rows, training.train.blocks.iter().all(|block| block.here().is_some()), training.folds.unwrap())
    };
    let (rows, here, folds) = load(None);
    assert!(here && folds.of_row.len() == rows && rows < 60_000);
    assert_eq!(folds.names, ["p1", "p2", "p3", "p4", "p5"]);
    // Written, then found.
    for _ in 0..2 {
        let (spilled_rows, here, spilled) = load(Some(2 << 20));
        assert!(!here && spilled_rows == rows && spilled == folds);
        assert_eq!(desk.names("kept").len(), 1);
    }
}

#[test]
fn the_bootstrap_reports_intervals_that_hold_the_estimates() {
    let desk = Desk::on_cpu();
    desk.write("all.csv", table(500));
    let args = "train all.csv --target y --drop part,w --l2 1 --bootstrap 300 --level 0.9 --seed 4 --model m.json";
    let words: Vec<&str> = args.split(' ').collect();
    let ended = desk.run(&[words.as_slice(), &["--json"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let report = ended.json();
    let model: Value = serde_json::from_slice(&std::fs::read(desk.path("m.json")).unwrap()).unwrap();
    let intervals = report["bootstrap"]["coefficients"].as_array().unwrap();
    assert_eq!(intervals[0]["name"], "(intercept)");
    let mut seen = 0;
    for (interval, coefficient) in intervals[1..].iter().zip(model["coefficients"].as_array().unwrap()) {
        assert_eq!(interval["name"], coefficient["name"]);
        let [low, high] = ["low", "high"].map(|end| interval[end].as_f64().unwrap());
        let value = coefficient["value"].as_f64().unwrap();
        assert!(low < value && value < high, "{interval} {value}");
        seen += 1;
    }
    assert_eq!(seen, 5);
    let text = desk.run(&words);
    assert!(text.out.contains("300 replicates") && text.out.contains("90% of the replicates"), "{}", text.out);
    // A class so small that replicates draw none of it.
    let mut rare = String::from("a,y\n");
    (0..60).for_each(|i| rare += &format!("{},{}\n", i * 17 % 23, u8::from(i == 5 || i == 40)));
    desk.write("rare.csv", &rare);
    let ended = desk.run(&"train rare.csv --target y --l2 1 --bootstrap 100 --json".split(' ').collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{}", ended.err);
    let left_out = ended.json()["bootstrap"]["without_a_class"].as_u64().unwrap();
    assert!((2..40).contains(&left_out), "{left_out}");
    assert!(ended.err.contains("drew no row of one class"), "{}", ended.err);
}
