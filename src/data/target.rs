//! Labels and the classes they name.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::cut::Cut;
use super::input::cell;

/// Classes that labels may name, at the most.
pub const MOST_CLASSES: usize = 255;

/// The column of labels, and its classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Name of the column; none for labels from an array file.
    pub name: Option<String>,
    /// The label of each class, two at the least: of two the one modelled as 0 and the one modelled as 1, of more in ascending
    /// order.
    pub classes: Vec<String>,
    /// How the numbers of the column become the two labels, where it does not hold them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Target {
    /// The number of a label's class: equal as a number where all classes are numbers, else equal as text; a label with a dot
    /// at its end is the class without it if there is such a class.
    pub fn class_of(&self, label: &str) -> Option<usize> {
        let key = |text: &str| cell::number(text.as_bytes());
        if let Some(numbers) = self.classes.iter().map(|class| key(class)).collect::<Option<Vec<f64>>>() {
            let label = key(label)?;
            return numbers.iter().position(|class| *class == label);
        }
        let position = |label: &str| self.classes.iter().position(|class| class == label);
        position(label).or_else(|| position(label.strip_suffix('.')?))
    }

    /// Learns the classes from the distinct labels of the data, in any order.
    ///
    /// Classes are in the order of numbers, where all are, else of bytes. Of two the last is modelled as 1, but `true` before
    /// any other word, and `positive` before all.
    ///
    /// # Errors
    /// A message when there are too few classes or too many, or `positive` is none of two.
    pub(super) fn learn(name: Option<&str>, labels: &[&str], positive: Option<&str>) -> Result<Self, String> {
        let numbers: Option<Vec<f64>> = labels.iter().map(|label| cell::number(label.as_bytes())).collect();
        let mut classes: Vec<&str> = Vec::new();
        match &numbers {
            Some(numbers) => {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
                // Compared with ==, so that 0 and -0 are one class.
                order.dedup_by(|a, b| numbers[*a] == numbers[*b]);
                classes.extend(order.iter().map(|&i| labels[i]));
            }
            None => {
                let known: HashSet<&str> = labels.iter().copied().collect();
                let dotless = |label: &&&str| label.strip_suffix('.').is_none_or(|bare| !known.contains(bare));
                classes.extend(labels.iter().filter(dotless));
                classes.sort_unstable();
                classes.dedup();
            }
        }
        if !(2..=MOST_CLASSES).contains(&classes.len()) {
            return Err(not_classes(&classes));
        }
        let two = classes.len() == 2;
        if let Some(numbers) = &numbers {
            // Of two, fractions that are no probabilities may be codes; more are measurements.
            let fraction = |x: &f64| x.fract() != 0.0 && (!two || (0.0..=1.0).contains(x));
            if numbers.iter().any(fraction) {
                return Err(format!(
                    "the labels {} are fractions; a class is a whole number or text (for a bound see --target 'COL>X')",
                    listed(&classes),
                ));
            }
        } else if two && classes[0].eq_ignore_ascii_case("true") && !classes[1].eq_ignore_ascii_case("true") {
            classes.swap(0, 1);
        }
        let classes = classes.into_iter().map(ToString::to_string).collect();
        let mut target = Target { name: name.map(ToString::to_string), classes, cut: None };
        if let Some(positive) = positive {
            match target.class_of(positive.trim()) {
                Some(_) if !two => {
                    let shown = target.shown();
                    return Err(format!("--positive {positive} is for two classes; the labels are {shown}"));
                }
                Some(class) => target.classes.swap(class, 1),
                None => return Err(format!("--positive {positive}: the labels are {}", target.shown())),
            }
        }
        Ok(target)
    }

    /// The classes for a message: the first of them, where they are many.
    pub fn shown(&self) -> String {
        listed(&self.classes.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// The first of some labels.
fn listed(labels: &[&str]) -> String {
    let shown: Vec<String> = labels.iter().take(5).map(|label| cell::shown(label.as_bytes())).collect();
    match shown.as_slice() {
        [first, second] => format!("{first} and {second}"),
        _ => format!("{}{}", shown.join(", "), if labels.len() > 5 { ", …" } else { "" }),
    }
}

fn not_classes(classes: &[&str]) -> String {
    match classes {
        [] => "there is no label; two classes are needed".to_string(),
        [only] => format!("there is one class only, {}; two are needed", cell::shown(only.as_bytes())),
        many => format!(
            "there are {} classes ({}), and {MOST_CLASSES} at the most can be fitted; for a bound see --target 'COL>X'",
            many.len(),
            listed(many),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(labels: &[&str], positive: Option<&str>) -> Result<Vec<String>, String> {
        Target::learn(None, labels, positive).map(|target| target.classes)
    }

    #[test]
    fn the_class_modelled_as_1_does_not_depend_on_the_order() {
        let cases = [
            (["0", "1"], "1"),
            (["-1", "1"], "1"),
            (["'-1'", "1"], "1"),
            (["9", "10"], "10"),
            (["TRUE", "false"], "TRUE"),
            (["zebra", "True"], "True"),
            (["no", "yes"], "yes"),
            (["a", "1"], "a"),
        ];
        let mut seen = 0;
        for (labels, positive) in cases {
            for labels in [labels, [labels[1], labels[0]]] {
                assert_eq!(classes(&labels, None).unwrap()[1], positive, "{labels:?}");
                let other = if labels[0] == positive { labels[1] } else { labels[0] };
                assert_eq!(classes(&labels, Some(other)).unwrap(), [positive, other], "{labels:?}");
                seen += 1;
            }
        }
        assert_eq!(seen, 16);
    }

    #[test]
    fn equal_numbers_are_one_class_and_trailing_dots_are_looked_through() {
        let target = Target::learn(None, &["1", "0", "1.0", "'0'", "-0"], None).unwrap();
        assert_eq!(["1.00", "0.0", "'1'"].map(|label| target.class_of(label)), [Some(1), Some(0), Some(1)]);
        assert_eq!(target.class_of("2"), None);
        let target = Target::learn(None, &["<=50K", ">50K", "<=50K.", ">50K."], None).unwrap();
        assert_eq!(target.classes, ["<=50K", ">50K"]);
        assert_eq!([">50K.", "<=50K", "50K"].map(|label| target.class_of(label)), [Some(1), Some(0), None]);
    }

    #[test]
    fn more_classes_are_in_order_and_measurements_are_none() {
        assert_eq!(classes(&["10", "9", "2", "1.0", "1"], None).unwrap(), ["1.0", "2", "9", "10"]);
        assert_eq!(classes(&["true", "maybe", "false"], None).unwrap(), ["false", "maybe", "true"]);
        let target = Target::learn(None, &["b", "a", "c."], None).unwrap();
        assert_eq!(["c.", "a", "c"].map(|label| target.class_of(label)), [Some(2), Some(0), None]);
        assert!(classes(&["1", "2", "2.5"], None).unwrap_err().contains("fractions"));
        assert_eq!(classes(&["1.5", "2.5"], None).unwrap(), ["1.5", "2.5"]);
        let positive = classes(&["1", "2", "3"], Some("2")).unwrap_err();
        assert!(positive.contains("--positive 2 is for two classes; the labels are '1', '2', '3'"), "{positive}");
    }

    #[test]
    fn too_few_classes_or_too_many_are_errors_that_name_them() {
        assert!(classes(&["yes"], None).unwrap_err().contains("one class only, 'yes'"));
        let labels: Vec<String> = (0..256).map(|i| i.to_string()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(classes(&labels[1..], None).unwrap().len(), 255);
        let many = classes(&labels, None).unwrap_err();
        assert!(many.contains("256 classes ('0', '1', '2', '3', '4', …), and 255 at the most"), "{many}");
        assert!(classes(&["0.25", "1"], None).unwrap_err().contains("fractions"));
        assert!(classes(&["a", "b"], Some("c")).unwrap_err().contains("'a' and 'b'"));
        assert!(classes(&[], None).is_err());
    }

    #[test]
    fn very_many_labels_are_refused_in_no_time() {
        let comments: Vec<String> = (0..100_000).map(|i| format!("Comment {i}.")).collect();
        let labels: Vec<&str> = comments.iter().map(String::as_str).collect();
        let start = std::time::Instant::now();
        assert!(classes(&labels, None).unwrap_err().contains("there are 100000 classes"));
        // A search per label took minutes.
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    }
}
