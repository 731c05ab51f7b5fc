//! Files that gpulogit wrote, as somebody else might have: models, checkpoints, rows kept for the next fit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use gpulogit::data::{
    DataOptions, Dataset, InputColumn, Missing, PackOptions, ReadOptions, cached_files, each_block, load_rows,
    load_training,
};
use gpulogit::engine::gpu::GpuOptions;
use gpulogit::engine::{Device, DeviceRequest};
use gpulogit::export::{Language, export};
use gpulogit::fit::{FitOptions, Init, fit};
use gpulogit::model::{Checkpoint, Checkpoints, FitIdentity, Model};
use gpulogit::monitor::Silent;
use serde_json::Value;

use super::tables::{arrow, columns};
use super::{check_rows, file, path};

/// Rows that are predicted.
const ROWS: usize = 4;

/// A model: what it says is exported, written anew and predicted with.
pub(super) fn model(bytes: &[u8]) {
    let Ok(model) = Model::load(&file("model.json", bytes)) else { return };
    use Language::*;
    for language in [Onnx, Pmml, Sql, C, Python, JsonSchema] {
        let _ = export(&model, language);
    }
    if let Some(inference) = &model.inference {
        let _ = (inference.aic(), inference.bic(), inference.mcfadden(), inference.likelihood_ratio());
        inference.intervals(0.9);
        inference.coefficients.iter().filter_map(|found| found.value).for_each(|value| assert!(!(value.p() > 1.0)));
    }
    if let Ok(json) = model.to_json() {
        let again = Model::load(&file("again.json", json.as_bytes())).unwrap();
        assert_eq!(again.to_json().unwrap(), json);
    }
    predict(&model);
}

/// Rows of the columns that the model names: ordinary, extreme, of known and unknown levels, and missing.
fn predict(model: &Model) {
    let design = &model.design;
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), Some(-1e300), Some(f64::MIN_POSITIVE), None]));
    let mut arrays: Vec<(&str, ArrayRef)> = Vec::new();
    for column in &design.columns {
        let array = match column {
            InputColumn::Numeric { date: false, .. } => Arc::clone(&numbers),
            InputColumn::Numeric { .. } => Arc::new(StringArray::from(vec![Some("2020-02-29"); ROWS])),
            InputColumn::Categorical { levels, .. } => {
                Arc::new(StringArray::from(vec![levels.first().map(String::as_str), Some("other"), Some("true"), None]))
            }
            InputColumn::Hashed { .. } => Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("1"), None])),
        };
        arrays.push((column.name(), array));
    }
    arrays.extend(design.offset.as_deref().map(|name| (name, Arc::clone(&numbers))));
    // Sparse rows have any column of the right name.
    let _ = load_rows(&[file("rows.svm", b"1 1:0.5\n")], design, &ReadOptions::default(), &Silent);
    if arrays.is_empty() {
        return;
    }
    let data = file("rows.arrow", &arrow(&columns(arrays), ROWS));
    let Ok((rows, _)) = load_rows(&[data], design, &ReadOptions::default(), &Silent) else { return };
    check_rows(&rows.data);
    let device = Device::open(&DeviceRequest::Cpu, &GpuOptions::default()).unwrap();
    let Ok((predictors, _)) = model.linear_predictors(&rows.data, &device) else { return };
    for row in (0..ROWS).filter(|row| !rows.missing_rows.contains(row)) {
        let of_row: Vec<f64> = predictors.iter().skip(row).step_by(ROWS).copied().collect();
        let probabilities: Vec<f64> = model.log_probabilities(&of_row).into_iter().map(f64::exp).collect();
        assert!(probabilities.iter().all(|y| (0.0..=1.0).contains(y)), "{probabilities:?} for {of_row:?}");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{probabilities:?} for {of_row:?}");
    }
}

/// The fit that checkpoints are of.
pub(super) fn fitted() -> (Dataset, FitIdentity) {
    let values = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5, 0.25, 3.0, -2.0, 1.0, 0.75, -1.5];
    let data = Dataset::from_rows(&values, 2, &[0.0, 1.0, 0.0, 1.0, 1.0, 0.0], PackOptions::default()).unwrap();
    let identity = FitIdentity {
        rows: data.rows,
        features: data.features.clone(),
        classes: vec!["0".into(), "1".into()],
        l1: 0.0,
        l2: 1.0,
        penalty_factors: Vec::new(),
        intercept: true,
    };
    (data, identity)
}

/// A checkpoint, from which a fit goes on.
pub(super) fn checkpoint(bytes: &[u8]) {
    let (data, identity) = fitted();
    let path = file("checkpoint.json", bytes);
    let Ok(found) = Checkpoint::load(&path, &identity) else { return };
    let found = found.expect("the file is there");
    assert_eq!(found.coefficients.len(), data.features.len());
    let checkpoints = Checkpoints::new(&path, identity.clone(), found.iterations, &Silent);
    let options = FitOptions {
        device: DeviceRequest::Cpu,
        l2: identity.l2,
        init: Init::Coefficients(found.coefficients, found.beta0),
        ..FitOptions::default()
    };
    if let Ok(fit) = fit(&data, &options, &checkpoints) {
        assert!(fit.coefficients.iter().all(|beta| beta.is_finite()) && fit.intercept.is_finite());
        // What it wrote on its way can be read again.
        assert!(Checkpoint::load(&path, &identity).unwrap().is_some());
    }
}

/// How the bytes become a file of the cache.
pub(super) mod disguise {
    /// The file, with the bytes at some places changed: two bytes for a place, one to combine with it.
    pub(crate) const FLIPPED: u8 = 0;
    /// The same among the rows, whose checksums are put right.
    pub(crate) const FORGED: u8 = 1;
    /// Sound rows, and behind them this manifest, of the right key and with the right checksum.
    pub(crate) const MANIFEST: u8 = 2;
}

/// Rows that a fit kept.
pub(super) struct Kept {
    data: PathBuf,
    options: DataOptions,
    /// The file, and where it lies.
    path: PathBuf,
    whole: Vec<u8>,
    /// Where the manifest begins, and what it says.
    start: usize,
    pub(super) manifest: Value,
    /// What is read of it.
    rows: Vec<u64>,
}

thread_local! {
    static KEPT: Kept = Kept::new();
}

impl Kept {
    pub(super) fn new() -> Self {
        let mut text = String::from("a,b,colour,w,o,y\n");
        for row in 0..40 {
            let gap = if row % 7 == 3 { String::new() } else { (row * row % 13).to_string() };
            let colour = ["red", "green", ""][row % 3];
            text += &format!("{row},{gap},{colour},{}.5,0.{},{}\n", row % 4, row % 5, row % 11 % 2);
        }
        let data = file("kept.csv", text.as_bytes());
        let options = DataOptions {
            target: Some("y".into()),
            weight: Some("w".into()),
            offset: Some("o".into()),
            missing: Missing::Mean,
            holdout: Some(0.3),
            memory: Some(1000),
            cache_dir: Some(path("kept")),
            ..DataOptions::default()
        };
        let rows = read(&data, &options).expect("the rows are kept");
        let [found] = cached_files(&path("kept")).unwrap().try_into().expect("one file is kept");
        let whole = std::fs::read(&found.path).unwrap();
        // Its last bytes say where the manifest begins.
        let start = u64::from_le_bytes(whole[whole.len() - 32..][..8].try_into().unwrap()) as usize;
        let manifest = serde_json::from_slice(&whole[start..whole.len() - 32]).unwrap();
        Kept { data, options, path: found.path, whole, start, manifest, rows }
    }

    /// The file with another manifest.
    fn with(&self, manifest: &[u8]) -> Vec<u8> {
        let numbers = [self.start as u64, manifest.len() as u64, crc32fast::hash(manifest).into()];
        let magic = &self.whole[self.whole.len() - 8..];
        [&self.whole[..self.start], manifest, &numbers.map(u64::to_le_bytes).concat(), magic].concat()
    }

    /// Where the pieces of frames lie: each of one unit, behind which is its checksum.
    fn pieces(&self) -> Vec<std::ops::Range<usize>> {
        let mut pieces = Vec::new();
        for part in self.manifest["parts"].as_array().unwrap() {
            let frames = &part["frames"];
            let count = |name: &str| frames[name].as_u64().unwrap() as usize;
            for place in frames["places"].as_array().unwrap() {
                let number = |at: usize| place[at].as_u64().unwrap() as usize;
                let (mut start, rows) = (number(0), number(1));
                let texts = std::iter::repeat_n(4 * rows, count("texts"));
                let numbers = 4 * rows.next_multiple_of(32) * count("numbers");
                for bytes in std::iter::once(numbers).chain(texts).chain([rows, 8 * rows, 8 * rows]) {
                    pieces.push(start..start + bytes);
                    start += bytes + 4;
                }
            }
        }
        pieces
    }
}

/// All that a fit would see of the rows.
fn read(data: &Path, options: &DataOptions) -> Option<Vec<u64>> {
    let training = load_training(&[data.to_path_buf()], options, &Silent).ok()?;
    let mut seen = Vec::new();
    for rows in [Some(&training.train), training.holdout.as_ref().map(|held_out| &held_out.data)].into_iter().flatten()
    {
        check_rows(rows);
        each_block(&rows.blocks, |_, block| {
            for row in 0..block.rows() {
                let beside =
                    [block.target().at(row), block.weight().at(row), block.offset().map_or(0.0, |o| o.at(row))];
                seen.extend((0..block.features()).map(|j| block.value(row, j)).chain(beside).map(f64::to_bits));
            }
            Ok(())
        })
        .ok()?;
    }
    Some(seen)
}

/// A file of the cache.
pub(super) fn cache(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    KEPT.with(|kept| {
        let flips =
            bytes.as_chunks::<3>().0.iter().map(|[a, b, flip]| (usize::from(u16::from_le_bytes([*a, *b])), flip));
        let mut file = kept.whole.clone();
        match how % 4 {
            disguise::FLIPPED => flips.for_each(|(at, flip)| file[at % kept.whole.len()] ^= flip),
            disguise::FORGED => {
                let pieces = kept.pieces();
                for (at, flip) in flips {
                    let piece = pieces[at % pieces.len()].clone();
                    file[piece.start + at / pieces.len() % piece.len()] ^= flip;
                    let sum = crc32fast::hash(&file[piece.clone()]);
                    file[piece.end..piece.end + 4].copy_from_slice(&sum.to_le_bytes());
                }
            }
            disguise::MANIFEST => {
                let Ok(mut manifest) = serde_json::from_slice::<Value>(bytes) else { return };
                let Some(fields) = manifest.as_object_mut() else { return };
                fields.insert("key".into(), kept.manifest["key"].clone());
                file = kept.with(manifest.to_string().as_bytes());
            }
            _ => file = bytes.to_vec(),
        }
        std::fs::write(&kept.path, &file).unwrap();
        let _ = cached_files(&path("kept"));
        let rows = read(&kept.data, &kept.options);
        if how % 4 == disguise::FLIPPED {
            assert!(rows.as_ref() == Some(&kept.rows), "a damaged file was taken for a sound one");
        }
    });
}
