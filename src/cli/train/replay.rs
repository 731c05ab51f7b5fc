//! `train --replay MODEL`: the fit that a model records, once more, and whether it comes to the same.

use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_json::json;

use super::super::args::{Command, TrainArgs};
use super::super::invocation::{given, line};
use super::super::output::stdout;
use super::super::parse;
use super::super::progress::Terminal;
use crate::error::{Error, Result};
use crate::model::{Apart, Comparison, Model};

/// Arguments that a record leaves out: where results go and what is told of them, and what changes no number.
const NOT_RECORDED: [&str; 12] = [
    "model",
    "report",
    "influence",
    "checkpoint",
    "resume",
    "json",
    "quiet",
    "verbose",
    "threads",
    "cache_dir",
    "no_cache",
    "replay",
];

/// Arguments that may stand beside `--replay`: where the files are now, what computes, and where results go.
const BESIDE: [&str; 15] = [
    "files",
    "target_file",
    "weight_file",
    "test",
    "device",
    "threads",
    "memory",
    "device_memory",
    "cache_dir",
    "no_cache",
    "model",
    "json",
    "quiet",
    "verbose",
    "replay",
];

/// The arguments of `train` that a model records.
pub(super) fn recorded_arguments(matches: &ArgMatches) -> Vec<String> {
    line(given(matches, |id| !NOT_RECORDED.contains(&id)))
}

/// A model whose fit is done once more.
pub(super) struct Replay {
    path: PathBuf,
    model: Model,
}

impl Replay {
    /// Of the model at `path`.
    ///
    /// # Errors
    /// As [`Model::load`], and [`Error::Model`] where it has no record or is no longer what that says.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let model = Model::load(path)?;
        let replay = Replay { path: path.to_owned(), model };
        match replay.model.training.fingerprints {
            Some(known) if !replay.model.training.arguments.is_empty() => {
                let is_whole = known.result == replay.model.fingerprint();
                if is_whole { Ok(replay) } else { Err(replay.refused("its coefficients are not those of its record; the file was changed since")) }
            }
            _ => Err(replay.refused("it does not record how it was trained; `gpulogit train` writes that, but `cv` and earlier versions do not")),
        }
    }

    fn refused(&self, message: &str) -> Error {
        Error::Model { path: self.path.clone(), message: format!("the model cannot be replayed: {message}") }
    }

    /// The recorded arguments, those in `matches` put in their place.
    ///
    /// # Errors
    /// [`Error::Usage`] for one that belongs to the record, [`Error::Model`] where the record is none.
    pub(super) fn arguments(&self, matches: &ArgMatches) -> Result<(Box<TrainArgs>, ArgMatches)> {
        if let Some(other) = given(matches, |id| !BESIDE.contains(&id)).first() {
            return Err(Error::Usage(format!(
                "{} is in the record of {}; with --replay say only what computes (--device, --threads, --memory) and where files are",
                other.name,
                self.path.display()
            )));
        }
        let now = given(matches, |_| true);
        let recorded = self.parsed(&self.model.training.arguments)?.1;
        let kept = given(&recorded, |id| !NOT_RECORDED.contains(&id) && !now.iter().any(|argument| argument.id == id));
        self.parsed(&line(kept.into_iter().chain(now)))
    }

    fn parsed(&self, arguments: &[String]) -> Result<(Box<TrainArgs>, ArgMatches)> {
        match parse(["gpulogit", "train"].into_iter().chain(arguments.iter().map(String::as_str))) {
            Ok((cli, matches)) => match cli.command {
                Command::Train(args) => Ok((args, matches)),
                _ => Err(self.refused("its record is of another command")),
            },
            Err(error) => {
                let error = error.to_string();
                let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
                Err(self.refused(&format!(
                    "its record is no command line of this version ({first}); gpulogit {} wrote it",
                    self.model.training.version
                )))
            }
        }
    }

    /// How `again` compares with it.
    pub(super) fn compared(&self, again: &Model, terminal: &Terminal) -> Compared {
        let compared = Compared { path: self.path.clone(), comparison: Comparison::of(&self.model, again) };
        if !compared.agrees() {
            let then = &self.model.training;
            terminal.warn(&format!(
                "this fit is not that of {}, which gpulogit {} made on {} ({}): {}.",
                self.path.display(),
                then.version,
                then.device.id,
                then.device.name,
                compared.words(),
            ));
        }
        compared
    }
}

/// A fit beside the one that was to be repeated.
pub(super) struct Compared {
    path: PathBuf,
    comparison: Comparison,
}

impl Compared {
    /// Whether it is the same fit.
    pub(super) fn agrees(&self) -> bool {
        self.comparison.agrees()
    }

    /// What is the same and what is not.
    fn words(&self) -> String {
        let Comparison { same_data, same_options, same_bits, apart } = self.comparison;
        let which = |same, what| format!("{} {what}", if same { "the same" } else { "other" });
        let result = match apart {
            _ if same_bits => "the same bits".to_owned(),
            None => "other features or classes".to_owned(),
            Some(Apart { coefficients, coefficient_bound: Some(bound), .. }) => {
                format!("coefficients {coefficients:.1e} apart, where both certificates allow {bound:.1e}")
            }
            Some(Apart { objective, objective_bound: Some(bound), .. }) => {
                format!("J {objective:.1e} apart, where both certificates allow {bound:.1e}")
            }
            Some(Apart { coefficients, .. }) => {
                format!("coefficients {coefficients:.1e} apart, and no certificate bounds that")
            }
        };
        format!("{}, {}, {result}", which(same_data, "data"), which(same_options, "options"))
    }

    /// Prints it.
    ///
    /// # Errors
    /// As [`stdout`].
    pub(super) fn print(&self) -> Result<()> {
        stdout(&format!("\nreplay     {}: {}\n", self.path.display(), self.words()))
    }
}

/// Adds it to what `--json` prints.
pub(super) fn add_comparison(report: &mut serde_json::Value, compared: Option<&Compared>) {
    if let Some(compared) = compared {
        report["replay"] = json!({
            "model": compared.path.display().to_string(),
            "agrees": compared.agrees(),
            "same_data": compared.comparison.same_data,
            "same_options": compared.comparison.same_options,
            "same_bits": compared.comparison.same_bits,
            "apart": compared.comparison.apart,
        });
    }
}
