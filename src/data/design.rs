//! What a model keeps of its data, so that other rows become the same features.

use serde::{Deserialize, Serialize};

use super::names;
use super::options::Missing;
use super::target::Target;

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
}

impl InputColumn {
    /// Name of the column.
    pub fn name(&self) -> &str {
        match self {
            InputColumn::Numeric { name, .. } | InputColumn::Categorical { name, .. } => name,
        }
    }

    /// Features that the column gives.
    pub fn features(&self) -> usize {
        match self {
            InputColumn::Numeric { .. } => 1,
            InputColumn::Categorical { levels, reference, .. } => levels.len().saturating_sub(usize::from(*reference)),
        }
    }
}

impl Design {
    /// Names of the features, in the order of the columns of X.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for column in &self.columns {
            match column {
                InputColumn::Numeric { name, .. } => names.push(name.clone()),
                InputColumn::Categorical { name, levels, reference, .. } => {
                    names.extend(levels.iter().skip(usize::from(*reference)).map(|level| format!("{name}={level}")));
                }
            }
        }
        names
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
        if let Some(name) = names::repeated(&self.feature_names()) {
            return Err(format!("two features are named '{name}'"));
        }
        for column in &self.columns {
            let (fills, expected) = match column {
                InputColumn::Numeric { fill, .. } => (fill.map(|fill| vec![fill]), 1),
                InputColumn::Categorical { name, levels, fill, .. } => {
                    if levels.is_empty() || names::repeated(levels).is_some() {
                        return Err(format!("column '{name}' has no levels, or one of them twice"));
                    }
                    (fill.clone(), column.features())
                }
            };
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
        let [negative, positive] = &self.target.classes;
        if (self.target.class_of(negative), self.target.class_of(positive)) != (Some(0), Some(1)) {
            return Err(format!("the classes '{negative}' and '{positive}' are not two different labels"));
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
                InputColumn::Numeric { name: "age".into(), fill: Some(0.1 + 0.2) },
                InputColumn::Categorical {
                    name: "sex".into(),
                    levels: vec!["f".into(), "m".into()],
                    reference: true,
                    fill: Some(vec![0.25]),
                },
            ],
            target: Target { name: Some("y".into()), classes: ["no".into(), "yes".into()] },
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
        let damages: [fn(&mut Design); 9] = [
            |d| d.columns.push(InputColumn::Numeric { name: "age".into(), fill: Some(0.0) }),
            |d| d.columns.push(InputColumn::Numeric { name: "sex=m".into(), fill: Some(0.0) }),
            |d| d.columns.push(InputColumn::Numeric { name: "b".into(), fill: Some(f64::NAN) }),
            |d| d.columns.push(InputColumn::Numeric { name: "b".into(), fill: None }),
            |d| d.weight = Some("y".into()),
            |d| d.target.classes = ["1".into(), "1.0".into()],
            |d| d.target.classes = ["yes".into(), "yes".into()],
            |d| match &mut d.columns[1] {
                InputColumn::Categorical { levels, .. } => levels[1] = "f".into(),
                InputColumn::Numeric { .. } => {}
            },
            |d| match &mut d.columns[1] {
                InputColumn::Categorical { fill, .. } => *fill = Some(vec![0.1, 0.2]),
                InputColumn::Numeric { .. } => {}
            },
        ];
        let found = damages.iter().filter(|damage| {
            let mut design = design();
            damage(&mut design);
            design.validate().is_err()
        });
        assert_eq!(found.count(), damages.len());
    }
}
