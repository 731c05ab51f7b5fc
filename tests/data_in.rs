//! Files to datasets through the public interface: every rule of the **Columns** contract, and each error's text.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gpulogit::data::{
    ClassWeight, DataOptions, Dataset, Design, Encoding, Format, InputColumn, Missing, ReadOptions, ReadSummary, Rows,
    Target, Training, load_rows, load_training,
};
use gpulogit::error::Result;
use gpulogit::monitor::{Event, Monitor, Silent};
use tempfile::TempDir;

/// A folder of files that a test writes.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn target(name: &str) -> DataOptions {
    DataOptions { target: Some(name.to_string()), ..DataOptions::default() }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A design of numeric columns, as from a fit of arrays.
fn numeric(names: &[&str]) -> Design {
    Design {
        columns: names
            .iter()
            .map(|name| InputColumn::Numeric { name: name.to_string(), fill: None, date: false })
            .collect(),
        target: Target { name: None, classes: vec!["0".into(), "1".into()], cut: None },
        weight: None,
        offset: None,
        missing: Missing::Error,
        header: true,
    }
}

fn train(text: &str, options: &DataOptions) -> Result<Training> {
    let files = Files::new();
    load_training(&[files.write("d.csv", text)], options, &Silent)
}

/// The message of what must be an error.
fn failure<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have been an error"),
        Err(error) => error.to_string(),
    }
}

/// Rows for a model, and what reading them met.
struct Loaded {
    data: Dataset,
    missing_rows: Vec<usize>,
    kept: Vec<(String, Vec<String>)>,
    summary: ReadSummary,
}

fn load(paths: &[PathBuf], design: &Design, options: &ReadOptions) -> Result<Loaded> {
    let (Rows { data, missing_rows, kept, .. }, summary) = load_rows(paths, design, options, &Silent)?;
    Ok(Loaded { data, missing_rows, kept, summary })
}

fn rows_of(text: &str, design: &Design, options: &ReadOptions) -> Result<Loaded> {
    let files = Files::new();
    load(&[files.write("p.csv", text)], design, options)
}

/// X in original units, row by row.
fn x(data: &Dataset) -> Vec<Vec<f64>> {
    let value = |block: &gpulogit::data::RowBlock, i, j: usize| {
        block.value(i, j) * data.columns[j].scale + data.columns[j].centre
    };
    let mut rows = Vec::new();
    for block in data.blocks.iter().map(|block| block.here().unwrap()) {
        rows.extend((0..block.rows()).map(|i| (0..block.features()).map(|j| value(block, i, j)).collect::<Vec<f64>>()));
    }
    assert_eq!(rows.len(), data.rows);
    rows
}

fn vector(data: &Dataset, get: impl Fn(&gpulogit::data::RowBlock) -> Vec<f64>) -> Vec<f64> {
    data.blocks
        .iter()
        .map(|block| block.here().unwrap())
        .flat_map(|block| get(block)[..block.rows()].to_vec())
        .collect()
}

fn targets(data: &Dataset) -> Vec<f64> {
    vector(data, |block| block.target().iter().collect())
}

fn weights(data: &Dataset) -> Vec<f64> {
    vector(data, |block| block.weight().iter().collect())
}

/// A .npy file of version 1.
fn npy(dtype: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

fn f4(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn f8(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn one_table_in_every_dialect_is_one_dataset() {
    let plain = "a,b,y\n1,x,0\n-2.5,z,1\n3,x,1\n";
    let dialects = [
        ("comma.csv", plain.to_string()),
        ("semicolon.csv", plain.replace(',', ";")),
        ("tab.csv", plain.replace(',', "\t")),
        ("tab.tsv", plain.replace(',', "\t")),
        ("pipe.txt", plain.replace(',', "|")),
        ("blanks.csv", plain.replace(',', " , ")),
        ("crlf.csv", plain.replace('\n', "\r\n")),
        ("cr.csv", plain.replace('\n', "\r")),
        ("bom.csv", format!("\u{feff}{plain}")),
        ("blank-lines.csv", plain.replace('\n', "\n\n  \n")),
        ("quoted.csv", "\"a\",\"b\",\"y\"\n\"1\",\"x\",\"0\"\n\"-2.5\",\"z\",\"1\"\n\"3\",\"x\",\"1\"".to_string()),
        ("blank-quoted.csv", "a, \"b\",y\n1, \"x\",0\n-2.5,  \"z\" ,1\n 3,\t\"x\", \"1\"\n".to_string()),
        ("single.csv", "a,b,y\n'1',x,'0'\n-2.5,z,1\n3,x,'1'\n".to_string()),
    ];
    let files = Files::new();
    let mut seen = 0;
    for (name, text) in dialects {
        let read = load_training(&[files.write(name, text)], &target("y"), &Silent).unwrap();
        assert_eq!(read.train.features, ["a", "b=z"], "{name}");
        assert_eq!(x(&read.train), [[1.0, 0.0], [-2.5, 1.0], [3.0, 0.0]], "{name}");
        assert_eq!(targets(&read.train), [0.0, 1.0, 1.0], "{name}");
        assert_eq!(read.summary.rows, 3, "{name}");
        assert_eq!(read.summary.class_counts, [1, 2], "{name}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn every_unusable_file_has_one_clear_error() {
    let cases: [(&str, &[u8], &str); 14] = [
        ("empty.csv", b"", "the file is empty"),
        ("blank.csv", b"\n  \n\n", "the file is empty"),
        ("header.csv", b"a,y\n", "there is a header but no row"),
        ("ragged.csv", b"a,y\n1,0\n\"2\n2\",1\n3\n", "line 5: expected 2 cells as on the first line, found 1"),
        ("long.csv", b"a,y\n1,0,5\n", "line 2: expected 2 cells as on the first line, found 3"),
        ("nul.csv", b"a,y\n1,0\n\0,1\n", "line 3: this is not UTF-8 text"),
        ("latin.csv", b"a,y\n1,0\n\xe9,1\n", "line 3: this is not UTF-8 text"),
        ("gzip.csv", b"\x1f\x8b\x08\0", "unexpected end"),
        ("utf16.csv", b"\xff\xfea\0,\0", "UTF-16"),
        ("twice.csv", b"a,a,y\n1,2,0\n", "line 1: two columns are named 'a'"),
        ("open.csv", b"a,y\n\"1,0\n2,1\n", "line 2: a quote that opens in this row is never closed"),
        ("infinite.csv", b"a,y\n1,0\n1e999,1\n", "line 3, column a: the value is infinite or too large"),
        (
            "gap.csv",
            b"a,y\n1,0\n,1\n",
            "line 3, column a: the value is missing; --missing drop leaves such rows out and",
        ),
        ("label.csv", b"a,y\n1,0\n2,NA\n3,?\n", "line 3, column y: the value is missing; --missing drop leaves such"),
    ];
    let files = Files::new();
    let mut seen = 0;
    for (name, bytes, expected) in cases {
        let message = failure(load_training(&[files.write(name, bytes)], &target("y"), &Silent));
        assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
        seen += 1;
    }
    assert_eq!(seen, 14);
    let absent = failure(load_training(&[files.0.path().join("no.csv")], &target("y"), &Silent));
    assert!(absent.contains("no.csv"), "{absent}");
    let sheet = failure(load_training(&["a.xlsx".into()], &target("y"), &Silent));
    assert!(sheet.contains(".xlsx files are not read"), "{sheet}");
    assert!(failure(load_training(&[], &target("y"), &Silent)).contains("no data file"));
}

#[test]
fn several_files_are_matched_by_name() {
    let files = Files::new();
    let first = files.write("1.csv", "a,b,y\n1,10,0\n2,20,1\n");
    let second = files.write("2.csv", "y;b;a\n1;30;3\n");
    let read = load_training(&[first.clone(), second], &target("y"), &Silent).unwrap();
    assert_eq!(x(&read.train), [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]);
    assert_eq!(targets(&read.train), [0.0, 1.0, 1.0]);
    let other = files.write("3.csv", "y,c,a\n1,30,3\n");
    let message = failure(load_training(&[first.clone(), other], &target("y"), &Silent));
    assert!(
        message.contains("3.csv: its columns differ") && message.contains("it lacks b and has c besides"),
        "{message}"
    );
    let bad = files.write("4.csv", "a,b,y\n1,2,3\nNA,2,0\n");
    let message = failure(load_training(&[first.clone(), bad], &target("y"), &Silent));
    assert!(message.contains("4.csv, line 3, column a: the value is missing"), "{message}");
    let array = files.write("5.npy", npy("<f4", false, "(1, 1)", &f4(&[1.0])));
    let message = failure(load_training(&[first, array], &target("y"), &Silent));
    assert!(message.contains("cannot be read together"), "{message}");
}

#[test]
fn unknown_columns_are_answered_with_the_nearest() {
    let text = "survived,sex,age\nyes,f,1\nno,m,2\n";
    let message = failure(train(text, &target("Survivd")));
    assert!(
        message.contains("--target") && message.contains("did you mean 'survived'?") && message.contains("sex, age"),
        "{message}"
    );
    let cases = [
        (DataOptions { weight: Some("w".into()), ..target("survived") }, "--weight"),
        (DataOptions { offset: Some("o".into()), ..target("survived") }, "--offset"),
        (DataOptions { features: strings(&["agee"]), ..target("survived") }, "--features"),
        (DataOptions { drop: strings(&["agee"]), ..target("survived") }, "--drop"),
        (DataOptions { categorical: strings(&["agee"]), ..target("survived") }, "--categorical"),
    ];
    let named = cases.iter().filter(|(options, option)| failure(train(text, options)).contains(option)).count();
    assert_eq!(named, 5);
    let message = failure(train("1,0\n2,1\n", &target("c2")));
    assert!(message.contains("is --no-header missing?"), "{message}");
    let message = failure(train("a,b\n1,2\n", &DataOptions::default()));
    assert!(message.contains("--target"), "{message}");
}

#[test]
fn without_a_header_columns_are_numbered() {
    let options = DataOptions { no_header: true, ..target("c3") };
    let read = train("1,5,0\n2,6,1\n", &options).unwrap();
    assert_eq!(read.train.features, ["c1", "c2"]);
    assert_eq!(x(&read.train), [[1.0, 5.0], [2.0, 6.0]]);
    assert!(!read.design.header);
    let rows = rows_of("7,8\n", &read.design, &ReadOptions::default()).unwrap();
    assert_eq!(x(&rows.data), [[7.0, 8.0]]);
    let headed = ReadOptions { no_header: Some(false), ..ReadOptions::default() };
    assert_eq!(x(&rows_of("c2,c1\n8,7\n", &read.design, &headed).unwrap().data), [[7.0, 8.0]]);
}

#[test]
fn a_numeric_column_stays_one_and_says_how_to_change_that() {
    let mut text = String::from("a,y\n");
    for i in 0..10_000 {
        text.push_str(&format!("{i},{}\n", i % 2));
    }
    let message = failure(train(&format!("{text}oops,1\n"), &target("y")));
    assert!(message.contains("line 10002, column a: 'oops' is not a number"), "{message}");
    assert!(message.contains("--categorical a"), "{message}");
    let message = failure(train(&format!("{text}inf,1\n"), &target("y")));
    assert!(
        message.contains("line 10002, column a: the value is infinite or too large for a number ('inf')"),
        "{message}"
    );
    let early = train("a,y\n1,0\n2,1\nx,1\n", &target("y")).unwrap();
    assert_eq!(early.train.features, ["a=2", "a=x"]);
    assert!(early.summary.notes.iter().any(|n| n.contains("line 4 holds 'x' among numbers")), "{:?}", early.summary);
}

#[test]
fn levels_are_encoded_in_order() {
    let text = "c,n,t,y\nb,10,true,0\nä,9,false,1\nb,-1,TRUE,1\n";
    let options = DataOptions { categorical: strings(&["n"]), encoding: Encoding::Full, ..target("y") };
    let read = train(text, &options).unwrap();
    assert_eq!(read.train.features, ["c=b", "c=ä", "n=-1", "n=9", "n=10", "t=TRUE", "t=false", "t=true"]);
    assert_eq!(x(&read.train)[1], [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
    let reference = train(text, &DataOptions { encoding: Encoding::Reference, ..options }).unwrap();
    assert_eq!(reference.train.features, ["c=ä", "n=9", "n=10", "t=false", "t=true"]);
    let single = train("c,y\nk,0\nk,1\n", &target("y")).unwrap();
    assert_eq!((single.train.features.len(), single.train.rows), (0, 2));
    assert!(single.summary.notes.iter().any(|n| n.contains("one level only ('k')")), "{:?}", single.summary);
    let full = train("c,y\nk,0\nk,1\n", &DataOptions { encoding: Encoding::Full, ..target("y") }).unwrap();
    assert_eq!(x(&full.train), [[1.0], [1.0]]);
    let message = failure(train("c,c=b,y\na,1,0\nb,2,1\n", &target("y")));
    assert!(message.contains("two features would be named 'c=b'"), "{message}");
}

#[test]
fn missing_values_follow_the_policy() {
    let text = "a,c,y,w\n1,p,0,1\nNA,p,1,1\n4,?,1,1\n7,q,0,1\n9,q,NA,1\n9,q,1,.\n";
    let options = |missing| DataOptions { missing, weight: Some("w".into()), ..target("y") };
    let dropped = train(text, &options(Missing::Drop)).unwrap_err().to_string();
    assert!(dropped.contains("one class only, '0'"), "{dropped}");
    let drop = train(&text.replace("7,q,0", "7,q,1"), &options(Missing::Drop)).unwrap();
    assert_eq!(x(&drop.train), [[1.0, 0.0], [7.0, 1.0]]);
    assert_eq!((drop.summary.rows, drop.summary.dropped_rows, drop.summary.filled_cells), (6, 4, 0));
    let mean = train(text, &options(Missing::Mean)).unwrap();
    let third = 1.0 / 3.0;
    assert_eq!(x(&mean.train), [[1.0, 0.0], [4.0, 0.0], [4.0, third], [7.0, 1.0]]);
    assert_eq!((mean.summary.rows, mean.summary.dropped_rows, mean.summary.filled_cells), (6, 2, 2));
    let message = failure(train(text, &options(Missing::Error)));
    assert!(message.contains("line 3, column a") && message.contains("--missing mean"), "{message}");
    let message = failure(train("a,b,y\n1,NA,0\n2,,1\n", &options_drop()));
    assert!(message.contains("column b: all values are missing") && message.contains("--drop b"), "{message}");
    let message = failure(train("a,b,y\n1,NA,0\nNA,2,1\n", &options_drop()));
    assert!(message.contains("every row has a missing value"), "{message}");
}

fn options_drop() -> DataOptions {
    DataOptions { missing: Missing::Drop, ..target("y") }
}

#[test]
fn the_order_of_rows_never_changes_which_label_is_1() {
    let pairs = [("0", "1"), ("-1", "1"), ("1", "2"), ("9", "10"), ("false", "True"), ("no", "yes"), ("True", "zebra")];
    let expected = ["1", "1", "2", "10", "True", "yes", "True"];
    let mut seen = 0;
    for ((a, b), positive) in pairs.into_iter().zip(expected) {
        for (first, second) in [(a, b), (b, a)] {
            let read = train(&format!("v,y\n1,{first}\n2,{second}\n3,{first}\n"), &target("y")).unwrap();
            assert_eq!(read.design.target.classes[1], positive);
            let is_positive = |label: &str| f64::from(u8::from(label == positive));
            assert_eq!(targets(&read.train), [first, second, first].map(is_positive));
            seen += 1;
        }
    }
    assert_eq!(seen, 14);
    let chosen = train("v,y\n1,0\n2,1\n", &DataOptions { positive: Some("0".into()), ..target("y") }).unwrap();
    assert_eq!(targets(&chosen.train), [1.0, 0.0]);
    let message = failure(train("v,y\n1,a\n2,b\n", &DataOptions { positive: Some("c".into()), ..target("y") }));
    assert!(message.contains("--positive c: the labels are 'a' and 'b'"), "{message}");
    let message = failure(train("v,y\n1,a\n2,a\n", &target("y")));
    assert!(message.contains("target y: there is one class only, 'a'"), "{message}");
    let three = train("v,y\n1,5\n2,3\n3,4\n4,5\n", &target("y")).unwrap();
    assert_eq!((three.train.classes, &three.design.target.classes), (3, &vec!["3".into(), "4".into(), "5".into()]));
    assert_eq!((targets(&three.train), three.summary.class_counts), (vec![2.0, 0.0, 1.0, 2.0], vec![1, 1, 2]));
    let message = failure(train("v,y\n1,1\n2,2\n3,3.5\n", &target("y")));
    assert!(message.contains("the labels '1', '2', '3.5' are fractions"), "{message}");
}

#[test]
fn weights_offsets_and_class_weights_reach_the_rows() {
    let text = "a,w,o,y\n1,1,0.5,0\n2,0,-1,1\n3,3,0,1\n4,1,2,0\n";
    let options = DataOptions { weight: Some("w".into()), offset: Some("o".into()), ..target("y") };
    let read = train(text, &options).unwrap();
    assert_eq!(weights(&read.train), [1.0, 0.0, 3.0, 1.0]);
    assert_eq!(read.train.weight_sum, 5.0);
    assert_eq!(read.train.features, ["a"]);
    assert_eq!(vector(&read.train, |b| b.offset().unwrap().iter().collect()), [0.5, -1.0, 0.0, 2.0]);
    let balanced = train(text, &DataOptions { class_weight: ClassWeight::Balanced, ..options.clone() }).unwrap();
    let sums = |k: f64| {
        let of_class = |(t, s): (f64, f64)| if t == k { s } else { 0.0 };
        targets(&balanced.train).into_iter().zip(weights(&balanced.train)).map(of_class).sum::<f64>()
    };
    assert!((sums(0.0) - 2.5).abs() < 1e-12 && (sums(1.0) - 2.5).abs() < 1e-12);
    let labels = |list: &[(&str, f64)]| DataOptions {
        class_weight: ClassWeight::Labels(list.iter().map(|(l, x)| (l.to_string(), *x)).collect()),
        ..options.clone()
    };
    assert_eq!(weights(&train(text, &labels(&[("1.0", 2.0)])).unwrap().train), [1.0, 0.0, 6.0, 1.0]);
    assert!(failure(train(text, &labels(&[("2", 2.0)]))).contains("--class-weight 2: the labels are '0' and '1'"));
    assert!(failure(train(text, &labels(&[("1", 0.0)]))).contains("finite and positive"));
    assert!(failure(train(text, &labels(&[("1", 2.0), ("1.0", 3.0)]))).contains("twice"));
    let message = failure(train(&text.replace("3,3", "3,-3"), &options));
    assert!(message.contains("line 4, column w: '-3' cannot be a weight"), "{message}");
    let message = failure(train(&text.replace("0.5", "x"), &options));
    assert!(message.contains("line 2, column o: 'x' is not a number; an offset"), "{message}");
    let message = failure(train(&text.replace("3,3", "3,0"), &options));
    assert!(message.contains("class '1' have a total weight of 0"), "{message}");
}

#[test]
fn rows_of_weight_zero_teach_nothing() {
    let text = "c,w,y\nm,1,0\nn,1,1\na,0,1\n";
    let read = train(text, &DataOptions { weight: Some("w".into()), ..target("y") }).unwrap();
    assert_eq!(read.train.features, ["c=n"]);
    assert_eq!(read.train.rows, 3);
}

#[test]
fn no_feature_at_all_is_a_dataset() {
    let read = train("y\n0\n1\n1\n", &target("y")).unwrap();
    assert_eq!((read.train.features.len(), read.train.rows), (0, 3));
    assert_eq!(targets(&read.train), [0.0, 1.0, 1.0]);
    let rows = rows_of("z\n5\n6\n", &read.design, &ReadOptions::default()).unwrap();
    assert_eq!(rows.data.rows, 2);
}

#[test]
fn the_holdout_is_a_share_of_the_rows_and_teaches_nothing() {
    let mut text = String::from("a,c,y\n");
    for i in 0..2000 {
        // Every row has a level of its own kind but for the shared ones, so that some are held out unseen.
        let level = if i % 100 == 0 { format!("rare{i}") } else { "common".to_string() };
        text.push_str(&format!("{i},{level},{}\n", i % 2));
    }
    let options = DataOptions { holdout: Some(0.25), seed: 7, ..target("y") };
    let read = train(&text, &options).unwrap();
    let holdout = read.holdout.as_ref().unwrap();
    let left_out = holdout.missing_rows.len();
    assert_eq!(read.train.rows + holdout.data.rows, 2000);
    assert!((holdout.data.rows as f64 - 500.0).abs() < 80.0, "{}", holdout.data.rows);
    assert!(left_out > 0 && read.summary.notes.iter().any(|n| n.contains(&format!("{left_out} held-out rows"))));
    assert_eq!(read.train.features.len() + left_out, 1 + 20, "a level per rare row, 'common' the reference");
    let again = train(&text, &options).unwrap();
    assert_eq!(x(&again.train), x(&read.train));
    let other = train(&text, &DataOptions { seed: 8, ..options.clone() }).unwrap();
    assert_ne!(x(&other.train), x(&read.train));
    let filled = train(&text, &DataOptions { missing: Missing::Mean, ..options.clone() }).unwrap();
    assert_eq!(filled.train.rows + filled.holdout.unwrap().data.rows, 2000);
    assert_eq!(filled.summary.filled_cells, left_out as u64);
    match &filled.design.columns[0] {
        InputColumn::Numeric { fill: Some(fill), .. } => {
            let mean = x(&filled.train).iter().map(|row| row[0]).sum::<f64>() / filled.train.rows as f64;
            assert!((fill - mean).abs() < 1e-9);
        }
        other => panic!("{other:?}"),
    }
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        let message = failure(train(&text, &DataOptions { holdout: Some(fraction), ..options.clone() }));
        assert!(message.contains("--holdout"), "{message}");
    }
    let message = failure(train("a,y\n1,0\n2,1\n", &DataOptions { holdout: Some(0.5), ..target("y") }));
    assert!(message.contains("change --holdout or --seed"), "{message}");
}

#[test]
fn rows_for_a_model_are_matched_by_name_and_none_disappears() {
    let model = train("a,c,y\n1,p,no\n2,q,yes\n3,r,yes\n", &target("y")).unwrap().design;
    let text = "id,c,extra,a\nr1,q,0,10\nr2,z,0,20\nr3,r,0,NA\nr4,p,0,40\nr5,z,0,50\n";
    let options = ReadOptions { keep: strings(&["id", "a"]), ..ReadOptions::default() };
    let rows = rows_of(text, &model, &options).unwrap();
    assert_eq!(rows.data.features, ["a", "c=q", "c=r"]);
    assert_eq!(rows.data.rows, 5);
    assert_eq!(rows.missing_rows, [1, 2, 4]);
    assert_eq!(x(&rows.data)[0], [10.0, 1.0, 0.0]);
    assert_eq!(x(&rows.data)[3], [40.0, 0.0, 0.0]);
    assert_eq!(rows.kept[0], ("id".to_string(), strings(&["r1", "r2", "r3", "r4", "r5"])));
    assert_eq!(rows.kept[1].1[2], "NA");
    let notes = &rows.summary.notes;
    assert!(notes.iter().any(|n| n.contains("column c: 2 cells are of a level") && n.contains("'z' (2)")), "{notes:?}");
    assert!(notes.iter().any(|n| n.contains("does not use: extra")), "{notes:?}");

    let mean = train("a,c,y\n1,p,no\n2,q,yes\n3,r,yes\n", &DataOptions { missing: Missing::Mean, ..target("y") });
    let filled = rows_of(text, &mean.unwrap().design, &ReadOptions::default()).unwrap();
    assert!(filled.missing_rows.is_empty());
    assert_eq!(filled.summary.filled_cells, 3);
    let third = 1.0 / 3.0;
    assert_eq!(x(&filled.data)[1..3], [[20.0, third, third], [2.0, 0.0, 1.0]]);

    let lacking = rows_of("a,c\nNA,NA\n", &model, &ReadOptions::default()).unwrap();
    assert_eq!(lacking.missing_rows, [0]);

    let message = failure(rows_of("a,d\n1,p\n", &model, &ReadOptions::default()));
    assert!(message.contains("p.csv has no column 'c'") && message.contains("the model"), "{message}");
    let message = failure(rows_of("a,c\nx,p\n", &model, &ReadOptions::default()));
    assert!(message.contains("line 2, column a: 'x' is not a number"), "{message}");
    let keep = ReadOptions { keep: strings(&["ide"]), ..ReadOptions::default() };
    let message = failure(rows_of(text, &model, &keep));
    assert!(message.contains("--keep") && message.contains("did you mean 'id'"), "{message}");
    let message = failure(rows_of("a,c\n", &model, &ReadOptions::default()));
    assert!(message.contains("no row"), "{message}");
    let mut damaged = model.clone();
    damaged.target.classes[0] = "yes".into();
    assert!(failure(rows_of(text, &damaged, &ReadOptions::default())).contains("unusable"));
}

#[test]
fn labelled_rows_for_a_model_need_its_labels() {
    let options = DataOptions { weight: Some("w".into()), ..target("y") };
    let model = train("a,w,y\n1,1,no\n2,2,yes\n", &options).unwrap().design;
    let labelled = ReadOptions { with_target: true, ..ReadOptions::default() };
    let rows = rows_of("y,a,w\nyes,1,5\nno.,2,1\n", &model, &labelled).unwrap();
    assert_eq!(targets(&rows.data), [1.0, 0.0]);
    assert_eq!(weights(&rows.data), [5.0, 1.0]);
    assert_eq!(rows.summary.class_counts, [1, 1]);
    let unweighted = rows_of("y,a\nyes,1\n", &model, &labelled).unwrap();
    assert_eq!(weights(&unweighted.data), [1.0]);
    assert!(unweighted.summary.notes.iter().any(|n| n.contains("no column 'w'")));
    let message = failure(rows_of("y,a,w\nyes,1,1\n\nmaybe,2,1\n", &model, &labelled));
    assert!(
        message.contains("line 4, column y: the label 'maybe' is none of the model's classes, 'no' and 'yes'"),
        "{message}"
    );
    let message = failure(rows_of("y,a,w\nyes,1,1\n?,2,1\n", &model, &labelled));
    assert!(message.contains("line 3, column y: the value is missing"), "{message}");
    let message = failure(rows_of("a,w\n1,1\n", &model, &labelled));
    assert!(message.contains("no column 'y'"), "{message}");
    let drop = Design { missing: Missing::Drop, ..model };
    let rows = rows_of("y,a,w\nyes,1,1\n?,2,1\nno,3,NA\n", &drop, &labelled).unwrap();
    assert_eq!(rows.missing_rows, [1, 2]);
    assert_eq!(rows.summary.class_counts, [0, 1]);
}

#[test]
fn an_offset_is_needed_to_predict_and_its_gaps_are_listed() {
    let options = DataOptions { offset: Some("o".into()), ..target("y") };
    let model = train("a,o,y\n1,1,0\n2,2,1\n", &options).unwrap().design;
    let rows = rows_of("a,o\n1,0.5\n2,NA\n", &model, &ReadOptions::default()).unwrap();
    assert_eq!(rows.missing_rows, [1]);
    assert_eq!(vector(&rows.data, |b| b.offset().unwrap().iter().collect()), [0.5, 0.0]);
    assert!(failure(rows_of("a\n1\n", &model, &ReadOptions::default())).contains("no column 'o'"));
}

#[test]
fn arrays_of_every_layout_are_one_dataset() {
    let values = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let transposed = [1.0f32, 3.0, 5.0, 2.0, 4.0, 6.0];
    let wide: Vec<f64> = values.iter().map(|x| f64::from(*x)).collect();
    let big: Vec<u8> = values.iter().flat_map(|x| x.to_be_bytes()).collect();
    let layouts = [
        npy("<f4", false, "(3, 2)", &f4(&values)),
        npy("<f4", true, "(3, 2)", &f4(&transposed)),
        npy("<f8", false, "(3, 2)", &f8(&wide)),
        npy(">f4", false, "(3, 2)", &big),
        npy("|u1", false, "(3, 2)", &[1, 2, 3, 4, 5, 6]),
        npy("<i8", false, "(3, 2)", &(1i64..7).flat_map(i64::to_le_bytes).collect::<Vec<u8>>()),
    ];
    let labels = [
        npy("<f8", false, "(3,)", &f8(&[-1.0, 1.0, 1.0])),
        npy("|b1", false, "(3, 1)", &[0, 1, 1]),
        npy("<i4", true, "(3,)", &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]),
    ];
    let files = Files::new();
    let weight = files.write("w.npy", npy("<f4", false, "(3,)", &f4(&[1.0, 0.5, 2.0])));
    let mut seen = 0;
    for layout in &layouts {
        for label in &labels {
            let options = DataOptions {
                target_file: Some(files.write("y.npy", label)),
                weight_file: Some(weight.clone()),
                ..DataOptions::default()
            };
            let read = load_training(&[files.write("x.npy", layout)], &options, &Silent).unwrap();
            assert_eq!(read.train.features, ["x0", "x1"]);
            assert_eq!(x(&read.train), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
            assert_eq!(targets(&read.train), [0.0, 1.0, 1.0]);
            assert_eq!(weights(&read.train), [1.0, 0.5, 2.0]);
            seen += 1;
        }
    }
    assert_eq!(seen, 18);
    let y = files.write("y.npy", npy("<f4", false, "(6,)", &f4(&[0.0, 1.0, 1.0, 0.0, 0.0, 1.0])));
    let x_file = files.write("x.npy", &layouts[0]);
    let options = DataOptions { target_file: Some(y.clone()), features: strings(&["x1"]), ..DataOptions::default() };
    let read = load_training(&[x_file.clone(), x_file.clone()], &options, &Silent).unwrap();
    assert_eq!(x(&read.train).concat(), [2.0, 4.0, 6.0, 2.0, 4.0, 6.0]);
    let rows = load(std::slice::from_ref(&x_file), &read.design, &ReadOptions::default()).unwrap();
    assert_eq!(x(&rows.data).concat(), [2.0, 4.0, 6.0]);
    let labelled = ReadOptions { with_target: true, target_file: Some(y), ..ReadOptions::default() };
    let rows = load(&[x_file.clone(), x_file], &read.design, &labelled).unwrap();
    assert_eq!(rows.summary.class_counts, [3, 3]);
}

#[test]
fn gaps_in_arrays_follow_the_policy() {
    let files = Files::new();
    let y = files.write("y.npy", npy("<f4", false, "(3,)", &f4(&[0.0, 1.0, 1.0])));
    let matrix = files.write("x.npy", npy("<f4", false, "(3, 2)", &f4(&[1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0])));
    let read = |missing| {
        let options = DataOptions { target_file: Some(y.clone()), missing, ..DataOptions::default() };
        load_training(std::slice::from_ref(&matrix), &options, &Silent)
    };
    let message = failure(read(Missing::Error));
    assert!(message.contains("x.npy, line 2, column x0: the value is missing"), "{message}");
    assert_eq!(x(&read(Missing::Drop).unwrap().train), [[1.0, 2.0], [5.0, 6.0]]);
    let mean = read(Missing::Mean).unwrap();
    assert_eq!(x(&mean.train), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    let rows = load(std::slice::from_ref(&matrix), &mean.design, &ReadOptions::default()).unwrap();
    assert_eq!((x(&rows.data), rows.summary.filled_cells), (x(&mean.train), 1));
    let plain = numeric(&["x0", "x1"]);
    let rows = load(std::slice::from_ref(&matrix), &plain, &ReadOptions::default()).unwrap();
    assert_eq!(rows.missing_rows, [1]);
}

#[test]
fn unusable_arrays_have_one_clear_error() {
    let good_y = npy("<f4", false, "(2,)", &f4(&[0.0, 1.0]));
    let deep = format!("{{'descr': {}'<f4'{}, 'shape': (2, 1)}}", "(".repeat(3000), ")".repeat(3000));
    let mut nested = b"\x93NUMPY\x01\x00".to_vec();
    nested.extend((deep.len() as u16).to_le_bytes());
    nested.extend(deep.as_bytes());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"a,y\n1,0\n".to_vec(), "not a NumPy array file"),
        (Vec::new(), "not a NumPy array file"),
        (nested, "records or of impossible size"),
        (npy("<f4", false, "(99999999999999999999, 2)", &[]), "impossible size"),
        (npy("<f4", false, "(9999999999, 99999999)", &[]), "the file is damaged or was cut"),
        (npy("<f4", false, "(2, 1)", &f4(&[1.0])), "4 bytes follow it"),
        (npy("<f4", false, "(2, 1)", &f4(&[1.0, 2.0, 3.0])), "12 bytes follow it"),
        (npy("<f4", false, "(2, 1, 1)", &f4(&[1.0, 2.0])), "3 dimensions"),
        (npy("<f4", false, "(2, 0)", &[]), "the array is empty"),
        (npy("<f2", false, "(2, 1)", &[0; 4]), "those read are f4, f8"),
        (npy("<U1", false, "(2, 1)", &[0; 8]), "those read are f4, f8"),
        (npy("|O", false, "(2, 1)", &[0; 8]), "x.npy"),
        (npy("<f4", false, "(2, 1)", &f4(&[1.0, f32::INFINITY])), "line 2, column x0: 'inf' is infinite"),
        (npy("<f4", false, "(3, 1)", &f4(&[1.0, 2.0, 3.0])), "y.npy: 2 values, but the data has 3 rows"),
    ];
    let files = Files::new();
    let y = files.write("y.npy", good_y);
    let options = DataOptions { target_file: Some(y), ..DataOptions::default() };
    let mut seen = 0;
    for (bytes, expected) in cases {
        let message = failure(load_training(&[files.write("x.npy", bytes)], &options, &Silent));
        assert!(message.contains(expected), "{expected}: {message}");
        seen += 1;
    }
    assert_eq!(seen, 14);
    let matrix = files.write("x.npy", npy("<f4", false, "(2, 1)", &f4(&[1.0, 2.0])));
    let weight = files.write("w.npy", npy("<f4", false, "(2,)", &f4(&[1.0, -2.0])));
    let weighted = DataOptions { weight_file: Some(weight), ..options };
    let message = failure(load_training(&[matrix], &weighted, &Silent));
    assert!(message.contains("w.npy, line 2, column weight: -2 cannot be a weight"), "{message}");
}

#[test]
fn options_that_cannot_apply_are_errors() {
    let files = Files::new();
    let text = files.write("d.csv", "a,y\n1,0\n2,1\n");
    let matrix = files.write("x.npy", npy("<f4", false, "(2, 1)", &f4(&[1.0, 2.0])));
    let y = files.write("y.npy", npy("<f4", false, "(2,)", &f4(&[0.0, 1.0])));
    let arrays = || DataOptions { target_file: Some(y.clone()), ..DataOptions::default() };
    let cases = [
        (&text, DataOptions { target_file: Some(y.clone()), ..target("y") }, "--target-file goes with"),
        (&text, DataOptions { weight_file: Some(y.clone()), ..target("y") }, "--weight-file goes with"),
        (&matrix, DataOptions { target: Some("x0".into()), ..arrays() }, "--target names"),
        (&matrix, DataOptions { weight: Some("x0".into()), ..arrays() }, "--weight names"),
        (&matrix, DataOptions { offset: Some("x0".into()), ..arrays() }, "--offset names"),
        (&matrix, DataOptions { categorical: strings(&["x0"]), ..arrays() }, "--categorical cannot"),
        (&matrix, DataOptions { no_header: true, ..arrays() }, "--no-header cannot"),
        (&matrix, DataOptions::default(), "--target-file Y.npy"),
        (&matrix, DataOptions { format: Some(Format::Csv), ..target("y") }, "--format npy"),
        (&text, DataOptions { format: Some(Format::Npy), ..arrays() }, "not a NumPy array"),
        (&matrix, DataOptions { drop: strings(&["x7"]), ..arrays() }, "has no column 'x7'"),
    ];
    let mut seen = 0;
    for (path, options, expected) in cases {
        let message = failure(load_training(std::slice::from_ref(path), &options, &Silent));
        assert!(message.contains(expected), "{expected}: {message}");
        seen += 1;
    }
    assert_eq!(seen, 11);
    let design = numeric(&["x0"]);
    let keep = ReadOptions { keep: strings(&["x0"]), ..ReadOptions::default() };
    assert!(failure(load(std::slice::from_ref(&matrix), &design, &keep)).contains("--keep"));
    let labelled = ReadOptions { with_target: true, ..ReadOptions::default() };
    assert!(failure(load(&[matrix], &design, &labelled)).contains("--target-file"));
    assert!(failure(load(&[text], &design, &labelled)).contains("knows no target column"));
}

#[test]
fn damaged_files_are_errors_or_data_and_never_panics() {
    let files = Files::new();
    let text = "id;a;c;y\n1;2.5;\"x;\"\"y\";yes\n2;NA;q;no\n3;1e3;'z';no\n4;-7;?;yes\n".repeat(3);
    let matrix = npy("<f4", false, "(4, 2)", &f4(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
    let labels = files.write("y.npy", npy("<f4", false, "(4,)", &f4(&[0.0, 1.0, 1.0, 0.0])));
    let inserts = b"\",;\n\r\t\0.'-e9\xff \x93(";
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let arrays = DataOptions { target_file: Some(labels), ..DataOptions::default() };
    let missing = [Missing::Error, Missing::Drop, Missing::Mean];
    let (mut read, mut refused) = (0, 0);
    for round in 0..3000 {
        let (name, content, options) = match round % 2 {
            0 => ("d.csv", text.as_bytes(), target("y")),
            _ => ("x.npy", matrix.as_slice(), arrays.clone()),
        };
        let mut bytes = content.to_vec();
        for _ in 0..=random(2) {
            let at = random(bytes.len());
            match random(20) {
                0..=11 => bytes[at] = inserts[random(inserts.len())],
                12..=18 => bytes.insert(at, inserts[random(inserts.len())]),
                _ => bytes.truncate(at + 1),
            }
        }
        let options = DataOptions { missing: missing[random(3)], no_header: random(16) == 0, ..options };
        match load_training(&[files.write(name, bytes)], &options, &Silent) {
            Ok(_) => read += 1,
            Err(error) => {
                assert!(error.to_string().lines().count() <= 6, "{error}");
                refused += 1;
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

#[test]
fn reading_is_reported() {
    #[derive(Default)]
    struct Log(Mutex<Vec<(u64, u64, u64)>>);
    impl Monitor for Log {
        fn event(&self, event: Event<'_>) {
            if let Event::Reading { rows, bytes, total_bytes, .. } = event {
                self.0.lock().unwrap().push((rows, bytes, total_bytes));
            }
        }
    }
    let mut text = String::from("a,y\n");
    (0..3_000_000).for_each(|i| text.push_str(if i % 2 == 0 { "1.5,0\n" } else { "2.5,1\n" }));
    let files = Files::new();
    let log = Log::default();
    let start = std::time::Instant::now();
    let read = load_training(&[files.write("d.csv", &text)], &target("y"), &log).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let log = log.0.into_inner().unwrap();
    assert!(log.len() > 1 && log.is_sorted() && log.last().is_some_and(|last| last.0 == 3_000_000), "{log:?}");
    assert!(read.summary.pack_seconds > 0.0 && read.summary.pack_seconds < seconds, "{:?}", read.summary);
    assert_eq!(log[log.len() - 1].1, text.len() as u64);
    assert!(log.iter().all(|(_, bytes, total)| bytes <= total && *total == text.len() as u64));
}

#[test]
fn the_shipped_sets_are_read_as_their_references_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let json = std::fs::read_to_string(folder.join("references.json")).unwrap();
    let references: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut seen = 0;
    for (name, set) in references.as_object().unwrap() {
        let weight = set["weight"].as_str().map(ToString::to_string);
        let options = DataOptions { weight, ..target(set["target"].as_str().unwrap()) };
        let read = load_training(&[folder.join(format!("{name}.csv"))], &options, &Silent).unwrap();
        assert_eq!(read.train.rows as u64, set["rows"].as_u64().unwrap(), "{name}");
        let names: Vec<&String> = set["l2_1"]["coefficients"].as_object().unwrap().keys().collect();
        assert_eq!(read.train.features.iter().collect::<Vec<_>>(), names, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 21);
    let options = DataOptions { missing: Missing::Drop, ..target("survived") };
    let titanic = load_training(&[folder.join("titanic.csv")], &options, &Silent).unwrap();
    assert_eq!(titanic.train.features, ["sex=male", "age", "passengerClass=2nd", "passengerClass=3rd"]);
    assert_eq!((titanic.summary.rows, titanic.summary.dropped_rows), (1309, 263));
    assert_eq!(titanic.design.target.classes, ["no", "yes"]);
}
