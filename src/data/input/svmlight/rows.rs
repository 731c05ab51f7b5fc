//! The lines of a piece become a batch of columns.

use std::collections::HashMap;

use memchr::{memchr, memchr_iter, memrchr};

use super::super::pieces::Piece;
use super::super::{Batch, Cells, Fault, Kind, Lines, MISSING, Request, Text, cell};
use super::{Extent, contents, finite, pair, tokens};

/// Values of a batch, few enough that their memory is soon used again; little text can mean many zeros.
const BATCH_VALUES: usize = if cfg!(test) { 64 } else { 1 << 20 };
/// Rows of a batch that are worth up to four times as many values.
const WORTHY_ROWS: usize = if cfg!(test) { 2 } else { 128 };
/// No column.
const NONE: u32 = u32::MAX;

/// What is read of each line.
pub(super) struct Plan {
    /// The least index.
    least: usize,
    /// The first column that each field goes to.
    first: Vec<u32>,
    /// The next column that the field of a column goes to.
    next: Vec<u32>,
    /// What each column holds.
    kinds: Vec<Kind>,
    /// Rows of a batch.
    pub(super) most_rows: usize,
}

impl Plan {
    pub(super) fn new(extent: Extent, fields: usize, wanted: &[Request]) -> Self {
        let (mut first, mut next) = (vec![NONE; fields], vec![NONE; wanted.len()]);
        for (column, request) in wanted.iter().enumerate().rev() {
            next[column] = std::mem::replace(&mut first[request.field], column as u32);
        }
        let rows = |values: usize| values / wanted.len().max(1);
        let most_rows = rows(BATCH_VALUES).max(rows(4 * BATCH_VALUES).min(WORTHY_ROWS)).max(1);
        Plan { least: extent.least, first, next, kinds: wanted.iter().map(|request| request.kind).collect(), most_rows }
    }

    /// Cuts pieces into such of no more rows than a batch.
    pub(super) fn cut(&self, wave: Vec<Piece>) -> Vec<Piece> {
        let mut parts = Vec::with_capacity(wave.len());
        for piece in wave {
            if piece.lines <= self.most_rows as u64 {
                parts.push(piece);
                continue;
            }
            let (mut from, bytes) = (0, piece.bytes.as_slice());
            let ends = memchr_iter(b'\n', bytes).map(|at| at + 1).skip(self.most_rows - 1).step_by(self.most_rows);
            for end in ends.filter(|end| *end < bytes.len()).chain([bytes.len()]) {
                let bytes = bytes[from..end].to_vec();
                parts.push(Piece { lines: memchr_iter(b'\n', &bytes).count() as u64, bytes, plain: piece.plain });
                from = end;
            }
        }
        parts
    }

    /// The rows of `piece`, the first line of which is `first_line`.
    pub(super) fn read(&self, piece: &Piece, first_line: u64) -> Batch {
        let bytes = piece.bytes.as_slice();
        let no_text =
            memchr(0, bytes).into_iter().chain(std::str::from_utf8(bytes).err().map(|e| e.valid_up_to())).min();
        let whole = &bytes[..no_text.map_or(bytes.len(), |at| memrchr(b'\n', &bytes[..at]).map_or(0, |end| end + 1))];
        let most = piece.lines as usize + 1;
        let columns = self.kinds.iter().map(|kind| match kind {
            Kind::Text | Kind::Kept => Column::Cells(Vec::new()),
            _ => Column::Numbers(vec![0.0; most]),
        });
        let mut rows = Rows { plan: self, columns: columns.collect(), lines: Vec::with_capacity(most) };
        let mut fault = None;
        for (behind, text) in contents(whole) {
            fault = rows.read(text, first_line + behind).err();
            if fault.is_some() {
                break;
            }
            rows.lines.push(behind as u32);
        }
        if no_text.is_some() && fault.is_none() {
            let line = first_line + memchr_iter(b'\n', whole).count() as u64;
            fault = Some(Fault::row(line, "this is not UTF-8 text; is it a binary file or another encoding?"));
        }
        rows.finish(first_line, fault)
    }

    /// The number in a cell of a column; NaN where it is missing.
    #[inline(always)]
    fn number(&self, column: usize, cell: &[u8], line: u64) -> Result<f64, Fault> {
        let kind = self.kinds[column];
        let number = if kind == Kind::Date { cell::date(cell) } else { finite(cell) };
        match number.filter(|x| kind != Kind::Weight || *x >= 0.0) {
            Some(number) => Ok(number),
            None if cell::is_missing(cell) => Ok(f64::NAN),
            None => Err(Fault::Cell { column, line, text: cell.to_vec() }),
        }
    }
}

/// Rows while they are read.
struct Rows<'a> {
    plan: &'a Plan,
    columns: Vec<Column<'a>>,
    /// Lines of the whole rows behind the piece's first one.
    lines: Vec<u32>,
}

/// A column while it is read.
enum Column<'a> {
    /// A number for each row there may be, 0 at first.
    Numbers(Vec<f64>),
    /// Cells as written, up to the last that is.
    Cells(Vec<&'a [u8]>),
}

impl<'a> Rows<'a> {
    /// Reads the text of line `line` of the file.
    fn read(&mut self, text: &'a [u8], line: u64) -> Result<(), Fault> {
        let fault = |token: &[u8], what: &str| Err(Fault::row(line, format!("{} {what}", cell::shown(token))));
        let mut tokens = tokens(text);
        let label = tokens.next().unwrap_or_default();
        if label.contains(&b':') {
            return fault(label, "is no label, with which a line begins");
        }
        self.set(self.plan.first[0], label, line)?;
        // The least that the next index may be, and whether one was none of the extent's.
        let (mut least, mut unknown) = (0, false);
        for (position, token) in tokens.enumerate() {
            if position == 0 && token.starts_with(b"qid:") {
                continue;
            }
            let Some((index, cell)) = pair(token) else { return fault(token, "is no INDEX:VALUE") };
            let Some(index) = index else { return fault(token, "begins with no index, which is a whole number") };
            if index < least {
                let message = format!("index {index} follows {}; indices must ascend", least - 1);
                return Err(Fault::row(line, message));
            }
            least = index.saturating_add(1);
            let feature = index.checked_sub(self.plan.least).and_then(|feature| self.plan.first.get(feature + 1));
            unknown |= feature.is_none();
            match feature {
                Some(first) if *first != NONE => self.set(*first, cell, line)?,
                _ if finite(cell).is_some() || cell::is_missing(cell) => {}
                _ => return fault(cell, &format!("at index {index} is no number")),
            }
        }
        if unknown {
            return Err(Fault::row(line, "the file changed while it was read"));
        }
        Ok(())
    }

    /// Sets the cell of the row that is read, in `column` and those that its field goes to besides, to what is written.
    #[inline(always)]
    fn set(&mut self, mut column: u32, cell: &'a [u8], line: u64) -> Result<(), Fault> {
        let row = self.lines.len();
        while let Some(next) = self.plan.next.get(column as usize) {
            match &mut self.columns[column as usize] {
                Column::Numbers(values) => values[row] = self.plan.number(column as usize, cell, line)?,
                Column::Cells(cells) => {
                    cells.resize(row, b"0");
                    cells.push(cell);
                }
            }
            column = *next;
        }
        Ok(())
    }

    /// The whole rows, the first line of whose piece is `first_line`.
    fn finish(self, first_line: u64, fault: Option<Fault>) -> Batch {
        let Rows { plan, columns, lines } = self;
        let rows = lines.len();
        let columns = columns.into_iter().zip(&plan.kinds).map(|(column, kind)| match column {
            Column::Numbers(mut values) => {
                values.truncate(rows);
                Cells::Number(values)
            }
            Column::Cells(mut cells) => {
                cells.resize(rows, b"0");
                if *kind == Kind::Text {
                    Cells::Text(coded(&cells))
                } else {
                    Cells::Kept(cells.iter().map(owned).collect())
                }
            }
        });
        let columns = columns.collect();
        let lines = match (lines.first(), lines.last()) {
            (Some(first), Some(last)) if (last - first) as usize + 1 == rows => {
                Lines::From(first_line + u64::from(*first))
            }
            _ => Lines::Listed(first_line, lines),
        };
        Batch { rows, lines, columns, fault }
    }
}

fn owned(cell: &&[u8]) -> String {
    String::from_utf8_lossy(cell).into_owned()
}

/// Cells as codes into their distinct values.
fn coded(cells: &[&[u8]]) -> Text {
    let (mut text, mut codes) = (Text::default(), HashMap::new());
    for cell in cells {
        let code = if cell::is_missing(cell) {
            MISSING
        } else {
            *codes.entry(*cell).or_insert_with(|| {
                text.values.push(owned(cell));
                text.values.len() as u32 - 1
            })
        };
        text.codes.push(code);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::super::{Reader, Source, Svmlight, extent};
    use super::*;

    /// The label and all features.
    fn all(extent: Extent) -> Vec<(usize, Kind)> {
        let kind = |field| if field == 0 { Kind::Text } else { Kind::Number };
        (0..extent.most + 2 - extent.least).map(|field| (field, kind(field))).collect()
    }

    /// The line and the cells of each row, and the fault; the most rows of a batch.
    fn read(source: &Source, extent: Extent, wanted: &[(usize, Kind)]) -> (Vec<String>, usize) {
        let mut reader = Svmlight::open(source, extent).unwrap();
        reader.start(wanted.iter().map(|&(field, kind)| Request { field, kind }).collect());
        let (mut seen, mut most) = (Vec::new(), 0);
        while let Some(batches) = reader.next().unwrap() {
            for batch in batches {
                for row in 0..batch.rows {
                    let cells = batch.columns.iter().map(|column| match column {
                        Cells::Number(values) => format!(" {:?}", values[row]),
                        Cells::Text(text) => format!(" {:?}", text.values.get(text.codes[row] as usize)),
                        Cells::Kept(cells) => format!(" {}", cells[row]),
                    });
                    seen.push(format!("{}:{}", batch.lines.of(row), cells.collect::<String>()));
                }
                most = most.max(batch.rows);
                if let Some(fault) = batch.fault {
                    seen.push(format!("{fault:?}"));
                    return (seen, most);
                }
            }
        }
        (seen, most)
    }

    #[test]
    fn rows_are_as_written_however_lines_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = 1u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) as usize % below
        };
        let numbers = ["0", "7", "-2.5", "1e-3", ".5", "+12345.678901234567", "5e-324", "nan"];
        let (mut rows, mut given) = (0, 0);
        for case in 0..24 {
            let (least, end) = (case % 2, ["\n", "\r\n", "\r"][case / 2 % 3]);
            let (mut text, mut expected) = (["", "\u{feff}"][usize::from(case % 5 == 0)].to_string(), Vec::new());
            for line in 1..=60 {
                text += ["", " ", "\t "][draw(3)];
                if draw(5) > 0 {
                    let label = ["1", "-1", "+1", "a\"b", "\"q", "NA"][draw(6)];
                    text = text + label + ["", " qid:7", "  qid:x"][draw(3)];
                    let mut values = vec![0.0; 13 - least];
                    for index in least..13 {
                        if draw(3) == 0 {
                            let number = numbers[draw(8)];
                            text += &format!("{}{index:0width$}:{number}", [" ", "\t"][draw(2)], width = case % 4);
                            values[index - least] = number.parse::<f64>().unwrap();
                            given += 1;
                        }
                    }
                    let values: String = values.iter().map(|value| format!(" {value:?}")).collect();
                    expected.push(format!("{line}: {:?}{values}", (label != "NA").then_some(label)));
                }
                text += ["", " ", "# it's 5\" 99:1", " #\"", " # \"a:b"][draw(5)];
                text += if line < 60 || case % 3 > 0 { end } else { "" };
            }
            let source = source(&folder, ["a.svm", "a.svm.gz"][usize::from(case % 4 == 0)], text.as_bytes());
            let extent = extent(std::slice::from_ref(&source)).unwrap();
            assert_eq!(extent, Extent { rows: expected.len() as u64, least, most: 12 }, "{text:?}");
            assert_eq!(read(&source, extent, &all(extent)).0, expected, "{text:?}");
            rows += expected.len();
        }
        assert!(rows > 1000 && given > 4000, "{rows} {given}");
    }

    #[test]
    fn faults_say_their_line_and_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let extent = Extent { rows: 4, least: 1, most: 8 };
        let row = |message: &str| format!("Row {{ line: Some(5), message: \"{message}");
        let cell = |column, text: &[u8]| format!("{:?}", Fault::Cell { column, line: 5, text: text.to_vec() });
        let cases: [(&[u8], String); 17] = [
            (b"1 abc", row("'abc' is no INDEX:VALUE\"")),
            (b"1 1:1 2", row("'2' is no INDEX:VALUE\"")),
            (b"1 1.5:2", row("'1.5:2' begins with no index")),
            (b"1 -1:2", row("'-1:2' begins with no index")),
            (b"1 :2", row("':2' begins with no index")),
            (b"1 1:1 qid:3", row("'qid:3' begins with no index")),
            (b"1 7:1 3:1", row("index 3 follows 7; indices must ascend\"")),
            (b"1 3:1 3:1", row("index 3 follows 3; indices must ascend\"")),
            (b"1 99:1 3:1", row("index 3 follows 99; indices must ascend\"")),
            (b"1 0:1 9:1", row("the file changed while it was read\"")),
            (b"1:1 2:1", row("'1:1' is no label")),
            (b"1 1:\xff", row("this is not UTF-8 text")),
            (b"1 1:1\0", row("this is not UTF-8 text")),
            (b"1 1:1 2:abc", cell(2, b"abc")),
            (b"1 3:inf", cell(3, b"inf")),
            (b"1 1:1 3:-1e999", cell(3, b"-1e999")),
            (b"1 1:2:3", cell(1, b"2:3")),
        ];
        let mut count = 0;
        for (text, fault) in cases {
            let whole = [b"1 1:1\r\n\n2 2:1 # c\n# c\n", text, b"\n3 8:1\n"].concat();
            let source = source(&folder, "a.svm", &whole);
            let (seen, _) = read(&source, extent, &all(extent));
            assert_eq!(seen.len(), 3, "{seen:?}");
            assert!(seen[0].starts_with("1:") && seen[1].starts_with("3:") && seen[2].starts_with(&fault), "{seen:?}");
            // What is not asked for must be numbers all the same.
            let (seen, _) = read(&source, extent, &[]);
            assert!(
                seen[2].starts_with(if fault.starts_with("Row") { &fault } else { "Row { line: Some(5)" }),
                "{seen:?}"
            );
            count += 1;
        }
        assert_eq!(count, 17);
    }

    #[test]
    fn columns_hold_what_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let text = b"2 1:1 3:? 4:05\n\n3.5 1:7 2:NA 3:-nan\nNA 4:2013-01-01\n4 1:8 2:-1 3:3\n";
        let extent = Extent { rows: 4, least: 1, most: 4 };
        let wanted = [(3, Kind::Number), (0, Kind::Weight), (0, Kind::Kept), (4, Kind::Text), (2, Kind::Weight)];
        let (seen, _) = read(&source(&folder, "a.svm", text), extent, &wanted);
        let expected = [
            "1: NaN 2.0 2 Some(\"05\") 0.0",
            "3: NaN 3.5 3.5 Some(\"0\") NaN",
            "4: 0.0 NaN NA Some(\"2013-01-01\") 0.0",
        ];
        assert_eq!(seen[..3], expected);
        assert_eq!(seen[3..], ["Cell { column: 4, line: 5, text: [45, 49] }"]);
    }

    #[test]
    fn wide_batches_have_few_rows() {
        let folder = tempfile::tempdir().unwrap();
        let file = source(&folder, "a.svm", "1\n".repeat(99).as_bytes());
        let mut cases = 0;
        for (most, rows) in [(1, 8), (15, 4), (100, 2), (200, 1), (1000, 1)] {
            let extent = Extent { rows: 99, least: 1, most };
            let (seen, most_rows) = read(&file, extent, &all(extent));
            assert_eq!((seen.len(), most_rows), (99, rows), "{most}");
            assert_eq!(seen[98], format!("99: Some(\"1\"){}", " 0.0".repeat(most)));
            cases += 1;
        }
        assert_eq!(cases, 5);
    }
}
