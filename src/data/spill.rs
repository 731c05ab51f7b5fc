//! Rows that memory does not hold: frames in a file, read block by block whenever they are needed.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::LANES;
use super::classes::{Classes, Labelled};
use super::expand::Recipe;
use super::input::MISSING;
use super::vectors::{RowVectors, VectorSource};
use crate::disk::{DiskFile, Section};
use crate::error::Result;
use crate::monitor::Pass;

/// Bytes that a checksum stands for, at the least: what a system reads at a time.
const UNIT: usize = 4096;

/// Frames in a file.
#[derive(Debug)]
pub(super) struct Spilled {
    file: Arc<DiskFile>,
    /// How far a pass over them is.
    pass: Arc<Pass>,
    frames: PlacedFrames,
    /// The level of each code of a text column, where codes are not those of levels already.
    levels: Vec<Option<Vec<u32>>>,
}

/// What frames hold, and where they lie.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PlacedFrames {
    /// Rows of a frame; the last has fewer.
    frame_rows: usize,
    /// Number columns and text columns.
    numbers: usize,
    texts: usize,
    /// Whether there are weights and offsets.
    weights: bool,
    offsets: bool,
    /// Where each begins, and its rows.
    places: Vec<(u64, usize)>,
}

/// A part of a frame: they follow each other, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// f32, interleaved.
    Numbers,
    /// u32, the codes of a text column.
    Text(usize),
    /// u8, the codes of labels.
    Target,
    /// f64.
    Weight,
    /// f64.
    Offset,
}

/// The rows of a frame while they are in memory.
pub(super) struct Frame<'a> {
    pub(super) numbers: &'a [f32],
    /// Of each text column.
    pub(super) codes: Vec<&'a [u32]>,
    pub(super) target: &'a [u8],
    /// None where all are 1.
    pub(super) weight: Option<&'a [f64]>,
    pub(super) offset: Option<&'a [f64]>,
}

impl PlacedFrames {
    /// The pieces of a frame of so many rows, with the bytes of each (the largest number where there is none for them) and those a
    /// checksum stands for.
    fn pieces(&self, rows: usize) -> impl Iterator<Item = (Piece, usize, usize)> + '_ {
        let group = self.numbers * LANES * size_of::<f32>();
        let bytes = rows.div_ceil(LANES).saturating_mul(group);
        let numbers = (Piece::Numbers, bytes, UNIT.next_multiple_of(group.max(1)));
        let of = move |piece, size: usize| (piece, rows.saturating_mul(size), UNIT);
        let texts = (0..self.texts).map(move |text| of(Piece::Text(text), size_of::<u32>()));
        let weight = self.weights.then(|| of(Piece::Weight, size_of::<f64>()));
        let offset = self.offsets.then(|| of(Piece::Offset, size_of::<f64>()));
        [numbers].into_iter().chain(texts).chain([of(Piece::Target, 1)]).chain(weight).chain(offset)
    }

    /// The sections of a frame that begins at `start` and has so many rows.
    fn sections(&self, (start, rows): (u64, usize)) -> impl Iterator<Item = (Piece, Section)> + '_ {
        let mut next = start;
        self.pieces(rows).map(move |(piece, bytes, unit)| {
            let section = Section { start: next, bytes: bytes as u64, unit: unit as u64 };
            next = section.end();
            (piece, section)
        })
    }

    /// Rows of a frame.
    pub(super) fn frame_rows(&self) -> usize {
        self.frame_rows
    }

    /// Whether there are weights and offsets.
    pub(super) fn beside(&self) -> [bool; 2] {
        [self.weights, self.offsets]
    }

    /// Rows.
    pub(super) fn rows(&self) -> usize {
        self.places.iter().map(|(_, rows)| rows).sum()
    }

    /// Whether these are `rows` rows of so many number and text columns, all of them within the first `end` bytes of a file.
    pub(super) fn fit(&self, rows: usize, numbers: usize, texts: usize, end: u64) -> bool {
        let full = |(k, (_, rows)): (usize, &(u64, usize))| {
            *rows > 0 && *rows <= self.frame_rows && (*rows == self.frame_rows || k + 1 == self.places.len())
        };
        // One behind the other, so that there are no more rows than bytes.
        let mut free = 0;
        let mut placed = |place: &(u64, usize)| {
            let begins = place.0 >= free;
            free = self.sections(*place).last().map_or(place.0, |(_, section)| section.end());
            begins && free <= end
        };
        // No row takes less than a byte, so that nothing below overflows for files of less than 2⁵⁰ bytes.
        end < 1 << 50
            && (self.numbers, self.texts) == (numbers, texts)
            && self.frame_rows > 0
            && self.frame_rows.is_multiple_of(LANES)
            && self.places.iter().all(|(start, rows)| *start <= end && *rows as u64 <= end)
            && self.places.iter().enumerate().all(full)
            && self.places.iter().all(&mut placed)
            && self.rows() == rows
    }
}

impl Spilled {
    /// No frames yet, in `file`: of `frame_rows` rows and so many number and text columns, with weights and offsets or without.
    pub(super) fn new(
        file: &Arc<DiskFile>,
        frame_rows: usize,
        [numbers, texts]: [usize; 2],
        [weights, offsets]: [bool; 2],
    ) -> Self {
        let frames = PlacedFrames { frame_rows, numbers, texts, weights, offsets, places: Vec::new() };
        Spilled::at(file, frames)
    }

    /// Frames that are in `file` already.
    pub(super) fn at(file: &Arc<DiskFile>, frames: PlacedFrames) -> Self {
        Spilled { file: Arc::clone(file), pass: Arc::default(), levels: vec![None; frames.texts], frames }
    }

    /// Where the frames lie.
    pub(super) fn frames(&self) -> &PlacedFrames {
        &self.frames
    }

    /// How far a pass over them is.
    pub(super) fn pass(&self) -> &Arc<Pass> {
        &self.pass
    }

    /// The first row and the rows of each frame.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let starts = (0..).step_by(self.frames.frame_rows);
        starts.zip(&self.frames.places).map(|(start, (_, rows))| start..start + rows)
    }

    /// Appends a frame of `rows` rows.
    ///
    /// # Errors
    /// As [`DiskFile::append`].
    pub(super) fn write(&mut self, rows: usize, frame: &Frame<'_>) -> Result<()> {
        let start = self.file.end();
        for (piece, bytes, unit) in self.frames.pieces(rows) {
            let all: &[u8] = match piece {
                Piece::Numbers => bytemuck::cast_slice(frame.numbers),
                Piece::Text(text) => bytemuck::cast_slice(frame.codes[text]),
                Piece::Target => frame.target,
                Piece::Weight => bytemuck::cast_slice(frame.weight.unwrap_or_default()),
                Piece::Offset => bytemuck::cast_slice(frame.offset.unwrap_or_default()),
            };
            self.file.append(&all[..bytes], unit as u64)?;
        }
        self.frames.places.push((start, rows));
        Ok(())
    }

    /// Reads some of a piece of frame `frame`, from entry `first` of it on; nothing where there is no such piece.
    fn read<T: bytemuck::Pod>(&self, frame: usize, sought: Piece, first: usize, out: &mut [T]) -> Result<()> {
        let mut sections = self.frames.sections(self.frames.places[frame]);
        let Some((_, section)) = sections.find(|(piece, _)| *piece == sought) else { return Ok(()) };
        self.file.read_section(section, (first * size_of::<T>()) as u64, bytemuck::cast_slice_mut(out))
    }

    /// Reads the numbers of some groups of a frame.
    fn numbers(&self, frame: usize, groups: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(frame, Piece::Numbers, groups.start * LANES * self.frames.numbers, out)
    }

    /// Says the level of each code of a text column.
    pub(super) fn set_levels(&mut self, text: usize, levels: &[u32]) {
        self.levels[text] = Some(levels.to_vec());
    }

    /// Calls `each` with the levels of a text column in one stretch of rows after the other.
    ///
    /// # Errors
    /// As [`DiskFile::read_section`], and what `each` fails with.
    pub(super) fn each_level(&self, text: usize, each: &mut dyn FnMut(&[u32])) -> Result<()> {
        for (frame, rows) in self.ranges().enumerate() {
            each(&self.levels(frame, text, 0..rows.len())?);
        }
        Ok(())
    }

    /// Reads the levels of a text column in some rows of a frame.
    fn levels(&self, frame: usize, text: usize, rows: Range<usize>) -> Result<Vec<u32>> {
        let mut codes = vec![0u32; rows.len()];
        self.read(frame, Piece::Text(text), rows.start, &mut codes)?;
        if let Some(levels) = &self.levels[text] {
            codes.iter_mut().for_each(|code| *code = levels.get(*code as usize).copied().unwrap_or(MISSING));
        }
        Ok(codes)
    }
}

/// The vectors of spilled rows.
#[derive(Debug)]
pub(super) struct SpilledVectors {
    pub(super) spilled: Spilled,
    classes: Arc<Classes>,
    /// On the weights of each class; none where all are 1.
    factors: Vec<f64>,
}

impl SpilledVectors {
    pub(super) fn new(spilled: Spilled, classes: &Arc<Classes>, factors: Vec<f64>) -> Self {
        SpilledVectors { spilled, classes: Arc::clone(classes), factors }
    }

    /// Those of some rows of a frame.
    fn of(&self, frame: usize, rows: Range<usize>) -> Result<RowVectors> {
        let PlacedFrames { weights, offsets, .. } = self.spilled.frames;
        let mut codes = vec![0u8; rows.len()];
        self.spilled.read(frame, Piece::Target, rows.start, &mut codes)?;
        let numbers = |piece, there: bool| {
            let mut numbers = vec![0f64; if there { rows.len() } else { 0 }];
            self.spilled.read(frame, piece, rows.start, &mut numbers)?;
            Ok(numbers)
        };
        let (weight, offset) = (numbers(Piece::Weight, weights)?, numbers(Piece::Offset, offsets)?);
        let labels = Labelled { rows: rows.len(), codes: &codes, weight: &weight, offset: &offset };
        Ok(labels.vectors(&self.classes, &self.factors))
    }
}

impl VectorSource for SpilledVectors {
    fn rows(&self) -> usize {
        self.spilled.frames.rows()
    }

    fn each(&self, each: &mut dyn FnMut(usize, &RowVectors) -> Result<()>) -> Result<()> {
        for (frame, rows) in self.spilled.ranges().enumerate() {
            each(rows.start, &self.of(frame, 0..rows.len())?)?;
        }
        Ok(())
    }
}

/// The rows of a block, within one frame.
#[derive(Debug)]
pub(super) struct SpilledBlock {
    vectors: Arc<SpilledVectors>,
    recipe: Arc<Recipe>,
    frame: usize,
    /// Counted from the frame's first.
    rows: Range<usize>,
}

impl SpilledBlock {
    /// The rows `rows` of all, which begin a group.
    pub(super) fn new(vectors: &Arc<SpilledVectors>, recipe: &Arc<Recipe>, rows: Range<usize>) -> Self {
        let frame_rows = vectors.spilled.frames.frame_rows;
        let (frame, start) = (rows.start / frame_rows, rows.start % frame_rows);
        SpilledBlock {
            vectors: Arc::clone(vectors),
            recipe: Arc::clone(recipe),
            frame,
            rows: start..start + rows.len(),
        }
    }

    /// Reads X of the groups of rows `groups` into `out`.
    ///
    /// # Errors
    /// As [`DiskFile::read_section`].
    pub(super) fn read(&self, groups: Range<usize>, out: &mut [f32]) -> Result<()> {
        let spilled = &self.vectors.spilled;
        let first = self.rows.start / LANES;
        let here = first + groups.start..first + groups.end;
        if self.recipe.keeps_numbers() {
            spilled.numbers(self.frame, here, out)?;
        } else {
            let mut numbers = vec![0f32; groups.len() * LANES * self.recipe.number_columns()];
            spilled.numbers(self.frame, here.clone(), &mut numbers)?;
            let rows = here.start * LANES..self.rows.end.min(here.end * LANES);
            let codes: Vec<Vec<u32>> = (0..spilled.frames.texts)
                .map(|text| spilled.levels(self.frame, text, rows.clone()))
                .collect::<Result<_>>()?;
            let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
            self.recipe.expand(&numbers, &codes, out);
        }
        self.recipe.finish(out);
        Ok(())
    }

    /// Reads the vectors of all rows.
    ///
    /// # Errors
    /// As [`DiskFile::read_section`].
    pub(super) fn vectors(&self) -> Result<RowVectors> {
        self.vectors.of(self.frame, self.rows.clone())
    }

    /// Bytes of those vectors as they are kept.
    pub(super) fn vector_bytes(&self) -> u64 {
        let beside =
            |(piece, bytes, _)| if matches!(piece, Piece::Numbers | Piece::Text(_)) { 0 } else { bytes as u64 };
        self.vectors.spilled.frames.pieces(self.rows.len()).map(beside).sum()
    }

    /// Whether there is an offset among them.
    pub(super) fn has_offset(&self) -> bool {
        self.vectors.spilled.frames.offsets
    }

    /// How far a pass over the file is.
    pub(super) fn pass(&self) -> &Pass {
        self.vectors.spilled.pass()
    }

    /// The folder of the file, which has room for what is computed of the rows.
    pub(super) fn folder(&self) -> &Path {
        self.vectors.spilled.file.folder()
    }
}
