//! Clusters of rows that may depend on each other: a number a row.

use super::intake::Intake;
use crate::error::{Error, Result};

/// Which cluster each row is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// The column or file that says it.
    pub name: String,
    /// The cluster of each row, in input order, from 0 on; that of a row of weight 0 means nothing.
    pub of_row: Vec<u32>,
    /// How many there are.
    pub count: usize,
}

impl Clusters {
    /// Those of the rows to fit, which are the last text column.
    ///
    /// # Errors
    /// As [`of_labels`], and what reading rows that are not in memory fails with.
    pub(super) fn of_rows(intake: &mut Intake, name: String) -> Result<Self> {
        let (numbers, count) = of_labels(&intake.labels[intake.labels.len() - 1].counts)?;
        Ok(Clusters { name, of_row: intake.groups(&numbers)?, count })
    }
}

/// The cluster that each label of a column stands for, and how many there are; those of `counts` 0 are none.
///
/// # Errors
/// [`Error::Usage`] when there is one cluster only.
pub(super) fn of_labels(counts: &[u64]) -> Result<(Vec<u32>, usize)> {
    let mut clusters = 0;
    let numbers = counts.iter().map(|count| {
        let number = clusters;
        clusters += u32::from(*count > 0);
        if *count > 0 { number } else { 0 }
    });
    let numbers = numbers.collect();
    match clusters {
        0 | 1 => Err(Error::Usage("--cluster: all rows are in one cluster; there must be 2 at the least".into())),
        count => Ok((numbers, count as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_no_row_of_weight_has_are_no_clusters() {
        assert_eq!(of_labels(&[2, 0, 1, 7]).unwrap(), (vec![0, 0, 1, 2], 3));
        assert!(of_labels(&[0, 5]).unwrap_err().to_string().contains("one cluster"));
    }
}
