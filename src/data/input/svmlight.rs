//! Text in the svmlight (libsvm) format: a line is a label and `INDEX:VALUE` pairs; what is not given is 0.

mod rows;

use std::io::Read;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter, memrchr2};
use rayon::prelude::*;

use self::rows::Plan;
use super::files::{Input, Source};
use super::pieces::{PIECE_COST, Piece, Pieces};
use super::{Batch, Declared, Field, Reader, Request, cell, error_at};
use crate::data::options::SVMLIGHT_LABEL;
use crate::error::{Error, Result};

/// Columns that are read at most.
pub(in crate::data) const MOST_COLUMNS: usize = 10_000_000;
/// Pieces that are read while as many are parsed, for each thread.
const PIECES_A_THREAD: usize = 8;
/// Pieces at the most: they are memory.
const MOST_PIECES: usize = 32;
/// The rows and the indices of svmlight files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) struct Extent {
    pub(in crate::data) rows: u64,
    /// 0 if that index is used, else 1.
    pub(in crate::data) least: usize,
    /// The largest index; 0 where there is none.
    pub(in crate::data) most: usize,
}

/// Looks through files for their extent, at the first and the last index of each line only: that indices ascend is seen
/// to when the lines are read, and so is what else may be wrong with them.
///
/// # Errors
/// [`Error::Io`]; [`Error::Data`] when the columns are too many; [`Error::Usage`] about standard input.
pub(in crate::data) fn extent(sources: &[Source]) -> Result<Extent> {
    if sources.iter().any(Source::is_stream) {
        let message =
            "svmlight text on standard input cannot be read, for its width is known at its end only; give a file";
        return Err(Error::Usage(message.into()));
    }
    let (mut all, mut place) = (Extent { rows: 0, least: 1, most: 0 }, (Path::new(""), 0));
    for source in sources {
        let (path, mut pieces, mut first_line) = (source.path.as_path(), pieces(source)?, 1);
        let mut wave = read_wave(&mut pieces, path)?;
        while !wave.is_empty() {
            let (parts, ahead) =
                rayon::join(|| wave.par_iter().map(scan).collect::<Vec<_>>(), || read_wave(&mut pieces, path));
            for ((part, behind), piece) in parts.iter().zip(&wave) {
                if part.most > all.most {
                    place = (path, first_line + behind);
                }
                let (least, most) = (all.least.min(part.least), all.most.max(part.most));
                all = Extent { rows: all.rows + part.rows, least, most };
                first_line += piece.lines;
            }
            wave = ahead?;
        }
        // Nothing has been read yet but for this.
        source.rewind();
    }
    if all.most.saturating_sub(all.least) >= MOST_COLUMNS {
        let message = format!("the largest index is {}; at most {MOST_COLUMNS} columns can be read", all.most);
        return Err(error_at(place.0, Some(place.1), None, message));
    }
    Ok(all)
}

/// The extent of a piece, and how many lines behind its first one the largest index is.
fn scan(piece: &Piece) -> (Extent, u64) {
    let (mut part, mut place) = (Extent { rows: 0, least: 1, most: 0 }, 0);
    for (behind, text) in contents(&piece.bytes) {
        part.rows += 1;
        let last = &text[memrchr2(b' ', b'\t', text).map_or(text.len(), |blank| blank + 1)..];
        if let Some((Some(index), _)) = pair(last)
            && index > part.most
        {
            (part.most, place) = (index, behind);
        }
        // The first pair follows a label and perhaps a qid.
        if part.least > 0 && tokens(text).skip(1).take(2).any(|token| pair(token).is_some_and(|pair| pair.0 == Some(0)))
        {
            part.least = 0;
        }
    }
    (part, place)
}

/// The lines that hold something: how many lines behind the first one they are, and their text but for comments and the
/// blanks around.
fn contents(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let comments = memchr(b'#', bytes).is_some();
    let mut from = 0;
    memchr_iter(b'\n', bytes).chain([bytes.len()]).zip(0..).filter_map(move |(end, behind)| {
        let line = &bytes[from..end];
        from = end + 1;
        let comment = if comments { memchr(b'#', line) } else { None };
        let text = line[..comment.unwrap_or(line.len())].trim_ascii();
        (!text.is_empty()).then_some((behind, text))
    })
}

/// What stands between the blanks of a line.
fn tokens(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| matches!(b, b' ' | b'\t')).filter(|token| !token.is_empty())
}

/// A pair's index (none if that is no whole number) and value.
#[inline(always)]
fn pair(token: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let (mut index, mut at) = (0usize, 0);
    while let Some(digit @ b'0'..=b'9') = token.get(at) {
        index = index.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        at += 1;
    }
    match token.get(at) {
        Some(b':') if at > 0 => Some((Some(index), &token[at + 1..])),
        _ => memchr(b':', token).map(|colon| (None, &token[colon + 1..])),
    }
}

/// The finite number that a cell holds, if it holds one.
#[inline(always)]
fn finite(cell: &[u8]) -> Option<f64> {
    let number = match cell {
        // As in most data that is sparse.
        [digit @ b'0'..=b'9'] => return Some(f64::from(digit - b'0')),
        [b'0'..=b'9' | b'-' | b'+' | b'.', ..] => fast_float2::parse(cell).ok(),
        _ => None,
    };
    number.or_else(|| cell::number(cell)).filter(|x| x.is_finite())
}

/// The text of a source behind its byte order mark.
fn pieces(source: &Source) -> Result<Pieces<Input>> {
    let mut input = match &source.portion {
        None => source.text()?,
        Some(portion) => source.text_of_portion(portion, 0)?,
    };
    let mut start = Vec::new();
    input.by_ref().take(3).read_to_end(&mut start).map_err(|e| Error::io(&source.path, e))?;
    if start == b"\xef\xbb\xbf" {
        start.clear();
    }
    // With this for a delimiter a quote means something at the start of a line only, and there but a longer piece.
    let at_a_time = source.at_a_time(PIECES_A_THREAD, MOST_PIECES, PIECE_COST);
    Ok(Pieces::new(input, b'\n', start, at_a_time))
}

/// The pieces that are parsed at a time, the line ends of which are made LF or CRLF.
fn read_wave(pieces: &mut Pieces<Input>, path: &Path) -> Result<Vec<Piece>> {
    let mut wave = pieces.wave().map_err(|e| Error::io(path, e))?;
    for piece in wave.iter_mut().filter(|piece| !piece.plain) {
        for at in 0..piece.bytes.len() {
            if piece.bytes[at] == b'\r' && piece.bytes.get(at + 1) != Some(&b'\n') {
                piece.bytes[at] = b'\n';
            }
        }
    }
    Ok(wave)
}

/// A svmlight file.
pub(super) struct Svmlight {
    path: PathBuf,
    pieces: Pieces<Input>,
    extent: Extent,
    /// The label, and the features by their indices.
    fields: Vec<Field>,
    /// Pieces that were read ahead.
    ahead: Vec<Piece>,
    /// The line on which they begin.
    line: u64,
    plan: Option<Plan>,
}

impl Svmlight {
    /// Opens one of the files that `extent` is of.
    pub(super) fn open(source: &Source, extent: Extent) -> Result<Self> {
        let label = Field { name: SVMLIGHT_LABEL.to_string(), declared: Declared::Unknown };
        let feature = |index| Field { name: format!("x{index}"), declared: Declared::Number };
        let fields = std::iter::once(label).chain((extent.least..=extent.most).map(feature)).collect();
        let (path, pieces) = (source.path.clone(), pieces(source)?);
        Ok(Svmlight { path, pieces, extent, fields, ahead: Vec::new(), line: 1, plan: None })
    }
}

impl Reader for Svmlight {
    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn start(&mut self, wanted: Vec<Request>) {
        self.plan = Some(Plan::new(self.extent, self.fields.len(), &wanted));
    }

    fn next(&mut self) -> Result<Option<Vec<Batch>>> {
        let Some(plan) = &self.plan else { return Ok(None) };
        let (pieces, path) = (&mut self.pieces, &self.path);
        let mut read = || read_wave(pieces, path).map(|wave| plan.cut(wave));
        if self.ahead.is_empty() {
            self.ahead = read()?;
        }
        let (mut rows, most_rows) = (0, plan.most_rows * rayon::current_num_threads());
        let fits = self.ahead.iter().take_while(|piece| {
            rows += piece.lines as usize;
            rows <= most_rows
        });
        let count = fits.count().max(1).min(self.ahead.len());
        let placed = self.ahead.drain(..count).map(|piece| {
            self.line += piece.lines;
            (self.line - piece.lines, piece)
        });
        let wave: Vec<(u64, Piece)> = placed.collect();
        let is_last = self.ahead.is_empty();
        let (batches, ahead) = rayon::join(
            || wave.par_iter().map(|(first_line, piece)| plan.read(piece, *first_line)).collect::<Vec<Batch>>(),
            || if is_last { read() } else { Ok(Vec::new()) },
        );
        // What was read goes first: a fault in it is what the user must mend first.
        match ahead {
            Ok(ahead) => self.ahead.extend(ahead),
            Err(error) if batches.iter().all(|batch| batch.fault.is_none()) => return Err(error),
            Err(_) => {}
        }
        Ok((!batches.is_empty()).then_some(batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn source(folder: &tempfile::TempDir, name: &str, text: &[u8]) -> Source {
        let source = Source::new(&folder.path().join(name));
        let mut bytes = text.to_vec();
        if name.ends_with(".gz") {
            bytes.clear();
            flate2::read::GzEncoder::new(text, flate2::Compression::fast()).read_to_end(&mut bytes).unwrap();
        }
        std::fs::write(&source.path, bytes).unwrap();
        source
    }

    #[test]
    fn the_extent_is_of_all_files_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            source(&folder, "a.svm", b"1 2:1 7:1 # 99:1\n\n# 0:1\n1 qid:100\n-1\n"),
            source(&folder, "b.svm.gz", b"1 qid:3 0:1\r\n1 1:2 12:1\r\n"),
            source(&folder, "c.svm", b""),
        ];
        assert_eq!(extent(&files).unwrap(), Extent { rows: 5, least: 0, most: 12 });
        assert_eq!(extent(&files[..1]).unwrap(), Extent { rows: 3, least: 1, most: 7 });
        let none = Extent { rows: 0, least: 1, most: 0 };
        assert_eq!(extent(&files[2..]).unwrap(), none);
        assert_eq!(Svmlight::open(&files[2], none).unwrap().fields().len(), 1);
        assert!(files.iter().all(|file| file.bytes_read() == 0));
        let said =
            |second: Source| extent(&[files[0].clone(), second]).map_or_else(|e| e.to_string(), |_| String::new());
        assert!(said(Source::new(Path::new("-"))).contains("standard input"));
        let wide = |text: &[u8]| said(source(&folder, "wide.svm", text));
        assert_eq!(wide(b"1 1:1\n\n1 10000000:1\n1 5:1"), "");
        assert!(
            wide(b"1 0:1\n\n1 10000000:1\n1 5:1").contains("wide.svm, line 3: the largest index is 10000000; at most")
        );
        assert!(
            wide(b"\n1 1:1 99999999999999999999:1").contains("wide.svm, line 2: the largest index is 1844674407370")
        );
    }
}
