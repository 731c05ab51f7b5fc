//! A matrix that needs no reading but as it lies.

use std::time::Instant;

use super::{ReadSummary, Training, design_of, pack_options, shared};
use crate::data::Dataset;
use crate::data::agree;
use crate::data::beside::Beside;
use crate::data::classes::{Classes, Labelled, check_part, class_factors};
use crate::data::clusters::{self, Clusters};
use crate::data::design::InputColumn;
use crate::data::files::Files;
use crate::data::folds::{self, Folds};
use crate::data::input::{MISSING, Text, npy};
use crate::data::options::{DataOptions, Format, Missing};
use crate::data::pack::SMALL_DATA;
use crate::data::part::{ClassSums, Dictionary, label_code};
use crate::data::storage::Storage;
use crate::data::table::{Use, Wanted};
use crate::error::Result;
use crate::monitor::{Event, Monitor};

/// A matrix, and what goes with its rows.
struct Lying {
    values: Storage<f32>,
    rows: usize,
    target: Text,
    weight: Vec<f64>,
    group: Option<Text>,
}

impl Lying {
    /// The rows that are read here, if they lie so and memory holds them.
    fn read(files: &Files, wanted: &[Wanted], options: &DataOptions) -> Result<Option<Self>> {
        let source = &files.sources[0];
        let (all, columns) = npy::shape(source)?;
        let rows = npy::rows(source)?.len();
        let fits = rows.saturating_mul(columns).saturating_mul(size_of::<f32>()) as u64 <= options.memory() / 2;
        let features = wanted.iter().filter(|wanted| wanted.purpose == Use::Feature).count();
        if rows == 0 || features != columns || all.saturating_mul(columns) <= SMALL_DATA || !fits {
            return Ok(None);
        }
        let mut beside = Beside::open(files, wanted.iter())?;
        let (target, weight, group) = beside.whole(rows)?;
        let weight = weight.unwrap_or_default();
        let missing = |text: &Text| text.codes.contains(&MISSING);
        if missing(&target) || group.as_ref().is_some_and(missing) || weight.iter().any(|s| s.is_nan()) {
            return Ok(None);
        }
        let Some(values) = npy::rows_of_f32(source)? else { return Ok(None) };
        source.check_unchanged()?;
        beside.check_unchanged()?;
        Ok(Some(Lying { values, rows, target, weight, group }))
    }

    /// The same where all ranks that share the files have such rows.
    fn read_by_all(files: &Files, wanted: &[Wanted], options: &DataOptions) -> Result<Option<Self>> {
        let here = Lying::read(files, wanted, options);
        let Some(team) = &files.team else { return here };
        let here = team.agree(here)?;
        let all = team.exchange(&here.is_some())?;
        Ok(here.filter(|_| all.into_iter().all(|lies| lies)))
    }
}

/// A matrix that is wanted as it lies (row by row, in f32, without gaps) is packed in the memory that it is read into.
pub(super) fn as_it_lies(
    files: &Files,
    wanted: &[Wanted],
    options: &DataOptions,
    monitor: &dyn Monitor,
) -> Result<Option<Training>> {
    let [source] = files.sources.as_slice() else { return Ok(None) };
    let grouped = wanted.iter().any(|wanted| wanted.purpose == Use::Group);
    if files.format != Format::Npy
        || options.holdout.is_some()
        || options.missing == Missing::Mean
        || (grouped && files.team.is_some())
    {
        return Ok(None);
    }
    let Some(Lying { values, rows, target, weight, group }) = Lying::read_by_all(files, wanted, options)? else {
        source.rewind();
        return Ok(None);
    };
    let (file, bytes) = (source.path.as_path(), source.bytes_read());
    monitor.event(Event::Reading { file, rows: rows as u64, bytes, total_bytes: bytes });
    let mut sums = ClassSums::default();
    let weigh = |row: usize| weight.get(row).copied().unwrap_or(1.0);
    let codes: Vec<u8> = target.codes.iter().map(|code| label_code(*code)).collect();
    codes.iter().enumerate().for_each(|(row, code)| sums.count(*code, weigh(row)));
    let mut labels = Dictionary::default();
    labels.codes(target.values);
    if let Some(team) = &files.team {
        sums = agree::classes(&mut labels, &sums, team)?;
    }
    let classes = Classes::learn(&labels.values, &[&sums], files, options, None)?;
    check_part(&sums, "training", &classes, files)?;
    let (mut folds, mut clusters) = (None, None);
    if let Some(group) = group {
        let mut counts = vec![0; group.values.len()];
        let counted = group.codes.iter().enumerate().filter(|(row, _)| weigh(*row) > 0.0);
        counted.for_each(|(_, code)| counts[*code as usize] += 1);
        if options.has_clusters() {
            let (numbers, count) = clusters::of_labels(&counts)?;
            let of_row = group.codes.iter().map(|code| numbers[*code as usize]).collect();
            clusters = Some(Clusters { name: options.cluster_name(), of_row, count });
        } else {
            let (numbers, names) = folds::of_labels(&group.values, &counts)?;
            let of_row = group.codes.iter().map(|code| numbers[*code as usize] as u8).collect();
            folds = Some(Folds { of_row, names });
        }
    }
    let features = wanted.iter().filter(|wanted| wanted.purpose == Use::Feature);
    let names: Vec<String> = features.map(|wanted| wanted.name.clone()).collect();
    let column = |name: &String| InputColumn::Numeric { name: name.clone(), fill: None, date: false };
    let design = design_of(names.iter().map(column).collect(), classes.target.clone(), options);
    let packing = Instant::now();
    let factors = class_factors(&options.class_weight, &sums, &classes)?;
    let vectors = Labelled { rows, codes: &codes, weight: &weight, offset: &[] }.vectors(&classes, &factors);
    let pack = pack_options(options.pack, rows, names.len(), files)?;
    let train = shared(Dataset::pack_rows(names, values, &vectors, pack), files, options)?;
    let class_counts: Vec<u64> = classes.sums(&sums).into_iter().map(|(rows, _)| rows).collect();
    let summary = ReadSummary {
        rows: train.rows as u64,
        class_counts,
        pack_seconds: packing.elapsed().as_secs_f64(),
        ..ReadSummary::default()
    };
    Ok(Some(Training { train, holdout: None, folds, clusters, class_factors: factors, design, summary }))
}
