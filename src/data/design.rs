//! What a model keeps of its data, so that other rows become the same features.

use serde::{Deserialize, Serialize};

use super::hash;
use super::input::cell;
use super::names;
use super::options::Missing;
use super::target::{MOST_CLASSES, Target};

/// Bits of a hash at the most.
pub const MAX_HASH_BITS: u32 = 20;

/// How input columns become features, in input order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// The columns that features come from.
    pub columns: Vec<InputColumn>,
    /// The labels.
    pub target: Target,
    /// Column of sample weights.
    pub weight: Option<String>,
    /// Column of offsets.
    pub offset: Option<String>,
    /// What was done with missing values; [`Missing::Mean`] keeps a fill in every column.
    pub missing: Missing,
    /// Whether text files had a header.
    pub header: bool,
}

/// One column of the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum InputColumn {
    /// Numbers: one feature of the column's name.
    Numeric {
        /// Name of the column.
        name: String,
        /// What stands for a missing value: the training mean.
        fill: Option<f64>,
        /// Whether the numbers are dates, as days since 1970-01-01.
        #[serde(default, skip_serializing_if = "is_false")]
        date: bool,
    },
    /// Labels: one indicator a level, named `column=level`.
    Categorical {
        /// Name of the column.
        name: String,
        /// The levels met in training, sorted.
        levels: Vec<String>,
        /// Whether the first level has no feature.
        reference: bool,
        /// What stands in each feature for a missing value: the level's share in training.
        fill: Option<Vec<f64>>,
    },
    /// Labels of too many levels: one indicator for each of 2^bits groups of levels, by their hash, named `column#group`.
    Hashed {
        /// Name of the column.
        name: String,
        /// Bits of the hash.
        bits: u32,
        /// Whether the first group has no feature.
        reference: bool,
        /// What stands in each feature for a missing value: the group's share in training.
        fill: Option<Vec<f64>>,
    },
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The group of a level among 2^`bits`: the first bits of its bytes' FNV-1a hash, mixed.
pub(super) fn hash_group(level: &str, bits: u32) -> u32 {
    (hash::of_bytes(level.bytes()) >> (u64::BITS - bits)) as u32
}

impl InputColumn {
    /// Name of the column.
    pub fn name(&self) -> &str {
        match self {
            InputColumn::Numeric { name, .. }
            | InputColumn::Categorical { name, .. }
            | InputColumn::Hashed { name, .. } => name,
        }
    }

    /// Features that the column gives.
    pub fn features(&self) -> usize {
        match self {
            InputColumn::Numeric { .. } => 1,
            InputColumn::Categorical { levels, reference, .. } => levels.len().saturating_sub(usize::from(*reference)),
            // Of a design that was not validated it may be any number.
            InputColumn::Hashed { bits, reference, .. } => {
                1usize.checked_shl(*bits).map_or(usize::MAX, |groups| groups - usize::from(*reference))
            }
        }
    }

    /// Their names.
    pub(crate) fn feature_names(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            InputColumn::Numeric { name, .. } => Box::new(std::iter::once(name.clone())),
            InputColumn::Categorical { name, levels, reference, .. } => {
                Box::new(levels.iter().skip(usize::from(*reference)).map(move |level| format!("{name}={level}")))
            }
            InputColumn::Hashed { name, reference, .. } => {
                let first = usize::from(*reference);
                Box::new((first..first + self.features()).map(move |group| format!("{name}#{group}")))
            }
        }
    }

    /// The levels as numbers, where all of them are: any spelling of a level's number means it, unless two levels spell the same.
    pub fn level_numbers(&self) -> Option<Vec<f64>> {
        let InputColumn::Categorical { levels, .. } = self else { return None };
        levels.iter().map(|level| cell::number(level.as_bytes())).collect()
    }

    /// Whether its first level (or group of levels) has no feature.
    pub(super) fn reference(&self) -> bool {
        match self {
            InputColumn::Numeric { .. } => false,
            InputColumn::Categorical { reference, .. } | InputColumn::Hashed { reference, .. } => *reference,
        }
    }

    /// What stands for missing values in the features of labels.
    pub(super) fn fills(&self) -> Option<&[f64]> {
        match self {
            InputColumn::Numeric { .. } => None,
            InputColumn::Categorical { fill, .. } | InputColumn::Hashed { fill, .. } => fill.as_deref(),
        }
    }
}

impl Design {
    /// Names of the features, in the order of the columns of X.
    pub fn feature_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(InputColumn::feature_names).collect()
    }

    /// Whether the design holds together, as one from a file edited by hand may not.
    ///
    /// # Errors
    /// A message that says what does not fit.
    pub fn validate(&self) -> Result<(), String> {
        let columns: Vec<String> = self.columns.iter().map(|column| column.name().to_string()).collect();
        let roles = [&self.target.name, &self.weight, &self.offset];
        if let Some(name) = names::repeated(columns.iter().chain(roles.into_iter().flatten())) {
            return Err(format!("column '{name}' stands twice in the design"));
        }
        if let Some(column) = self
            .columns
            .iter()
            .find(|column| matches!(column, InputColumn::Hashed { bits, .. } if !(1..=MAX_HASH_BITS).contains(bits)))
        {
            return Err(format!("column '{}' is hashed to more than {MAX_HASH_BITS} bits, or to none", column.name()));
        }
        if let Some(name) = names::repeated(&self.feature_names()) {
            return Err(format!("two features are named '{name}'"));
        }
        for column in &self.columns {
            let fills = match column {
                InputColumn::Numeric { fill, .. } => fill.map(|fill| vec![fill]),
                InputColumn::Categorical { name, levels, fill, .. } => {
                    if levels.is_empty() || names::repeated(levels).is_some() {
                        return Err(format!("column '{name}' has no levels, or one of them twice"));
                    }
                    fill.clone()
                }
                InputColumn::Hashed { fill, .. } => fill.clone(),
            };
            let expected = column.features();
            match fills {
                None if self.missing == Missing::Mean => {
                    return Err(format!("column '{}' has no fill for missing values", column.name()));
                }
                Some(fills) if fills.len() != expected || fills.iter().any(|fill| !fill.is_finite()) => {
                    return Err(format!("column '{}' has fills that do not fit its features", column.name()));
                }
                _ => {}
            }
        }
        if self.target.cut.as_ref().is_some_and(|cut| !cut.is_known()) {
            return Err("the comparison of its target is unknown".to_string());
        }
        let classes = &self.target.classes;
        if !(2..=MOST_CLASSES).contains(&classes.len()) {
            return Err(format!("it has {} classes", classes.len()));
        }
        if let Some(k) = (0..classes.len()).find(|k| self.target.class_of(&classes[*k]) != Some(*k)) {
            return Err(format!("the class '{}' stands there twice", classes[k]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design() -> Design {
        Design {
            columns: vec![
                InputColumn::Numeric { name: "age".into(), fill: Some(0.1 + 0.2), date: false },
                InputColumn::Categorical {
                    name: "sex".into(),
                    levels: vec!["f".into(), "m".into()],
                    reference: true,
                    fill: Some(vec![0.25]),
                },
            ],
            target: Target { name: Some("y".into()), classes: vec!["no".into(), "yes".into()], cut: None },
            weight: None,
            offset: None,
            missing: Missing::Mean,
            header: true,
        }
    }

    #[test]
    fn features_are_named_in_input_order() {
        assert_eq!(design().feature_names(), ["age", "sex=m"]);
        assert_eq!(design().columns.iter().map(InputColumn::features).sum::<usize>(), 2);
    }

    #[test]
    fn a_design_survives_json() {
        let json = serde_json::to_string(&design()).unwrap();
        assert!(json.contains(r#""kind":"categorical""#) && json.contains(r#""missing":"mean""#), "{json}");
        let back: Design = serde_json::from_str(&json).unwrap();
        assert_eq!(back, design());
        assert_eq!(back.validate(), Ok(()));
    }

    #[test]
    fn every_damage_is_found() {
        let damages: [fn(&mut Design); 11] = [
            |d| d.columns.push(InputColumn::Numeric { name: "age".into(), fill: Some(0.0), date: false }),
            |d| d.columns.push(InputColumn::Numeric { name: "sex=m".into(), fill: Some(0.0), date: false }),
            |d| d.columns.push(InputColumn::Numeric { name: "b".into(), fill: Some(f64::NAN), date: false }),
            |d| d.columns.push(InputColumn::Numeric { name: "b".into(), fill: None, date: false }),
            |d| d.weight = Some("y".into()),
            |d| d.target.classes = vec!["1".into(), "1.0".into()],
            |d| d.target.classes = vec!["1".into()],
            |d| d.target.classes = vec!["yes".into(), "yes".into()],
            |d| {
                if let InputColumn::Categorical { levels, .. } = &mut d.columns[1] {
                    levels[1] = "f".into();
                }
            },
            |d| {
                if let InputColumn::Categorical { fill, .. } = &mut d.columns[1] {
                    *fill = Some(vec![0.1, 0.2]);
                }
            },
            |d| d.columns[1] = InputColumn::Hashed { name: "sex".into(), bits: 40, reference: true, fill: None },
        ];
        let found = damages.iter().filter(|damage| {
            let mut design = design();
            damage(&mut design);
            design.validate().is_err()
        });
        assert_eq!(found.count(), damages.len());
    }
}
