//! What several ranks that read parts of one input make of it together: the same columns, levels, classes and fills that one process
//! would have found.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::intake::Intake;
use super::options::DataOptions;
use super::part::{ClassSums, Dictionary, Labels, MANY_LABELS};
use super::table::{Halt, Reading, Stop};
use crate::error::Result;
use crate::ranks::{Bits, Failure, Team};

/// How a rank's reading ended.
#[derive(Debug, Serialize, Deserialize)]
enum Ended {
    Whole,
    IsText(String, String),
    Failed(Failure),
}

/// What ends the reading of all, given what ended this rank's: the first stop in the order of the rows.
pub(super) fn settle(team: &Team, reading: &Reading, taken: Result<(), Halt>) -> Result<(), Stop> {
    let quoted: BTreeSet<usize> = team.exchange(&reading.files.quoted())?.into_iter().flatten().collect();
    if !quoted.is_empty() {
        // What was read of such a file may have begun inside of a cell.
        return Err(Stop::Quoted(quoted));
    }
    let present = team.exchange(&reading.present())?;
    let mut before = vec![0; reading.columns.len()];
    for rank in &present[..team.rank()] {
        before.iter_mut().zip(rank).for_each(|(sum, count)| *sum += count);
    }
    let ended = match taken {
        Ok(()) => Ended::Whole,
        Err(halt) => match reading.settled(halt, &before) {
            Stop::IsText(column, note) => Ended::IsText(column, note),
            Stop::Error(error) => Ended::Failed(Failure::of(&error, team.rank())),
            Stop::Quoted(_) => Ended::Whole,
        },
    };
    for ended in team.exchange(&ended)? {
        match ended {
            Ended::Whole => {}
            Ended::IsText(column, note) => return Err(Stop::IsText(column, note)),
            Ended::Failed(failure) => return Err(Stop::Error(failure.error())),
        }
    }
    Ok(())
}

/// What a rank has to tell of the rows it took in.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    labels: Vec<(Vec<String>, Vec<u64>)>,
    target: Targets,
    sums: Bits,
    sum_counts: Vec<u64>,
    rows: u64,
    dropped: u64,
    missing: Vec<u64>,
}

/// Adds what other ranks took in to what `intake` knows of the rows; which rows it has stays as it is, and so do their codes: values
/// that are new here get codes behind its own.
pub(super) fn merge(intake: &mut Intake, team: &Team, options: &DataOptions) -> Result<()> {
    let mine = Taken {
        labels: intake.labels.iter().map(|l| (l.dictionary.values.clone(), l.counts.clone())).collect(),
        target: Targets::of(&intake.target, &intake.train.classes),
        sums: Bits(intake.sums.iter().map(|(sum, _)| *sum).collect()),
        sum_counts: intake.sums.iter().map(|(_, count)| *count).collect(),
        rows: intake.rows,
        dropped: intake.dropped,
        missing: intake.missing.iter().map(|(_, count)| *count).collect(),
    };
    let all = team.exchange(&mine)?;
    for (n, labels) in intake.labels.iter_mut().enumerate() {
        *labels = merged(std::mem::take(labels), all.iter().map(|rank| &rank.labels[n]));
    }
    intake.train.classes = merged_targets(&mut intake.target, all.iter().map(|rank| &rank.target));
    for (n, sum) in intake.sums.iter_mut().enumerate() {
        *sum = all.iter().fold((0.0, 0), |sum, rank| (sum.0 + rank.sums.0[n], sum.1 + rank.sum_counts[n]));
    }
    intake.rows = all.iter().map(|rank| rank.rows).sum();
    intake.dropped = all.iter().map(|rank| rank.dropped).sum();
    for (c, (_, missing)) in intake.missing.iter_mut().enumerate() {
        *missing = all.iter().map(|rank| rank.missing[c]).sum();
    }
    intake.check_levels(options)
}

/// What the labels of all rows were, given those of this rank's with their codes, which stay; labels that are new here get codes behind.
pub(super) fn classes(labels: &mut Dictionary, sums: &ClassSums, team: &Team) -> Result<ClassSums> {
    let all = team.exchange(&Targets::of(labels, sums))?;
    Ok(merged_targets(labels, all.iter()))
}

/// The labels of a rank's rows, and how many rows and how much weight each has.
#[derive(Debug, Serialize, Deserialize)]
struct Targets {
    values: Vec<String>,
    rows: Vec<u64>,
    weights: Bits,
}

impl Targets {
    fn of(labels: &Dictionary, sums: &ClassSums) -> Self {
        Targets { values: labels.values.clone(), rows: sums.rows.clone(), weights: Bits(sums.weight.clone()) }
    }
}

fn merged_targets<'a>(labels: &mut Dictionary, ranks: impl Iterator<Item = &'a Targets>) -> ClassSums {
    let mut classes = ClassSums::default();
    for rank in ranks {
        let codes = labels.codes(rank.values.clone());
        for (code, (rows, weight)) in rank.rows.iter().zip(&rank.weights.0).enumerate() {
            // Of labels beyond those that a byte counts there are too many in any case.
            let code = codes.get(code).map_or(usize::from(MANY_LABELS), |code| *code as usize);
            classes.add(code.min(usize::from(MANY_LABELS)), *rows, *weight);
        }
    }
    classes
}

/// The labels of all ranks, with the codes that those here have; the counts are of all.
fn merged<'a>(mut here: Labels, ranks: impl Iterator<Item = &'a (Vec<String>, Vec<u64>)>) -> Labels {
    here.counts.fill(0);
    for (values, counts) in ranks {
        let codes = here.dictionary.codes(values.clone());
        here.counts.resize(here.dictionary.values.len(), 0);
        codes.iter().zip(counts).for_each(|(code, count)| here.counts[*code as usize] += count);
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stay_and_counts_are_of_all() {
        let of = |values: &[&str], counts: &[u64]| {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            (values, counts.to_vec())
        };
        let ranks = [of(&["b", "a"], &[2, 1]), of(&[], &[]), of(&["c", "a"], &[5, 7])];
        let mut seen = 0;
        for (values, counts) in &ranks {
            let mut here = Labels { counts: counts.clone(), ..Labels::default() };
            here.dictionary.codes(values.clone());
            let all = merged(here, ranks.iter());
            assert!(all.dictionary.values.starts_with(values));
            let count =
                |value: &str| all.dictionary.values.iter().position(|v| v == value).map(|code| all.counts[code]);
            assert_eq!(["a", "b", "c", "d"].map(count), [Some(8), Some(2), Some(5), None]);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
