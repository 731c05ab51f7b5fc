//! Hostile input: no panic, no endless loop, no unbounded memory, no silent corruption. `fuzz/` goes on where this ends.

#[path = "common/desk.rs"]
mod desk;
#[path = "hostile/mod.rs"]
mod hostile;

use std::collections::BTreeSet;
use std::path::Path;

use desk::Desk;
use hostile::damage::damaged;
use hostile::{TARGETS, Target, tables};

/// Damaged inputs for each target.
const DAMAGED: u64 = 400;

/// Runs the target on inputs whose names say which one failed.
fn run(target: &Target, inputs: impl IntoIterator<Item = (String, Vec<u8>)>) -> u64 {
    let mut seen = 0;
    for (name, input) in inputs {
        let run = std::panic::catch_unwind(|| (target.run)(&input));
        assert!(run.is_ok(), "{} fails on {name}", target.name);
        seen += 1;
    }
    seen
}

#[test]
fn seeds_and_what_damage_makes_of_them_do_no_harm() {
    let mut seen = 0;
    for target in &TARGETS {
        let seeds = (target.seeds)();
        let whole = seeds.iter().enumerate().map(|(i, seed)| (format!("seed {i}"), seed.clone()));
        let count = seeds.len() as u64;
        assert_eq!(run(target, whole), count);
        let damage = |number: u64| {
            let [seed, other] = [number % count, number / count % count].map(|seed| &seeds[seed as usize]);
            (format!("damage {number}"), damaged(seed, other, number))
        };
        seen += run(target, (0..DAMAGED).map(damage));
    }
    assert_eq!(seen, 9 * DAMAGED);
}

#[test]
fn what_was_once_found_does_no_harm_any_more() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/regressions");
    let mut seen = 0;
    for folder in std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap()) {
        let target = hostile::target(folder.file_name().to_str().unwrap());
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        seen += run(target, files.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())));
    }
    assert!(seen > 0);
}

/// The options of a command that take a value.
fn options_of(desk: &Desk, command: &str) -> BTreeSet<String> {
    let help = desk.run(&[command, "--help"]).out;
    let named = help.lines().filter_map(|line| line.trim_start().split("--").nth(1)?.split_once(" <"));
    named.map(|(name, _)| format!("--{name}")).filter(|name| !name.contains(' ')).collect()
}

#[test]
fn any_value_of_any_option_ends_in_words() {
    let desk = Desk::on_cpu();
    desk.write("d.csv", tables::csv(&tables::mixed(60)));
    let (train, judge) = (["d.csv", "--target", "label", "--missing", "drop"], ["model.json", "d.csv"]);
    assert_eq!(desk.run(&[&["train"], &train[..]].concat()).code, 0);
    let values = ["nan", "-1", "0", "1e999", "99999999999999999999", "", "\u{202e}=é,:", "height=nan"];
    let mut seen = BTreeSet::new();
    let mut runs = 0;
    for (command, args) in
        [("train", &train[..]), ("cv", &train), ("path", &train), ("predict", &judge), ("evaluate", &judge)]
    {
        for option in options_of(&desk, command).into_iter().filter(|option| seen.insert(option.clone())) {
            for value in values {
                let given = format!("{option}={value}");
                let ended = desk.run(&[&[command], args, &[given.as_str(), "--quiet"]].concat());
                let said = (0..=3).contains(&ended.code) && !ended.err.contains("panicked");
                assert!(
                    said && ended.err.lines().count() <= 8,
                    "{command} {option}={value}: {} {}",
                    ended.code,
                    ended.err
                );
                runs += 1;
            }
        }
    }
    assert!(runs > 400, "{runs}");
}
