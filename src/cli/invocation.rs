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

/// An argument that was given.
pub(super) struct Given {
    /// What the program calls it.
    pub(super) id: String,
    /// As a message does: `--l2`, or DATA.
    pub(super) name: String,
    /// As it can be typed again: the option, or the files.
    pub(super) words: Vec<String>,
}

/// A line of arguments, behind which nothing else may stand: whatever files are called, they are no options.
pub(super) fn line(arguments: impl IntoIterator<Item = Given>) -> Vec<String> {
    let (options, files): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|argument| argument.name.starts_with('-'));
    let words = |arguments: Vec<Given>| arguments.into_iter().flat_map(|argument| argument.words);
    words(options).chain(["--".to_owned()]).chain(words(files)).collect()
}

/// What was given of the arguments of the command that `matches` is of, where `is_wanted` by id.
pub(super) fn given(matches: &ArgMatches, is_wanted: impl Fn(&str) -> bool) -> Vec<Given> {
    each_argument(matches, |arg, matches| {
        let id = arg.get_id().as_str();
        if !(is_given(id, matches) && is_wanted(id)) {
            return None;
        }
        let values = values(id, matches);
        let words = match (arg.get_long(), arg.get_action()) {
            (Some(long), ArgAction::SetTrue) => vec![format!("--{long}")],
            (Some(long), _) => vec![format!("--{long}={}", values.join(","))],
            (None, _) => values,
        };
        Some(Given { id: id.to_owned(), name: name(arg), words })
    })
}

/// Every option of the command that `matches` is of: its name, its value, and whether it was given.
pub(super) fn options(matches: &ArgMatches) -> Vec<(String, String, bool)> {
    each_argument(matches, |arg, matches| Some(option(arg, matches)))
}

/// What `of` makes of each argument of the command that `matches` is of.
fn each_argument<T>(matches: &ArgMatches, of: impl Fn(&Arg, &ArgMatches) -> Option<T>) -> Vec<T> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let cli = Cli::command();
    let Some(command) = cli.find_subcommand(name) else { return Vec::new() };
    command.get_arguments().filter_map(|arg| of(arg, matches)).collect()
}

/// `--l2`, or DATA.
fn name(arg: &Arg) -> String {
    match arg.get_long() {
        Some(long) => format!("--{long}"),
        None => {
            arg.get_value_names().and_then(<[_]>::first).map_or(arg.get_id().as_str(), |name| name.as_str()).to_owned()
        }
    }
}

fn is_given(id: &str, matches: &ArgMatches) -> bool {
    matches.value_source(id).is_some_and(|source| source != ValueSource::DefaultValue)
}

fn values(id: &str, matches: &ArgMatches) -> Vec<String> {
    matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect()
}

fn option(arg: &Arg, matches: &ArgMatches) -> (String, String, bool) {
    let id = arg.get_id().as_str();
    let (name, given) = (name(arg), is_given(id, matches));
    if let ArgAction::SetTrue = arg.get_action() {
        return (name, if matches.get_flag(id) { "yes" } else { "not given" }.to_owned(), given);
    }
    let values = values(id, matches);
    if !values.is_empty() {
        return (name, values.join(if arg.get_long().is_some() { "," } else { " " }), given);
    }
    // What is computed where nothing is given stands in the help.
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default = help.rsplit_once("[default: ").and_then(|(_, rest)| rest.split_once(']')).map(|(default, _)| default);
    (name, default.unwrap_or("none").to_owned(), given)
}
