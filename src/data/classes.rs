//! The two classes of the rows to train on, and what labels and weights come to.

use super::cut::Cut;
use super::options::{ClassWeight, DataOptions, Format, SVMLIGHT_LABEL};
use super::part::{ClassSums, MANY_LABELS, Part};
use super::source::RowVectors;
use super::table::Files;
use super::target::Target;
use super::vector::RowVector;
use crate::error::{Error, Result};

/// What lies beside X in some rows, labels as codes.
pub(super) struct Labelled<'a> {
    pub(super) rows: usize,
    pub(super) classes: &'a ClassSums,
    pub(super) codes: &'a [u8],
    pub(super) weight: &'a [f64],
    pub(super) offset: &'a [f64],
}

impl<'a> Labelled<'a> {
    pub(super) fn of(part: &'a Part) -> Self {
        Labelled {
            rows: part.rows,
            classes: &part.classes,
            codes: &part.target,
            weight: &part.weight,
            offset: &part.offset,
        }
    }

    pub(super) fn weight(&self, row: usize) -> f64 {
        self.weight.get(row).copied().unwrap_or(1.0)
    }

    /// Rows and weight of each class.
    pub(super) fn of_class(&self, classes: &Classes) -> [(u64, f64); 2] {
        let mut sums = [(0, 0.0); 2];
        for (code, (rows, weight)) in self.classes.rows.iter().zip(&self.classes.weight).enumerate() {
            let sum = &mut sums[classes.of_code.get(code).copied().unwrap_or(0)];
            *sum = (sum.0 + rows, sum.1 + weight);
        }
        sums
    }

    pub(super) fn vectors(&self, classes: &Classes, factors: [f64; 2]) -> RowVectors {
        let class = |row: usize| classes.of_code.get(usize::from(self.codes[row])).copied().unwrap_or(0);
        RowVectors {
            target: RowVector::of(self.rows, |row| class(row) as f64),
            weight: if self.weight.is_empty() && factors == [1.0; 2] {
                RowVector::same(self.rows, 1.0)
            } else {
                RowVector::of(self.rows, |row| self.weight(row) * factors[class(row)])
            },
            offset: (!self.offset.is_empty()).then(|| RowVector::of(self.rows, |row| self.offset[row])),
        }
    }
}

/// The two classes, and the class of each label by its code.
pub(super) struct Classes {
    pub(super) target: Target,
    of_code: Vec<usize>,
}

impl Classes {
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
        let mut classes = cut.labels(&name);
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

/// Both classes must be there, and weigh something.
pub(super) fn check_part(labels: &Labelled<'_>, of: &str, classes: &Classes, files: &Files) -> Result<()> {
    let whole = |message: String| Err(Error::data(files.first(), message));
    let sums = labels.of_class(classes);
    if sums[0].0 + sums[1].0 == 0 {
        return whole(format!("there are no {of} rows; change --holdout or --seed"));
    }
    for (label, (rows, weight)) in classes.target.classes.iter().zip(sums) {
        if rows == 0 {
            return whole(format!("no {of} row is of class '{label}'; change --holdout or --seed"));
        }
        if !(weight > 0.0 && weight.is_finite()) {
            return whole(format!(
                "the {of} rows of class '{label}' have a total weight of {weight}; it must be positive and finite"
            ));
        }
    }
    Ok(())
}

/// Factor on the weights of each class.
pub(super) fn class_factors(asked: &ClassWeight, labels: &Labelled<'_>, classes: &Classes) -> Result<[f64; 2]> {
    let mut factors = [1.0; 2];
    match asked {
        ClassWeight::None => {}
        ClassWeight::Balanced => {
            let sums = labels.of_class(classes).map(|(_, weight)| weight);
            factors = sums.map(|sum| (sums[0] + sums[1]) / (2.0 * sum));
        }
        ClassWeight::Labels(asked) => {
            let mut given = [false; 2];
            for (label, factor) in asked {
                let [negative, positive] = &classes.target.classes;
                let Some(k) = classes.target.class_of(label.trim()) else {
                    return Err(Error::Usage(format!(
                        "--class-weight {label}: the labels are '{negative}' and '{positive}'"
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
