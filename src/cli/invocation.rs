//! What was typed, and what every option came to be.

use std::ffi::OsStr;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory};

use super::args::Cli;

/// The command line as a shell would take it, the program without its folder.
pub(super) fn command_line() -> String {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map_or("gpulogit".into(), OsStr::to_os_string);
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    [program].into_iter().chain(words).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// Every option of the command that `matches` is of: its name, its value, and whether it was given.
pub(super) fn options(matches: &ArgMatches) -> Vec<(String, String, bool)> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let cli = Cli::command();
    let Some(command) = cli.find_subcommand(name) else { return Vec::new() };
    command.get_arguments().map(|arg| option(arg, matches)).collect()
}

fn option(arg: &Arg, matches: &ArgMatches) -> (String, String, bool) {
    let id = arg.get_id().as_str();
    let name = match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => arg.get_value_names().and_then(<[_]>::first).map_or(id, |name| name.as_str()).to_owned(),
    };
    let given = matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue);
    if let ArgAction::SetTrue = arg.get_action() {
        return (name, if matches.get_flag(id) { "yes" } else { "not given" }.to_owned(), given);
    }
    let values = matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned());
    let values: Vec<String> = values.collect();
    if !values.is_empty() {
        return (name, values.join(if arg.get_long().is_some() { "," } else { " " }), given);
    }
    // What is computed where nothing is given stands in the help.
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = help.rsplit_once("[default: ").and_then(|(_, rest)| rest.split_once(']')).map(|(default, _)| default);
    (name, default.unwrap_or("none").to_owned(), given)
}
