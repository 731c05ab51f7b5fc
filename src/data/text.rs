//! Text as codes into its distinct values, and where cells stand.

use std::collections::HashMap;

/// The code of a missing cell.
pub(super) const MISSING: u32 = u32::MAX;

/// Where a cell stands: which file, and which line (text) or row (array) of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) file: usize,
    pub(super) line: u64,
}

/// Missing cells of a column.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    pub(super) column: String,
    pub(super) count: u64,
    pub(super) first: At,
}

/// A column of text: codes into its distinct values.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    /// One code a row; [`MISSING`] where the cell is missing.
    pub(super) codes: Vec<u32>,
    /// The distinct values, as first seen.
    pub(super) values: Vec<String>,
    /// Where each distinct value was first seen; empty for a column that was taken for numbers at first.
    pub(super) first: Vec<At>,
    index: HashMap<Box<[u8]>, u32>,
}

impl Text {
    /// Appends a cell that is not missing.
    pub(super) fn push(&mut self, cell: &[u8], at: Option<impl FnOnce() -> At>) -> Result<(), String> {
        if let Some(&code) = self.index.get(cell) {
            self.codes.push(code);
            return Ok(());
        }
        let code = u32::try_from(self.values.len()).ok().filter(|c| *c < MISSING).ok_or("too many distinct values")?;
        let value = std::str::from_utf8(cell).map_err(|_| "this is not UTF-8 text".to_string())?;
        self.values.push(value.to_string());
        self.first.extend(at.map(|at| at()));
        self.index.insert(cell.into(), code);
        self.codes.push(code);
        Ok(())
    }
}
