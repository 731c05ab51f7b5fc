//! The command line: the only room that prints, parses arguments or exits.

// Printing is what this room is for; everywhere else the lints hold.
#![allow(clippy::print_stderr)]

mod args;
mod bench;
mod cache;
mod curve;
mod cv;
mod devices;
mod evaluate;
mod exit;
mod explain;
mod export;
mod invocation;
mod job;
mod manual;
mod metrics;
mod output;
mod page;
mod path;
mod predict;
mod predictions;
mod progress;
mod scored;
mod size;
mod summary;
mod train;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use args::{Cli, Command, Common};
use exit::Outcome;
use job::Job;
use progress::Terminal;

use crate::error::{Error, Result};
use crate::ranks::Team;

/// Threads that anybody could have a use for.
const MOST_THREADS: usize = 1024;

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    quieten_mesa();
    quieten_caught_panics();
    let job = match Job::join() {
        Ok(job) => job,
        Err(error) => {
            eprintln!("error: {error}");
            return Outcome::from(&error).into();
        }
    };
    let team = job.team.clone();
    let leads = team.as_ref().is_none_or(|team| team.leads());
    let (cli, matches) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            if leads {
                // Whoever does not want to read it need not.
                let _ = error.print();
            }
            drop(team);
            let code = if leads { error.exit_code() as u8 } else { 0 };
            job.leave(true, code);
            return code.into();
        }
    };
    let common = cli.command.common();
    let terminal = if leads { Terminal::new(common.quiet, common.verbose) } else { Terminal::mute() };
    let ready = job::check(team.as_ref(), &cli.command).and_then(|()| prepare(common, team.as_deref()));
    let result = agreed(team.as_ref(), ready).and_then(|()| match &cli.command {
        Command::Train(args) => train::run(args, &matches, &terminal, team.as_ref()),
        Command::Cv(args) => cv::run(args, &terminal, team.as_ref()),
        Command::Path(args) => path::run(args, &terminal, team.as_ref()),
        Command::Summary(args) => summary::run(args, &terminal),
        Command::Predict(args) => predict::run(args, &terminal, team.as_ref()),
        Command::Evaluate(args) => evaluate::run(args, &matches, &terminal, team.as_ref()),
        Command::Validate(args) => validate::run(args, &terminal),
        Command::Bench(args) => bench::run(args, &terminal),
        Command::Devices(args) => devices::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Export(args) => export::run(args, &terminal),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args, &terminal),
    });
    terminal.clear();
    let knows = team.as_ref().is_some_and(|team| team.has_failed());
    let outcome = match &result {
        Ok(outcome) => *outcome,
        // The reader of our output has gone (`gpulogit ... | head`): nothing is left to do.
        Err(Error::Write { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Outcome::Done,
        Err(error) => {
            // What all ranks know of one tells.
            if leads || !knows {
                eprintln!("error: {error}");
            }
            Outcome::from(error)
        }
    };
    drop(team);
    // A launcher that sees a rank fail stops listening to the others: the one that tells of an error is the one that ends with it.
    let outcome = if knows && !leads { Outcome::Done } else { outcome };
    job.leave(leads || knows || result.is_ok(), outcome.code());
    outcome.into()
}

/// What all ranks make of `ready`, where there are several.
fn agreed<T>(team: Option<&Arc<Team>>, ready: Result<T>) -> Result<T> {
    match team {
        Some(team) => team.agree(ready),
        None => ready,
    }
}

/// Holds a command line, the program's name first, to be one that can be run. Nothing is run.
///
/// # Errors
/// What is wrong with it, or the help or version that it asks for.
pub fn check_usage(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<(), clap::Error> {
    parse(line).map(|_| ())
}

fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = Cli::command().try_get_matches_from(line)?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

/// Keeps Mesa's device-select layer for Vulkan out of the process: on a machine without a desktop it prints
/// "error: XDG_RUNTIME_DIR is invalid" once for every look at the adapters. Whoever steers that layer keeps it.
#[expect(unsafe_code, reason = "the environment is changed before there is a second thread")]
fn quieten_mesa() {
    if std::env::var_os("MESA_VK_DEVICE_SELECT").is_none() {
        // SAFETY: this is the first thing the program does; no other thread exists that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Keeps silent about panics of decoders on damaged files, and of waits for devices that are lost: those end in an error of their own.
fn quieten_caught_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !(crate::data::is_decoding() || crate::engine::gpu::is_waiting()) {
            report(info);
        }
    }));
}

/// Sets the number of threads and the way Ctrl-C works.
fn prepare(common: &Common, team: Option<&Team>) -> Result<()> {
    if let Some(threads) = common.threads.or_else(|| team.map(job::threads)) {
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(Error::Usage(format!("--threads must be between 1 and {MOST_THREADS}")));
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .map_err(|e| Error::Usage(format!("{threads} threads could not be started: {e}")))?;
    }
    ctrlc::set_handler(progress::interrupt)
        .map_err(|e| Error::Usage(format!("the handler for Ctrl-C could not be set: {e}")))
}
