//! Rows beyond memory, checkpoints, standard input and rows predicted as they are read: as a person types it.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use desk::{Desk, number};
use gpulogit::data::hash::{mix, unit_interval};
use gpulogit::logistic::{sigmoid, softplus};
use serde_json::Value;
use tables::{gz, npy};

/// The coefficients of a model, the intercept first.
fn coefficients(desk: &Desk, model: &str) -> Vec<f64> {
    let model: Value = serde_json::from_str(&desk.text(model)).unwrap();
    let coefficients = model["coefficients"].as_array().unwrap().iter().map(|c| &c["value"]);
    std::iter::once(&model["intercept"]).chain(coefficients).map(number).collect()
}

/// What tells the rows that a model was fitted to from others.
fn fingerprint(desk: &Desk, model: &str) -> Value {
    let model: Value = serde_json::from_str(&desk.text(model)).unwrap();
    model["training"]["fingerprints"]["data"].clone()
}

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

/// Multiples of 1/4 in [-50, 50], as numbers and as text.
fn quarters() -> Vec<(f64, String)> {
    (-200..=200).map(|k| f64::from(k) / 4.0).map(|x| (x, x.to_string())).collect()
}

/// Fits `data` twice, with all the memory there is and with 64 MiB, which its rows exceed: the same fit in less memory.
fn fits_alike(desk: &Desk, data: &[&str]) -> [Value; 2] {
    let train = |model: &str, options: &[&str]| {
        let args = [&["train"], data, &["--json", "--threads", "2", "--model", model], options].concat();
        desk.run(&args)
    };
    let free = train("free.json", &[]).succeeds();
    let bounded = train("bounded.json", &["--memory", "64M", "--cache-dir", "cache"]).succeeds();
    let [cached] = desk.names("cache").try_into().unwrap();
    assert!(cached.ends_with(".gpulogit"), "{cached}");
    let again = train("again.json", &["--memory", "64M", "--cache-dir", "cache"]);
    assert!(again.err.contains(&cached), "{}", again.err);
    assert!(coefficients(desk, "again.json") == coefficients(desk, "bounded.json"), "from the cache");
    assert_eq!((&free["status"], &bounded["status"]), (&"converged".into(), &"converged".into()));
    let [a, b] = [&free, &bounded].map(|fit| number(&fit["objective"]));
    assert!(close(a, b, 1e-9), "J {a} and {b}");
    let [a, b] = ["free.json", "bounded.json"].map(|model| coefficients(desk, model));
    assert_eq!(a.len(), b.len());
    let prints = ["free.json", "bounded.json", "again.json"].map(|model| fingerprint(desk, model));
    assert!(prints.iter().all(|print| *print == prints[0]), "{prints:?}");
    let apart: Vec<_> = a.iter().zip(&b).filter(|(a, b)| !close(**a, **b, 1e-6)).collect();
    assert!(apart.is_empty(), "{apart:?}");
    let [a, b] = [&free, &bounded].map(|fit| number(&fit["bytes"]["host_peak"]));
    assert!(b < a, "the peak was {b} bytes within 64 MiB, and {a} without a limit");

    let nowhere = train("none.json", &["--memory", "64M", "--cache-dir", "free.json/folder"]);
    nowhere.fails(2, &["free.json/folder"]);
    assert!(!desk.path("none.json").exists());
    [free, bounded]
}

#[test]
fn rows_of_text_beyond_memory_give_the_same_fit() {
    let (desk, quarters) = (Desk::on_cpu(), quarters());
    let names: Vec<String> = (0..60).map(|j| format!("x{j}")).collect();
    let mut text = format!("{},colour,y\n", names.join(","));
    for row in 0..250_000u64 {
        let mut a = 0.0;
        for j in 0..60 {
            let (value, shown) = &quarters[(mix(j, row) % 401) as usize];
            a += value * (j as f64 - 30.0) / 3000.0;
            text.push_str(shown);
            text.push(',');
        }
        let colour = (mix(60, row) % 5) as usize;
        text.push_str(["red", "blue", "green", "grey", "black"][colour]);
        let yes = unit_interval(61, row) < sigmoid(a + 0.3 * colour as f64 - 0.5);
        text.push_str(if yes { ",yes\n" } else { ",no\n" });
    }
    desk.write("rows.csv", &text);
    let [free, bounded] = fits_alike(&desk, &["rows.csv", "--target", "y"]);
    for fit in [free, bounded] {
        assert_eq!((number(&fit["rows"]), number(&fit["features"])), (250_000.0, 64.0));
    }
}

#[test]
fn an_array_beyond_memory_gives_the_same_fit_and_the_same_held_out_rows() {
    let (desk, rows) = (Desk::on_cpu(), 250_000);
    let value = |i: usize| (mix(i as u64 % 60, i as u64) % 4001) as f32 / 64.0 - 30.0;
    let x: Vec<f32> = (0..rows * 60).map(value).collect();
    let a = |row: &[f32]| row.iter().zip(0..).map(|(x, j)| f64::from(*x) * f64::from(j - 30) / 3000.0).sum::<f64>();
    let y: Vec<u8> = x.chunks(60).zip(0..).map(|(row, i)| u8::from(unit_interval(7, i) < sigmoid(a(row)))).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    desk.write("x.npy", npy("<f4", false, &format!("{rows}, 60"), &bytes));
    desk.write("y.npy", npy("|u1", false, &format!("{rows},"), &y));
    let holdout = ["x.npy", "--target-file", "y.npy", "--holdout", "0.1", "--seed", "3"];
    let [free, bounded] = fits_alike(&desk, &holdout);
    assert_eq!(free["rows"], bounded["rows"]);
    let held_out = number(&free["holdout"]["rows"]);
    assert!((24_000.0..26_000.0).contains(&held_out) && number(&free["rows"]) + held_out == 250_000.0);
    let mut seen = 0;
    for name in ["rows", "log_loss", "brier", "roc_auc", "pr_auc"] {
        let [a, b] = [&free, &bounded].map(|fit| number(&fit["holdout"][name]));
        assert!(close(a, b, 1e-9), "{name}: {a} and {b}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn memory_that_is_no_size_or_too_little_is_refused() {
    let desk = Desk::on_cpu();
    desk.write("d.csv", "a,y\n1,0\n2,1\n");
    let mut seen = 0;
    for (size, said) in
        [("1K", "give 64M at the least"), ("x", "is no size; write it as 512M or 8G"), ("", "is no size")]
    {
        desk.run(&["train", "d.csv", "--target", "y", "--memory", size]).fails(2, &["--memory", said]);
        seen += 1;
    }
    assert_eq!(seen, 3);
}

fn wdbc() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/wdbc.csv").display().to_string()
}

/// Runs a fit until it has reached an iteration that is `due`, and kills it without a warning.
fn killed(command: &mut Command, due: impl Fn(usize) -> bool) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let reached = |line: &str| line.strip_prefix("fitting iteration")?.split_whitespace().next()?.parse().ok();
    while !reached(&line).is_some_and(&due) {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "ended before it was killed");
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_fit_that_was_killed_goes_on_from_its_checkpoint() {
    let (desk, wdbc) = (Desk::on_cpu(), wdbc());
    let train = ["train", wdbc.as_str(), "--target", "y", "--l2", "1"];
    let whole = number(&desk.run(&[&train[..], &["--json"]].concat()).succeeds()["objective"]);
    let slow =
        ["--solver", "gd", "--learning-rate", "1e-6", "--max-iter", "1000000000", "-v", "--checkpoint", "c.json"];
    let mut seen = 0;
    let checkpoint = || serde_json::from_str::<Value>(&desk.text("c.json")).unwrap();
    // The first checkpoint is that of the start; the last two moments are some iterations after the second.
    let moments: [(usize, bool); 5] = [(1, false), (100, false), (30_000, false), (1, true), (5000, true)];
    for (least, written) in moments {
        let due = |iteration: usize| {
            let after = || checkpoint()["iterations"].as_u64().unwrap() as usize;
            iteration >= least
                && (!written || (iteration.is_multiple_of(1000) && (1..=iteration - least).contains(&after())))
        };
        killed(&mut desk.command(&[&train[..], &slow].concat()), due);
        let checkpoint = checkpoint();
        assert_eq!(checkpoint["coefficients"].as_array().unwrap().len(), 30);
        let before = number(&checkpoint["objective"]);
        assert!(before > whole && before < 569.0);

        let resumed = desk.run(&[&train[..], &["--checkpoint", "c.json", "--resume", "--json"]].concat());
        let said = format!("going on from c.json after {}", grouped(&checkpoint["iterations"]));
        assert!(resumed.err.contains(&said), "{said} is not in: {}", resumed.err);
        let resumed = resumed.succeeds();
        assert_eq!(resumed["status"], "converged");
        assert!(close(number(&resumed["objective"]), whole, 1e-9), "{} and {whole}", resumed["objective"]);
        // A process that is killed may leave the file it was writing.
        let mut left = desk.names("");
        left.retain(|name| name != "model.json");
        assert!(left.len() <= 1 && left.iter().all(|name| name.starts_with(".c.json.")), "{left:?}");
        left.iter().for_each(|name| std::fs::remove_file(desk.path(name)).unwrap());
        seen += 1;
    }
    assert_eq!(seen, 5);
}

/// A count as it is printed, in groups of three digits.
fn grouped(count: &Value) -> String {
    let mut text = count.as_u64().unwrap().to_string();
    let digits = text.len();
    (1..=(digits - 1) / 3).for_each(|group| text.insert(digits - 3 * group, ','));
    text
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let (desk, wdbc) = (Desk::on_cpu(), wdbc());
    let train = ["train", wdbc.as_str(), "--target", "y", "--l2", "1"];
    desk.run(&[&train[..], &["--resume"]].concat()).fails(2, &["--checkpoint"]);
    let slow = ["--solver", "gd", "--learning-rate", "1e-6", "-v", "--checkpoint", "c.json"];
    killed(&mut desk.command(&[&train[..], &slow].concat()), |iteration| iteration > 0);
    let good = desk.text("c.json");
    let resume = ["--checkpoint", "c.json", "--resume"];
    desk.write("other.csv", "a,b,y\n1,2,0\n2,1,1\n3,5,0\n4,1,1\n");
    let other = ["train", "other.csv", "--target", "y", "--l2", "1"];
    let short = desk.text(&wdbc).lines().take(400).collect::<Vec<_>>().join("\n");
    desk.write("short.csv", short);
    let short = ["train", "short.csv", "--target", "y", "--l2", "1"];
    let unpenalised = ["train", wdbc.as_str(), "--target", "y"];
    let cases: [(&[&str], &str); 4] = [
        (&other, "its 30 features are not the 2 of this one"),
        (&short, "it had 569 rows, and this one has 399"),
        (&unpenalised, "l2 was 1 with an intercept"),
        (&[&train[..], &["--positive", "0"]].concat(), "its classes were '0' and '1'"),
    ];
    let mut seen = 0;
    for (args, said) in cases {
        let ended = desk.run(&[args, &resume].concat());
        ended.fails(2, &["c.json", "this checkpoint is of another fit", said]);
        assert_eq!(desk.text("c.json"), good);
        seen += 1;
    }
    for length in [0, 1, good.len() / 2, good.len() - 1] {
        desk.write("c.json", &good[..length]);
        desk.run(&[&train[..], &resume].concat()).fails(2, &["c.json", "this is no checkpoint of gpulogit"]);
        seen += 1;
    }
    assert_eq!(seen, 8);
    assert!(!desk.path("model.json").exists());
}

#[test]
fn rows_on_standard_input_are_those_of_a_file() {
    let desk = Desk::on_cpu();
    let text = std::fs::read(wdbc()).unwrap();
    desk.write("d.csv", &text);
    let train = |data: &'static str, model: &'static str| {
        ["train", data, "--format", "csv", "--target", "y", "--l2", "1", "--json", "--model", model]
    };
    desk.run(&train("d.csv", "file.json")).succeeds();
    desk.run_on(text.clone(), &train("-", "stream.json")).succeeds();
    desk.run_on(gz(&text), &train("-", "packed.json")).succeeds();
    // All but what was typed.
    let [file, stream, packed] = ["file.json", "stream.json", "packed.json"].map(|name| {
        let mut model: Value = serde_json::from_str(&desk.text(name)).unwrap();
        assert!(model["training"].as_object_mut().unwrap().remove("arguments").is_some());
        model
    });
    assert_eq!((&stream, &packed), (&file, &file));
    let predicted = desk.run(&["predict", "file.json", "d.csv", "--keep", "y"]);
    let streamed = desk.run_on(text.clone(), &["predict", "file.json", "-", "--keep", "y"]);
    assert_eq!((predicted.code, predicted.out.lines().count()), (0, 570));
    assert_eq!((streamed.code, &streamed.out), (0, &predicted.out));
    let evaluated = desk.run(&["evaluate", "file.json", "d.csv", "--json"]).succeeds();
    assert_eq!(desk.run_on(text.clone(), &["evaluate", "file.json", "-", "--json"]).succeeds(), evaluated);
    desk.run_on(text, &["train", "-", "-", "--target", "y"]).fails(2, &["standard input (-) can be read but once"]);
}

#[test]
fn text_far_down_standard_input_cannot_be_read_once_more() {
    let desk = Desk::on_cpu();
    let pad = "-".repeat(200);
    let cell = |i: usize| if i < 50 { "1" } else { ["", "red"][usize::from(i == 79_990)] };
    let rows: Vec<String> = (0..80_000).map(|i| format!("{},{pad},{}\n", cell(i), i % 2)).collect();
    let text = format!("a,pad,y\n{}", rows.concat()).into_bytes();
    // With two threads the first cells are those of the first eight megabytes.
    let train = ["train", "-", "--target", "y", "--drop", "pad", "--missing", "mean", "--threads", "2"];
    let refused = desk.run_on(text.clone(), &train);
    refused.fails(2, &["line 79992, column a: 'red' is not a number", "first 50 values are", "--categorical a"]);
    let taken = desk.run_on(text, &[&train[..], &["--categorical", "a", "--json"]].concat()).succeeds();
    assert_eq!((number(&taken["rows"]), number(&taken["features"])), (80_000.0, 1.0));
}

#[test]
fn rows_beyond_one_chunk_are_predicted_and_judged_in_order() {
    let (desk, quarters) = (Desk::on_cpu(), quarters());
    let rows = 3_000_000;
    let picked = |row: u64, j: u64| &quarters[(mix(j, row) % 401) as usize];
    let yes = |row: u64| unit_interval(3, row) < sigmoid(0.05 * picked(row, 0).0 - 0.02 * picked(row, 1).0);
    let header = "id,a,b,c,y\n";
    let mut text = String::from(header);
    for row in 0..rows {
        text.push_str(&row.to_string());
        for j in 0..3 {
            text.push(',');
            text.push_str(&picked(row, j).1);
        }
        text.push_str(if yes(row) { ",yes\n" } else { ",no\n" });
        if row == 5000 {
            desk.write("first.csv", &text);
        }
    }
    desk.write("all.csv", text);
    desk.run(&["train", "first.csv", "--target", "y", "--drop", "id", "--json"]).succeeds();
    let beta = coefficients(&desk, "model.json");
    let predictor = |row| (0..3).fold(beta[0], |a, j| a + beta[j as usize + 1] * picked(row, j).0);

    let predicted = desk.run(&["predict", "model.json", "all.csv", "--keep", "id", "--output", "p.csv"]);
    assert_eq!((predicted.code, predicted.out.as_str()), (0, ""), "{}", predicted.err);
    let out = desk.text("p.csv");
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("id,probability,label"));
    let (mut row, mut loss, mut right) = (0, 0.0, 0);
    for line in lines {
        let (id, rest) = line.split_once(',').unwrap();
        let (probability, label) = rest.split_once(',').unwrap();
        let (y, a) = (probability.parse::<f64>().unwrap(), predictor(row));
        assert!(id.parse() == Ok(row) && close(y, sigmoid(a), 1e-12), "row {row}: {line}, and not {}", sigmoid(a));
        assert_eq!(label, if y >= 0.5 { "yes" } else { "no" });
        loss += softplus(if yes(row) { -a } else { a });
        right += u64::from(yes(row) == (label == "yes"));
        row += 1;
    }
    assert_eq!(row, rows);
    let metrics = &desk.run(&["evaluate", "model.json", "all.csv", "--json"]).succeeds()["metrics"];
    assert_eq!(number(&metrics["rows"]), rows as f64);
    assert!(close(number(&metrics["log_loss"]), loss / rows as f64, 1e-12), "{} and {loss}", metrics["log_loss"]);
    assert!(close(number(&metrics["accuracy"]), right as f64 / rows as f64, 1e-12));
}
