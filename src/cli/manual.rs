//! `gpulogit completions` and `gpulogit man`: both are made from the arguments themselves, so that they say what `--help` says.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;

use super::args::{Cli, CompletionsArgs, EXIT_CODES, FIRST_STEPS, ManArgs};
use super::exit::Outcome;
use super::output::{json, plural, stdout, write};
use super::progress::Terminal;
use crate::error::{Error, Result};

/// The section of the manual that commands are in.
const SECTION: &str = "1";

pub(super) fn completions(args: &CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gpulogit", &mut script);
    let script = String::from_utf8_lossy(&script);
    if args.common.json {
        json(&json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        stdout(&script)?;
    }
    Ok(Outcome::Done)
}

pub(super) fn man(args: &ManArgs, terminal: &Terminal) -> Result<Outcome> {
    let mut main = Cli::command().disable_help_subcommand(true);
    // Gives commands the names that their pages have.
    main.build();
    let Some(folder) = &args.folder else {
        let page = page(&main, &main)?;
        if args.common.json {
            json(&json!({ "page": page }))?;
        } else {
            stdout(&page)?;
        }
        return Ok(Outcome::Done);
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let mut files = Vec::new();
    for command in std::iter::once(&main).chain(main.get_subcommands()) {
        let file = folder.join(format!("{}.{SECTION}", page_name(command)));
        write(&file, &page(command, &main)?)?;
        files.push(file);
    }
    if args.common.json {
        json(&json!({ "files": files }))?;
    } else {
        terminal.note(&format!("{} written to {}", plural(files.len() as u64, "page"), folder.display()));
    }
    Ok(Outcome::Done)
}

/// `gpulogit`, or `gpulogit-train`.
fn page_name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

/// The page of `command`, which is `main` or one of its commands.
fn page(command: &clap::Command, main: &clap::Command) -> Result<String> {
    // Left to itself the synopsis lists every option.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let version = main.get_version().unwrap_or_default();
    let man = Man::new(command.clone().override_usage(usage))
        .section(SECTION)
        // An empty one would be no argument, and the version would stand in its place.
        .date(" ")
        .source(format!("gpulogit {version}"))
        .manual("gpulogit manual");
    let mut bytes = Vec::new();
    render(&man, command, main, &mut bytes).map_err(|e| Error::write(Path::new("the manual"), e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn render(man: &Man, command: &clap::Command, main: &clap::Command, out: &mut dyn Write) -> std::io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    end(command, main).to_writer(out)
}

/// What pages end with: examples on the main one, exit codes, and the other pages.
fn end(command: &clap::Command, main: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    if command.has_subcommands() {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in FIRST_STEPS {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []);
        roff.text([bold(code)]);
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    let others = std::iter::once(main).chain(main.get_subcommands()).map(page_name);
    let others: Vec<String> =
        others.filter(|name| *name != page_name(command)).map(|name| format!("{name}({SECTION})")).collect();
    roff.text([roman(others.join(", "))]);
    roff
}
