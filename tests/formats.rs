//! Files of every format become the same rows, and damaged ones a clear error: through the public interface.

#[path = "common/tables.rs"]
mod tables;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Float64Array, ListArray, StringArray, TimestampMillisecondArray};
use gpulogit::data::hash::{mix, unit_interval};
use gpulogit::data::{
    DataOptions, Dataset, Design, Encoding, InputColumn, Missing, ReadOptions, RowBlock, RowVector, Rows, Training,
    Values, load_rows, load_training,
};
use gpulogit::engine::gpu::GpuOptions;
use gpulogit::engine::{Device, DeviceRequest};
use gpulogit::error::Result;
use gpulogit::fit::{Fit, FitOptions, fit};
use gpulogit::logistic::sigmoid;
use gpulogit::model::Model;
use gpulogit::monitor::Silent;
use tables::{
    Files, Table, arrow, batch, columns, csv, every_format_of, gz, mixed, npy, parquet, stream, text, zip, zst,
};

fn target(name: &str) -> DataOptions {
    DataOptions { target: Some(name.to_string()), ..DataOptions::default() }
}

fn read(path: &Path, options: &DataOptions) -> Result<Training> {
    load_training(&[path.to_path_buf()], options, &Silent)
}

fn predict(path: &Path, design: &Design) -> Result<Rows> {
    load_rows(&[path.to_path_buf()], design, &ReadOptions::default(), &Silent).map(|(rows, _)| rows)
}

/// The message of what must be an error about `path`, of at most six lines.
fn failure<T>(result: Result<T>, path: &Path) -> String {
    let Err(error) = result else { panic!("{} should have been an error", path.display()) };
    let message = error.to_string();
    assert!(message.lines().count() <= 6, "{message}");
    assert!(message.contains(path.file_name().unwrap().to_str().unwrap()), "{} is not in: {message}", path.display());
    message
}

/// The blocks of `data`, all of which are in memory.
fn here(data: &Dataset) -> impl Iterator<Item = &RowBlock> {
    data.blocks.iter().map(|block| block.here().unwrap())
}

/// The values of X in original units, row by row.
fn x(data: &Dataset) -> Vec<Vec<f64>> {
    let of = |block: &RowBlock, i, j: usize| block.value(i, j) * data.columns[j].scale + data.columns[j].centre;
    let rows = |block: &RowBlock| {
        (0..block.rows()).map(|i| (0..block.features()).map(|j| of(block, i, j)).collect()).collect::<Vec<_>>()
    };
    here(data).flat_map(rows).collect()
}

fn assert_same(a: &Dataset, b: &Dataset, what: &str) {
    assert_eq!((a.rows, a.weight_sum), (b.rows, b.weight_sum), "{what}");
    assert_eq!(a.fingerprint == b.fingerprint, a.features == b.features, "{what}");
    assert_eq!((&a.columns, &a.moments), (&b.columns, &b.moments), "{what}");
    assert_eq!((a.blocks.len(), a.samples.len()), (b.blocks.len(), b.samples.len()), "{what}");
    let bits = |block: &RowBlock| match block.x() {
        Values::F32(values) => values.iter().map(|x| u64::from(x.to_bits())).collect::<Vec<_>>(),
        Values::F64(values) => values.iter().map(|x| x.to_bits()).collect(),
    };
    let vector = |numbers: &RowVector| numbers.iter().collect::<Vec<f64>>();
    for (a, b) in here(a).zip(here(b)) {
        assert_eq!((a.rows(), a.features(), a.x_bytes()), (b.rows(), b.features(), b.x_bytes()), "{what}");
        assert!(bits(a) == bits(b), "{what}: X differs");
        assert!(vector(a.target()) == vector(b.target()), "{what}: targets differ");
        assert!(vector(a.weight()) == vector(b.weight()), "{what}: weights differ");
    }
    a.samples.iter().zip(&b.samples).for_each(|(a, b)| assert_same(a, b, what));
}

#[test]
fn one_table_in_every_format_is_one_dataset() {
    let (table, files) = (mixed(3000), Files::new());
    let plain = csv(&table);
    let (strings, dictionary) = (batch(&table, false), batch(&table, true));
    files.write("cut/a.csv", text(&table, ',', 0..700));
    files.write("cut/b.csv.gz", gz(text(&table, ';', 700..701)));
    files.write("cut/c.tsv", text(&table, '\t', 701..3000));
    files.write("groups/1.parquet", parquet(&strings.slice(0, 1001), 500));
    files.write("groups/2.parquet", parquet(&dictionary.slice(1001, 1999), 5000));
    let paths = [
        files.write("plain.csv", &plain),
        files.write("tabs.tsv", text(&table, '\t', 0..3000)),
        files.write("packed.csv.gz", gz(&plain)),
        files.write("members.csv.gz", [gz(&plain[..999]), gz(&plain[999..])].concat()),
        files.write("packed.csv.zst", zst(&plain)),
        files.write("frames.csv.zst", [zst(&plain[..999]), zst(&plain[999..])].concat()),
        files.write("packed.csv.zip", zip(&[plain.as_bytes()], true)),
        files.write("stored.zip", zip(&[plain.as_bytes()], false)),
        files.path("cut"),
        files.path("cut/[abc].*"),
        files.write("strings.parquet", parquet(&strings, 800)),
        files.write("dictionary.parquet", parquet(&dictionary, 1499)),
        files.path("groups/*.parquet"),
        files.write("strings.arrow", arrow(&strings, 3000)),
        files.write("dictionary.feather", arrow(&dictionary, 3000)),
        files.write("stream.arrows", stream(&strings, 450)),
        files.write("dictionary.arrows", stream(&dictionary, 3000)),
    ];
    let mut seen = 0;
    for missing in [Missing::Mean, Missing::Drop] {
        let options = DataOptions { missing, weight: Some("w".into()), ..target("label") };
        let first = read(&paths[0], &options).unwrap();
        assert_eq!(
            first.train.features,
            ["height", "tree=birch tree", "tree=oak", "tree=yew", "tree=Élan", "sunny=true", "day"]
        );
        assert!(matches!(first.design.columns[3], InputColumn::Numeric { date: true, .. }));
        let (dropped, filled) = (first.summary.dropped_rows, first.summary.filled_cells);
        assert!(if missing == Missing::Drop { dropped > 100 } else { dropped == 0 && filled > 200 });
        for path in &paths {
            let (other, what) = (read(path, &options).unwrap(), path.display().to_string());
            assert_eq!(other.design, first.design, "{what}");
            assert_eq!(other.train.features, first.train.features, "{what}");
            let counts = |t: &Training| (t.summary.rows, t.summary.dropped_rows, t.summary.filled_cells);
            assert_eq!(counts(&other), counts(&first), "{what}");
            assert_eq!(other.summary.class_counts, first.summary.class_counts, "{what}");
            assert_same(&other.train, &first.train, &what);
            seen += 1;
        }
    }
    assert_eq!(seen, 34);
}

/// Loads all formats, which must be one dataset, and fits the first and those of `to_fit`, which must be one fit.
fn all_the_same(x: &[Vec<f32>], seed: u64, to_fit: &[usize]) -> Dataset {
    let predictor = |i: usize| 0.01 * f64::from(x[0][i]) - 0.02 * f64::from(x[1][i]);
    let label = |i: usize| u8::from(unit_interval(seed, i as u64) < sigmoid(predictor(i)));
    let y: Vec<u8> = (0..x[0].len()).map(label).collect();
    let files = Files::new();
    let all = every_format_of(&files, x, &y);
    let first = read(&all[0].0, &all[0].1).unwrap().train;
    let fitted = |data: &Dataset| -> Vec<u64> {
        let options = FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() };
        let fit: Fit = fit(data, &options, &Silent).unwrap();
        fit.coefficients.iter().chain([&fit.intercept, &fit.objective]).map(|x| x.to_bits()).collect()
    };
    let of_first = fitted(&first);
    let (mut seen, mut fits) = (0, 0);
    for (n, (path, options)) in all.iter().enumerate().skip(1) {
        let (read, what) = (read(path, options).unwrap(), path.display().to_string());
        assert_eq!(read.train.features, (0..x.len()).map(|j| format!("x{j}")).collect::<Vec<_>>(), "{what}");
        assert_eq!(read.design.target.classes, ["0", "1"], "{what}");
        assert_same(&read.train, &first, &what);
        if to_fit.contains(&n) {
            assert_eq!(fitted(&read.train), of_first, "{what}");
            fits += 1;
        }
        seen += 1;
    }
    assert_eq!((seen, fits), (7, to_fit.len()));
    first
}

#[test]
fn a_small_table_of_numbers_is_one_dataset_and_one_fit_in_every_format() {
    // Numbers of up to nine digits, which have up to seventeen as f64.
    let number =
        |j: usize, i| if j == 4 && i % 3 > 0 { 0.0 } else { (200.0 * unit_interval(j as u64, i) - 90.0) as f32 };
    let x: Vec<Vec<f32>> = (0..5).map(|j| (0..2000).map(|i| number(j, i)).collect()).collect();
    let data = all_the_same(&x, 40, &[1, 2, 3, 4, 5, 6, 7]);
    assert!(data.blocks[0].is_wide());
}

#[test]
fn a_large_table_of_numbers_is_one_dataset_and_one_fit_in_every_format() {
    let quarter = |j, i| (mix(j, i) % 401) as f32 / 4.0 - 50.0;
    let x: Vec<Vec<f32>> = (0..15).map(|j| (0..300_000).map(|i| quarter(j, i)).collect()).collect();
    let data = all_the_same(&x, 41, &[2, 4, 7]);
    assert!(!data.blocks[0].is_wide() && !data.samples.is_empty());
}

#[test]
fn dates_are_days_and_must_be_dates_again_where_rows_are_predicted() {
    let files = Files::new();
    let days = "day,y\n2013-01-31,0\n1969-12-31T12:00:00,1\n2000-02-29 06:00:00+02:00,0\n2024-03-01,1\n";
    let trained = read(&files.write("days.csv", days), &target("y")).unwrap();
    assert_eq!(trained.train.features, ["day"]);
    let expected = [15_736.0, -0.5, 11_016.0 + 4.0 / 24.0, 19_783.0];
    let found = x(&trained.train).concat();
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9) && found.len() == 4, "{found:?}");
    let times = TimestampMillisecondArray::from(vec![Some(0), None, Some(129_600_000)]);
    let texts = StringArray::from(vec![Some("1970-01-01"), None, Some("1970-01-02 12:00")]);
    let mut seen = 0;
    for path in [
        files.write("new.csv", "other,day\n1,1970-01-01\n2,?\n3,1970-01-02T12:00Z\n"),
        files.write("times.parquet", parquet(&columns(vec![("day", Arc::new(times))]), 2)),
        files.write("texts.arrow", arrow(&columns(vec![("day", Arc::new(texts))]), 2)),
    ] {
        let rows = predict(&path, &trained.design).unwrap();
        assert_eq!((x(&rows.data).concat(), rows.missing_rows), (vec![0.0, 0.0, 1.5], vec![1]), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 3);
    let soon = files.write("soon.csv", "day\n2024-03-01\nsoon\n");
    let message = failure(predict(&soon, &trained.design), &soon);
    assert!(message.contains("line 3, column day: 'soon' is not a date (2013-01-31"), "{message}");
    let number: ArrayRef = Arc::new(Float64Array::from(vec![15_736.0]));
    let numbers = files.write("numbers.parquet", parquet(&columns(vec![("day", number)]), 1));
    let message = failure(predict(&numbers, &trained.design), &numbers);
    assert!(message.contains("line 1, column day: '15736' is not a date"), "{message}");

    let labels = files.write("labels.csv", "day,y\n2013-01-31,0\nsoon,1\n2000-02-29,0\n2013-01-31,1\n");
    let labels = read(&labels, &target("y")).unwrap();
    assert_eq!(labels.train.features, ["day=2013-01-31", "day=soon"]);
    assert!(labels.summary.notes[0].contains("line 3 holds 'soon'"), "{:?}", labels.summary.notes);
    assert_eq!(x(&predict(&soon, &labels.design).unwrap().data)[1], [0.0, 1.0]);
}

#[test]
fn columns_that_turn_out_to_be_text_far_down_a_file_are_categorical() {
    let pad = "-".repeat(220);
    let mut table = String::from("sparse,days,late,pad,y\n");
    for i in 0..100_000 {
        let cells = match i {
            0..100 => ["1", "2013-01-31", ""],
            99_990 => ["red", "", ""],
            99_995 => ["", "soon", "x"],
            _ => ["", "", ""],
        };
        writeln!(table, "{},{pad},{}", cells.join(","), i % 2).unwrap();
    }
    assert!(table.len() > 20 << 20);
    let options = DataOptions { missing: Missing::Mean, drop: vec!["pad".into()], ..target("y") };
    let read = read(&Files::new().write("sparse.csv", table), &options);
    let Training { train, summary, .. } = read.unwrap();
    assert_eq!(
        (train.features.as_slice(), train.rows),
        (["sparse=red", "days=soon"].map(String::from).as_slice(), 100_000)
    );
    assert_eq!(summary.filled_cells, 300_000 - 203);
    let says = |column: &str, what: &str| summary.notes.iter().any(|n| n.contains(column) && n.contains(what));
    assert!(says("column sparse is categorical", "line 99992 holds 'red'"), "{:?}", summary.notes);
    assert!(says("column days is categorical", "line 99997 holds 'soon'"), "{:?}", summary.notes);
    assert!(says("column late", "one level only ('x')") && !says("late", "categorical"), "{:?}", summary.notes);
}

#[test]
fn too_many_levels_are_an_error_or_hashed() {
    let files = Files::new();
    let mut text = String::from("c,k,y\n");
    (0..600).for_each(|i| writeln!(text, "L{},{},{}", i % 30, i % 3, mix(9, i) % 2).unwrap());
    let path = files.write("levels.csv", text);
    let limited = DataOptions { max_levels: 20, categorical: vec!["k".into()], ..target("y") };
    let message = read(&path, &limited).unwrap_err().to_string();
    for part in ["column c has more than 20 levels", "--drop c", "--max-levels", "--hash-bits"] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    assert_eq!(read(&path, &DataOptions { max_levels: 30, ..limited.clone() }).unwrap().train.features.len(), 31);
    let full = DataOptions { hash_bits: Some(3), encoding: Encoding::Full, ..limited.clone() };
    assert_eq!(read(&path, &full).unwrap().train.features[..2], ["c#0", "c#1"]);
    let hashed = DataOptions { hash_bits: Some(3), ..limited };
    let Training { train, design, .. } = read(&path, &hashed).unwrap();
    assert_eq!(train.features, ["c#1", "c#2", "c#3", "c#4", "c#5", "c#6", "c#7", "k=1", "k=2"]);

    let options = FitOptions { device: DeviceRequest::Cpu, l2: 1.0, ..FitOptions::default() };
    let model = fit(&train, &options, &Silent).unwrap().model(&train, &design, &options, 0);
    model.save(&files.path("m.json")).unwrap();
    let loaded = Model::load(&files.path("m.json")).unwrap();
    assert_eq!(loaded.design, design);
    let mut text = String::from("k,c\n");
    (0..60).for_each(|i| writeln!(text, "0,{}{}", if i < 30 { "L" } else { "unseen" }, i % 30).unwrap());
    let rows = predict(&files.write("new.csv", text), &loaded.design).unwrap();
    assert_eq!(rows.missing_rows, [0usize; 0]);
    let values = x(&rows.data);
    assert_eq!(
        values[..30].iter().map(|row| &row[..7]).collect::<Vec<_>>(),
        x(&train)[..30].iter().map(|row| &row[..7]).collect::<Vec<_>>()
    );
    let groups: Vec<Vec<f64>> = values[30..].to_vec();
    assert!(groups.iter().all(|row| row.iter().sum::<f64>() <= 1.0 && row.iter().all(|x| [0.0, 1.0].contains(x))));
    let hit = (0..7).filter(|group| groups.iter().any(|row| row[*group] == 1.0)).count();
    assert!(hit >= 5, "{hit} of 7 groups hold the 30 levels that training did not have");
    let predictors = |model: &Model| {
        let device = Device::open(&DeviceRequest::Cpu, &GpuOptions::default()).unwrap();
        model.linear_predictors(&rows.data, &device).unwrap().0
    };
    assert_eq!(predictors(&loaded), predictors(&model));
}

#[test]
fn files_cut_anywhere_are_one_clear_error_each() {
    let (table, files) = (mixed(2000), Files::new());
    let (plain, rows) = (csv(&table), batch(&table, true));
    let options = DataOptions { missing: Missing::Mean, ..target("label") };
    let whole = [
        ("t.csv.gz", gz(&plain)),
        ("t.csv.zst", zst(&plain)),
        ("t.csv.zip", zip(&[plain.as_bytes()], true)),
        ("t.parquet", parquet(&rows, 700)),
        ("t.arrow", arrow(&rows, 700)),
        ("t.arrows", stream(&rows, 2000)),
    ];
    let mut seen = 0;
    for (name, bytes) in whole {
        assert_eq!(read(&files.write(name, &bytes), &options).unwrap().train.rows, 2000);
        for length in (0..40).map(|part| part * bytes.len() / 40).chain([bytes.len() - 1]) {
            let path = files.write(name, &bytes[..length]);
            failure(read(&path, &options), &path);
            seen += 1;
        }
    }
    assert_eq!(seen, 246);
}

#[test]
fn an_archive_must_hold_one_whole_file() {
    let (table, files) = (mixed(500), Files::new());
    let (plain, options) = (csv(&table), DataOptions { missing: Missing::Mean, ..target("label") });
    for (archive, held) in [(zip(&[], true), 0), (zip(&[plain.as_bytes(), b"a,b"], true), 2)] {
        let path = files.write("t.zip", archive);
        assert!(
            failure(read(&path, &options), &path).contains(&format!("the zip archive holds {held} files; unpack it"))
        );
    }
    // A digit that became another one is still a table, but not the one that was packed.
    let mut archive = zip(&[plain.as_bytes()], false);
    let at = archive.windows(4).rposition(|four| four.iter().all(u8::is_ascii_digit)).unwrap();
    archive[at] ^= 1;
    let path = files.write("t.csv.zip", archive);
    failure(read(&path, &options), &path);
}

#[test]
fn files_of_a_wrong_ending_are_one_clear_error_each() {
    let (table, files) = (mixed(50), Files::new());
    let rows = batch(&table, false);
    let contents = [
        ("csv", csv(&table).into_bytes()),
        ("parquet", parquet(&rows, 50)),
        ("arrow", arrow(&rows, 50)),
        ("npy", npy("<f4", false, "2, 1", &[0; 8])),
        ("svm", b"1 1:1\n0 1:2\n".to_vec()),
    ];
    let labels = files.write("y.npy", npy("|u1", false, "2,", &[0, 1]));
    let mut seen = 0;
    for (is, bytes) in &contents {
        for (named, _) in contents.iter().filter(|(named, _)| named != is) {
            let path = files.write(&format!("{is}.{named}"), bytes);
            let beside = DataOptions { target_file: Some(labels.clone()), ..DataOptions::default() };
            let message = failure(read(&path, &if *named == "npy" { beside } else { target("label") }), &path);
            let said = match (*is, *named) {
                (_, "parquet") => "this is not a Parquet file",
                (_, "arrow") => "this is not an Arrow (Feather) file",
                (_, "npy") => "this is not a NumPy array file",
                ("parquet" | "arrow" | "npy", "csv") => &format!("--format {is}"),
                ("svm", _) => "has no column 'label'",
                ("csv", _) => "is no INDEX:VALUE",
                _ => "line 1: this is not UTF-8 text",
            };
            assert!(message.contains(said), "{said} is not in: {message}");
            seen += 1;
        }
    }
    assert_eq!(seen, 20);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let files = Files::new();
    let cases: [(&str, &[u8], &str); 5] = [
        ("latin.csv", b"a,label\n1,0\n2,1\n\"caf\xe9\",1\n", "line 4: this is not UTF-8 text"),
        ("header.csv", b"caf\xe9,label\n1,0\n", "line 1: this is not UTF-8 text"),
        ("latin.svm", b"1 1:1\n0 1:2\n\xe9 1:1\n", "line 3: this is not UTF-8 text"),
        ("short.csv", b"a,b,label\n1,2,0\n\n3,1\n", "line 4: expected 3 cells as on the first line, found 2"),
        ("order.svm", b"1 1:1\n0 2:2 1:1\n", "line 2: index 1 follows 2; indices must ascend"),
    ];
    let mut seen = 0;
    for (name, bytes, said) in cases {
        let path = files.write(name, bytes);
        let message = failure(read(&path, &target("label")), &path);
        assert!(message.contains(said), "{said} is not in: {message}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn columns_are_found_by_name_in_any_order_and_only_those_used_must_be_there() {
    let (mut table, files) = (mixed(300), Files::new());
    let options = DataOptions { missing: Missing::Mean, ..target("label") };
    let ordered = read(&files.write("ordered.parquet", parquet(&batch(&table, false), 300)), &options).unwrap();
    let halves = |table: &Table| [batch(table, false).slice(0, 100), batch(table, true).slice(100, 200)];
    let first = files.write("halves/1.arrow", arrow(&halves(&table)[0], 100));
    table.reverse();
    files.write("halves/2.arrow", arrow(&halves(&table)[1], 100));
    assert_same(&read(&files.path("halves"), &options).unwrap().train, &ordered.train, "halves");

    let lists: ListArray = ListArray::from_iter_primitive::<Int32Type, _, _>((0..300).map(|i| Some([Some(i), None])));
    let mut arrays: Vec<(&str, ArrayRef)> = table.iter().map(|(name, c)| (name.as_str(), c.array(false))).collect();
    arrays.push(("tags", Arc::new(lists)));
    let listed = files.write("lists.parquet", parquet(&columns(arrays), 100));
    let message = failure(read(&listed, &options), &listed);
    assert!(message.contains("column tags: values of type List") && message.contains("--drop 'tags'"), "{message}");
    let dropped = read(&listed, &DataOptions { drop: vec!["tags".into()], ..options.clone() }).unwrap();
    assert_eq!((dropped.train.rows, dropped.design.columns.len()), (300, 5));

    let mut seen = 0;
    let expected = x(&ordered.train);
    for path in [&listed, &files.write("reversed.csv", csv(&table)), &files.path("halves")] {
        assert_eq!(x(&predict(path, &ordered.design).unwrap().data), expected, "{}", path.display());
        seen += 1;
    }
    table.retain(|(name, _)| name != "tree");
    let narrow = batch(&table, false);
    for (name, bytes) in
        [("n.csv", csv(&table).into_bytes()), ("n.parquet", parquet(&narrow, 50)), ("n.arrow", arrow(&narrow, 50))]
    {
        let path = files.write(name, bytes);
        let message = failure(predict(&path, &ordered.design), &path);
        assert!(message.contains("the model") && message.contains("has no column 'tree'"), "{message}");
        let message = failure(load_training(&[first.clone(), path.clone()], &options, &Silent), &path);
        assert!(message.contains(if name == "n.arrow" { "it lacks tree" } else { "different formats" }), "{message}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

#[test]
fn svmlight_is_counted_from_0_or_1_and_predicted_however_wide() {
    let files = Files::new();
    let ones = read(&files.write("1.svm", "1 1:0.5 3:2\n-1 2:1 # note\n1 qid:4 3:-1\n"), &target("label")).unwrap();
    let zeros = files.write("0.svm.gz", gz("1 0:0.5 2:2\n-1 1:1\n1 2:-1\n"));
    let zeros = read(&zeros, &DataOptions::default()).unwrap();
    assert_eq!(
        (&ones.train.features[..], &zeros.train.features[..]),
        (&["x1", "x2", "x3"].map(String::from)[..], &["x0", "x1", "x2"].map(String::from)[..])
    );
    assert_same(&ones.train, &zeros.train, "0.svm.gz");
    assert_eq!(x(&ones.train), [[0.5, 0.0, 2.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]);
    assert_eq!(ones.design.target, zeros.design.target);
    assert_eq!(
        (ones.design.target.name.as_deref(), &ones.design.target.classes),
        (Some("label"), &vec!["-1".into(), "1".into()])
    );
    let cases: [(&Design, &str, &[[f64; 3]], &str); 5] = [
        (&ones.design, "0 1:4\n0\n", &[[4.0, 0.0, 0.0], [0.0; 3]], ""),
        (&ones.design, "0 1:1 7:9\n0 3:2 5:1\n", &[[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]], "x4, x5, x6, x7"),
        (&ones.design, "0 0:8 2:1\n", &[[0.0, 1.0, 0.0]], "not use: x0"),
        (&zeros.design, "0 1:4\n", &[[0.0, 4.0, 0.0]], ""),
        (&zeros.design, "0 0:1 3:1\n", &[[1.0, 0.0, 0.0]], "not use: x3"),
    ];
    let mut seen = 0;
    for (design, text, expected, note) in cases {
        let path = files.write("new.svm", text);
        let (rows, summary) = load_rows(&[path], design, &ReadOptions::default(), &Silent).unwrap();
        assert_eq!(x(&rows.data), expected, "{text}");
        let notes = summary.notes.concat();
        assert!(if note.is_empty() { notes.is_empty() } else { notes.contains(note) }, "{text}: {notes}");
        seen += 1;
    }
    assert_eq!(seen, 5);
    let labelled = ReadOptions { with_target: true, ..ReadOptions::default() };
    let (rows, _) = load_rows(&[files.write("l.svm", "-1 1:1\n+1 2:1\n")], &zeros.design, &labelled, &Silent).unwrap();
    assert_eq!(rows.data.blocks[0].vectors().unwrap().target.iter().collect::<Vec<_>>(), [0.0, 1.0]);
}

#[test]
fn files_are_read_within_a_pool_of_one_thread_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.csv");
    std::fs::write(&path, "a,y\n1,0\n2,1\n3,0\n").unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| read(&path, &target("y"))).unwrap().train.rows, 3);
}
