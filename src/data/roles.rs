//! Which column plays which part in a training.

use std::path::Path;

use super::columns::Kind;
use super::names::{find, repeated};
use super::options::DataOptions;
use super::table::{Use, Wanted};
use crate::error::{Error, Result};

/// The columns that `options` choose of a file with these columns: target, weight and offset, then the features in
/// input order. For arrays there is no target among the columns.
pub(super) fn choose(names: &[String], options: &DataOptions, file: &Path) -> Result<Vec<Wanted>> {
    let mut part: Vec<Option<&str>> = vec![None; names.len()];
    let mut take = |name: &String, option: &'static str| -> Result<usize> {
        let i = find(names, name, option, file)?;
        if let Some(other) = part[i].replace(option) {
            return Err(Error::Usage(format!("column '{name}' cannot serve both {other} and {option}")));
        }
        Ok(i)
    };
    let mut wanted = Vec::new();
    let single = [
        (&options.target, "--target", Kind::Text, Use::Target),
        (&options.weight, "--weight", Kind::Weight, Use::Weight),
        (&options.offset, "--offset", Kind::Offset, Use::Offset),
    ];
    for (name, option, kind, purpose) in single {
        if let Some(name) = name {
            take(name, option)?;
            wanted.push(Wanted::new(name, kind, purpose, option));
        }
    }
    for (list, option) in [(&options.features, "--features"), (&options.drop, "--drop")] {
        if let Some(name) = repeated(list) {
            return Err(Error::Usage(format!("{option} names column '{name}' twice")));
        }
        for name in list {
            take(name, option)?;
        }
    }
    if let Some(name) = repeated(&options.categorical) {
        return Err(Error::Usage(format!("--categorical names column '{name}' twice")));
    }
    let mut categorical = vec![false; names.len()];
    for name in &options.categorical {
        let i = find(names, name, "--categorical", file)?;
        match part[i] {
            None if options.features.is_empty() => categorical[i] = true,
            Some("--features") => categorical[i] = true,
            None => {
                return Err(Error::Usage(format!("--categorical names column '{name}', which --features leaves out")));
            }
            Some(other) => {
                return Err(Error::Usage(format!("column '{name}' cannot serve both {other} and --categorical")));
            }
        }
    }
    for (i, name) in names.iter().enumerate() {
        if part[i] == Some("--features") || (part[i].is_none() && options.features.is_empty()) {
            let kind = if categorical[i] { Kind::Text } else { Kind::Guess };
            wanted.push(Wanted::new(name, kind, Use::Feature, "--features"));
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn chosen(options: &DataOptions) -> Result<Vec<String>> {
        let names = strings(&["a", "b", "w", "o", "y"]);
        Ok(choose(&names, options, Path::new("f.csv"))?.into_iter().map(|wanted| wanted.name).collect())
    }

    #[test]
    fn features_keep_the_input_order() {
        let options = DataOptions { target: Some("y".into()), weight: Some("w".into()), ..DataOptions::default() };
        assert_eq!(chosen(&options).unwrap(), ["y", "w", "a", "b", "o"]);
        let options = DataOptions { features: strings(&["o", "a"]), ..options };
        assert_eq!(chosen(&options).unwrap(), ["y", "w", "a", "o"]);
    }

    #[test]
    fn a_column_has_one_part() {
        let y = || DataOptions { target: Some("y".into()), ..DataOptions::default() };
        let cases = [
            (DataOptions { weight: Some("y".into()), ..y() }, "both --target and --weight"),
            (DataOptions { features: strings(&["y"]), ..y() }, "both --target and --features"),
            (DataOptions { features: strings(&["a"]), drop: strings(&["a"]), ..y() }, "both --features and --drop"),
            (
                DataOptions { drop: strings(&["a"]), categorical: strings(&["a"]), ..y() },
                "both --drop and --categorical",
            ),
            (DataOptions { features: strings(&["a"]), categorical: strings(&["b"]), ..y() }, "--features leaves out"),
            (DataOptions { features: strings(&["a", "a"]), ..y() }, "--features names column 'a' twice"),
            (DataOptions { drop: strings(&["z"]), ..y() }, "--drop: f.csv has no column 'z'"),
        ];
        let mut seen = 0;
        for (options, expected) in cases {
            let message = chosen(&options).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            seen += 1;
        }
        assert_eq!(seen, 7);
    }
}
