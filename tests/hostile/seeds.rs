//! Inputs to begin with.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Decimal128Array, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray};
use gpulogit::data::{DataOptions, Missing, load_training};
use gpulogit::engine::DeviceRequest;
use gpulogit::fit::{FitOptions, Inferring, fit, fit_softmax, infer};
use gpulogit::inference::Estimator;
use gpulogit::model::{Checkpoints, Multi};
use gpulogit::monitor::{Event, Monitor, Silent};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::kept::{Kept, disguise, fitted};
use super::tables::{self, Column, Table, batch, columns, gz, mixed, text, zip, zst};
use super::{file, path};

pub(super) fn csv() -> Vec<Vec<u8>> {
    let table = mixed(12);
    let plain = text(&table, ',', 0..12);
    let texts = [
        plain.clone(),
        text(&table, ';', 0..12),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        format!("\u{feff}{plain}"),
        "a,b,label\n1,2.5,yes\n-3e2,0.1,no\n4,1e-7,yes\n".into(),
        "a,b,label\n1e308,5e-324,yes\n-1e308,-0,no\n0,1e-320,yes\n".into(),
        "\"a\",\"b, c\",\"label\"\n\"1\",\"x \"\"y\"\"\",yes\n'2', \"line\nbreak\" ,no\n".into(),
        "a,b,label\n1,2\n1,2,yes,4\n\n,,\n\"open,1,no\n".into(),
        "label\nyes\nno\n\nyes\n".into(),
        "x,label\n2013-01-31,a\n2013-01-31T10:00:00.5Z,b\n1969-12-31 23:59+02:00,c\n".into(),
    ];
    let mut seeds = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        seeds.push([&[(i as u8 * 4) & 0x0c][..], text.as_bytes()].concat());
    }
    // As TSV, without a header, weighted, partly held out, and beyond memory.
    seeds.push([b"\x09", text(&table, '\t', 0..12).as_bytes()].concat());
    seeds.push(b"\x02\x31,0\n2,1\n3,0\n".to_vec());
    seeds.push([b"\x78", plain.as_bytes()].concat());
    for packed in [gz(&plain), zst(&plain), zip(&[plain.as_bytes()], true), zip(&[plain.as_bytes()], false)] {
        seeds.push([b"\x08", packed.as_slice()].concat());
    }
    seeds.push([b"\x08", zip(&[b"a,label\n", b"1,2\n"], true).as_slice()].concat());
    seeds
}

pub(super) fn svmlight() -> Vec<Vec<u8>> {
    let texts = [
        "1 1:0.5 3:-2\n0 2:1e-3\n1 1:4 2:1.25 3:7\n0 3:0\n",
        "-1 1:1e300 2:5e-324\n1 2:-1e300\n",
        "# remark\n1 qid:3 1:1 4:2 # tail\n\n0 2:.5\n2 1:1\n",
        "1 0:1 1:2\n0 0:3 1:-1\n",
        "1 2147483647:1\n0 1:2\n",
        "0\n1\n0 \n",
        "+1 1:1\r\n-1 2:1\r\n",
        "1,2 1:1\n",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(gz(texts[0]));
    seeds
}

pub(super) fn npy() -> Vec<Vec<u8>> {
    let values: Vec<f64> = (0..16).map(|i| f64::from(i * i % 7) - 2.5).collect();
    let f8 = |values: &[f64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let f4: Vec<u8> = values.iter().flat_map(|x| (*x as f32).to_be_bytes()).collect();
    let hostile = [f64::NAN, f64::INFINITY, 1e308, -1e308, 5e-324, -0.0, 1.0, 2.0];
    vec![
        tables::npy("<f8", false, "8, 2", &f8(&values)),
        tables::npy("<f8", true, "8, 2", &f8(&values)),
        tables::npy(">f4", false, "8, 2", &f4),
        tables::npy("<f8", false, "8,", &f8(&hostile)),
        tables::npy("|b1", false, "8,", &[1, 0, 0, 1, 1, 0, 2, 255]),
        tables::npy("<i8", false, "8, 1", &f8(&values[..8])),
        tables::npy("<u2", true, "4, 2", &[7; 16]),
        tables::npy("<f8", false, "9223372036854775807, 2", &f8(&values)),
        tables::npy("<f8", false, "8, 2, 1", &f8(&values)),
        tables::npy("<f8", false, "", &f8(&values[..1])),
    ]
}

/// Types that tables have beside those of [`mixed`].
fn odd() -> RecordBatch {
    let labels = vec!["yes", "no", "yes", "no"];
    let dictionary: DictionaryArray<Int32Type> = labels.iter().copied().map(Some).collect();
    let decimals = Decimal128Array::from(vec![Some(12_345), None, Some(-1), Some(i128::MAX / 4)]);
    let arrays: [(&str, ArrayRef); 6] = [
        ("height", Arc::new(Float32Array::from(vec![1.5, -0.0, f32::MAX, f32::MIN_POSITIVE]))),
        ("w", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("tree", Arc::new(dictionary)),
        ("day", Arc::new(decimals.with_precision_and_scale(38, 3).unwrap())),
        ("sunny", Arc::new(StringArray::from(vec![Some(""), Some("NA"), None, Some("x")]))),
        ("label", Arc::new(StringArray::from(labels))),
    ];
    columns(arrays.to_vec())
}

pub(super) fn parquet() -> Vec<Vec<u8>> {
    let plain = batch(&mixed(10), false);
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
    ];
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let mut seeds = vec![tables::parquet(&plain, 4)];
    for (i, codec) in codecs.into_iter().enumerate() {
        for (version, rows) in versions.into_iter().zip([&plain, &odd()]) {
            let properties = WriterProperties::builder().set_compression(codec).set_writer_version(version);
            let properties = properties.set_dictionary_enabled(i % 2 == 0).build();
            let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
            writer.write(rows).unwrap();
            seeds.push(writer.into_inner().unwrap());
        }
    }
    seeds
}

pub(super) fn arrow() -> Vec<Vec<u8>> {
    let [plain, coded] = [false, true].map(|dictionary| batch(&mixed(10), dictionary));
    let mut seeds = vec![tables::arrow(&plain, 4), tables::stream(&plain, 10), tables::arrow(&coded, 10)];
    seeds.extend([tables::arrow(&odd(), 4), tables::stream(&odd(), 2)]);
    seeds
}

/// The text of models that a fit wrote.
pub(super) fn model() -> Vec<Vec<u8>> {
    let read = |table: &Table, options: DataOptions| {
        let data = file("seed.csv", tables::csv(table).as_bytes());
        let options = DataOptions { target: Some("label".into()), no_cache: true, ..options };
        load_training(&[data], &options, &Silent).unwrap()
    };
    let options = FitOptions { device: DeviceRequest::Cpu, ..FitOptions::default() };
    let mut seeds = Vec::new();
    let table = mixed(80);
    let training =
        read(&table, DataOptions { missing: Missing::Mean, weight: Some("w".into()), ..DataOptions::default() });
    let fitted = fit(&training.train, &options, &Silent).unwrap();
    let mut model = fitted.model(&training.train, &training.design, &options, 0);
    let how = Inferring { covariance: Estimator::Model, profile: Some(0.9) };
    model.inference = infer(&training.train, &fitted, &options, &how, &Silent).unwrap();
    seeds.push(model.to_json().unwrap());
    let hashed = DataOptions {
        max_levels: 2,
        hash_bits: Some(2),
        missing: Missing::Drop,
        offset: Some("w".into()),
        ..DataOptions::default()
    };
    let training = read(&table, hashed);
    let fitted = fit(&training.train, &FitOptions { l2: 1.0, ..options.clone() }, &Silent).unwrap();
    seeds.push(fitted.model(&training.train, &training.design, &options, 0).to_json().unwrap());
    let labels = (0..80).map(|row| Some(["a", "b", "c"][row % 7 % 3])).collect();
    let mut classes: Table = mixed(80).into_iter().filter(|(name, _)| name != "label").collect();
    classes.push(("label".into(), Column::Text(labels)));
    let training = read(&classes, DataOptions { missing: Missing::Drop, ..DataOptions::default() });
    let fitted = fit_softmax(&training.train, &FitOptions { l2: 1.0, ..options.clone() }, &Silent).unwrap();
    let model = fitted.model(&training.train, &training.design, &options, Multi::Softmax, 0);
    seeds.push(model.to_json().unwrap());
    seeds.into_iter().map(String::into_bytes).collect()
}

pub(super) fn checkpoint() -> Vec<Vec<u8>> {
    let (path, (_, identity)) = (path("seed.json"), fitted());
    let written = |beta: [f64; 3]| {
        let checkpoints = Checkpoints::new(&path, identity.clone(), 3, &Silent);
        let point = move || (beta[..2].to_vec(), beta[2]);
        let (objective, gradient_inf_norm) = (4.25, 0.1);
        checkpoints.event(Event::Iteration {
            iteration: 1,
            objective,
            gradient_inf_norm,
            passes: 1,
            point: Some(&point),
        });
        std::fs::read(&path).unwrap()
    };
    [[0.25, -0.5, 0.1], [1e300, -1e300, 1e308], [5e-324, 0.0, -800.0]].map(written).to_vec()
}

pub(super) fn cache() -> Vec<Vec<u8>> {
    let kept = Kept::new();
    let manifest = [&[disguise::MANIFEST][..], kept.manifest.to_string().as_bytes()].concat();
    let flips: [&[u8]; 3] = [&[0, 0, 1], &[7, 1, 0x80, 9, 3, 0xff], &[0xff, 0xff, 0x7f]];
    let hows = [disguise::FLIPPED, disguise::FORGED];
    let flipped = hows.into_iter().flat_map(|how| flips.map(|flips| [&[how], flips].concat()));
    flipped.chain([manifest]).collect()
}

pub(super) fn options() -> Vec<Vec<u8>> {
    let lines = [
        "train d.csv --target y --l2 0.5 --l1 1e-3 --max-iter 10 --tol 1e-9 --seed 7 --holdout 0.2",
        "train d.csv --target delay>15 --categorical a,b --drop c --missing mean --encoding full --hash-bits 4",
        "train x.npy --target-file y.npy --weight-file w.npy --memory 64M --device-memory 1.5GiB --cache-dir c",
        "train d.csv --target y --class-weight a=2,b=0.5 --positive a --penalty-factor a=0,b=2 --bootstrap 100",
        "train d.csv --target y --inference --covariance hc1 --level 0.9 --init random --solver gd --learning-rate 0.1",
        "train d.csv --target y --l2 auto --folds 5 --l2-grid 0.1,1,10 --checkpoint c.json --resume",
        "cv d.csv --target y --folds 5 --penalties 10 --metric auc --plot cv.svg --json",
        "path d.csv --target y --penalties 20 --l1-ratio 0.5",
        "predict m.json d.csv --threshold 0.3 --keep a,b --output p.parquet --quiet",
        "evaluate m.json d.csv --by sex --cost 1:5 --report page.html",
        "summary m.json --level -0.5",
        "export m.json --to onnx --output m.onnx",
        "validate --rows 100 --features 3",
        "bench --rows 1000 --features 4 --threads 2 -v",
        "devices --json",
        "cache --clear",
        "explain",
        "man pages",
        "completions bash",
        "--version",
    ];
    lines.iter().map(|line| line.replace(' ', "\n").into_bytes()).collect()
}
