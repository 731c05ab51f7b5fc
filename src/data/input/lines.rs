//! Text files as the csv crate reads them best: line ends made LF, byte order mark gone, delimiter known.

use std::io::{self, Read};

/// Delimiters looked for; a blank is none.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Lines that decide the delimiter.
const FIRST_LINES: usize = 20;

/// Where the bytes passed on end, by the rules of the csv crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    Start,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two that mean one.
    Quote,
}

/// Makes every line end (LF, CRLF, CR) a LF and ends the last line with one, so that lines are counted by their LFs,
/// and drops blanks at the start of cells, because the csv crate knows no quote behind a blank.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    delimiter: u8,
    spot: Spot,
    after_cr: bool,
    last: Option<u8>,
    ended: bool,
    drained: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(inner: R, delimiter: u8) -> Self {
        Lines { inner, delimiter, spot: Spot::Start, after_cr: false, last: None, ended: false, drained: false }
    }

    /// Whether the reader has been told that nothing follows.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Drops blanks at the start of cells, at least those before a quote; returns how many bytes stay.
    fn strip(&mut self, bytes: &mut [u8]) -> usize {
        let ends = |b: u8| b == self.delimiter || b == b'\n';
        let blank = |b: u8| b == b' ' || (b == b'\t' && b != self.delimiter);
        if matches!(self.spot, Spot::Start | Spot::Plain) && !bytes.contains(&b'"') {
            // No quote follows but perhaps in the next bytes.
            return match bytes.iter().rposition(|b| !blank(*b)) {
                None if self.spot == Spot::Start => 0,
                None => bytes.len(),
                Some(last) if ends(bytes[last]) => {
                    self.spot = Spot::Start;
                    last + 1
                }
                Some(_) => {
                    self.spot = Spot::Plain;
                    bytes.len()
                }
            };
        }
        let mut kept = 0;
        for i in 0..bytes.len() {
            let b = bytes[i];
            if self.spot == Spot::Start && blank(b) {
                continue;
            }
            self.spot = match (self.spot, b) {
                (Spot::Start | Spot::Quote, b'"') => Spot::Quoted,
                (Spot::Quoted, b'"') => Spot::Quote,
                (Spot::Quoted, _) => Spot::Quoted,
                _ if ends(b) => Spot::Start,
                _ => Spot::Plain,
            };
            bytes[kept] = b;
            kept += 1;
        }
        kept
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            let n = self.inner.read(out)?;
            if n == 0 {
                self.ended = true;
                if self.last.is_some_and(|b| b != b'\n') {
                    out[0] = b'\n';
                    return Ok(1);
                }
                break;
            }
            let mut kept = n;
            if self.after_cr || out[..n].contains(&b'\r') {
                kept = 0;
                for i in 0..n {
                    let b = out[i];
                    // The LF of a CRLF: its CR has become one already.
                    if !(b == b'\n' && self.after_cr) {
                        out[kept] = if b == b'\r' { b'\n' } else { b };
                        kept += 1;
                    }
                    self.after_cr = b == b'\r';
                }
            }
            if let Some(&last) = out[..kept].last() {
                self.last = Some(last);
                let stripped = self.strip(&mut out[..kept]);
                if stripped > 0 {
                    return Ok(stripped);
                }
            }
        }
        self.drained |= self.ended;
        Ok(0)
    }
}

/// The delimiter of a file that starts with `start`: the one that stands outside quotes equally often on most of the
/// first lines, then the most often; a comma where none stands at all.
pub(super) fn detect_delimiter(start: &[u8], whole: bool) -> u8 {
    let lines = count_delimiters(start, whole);
    let score = |k: usize| {
        let first = lines.first().map_or(0, |counts| counts[k]);
        let agreeing = if first == 0 { 0 } else { lines.iter().filter(|counts| counts[k] == first).count() };
        (agreeing, first)
    };
    // The first of equals wins, and `max_by_key` would take the last.
    let best = (0..DELIMITERS.len()).rev().max_by_key(|&k| score(k)).unwrap_or(0);
    DELIMITERS[best]
}

/// How often each delimiter stands outside quotes on each of the first lines that are not blank.
fn count_delimiters(start: &[u8], whole: bool) -> Vec<[usize; DELIMITERS.len()]> {
    let mut lines = Vec::new();
    let (mut counts, mut blank, mut quoted) = ([0; DELIMITERS.len()], true, false);
    for &b in start {
        match b {
            b'"' => (quoted, blank) = (!quoted, false),
            b'\n' | b'\r' if !quoted => {
                if !blank {
                    lines.push(counts);
                }
                (counts, blank) = ([0; DELIMITERS.len()], true);
                if lines.len() == FIRST_LINES {
                    return lines;
                }
            }
            _ => {
                if let Some(k) = DELIMITERS.iter().position(|d| *d == b && !quoted) {
                    counts[k] += 1;
                }
                blank &= b == b' ';
            }
        }
    }
    // A line that was cut says little, unless it is all there is.
    if !blank && (whole || lines.is_empty()) {
        lines.push(counts);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives `step` bytes at a time.
    struct Slow<'a>(&'a [u8], usize);
    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn every_line_end_becomes_a_line_feed_however_the_bytes_arrive() {
        let cases = [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb\r", "a\nb\n"),
            ("a\nb", "a\nb\n"),
            ("a\r\r\nb\n\rc", "a\n\nb\n\nc\n"),
            ("", ""),
            ("\r\n", "\n"),
        ];
        let mut seen = 0;
        for (input, expected) in cases {
            for step in [1, 2, 3, 100] {
                let mut lines = Lines::new(Slow(input.as_bytes(), step), b',');
                let mut text = String::new();
                lines.read_to_string(&mut text).unwrap();
                assert_eq!(text, expected, "{input:?} in steps of {step}");
                seen += 1;
            }
        }
        assert_eq!(seen, 24);
    }

    #[test]
    fn blanks_before_a_quoted_cell_go_however_the_bytes_arrive() {
        let input = "a b,  \"c, \"\"d \" ,e\" f,\t\"g\n \"\n  \"h\"\n";
        for step in [1, 2, 3, 5, 100] {
            let mut lines = Lines::new(Slow(input.as_bytes(), step), b',');
            let mut text = String::new();
            lines.read_to_string(&mut text).unwrap();
            assert_eq!(text, "a b,\"c, \"\"d \" ,e\" f,\"g\n \"\n\"h\"\n", "in steps of {step}");
        }
    }

    #[test]
    fn the_delimiter_is_the_one_that_stands_equally_often() {
        let cases: [(&str, u8); 9] = [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("a\tb c\n1\t2 3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("a b\n1 2\n", b','),
            ("\"a;b;c\",d\n\"x;y;z\",1\n", b','),
            ("a,b,c\n1,2\n3,4,5\n", b','),
            ("a,b;c,d\n1,2;3,4\n", b','),
            ("a;b", b';'),
        ];
        assert_eq!(cases.iter().filter(|(text, d)| detect_delimiter(text.as_bytes(), true) == *d).count(), cases.len());
    }
}
