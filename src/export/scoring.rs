//! What `predict` computes, without rows and engines: each input column adds a number to each linear predictor, and a link makes
//! probabilities of them. Every export writes this down in its own language.

use std::collections::HashSet;

use crate::data::{InputColumn, Missing};
use crate::error::{Error, Result};
use crate::model::{Model, Multi};

/// aₖ = β₀ₖ + Σ over the columns, for each of the linear predictors k, and the link.
pub(super) struct Scoring<'a> {
    /// The columns that are read, in the order of the design; the offset, which is one with coefficients 1, last.
    pub(super) columns: Vec<Column<'a>>,
    /// β₀ₖ.
    pub(super) intercepts: &'a [f64],
    /// As in [`Model`].
    pub(super) classes: &'a [String],
    /// As [`Model::prediction_columns`].
    pub(super) outputs: Vec<String>,
    pub(super) link: Link,
    /// Version of gpulogit that trained the model.
    pub(super) version: &'a str,
}

/// How linear predictors become probabilities.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Of two classes: P(positive) = σ(a).
    Logistic,
    /// P(k) = e^aₖ/Σ e^aₗ.
    Softmax,
    /// P(k) = σ(aₖ)/Σ σ(aₗ).
    Ovr,
}

/// A column of the input, and what it adds to each linear predictor.
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind<'a>,
}

/// A row with a missing value where there is nothing to put in its place has no prediction.
pub(super) enum Kind<'a> {
    /// A number x adds coefficientₖ·x.
    Number {
        coefficients: Vec<f64>,
        /// What a missing value is taken for.
        fill: Option<f64>,
        /// Whether the numbers are dates, as days since 1970-01-01.
        date: bool,
    },
    /// A level adds its numbers.
    Levels { levels: &'a [String], keys: Keys, adds: Adds },
    /// As [`Kind::Levels`], for the group of levels that the first `bits` of a level's hash number.
    Hashed { bits: u32, adds: Adds },
}

/// What says which level a value is.
pub(super) enum Keys {
    /// The level's text.
    Text,
    /// The level's number, however it is spelt.
    Numbers(Vec<f64>),
    /// The level's text, else its number: two levels spell the same number, or one is infinite.
    TextOrNumber,
}

/// What levels add to the linear predictors.
pub(super) struct Adds {
    /// For each level one number a predictor.
    pub(super) of_level: Vec<Vec<f64>>,
    /// The same for a missing value and for a level unseen in training.
    pub(super) missing: Option<Vec<f64>>,
}

impl<'a> Scoring<'a> {
    /// Of a model.
    ///
    /// # Errors
    /// [`Error::Usage`] when the model reads no column.
    pub(super) fn new(model: &'a Model) -> Result<Self> {
        let predictors = model.intercept.values().len();
        let features = model.coefficients.len() / predictors;
        let slopes = |feature: usize| -> Vec<f64> {
            (0..predictors).map(|k| model.coefficients[k * features + feature].value).collect()
        };
        let filled = model.design.missing == Missing::Mean;
        let (mut columns, mut feature) = (Vec::new(), 0);
        for column in &model.design.columns {
            let adds = |levels: usize, reference: bool, fill: Option<&[f64]>| {
                let nothing = vec![0.0; predictors];
                let made = levels - usize::from(reference);
                let slopes: Vec<Vec<f64>> = (feature..feature + made).map(slopes).collect();
                let filling = |fill: &[f64]| {
                    let share = |k: usize| fill.iter().zip(&slopes).map(|(fill, slopes)| fill * slopes[k]).sum();
                    (0..predictors).map(share).collect()
                };
                let missing = fill.filter(|_| filled).map(filling);
                Adds { of_level: reference.then_some(nothing).into_iter().chain(slopes.clone()).collect(), missing }
            };
            let kind = match column {
                InputColumn::Numeric { fill, date, .. } => {
                    Kind::Number { coefficients: slopes(feature), fill: fill.filter(|_| filled), date: *date }
                }
                InputColumn::Categorical { levels, reference, fill, .. } => Kind::Levels {
                    levels,
                    keys: Keys::of(column.level_numbers()),
                    adds: adds(levels.len(), *reference, fill.as_deref()),
                },
                InputColumn::Hashed { bits, reference, fill, .. } => {
                    Kind::Hashed { bits: *bits, adds: adds(1 << bits, *reference, fill.as_deref()) }
                }
            };
            columns.push(Column { name: column.name(), kind });
            feature += column.features();
        }
        if let Some(name) = &model.design.offset {
            let kind = Kind::Number { coefficients: vec![1.0; predictors], fill: None, date: false };
            columns.push(Column { name, kind });
        }
        if columns.is_empty() {
            return Err(Error::Usage("the model reads no column: there is nothing to export".into()));
        }
        Ok(Scoring {
            columns,
            intercepts: model.intercept.values(),
            classes: &model.classes,
            outputs: model.prediction_columns(),
            link: match model.objective.multi {
                None => Link::Logistic,
                Some(Multi::Softmax) => Link::Softmax,
                Some(Multi::Ovr) => Link::Ovr,
            },
            version: &model.training.version,
        })
    }

    /// Names of the probabilities among the outputs.
    pub(super) fn probabilities(&self) -> &[String] {
        &self.outputs[..self.outputs.len() - 1]
    }

    /// Holds that levels are told by text, or by number: what `language` can do.
    ///
    /// # Errors
    /// [`Error::Usage`] about a column that is hashed, unless `hashes` says that the language can, or that has two spellings of
    /// one number among its levels.
    pub(super) fn check_keys(&self, language: &str, hashes: bool) -> Result<()> {
        for Column { name, kind } in &self.columns {
            match kind {
                Kind::Hashed { .. } if !hashes => {
                    return Err(Error::Usage(format!(
                        "column '{name}' is hashed, which {language} cannot do; export to c or python, or train with a larger \
                         --max-levels and without --hash-bits"
                    )));
                }
                Kind::Levels { keys: Keys::TextOrNumber, .. } => {
                    return Err(Error::Usage(format!(
                        "levels of column '{name}' spell one number in two ways, or an infinite one; export to python, or train on \
                         data that spells each number in one way"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Holds that no name and no label has a character that `language` cannot carry.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(super) fn check_characters(&self, language: &str, strange: fn(char) -> bool) -> Result<()> {
        let levels = |column: &Column<'a>| match column.kind {
            Kind::Levels { levels, .. } => levels,
            _ => &[],
        };
        let names = self.columns.iter().map(|column| column.name);
        let texts = self.columns.iter().flat_map(levels).chain(self.classes).map(String::as_str);
        match names.chain(texts).find_map(|text| Some((text, text.chars().find(|c| strange(*c))?))) {
            Some((text, c)) => Err(Error::Usage(format!(
                "{} holds the character U+{:04X}, which {language} cannot carry; export to python, or mend the data and train \
                 again",
                text.escape_debug(),
                u32::from(c)
            ))),
            None => Ok(()),
        }
    }

    /// Holds that no column has the name of one of these outputs: `language` has one name space for both.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(super) fn check_names(&self, language: &str, outputs: &[impl AsRef<str>]) -> Result<()> {
        match self.columns.iter().find(|column| outputs.iter().any(|output| output.as_ref() == column.name)) {
            Some(column) => Err(Error::Usage(format!(
                "column '{}' has the name of a prediction, which in {language} must differ; export to c or python, or rename the \
                 column and train again",
                column.name
            ))),
            None => Ok(()),
        }
    }

    /// Holds that column names differ in more than small letters and capitals.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(super) fn check_case(&self, language: &str) -> Result<()> {
        let mut seen = HashSet::new();
        match self.columns.iter().find(|column| !seen.insert(column.name.to_lowercase())) {
            Some(column) => Err(Error::Usage(format!(
                "another column has the name of '{}' but for capitals, which {language} does not tell apart; export to c or \
                 python, or rename one of them and train again",
                column.name
            ))),
            None => Ok(()),
        }
    }
}

impl Keys {
    /// Of levels that are these numbers, if all are numbers.
    fn of(numbers: Option<Vec<f64>>) -> Self {
        let Some(numbers) = numbers else { return Keys::Text };
        let mut seen = HashSet::new();
        // Adding 0 makes -0 the same as 0.
        let distinct = numbers.iter().all(|x| x.is_finite() && seen.insert((x + 0.0).to_bits()));
        if distinct { Keys::Numbers(numbers) } else { Keys::TextOrNumber }
    }
}

/// A number in digits that any of the languages reads back as the same double, and never as an integer.
pub(super) fn number(x: f64) -> String {
    format!("{x:?}")
}
