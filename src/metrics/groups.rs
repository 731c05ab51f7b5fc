//! Metrics of groups of rows, in bounded memory together.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::Serialize;

use super::ranked::{MOST, Overflow};
use crate::error::{Error, Result};

/// Groups there may be.
const MOST_GROUPS: usize = 1000;
/// Rows of all groups that are held in memory: fewer than a ranking may hold, so that none goes to a file of its own.
const MOST_HELD: usize = MOST / 2;

/// Metrics under way, as groups need them.
pub trait Judge: Clone {
    /// What becomes of them.
    type Metrics;
    /// Rows so far.
    fn rows(&self) -> usize;
    /// Rows that are held in memory, each as often as it is ranked.
    fn held(&self) -> usize;
    /// Hands these to a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn spill(&mut self, file: &Overflow) -> Result<()>;
    /// Whether some row has weight.
    fn weighs(&self) -> bool;
    /// The metrics of all rows.
    ///
    /// # Errors
    /// [`Error::Numerics`] when no row has weight, [`Error::Io`].
    fn finish(self) -> Result<Self::Metrics>;
}

/// Metrics of a group of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group<M> {
    /// What these rows have in common; nothing where the cell is empty.
    pub group: String,
    /// Rows given.
    pub rows: usize,
    /// Their metrics; `None` where no row has weight.
    pub metrics: Option<M>,
}

/// Metrics under way of each group of rows.
pub struct Groups<T> {
    column: String,
    /// Metrics of no rows.
    of_none: T,
    numbers: HashMap<String, usize>,
    tallies: Vec<T>,
    /// Rows in memory, and where they go when there are too many.
    held: usize,
    file: Option<Overflow>,
}

impl<T: Judge> Groups<T> {
    /// None yet, by the values of `column`; each begins as metrics `of_none` of the rows.
    pub fn new(column: &str, of_none: T) -> Self {
        let column = column.to_owned();
        Groups { column, of_none, numbers: HashMap::new(), tallies: Vec::new(), held: 0, file: None }
    }

    /// Has `add` add a row to the metrics of `group`.
    ///
    /// # Errors
    /// [`Error::Usage`] when there are too many groups, [`Error::Io`] about the file of rows that memory does not hold, and those
    /// of `add`.
    pub fn add(&mut self, group: &str, add: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
        let number = match self.numbers.get(group) {
            Some(number) => *number,
            None if self.tallies.len() == MOST_GROUPS => {
                return Err(Error::Usage(format!(
                    "--by {}: the column has more than {MOST_GROUPS} different values; name one of fewer, such as ranges of it",
                    self.column
                )));
            }
            None => {
                self.numbers.insert(group.to_owned(), self.tallies.len());
                self.tallies.push(self.of_none.clone());
                self.tallies.len() - 1
            }
        };
        let tally = &mut self.tallies[number];
        let before = tally.held();
        add(tally)?;
        self.held = self.held + tally.held() - before;
        if self.held >= MOST_HELD {
            let file = match self.file.take() {
                Some(file) => file,
                None => Overflow::open()?,
            };
            self.tallies.iter_mut().filter(|tally| tally.held() > 0).try_for_each(|tally| tally.spill(&file))?;
            (self.held, self.file) = (0, Some(file));
        }
        Ok(())
    }

    /// The metrics of all groups, in the order of their values: as numbers where all are, else as text, the empty one last.
    ///
    /// # Errors
    /// [`Error::Io`] about the file.
    pub fn finish(self) -> Result<Vec<Group<T::Metrics>>> {
        let mut names: Vec<(String, usize)> = self.numbers.into_iter().collect();
        let number = |name: &str| name.trim().parse::<f64>().ok();
        let all_numbers = names.iter().all(|(name, _)| name.is_empty() || number(name).is_some());
        let order = |a: &str, b: &str| match (number(a), number(b)) {
            (Some(a), Some(b)) if all_numbers => a.total_cmp(&b),
            _ => Ordering::Equal,
        };
        names
            .sort_by(|(a, _), (b, _)| a.is_empty().cmp(&b.is_empty()).then_with(|| order(a, b)).then_with(|| a.cmp(b)));
        let mut tallies: Vec<Option<T>> = self.tallies.into_iter().map(Some).collect();
        let finished = |(group, number): (String, usize)| {
            let tally = tallies[number].take()?;
            let rows = tally.rows();
            let metrics = if tally.weighs() { tally.finish().map(Some) } else { Ok(None) };
            Some(metrics.map(|metrics| Group { group, rows, metrics }))
        };
        names.into_iter().filter_map(finished).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Tally;

    fn groups() -> Groups<Tally> {
        Groups::new("g", Tally::new(0.5).expect("a probability"))
    }

    #[test]
    fn groups_come_in_the_order_of_their_values() {
        let order = |names: &[&str]| {
            let mut groups = groups();
            names.iter().for_each(|name| groups.add(name, |tally| tally.add(0.0, 1.0, 1.0)).unwrap());
            groups.finish().unwrap().into_iter().map(|group| group.group).collect::<Vec<_>>()
        };
        assert_eq!(order(&["10", "", "9", "-1", "9"]), ["-1", "9", "10", ""]);
        assert_eq!(order(&["10", "b", "", "9"]), ["10", "9", "b", ""]);
    }

    #[test]
    fn a_group_without_weight_has_no_metrics_and_too_many_are_an_error() {
        let mut groups = groups();
        groups.add("none", |tally| tally.add(1.0, 1.0, 0.0)).unwrap();
        groups.add("some", |tally| tally.add(1.0, 1.0, 2.0)).unwrap();
        for k in 2..MOST_GROUPS {
            groups.add(&format!("{k}"), |tally| tally.add(1.0, 1.0, 1.0)).unwrap();
        }
        let error = groups.add("more", |tally| tally.add(1.0, 1.0, 1.0)).unwrap_err();
        assert!(error.to_string().contains("--by g") && matches!(error, Error::Usage(_)), "{error}");
        let all = groups.finish().unwrap();
        let of = |name: &str| all.iter().find(|group| group.group == name).unwrap();
        assert_eq!((of("none").rows, of("none").metrics.is_none(), all.len()), (1, true, MOST_GROUPS));
        assert_eq!(of("some").metrics.as_ref().unwrap().weight_sum, 2.0);
    }
}
