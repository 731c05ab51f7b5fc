//! What goes wrong around the program: full disks, files that change, signals, too little memory. Each ends with the truth on stderr,
//! the right exit code, and nothing lost that was computed.
#![cfg(unix)]

#[path = "common/desk.rs"]
mod desk;
#[cfg(target_os = "linux")]
#[path = "faults/device.rs"]
mod device;
#[path = "common/tables.rs"]
mod tables;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use desk::{Desk, Ended, data};
use gpulogit::data::{DataOptions, Design, ReadOptions, RowStream, load_training};
use gpulogit::monitor::{Event, Monitor, Silent};
use serde_json::Value;

/// Runs the program under a limit of the shell, `ulimit` with these arguments. A file that may grow no longer fails like one on a full disk.
fn limited(desk: &Desk, limit: &str, args: &str) -> Ended {
    let program = env!("CARGO_BIN_EXE_gpulogit");
    let script = format!("trap '' XFSZ; ulimit {limit}; exec {program} {args} --device cpu --threads 2");
    Ended::new(Command::new("sh").args(["-c", &script]).current_dir(desk.path("")).output().unwrap())
}

/// `rows` rows of four numbers as X.npy and Y.npy.
fn arrays(desk: &Desk, rows: usize) {
    let value = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / 1e7;
    let x: Vec<u8> = (0..4 * rows).flat_map(|i| value(i).to_le_bytes()).collect();
    let y: Vec<u8> = (0..rows).map(|i| u8::from(value(4 * i) + value(i ^ 0x55) > 1.7)).collect();
    desk.write("x.npy", tables::npy("<f4", false, &format!("{rows}, 4"), &x));
    desk.write("y.npy", tables::npy("|u1", false, &format!("{rows},"), &y));
}

#[test]
fn a_model_that_cannot_be_written_goes_elsewhere_and_the_fit_is_told() {
    let desk = Desk::on_cpu();
    let (vaso, iris) = (data("vaso.csv"), data("iris3.csv"));
    for args in [vec![vaso.as_str(), "--inference"], vec![&iris, "--l2", "1"]] {
        std::fs::create_dir_all(desk.path("temporary")).unwrap();
        let mut command = desk.command(&[&["train"], &args[..], &["--target", "y", "--model", "/dev/full"]].concat());
        let ended = Ended::new(command.env("TMPDIR", desk.path("temporary")).output().unwrap());
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("error: /dev/full cannot be written: No space left"), "{}", ended.err);
        assert!(ended.out.contains("status     converged") && ended.out.contains("log loss"), "{}", ended.out);
        let names = desk.names("temporary");
        assert_eq!(names.len(), 1, "{names:?}");
        let model = format!("temporary/{}", names[0]);
        assert!(ended.err.contains(&format!("the model is in {}", desk.path(&model).display())), "{}", ended.err);
        let predicted = desk.run(&["predict", &model, args[0]]);
        assert_eq!(predicted.code, 0, "{}", predicted.err);
        std::fs::remove_dir_all(desk.path("temporary")).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_no_half_predictions_and_no_half_rows() {
    let desk = Desk::on_cpu();
    arrays(&desk, 3_000_000);
    let fit = limited(&desk, "-f 20000", "train x.npy --target-file y.npy --memory 64M --cache-dir cache");
    fit.fails(2, &["cache/rows-", "File too large", "--cache-dir names a folder with more room"]);
    assert!(desk.names("cache").is_empty(), "{:?}", desk.names("cache"));
    desk.run(&["train", "x.npy", "--target-file", "y.npy", "--no-cache"]);
    let predicted = limited(&desk, "-f 100", "predict model.json x.npy --output p.csv");
    predicted.fails(1, &["p.csv cannot be written: File too large"]);
    assert_eq!(desk.names(""), ["cache", "model.json", "x.npy", "y.npy"]);
    let printed = Command::new("sh")
        .args(["-c", &format!("{} predict model.json x.npy > /dev/full", env!("CARGO_BIN_EXE_gpulogit"))])
        .current_dir(desk.path(""))
        .output();
    Ended::new(printed.unwrap()).fails(1, &["standard output cannot be written: No space left"]);
}

#[test]
fn a_checkpoint_that_cannot_be_written_stops_no_fit() {
    let desk = Desk::on_cpu();
    let args = format!("train {} --target y --l2 1 --checkpoint point --model /dev/null", data("wdbc.csv"));
    let ended = limited(&desk, "-f 0", &args);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.err.contains("no checkpoint can be written any more (point"), "{}", ended.err);
    assert!(ended.out.contains("status     converged"), "{}", ended.out);
    assert!(desk.names("").is_empty(), "{:?}", desk.names(""));
}

/// Writes to a file once, when the first rows of it were read.
struct Meddler {
    path: PathBuf,
    done: AtomicBool,
    /// What it does to the file.
    meddle: fn(&Path),
}

impl Monitor for Meddler {
    fn event(&self, event: Event<'_>) {
        if let (Event::Reading { .. }, false) = (event, self.done.swap(true, Ordering::Relaxed)) {
            (self.meddle)(&self.path);
        }
    }
}

fn append(path: &Path) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(b"1,2,0\n").unwrap();
}

fn shorten(path: &Path) {
    // A whole number of lines of the same length.
    OpenOptions::new().write(true).open(path).unwrap().set_len(6 + 600_000 * 6).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let desk = Desk::new();
    let rows: String = (0..700_000).map(|i| format!("{},{},{}\n", i % 7, (i / 7) % 5, u8::from(i % 3 == 0))).collect();
    let options = DataOptions { target: Some("y".into()), no_cache: true, ..DataOptions::default() };
    let read = ReadOptions { with_target: true, ..ReadOptions::default() };
    let mut design: Option<Design> = None;
    for meddle in [|_: &Path| (), append as fn(&Path), shorten] {
        desk.write("rows.csv", format!("a,b,y\n{rows}"));
        let path = desk.path("rows.csv");
        let monitor = || Meddler { path: path.clone(), done: AtomicBool::new(false), meddle };
        let trained = load_training(std::slice::from_ref(&path), &options, &monitor());
        let Some(design) = &design else {
            let training = trained.unwrap();
            assert_eq!(training.train.rows, 700_000);
            design = Some(training.design);
            continue;
        };
        let message = trained.unwrap_err().to_string();
        assert!(message.contains("rows.csv: the file changed while it was read"), "{message}");
        // The same of rows that a model is asked about.
        desk.write("rows.csv", format!("a,b,y\n{rows}"));
        let mut stream = RowStream::open(std::slice::from_ref(&path), design, &read).unwrap();
        let monitor = monitor();
        let ended = loop {
            match stream.next(&monitor) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the change went unnoticed"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(ended.contains("changed while it was read"), "{ended}");
    }
    let mut stream = RowStream::open(&[desk.path("rows.csv")], design.as_ref().unwrap(), &read).unwrap();
    while stream.next(&Silent).unwrap().is_some() {}
}

#[test]
fn a_file_beside_an_array_that_changes_while_it_is_read_is_noticed() {
    let desk = Desk::new();
    arrays(&desk, 700_000);
    let weights: Vec<u8> = (0..700_000).flat_map(|i| [1.0f32, 2.0][i % 2].to_le_bytes()).collect();
    let weights = tables::npy("<f4", false, "700000,", &weights);
    let matrix = [desk.path("x.npy")];
    let load = |changes: &str, meddle: fn(&Path)| {
        desk.write("w.npy", &weights);
        let options = DataOptions {
            target_file: Some(desk.path("y.npy")),
            weight_file: Some(desk.path("w.npy")),
            no_cache: true,
            ..DataOptions::default()
        };
        let monitor = Meddler { path: desk.path(changes), done: AtomicBool::new(false), meddle };
        load_training(&matrix, &options, &monitor).map(|training| training.train.rows)
    };
    assert_eq!(load("w.npy", |_| ()).unwrap(), 700_000);
    // The same values once more, at another time.
    let touch = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(10)).unwrap();
    };
    for changes in ["w.npy", "y.npy"] {
        let message = load(changes, touch).unwrap_err().to_string();
        assert!(message.contains(&format!("{changes}: the file changed while it was read")), "{message}");
    }
}

#[test]
fn what_cannot_be_read_is_told_as_it_is() {
    let desk = Desk::on_cpu();
    // A read of its first bytes fails with an error of the device, as on a broken disk.
    desk.run(&["train", "/proc/self/mem", "--format", "csv", "--target", "y"])
        .fails(2, &["/proc/self/mem: Input/output error"]);
    desk.run(&["train", "nowhere.csv", "--target", "y"]).fails(2, &["nowhere.csv: No such file"]);
    std::fs::create_dir(desk.path("folder.csv")).unwrap();
    desk.run(&["predict", "folder.csv", "x.csv"]).fails(2, &["folder.csv"]);
}

#[test]
fn rows_that_memory_has_no_place_for_are_an_error_with_a_remedy() {
    let desk = Desk::on_cpu();
    arrays(&desk, 1_000_000);
    // 1.6 GB of zeros that take no place on the disk.
    desk.write("x.npy", tables::npy("<f4", false, "1000000, 400", b""));
    let file = OpenOptions::new().write(true).open(desk.path("x.npy")).unwrap();
    file.set_len(file.metadata().unwrap().len() + 1_600_000_000).unwrap();
    let ended = limited(&desk, "-v 1000000", "train x.npy --target-file y.npy --memory 8G");
    ended.fails(2, &["1600000000 bytes of memory for the rows cannot be had", "--memory SIZE"]);
}

#[test]
fn a_signal_stops_a_fit_with_the_best_point_so_far() {
    ["-INT", "-TERM"].into_iter().for_each(stopped_by);
}

fn stopped_by(signal: &str) {
    let desk = Desk::new();
    let mut child = desk
        .command(&["train", &data("wdbc.csv"), "--target", "y", "--device", "cpu", "--solver", "gd", "-v"])
        .args(["--max-iter", "1000000000", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("iteration    5") {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "ended before iteration 5");
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut err, &mut rest).unwrap();
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{signal}: {rest}");
    assert_eq!(ended.json()["status"], "interrupted");
    assert!(rest.contains("warning: interrupted"), "{rest}");
    let model: Value = serde_json::from_str(&std::fs::read_to_string(desk.path("model.json")).unwrap()).unwrap();
    assert_eq!(model["training"]["status"], "interrupted");
}
