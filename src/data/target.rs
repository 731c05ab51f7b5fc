//! Labels and the two classes they name.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::cut::Cut;
use super::input::cell;

/// The column of labels, and its two classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Name of the column; none for labels from an array file.
    pub name: Option<String>,
    /// The labels of the class modelled as 0 and of the one modelled as 1.
    pub classes: [String; 2],
    /// How the numbers of the column become the two labels, where it does not hold them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

impl Target {
    /// The class (0 or 1) of a label: equal as a number where both classes are numbers, else equal as text; a label
    /// with a dot at its end is the class without it if there is such a class.
    pub fn class_of(&self, label: &str) -> Option<usize> {
        let key = |text: &str| cell::number(text.as_bytes());
        if let [Some(negative), Some(positive)] = [key(&self.classes[0]), key(&self.classes[1])] {
            let label = key(label)?;
            return [negative, positive].iter().position(|class| *class == label);
        }
        let position = |label: &str| self.classes.iter().position(|class| class == label);
        position(label).or_else(|| position(label.strip_suffix('.')?))
    }

    /// Learns the classes from the distinct labels of the data, in any order.
    ///
    /// The class modelled as 1 is `positive`, else the larger number, `true`, or the last in byte order.
    ///
    /// # Errors
    /// A message when there are not exactly two classes, or `positive` is neither.
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
        let [first, second] = classes[..] else { return Err(not_two(&classes)) };
        if let Some(numbers) = &numbers {
            let fraction = |x: &f64| (0.0..=1.0).contains(x) && x.fract() != 0.0;
            if numbers.iter().any(fraction) {
                return Err(format!(
                    "the labels {first} and {second} are fractions; a class is a whole number or text"
                ));
            }
        } else if first.eq_ignore_ascii_case("true") && !second.eq_ignore_ascii_case("true") {
            classes.swap(0, 1);
        }
        let target = Target {
            name: name.map(ToString::to_string),
            classes: [classes[0].to_string(), classes[1].to_string()],
            cut: None,
        };
        match positive {
            None => Ok(target),
            Some(positive) => match target.class_of(positive.trim()) {
                Some(1) => Ok(target),
                Some(_) => Ok(Target { classes: [target.classes[1].clone(), target.classes[0].clone()], ..target }),
                None => Err(format!("--positive {positive}: the labels are '{}' and '{}'", classes[0], classes[1])),
            },
        }
    }
}

fn not_two(classes: &[&str]) -> String {
    match classes {
        [] => "there is no label; two classes are needed".to_string(),
        [only] => format!("there is one class only, {}; two are needed", cell::shown(only.as_bytes())),
        many => {
            let shown: Vec<String> = many.iter().take(5).map(|c| cell::shown(c.as_bytes())).collect();
            let more = if many.len() > 5 { ", …" } else { "" };
            format!("there are {} classes ({}{more}); exactly two are needed", many.len(), shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(labels: &[&str], positive: Option<&str>) -> Result<[String; 2], String> {
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
    fn other_than_two_classes_are_errors_that_name_them() {
        assert!(classes(&["yes"], None).unwrap_err().contains("one class only, 'yes'"));
        let many = classes(&["3", "1", "2", "10", "4", "5", "6"], None).unwrap_err();
        assert!(many.contains("7 classes ('1', '2', '3', '4', '5', …); exactly two"), "{many}");
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
