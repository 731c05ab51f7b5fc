//! What comes before a fit: the arguments held together, and the rows read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check;
use crate::cli::args::{L2Arg, TrainArgs};
use crate::cli::progress::Terminal;
use crate::data::{DataOptions, Training, files_of, load_training};
use crate::error::{Error, Result};
use crate::model::check_output;
use crate::ranks::Team;

/// What is there before a fit.
pub(super) struct Loaded {
    pub(super) training: Training,
    /// Every file that was read.
    pub(super) inputs: Vec<PathBuf>,
    /// The confidence of intervals.
    pub(super) level: f64,
}

/// Holds the arguments to be those of a fit, and reads the rows.
pub(super) fn load(args: &TrainArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Loaded> {
    let penalised = match args.fit.l2 {
        L2Arg::Auto => args.grid.penalties.is_penalised(),
        L2Arg::Is(l2) => l2 > 0.0 || args.fit.l1 > 0.0,
    };
    let level = check(args)?;
    let mut data_options = args.data.options(penalised, args.holdout, args.fit.optimum.seed)?;
    data_options.team = team.cloned();
    args.grid.read_folds(&mut data_options);
    args.inference.read_clusters(&mut data_options);
    let inputs = inputs(args, &data_options)?;
    check_outputs(args, &inputs)?;
    let training = load_training(&args.data.files, &data_options, terminal)?;
    Ok(Loaded { training, inputs, level })
}

/// Holds the files that are written to be none of those that are read, nor each other.
fn check_outputs(args: &TrainArgs, inputs: &[PathBuf]) -> Result<()> {
    let outputs = [
        ("--model", args.model()),
        ("--checkpoint", args.checkpoint.as_deref()),
        ("--influence", args.inference.influence.as_deref()),
        ("--report", args.page.report.as_deref()),
    ];
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in outputs.into_iter().filter_map(|(option, path)| Some((option, path?))) {
        check_output(path, inputs)?;
        let real = real_path(path);
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == real) {
            let what = other.trim_start_matches('-');
            return Err(Error::Usage(format!("{option} {}: the {what} goes there; name another file", path.display())));
        }
        taken.push((option, real));
    }
    Ok(())
}

/// The one name of a file, which need not be there yet.
fn real_path(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = || Some(std::fs::canonicalize(folder).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(beside).unwrap_or_else(|| path.to_path_buf())
}

/// Every file that is read.
fn inputs(args: &TrainArgs, data: &DataOptions) -> Result<Vec<PathBuf>> {
    let mut inputs = files_of(&args.data.files)?;
    inputs.extend(data.files_beside().chain(&args.test).chain(&args.replay).cloned());
    // A start that is no file does no harm here.
    inputs.push(PathBuf::from(&args.fit.init));
    Ok(inputs)
}
