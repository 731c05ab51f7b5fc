//! Manual pages and completions: they hold every command and option that `--help` names, and a shell takes them.
#![cfg(unix)]

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::path::Path;
use std::process::{Command, Output};

use desk::{Desk, Ended};

/// The commands that `gpulogit --help` lists, but for `help` itself.
fn commands(desk: &Desk) -> Vec<String> {
    let help = desk.run(&["--help"]).out;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let name =
        |line: &str| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()).map(str::to_owned);
    let commands: Vec<String> = list.lines().filter_map(name).filter(|name| name != "help").collect();
    assert!(commands.len() >= 14 && commands.iter().any(|name| name == "train"), "{commands:?}");
    commands
}

/// The long options that a help text explains.
fn options(help: &str) -> Vec<&str> {
    let heads = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let long = heads.filter_map(|head| head.split([' ', ',', '=']).find(|word| word.starts_with("--")));
    long.collect()
}

/// A page as it is read: the escapes of roff taken out.
fn read(page: &str) -> String {
    page.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
}

fn bash(desk: &Desk, script: &str) -> Output {
    Command::new("bash").args(["--norc", "-c", script]).current_dir(desk.path("")).output().unwrap()
}

#[test]
fn every_command_has_a_page_with_all_its_options() {
    let desk = Desk::new();
    let commands = commands(&desk);
    let written = desk.run(&["man", "pages/man1", "--json"]).succeeds();
    assert_eq!(written["files"].as_array().unwrap().len(), commands.len() + 1);
    let mut expected: Vec<String> = commands.iter().map(|name| format!("gpulogit-{name}.1")).collect();
    expected.push("gpulogit.1".into());
    expected.sort();
    assert_eq!(desk.names("pages/man1"), expected, "whole files, and no others");

    let main = desk.text("pages/man1/gpulogit.1");
    assert_eq!(desk.run(&["man"]).out, main);
    assert_eq!(desk.run(&["man", "--json"]).succeeds()["page"], main.as_str());
    for part in ["gpulogit train data/titanic.csv", "EXIT STATUS", "130", "gpulogit-cv(1)"] {
        assert!(read(&main).contains(part), "{part:?} is missing from:\n{main}");
    }
    let mut seen = 0;
    for command in &commands {
        let page = read(&desk.text(&format!("pages/man1/gpulogit-{command}.1")));
        let help = desk.run(&[command, "--help"]).out;
        assert!(read(&main).contains(&format!("gpulogit-{command}(1)")), "{command}");
        let options = options(&help);
        assert!(options.contains(&"--json") && options.contains(&"--help"), "{command}: {options:?}");
        for option in options {
            assert!(page.contains(option), "{option} is missing from the page of {command}");
            seen += 1;
        }
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
        assert!(page.contains(usage), "{usage:?} is missing from:\n{page}");
    }
    assert!(seen > 150, "{seen} options");
    assert!(!read(&main).contains("--no-such-option"));
}

#[test]
fn a_folder_that_cannot_be_is_one_clear_error() {
    let desk = Desk::new();
    desk.write("file", "");
    desk.run(&["man", "file/man1"]).fails(2, &["file/man1"]);
    desk.run(&["completions", "tcsh"]).fails(2, &["tcsh", "fish"]);
}

#[test]
fn pages_are_clean_for_the_formatters_here() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["man", "man1"]).code, 0);
    let formatters: [&[&str]; 2] =
        [&["mandoc", "-T", "lint", "-W", "warning"], &["groff", "-man", "-T", "utf8", "-K", "utf8", "-ww", "-z"]];
    let here = formatters.iter().filter(|formatter| {
        let found = Command::new(formatter[0]).args(&formatter[1..]).arg("/dev/null").output();
        found.is_ok_and(|output| output.status.success())
    });
    for formatter in here {
        for name in desk.names("man1") {
            let mut command = Command::new(formatter[0]);
            let ended = command.args(&formatter[1..]).arg(desk.path("man1").join(&name)).output().unwrap();
            let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
            assert!(ended.status.success() && said.is_empty(), "{formatter:?} of {name}:\n{said}");
        }
    }
}

#[test]
fn every_shell_gets_every_command() {
    let desk = Desk::new();
    let commands = commands(&desk);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let printed = desk.run(&["completions", shell]);
        assert_eq!((printed.code, printed.err.as_str()), (0, ""), "{shell}");
        for word in commands.iter().map(String::as_str).chain(["encoding", "softmax"]) {
            assert!(printed.out.contains(word), "{word} is missing for {shell}");
        }
        let json = desk.run(&["completions", shell, "--json"]).succeeds();
        assert_eq!((&json["shell"], &json["script"]), (&shell.into(), &printed.out.into()));
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let desk = Desk::new();
    desk.write("gpulogit.bash", desk.run(&["completions", "bash"]).out);
    let checked = Ended::new(bash(&desk, "bash -n gpulogit.bash"));
    assert_eq!((checked.code, checked.err.as_str()), (0, ""));
    let complete = |words: &[&str]| -> Vec<String> {
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let line = words.join(" ");
        let script = format!(
            "source gpulogit.bash; COMP_WORDS=({line}); COMP_CWORD={}; _gpulogit gpulogit '{last}' '{before}'; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        let ended = Ended::new(bash(&desk, &script));
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        ended.out.lines().map(str::to_owned).collect()
    };
    assert_eq!(complete(&["gpulogit", "tr"]), ["train"]);
    assert_eq!(complete(&["gpulogit", "train", "--en"]), ["--encoding"]);
    assert_eq!(complete(&["gpulogit", "train", "--encoding", "re"]), ["reference"]);
    assert_eq!(complete(&["gpulogit", "export", "model.json", "--to", "py"]), ["python"]);
    let all = complete(&["gpulogit", "s"]);
    assert!(all == ["summary"], "{all:?}");
    assert_eq!(complete(&["gpulogit", "xyz"]), [""], "what is no command");
}

#[test]
fn no_device_is_opened_for_either() {
    let desk = Desk::new();
    // Opening this one would be exit code 3.
    for args in [["completions", "bash"], ["man", "man1"]] {
        assert_eq!(desk.run(&[&args[..], &["--device", "no such device"]].concat()).code, 0, "{args:?}");
    }
    assert!(Path::new(&desk.path("man1/gpulogit.1")).exists());
}
