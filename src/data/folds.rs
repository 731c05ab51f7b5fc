//! The folds of a cross-validation: one byte a row.

use super::Dataset;
use super::hash;
use super::input::cell;
use super::intake::Intake;
use crate::error::{Error, Result};
use crate::ranks::Team;

/// Folds at the most: what a byte counts.
pub const MOST_FOLDS: usize = 256;

/// Which fold each row is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    /// The fold of each row, in input order.
    pub of_row: Vec<u8>,
    /// What the folds are called.
    pub names: Vec<String>,
}

impl Folds {
    /// Deals the rows of `data` to `folds` folds, each class by itself: of every `folds` rows of a class that follow each other one
    /// goes to each fold, in an order that `seed` decides. So folds differ by one row of a class at the most, and sorted rows are
    /// spread evenly.
    ///
    /// # Errors
    /// [`Error::Usage`] when there are fewer than 2 folds, more than [`MOST_FOLDS`] or more than rows, and what reading fails
    /// with.
    pub fn deal(data: &Dataset, folds: usize, seed: u64) -> Result<Self> {
        data.all_here("the dealing of folds")?;
        let mut dealer = Dealer::new(data.rows, folds, seed)?;
        for block in &data.blocks {
            dealer.deal(block.vectors()?.target.iter());
        }
        Ok(dealer.dealt())
    }

    /// The same where there is one of `targets` a row.
    ///
    /// # Errors
    /// As [`Folds::deal`].
    pub fn deal_targets(targets: &[f64], folds: usize, seed: u64) -> Result<Self> {
        let mut dealer = Dealer::new(targets.len(), folds, seed)?;
        dealer.deal(targets.iter().copied());
        Ok(dealer.dealt())
    }

    /// Those of the rows to fit, which are the last text column. Where a team shares the rows, rank 0 has the folds of all of them, and
    /// the others have none.
    ///
    /// # Errors
    /// As [`of_labels`], those of other ranks, and what reading rows that are not in memory fails with.
    pub(super) fn of_rows(intake: &mut Intake, team: Option<&Team>) -> Result<Self> {
        let labels = &intake.labels[intake.labels.len() - 1];
        let (numbers, names) = of_labels(&labels.dictionary.values, &labels.counts)?;
        let here = intake.groups(&numbers);
        let Some(team) = team else {
            return Ok(Folds { of_row: here?.iter().map(|fold| *fold as u8).collect(), names });
        };
        let here: Vec<f64> = team.agree(here)?.into_iter().map(f64::from).collect();
        let lengths = team.exchange(&here.len())?;
        let all = team.gather_numbers(here, &lengths)?;
        Ok(Folds { of_row: all.iter().map(|fold| *fold as u8).collect(), names })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Deals rows to folds, in input order.
struct Dealer {
    folds: usize,
    seed: u64,
    /// Of each class: the folds that are still to be dealt in this round, and rounds so far.
    hands: [(Vec<u8>, u64); 2],
    of_row: Vec<u8>,
}

impl Dealer {
    fn new(rows: usize, folds: usize, seed: u64) -> Result<Self> {
        if !(2..=MOST_FOLDS).contains(&folds) {
            return Err(Error::Usage(format!(
                "--folds {folds}: there must be 2 folds at the least and {MOST_FOLDS} at the most"
            )));
        }
        if folds > rows {
            return Err(Error::Usage(format!("--folds {folds}: there are {rows} rows only")));
        }
        Ok(Dealer { folds, seed, hands: Default::default(), of_row: Vec::with_capacity(rows) })
    }

    /// Deals the next rows, of these targets.
    fn deal(&mut self, targets: impl Iterator<Item = f64>) {
        for t in targets {
            let class = usize::from(t > 0.5);
            let (hand, round) = &mut self.hands[class];
            if hand.is_empty() {
                hand.extend((0..self.folds).map(|fold| fold as u8));
                let key = hash::mix(self.seed, 2 * *round + class as u64);
                hand.sort_unstable_by_key(|fold| hash::mix(key, u64::from(*fold)));
                *round += 1;
            }
            self.of_row.extend(hand.pop());
        }
    }

    fn dealt(self) -> Folds {
        Folds { of_row: self.of_row, names: (1..=self.folds).map(|fold| fold.to_string()).collect() }
    }
}

/// The fold that each of the distinct `labels` of a column stands for (those of `counts` 0 being none), and what the folds are
/// called: in the order of the numbers that they are, or of their bytes.
///
/// # Errors
/// [`Error::Usage`] when there is one fold only, or more than [`MOST_FOLDS`].
pub(super) fn of_labels(labels: &[String], counts: &[u64]) -> Result<(Vec<u32>, Vec<String>)> {
    let mut order: Vec<usize> = (0..labels.len()).filter(|code| counts[*code] > 0).collect();
    if !(2..=MOST_FOLDS).contains(&order.len()) {
        return Err(Error::Usage(format!(
            "--fold: there are {} folds; there must be 2 at the least and {MOST_FOLDS} at the most",
            order.len()
        )));
    }
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| cell::number(label.as_bytes())).collect();
    match &numbers {
        Some(numbers) => order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b])),
        None => order.sort_by(|a, b| labels[*a].cmp(&labels[*b])),
    }
    let mut folds = vec![0; labels.len()];
    order.iter().zip(0..).for_each(|(code, fold)| folds[*code] = fold);
    Ok((folds, order.into_iter().map(|code| labels[code].clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::PackOptions;
    use super::*;

    #[test]
    fn each_class_is_dealt_evenly_and_the_seed_decides() {
        let target: Vec<f64> = (0..1003).map(|i| f64::from(u8::from(i < 98))).collect();
        let data = Dataset::from_rows(&vec![1.0; 1003], 1, &target, PackOptions::default()).unwrap();
        let folds = Folds::deal(&data, 5, 3).unwrap();
        for (class, rows) in [(1.0, 98), (0.0, 905)] {
            let counts: Vec<usize> = (0..5)
                .map(|fold| {
                    folds.of_row.iter().zip(&target).filter(|(f, t)| usize::from(**f) == fold && **t == class).count()
                })
                .collect();
            assert_eq!(counts.iter().sum::<usize>(), rows);
            assert!(counts.iter().all(|count| count.abs_diff(rows / 5) <= 1), "{counts:?}");
        }
        assert_eq!(Folds::deal(&data, 5, 3).unwrap(), folds);
        let other = Folds::deal(&data, 5, 4).unwrap();
        let same = folds.of_row.iter().zip(&other.of_row).filter(|(a, b)| a == b).count();
        assert!((100..320).contains(&same), "{same} of 1003 rows are where they were");
        // Rows beside each other are not in folds beside each other either.
        let steps = folds.of_row.windows(2).filter(|w| (w[0] + 1) % 5 == w[1]).count();
        assert!((100..320).contains(&steps), "{steps}");
        for (folds, expected) in [(1, "2 folds at the least"), (257, "256 at the most"), (0, "2 folds")] {
            assert!(Folds::deal(&data, folds, 0).unwrap_err().to_string().contains(expected));
        }
        let few = Dataset::from_rows(&[1.0; 3], 1, &[0.0, 1.0, 1.0], PackOptions::default()).unwrap();
        assert!(Folds::deal(&few, 4, 0).unwrap_err().to_string().contains("3 rows only"));
    }

    #[test]
    fn labels_are_folds_in_their_order() {
        let strings = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (folds, names) = of_labels(&strings(&["10", "9", "x9"]), &[1, 1, 0]).unwrap();
        assert_eq!((folds, names), (vec![0, 1, 0], strings(&["10", "9"])));
        let (folds, names) = of_labels(&strings(&["10", "9", "2.0"]), &[1, 1, 4]).unwrap();
        assert_eq!((folds, names), (vec![2, 1, 0], strings(&["2.0", "9", "10"])));
        assert!(of_labels(&strings(&["1", "2"]), &[3, 0]).is_err());
    }
}
