//! The classes of the rows to train on, and what labels and weights come to.

use super::cut::Cut;
use super::files::Files;
use super::options::{ClassWeight, DataOptions, Format, SVMLIGHT_LABEL};
use super::part::{ClassSums, MANY_LABELS};
use super::target::Target;
use super::vector::RowVector;
use super::vectors::RowVectors;
use crate::error::{Error, Result};

/// What lies beside X in some rows, labels as codes; no weights where all are 1, and no offsets where there are none.
pub(super) struct Labelled<'a> {
    pub(super) rows: usize,
    pub(super) codes: &'a [u8],
    pub(super) weight: &'a [f64],
    pub(super) offset: &'a [f64],
}

impl Labelled<'_> {
    /// Targets, weights and offsets, given what the labels are and the factors on the weights of each class, if there are any.
    pub(super) fn vectors(&self, classes: &Classes, factors: &[f64]) -> RowVectors {
        let class: [usize; 256] = std::array::from_fn(|code| classes.of_code(code as u8));
        let factor = |row: usize| factors.get(class[usize::from(self.codes[row])]).copied().unwrap_or(1.0);
        let weight = |row: usize| self.weight.get(row).copied().unwrap_or(1.0) * factor(row);
        RowVectors {
            target: RowVector::of_codes(&self.codes[..self.rows], &class),
            weight: if self.weight.is_empty() && factors.iter().all(|factor| *factor == 1.0) {
                RowVector::same(self.rows, 1.0)
            } else {
                RowVector::of(self.rows, weight)
            },
            offset: (!self.offset.is_empty()).then(|| RowVector::of(self.rows, |row| self.offset[row])),
        }
    }
}

/// The classes, and the class of each label by its code.
#[derive(Debug)]
pub(super) struct Classes {
    pub(super) target: Target,
    of_code: Vec<usize>,
}

impl Classes {
    /// The classes of a model, of which codes are the numbers.
    pub(super) fn known(target: &Target) -> Self {
        Classes { target: target.clone(), of_code: (0..target.classes.len()).collect() }
    }

    /// The class of the labels of a code.
    fn of_code(&self, code: u8) -> usize {
        self.of_code.get(usize::from(code)).copied().unwrap_or(0)
    }

    /// Rows and weight of each class.
    pub(super) fn sums(&self, labels: &ClassSums) -> Vec<(u64, f64)> {
        let mut sums = vec![(0, 0.0); self.target.classes.len()];
        for (code, (rows, weight)) in (0..=MANY_LABELS).zip(labels.rows.iter().zip(&labels.weight)) {
            let sum = &mut sums[self.of_code(code)];
            *sum = (sum.0 + rows, sum.1 + weight);
        }
        sums
    }

    /// Learns the classes from the labels that stand in some row of `sums`.
    pub(super) fn learn(
        labels: &[String],
        sums: &[&ClassSums],
        files: &Files,
        options: &DataOptions,
        cut: Option<(String, Cut)>,
    ) -> Result<Self> {
        let stands = |code: &usize| sums.iter().any(|sums| sums.rows.get(*code).is_some_and(|rows| *rows > 0));
        // Of labels beyond those that a byte counts there are too many in any case.
        let used: Vec<&str> = (0..labels.len())
            .filter(|code| stands(&(*code).min(usize::from(MANY_LABELS))))
            .map(|code| labels[code].as_str())
            .collect();
        if let Some((name, cut)) = cut {
            return Classes::of_cut(name, cut, labels, &used, files, options);
        }
        let name = options.target.as_deref().or((files.format == Format::Svmlight).then_some(SVMLIGHT_LABEL));
        let target = Target::learn(name, &used, options.positive.as_deref()).map_err(|message| {
            if message.starts_with("--positive") {
                return Error::Usage(message);
            }
            let column = name.map_or(String::new(), |name| format!("target {name}: "));
            Error::data(files.first(), format!("{column}{message}"))
        })?;
        // Rows of other labels are left out.
        let of_code = labels.iter().map(|label| target.class_of(label).unwrap_or(0)).collect();
        Ok(Classes { target, of_code })
    }

    /// The classes that a comparison makes of the column `name`, of which the one where it holds is modelled as 1.
    fn of_cut(
        name: String,
        cut: Cut,
        labels: &[String],
        used: &[&str],
        files: &Files,
        options: &DataOptions,
    ) -> Result<Self> {
        if let [only] = used {
            return Err(Error::data(files.first(), format!("target {name}: {only} in every row; move the bound")));
        }
        let mut classes = cut.labels(&name).to_vec();
        if let Some(positive) = &options.positive {
            match classes.iter().position(|class| class == positive.trim()) {
                Some(0) => classes.swap(0, 1),
                Some(_) => {}
                None => {
                    let message =
                        format!("--positive {positive}: the labels are '{}' and '{}'", classes[0], classes[1]);
                    return Err(Error::Usage(message));
                }
            }
        }
        let target = Target { name: Some(name), classes, cut: Some(cut) };
        let of_code = labels.iter().map(|label| target.class_of(label).unwrap_or(0)).collect();
        Ok(Classes { target, of_code })
    }
}

/// All classes must be there, and weigh something.
pub(super) fn check_part(labels: &ClassSums, of: &str, classes: &Classes, files: &Files) -> Result<()> {
    check_sums(&classes.sums(labels), of, classes, files)
}

/// As [`check_part`], given the rows and the weight of each class.
pub(super) fn check_sums(sums: &[(u64, f64)], of: &str, classes: &Classes, files: &Files) -> Result<()> {
    let whole = |message: String| Err(Error::data(files.first(), message));
    if sums.iter().all(|(rows, _)| *rows == 0) {
        return whole(format!("there are no {of} rows; change --holdout or --seed"));
    }
    for (label, (rows, weight)) in classes.target.classes.iter().zip(sums) {
        if *rows == 0 {
            return whole(format!("no {of} row is of class '{label}'; change --holdout or --seed"));
        }
        if !(*weight > 0.0 && weight.is_finite()) {
            return whole(format!(
                "the {of} rows of class '{label}' have a total weight of {weight}; it must be positive and finite"
            ));
        }
    }
    Ok(())
}

/// Factor on the weights of each class.
pub(super) fn class_factors(asked: &ClassWeight, labels: &ClassSums, classes: &Classes) -> Result<Vec<f64>> {
    let mut factors = vec![1.0; classes.target.classes.len()];
    match asked {
        ClassWeight::None => {}
        ClassWeight::Balanced => {
            let sums = classes.sums(labels);
            let even = sums.iter().map(|(_, weight)| weight).sum::<f64>() / sums.len() as f64;
            factors = sums.iter().map(|(_, weight)| even / weight).collect();
        }
        ClassWeight::Labels(asked) => {
            let mut given = vec![false; factors.len()];
            for (label, factor) in asked {
                let Some(k) = classes.target.class_of(label.trim()) else {
                    return Err(Error::Usage(format!(
                        "--class-weight {label}: the labels are {}",
                        classes.target.shown()
                    )));
                };
                if std::mem::replace(&mut given[k], true) {
                    return Err(Error::Usage(format!(
                        "--class-weight names the class '{}' twice",
                        classes.target.classes[k]
                    )));
                }
                factors[k] = *factor;
            }
        }
    }
    Ok(factors)
}
