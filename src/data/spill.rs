//! Rows that memory does not hold: frames in a file of their own, read block by block whenever they are needed.
//!
//! The file has no name as soon as it is open (where the system allows that), so it is gone with the process, however that
//! ends, and nobody else's.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Absent, LANES};
use super::expand::Recipe;
use super::input::MISSING;
use crate::error::{Error, Result};

/// Frames in a file.
pub(super) struct Spilled {
    file: File,
    folder: PathBuf,
    /// Rows of a frame; the last has fewer.
    frame_rows: usize,
    /// Number columns and text columns.
    numbers: usize,
    texts: usize,
    frames: Vec<FrameAt>,
    end: u64,
    /// The level of each code of a text column, where codes are not those of levels already.
    levels: Vec<Option<Vec<u32>>>,
}

/// Where a frame lies: its numbers, and behind them the codes of each text column.
#[derive(Debug, Clone, Copy)]
struct FrameAt {
    start: u64,
    rows: usize,
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames of {} rows in {}", self.frames.len(), self.frame_rows, self.folder.display())
    }
}

impl Spilled {
    /// An empty file in `folder` for frames of so many rows and columns.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn new(folder: &Path, frame_rows: usize, numbers: usize, texts: usize) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|e| Error::io(folder, e))?;
        Ok(Spilled {
            file,
            folder: folder.to_path_buf(),
            frame_rows,
            numbers,
            texts,
            frames: Vec::new(),
            end: 0,
            levels: vec![None; texts],
        })
    }

    pub(super) fn frame_rows(&self) -> usize {
        self.frame_rows
    }

    /// Rows written.
    pub(super) fn rows(&self) -> usize {
        self.frames.iter().map(|frame| frame.rows).sum()
    }

    /// Appends a frame of `rows` rows.
    ///
    /// # Errors
    /// [`Error::Io`], when the disk is full for example.
    pub(super) fn write<'a>(
        &mut self,
        rows: usize,
        numbers: &[f32],
        codes: impl Iterator<Item = &'a [u32]>,
    ) -> Result<()> {
        let start = self.end;
        let mut put = |bytes: &[u8]| {
            write_at(&self.file, bytes, self.end).map_err(|e| {
                let kind = e.kind();
                let hint =
                    format!("{e}; --cache-dir names a folder with more room for the rows that memory does not hold");
                Error::io(&self.folder, std::io::Error::new(kind, hint))
            })?;
            self.end += bytes.len() as u64;
            Ok(())
        };
        put(bytemuck::cast_slice(&numbers[..rows.div_ceil(LANES) * LANES * self.numbers]))?;
        for codes in codes {
            put(bytemuck::cast_slice(&codes[..rows]))?;
        }
        self.frames.push(FrameAt { start, rows });
        Ok(())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_at(&self.file, out, offset).map_err(|e| Error::io(&self.folder, e))
    }

    /// Reads the numbers of some groups of a frame.
    fn numbers(&self, frame: &FrameAt, groups: Range<usize>, out: &mut [f32]) -> Result<()> {
        let width = LANES * self.numbers * size_of::<f32>();
        self.read(frame.start + (groups.start * width) as u64, bytemuck::cast_slice_mut(out))
    }

    /// Says the level of each code of a text column.
    pub(super) fn set_levels(&mut self, text: usize, levels: &[u32]) {
        self.levels[text] = Some(levels.to_vec());
    }

    /// The levels of a text column in all rows.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn all_levels(&self, text: usize) -> Result<Vec<u32>> {
        let mut all = Vec::with_capacity(self.rows());
        for frame in &self.frames {
            all.extend(self.levels(frame, text, 0..frame.rows)?);
        }
        Ok(all)
    }

    /// Reads the levels of a text column in some rows of a frame.
    fn levels(&self, frame: &FrameAt, text: usize, rows: Range<usize>) -> Result<Vec<u32>> {
        let numbers = frame.rows.div_ceil(LANES) * LANES * self.numbers * size_of::<f32>();
        let before = numbers + (text * frame.rows + rows.start) * size_of::<u32>();
        let mut codes = vec![0u32; rows.len()];
        self.read(frame.start + before as u64, bytemuck::cast_slice_mut(&mut codes))?;
        if let Some(levels) = &self.levels[text] {
            codes.iter_mut().for_each(|code| *code = levels.get(*code as usize).copied().unwrap_or(MISSING));
        }
        Ok(codes)
    }
}

/// The rows of a block, within one frame.
#[derive(Debug)]
pub(super) struct CachedBlock {
    spilled: Arc<Spilled>,
    recipe: Arc<Recipe>,
    rows: Range<usize>,
}

impl CachedBlock {
    pub(super) fn new(spilled: Arc<Spilled>, recipe: Arc<Recipe>, rows: Range<usize>) -> Self {
        CachedBlock { spilled, recipe, rows }
    }
}

impl Absent for CachedBlock {
    fn read(&self, groups: Range<usize>, out: &mut [f32]) -> Result<()> {
        let frame = &self.spilled.frames[self.rows.start / self.spilled.frame_rows];
        let first = self.rows.start % self.spilled.frame_rows;
        let here = first / LANES + groups.start..first / LANES + groups.end;
        if self.recipe.keeps_numbers() {
            self.spilled.numbers(frame, here, out)?;
        } else {
            let mut numbers = vec![0f32; groups.len() * LANES * self.recipe.number_columns()];
            self.spilled.numbers(frame, here.clone(), &mut numbers)?;
            let rows = here.start * LANES..frame.rows.min(here.end * LANES);
            let codes: Vec<Vec<u32>> = (0..self.spilled.texts)
                .map(|text| self.spilled.levels(frame, text, rows.clone()))
                .collect::<Result<_>>()?;
            let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
            self.recipe.expand(&numbers, &codes, out);
        }
        self.recipe.finish(out);
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (out, offset) = (&mut out[n..], offset + n as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            n => (bytes, offset) = (&bytes[n..], offset + n as u64),
        }
    }
    Ok(())
}
