//! The same bits for every command and any number of threads on one device. And `train --replay MODEL`: a model's own record is enough to
//! fit it once more, bit by bit there, within the bounds that the certificates prove on another device; what is not the same is noticed.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use desk::{Desk, data, number};
use serde_json::{Value, json};

fn model(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&desk.text(name)).unwrap()
}

fn write(desk: &Desk, name: &str, model: &Value) {
    desk.write(name, serde_json::to_string_pretty(model).unwrap());
}

/// The set and target of fits that have an optimum, with options of every sort.
const FITS: [(&str, &str, &[&str]); 12] = [
    (
        "titanic.csv",
        "survived",
        &["--missing", "mean", "--holdout=0.2", "--seed", "7", "--drop", "sex , passengerClass"],
    ),
    (
        "titanic.csv",
        "survived",
        &["--missing", "drop", "--features", "sex,age", "--l2", "1", "--penalty-factor", "sex=2,age=0"],
    ),
    ("biopsy.csv", "y", &["--l2", "auto", "--penalties", "5"]),
    ("biopsy.csv", "y", &["--l1", "2", "--device", "cpu"]),
    ("wdbc.csv", "y", &["--l2", "0.1", "--init", "random", "--seed", "3"]),
    ("kyphosis.csv", "y", &["--inference", "--level", "0.9"]),
    ("urine.csv", "y", &["--firth"]),
    ("nodal.csv", "y", &["--solver", "gd", "--tol", "1e-6", "--no-intercept"]),
    ("pima_ripley.csv", "y", &["--class-weight", "balanced", "--bootstrap", "5", "--solver", "lbfgs"]),
    ("titanic2201_w.csv", "y", &["--weight", "w"]),
    ("iris3.csv", "y", &["--l2", "0.5"]),
    ("iris3.csv", "y", &["--l2", "0.5", "--multi", "ovr"]),
];

#[test]
fn a_model_is_fitted_again_from_its_record_bit_by_bit() {
    let mut seen = 0;
    for (set, target, options) in FITS {
        let desk = Desk::new();
        let rows = data(set);
        let arguments = ["train", &rows, "--target", target, "--model", "m.json", "--threads", "2", "--json"];
        let trained = desk.run(&[&arguments[..], options].concat());
        assert!(trained.code == 0, "{set} {options:?}: {}", trained.err);
        let before = desk.text("m.json");
        let again = desk.run(&["train", "--replay", "m.json", "--threads", "1", "--json"]).succeeds();
        let same =
            json!({ "model": "m.json", "agrees": true, "same_data": true, "same_options": true, "same_bits": true });
        let same = same.as_object().unwrap();
        assert!(
            same.iter().all(|(key, value)| again["replay"][key] == *value),
            "{set} {options:?}: {}",
            again["replay"]
        );
        assert_eq!(number(&again["replay"]["apart"]["coefficients"]), 0.0);
        assert_eq!(again["model"], Value::Null);
        // Nothing was written, and all of what was asked is in the record.
        assert_eq!((desk.names(""), desk.text("m.json")), (vec!["m.json".to_owned()], before), "{set}");
        assert_eq!(again["log_loss"], trained.json()["log_loss"]);
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn rows_that_are_stored_in_f32_are_fitted_again_bit_by_bit_wherever_they_lie() {
    let desk = Desk::on_cpu();
    let mut text = String::from("a,b,c,d,e,f,g,h,y\n");
    for i in 0..600_000u64 {
        let x = |j: u64| gpulogit::data::hash::mix(j, i) % 400;
        (0..8).for_each(|j| text += &format!("{},", x(j)));
        let label = x(0) + x(8) > 400;
        text += if label { "1\n" } else { "0\n" };
    }
    desk.write("rows.csv", text);
    desk.run(&["train", "rows.csv", "--target", "y", "--json"]).succeeds();
    // Beyond memory, in blocks of other sizes: as exact, though no longer the same bits.
    let spilled =
        ["train", "--replay", "model.json", "--memory", "64M", "--no-cache", "--json", "--model", "again.json"];
    let again = desk.run(&spilled).succeeds();
    assert!(again["replay"]["agrees"] == true && again["replay"]["same_data"] == true, "{}", again["replay"]);
    let replay = desk.run(&["train", "--replay", "again.json", "--json"]).succeeds();
    assert_eq!(replay["replay"]["same_bits"], true, "{}", replay["replay"]);
    std::fs::rename(desk.path("rows.csv"), desk.path("moved.csv")).unwrap();
    desk.run(&["train", "--replay", "model.json"]).fails(2, &["rows.csv"]);
    let moved = desk.run(&["train", "moved.csv", "--replay", "model.json", "--json"]).succeeds();
    assert_eq!(moved["replay"]["same_bits"], true, "{}", moved["replay"]);
}

/// Sets that the project ships and that have an optimum, with the column of weights where there is one.
const SETS: [(&str, &str); 14] = [
    ("affairs601.csv", ""),
    ("biopsy.csv", ""),
    ("titanic1046.csv", ""),
    ("kyphosis.csv", ""),
    ("lizards_w.csv", "w"),
    ("menarche_w.csv", "w"),
    ("mtcars_am.csv", ""),
    ("nodal.csv", ""),
    ("orings.csv", ""),
    ("pima_ripley.csv", ""),
    ("titanic2201_w.csv", "w"),
    ("ucb_admit_w.csv", "w"),
    ("urine.csv", ""),
    ("vaso.csv", ""),
];

#[test]
fn engines_agree_within_the_bounds_that_they_prove() {
    let (mut seen, mut other_bits) = (0, 0);
    for (set, weight) in SETS {
        for penalty in [&[][..], &["--l2", "1"], &["--l1", "0.5"]] {
            let (desk, rows) = (Desk::new(), data(set));
            let weights: &[&str] = if weight.is_empty() { &[] } else { &["--weight", weight] };
            let asked = [&["train", &rows, "--target", "y", "--device", "cpu", "--json"], weights, penalty].concat();
            desk.run(&asked).succeeds();
            let again = desk.run(&["train", "--replay", "model.json", "--device", "gpu", "--json"]);
            let told = again.json();
            assert!(again.code == 0 && told["replay"]["agrees"] == true, "{set} {penalty:?}: {}", told["replay"]);
            assert_ne!(told["device"]["kind"], "cpu");
            other_bits += usize::from(told["replay"]["same_bits"] == false);
            seen += 1;
        }
    }
    assert_eq!(seen, 42);
    assert!(other_bits >= 10, "the bounds were asked only {other_bits} times");
}

#[test]
fn what_is_not_the_same_is_noticed() {
    let desk = Desk::on_cpu();
    let rows = "a,b,y\n1,2,0\n2,1,1\n3,5,0\n4,3,1\n5,2,1\n6,6,0\n7,1,1\n8,9,0\n3,4,1\n2,2,0\n";
    desk.write("rows.csv", rows);
    let trained = desk.run(&["train", "rows.csv", "--target", "y", "--l2", "0.5"]);
    assert_eq!(trained.code, 0, "{}", trained.err);
    let replay = |options: &[&str]| desk.run(&[&["train", "--replay", "model.json"], options].concat());
    let same = replay(&[]);
    assert_eq!(same.code, 0, "{}", same.err);
    assert!(
        same.out.contains("replay     model.json: the same data, the same options, the same bits\n"),
        "{}",
        same.out
    );

    // A value, a name, a row.
    let others = [rows.replace("7,1,1", "7,1.5,1"), rows.replace("a,b", "a,c"), format!("{rows}4,4,1\n")];
    for other in &others {
        desk.write("rows.csv", other);
        let ended = replay(&[]);
        assert_eq!(ended.code, 1, "{other}");
        let warned = ended.err.contains("this fit is not that of model.json")
            && ended.err.contains("other data, the same options");
        assert!(warned && ended.out.contains("other data"), "{}", ended.err);
        assert_eq!(replay(&["--json"]).json()["replay"]["agrees"], false);
    }
    desk.write("rows.csv", rows);
    assert_eq!(replay(&[]).code, 0);

    // What is asked.
    replay(&["--l2", "1"]).fails(2, &["--l2 is in the record of model.json"]);
    replay(&["--model", "model.json"]).fails(2, &["model.json cannot be written"]);
    replay(&["--report", "page.html"]).fails(2, &["--report is in the record of model.json"]);

    // The record, by hand.
    let sound = model(&desk, "model.json");
    let mut changed = sound.clone();
    changed["training"]["arguments"] = json!(["--target=y", "--l2=0.25", "--", "rows.csv"]);
    write(&desk, "model.json", &changed);
    let ended = replay(&[]);
    assert!(ended.code == 1 && ended.err.contains("the same data, other options, coefficients"), "{}", ended.err);
    changed["training"]["arguments"] = json!(["--target=y", "--l3=0.25", "--", "rows.csv"]);
    write(&desk, "model.json", &changed);
    replay(&[]).fails(2, &["model.json", "its record is no command line of this version", "--l3"]);
    // It cannot say where to write.
    changed["training"]["arguments"] =
        json!(["--target=y", "--l2=0.5", "--model=stolen.json", "--report=stolen.html", "--", "rows.csv"]);
    write(&desk, "model.json", &changed);
    assert_eq!(replay(&[]).code, 0);
    assert_eq!(desk.names(""), ["model.json", "rows.csv"]);
    let mut edited = sound.clone();
    edited["coefficients"][0]["value"] = json!(0.125);
    write(&desk, "model.json", &edited);
    replay(&[]).fails(2, &["its coefficients are not those of its record"]);
    let mut old = sound.clone();
    old["training"].as_object_mut().unwrap().retain(|key, _| key != "fingerprints" && key != "arguments");
    write(&desk, "model.json", &old);
    replay(&[]).fails(2, &["it does not record how it was trained"]);
    let predicted = desk.run(&["predict", "model.json", "rows.csv"]);
    assert_eq!(predicted.code, 0, "a model without a record predicts: {}", predicted.err);
    desk.write("model.json", "{}");
    replay(&[]).fails(2, &["model.json"]);
}

/// What a command printed and wrote that must not depend on the machine's mood: all but time, memory and what computed.
fn printed(desk: &Desk, command: &[&str], threads: &str, device: &str) -> (String, Vec<String>) {
    let ended = desk.run(&[command, &["--threads", threads, "--device", device]].concat());
    assert_eq!(ended.code, 0, "{command:?}: {}", ended.err);
    let out = match serde_json::from_str::<Value>(&ended.out) {
        Ok(mut told) if told.is_object() => {
            ["seconds", "bytes", "kernels", "device"].iter().for_each(|key| {
                told.as_object_mut().unwrap().remove(*key);
            });
            if let Some(bootstrap) = told.get_mut("bootstrap").and_then(Value::as_object_mut) {
                bootstrap.remove("seconds");
            }
            told.to_string()
        }
        _ => ended.out,
    };
    let written = ["out.csv", "influence.csv", "m.json"].iter().filter(|name| desk.path(name).exists());
    (out, written.map(|name| desk.text(name)).collect())
}

#[test]
fn every_command_gives_the_same_bits_with_any_number_of_threads() {
    let desk = Desk::new();
    let mut rows = String::from("a,b,c,k,y,z\n");
    for i in 0..40_000u64 {
        let x = |j: u64| gpulogit::data::hash::unit_interval(j, i);
        let (label, class) = (u8::from(x(0) + x(1) + x(4) > 1.5), ((x(0) + x(5)) * 1.5) as u8);
        rows += &format!(
            "{},{},{},{},{label},{class}\n",
            x(0),
            100.0 * x(1),
            x(2).powi(3),
            ["r", "g", "b"][(x(3) * 3.0) as usize]
        );
    }
    desk.write("rows.csv", rows);
    let two = ["train", "rows.csv", "--target", "y", "--drop", "z", "--model", "m.json", "--json"];
    let three = ["train", "rows.csv", "--target", "z", "--drop", "y", "--model", "m.json", "--json"];
    let commands: [Vec<&str>; 9] = [
        [&two[..], &["--inference", "--covariance", "hc1", "--influence", "influence.csv", "--diagnostics"]].concat(),
        [&two[..], &["--bootstrap", "8", "--l2", "1", "--holdout", "0.3"]].concat(),
        [&two[..], &["--l1", "3", "--l2", "1"]].concat(),
        [&two[..], &["--solver", "lbfgs", "--no-verify"]].concat(),
        [&three[..], &["--l2", "2"]].concat(),
        vec!["cv", "rows.csv", "--target", "y", "--drop", "z", "--penalties", "4", "--json"],
        vec!["path", "rows.csv", "--target", "y", "--drop", "z", "--penalties", "10", "--json"],
        vec!["predict", "m.json", "rows.csv", "--output", "out.csv"],
        vec!["evaluate", "m.json", "rows.csv", "--json"],
    ];
    let mut seen = 0;
    for device in ["cpu", "gpu"] {
        for command in &commands {
            let first = printed(&desk, command, "1", device);
            for threads in ["2", "3", "2"] {
                assert!(
                    printed(&desk, command, threads, device) == first,
                    "{command:?} with {threads} threads on {device}"
                );
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 18);
}
