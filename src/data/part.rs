//! Rows that stay together while they are read: numbers, codes of text, and what lies beside them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use super::frames::Frames;
use super::input::MISSING;
use super::pack::{PackOptions, Precision};
use super::source::ColumnSource;
use super::spill::Spilled;
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
#[derive(Debug, Clone, Default)]
pub(super) struct ClassSums {
    /// Rows of each label.
    pub(super) rows: Vec<u64>,
    /// Their weights.
    pub(super) weight: Vec<f64>,
}

impl ClassSums {
    pub(super) fn count(&mut self, code: u8, weight: f64) {
        let code = usize::from(code);
        if self.rows.len() <= code {
            self.rows.resize(code + 1, 0);
            self.weight.resize(code + 1, 0.0);
        }
        self.rows[code] += 1;
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
    /// The numbers and codes that memory does not hold: those of the first rows, or of all in the end.
    pub(super) spilled: Option<Spilled>,
}

impl Part {
    /// No rows of so many columns of numbers and of text yet.
    pub(super) fn new(numbers: usize, texts: usize, pack: PackOptions) -> Result<Self> {
        Ok(Part {
            rows: 0,
            numbers: Frames::new(numbers, pack.precision == Some(Precision::F64), pack.block_rows)?,
            codes: vec![Vec::new(); texts],
            target: Vec::new(),
            weight: Vec::new(),
            offset: Vec::new(),
            classes: ClassSums::default(),
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

    /// The levels of text column `text`, once it is recoded.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when they were spilled and cannot be read.
    pub(super) fn levels(&self, text: usize) -> Result<Cow<'_, [u32]>> {
        match &self.spilled {
            Some(spilled) => spilled.all_levels(text).map(Cow::Owned),
            None => Ok(Cow::Borrowed(&self.codes[text])),
        }
    }

    /// Bytes of numbers and codes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.numbers.bytes() + self.codes.iter().map(|codes| size_of_val(codes.as_slice()) as u64).sum::<u64>()
    }

    /// Moves full frames, or `all` rows, to a file in `folder`.
    ///
    /// # Errors
    /// As [`Spilled::write`] and [`Frames::store`].
    pub(super) fn spill(&mut self, folder: &Path, all: bool) -> Result<()> {
        self.numbers.store()?;
        let frame_rows = self.numbers.frame_rows();
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled::new(folder, frame_rows, self.numbers.features(), self.codes.len())?),
        };
        loop {
            let first = spilled.rows();
            let rows = frame_rows.min(self.rows - first);
            if rows == 0 || (rows < frame_rows && !all) {
                return Ok(());
            }
            let codes = &mut self.codes;
            self.numbers.give_away(first / frame_rows, |rows, numbers| {
                spilled.write(rows, numbers, codes.iter().map(|codes| &codes[..rows]))
            })?;
            codes.iter_mut().for_each(|codes| {
                codes.drain(..rows);
            });
        }
    }
}
