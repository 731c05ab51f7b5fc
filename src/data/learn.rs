//! What a design learns from the training rows: levels and fills.

use std::collections::HashMap;

use super::cell;
use super::columns::Cells;
use super::design::InputColumn;
use super::options::{DataOptions, Encoding, Missing};
use super::text::{MISSING, Text};
use crate::error::{Error, Result};

/// Learns a column from the rows `teaching` and, for labels, codes its cells by level; the cells of other rows whose
/// level was not met become missing.
pub(super) fn column(
    name: &str,
    cells: &mut Cells,
    teaching: &[usize],
    options: &DataOptions,
    notes: &mut Vec<String>,
) -> Result<InputColumn> {
    let filled = options.missing == Missing::Mean;
    let all_missing =
        || Error::Usage(format!("column {name} has no value in any training row; leave it out with --drop {name}"));
    let name = name.to_string();
    match cells {
        Cells::Text(text) => {
            let (levels, counts) = learn_levels(text, teaching);
            let total: u64 = counts.iter().sum();
            if total == 0 {
                return Err(all_missing());
            }
            let reference = options.encoding == Encoding::Reference;
            if levels.len() == 1 {
                let effect = if reference { "gives no feature" } else { "is constant" };
                notes.push(format!("column {name} has one level only ('{}') and {effect}", levels[0]));
            } else if levels.len() > 100 && levels.len() * 2 > teaching.len() {
                notes.push(format!(
                    "column {name} has {} levels in {} rows; --drop {name} leaves it out",
                    levels.len(),
                    teaching.len()
                ));
            }
            let share = |count: &u64| *count as f64 / total as f64;
            let fill = filled.then(|| counts.iter().skip(usize::from(reference)).map(share).collect());
            Ok(InputColumn::Categorical { name, levels, reference, fill })
        }
        Cells::Number(values) => {
            let mean = mean(teaching.iter().map(|row| values[*row])).ok_or_else(all_missing)?;
            Ok(InputColumn::Numeric { name, fill: filled.then_some(mean) })
        }
        Cells::Array { arrays, column } => {
            let fill = if filled {
                Some(mean(teaching.iter().map(|row| arrays.value(*row, *column))).ok_or_else(all_missing)?)
            } else {
                None
            };
            Ok(InputColumn::Numeric { name, fill })
        }
    }
}

/// Mean of what is not NaN.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u64);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// The levels among the rows `teaching`, sorted, with their counts; the text is coded by them.
fn learn_levels(text: &mut Text, teaching: &[usize]) -> (Vec<String>, Vec<u64>) {
    let mut counts = vec![0u64; text.values.len()];
    for &row in teaching {
        if let Some(count) = counts.get_mut(text.codes[row] as usize) {
            *count += 1;
        }
    }
    let mut order: Vec<usize> = (0..counts.len()).filter(|code| counts[*code] > 0).collect();
    let numbers: Option<Vec<f64>> = order.iter().map(|code| cell::number(text.values[*code].as_bytes())).collect();
    match numbers {
        Some(numbers) => {
            let mut keyed: Vec<(f64, usize)> = numbers.into_iter().zip(order).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| text.values[a.1].cmp(&text.values[b.1])));
            order = keyed.into_iter().map(|(_, code)| code).collect();
        }
        None => order.sort_by(|a, b| text.values[*a].cmp(&text.values[*b])),
    }
    let levels: Vec<String> = order.iter().map(|code| text.values[*code].clone()).collect();
    code_by(text, &levels);
    (levels, order.iter().map(|code| counts[*code]).collect())
}

/// Codes a column by `levels`, numbers by their value (`1.0` is level `1`, unless both are levels); returns the values
/// that are no level with how often they stand, the most frequent first. Their cells become missing.
pub(super) fn code_by(text: &mut Text, levels: &[String]) -> Vec<(String, u64)> {
    let index: HashMap<&str, u32> = levels.iter().enumerate().map(|(i, level)| (level.as_str(), i as u32)).collect();
    // Adding 0 makes -0 the same as 0.
    let key = |text: &str| cell::number(text.as_bytes()).map(|x| (x + 0.0).to_bits());
    let numbers: Option<HashMap<u64, u32>> =
        levels.iter().enumerate().map(|(i, level)| Some((key(level)?, i as u32))).collect();
    let by_number = |value: &str| numbers.as_ref()?.get(&key(value)?).copied();
    let code = |value: &String| index.get(value.as_str()).copied().or_else(|| by_number(value)).unwrap_or(MISSING);
    let map: Vec<u32> = text.values.iter().map(code).collect();
    let mut counts = vec![0u64; map.len()];
    for code in &mut text.codes {
        if let Some(&level) = map.get(*code as usize) {
            counts[*code as usize] += 1;
            *code = level;
        }
    }
    let mut unseen: Vec<(String, u64)> = Vec::new();
    for ((value, level), count) in text.values.iter().zip(&map).zip(counts) {
        if *level == MISSING {
            unseen.push((value.clone(), count));
        }
    }
    unseen.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    unseen
}

#[cfg(test)]
mod tests {
    use super::super::text::At;
    use super::*;

    fn text(cells: &[&str]) -> Text {
        let mut text = Text::default();
        for cell in cells {
            match *cell {
                "" => text.codes.push(MISSING),
                cell => text.push(cell.as_bytes(), None::<fn() -> At>).unwrap(),
            }
        }
        text
    }

    #[test]
    fn levels_are_sorted_as_bytes_or_as_numbers() {
        let mut cells = text(&["b", "B", "a", "", "b"]);
        assert_eq!(
            learn_levels(&mut cells, &[0, 1, 2, 3, 4]),
            (["B", "a", "b"].map(String::from).into(), vec![1, 1, 2])
        );
        assert_eq!(cells.codes, [2, 0, 1, MISSING, 2]);
        let mut cells = text(&["10", "9", "-1", "9.0"]);
        assert_eq!(learn_levels(&mut cells, &[0, 1, 2, 3]).0, ["-1", "9", "9.0", "10"]);
    }

    #[test]
    fn rows_that_teach_nothing_have_no_levels() {
        let mut cells = text(&["a", "b", "c", "a"]);
        assert_eq!(learn_levels(&mut cells, &[0, 2]).0, ["a", "c"]);
        assert_eq!(cells.codes, [0, MISSING, 1, 0]);
    }

    #[test]
    fn unseen_values_are_counted() {
        let mut cells = text(&["a", "x", "z", "x", ""]);
        let unseen = code_by(&mut cells, &["a".to_string(), "b".to_string()]);
        assert_eq!(unseen, [("x".to_string(), 2), ("z".to_string(), 1)]);
        assert_eq!(cells.codes, [0, MISSING, MISSING, MISSING, MISSING]);
    }

    #[test]
    fn numeric_levels_are_met_by_value() {
        let levels = ["0", "1", "2"].map(String::from);
        let mut cells = text(&["1.0", "2", "-0", "3", "x"]);
        assert_eq!(code_by(&mut cells, &levels).len(), 2);
        assert_eq!(cells.codes, [1, 2, 0, MISSING, MISSING]);
        let mut cells = text(&["1.0"]);
        assert_eq!(code_by(&mut cells, &["1", "a"].map(String::from)).len(), 1);
    }
}
