//! Delimited text (CSV, TSV): records with their places, and a header.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use super::cell;
use super::lines::{Lines, detect_delimiter};
use super::names;
use super::options::Format;
use crate::error::{Error, Place, Result};

/// Bytes from which the delimiter is told.
const START_BYTES: u64 = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;

type Source = Lines<std::io::Chain<Cursor<Vec<u8>>, File>>;

/// A delimited text file, read record by record.
pub(super) struct Delimited {
    path: PathBuf,
    reader: csv::Reader<Source>,
    names: Vec<String>,
    /// The first record of a file without a header, until it is taken.
    pending: Option<ByteRecord>,
    /// What the user should know about the header.
    pub(super) notes: Vec<String>,
    /// Whether the header looks like a row of numbers.
    pub(super) numeric_header: bool,
}

impl Delimited {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path, format: Format, no_header: bool) -> Result<Self> {
        let mut file = open_file(path)?;
        let mut start = Vec::new();
        file.by_ref().take(START_BYTES).read_to_end(&mut start).map_err(|e| Error::io(path, e))?;
        let whole = (start.len() as u64) < START_BYTES;
        refuse_known_binaries(path, &start)?;
        if start.starts_with(b"\xef\xbb\xbf") {
            start.drain(..3);
        }
        let delimiter = if format == Format::Tsv { b'\t' } else { detect_delimiter(&start, whole) };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Lines::new(Cursor::new(start).chain(file), delimiter));
        let mut file = Delimited {
            path: path.to_path_buf(),
            reader,
            names: Vec::new(),
            pending: None,
            notes: Vec::new(),
            numeric_header: false,
        };
        let mut first = ByteRecord::new();
        if !file.read(&mut first)? {
            return Err(Error::data(path, "the file is empty"));
        }
        if no_header {
            file.names = (1..=first.len()).map(|i| format!("c{i}")).collect();
            file.pending = Some(first);
        } else {
            file.take_header(&first)?;
        }
        Ok(file)
    }

    /// Names of the columns.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.get_ref().bytes_read()
    }

    /// The line on which `record`, the last one read, starts.
    pub(super) fn line(&self, record: &ByteRecord) -> u64 {
        // A record that the end of the file cut has no line feed of its own.
        let own = u64::from(!self.reader.get_ref().is_drained());
        let inner = record.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
        self.reader.position().line().saturating_sub(own + inner)
    }

    /// Reads the next row; false at the end.
    pub(super) fn next(&mut self, record: &mut ByteRecord) -> Result<bool> {
        if let Some(first) = self.pending.take() {
            *record = first;
            return Ok(true);
        }
        if !self.read(record)? {
            return Ok(false);
        }
        if record.len() != self.names.len() {
            let expected = self.names.len();
            return Err(self.error(
                record,
                None,
                format!(
                    "expected {expected} {} as on the first line, found {}",
                    if expected == 1 { "cell" } else { "cells" },
                    record.len()
                ),
            ));
        }
        Ok(true)
    }

    /// An error about a column of `record`, the last one read.
    pub(super) fn error(&self, record: &ByteRecord, column: Option<&str>, message: impl Into<String>) -> Error {
        let place =
            Place { file: self.path.clone(), line: Some(self.line(record)), column: column.map(ToString::to_string) };
        Error::Data { place, message: message.into() }
    }

    /// Reads the next record that is not a line of blanks, and holds it to be text.
    fn read(&mut self, record: &mut ByteRecord) -> Result<bool> {
        loop {
            let more = self.reader.read_byte_record(record).map_err(|e| match e.into_kind() {
                csv::ErrorKind::Io(e) => Error::io(&self.path, e),
                other => Error::data(&self.path, format!("{other:?}")),
            })?;
            if !more {
                return Ok(false);
            }
            let bytes = record.as_slice();
            if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
                return Err(self.error(
                    record,
                    None,
                    "this is not UTF-8 text; is it a binary file or another encoding?",
                ));
            }
            // `Lines` ends every file with a line feed, so only an open quote can carry a record to the file's end.
            if self.reader.get_ref().is_drained() {
                return Err(self.error(record, None, "a quote that opens in this row is never closed"));
            }
            let blank = record.len() == 1 && bytes.trim_ascii().is_empty();
            if !blank || (bytes.is_empty() && self.names.len() == 1) {
                return Ok(true);
            }
        }
    }

    fn take_header(&mut self, header: &ByteRecord) -> Result<()> {
        let mut unnamed = Vec::new();
        for (i, raw) in header.iter().enumerate() {
            let mut name = String::from_utf8_lossy(raw.trim_ascii()).into_owned();
            if name.is_empty() {
                name = format!("c{}", i + 1);
                unnamed.push(name.clone());
            }
            self.names.push(name);
        }
        if let Some(name) = names::repeated(&self.names) {
            return Err(self.error(header, None, format!("two columns are named '{name}'; rename one of them")));
        }
        self.numeric_header = self.names.iter().all(|name| cell::number(name.as_bytes()).is_some());
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

/// Opens a file for reading; a directory is an error.
pub(super) fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    if file.metadata().map_err(|e| Error::io(path, e))?.is_dir() {
        return Err(Error::data(path, "this is a directory; name the files in it"));
    }
    Ok(file)
}

fn refuse_known_binaries(path: &Path, start: &[u8]) -> Result<()> {
    let known: [(&[u8], &str); 7] = [
        (b"\x1f\x8b", "this file is compressed with gzip; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "this file is compressed with zstd; unpack it first"),
        (b"PK\x03\x04", "this is a zip archive or a spreadsheet; save it as CSV"),
        (b"PAR1\x15", "this is a Parquet file, which is not read yet; save it as CSV"),
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
mod tests {
    use std::io::Write;

    use super::*;

    fn rows(text: &str, no_header: bool) -> Result<Vec<(u64, Vec<String>)>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut input = Delimited::open(file.path(), Format::Csv, no_header)?;
        let (mut rows, mut record) = (Vec::new(), ByteRecord::new());
        while input.next(&mut record)? {
            let cells = record.iter().map(|c| String::from_utf8_lossy(c.trim_ascii()).into_owned()).collect();
            rows.push((input.line(&record), cells));
        }
        Ok(rows)
    }

    fn lines(text: &str) -> Vec<u64> {
        rows(text, false).unwrap().iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn lines_are_counted_through_blank_lines_and_quoted_line_ends() {
        assert_eq!(lines("a,b\n1,2\n3,4"), [2, 3]);
        assert_eq!(lines("\n\na,b\n\n1,2\n  \n\n3,4\n"), [5, 8]);
        assert_eq!(lines("a,b\n\"x\ny\nz\",2\n3,4\n"), [2, 5]);
        assert_eq!(lines("a,b\r\n\"x\r\ny\",2\r\n3,4\r\n"), [2, 4]);
        assert_eq!(lines("a,b\r1,2\r\r3,4"), [2, 4]);
        let first = rows("1,2\n3,4\n", true).unwrap();
        assert_eq!(first.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn cells_lose_blanks_and_quotes_and_the_file_its_mark() {
        let read = rows("\u{feff}a, b ,c\n 1 ,\"x, \"\"y\"\"\", \"z\"\n", false).unwrap();
        assert_eq!(read, [(2, vec!["1".into(), "x, \"y\"".into(), "z".into()])]);
    }

    #[test]
    fn a_quoted_cell_behind_a_blank_may_hold_the_delimiter() {
        let cells = |text: &str| rows(text, false).unwrap().into_iter().map(|(_, cells)| cells).collect::<Vec<_>>();
        assert_eq!(
            cells("a, \"b, c\"\n1, \"a, b\"\n  \"2\",\t\"x \"\"y\"\",\n z\" \n"),
            [["1", "a, b"], ["2", "x \"y\",\n z"]]
        );
        // Inside quotes, and behind other text, blanks and quotes are the cell's own.
        assert_eq!(cells("a,b\n\"x, \",5\" long\n"), [["x,", "5\" long"]]);
        assert_eq!(cells("a;b\n \"1;\" ; \"2\"\n"), [["1;", "2"]]);
    }

    #[test]
    fn a_quote_left_open_is_an_error_and_a_closed_one_is_not() {
        let message = rows("a,b\n1,2\n3,\"4\n5,6\n", false).unwrap_err().to_string();
        assert!(message.contains("line 3: a quote that opens in this row is never closed"), "{message}");
        assert_eq!(rows("a,b\n3,\"4\n\"\n\n", false).unwrap().len(), 1);
    }

    #[test]
    fn a_single_column_keeps_its_quoted_empty_cells() {
        assert_eq!(rows("a\n1\n\"\"\n\n2\n", false).unwrap().len(), 3);
    }
}
