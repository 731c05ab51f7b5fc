//! Training data: files become a [`Dataset`] and the [`Design`] learnt from them.

mod arrays;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::Dataset;
use super::beside;
use super::cache::{Cache, Found, Sources};
use super::classes::{Classes, check_part, check_sums, class_factors};
use super::clusters::Clusters;
use super::cut::Cut;
use super::design::{Design, InputColumn, MAX_HASH_BITS};
use super::files::Files;
use super::folds::Folds;
use super::input::MISSING;
use super::intake::{Intake, Place};
use super::learn;
use super::matrix;
use super::names;
use super::options::{ClassWeight, DataOptions, Format, Missing, SVMLIGHT_LABEL};
use super::pack::{BLOCK_BYTES, PackOptions, Purpose};
use super::part::{ClassSums, Part};
use super::roles;
use super::size;
use super::spread::spread;
use super::table::{Opened, Stop, Use, Wanted};
use super::target::Target;
use crate::error::{Error, Place as At, Result};
use crate::monitor::{Event, Monitor};
use arrays::as_it_lies;

/// Blocks that would fill memory, at the least.
const BLOCKS_IN_MEMORY: u64 = 24;

/// Data to train on.
#[derive(Debug)]
pub struct Training {
    /// The rows to fit.
    pub train: Dataset,
    /// The rows held out. Class weights do not count here.
    pub holdout: Option<HeldOut>,
    /// The folds of the rows to fit, where the data says them.
    pub folds: Option<Folds>,
    /// Their clusters, likewise.
    pub clusters: Option<Clusters>,
    /// Factors on the weights of the classes, which the weights of the rows to fit hold.
    pub class_factors: Vec<f64>,
    /// How the input's columns became features.
    pub design: Design,
    /// What reading met; the class counts are those of the training rows.
    pub summary: ReadSummary,
}

/// Rows that are not trained on.
#[derive(Debug)]
pub struct HeldOut {
    /// All of them.
    pub data: Dataset,
    /// Those with a level that no training row has (where missing values are not filled), which cannot be judged.
    pub missing_rows: Vec<usize>,
}

/// What reading met.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadSummary {
    /// Rows read.
    pub rows: u64,
    /// Rows left out because a value is missing.
    pub dropped_rows: u64,
    /// Cells (of input columns) that a mean was put into.
    pub filled_cells: u64,
    /// Input columns with missing cells, and how many each has over all rows read.
    pub missing_cells: Vec<(String, u64)>,
    /// Rows of each class.
    pub class_counts: Vec<u64>,
    /// What the user should be told.
    pub notes: Vec<String>,
    /// Seconds of the reading that went into packing: all the steps from host arrays to blocks.
    pub pack_seconds: f64,
}

/// Reads training data.
///
/// Levels and fills are learnt from the training rows of positive weight alone; those of weight 0 and those held out
/// teach nothing.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] about the files, [`Error::Usage`] about options that do not fit each other or the
/// files, [`Error::Numerics`] about values that cannot be stored.
pub fn load_training(paths: &[PathBuf], options: &DataOptions, monitor: &dyn Monitor) -> Result<Training> {
    check_options(options)?;
    let mut options = options.clone();
    // Asked once, for what is available shrinks while rows are read.
    options.memory = Some(options.memory());
    let team = options.team.clone();
    // What a rank reads depends on how many there are.
    options.no_cache |= team.is_some();
    let mut files = Files::new(paths, options.format, options.no_header, options.memory(), team)?;
    let mut undivided = HashSet::new();
    check_format(files.format, options.no_header, true, [&options.target_file, &options.weight_file])?;
    let mut text = HashMap::new();
    loop {
        let sources = Sources::identify(&files, &options);
        let opened = Opened::new(&files)?;
        let wanted = plan(&opened, &options)?;
        let features = wanted.iter().filter(|wanted| wanted.purpose == Use::Feature).count();
        options.pack.block_rows = options.pack.block_rows.or(most_block_rows(features, options.memory()));
        if let Some(rows) = files.sparse_rows() {
            size::check_dense(rows, wanted.len() as u64, options.memory())?;
        }
        if let Some(training) = as_it_lies(&files, &wanted, &options, monitor)? {
            return Ok(training);
        }
        let cut = wanted.iter().find_map(|wanted| Some((wanted.name.clone(), wanted.cut.clone()?)));
        let mut cache = Cache::new(sources, &files, &wanted, &options);
        if let Some(Found { intake, notes, path }) = cache.find(&options) {
            intake.check_levels(&options)?;
            let kept =
                format!("the rows are read from {}, where an earlier fit of this data left them", path.display());
            monitor.event(Event::Note(kept));
            match assemble(intake, &files, notes, &options, cut.clone(), monitor) {
                Err(Error::Data { place: At { file, .. }, .. } | Error::Io { path: file, .. }) if file == path => {
                    Cache::remove(&path);
                    monitor.event(Event::Note(format!("{} is damaged; the data is read anew", path.display())));
                }
                done => return done,
            }
        }
        let mut reading = opened.start(wanted, &text, true)?;
        match Intake::read(&mut reading, &options, &mut cache, monitor) {
            Ok(intake) => {
                let mut notes = std::mem::take(&mut reading.notes);
                notes.retain(|note| !note.is_empty());
                let kept = match cache.keep(&intake, &notes) {
                    Ok(None) => None,
                    Ok(Some((path, bytes))) => Some(format!(
                        "the rows ({}) are kept in {} for the next fit; `gpulogit cache --clear{}` removes them",
                        size::amount(bytes),
                        path.display(),
                        options
                            .cache_dir
                            .as_ref()
                            .map_or(String::new(), |dir| format!(" --cache-dir {}", dir.display()))
                    )),
                    Err(error) => Some(format!("the rows are not kept for the next fit: {error}")),
                };
                kept.into_iter().for_each(|note| monitor.event(Event::Note(note)));
                // What it holds of the file is memory that packing can use.
                drop(reading);
                return assemble(intake, &files, notes, &options, cut, monitor);
            }
            // Its first cells misled: read once more, as text.
            Err(Stop::IsText(column, note)) => {
                text.insert(column, note);
            }
            Err(Stop::Quoted(found)) => {
                undivided.extend(found);
                files.divide(&undivided)?;
            }
            Err(Stop::Error(error)) => return Err(error),
        }
    }
}

/// Rows of a block of so many columns, of which a few must fit into `memory` at a time; none where blocks of the usual size do.
fn most_block_rows(columns: usize, memory: u64) -> Option<usize> {
    let bytes = (memory / BLOCKS_IN_MEMORY) as usize;
    (bytes < BLOCK_BYTES).then(|| bytes / (columns.max(1) * size_of::<f32>()))
}

fn usage<T>(message: &str) -> Result<T> {
    Err(Error::Usage(message.to_string()))
}

fn check_options(options: &DataOptions) -> Result<()> {
    if let Some(fraction) = options.holdout
        && !(fraction > 0.0 && fraction < 1.0)
    {
        return usage(&format!("--holdout {fraction}: the fraction must lie between 0 and 1"));
    }
    if options.max_levels == 0 {
        return usage("--max-levels 0: a column has one level at the least");
    }
    if let Some(bits) = options.hash_bits
        && !(1..=MAX_HASH_BITS).contains(&bits)
    {
        return usage(&format!("--hash-bits {bits}: it must lie between 1 and {MAX_HASH_BITS}"));
    }
    if let ClassWeight::Labels(factors) = &options.class_weight {
        for (label, factor) in factors {
            if !(*factor > 0.0 && factor.is_finite()) {
                return usage(&format!("--class-weight {label}={factor}: a class weight must be finite and positive"));
            }
        }
    }
    Ok(())
}

/// Holds the options to be those of the format; `files` are those of target and weight.
pub(super) fn check_format(
    format: Format,
    no_header: bool,
    labelled: bool,
    [target, weight]: [&Option<PathBuf>; 2],
) -> Result<()> {
    let message = match format {
        Format::Npy if no_header => "--no-header cannot apply to a .npy matrix, which has none",
        Format::Npy if labelled && target.is_none() => "a .npy matrix needs its labels: --target-file Y.npy",
        Format::Npy => return Ok(()),
        Format::Parquet | Format::Arrow | Format::Svmlight if no_header => {
            "--no-header cannot apply to this format, which has no header line"
        }
        _ if target.is_some() => "--target-file goes with a .npy matrix; other files hold their labels in a column",
        _ if weight.is_some() => "--weight-file goes with a .npy matrix; other files hold their weights in a column",
        _ => return Ok(()),
    };
    Err(Error::Usage(message.to_string()))
}

/// The columns that are wanted.
fn plan(opened: &Opened, options: &DataOptions) -> Result<Vec<Wanted>> {
    let format = opened.files.format;
    if format == Format::Npy {
        let named = [
            (options.target.is_some(), "--target names a column; a .npy matrix takes --target-file Y.npy"),
            (options.weight.is_some(), "--weight names a column; a .npy matrix takes --weight-file W.npy"),
            (options.fold.is_some(), "--fold names a column; a .npy matrix takes --fold FOLD.npy"),
            (options.cluster.is_some(), "--cluster names a column; a .npy matrix takes --cluster CLUSTER.npy"),
            (options.offset.is_some(), "--offset names a column; a .npy matrix cannot have one"),
            (!options.categorical.is_empty(), "--categorical cannot apply to a .npy matrix, which holds numbers"),
        ];
        if let Some((_, message)) = named.iter().find(|(found, _)| *found) {
            return usage(message);
        }
    }
    if format != Format::Npy && options.fold_file.is_some() {
        return usage("--fold FOLD.npy goes with a .npy matrix; other files hold their folds in a column");
    }
    if format != Format::Npy && options.cluster_file.is_some() {
        return usage("--cluster CLUSTER.npy goes with a .npy matrix; other files hold their clusters in a column");
    }
    if (options.fold.is_some() || options.fold_file.is_some()) && options.has_clusters() {
        return usage("--fold and --cluster do not go together");
    }
    let mut options = options.clone();
    if format == Format::Svmlight && options.target.is_none() {
        options.target = Some(SVMLIGHT_LABEL.to_string());
    }
    if format != Format::Npy && options.target.is_none() {
        return usage("no target is named; name the column of labels with --target");
    }
    let mut wanted = roles::choose(&opened.names(), &options, opened.files.first()).map_err(|error| match error {
        Error::Usage(message) if opened.has_numeric_header() => {
            Error::Usage(format!("{message}; the first line holds numbers only: is --no-header missing?"))
        }
        other => other,
    })?;
    let [target, weight, fold, cluster] =
        [&options.target_file, &options.weight_file, &options.fold_file, &options.cluster_file]
            .map(|file| file.as_deref());
    wanted.extend(beside::wanted(target, weight, fold, cluster));
    Ok(wanted)
}

fn design_of(columns: Vec<InputColumn>, target: Target, options: &DataOptions) -> Design {
    Design {
        columns,
        target,
        weight: options.weight.clone(),
        offset: options.offset.clone(),
        missing: options.missing,
        header: !options.no_header,
    }
}

fn assemble(
    mut intake: Intake,
    files: &Files,
    mut notes: Vec<String>,
    options: &DataOptions,
    cut: Option<(String, Cut)>,
    monitor: &dyn Monitor,
) -> Result<Training> {
    if let Some(spilled) = &intake.train.spilled {
        monitor.event(Event::Streaming(Arc::clone(spilled.pass())));
    }
    let sums: Vec<&ClassSums> = intake.parts().map(|part| &part.classes).collect();
    let classes = Arc::new(Classes::learn(&intake.target.values, &sums, files, options, cut)?);
    sums.into_iter().zip(["training", "held-out"]).try_for_each(|(sums, of)| check_part(sums, of, &classes, files))?;
    let learnt = learn::columns(&mut intake, options, &mut notes)?;
    let design = design_of(learnt.columns, classes.target.clone(), options);
    if let Some(name) = names::repeated(&design.feature_names()) {
        let message = format!("two features would be named '{name}'; rename the column of one of them");
        return Err(Error::data(files.first(), message));
    }
    let features = design.columns.iter().map(InputColumn::features).sum();
    let mut pack = pack_options(options.pack, intake.train.rows, features, files)?;
    if intake.train.spilled.is_some() {
        // Made of levels when they are read, the features may be more than the columns.
        pack.block_rows = most_block_rows(features, options.memory()).or(pack.block_rows);
    }
    let mut filled_cells = if options.missing == Missing::Mean { intake.filled_cells()? } else { 0 };
    let places: Vec<Place> = intake.features.iter().map(|(_, place, _)| *place).collect();
    let folds = match options.fold.is_some() || options.fold_file.is_some() {
        true => Some(Folds::of_rows(&mut intake, files.team.as_deref())?),
        false => None,
    };
    let clusters = match options.has_clusters() {
        true => Some(Clusters::of_rows(&mut intake, options.cluster_name())?),
        false => None,
    };
    let class_counts = classes.sums(&intake.train.classes).into_iter().map(|(rows, _)| rows).collect();
    let factors = class_factors(&options.class_weight, &intake.train.classes, &classes)?;
    let packing = Instant::now();
    let holdout = match &mut intake.holdout {
        Some(part) => {
            let missing_rows = match options.missing {
                Missing::Mean => Vec::new(),
                Missing::Error | Missing::Drop => unseen_rows(part, &places, &mut notes)?,
            };
            let vectors = part.vectors(&classes, None);
            let pack = PackOptions { purpose: Purpose::Score, ..pack };
            let data = matrix::pack(&design, &places, &learnt.shares, part, vectors, pack)?;
            check_judged(&data, &missing_rows, &classes, files)?;
            Some(HeldOut { data, missing_rows })
        }
        None => None,
    };
    let vectors = intake.train.vectors(&classes, Some(&factors));
    let train = matrix::pack(&design, &places, &learnt.shares, &mut intake.train, vectors, pack);
    let train = shared(train, files, options)?;
    if let Some(team) = &files.team {
        filled_cells = team.exchange(&filled_cells)?.into_iter().sum();
    }
    let summary = ReadSummary {
        rows: intake.rows,
        dropped_rows: intake.dropped,
        filled_cells,
        missing_cells: intake.missing.into_iter().filter(|(_, cells)| *cells > 0).collect(),
        class_counts,
        notes,
        pack_seconds: packing.elapsed().as_secs_f64(),
    };
    Ok(Training { train, holdout, folds, clusters, class_factors: factors, design, summary })
}

/// How rows that are read here, so many of so many features, are packed: where several ranks have parts, as one process would pack all of
/// them, and samples are drawn of all.
fn pack_options(options: PackOptions, rows: usize, features: usize, files: &Files) -> Result<PackOptions> {
    let Some(team) = &files.team else { return Ok(options) };
    let all = team.exchange(&rows)?.into_iter().sum();
    let purpose = if options.purpose == Purpose::Fit { Purpose::ShareOfFit } else { options.purpose };
    Ok(PackOptions { precision: Some(options.precision_for(all, features)), purpose, ..options })
}

/// The rows of all ranks that share `files`, of which `here` are this one's, if there are several.
fn shared(here: Result<Dataset>, files: &Files, options: &DataOptions) -> Result<Dataset> {
    match &files.team {
        Some(team) => spread(team.agree(here)?, team, options.pack.purpose),
        None => here,
    }
}

/// The held-out rows that have a level that no training row has.
fn unseen_rows(part: &Part, places: &[Place], notes: &mut Vec<String>) -> Result<Vec<usize>> {
    let mut unseen = Vec::new();
    for place in places {
        let Place::Text(n) = place else { continue };
        let mut first = 0;
        part.each_level(*n, &mut |levels| {
            let rows = levels.iter().enumerate().filter(|(_, level)| **level == MISSING).map(|(row, _)| first + row);
            unseen.extend(rows);
            first += levels.len();
        })?;
    }
    unseen.sort_unstable();
    unseen.dedup();
    if !unseen.is_empty() {
        notes.push(format!("{} held-out rows have a level that no training row has and are left out", unseen.len()));
    }
    Ok(unseen)
}

/// All classes must be among the held-out rows that can be judged.
fn check_judged(data: &Dataset, left_out: &[usize], classes: &Classes, files: &Files) -> Result<()> {
    if left_out.is_empty() {
        return Ok(());
    }
    let mut sums = vec![(0, 0.0); classes.target.classes.len()];
    let mut left_out = left_out.iter().copied().peekable();
    let mut row = 0;
    for block in &data.blocks {
        let vectors = block.vectors()?;
        for (t, s) in vectors.target.iter().zip(vectors.weight.iter()) {
            if left_out.next_if_eq(&row).is_none() {
                let sum = &mut sums[t as usize];
                *sum = (sum.0 + 1, sum.1 + s);
            }
            row += 1;
        }
    }
    check_sums(&sums, "held-out", classes, files)
}

#[cfg(test)]
mod tests;
