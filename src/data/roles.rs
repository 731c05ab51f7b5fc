//! Which column plays which part: in a training, and for a model.

use std::collections::HashSet;
use std::path::Path;

use super::beside;
use super::cut::Cut;
use super::design::{Design, InputColumn};
use super::input::Kind;
use super::names::{find, listed, repeated};
use super::options::{DataOptions, ReadOptions};
use super::table::{Opened, Use, Wanted};
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
    let cut = target_cut(names, options);
    let target = cut.as_ref().map(|(name, _)| name.clone()).or_else(|| options.target.clone());
    let target_kind = if cut.is_some() { Kind::Number } else { Kind::Text };
    let single = [
        (&target, "--target", target_kind, Use::Target),
        (&options.weight, "--weight", Kind::Weight, Use::Weight),
        (&options.offset, "--offset", Kind::Offset, Use::Offset),
        (&options.fold, "--fold", Kind::Text, Use::Group),
        (&options.cluster, "--cluster", Kind::Text, Use::Group),
    ];
    for (name, option, kind, purpose) in single {
        if let Some(name) = name {
            take(name, option)?;
            let cut = cut.as_ref().filter(|_| purpose == Use::Target).map(|(_, cut)| cut.clone());
            wanted.push(Wanted { cut, ..Wanted::new(name, Some(kind), purpose, option) });
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
            let kind = categorical[i].then_some(Kind::Text);
            wanted.push(Wanted::new(name, kind, Use::Feature, "--features"));
        }
    }
    Ok(wanted)
}

/// The column and the comparison that the target is, where it is no column of `names`.
fn target_cut(names: &[String], options: &DataOptions) -> Option<(String, Cut)> {
    let text = options.target.as_ref().filter(|text| !names.contains(text))?;
    let (name, cut) = Cut::parse(text)?;
    names.iter().any(|known| known == name).then(|| (name.to_string(), cut))
}

fn usage<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Usage(message.into()))
}

/// What is wanted of matrices, whose columns are x0, x1, …, and of the files beside them.
pub(super) fn wanted_of_arrays(opened: &Opened, design: &Design, options: &ReadOptions) -> Result<Vec<Wanted>> {
    if !options.keep.is_empty() {
        return usage("--keep names columns of a text file and cannot apply to a .npy matrix");
    }
    if let Some(name) = &options.by {
        return usage(format!("--by {name} names a column with a header, and a .npy matrix has none"));
    }
    if let Some(offset) = &design.offset {
        return usage(format!("the model needs the offset '{offset}', which a .npy matrix does not hold"));
    }
    let names = opened.names();
    let there: HashSet<&str> = names.iter().map(String::as_str).collect();
    for column in &design.columns {
        if !matches!(column, InputColumn::Numeric { .. }) || !there.contains(column.name()) {
            return usage(format!(
                "the model needs column '{}', and {} has {} columns (x0, x1, …)",
                column.name(),
                opened.files.first().display(),
                names.len()
            ));
        }
    }
    let feature = |column: &InputColumn| Wanted::new(column.name(), Some(Kind::Number), Use::Feature, "the model");
    let target = options.target_file.as_deref().filter(|_| options.with_target);
    let beside = beside::wanted(target, options.weight_file.as_deref(), None, None);
    Ok(design.columns.iter().map(feature).chain(beside).collect())
}

/// What is wanted of files whose columns have names.
pub(super) fn wanted_by_name(
    opened: &Opened,
    design: &Design,
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<Wanted>> {
    let target = match &design.target.name {
        Some(name) if options.with_target => Some(name),
        None if options.with_target => {
            return usage("the model was fitted on arrays and knows no target column; give X.npy with --target-file");
        }
        _ => None,
    };
    if let Some(name) = repeated(&options.keep) {
        return usage(format!("--keep names column '{name}' twice"));
    }
    let names = opened.names();
    let mut wanted: Vec<Wanted> = Vec::new();
    let kind = if design.target.cut.is_some() { Kind::Number } else { Kind::Text };
    wanted.extend(target.map(|name| Wanted {
        cut: design.target.cut.clone(),
        ..Wanted::new(name, Some(kind), Use::Target, "the model's target")
    }));
    match &design.weight {
        Some(name) if options.with_target && names.contains(name) => {
            wanted.push(Wanted::new(name, Some(Kind::Weight), Use::Weight, "the model's weight"));
        }
        Some(name) if options.with_target => {
            notes.push(format!("{} has no column '{name}': all rows weigh 1", opened.files.first().display()));
        }
        _ => {}
    }
    let offset = design.offset.as_ref();
    wanted.extend(offset.map(|name| Wanted::new(name, Some(Kind::Offset), Use::Offset, "the model's offset")));
    for column in &design.columns {
        let kind = match column {
            InputColumn::Numeric { date: true, .. } => Kind::Date,
            InputColumn::Numeric { .. } => Kind::Number,
            InputColumn::Categorical { .. } | InputColumn::Hashed { .. } => Kind::Text,
        };
        wanted.push(Wanted::new(column.name(), Some(kind), Use::Feature, "the model"));
    }
    let kept = options.keep.iter().map(|name| (name, "--keep")).chain(options.by.iter().map(|name| (name, "--by")));
    wanted.extend(kept.map(|(name, asker)| Wanted::new(name, Some(Kind::Kept), Use::Kept, asker)));
    let used: HashSet<&str> = wanted
        .iter()
        .map(|wanted| wanted.name.as_str())
        .chain([&design.target.name, &design.weight].into_iter().flatten().map(String::as_str))
        .collect();
    let ignored: Vec<String> = names.iter().filter(|name| !used.contains(name.as_str())).cloned().collect();
    if !ignored.is_empty() {
        notes.push(format!("columns the model does not use: {}", listed(&ignored)));
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
