//! What a column of text seems to hold, by its first cells.

use serde::{Deserialize, Serialize};

use super::{Kind, cell};

/// Cells that are not missing that decide whether a column is numeric.
pub(in crate::data) const DECIDING_CELLS: u64 = 10_000;

/// What the first cells of a column were.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::data) struct Guess {
    present: u64,
    numbers: u64,
    dates: u64,
    /// The line and the text of the first cell that is neither number nor date, behind some that are.
    pub(in crate::data) first_text: Option<(u64, String)>,
}

impl Guess {
    /// Looks at a trimmed cell.
    pub(super) fn look(&mut self, cell: &[u8], line: u64) {
        if cell::is_missing(cell) {
            return;
        }
        self.present += 1;
        if cell::number(cell).is_some() {
            self.numbers += 1;
        } else if cell::date(cell).is_some() {
            self.dates += 1;
        } else if self.first_text.is_none() && self.numbers + self.dates > 0 {
            self.first_text = Some((line, cell::shown(cell)));
        }
    }

    /// Whether there were any cells that are not missing.
    pub(in crate::data) fn is_of_cells(&self) -> bool {
        self.present > 0
    }

    /// Whether more cells would not change the guess.
    pub(super) fn is_decided(&self) -> bool {
        self.present >= DECIDING_CELLS || (self.present > 0 && self.kind() == Kind::Text)
    }

    /// What the cells before the first text were.
    pub(in crate::data) fn others(&self) -> &'static str {
        match (self.numbers, self.dates) {
            (_, 0) => "numbers",
            (0, _) => "dates",
            _ => "numbers and dates",
        }
    }

    /// What the column seems to hold.
    pub(in crate::data) fn kind(&self) -> Kind {
        if self.numbers == self.present {
            Kind::GuessedNumber
        } else if self.dates == self.present {
            Kind::Date
        } else {
            Kind::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(cells: &[&str]) -> Guess {
        let mut guess = Guess::default();
        cells.iter().zip(2..).for_each(|(cell, line)| guess.look(cell.as_bytes(), line));
        guess
    }

    #[test]
    fn first_cells_tell_numbers_dates_and_text() {
        assert_eq!(guess(&["1", "NA", "2.5", ""]).kind(), Kind::GuessedNumber);
        assert_eq!(guess(&[]).kind(), Kind::GuessedNumber);
        assert_eq!(guess(&["2013-01-01", "", "2013-01-01 10:00:00"]).kind(), Kind::Date);
        assert_eq!(guess(&["2013-01-01", "5"]).kind(), Kind::Text);
        let dates = guess(&["2013-01-01", "never"]);
        assert_eq!((dates.others(), guess(&["1", "2013-01-01", "a"]).others()), ("dates", "numbers and dates"));
        let mixed = guess(&["1.0", "", "1", "a", "1.0"]);
        assert_eq!(mixed.others(), "numbers");
        assert_eq!((mixed.kind(), mixed.first_text.clone()), (Kind::Text, Some((5, "'a'".to_string()))));
        assert!(mixed.is_decided() && !guess(&["1"]).is_decided());
        assert_eq!(guess(&["a", "1"]).first_text, None);
    }
}
