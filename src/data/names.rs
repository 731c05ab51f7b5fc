//! Column names: finding them, and helping when they are not there.

use std::path::Path;

use crate::error::{Error, Result};

/// Names a message lists at the most.
const LISTED: usize = 8;
/// Bytes of a name from which on nothing is said of names that are like it: comparing takes as long as they are, squared.
const LONG: usize = 200;

/// The position of column `name`, which option or model part `asker` asks for.
pub(super) fn find(names: &[String], name: &str, asker: &str, file: &Path) -> Result<usize> {
    names.iter().position(|n| n == name).ok_or_else(|| {
        let hint = nearest(names, name).map(|n| format!(" did you mean '{n}'?")).unwrap_or_default();
        Error::Usage(format!("{asker}: {} has no column '{name}';{hint} it has {}", file.display(), listed(names)))
    })
}

/// Some of the names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The name that is most like `name`, if one is like it.
fn nearest<'a>(names: &'a [String], name: &str) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let far = wanted.chars().count() / 3 + 1;
    names
        .iter()
        .filter(|n| n.len().max(wanted.len()) < LONG)
        .map(|n| (distance(&n.to_lowercase(), &wanted), n.as_str()))
        .filter(|(d, _)| *d <= far)
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}

/// Levenshtein's distance: insertions, deletions and substitutions of characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The first name that stands twice in `names`, if one does.
pub(super) fn repeated<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.into_iter().find(|name| !seen.insert(name.as_str())).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn distances_are_levenshteins() {
        let cases = [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("é", "e", 1)];
        assert_eq!(cases.iter().filter(|(a, b, d)| distance(a, b) == *d).count(), cases.len());
    }

    #[test]
    fn the_nearest_name_is_offered_and_a_far_one_is_not() {
        let names = strings(&["survived", "sex", "age"]);
        assert_eq!(nearest(&names, "Survivd"), Some("survived"));
        assert_eq!(nearest(&names, "AGE"), Some("age"));
        assert_eq!(nearest(&names, "passenger"), None);
    }

    #[test]
    fn repeated_names_are_found() {
        assert_eq!(repeated(&strings(&["a", "b", "a"])), Some("a"));
        assert_eq!(repeated(&strings(&["a", "b"])), None);
    }
}
