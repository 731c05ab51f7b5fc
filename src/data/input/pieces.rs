//! Text cut into pieces of whole records, so that they can be read in parallel.
//!
//! A record ends at a line end (LF, CRLF or CR) outside quotes; a quote opens at the start of a cell only, blanks before it
//! looked through, as [`super::lines`] reads it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::{memchr, memchr_iter, memrchr};

/// Bytes of a piece, as a rule.
#[cfg(not(test))]
const PIECE_BYTES: usize = 1 << 20;
#[cfg(test)]
const PIECE_BYTES: usize = 16;
/// Bytes that are looked at in one go.
const LOOK_BYTES: usize = 8 << 10;
/// Bytes that a record may have.
pub(super) const MOST_RECORD_BYTES: usize = 256 << 20;

/// Memory that a piece takes until its rows are taken in: its text, and its cells as numbers.
pub(super) const PIECE_COST: u64 = 4 << 20;

/// Whole records.
#[derive(Debug)]
pub(super) struct Piece {
    /// The records, each with its line end but perhaps the last of the file.
    pub(super) bytes: Vec<u8>,
    /// Line ends in it.
    pub(super) lines: u64,
    /// Whether lines end in LF (or CRLF) and there are no quotes, so that every line end ends a record and every delimiter a
    /// cell.
    pub(super) plain: bool,
}

/// Cuts what it reads.
pub(super) struct Pieces<R> {
    input: R,
    delimiter: u8,
    /// What follows the last piece.
    rest: Vec<u8>,
    ended: bool,
    /// Pieces that are worked on at a time.
    at_a_time: usize,
    /// Where a quote ends the text: what to set then.
    quoted: Option<Arc<AtomicBool>>,
    /// Memory of pieces that are done with: to be given new pages for each piece would take longer than to read it.
    spare: Vec<Vec<u8>>,
}

impl<R: Read> Pieces<R> {
    /// Those of `input` behind `start`, `at_a_time` of which make a wave.
    pub(super) fn new(input: R, delimiter: u8, start: Vec<u8>, at_a_time: usize) -> Self {
        Pieces { input, delimiter, rest: start, ended: false, at_a_time, quoted: None, spare: Vec::new() }
    }

    /// The same, ended by the first quote, which sets `quoted`: what is a part of a file begins nobody knows where then.
    pub(super) fn without_quotes(self, quoted: &Arc<AtomicBool>) -> Self {
        Pieces { quoted: Some(Arc::clone(quoted)), ..self }
    }

    /// The pieces that are worked on at a time; none at the end.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub(super) fn wave(&mut self) -> io::Result<Vec<Piece>> {
        let mut wave = Vec::new();
        while wave.len() < self.at_a_time {
            match self.next()? {
                Some(piece) => wave.push(piece),
                None => break,
            }
        }
        Ok(wave)
    }

    /// Takes back a piece that is done with.
    pub(super) fn recycle(&mut self, piece: Piece) {
        self.spare.push(piece.bytes);
    }

    /// The next piece; nothing at the end.
    ///
    /// # Errors
    /// What reading says, and a record that is too long to be one.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut wanted = PIECE_BYTES;
        loop {
            if !self.ended && bytes.len() < wanted {
                let missing = wanted - bytes.len();
                bytes.reserve_exact(missing);
                let read = self.input.by_ref().take(missing as u64).read_to_end(&mut bytes)?;
                self.ended = read < missing;
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let Marks { quote, cr } = Marks::of(&bytes);
            // Lines as records have no quotes.
            let quoted = self.delimiter != b'\n' && quote;
            if let Some(met) = self.quoted.as_ref().filter(|_| quoted) {
                met.store(true, Ordering::Relaxed);
                self.ended = true;
                return Ok(None);
            }
            let end = if self.ended { Some(bytes.len()) } else { last_record_end(&bytes, self.delimiter, quoted) };
            if let Some(end) = end {
                let mut rest = self.spare.pop().unwrap_or_default();
                rest.clear();
                rest.extend_from_slice(&bytes[end..]);
                self.rest = rest;
                bytes.truncate(end);
                let (lines, lone_cr) = line_ends(&bytes, cr);
                return Ok(Some(Piece { bytes, lines, plain: !quoted && !lone_cr }));
            }
            // A record longer than what was read.
            if bytes.len() > MOST_RECORD_BYTES {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a row is longer than {MOST_RECORD_BYTES} bytes; is a quote never closed?"),
                ));
            }
            wanted = 2 * bytes.len();
        }
    }
}

/// Whether there are quotes and CRs.
#[derive(Debug, Default)]
struct Marks {
    quote: bool,
    cr: bool,
}

impl Marks {
    fn of(bytes: &[u8]) -> Self {
        let mut marks = Marks::default();
        // Little by little, so that what is looked at is in the nearest cache.
        for bytes in bytes.chunks(LOOK_BYTES) {
            marks.quote = marks.quote || memchr(b'"', bytes).is_some();
            marks.cr = marks.cr || memchr(b'\r', bytes).is_some();
        }
        marks
    }
}

/// Whether `bytes` are UTF-8 text without NUL.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |bytes: &[u8]| memchr(0, bytes).is_none() && bytes.is_ascii();
    bytes.chunks(LOOK_BYTES).all(is_plain) || (memchr(0, bytes).is_none() && std::str::from_utf8(bytes).is_ok())
}

/// Line ends in `bytes`, and whether one of them is a CR alone; `cr` says whether there is any.
fn line_ends(bytes: &[u8], cr: bool) -> (u64, bool) {
    let feeds = memchr_iter(b'\n', bytes).count() as u64;
    if !cr {
        return (feeds, false);
    }
    let lone = memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n')).count() as u64;
    (feeds + lone, lone > 0)
}

/// Where the last record in `bytes` ends that is known to be whole; `bytes` begins with a record.
fn last_record_end(bytes: &[u8], delimiter: u8, quoted: bool) -> Option<usize> {
    let mut last = None;
    // Where the stretch without open quotes begins.
    let mut open_from = 0;
    if quoted {
        let mut from = 0;
        while let Some(at) = memchr(b'"', &bytes[from..]).map(|at| from + at) {
            if !begins_cell(bytes, at, delimiter) {
                from = at + 1;
                continue;
            }
            last = last_line_end(bytes, open_from, at).or(last);
            match closing_quote(bytes, at + 1) {
                Some(close) => (open_from, from) = (close + 1, close + 1),
                None => return last,
            }
        }
    }
    last_line_end(bytes, open_from, bytes.len()).or(last)
}

/// Where the first record in `bytes` ends, if it is whole; `bytes` begins with a record.
pub(super) fn first_record_end(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => return Some(at + 1),
            b'\r' if at + 1 < bytes.len() => return Some(at + 1 + usize::from(bytes[at + 1] == b'\n')),
            b'"' if begins_cell(bytes, at, delimiter) => at = closing_quote(bytes, at + 1)?,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Behind the last line end in `bytes[from..to]`. A CR that ends `bytes` may be half of one.
fn last_line_end(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let stretch = &bytes[from..to];
    let feed = memrchr(b'\n', stretch);
    let whole = if to == bytes.len() { &stretch[..stretch.len().saturating_sub(1)] } else { stretch };
    let tail = &whole[feed.map_or(0, |at| (at + 1).min(whole.len()))..];
    match (memrchr(b'\r', tail), feed) {
        (Some(at), _) => Some(from + (whole.len() - tail.len()) + at + 1),
        (None, Some(at)) => Some(from + at + 1),
        (None, None) => None,
    }
}

/// Whether the quote at `at` is the first of its cell but for blanks.
fn begins_cell(bytes: &[u8], at: usize, delimiter: u8) -> bool {
    let blank = |b: &u8| *b == b' ' || (*b == b'\t' && delimiter != b'\t');
    match bytes[..at].iter().rposition(|b| !blank(b)) {
        None => true,
        Some(before) => bytes[before] == delimiter || bytes[before] == b'\n' || bytes[before] == b'\r',
    }
}

/// The quote that closes the cell whose text begins at `from`; two in a row are one of the text.
fn closing_quote(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr(b'"', bytes.get(from..)?)?;
        if bytes.get(at + 1) != Some(&b'"') {
            // The last byte known may be the first of two.
            return (at + 1 < bytes.len()).then_some(at);
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(String, u64, bool)> {
        let mut pieces = Pieces::new(text.as_bytes(), b',', Vec::new(), 1);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            all.push((String::from_utf8(piece.bytes).unwrap(), piece.lines, piece.plain));
        }
        assert_eq!(all.iter().map(|(text, _, _)| text.as_str()).collect::<String>(), text);
        all
    }

    #[test]
    fn pieces_end_where_records_do() {
        for (text, plain) in [
            ("1,2,3\n4,5,6\n7,8,9\n10,11,12\n13", true),
            ("1,2,3\r\n4,5,6\r\n7,8,9\r\n10,11,12\r\n", true),
            ("1,2,3\r4,5,6\r7,8,9\r10,11,12\r13", false),
            ("a,\"b\nc,\n d\"\n1,2\n3,\"4\n5,6,7,8,9,10,11\"\n12,13\n", false),
            ("5\" x,\n6\" y\n\"a\n\",\"\"\"\n,\"\"\",\" z\n\"\n", false),
        ] {
            let pieces = cut(text);
            assert!(pieces.len() > 1, "{text:?}: {pieces:?}");
            assert!(pieces.iter().any(|(_, _, is_plain)| *is_plain == plain), "{text:?}");
            for (piece, _, _) in &pieces[..pieces.len() - 1] {
                assert!(piece.ends_with(['\n', '\r']), "{text:?}: {pieces:?}");
                let quotes = piece.matches('"').count();
                assert!(quotes % 2 == 0 || piece.starts_with("5\""), "{text:?}: {pieces:?}");
            }
        }
        let lines: u64 = cut("1,2,3\r\n4\r5\n6,7,8,9,10,11,12,13,14\n").iter().map(|piece| piece.1).sum();
        assert_eq!(lines, 4);
    }

    #[test]
    fn the_first_record_ends_outside_quotes() {
        let ends = |text: &str| first_record_end(text.as_bytes(), b',');
        assert_eq!(
            [ends("a,b\nc"), ends("a,\"b\nc\"\r\nd"), ends("\"a\"\"\n\"\rb"), ends("a,b"), ends("a\r"), ends("\"a\n")],
            [Some(4), Some(9), Some(7), None, None, None]
        );
    }
}
