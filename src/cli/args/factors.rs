//! Penalty factors as typed, and what they are of.

use std::ops::Range;
use std::str::FromStr;

use crate::cli::output::some_names;
use crate::data::Training;
use crate::error::{Error, Result};

/// Names that a message lists at the most.
const LISTED: usize = 8;

/// `COL=F`: what the penalty of a feature, or of all features of a column, is multiplied by.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct FactorArg {
    name: String,
    factor: f64,
}

impl FromStr for FactorArg {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        // The name may hold `=` itself, as that of a level does; the number cannot.
        let parts = text.rsplit_once('=').map(|(name, factor)| (name.trim(), factor.trim()));
        let parsed = parts.and_then(|(name, factor)| Some((name, factor.parse::<f64>().ok()?)));
        match parsed {
            Some((name, factor)) if !name.is_empty() && factor >= 0.0 && factor.is_finite() => {
                Ok(FactorArg { name: name.to_owned(), factor })
            }
            Some(_) => Err("a factor is a finite number that is not negative, of a column: COL=F".to_owned()),
            None => Err("it must be a column and a number, such as age=0".to_owned()),
        }
    }
}

/// A factor for each feature of `training`; none where all are 1.
pub(super) fn factors_of(given: &[FactorArg], training: &Training) -> Result<Vec<f64>> {
    let features = &training.train.features;
    let mut factors: Vec<Option<f64>> = vec![None; features.len()];
    for FactorArg { name, factor } in given {
        for j in named(name, training)? {
            if factors[j].replace(*factor).is_some() {
                return Err(Error::Usage(format!("--penalty-factor gives feature '{}' two factors", features[j])));
            }
        }
    }
    let factors: Vec<f64> = factors.into_iter().map(|factor| factor.unwrap_or(1.0)).collect();
    Ok(if factors.iter().all(|factor| *factor == 1.0) { Vec::new() } else { factors })
}

/// The feature of that name, or the features of the input column of that name.
fn named(name: &str, training: &Training) -> Result<Range<usize>> {
    let features = &training.train.features;
    if let Some(j) = features.iter().position(|feature| feature == name) {
        return Ok(j..j + 1);
    }
    let mut end = 0;
    for column in &training.design.columns {
        let first = end;
        end += column.features();
        if column.name() == name {
            return Ok(first..end);
        }
    }
    Err(Error::Usage(format!(
        "--penalty-factor: there is no feature or feature column '{name}'; the features are {}",
        some_names(features.iter().map(String::as_str), LISTED)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_equals_sign_parts_name_and_factor() {
        let of = |text: &str| text.parse::<FactorArg>();
        let given = [("age=0", "age", 0.0), (" sex=m = 2.5 ", "sex=m", 2.5), ("a==1e-3", "a=", 1e-3)];
        for (text, name, factor) in given {
            assert_eq!(of(text), Ok(FactorArg { name: name.into(), factor }));
        }
        let refused = ["age", "age=", "=1", "age=one", "age=-1", "age=NaN", "age=inf", "age=1e999", ""];
        assert_eq!(refused.iter().filter(|text| of(text).is_err()).count(), refused.len());
    }
}
