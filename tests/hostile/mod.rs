//! What is done with hostile bytes, said once: `tests/hostile.rs` runs it on stable, `fuzz/` under libFuzzer.
//!
//! A target reads bytes as one kind of file (or as arguments) and goes on as the program would. Errors are fine; panics, endless
//! loops and rows that do not hold together are findings, and so is memory beyond [`memory::MEMORY`], for no input here is larger than a
//! few kilobytes.

pub(crate) mod damage;
mod files;
mod kept;
mod memory;
mod seeds;
#[path = "../common/tables.rs"]
pub(crate) mod tables;

use std::path::PathBuf;

use gpulogit::cli;
use gpulogit::data::{Dataset, each_block};

/// One kind of input.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Reads the bytes and checks what comes of them.
    pub(crate) run: fn(&[u8]),
    /// Inputs to begin with, most of them sound.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

pub(crate) const TARGETS: [Target; 9] = [
    Target { name: "csv", run: files::csv, seeds: seeds::csv },
    Target { name: "svmlight", run: files::svmlight, seeds: seeds::svmlight },
    Target { name: "npy", run: files::npy, seeds: seeds::npy },
    Target { name: "parquet", run: files::parquet, seeds: seeds::parquet },
    Target { name: "arrow", run: files::arrow, seeds: seeds::arrow },
    Target { name: "model", run: kept::model, seeds: seeds::model },
    Target { name: "checkpoint", run: kept::checkpoint, seeds: seeds::checkpoint },
    Target { name: "cache", run: kept::cache, seeds: seeds::cache },
    Target { name: "options", run: options, seeds: seeds::options },
];

/// The target of that name.
pub(crate) fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target has that name")
}

/// Arguments, one a line.
fn options(bytes: &[u8]) {
    let arguments = bytes.split(|byte| *byte == b'\n').map(|argument| String::from_utf8_lossy(argument).into_owned());
    let _ = cli::check_usage(std::iter::once("gpulogit".to_owned()).chain(arguments));
}

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
}

/// A path in the folder of this thread.
fn path(name: &str) -> PathBuf {
    FOLDER.with(|folder| folder.path().join(name))
}

/// Writes a file there.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Holds rows to be as many as they say, and numbers that can be computed with.
fn check_rows(data: &Dataset) {
    let features = data.features.len();
    assert_eq!((data.columns.len(), data.moments.len()), (features, features));
    let mut rows = 0;
    let swept = each_block(&data.blocks, |_, block| {
        assert_eq!(block.features(), features);
        for row in 0..block.rows() {
            assert!((0..features).all(|j| block.value(row, j).is_finite()), "row {row} holds no numbers");
            let (t, s) = (block.target().at(row), block.weight().at(row));
            let is_class = if data.classes > 2 { t.fract() == 0.0 && t < data.classes as f64 } else { t <= 1.0 };
            assert!(t >= 0.0 && is_class && s >= 0.0 && s.is_finite(), "target {t}, weight {s}");
            assert!(block.offset().is_none_or(|offset| offset.at(row).is_finite()));
        }
        rows += block.rows();
        Ok(())
    });
    // Rows in a file may be damaged, which is said.
    assert!(swept.is_err() || rows == data.rows, "{rows} of {} rows", data.rows);
}
