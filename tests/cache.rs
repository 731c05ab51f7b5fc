//! Rows that memory does not hold are kept for the next fit, and are used by none that would make others.

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use desk::Desk;
use gpulogit::data::hash::mix;
use gpulogit::data::{
    CacheState, ClassWeight, DataOptions, Encoding, Missing, PackOptions, Training, Values, cached_files, clear_cache,
    each_block, load_training,
};
use gpulogit::monitor::{Event, Monitor};
use serde_json::Value;
use tables::{Files, npy};

const ROWS: u64 = 3000;

/// A table with everything a cache has to keep: numbers, text, gaps, weights, offsets.
fn table() -> String {
    let mut text = String::from("a,b,colour,w,o,y\n");
    for row in 0..ROWS {
        let b = if row % 17 == 3 { String::new() } else { (mix(1, row) % 100).to_string() };
        let colour = ["red", "green", "blue", ""][mix(2, row) as usize % 4];
        let (w, o, y) = (mix(3, row) % 3 + 1, mix(4, row) % 5, mix(5, row) % 3 / 2);
        text += &format!("{},{b},{colour},{w}.5,0.{o},{y}\n", mix(6, row) % 251);
    }
    text
}

/// How it is read within some bytes of memory.
fn options(files: &Files) -> DataOptions {
    DataOptions {
        target: Some("y".into()),
        weight: Some("w".into()),
        offset: Some("o".into()),
        missing: Missing::Mean,
        memory: Some(1000),
        cache_dir: Some(files.path("cache")),
        pack: PackOptions { block_rows: Some(512), ..PackOptions::default() },
        ..DataOptions::default()
    }
}

/// What reading said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Monitor for Notes {
    fn event(&self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note);
        }
    }
}

/// How a fit came by its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Sources,
    Cache,
    /// The cache was there, but damaged.
    SourcesAgain,
}

/// Reads `data` and says where the rows came from, and all that a fit would see of them.
fn read(data: &Path, options: &DataOptions) -> (From, Vec<u64>) {
    let notes = Notes::default();
    let Training { train, holdout, design, summary, .. } =
        load_training(&[data.to_path_buf()], options, &notes).unwrap();
    let notes = notes.0.into_inner().unwrap();
    let said = |words: &str| notes.iter().any(|note| note.contains(words));
    let from = match (said("where an earlier fit of this data left them"), said("is damaged; the data is read anew")) {
        (true, true) => From::SourcesAgain,
        (true, false) => From::Cache,
        (false, damaged) => {
            assert!(!damaged && said("for the next fit") != options.no_cache, "{notes:?}");
            From::Sources
        }
    };
    let mut seen = serde_json::to_vec(&design).unwrap().into_iter().map(u64::from).collect::<Vec<_>>();
    seen.extend([summary.rows, summary.dropped_rows, summary.filled_cells, summary.class_counts[1]]);
    let data = [Some(&train), holdout.as_ref().map(|held| &held.data)];
    for data in data.into_iter().flatten() {
        seen.extend(data.moments.iter().flat_map(|m| [m.mean, m.sd, m.min, m.max, m.rounding].map(f64::to_bits)));
        seen.push(data.weight_sum.to_bits());
        each_block(&data.blocks, |_, block| {
            let Values::F32(x) = block.x() else { panic!("not f32") };
            seen.extend(x.iter().map(|x| u64::from(x.to_bits())));
            let offset = block.offset().into_iter().flat_map(|offset| offset.iter());
            seen.extend(block.target().iter().chain(block.weight().iter()).chain(offset).map(f64::to_bits));
            Ok(())
        })
        .unwrap();
        assert!(data.blocks.iter().all(|block| block.here().is_none()));
    }
    (from, seen)
}

/// The one file of the cache.
fn cached(files: &Files) -> PathBuf {
    let found = cached_files(&files.path("cache")).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].path.clone()
}

#[test]
fn the_next_fit_of_the_same_rows_reads_those_that_were_kept() {
    let files = Files::new();
    let data = files.write("d.csv", table());
    let mut seen = 0;
    for holdout in [None, Some(0.2)] {
        let options = DataOptions { holdout, seed: 4, ..options(&files) };
        let (from, first) = read(&data, &options);
        assert_eq!(from, From::Sources);
        assert!(read(&data, &options) == (From::Cache, first), "holdout {holdout:?}");
        seen += 1;
    }
    // What is made of the rows afterwards is not in the file.
    let other: [fn(&mut DataOptions); 4] = [
        |o| o.encoding = Encoding::Full,
        |o| o.positive = Some("0".into()),
        |o| o.class_weight = ClassWeight::Balanced,
        |o| o.seed = 9,
    ];
    for change in other {
        let mut options = options(&files);
        change(&mut options);
        let (from, cached) = read(&data, &options);
        assert_eq!(from, From::Cache);
        assert!(read(&data, &DataOptions { no_cache: true, ..options }) == (From::Sources, cached));
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn whatever_is_kept_is_found_and_memory_is_no_part_of_its_name() {
    let files = Files::new();
    let data = files.write("d.csv", table());
    let (mut kept, mut held) = (0, 0);
    for memory in (1..60).map(|step| step * 10_000) {
        let options = DataOptions { memory: Some(memory), ..options(&files) };
        let load = || load_training(std::slice::from_ref(&data), &options, &Notes::default()).unwrap();
        if load().train.blocks.iter().any(|block| block.here().is_some()) {
            held += 1;
            continue;
        }
        cached(&files);
        assert_eq!(read(&data, &options).0, From::Cache, "{memory} bytes");
        kept += 1;
    }
    assert!(kept > 10 && held > 10, "{kept} {held}");
}

#[test]
fn rows_of_other_sources_or_options_are_never_taken() {
    let files = Files::new();
    let (data, text) = (files.write("d.csv", table()), table());
    let kept = read(&data, &options(&files)).1;
    let other: [fn(&mut DataOptions); 6] = [
        |o| o.drop = vec!["b".into()],
        |o| o.missing = Missing::Drop,
        |o| o.categorical = vec!["a".into()],
        |o| o.holdout = Some(0.2),
        |o| o.weight = None,
        |o| o.target = Some("y>0.5".into()),
    ];
    for change in other {
        let mut options = options(&files);
        change(&mut options);
        if options.weight.is_none() {
            options.drop = vec!["w".into()];
        }
        assert_eq!(read(&data, &options).0, From::Sources);
    }
    // As many bytes, written when they were written before: only the system knows that they were written again.
    let modified = std::fs::metadata(&data).unwrap().modified().unwrap();
    files.write("d.csv", text.replacen("red", "den", 1));
    std::fs::File::options().append(true).open(&data).unwrap().set_modified(modified).unwrap();
    let (from, changed) = read(&data, &options(&files));
    assert_eq!(from, From::Sources);
    assert!(changed != kept);
    // Those of the old file can be of no use to anyone.
    let found = cached_files(&files.path("cache")).unwrap();
    assert!(found.len() == 1 && found[0].state == CacheState::Usable, "{found:?}");
    // Enough memory needs no cache, and leaves none.
    let roomy = DataOptions { memory: Some(u64::MAX), ..options(&files) };
    let trained = load_training(std::slice::from_ref(&data), &roomy, &Notes::default()).unwrap();
    assert!(trained.train.blocks.iter().all(|block| block.here().is_some()));
    files.write("d.csv", text);
    assert!(read(&data, &options(&files)) == (From::Sources, kept));
}

#[test]
fn no_damaged_or_unfinished_file_is_ever_used() {
    let files = Files::new();
    let data = files.write("d.csv", table());
    let options = DataOptions { holdout: Some(0.2), ..options(&files) };
    let right = read(&data, &options).1;
    let path = cached(&files);
    let whole = std::fs::read(&path).unwrap();
    let (mut noticed, mut not_taken) = (0, 0);
    // A bit in every stretch of the file, and in each of the last bytes.
    let offsets = (0..whole.len()).step_by(whole.len() / 150).chain(whole.len() - 32..whole.len());
    for offset in offsets {
        let mut damaged = whole.clone();
        damaged[offset] ^= 1 << (offset % 8);
        std::fs::write(&path, &damaged).unwrap();
        let (from, rows) = read(&data, &options);
        assert!(rows == right, "byte {offset}");
        match from {
            From::SourcesAgain => noticed += 1,
            From::Sources => not_taken += 1,
            From::Cache => panic!("byte {offset} of {} was flipped and not missed", whole.len()),
        }
        assert_eq!(std::fs::read(cached(&files)).unwrap().len(), whole.len());
    }
    assert!(noticed > 100 && not_taken > 32, "{noticed} {not_taken}");
    for len in [0, 1, 31, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(read(&data, &options) == (From::Sources, right.clone()), "the first {len} bytes");
    }
    std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert!(read(&data, &options) == (From::Sources, right));
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_another_writes_is_not() {
    let files = Files::new();
    let data = files.write("d.csv", table());
    let (left, written) = ("cache/rows-left.gpulogit-partial", "cache/rows-written.gpulogit-partial");
    files.write(left, "half");
    let other = std::fs::File::create(files.write(written, "half")).unwrap();
    other.lock().unwrap();
    files.write("cache/notes.txt", "mine");
    read(&data, &options(&files));
    let names = |files: &Files| {
        let mut names: Vec<String> = std::fs::read_dir(files.path("cache"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(matches!(names(&files).as_slice(), [mine, rows, partial]
        if mine == "notes.txt" && rows.ends_with(".gpulogit") && partial == "rows-written.gpulogit-partial"));
    // A fit that fails leaves nothing.
    let broken = files.write("broken.csv", table() + "1,2,red,-1,0,1\n");
    assert!(load_training(&[broken], &options(&files), &Notes::default()).is_err());
    assert_eq!(names(&files).len(), 3);
    let states = || cached_files(&files.path("cache")).unwrap().iter().map(|file| file.state).collect::<Vec<_>>();
    assert_eq!(states(), [CacheState::Usable, CacheState::Unfinished]);
    assert_eq!(clear_cache(&files.path("cache")).unwrap().len(), 1);
    drop(other);
    assert_eq!(states(), [CacheState::Abandoned]);
    assert_eq!(clear_cache(&files.path("cache")).unwrap().len(), 1);
    assert_eq!(names(&files), ["notes.txt"]);
}

#[test]
fn the_command_lists_and_removes_what_is_kept() {
    let desk = Desk::new();
    let run = |args: &[&str]| {
        let ended = desk.run(&[args, &["--cache-dir", "kept"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        (ended.out, ended.err)
    };
    assert!(run(&["cache"]).0.starts_with("0 files (0 B) in "));
    let rows = 150_000u64;
    let x: Vec<u8> = (0..rows * 60).flat_map(|i| ((mix(1, i) % 4001) as f32 / 64.0).to_le_bytes()).collect();
    let y: Vec<u8> = (0..rows).map(|row| (mix(2, row) % 2) as u8).collect();
    desk.write("x.npy", npy("<f4", false, &format!("{rows}, 60"), &x));
    desk.write("y.npy", npy("|u1", false, &format!("{rows},"), &y));
    let train = ["train", "x.npy", "--target-file", "y.npy", "--memory", "64M", "--device", "cpu", "--threads", "2"];
    let (_, err) = run(&[&train[..], &["--no-cache"]].concat());
    assert!(!err.contains("next fit"), "{err}");
    assert!(run(&["cache"]).0.starts_with("0 files"));
    let (_, err) = run(&train);
    assert!(err.contains("for the next fit; `gpulogit cache --clear --cache-dir kept` removes them"), "{err}");
    let (out, _) = run(&["cache"]);
    assert!(out.contains("150,000 rows of ") && out.contains("x.npy and 1 more") && out.contains("1 file ("), "{out}");
    let (_, err) = run(&[&train[..], &["--l2", "1"]].concat());
    assert!(err.contains("where an earlier fit of this data left them"), "{err}");
    let json = |args: &[&str]| serde_json::from_str::<Value>(&run(&[args, &["--json"]].concat()).0).unwrap();
    let listed = json(&["cache"]);
    assert_eq!((&listed["files"][0]["state"], &listed["files"][0]["rows"]), (&"usable".into(), &rows.into()));
    assert_eq!(json(&["cache", "--clear"])["bytes"], listed["bytes"]);
    assert!(run(&["cache", "--clear"]).0.starts_with("0 files (0 B) removed from "));
}

#[test]
fn tables_of_one_kind_of_columns_are_kept_as_well() {
    let files = Files::new();
    let data = files.write("d.csv", table());
    let mut seen = 0;
    for features in [&["colour"][..], &["a"], &["a", "colour"]] {
        for beside in [[true, true], [true, false], [false, true], [false, false]] {
            let options = DataOptions {
                features: features.iter().map(ToString::to_string).collect(),
                weight: beside[0].then(|| "w".into()),
                offset: beside[1].then(|| "o".into()),
                ..options(&files)
            };
            let (from, rows) = read(&data, &options);
            assert_eq!(from, From::Sources);
            assert!(read(&data, &options) == (From::Cache, rows), "{features:?} {beside:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}
