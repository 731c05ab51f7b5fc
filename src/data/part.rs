//! Rows that stay together while they are read: numbers, codes of text, and what lies beside them.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::classes::{Classes, Labelled};
use super::frames::Frames;
use super::input::MISSING;
use super::pack::{PackOptions, Precision, block_rows};
use super::source::ColumnSource;
use super::spill::{Frame, Spilled, SpilledVectors};
use super::vectors::RowVectors;
use crate::disk::DiskFile;
use crate::error::Result;

/// The code of every label beyond those that a byte counts: there are too many then.
pub(super) const MANY_LABELS: u8 = u8::MAX;

/// The code of a label in a byte.
pub(super) fn label_code(code: u32) -> u8 {
    u8::try_from(code).unwrap_or(MANY_LABELS)
}

/// The distinct values of a column.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    pub(super) values: Vec<String>,
    index: HashMap<String, u32>,
}

impl Dictionary {
    /// The distinct `values`, to which none will be added.
    pub(super) fn known(values: Vec<String>) -> Self {
        Dictionary { values, index: HashMap::new() }
    }

    /// The codes of `values`, each of which is there or added.
    pub(super) fn codes(&mut self, values: Vec<String>) -> Vec<u32> {
        let code = |value: String| match self.index.get(&value) {
            Some(&code) => code,
            None => {
                let code = self.values.len() as u32;
                self.values.push(value.clone());
                self.index.insert(value, code);
                code
            }
        };
        values.into_iter().map(code).collect()
    }
}

/// A text column: its values and how often each stands in a row that teaches.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) dictionary: Dictionary,
    pub(super) counts: Vec<u64>,
}

/// What the labels of some rows were.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ClassSums {
    /// Rows of each label.
    pub(super) rows: Vec<u64>,
    /// Their weights.
    pub(super) weight: Vec<f64>,
}

impl ClassSums {
    pub(super) fn count(&mut self, code: u8, weight: f64) {
        self.add(usize::from(code), 1, weight);
    }

    /// Counts `rows` rows of the label `code`, of so much weight together.
    pub(super) fn add(&mut self, code: usize, rows: u64, weight: f64) {
        if self.rows.len() <= code {
            self.rows.resize(code + 1, 0);
            self.weight.resize(code + 1, 0.0);
        }
        self.rows[code] += rows;
        self.weight[code] += weight;
    }
}

/// Rows that stay together: those to fit, or those held out.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) rows: usize,
    pub(super) numbers: Frames,
    /// The codes of each text column.
    pub(super) codes: Vec<Vec<u32>>,
    /// The code of each row's label.
    pub(super) target: Vec<u8>,
    /// Sample weights; none where all are 1.
    pub(super) weight: Vec<f64>,
    /// Offsets; none where there are none.
    pub(super) offset: Vec<f64>,
    pub(super) classes: ClassSums,
    /// Whether there are weights and offsets, though there may be no row yet.
    pub(super) beside: [bool; 2],
    /// The rows that memory does not hold: the first ones, or all in the end.
    pub(super) spilled: Option<Spilled>,
}

impl Part {
    /// No rows of so many columns of numbers and of text yet, with weights and offsets or without.
    pub(super) fn new(numbers: usize, texts: usize, beside: [bool; 2], pack: PackOptions) -> Result<Self> {
        // What goes to a file or to blocks together, numbers or not.
        let width = numbers + texts + beside.iter().filter(|there| **there).count() * 2;
        let frame_rows = block_rows(width, pack.block_rows)?;
        Ok(Part {
            rows: 0,
            numbers: Frames::new(numbers, pack.precision == Some(Precision::F64), Some(frame_rows))?,
            codes: vec![Vec::new(); texts],
            target: Vec::new(),
            weight: Vec::new(),
            offset: Vec::new(),
            classes: ClassSums::default(),
            beside,
            spilled: None,
        })
    }

    /// Makes the codes of text column `text` those of levels, which `levels` gives for each.
    pub(super) fn recode(&mut self, text: usize, levels: &[u32]) {
        self.codes[text].iter_mut().for_each(|code| *code = levels.get(*code as usize).copied().unwrap_or(MISSING));
        if let Some(spilled) = &mut self.spilled {
            spilled.set_levels(text, levels);
        }
    }

    /// Calls `each` with the levels of text column `text`, once it is recoded, in one stretch of rows after the other.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] and [`crate::error::Error::Data`] when they were spilled and cannot be read.
    pub(super) fn each_level(&self, text: usize, each: &mut dyn FnMut(&[u32])) -> Result<()> {
        match &self.spilled {
            Some(spilled) => spilled.each_level(text, each),
            None => {
                each(&self.codes[text]);
                Ok(())
            }
        }
    }

    /// Bytes of the rows in memory.
    pub(super) fn bytes(&self) -> u64 {
        let codes: usize = self.codes.iter().map(|codes| size_of_val(codes.as_slice())).sum();
        let beside = self.target.len() + size_of_val(self.weight.as_slice()) + size_of_val(self.offset.as_slice());
        self.numbers.bytes() + (codes + beside) as u64
    }

    /// Moves full frames, or `all` rows, to `file`.
    ///
    /// # Errors
    /// As [`Spilled::write`] and [`Frames::store`].
    pub(super) fn spill(&mut self, file: &Arc<DiskFile>, all: bool) -> Result<()> {
        self.numbers.store()?;
        let frame_rows = self.numbers.frame_rows();
        let columns = [self.numbers.features(), self.codes.len()];
        let spilled = self.spilled.get_or_insert_with(|| Spilled::new(file, frame_rows, columns, self.beside));
        loop {
            let first = spilled.frames().rows();
            let rows = frame_rows.min(self.rows - first);
            if rows == 0 || (rows < frame_rows && !all) {
                return Ok(());
            }
            let Part { numbers, codes, target, weight, offset, .. } = self;
            numbers.give_away(first / frame_rows, |rows, numbers| {
                let codes = codes.iter().map(|codes| &codes[..rows]).collect();
                let (weight, offset) = (weight.get(..rows), offset.get(..rows));
                spilled.write(rows, &Frame { numbers, codes, target: &target[..rows], weight, offset })
            })?;
            codes.iter_mut().for_each(|codes| drop(codes.drain(..rows)));
            target.drain(..rows);
            [weight, offset].into_iter().filter(|numbers| !numbers.is_empty()).for_each(|numbers| {
                numbers.drain(..rows);
            });
        }
    }

    /// The vectors of the rows, given what labels are and the factors on the weights of each class, if there are any; the rows
    /// that were spilled come along.
    pub(super) fn vectors(&mut self, classes: &Arc<Classes>, factors: Option<&[f64]>) -> Vectors {
        let factors = factors.unwrap_or_default().to_vec();
        match self.spilled.take() {
            Some(spilled) => Vectors::Spilled(SpilledVectors::new(spilled, classes, factors)),
            None => {
                let Part { rows, target, weight, offset, .. } = self;
                Vectors::Held(Labelled { rows: *rows, codes: target, weight, offset }.vectors(classes, &factors))
            }
        }
    }
}

/// The vectors of a part.
pub(super) enum Vectors {
    Held(RowVectors),
    Spilled(SpilledVectors),
}
