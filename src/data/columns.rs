//! Columns as they are read: numbers as f64 (NaN where missing), text as codes into its distinct values.

use std::fmt::Display;
use std::sync::Arc;

use super::cell;
use super::npy::Arrays;
use super::text::{At, Gap, MISSING, Text};

/// Non-missing cells that decide whether a column is numeric.
const DECIDING_CELLS: usize = 10_000;

/// What is wrong with a cell: the one just pushed, or an earlier one at `at`.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) at: Option<At>,
    pub(super) message: String,
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Problem { at: None, message }
    }
}

/// The cells of a column.
#[derive(Debug)]
pub(super) enum Cells {
    /// Numbers; NaN where missing.
    Number(Vec<f64>),
    /// Text.
    Text(Text),
    /// Column `column` of arrays that stay as they were read.
    Array { arrays: Arc<Arrays>, column: usize },
}

/// What a column is expected to hold, and so what to say of a cell that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers if the first cells are, else text.
    Guess,
    /// Text, whatever it looks like.
    Text,
    /// Numbers, because the model was fitted on numbers.
    Number,
    /// Sample weights.
    Weight,
    /// Offsets.
    Offset,
    /// Text that is carried through as it stands.
    Kept,
}

/// A column while it is read.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) name: String,
    kind: Kind,
    state: State,
    present: u64,
    missing: u64,
    first_missing: Option<At>,
    /// The first cell that is text in a column whose cells before were numbers.
    pub(super) first_text: Option<(At, String)>,
}

#[derive(Debug)]
enum State {
    /// All numbers so far, with their text (cell k ends at `ends[k]`) in case they turn out to be labels.
    Guess {
        values: Vec<f64>,
        text: Vec<u8>,
        ends: Vec<usize>,
        infinite: Option<At>,
    },
    Number(Vec<f64>),
    Text(Text),
    Kept(Vec<String>),
}

impl Builder {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        let state = match kind {
            Kind::Guess => State::Guess { values: Vec::new(), text: Vec::new(), ends: Vec::new(), infinite: None },
            Kind::Text => State::Text(Text::default()),
            Kind::Number | Kind::Weight | Kind::Offset => State::Number(Vec::new()),
            Kind::Kept => State::Kept(Vec::new()),
        };
        Builder { name: name.to_string(), kind, state, present: 0, missing: 0, first_missing: None, first_text: None }
    }

    /// Appends a trimmed cell; `at` tells its place when that matters.
    pub(super) fn push(&mut self, cell: &[u8], at: impl Fn() -> At) -> Result<(), Problem> {
        if let State::Kept(cells) = &mut self.state {
            cells.push(String::from_utf8_lossy(cell).into_owned());
            return Ok(());
        }
        if cell::is_missing(cell) {
            self.missing += 1;
            self.first_missing.get_or_insert_with(at);
            match &mut self.state {
                State::Guess { values, text, ends, .. } => {
                    values.push(f64::NAN);
                    ends.push(text.len());
                }
                State::Number(values) => values.push(f64::NAN),
                State::Text(text) => text.codes.push(MISSING),
                State::Kept(_) => {}
            }
            return Ok(());
        }
        self.present += 1;
        match &mut self.state {
            State::Number(values) => values.push(check_number(cell, self.kind, &self.name)?),
            State::Text(text) => text.push(cell, (self.kind == Kind::Text).then_some(at))?,
            State::Guess { values, text, ends, infinite } => match cell::number(cell) {
                Some(value) => {
                    if value.is_infinite() {
                        infinite.get_or_insert_with(at);
                    }
                    values.push(value);
                    text.extend_from_slice(cell);
                    ends.push(text.len());
                    if self.present >= DECIDING_CELLS as u64 {
                        self.decide()?;
                    }
                }
                None => {
                    let mut labels = replay(values, text, ends)?;
                    labels.push(cell, None::<fn() -> At>)?;
                    if self.present > 1 {
                        self.first_text = Some((at(), cell::shown(cell)));
                    }
                    self.state = State::Text(labels);
                }
            },
            State::Kept(_) => {}
        }
        Ok(())
    }

    /// Settles a column that was all numbers so far on being numeric.
    fn decide(&mut self) -> Result<(), Problem> {
        if let State::Guess { values, infinite, .. } = &mut self.state {
            if infinite.is_some() {
                let message = format!(
                    "the value is infinite or too large for a number; mend it, or leave the column out with --drop {}",
                    self.name
                );
                return Err(Problem { at: *infinite, message });
            }
            self.state = State::Number(std::mem::take(values));
        }
        Ok(())
    }

    /// The finished column.
    pub(super) fn finish(mut self) -> Result<Finished, Problem> {
        self.decide()?;
        let gap = self.first_missing.map(|first| Gap { column: self.name.clone(), count: self.missing, first });
        let (cells, kept) = match self.state {
            State::Number(values) => (Some(Cells::Number(values)), None),
            State::Text(text) => (Some(Cells::Text(text)), None),
            State::Kept(cells) => (None, Some(cells)),
            State::Guess { .. } => (None, None),
        };
        Ok(Finished { name: self.name, cells, kept, gap, present: self.present, first_text: self.first_text })
    }
}

/// A column after reading.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) name: String,
    pub(super) cells: Option<Cells>,
    pub(super) kept: Option<Vec<String>>,
    pub(super) gap: Option<Gap>,
    /// Cells that are not missing.
    pub(super) present: u64,
    pub(super) first_text: Option<(At, String)>,
}

/// Cells that were taken for numbers, as text.
fn replay(values: &[f64], text: &[u8], ends: &[usize]) -> Result<Text, String> {
    let mut labels = Text::default();
    let mut start = 0;
    for (value, &end) in values.iter().zip(ends) {
        if value.is_nan() {
            labels.codes.push(MISSING);
        } else {
            labels.push(&text[start..end], None::<fn() -> At>)?;
        }
        start = end;
    }
    Ok(labels)
}

/// What to say of a number that cannot be a weight.
pub(super) fn not_a_weight(shown: impl Display) -> String {
    format!("{shown} cannot be a weight; a weight must be a finite number ≥ 0")
}

fn check_number(cell: &[u8], kind: Kind, name: &str) -> Result<f64, String> {
    let shown = || cell::shown(cell);
    let Some(value) = cell::number(cell) else {
        return Err(match kind {
            Kind::Weight => format!("{} is not a number; a weight must be a finite number ≥ 0", shown()),
            Kind::Offset => format!("{} is not a number; an offset must be a finite number", shown()),
            Kind::Number => format!("{} is not a number, and the model takes this column for numbers", shown()),
            _ => format!(
                "{} is not a number, although the column's first {DECIDING_CELLS} values are; mend it, or take the \
                 column as labels with --categorical {name}",
                shown()
            ),
        });
    };
    if kind == Kind::Weight && !(value >= 0.0 && value.is_finite()) {
        return Err(not_a_weight(shown()));
    }
    if !value.is_finite() {
        return Err(format!("{} is infinite or too large for a number", shown()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, cells: &[&str]) -> Result<Finished, Problem> {
        let mut builder = Builder::new("col", kind);
        for (i, cell) in cells.iter().enumerate() {
            builder.push(cell.as_bytes(), || At { file: 0, line: i as u64 + 2 })?;
        }
        builder.finish()
    }

    fn text(finished: Finished) -> Text {
        match finished.cells {
            Some(Cells::Text(text)) => text,
            other => panic!("not text: {other:?}"),
        }
    }

    #[test]
    fn numbers_stay_numbers_with_their_gaps() {
        let column = read(Kind::Guess, &["1", "NA", "2.5", ""]).unwrap();
        let gap = column.gap.unwrap();
        assert_eq!((gap.count, gap.first.line), (2, 3));
        match column.cells {
            Some(Cells::Number(values)) => {
                assert_eq!((values[0], values[2]), (1.0, 2.5));
                assert!(values[1].is_nan() && values[3].is_nan());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_after_numbers_turns_the_column_into_labels_as_written() {
        let column = read(Kind::Guess, &["1.0", "", "1", "a", "1.0"]).unwrap();
        assert_eq!(column.first_text, Some((At { file: 0, line: 5 }, "'a'".to_string())));
        let text = text(column);
        assert_eq!(text.values, ["1.0", "1", "a"]);
        assert_eq!(text.codes, [0, MISSING, 1, 2, 0]);
    }

    #[test]
    fn after_the_deciding_cells_text_is_an_error_and_before_it_is_not() {
        let mut cells = vec!["7"; DECIDING_CELLS];
        cells.push("x");
        let message = read(Kind::Guess, &cells).unwrap_err().message;
        assert!(message.contains("'x'") && message.contains("--categorical col"), "{message}");
        cells.remove(0);
        assert_eq!(text(read(Kind::Guess, &cells).unwrap()).values, ["7", "x"]);
    }

    #[test]
    fn infinite_values_are_errors_wherever_they_stand() {
        assert_eq!(read(Kind::Guess, &["1", "1e999", "2"]).unwrap_err().at, Some(At { file: 0, line: 3 }));
        let mut cells = vec!["7"; DECIDING_CELLS];
        cells.push("-inf");
        assert!(read(Kind::Guess, &cells).unwrap_err().message.contains("'-inf' is infinite"));
        assert_eq!(text(read(Kind::Guess, &["inf", "a"]).unwrap()).values, ["inf", "a"]);
    }

    #[test]
    fn weights_must_be_finite_and_not_negative() {
        assert!(read(Kind::Weight, &["0", "2"]).is_ok());
        assert_eq!(["-1", "inf", "x"].iter().filter(|cell| read(Kind::Weight, &[cell]).is_err()).count(), 3);
        assert!(read(Kind::Offset, &["-1"]).is_ok());
        assert!(read(Kind::Offset, &["1e999"]).is_err());
    }
}
