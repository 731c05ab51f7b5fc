//! What a design learns from the training rows: levels and fills.

use std::collections::HashMap;

use super::design::{InputColumn, hash_group};
use super::input::{MISSING, cell};
use super::intake::{Intake, Place};
use super::options::{DataOptions, Encoding, Missing};
use super::part::Labels;
use crate::error::{Error, Result};

/// A column of more levels than this, most of which stand once, is remarked on.
const REMARKABLE_LEVELS: usize = 100;

/// What the columns of an input teach.
pub(super) struct Learnt {
    pub(super) columns: Vec<InputColumn>,
    /// Of each text column, the share of each level among the rows that teach.
    pub(super) shares: Vec<Vec<f64>>,
}

/// Learns the columns; the codes of text columns become those of levels, and those of values that no row taught become missing.
pub(super) fn columns(intake: &mut Intake, options: &DataOptions, notes: &mut Vec<String>) -> Result<Learnt> {
    let filled = options.missing == Missing::Mean;
    let reference = options.encoding == Encoding::Reference;
    let mut learnt = Learnt { columns: Vec::new(), shares: vec![Vec::new(); intake.labels.len()] };
    let all_missing = |name: &str| {
        Error::Usage(format!("column {name} has no value in any training row; leave it out with --drop {name}"))
    };
    for (name, place, date) in intake.features.clone() {
        let n = match place {
            Place::Number(n) => {
                let (sum, count) = intake.sums[n];
                if filled && count == 0 {
                    return Err(all_missing(&name));
                }
                if filled && !sum.is_finite() {
                    return Err(Error::Usage(format!(
                        "the numbers of column '{name}' add up to more than numbers can say, so that it has no mean to fill in; \
                         divide the column by a large number, or leave it out with --drop"
                    )));
                }
                let fill = filled.then(|| sum / count as f64);
                learnt.columns.push(InputColumn::Numeric { name, fill, date });
                continue;
            }
            Place::Text(n) => n,
        };
        let labels = &intake.labels[n];
        let total: u64 = labels.counts.iter().sum();
        if total == 0 {
            return Err(all_missing(&name));
        }
        let share = |count: u64| count as f64 / total as f64;
        let fills = |shares: &[f64]| filled.then(|| shares[usize::from(reference)..].to_vec());
        let levels = labels.counts.iter().filter(|count| **count > 0).count();
        let (map, shares, column) = match options.hash_bits {
            Some(bits) if levels > options.max_levels => {
                let map: Vec<u32> = labels.dictionary.values.iter().map(|value| hash_group(value, bits)).collect();
                let mut counts = vec![0u64; 1 << bits];
                map.iter().zip(&labels.counts).for_each(|(group, count)| counts[*group as usize] += count);
                let shares: Vec<f64> = counts.into_iter().map(share).collect();
                notes.push(format!("column {name} has {levels} levels, hashed into {} features", shares.len()));
                let fill = fills(&shares);
                (map, shares, InputColumn::Hashed { name, bits, reference, fill })
            }
            _ => {
                let (levels, counts) = sorted_levels(labels);
                if levels.len() == 1 {
                    let effect = if reference { "gives no feature" } else { "is constant" };
                    notes.push(format!("column {name} has one level only ('{}') and {effect}", levels[0]));
                } else if levels.len() > REMARKABLE_LEVELS && 2 * levels.len() as u64 > total {
                    notes.push(format!(
                        "column {name} has {} levels in {total} rows; --drop {name} leaves it out",
                        levels.len()
                    ));
                }
                let shares: Vec<f64> = counts.into_iter().map(share).collect();
                let fill = fills(&shares);
                let index = LevelIndex::new(&levels);
                let map = labels.dictionary.values.iter().map(|value| index.code(value)).collect();
                (map, shares, InputColumn::Categorical { name, levels, reference, fill })
            }
        };
        for part in [Some(&mut intake.train), intake.holdout.as_mut()].into_iter().flatten() {
            part.recode(n, &map);
        }
        learnt.shares[n] = shares;
        learnt.columns.push(column);
    }
    Ok(learnt)
}

/// The levels that rows taught, sorted (as numbers if all are numbers), with their counts.
fn sorted_levels(labels: &Labels) -> (Vec<String>, Vec<u64>) {
    let values = &labels.dictionary.values;
    let mut order: Vec<usize> = (0..values.len()).filter(|code| labels.counts[*code] > 0).collect();
    let numbers: Option<Vec<f64>> = order.iter().map(|code| cell::number(values[*code].as_bytes())).collect();
    match numbers {
        Some(numbers) => {
            let mut keyed: Vec<(f64, usize)> = numbers.into_iter().zip(order).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| values[a.1].cmp(&values[b.1])));
            order = keyed.into_iter().map(|(_, code)| code).collect();
        }
        None => order.sort_by(|a, b| values[*a].cmp(&values[*b])),
    }
    order.iter().map(|code| (values[*code].clone(), labels.counts[*code])).unzip()
}

/// Levels by the values that mean them: text equal to one, or numbers by their value (`1.0` is level `1`, unless both are
/// levels).
#[derive(Debug)]
pub(super) struct LevelIndex<'a> {
    text: HashMap<&'a str, u32>,
    numbers: Option<HashMap<u64, u32>>,
}

impl<'a> LevelIndex<'a> {
    pub(super) fn new(levels: &'a [String]) -> Self {
        LevelIndex {
            text: levels.iter().zip(0..).map(|(level, i)| (level.as_str(), i)).collect(),
            numbers: levels.iter().zip(0..).map(|(level, i)| Some((number_key(level)?, i))).collect(),
        }
    }

    /// The level that `value` means; [`MISSING`] where it is none.
    pub(super) fn code(&self, value: &str) -> u32 {
        let by_number = || self.numbers.as_ref()?.get(&number_key(value)?);
        self.text.get(value).or_else(by_number).copied().unwrap_or(MISSING)
    }
}

fn number_key(text: &str) -> Option<u64> {
    // Adding 0 makes -0 the same as 0.
    cell::number(text.as_bytes()).map(|x| (x + 0.0).to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    fn labels(values: &[&str], counts: &[u64]) -> Labels {
        let mut labels = Labels { counts: counts.to_vec(), ..Labels::default() };
        labels.dictionary.codes(strings(values));
        labels
    }

    #[test]
    fn levels_are_sorted_as_bytes_or_as_numbers_and_those_that_taught_nothing_are_none() {
        let sorted = |values: &[&str], counts: &[u64]| sorted_levels(&labels(values, counts));
        assert_eq!(sorted(&["b", "B", "a"], &[2, 1, 1]), (strings(&["B", "a", "b"]), vec![1, 1, 2]));
        assert_eq!(sorted(&["10", "9", "-1", "9.0"], &[1, 1, 1, 1]).0, ["-1", "9", "9.0", "10"]);
        assert_eq!(sorted(&["a", "b", "c"], &[2, 0, 1]), (strings(&["a", "c"]), vec![2, 1]));
    }

    #[test]
    fn values_are_met_as_text_or_as_numbers() {
        let level_codes = |values: &[String], levels: &[String]| -> Vec<u32> {
            let index = LevelIndex::new(levels);
            values.iter().map(|value| index.code(value)).collect()
        };
        assert_eq!(level_codes(&strings(&["a", "x", "b"]), &strings(&["a", "b"])), [0, MISSING, 1]);
        let levels = strings(&["0", "1", "2"]);
        assert_eq!(level_codes(&strings(&["1.0", "2", "-0", "3", "x"]), &levels), [1, 2, 0, MISSING, MISSING]);
        assert_eq!(level_codes(&strings(&["1.0"]), &strings(&["1", "a"])), [MISSING]);
    }

    #[test]
    fn the_hash_is_spread_and_fixed() {
        let mut counts = [0; 16];
        (0..1600).for_each(|i| counts[hash_group(&format!("N{i}"), 4) as usize] += 1);
        assert!(counts.iter().all(|count| (60..140).contains(count)), "{counts:?}");
        // Models keep no levels of hashed columns: the same level must get the same group for ever.
        assert_eq!(["", "a", "é"].map(|level| hash_group(level, 20)), [800791, 389788, 451137]);
    }
}
