//! A number cut in two: the target `delay>15` of a column `delay`.

use serde::{Deserialize, Serialize};

use super::input::{Cells, MISSING, Text};

/// The comparisons, the longer ones first, each with its opposite.
const COMPARISONS: [(&str, &str); 6] = [(">=", "<"), ("<=", ">"), ("!=", "="), (">", "<="), ("<", ">="), ("=", "!=")];

/// A comparison with a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    comparison: String,
    at: f64,
}

impl Cut {
    /// What `text` compares: the column, and how.
    pub(super) fn parse(text: &str) -> Option<(&str, Cut)> {
        let of = |(comparison, _): &(&str, &str)| {
            let (name, at) = text.split_once(comparison)?;
            let at: f64 = at.trim().parse().ok().filter(|at: &f64| at.is_finite())?;
            Some((name.trim(), Cut { comparison: (*comparison).to_string(), at }))
        };
        COMPARISONS.iter().find_map(of)
    }

    /// The labels where it does not hold and where it does, of the column `name`.
    pub(super) fn labels(&self, name: &str) -> [String; 2] {
        let opposite = COMPARISONS.iter().find(|(known, _)| *known == self.comparison).map_or("!", |known| known.1);
        [format!("{name}{opposite}{}", self.at), format!("{name}{}{}", self.comparison, self.at)]
    }

    /// Whether it is one of the comparisons there are.
    pub(super) fn is_known(&self) -> bool {
        self.at.is_finite() && COMPARISONS.iter().any(|(known, _)| *known == self.comparison)
    }

    fn holds(&self, x: f64) -> bool {
        match self.comparison.as_str() {
            ">" => x > self.at,
            ">=" => x >= self.at,
            "<" => x < self.at,
            "<=" => x <= self.at,
            "=" => x == self.at,
            _ => x != self.at,
        }
    }

    /// Makes the numbers of column `name` labels.
    pub(super) fn apply(&self, name: &str, cells: &mut Cells) {
        let Cells::Number(values) = cells else { return };
        let code = |x: &f64| if x.is_nan() { MISSING } else { u32::from(self.holds(*x)) };
        *cells = Cells::Text(Text { codes: values.iter().map(code).collect(), values: self.labels(name).into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_and_cut_a_column_in_two() {
        let cases = [
            ("delay>15", ["delay<=15", "delay>15"], [0, 0, 1]),
            ("delay >= 15", ["delay<15", "delay>=15"], [0, 1, 1]),
            ("delay<15", ["delay>=15", "delay<15"], [1, 0, 0]),
            ("delay<=15", ["delay>15", "delay<=15"], [1, 1, 0]),
            ("delay=15", ["delay!=15", "delay=15"], [0, 1, 0]),
            ("delay!=15", ["delay=15", "delay!=15"], [1, 0, 1]),
        ];
        for (text, labels, codes) in cases {
            let (name, cut) = Cut::parse(text).unwrap();
            assert_eq!((name, cut.labels(name)), ("delay", labels.map(String::from)));
            let mut cells = Cells::Number(vec![-1.5, 15.0, 15.5, f64::NAN]);
            cut.apply(name, &mut cells);
            let Cells::Text(text) = cells else { panic!("no labels") };
            assert_eq!((&text.codes[..3], text.codes[3]), (codes.as_slice(), MISSING));
            assert!(cut.is_known());
        }
        assert_eq!(["delay", "a>b", "a>", "a>inf"].iter().filter(|text| Cut::parse(text).is_none()).count(), 4);
    }
}
