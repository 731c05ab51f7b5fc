//! Delimited text (CSV, TSV): a header, and records read piece by piece in parallel.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rayon::prelude::*;

use super::cells::{Plan, records};
use super::files::{Input, Source};
use super::lines::detect_delimiter;
use super::pieces::{PIECE_COST, Piece, Pieces, first_record_end};
use super::{Batch, Declared, Fault, Field, Guess, Reader, Request, cell, error_at};
use crate::data::names;
use crate::data::options::Format;
use crate::error::{Error, Result};

/// Bytes from which the delimiter and the header are told, at first.
const START_BYTES: usize = 64 << 10;
/// Pieces that are read while as many are parsed, for each thread and at the most: they are memory.
const PIECES_A_THREAD: usize = 4;
const MOST_PIECES: usize = 32;

/// A delimited text file.
pub(super) struct Delimited {
    path: PathBuf,
    delimiter: u8,
    fields: Vec<Field>,
    /// What is to be parsed, before that begins.
    work: Option<Work>,
    plan: Arc<Plan>,
    /// What is being parsed.
    pending: Option<mpsc::Receiver<Parsed>>,
    /// What the reading of further text failed with.
    failed: Option<Error>,
    notes: Vec<String>,
    numeric_header: bool,
}

/// Pieces to be parsed, and where the next ones come from.
struct Work {
    pieces: Pieces<Input>,
    now: Vec<Piece>,
    /// The line on which they begin.
    line: u64,
}

/// Rows, and what is to be parsed next.
type Parsed = (Vec<Batch>, Result<Work>);

impl Work {
    /// Parses the pieces while the next ones are read.
    fn run(mut self, plan: &Plan, path: &Path) -> Parsed {
        let mut first_line = self.line;
        let mut placed: Vec<(&Piece, u64)> = Vec::with_capacity(self.now.len());
        for piece in &self.now {
            placed.push((piece, first_line));
            first_line += piece.lines;
        }
        let pieces = &mut self.pieces;
        let (batches, next) = rayon::join(
            || placed.par_iter().map(|(piece, first)| plan.read(piece, *first)).collect::<Vec<Batch>>(),
            || wave(pieces, path),
        );
        let done = std::mem::take(&mut self.now);
        done.into_iter().for_each(|piece| self.pieces.recycle(piece));
        self.line = first_line;
        (batches, next.map(|now| Work { now, ..self }))
    }
}

impl Delimited {
    /// Opens a file and reads its header.
    pub(super) fn open(source: &Source, format: Format, no_header: bool) -> Result<Self> {
        let path = &source.path;
        let mut input = source.text()?;
        let mut start = Vec::new();
        let mut whole = read_some(&mut input, &mut start, START_BYTES).map_err(|e| Error::io(path, e))?;
        refuse_known_binaries(path, &start)?;
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        start.drain(..mark);
        let delimiter = if format == Format::Tsv { b'\t' } else { detect_delimiter(&start, whole) };
        let mut end = first_row_end(&start, delimiter);
        while end.is_none() && !whole {
            if start.len() > super::pieces::MOST_RECORD_BYTES {
                return Err(error_at(path, Some(1), None, "the first line does not end; is a quote never closed?"));
            }
            let wanted = 2 * start.len();
            whole = read_some(&mut input, &mut start, wanted).map_err(|e| Error::io(path, e))?;
            end = first_row_end(&start, delimiter);
        }
        let end = end.unwrap_or(start.len());
        let mut first = None;
        let fault = records(&start[..end], delimiter, false, 1, |line, record| {
            first = Some((line, record.iter().map(|cell| cell.trim_ascii().to_vec()).collect::<Vec<_>>()));
            Ok(false)
        });
        if let Some(Fault::Row { line, message }) = fault {
            return Err(error_at(path, line, None, message));
        }
        let Some((line, cells)) = first else { return Err(Error::data(path, "the file is empty")) };
        let header = if no_header { 0 } else { end };
        let mut first_line = 1 + line_count(&start[..header]);
        let at_a_time = source.at_a_time(PIECES_A_THREAD, MOST_PIECES, PIECE_COST);
        let mut pieces = match &source.portion {
            None => {
                start.drain(..header);
                Pieces::new(input, delimiter, start, at_a_time)
            }
            Some(portion) => {
                // Lines are counted from where the part begins; the header's may be among them.
                let from = start.len().min(portion.start.saturating_sub(mark as u64) as usize);
                first_line = 1 + line_count(start.get(from..header).unwrap_or_default());
                source.rewind();
                let input = source.text_of_portion(portion, (mark + header) as u64)?;
                Pieces::new(input, delimiter, Vec::new(), at_a_time).without_quotes(&source.quoted)
            }
        };
        let mut file = Delimited {
            path: path.clone(),
            delimiter,
            fields: Vec::new(),
            work: Some(Work { now: wave(&mut pieces, path)?, pieces, line: first_line }),
            plan: Arc::new(Plan::new(delimiter, 1, &[])),
            pending: None,
            failed: None,
            notes: Vec::new(),
            numeric_header: false,
        };
        if no_header {
            file.fields = (1..=cells.len()).map(|i| unknown(format!("c{i}"))).collect();
        } else {
            file.take_header(&cells, line)?;
        }
        Ok(file)
    }

    /// Begins to parse, in the background: rows are taken in while the next ones are parsed.
    fn parse(&self, work: Work) -> mpsc::Receiver<Parsed> {
        let (send, receive) = mpsc::channel();
        let (plan, path) = (Arc::clone(&self.plan), self.path.clone());
        // Nobody listens any more when taking rows in has failed.
        let parse = move || drop(send.send(work.run(&plan, &path)));
        // A thread of the pool that waits for another of its tasks may wait for itself.
        if rayon::current_thread_index().is_some() {
            parse();
        } else {
            rayon::spawn(parse);
        }
        receive
    }

    fn take_header(&mut self, header: &[Vec<u8>], line: u64) -> Result<()> {
        let mut unnamed = Vec::new();
        for (i, raw) in header.iter().enumerate() {
            let mut name = String::from_utf8_lossy(raw).into_owned();
            if name.is_empty() {
                name = format!("c{}", i + 1);
                unnamed.push(name.clone());
            }
            self.fields.push(unknown(name));
        }
        if let Some(name) = names::repeated(self.fields.iter().map(|field| &field.name)) {
            let message = format!("two columns are named '{name}'; rename one of them");
            return Err(error_at(&self.path, Some(line), None, message));
        }
        self.numeric_header = self.fields.iter().all(|field| cell::number(field.name.as_bytes()).is_some());
        if !unnamed.is_empty() {
            self.notes.push(format!(
                "{}: {} without a name in the header are called {}",
                self.path.display(),
                if unnamed.len() == 1 { "a column" } else { "columns" },
                names::listed(&unnamed)
            ));
        }
        Ok(())
    }
}

/// The pieces that are parsed at a time.
fn wave(pieces: &mut Pieces<Input>, path: &Path) -> Result<Vec<Piece>> {
    pieces.wave().map_err(|e| Error::io(path, e))
}

impl Reader for Delimited {
    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn guess(&mut self, fields: &[usize]) -> Result<Vec<Guess>> {
        let mut guesses = vec![Guess::default(); fields.len()];
        let Some(work) = &self.work else { return Ok(guesses) };
        let mut line = work.line;
        for piece in &work.now {
            // What is wrong with a record is said when it is read.
            let _ = records(&piece.bytes, self.delimiter, self.fields.len() == 1, line, |line, record| {
                for (guess, &field) in guesses.iter_mut().zip(fields) {
                    guess.look(record.get(field).unwrap_or_default().trim_ascii(), line);
                }
                Ok(!guesses.iter().all(Guess::is_decided))
            });
            line += piece.lines;
            if guesses.iter().all(Guess::is_decided) {
                break;
            }
        }
        Ok(guesses)
    }

    fn start(&mut self, wanted: Vec<Request>) {
        self.plan = Arc::new(Plan::new(self.delimiter, self.fields.len(), &wanted));
        self.pending = self.work.take().map(|work| self.parse(work));
    }

    fn next(&mut self) -> Result<Option<Vec<Batch>>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some(pending) = self.pending.take() else { return Ok(None) };
        let Ok((batches, work)) = pending.recv() else {
            return Err(Error::data(&self.path, "the text could not be parsed"));
        };
        match work {
            Ok(work) if !work.now.is_empty() => self.pending = Some(self.parse(work)),
            Ok(_) => {}
            Err(error) => self.failed = Some(error),
        }
        Ok(Some(batches))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn has_numeric_header(&self) -> bool {
        self.numeric_header
    }
}

fn unknown(name: String) -> Field {
    Field { name, declared: Declared::Unknown }
}

/// Reads up to `wanted` bytes in all into `bytes`; whether the end was met.
fn read_some(input: &mut Input, bytes: &mut Vec<u8>, wanted: usize) -> std::io::Result<bool> {
    let missing = wanted.saturating_sub(bytes.len());
    Ok(input.by_ref().take(missing as u64).read_to_end(bytes)? < missing)
}

/// Where the first record that is no line of blanks ends, if it is whole.
fn first_row_end(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let end = from + first_record_end(&bytes[from..], delimiter)?;
        if !bytes[from..end].trim_ascii().is_empty() {
            return Some(end);
        }
        from = end;
    }
}

/// Line ends in `bytes`, of every kind.
fn line_count(bytes: &[u8]) -> u64 {
    let feed = |at: usize| bytes[at] == b'\n';
    let ends = |at: &usize| feed(*at) || (bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    (0..bytes.len()).filter(ends).count() as u64
}

fn refuse_known_binaries(path: &Path, start: &[u8]) -> Result<()> {
    let known: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "this is a zip archive or a spreadsheet; save it as CSV"),
        (b"PAR1", "this is a Parquet file; read it with --format parquet"),
        (b"ARROW1", "this is an Arrow file; read it with --format arrow"),
        (b"\x93NUMPY", "this is a NumPy array; read it with --format npy"),
        (b"\xff\xfe", "this file is in UTF-16; save it as UTF-8"),
        (b"\xfe\xff", "this file is in UTF-16; save it as UTF-8"),
    ];
    match known.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, message)) => Err(Error::data(path, *message)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
