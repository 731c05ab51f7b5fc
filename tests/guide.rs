//! The documents that users follow: their commands run as written, print what is quoted, and quote messages that exist.
#![cfg(unix)]

#[path = "common/desk.rs"]
mod desk;
#[path = "common/tables.rs"]
mod tables;

use std::path::{Path, PathBuf};
use std::process::Command;

use desk::{Desk, Ended};

/// A document, and how many commands it has at the least.
const DOCUMENTS: [(&str, usize); 3] = [("docs/guide.md", 38), ("docs/migrating.md", 6), ("README.md", 12)];
/// Messages that the guide explains, at the least.
const MESSAGES: usize = 25;

/// `gpulogit` for the shell: on the CPU engine wherever the command does not name a device, so that any machine prints the same.
const PROGRAM: &str =
    r#"gpulogit() { case " $* " in *" --device "*) "$BIN" "$@";; *) "$BIN" "$@" --device cpu;; esac; }; "#;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

/// A fenced block: the word behind the fence, and its lines.
#[derive(Debug, PartialEq)]
struct Block {
    kind: String,
    lines: Vec<String>,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for line in document.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(kind), false) => {
                open = true;
                blocks.push(Block { kind: kind.to_owned(), lines: Vec::new() });
            }
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            (None, false) => {}
        }
    }
    assert!(!open, "a fence is not closed");
    blocks
}

/// The commands of a block, lines that end in `\` joined, each with the exit code that its comment names.
fn commands(block: &Block) -> Vec<(String, i32)> {
    let joined = block.lines.join("\n").replace("\\\n", " ");
    let command = |line: &str| {
        let line = line.replacen("cargo run --release -- ", "gpulogit ", 1);
        let (command, comment) = line.split_once(" # ").unwrap_or((&line, ""));
        let code = comment.split("exit code ").nth(1).map_or(0, |rest| {
            rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().expect("a number after \"exit code\"")
        });
        (command.trim().to_owned(), code)
    };
    joined.lines().map(command).filter(|(command, _)| command.starts_with("gpulogit ")).collect()
}

/// A line with every word that holds a digit replaced, for numbers differ between machines in their last digits.
fn skeleton(line: &str) -> String {
    let word = |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Quoted lines that `printed` does not hold; those with an ellipsis, and the one that names the processor, are not looked for.
fn missing<'a>(quoted: &'a [String], printed: &str) -> Vec<&'a str> {
    let printed: Vec<String> = printed.lines().map(skeleton).collect();
    let skipped = |line: &str| line.contains('…') || line.starts_with("device ") || line.trim().is_empty();
    let lacks = |line: &&String| !skipped(line) && !printed.contains(&skeleton(line));
    quoted.iter().filter(lacks).map(String::as_str).collect()
}

/// A folder with the shipped data, as the root of the repository has it.
fn desk_with_data() -> Desk {
    let desk = Desk::new();
    let mut copied = 0;
    for entry in std::fs::read_dir(root().join("data")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "csv") {
            desk.write(&format!("data/{}", path.file_name().unwrap().to_str().unwrap()), std::fs::read(&path).unwrap());
            copied += 1;
        }
    }
    assert!(copied >= 20);
    desk
}

#[test]
fn every_command_runs_and_prints_what_is_quoted() {
    let mut compared = 0;
    for (name, least) in DOCUMENTS {
        let desk = desk_with_data();
        let (mut ran, mut printed) = (0, String::new());
        for block in blocks(&text(name)) {
            match block.kind.as_str() {
                "sh" => {
                    printed.clear();
                    for (command, code) in commands(&block) {
                        let shell = Command::new("sh")
                            .args(["-c", &format!("{PROGRAM}{command}")])
                            .current_dir(desk.path(""))
                            .env("BIN", env!("CARGO_BIN_EXE_gpulogit"))
                            .env("XDG_CACHE_HOME", desk.path("cache"))
                            .output();
                        let ended = Ended::new(shell.unwrap());
                        assert_eq!(ended.code, code, "{name}: {command}\n{}\n{}", ended.out, ended.err);
                        assert!(!ended.err.contains("panicked"), "{name}: {command}\n{}", ended.err);
                        printed += &format!("{}\n{}\n", ended.out, ended.err);
                        ran += 1;
                    }
                }
                "text" if !printed.is_empty() => {
                    let missing = missing(&block.lines, &printed);
                    assert!(missing.is_empty(), "{name} quotes {missing:#?}, but what was printed is:\n{printed}");
                    compared += block.lines.len();
                }
                _ => {}
            }
        }
        assert!(ran >= least, "{name}: {ran} commands");
    }
    assert!(compared > 100, "{compared} lines are quoted");
}

#[test]
fn blocks_commands_and_quotations_are_told_apart() {
    let document = "x\n```sh\ncargo build\ncargo run --release -- z\ngpulogit a \\\n  b   # exit code 3, for\ngpulogit c 'd>1' # e\n```\n```text\nq 1\n```\n";
    let found = blocks(document);
    assert_eq!(found.iter().map(|block| block.kind.as_str()).collect::<Vec<_>>(), ["sh", "text"]);
    let expected = [("gpulogit z", 0), ("gpulogit a    b", 3), ("gpulogit c 'd>1'", 0)];
    assert_eq!(commands(&found[0]), expected.map(|(command, code)| (command.to_owned(), code)));
    let quoted = ["rows   1,309 of 2".to_owned(), "status     converged".to_owned(), "and … so on".to_owned()];
    assert!(missing(&quoted, "rows 7 of 12\nstatus     converged").is_empty());
    assert_eq!(missing(&quoted, "rows 7 of 12\nstatus     separated"), ["status     converged"]);
    assert_eq!(missing(&quoted, "status     converged"), ["rows   1,309 of 2"]);
}

/// Every source of the program as one text in which a message stands as it is quoted: string literals that run over lines joined,
/// and `…` for whatever is filled in.
fn sources() -> String {
    fn read(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else {
                *all += &as_quoted(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = String::new();
    read(&root().join("src"), &mut all);
    all
}

fn as_quoted(source: &str) -> String {
    let mut joined = String::new();
    let mut parts = source.split("\\\n");
    joined += parts.next().unwrap();
    parts.for_each(|part| joined += part.trim_start());
    let (mut out, mut rest) = (String::new(), joined.as_str());
    while let Some(open) = rest.find('{') {
        let inside = &rest[open + 1..];
        let end = inside.find(['{', '}', '\n']).filter(|end| inside[*end..].starts_with('}'));
        out += &rest[..open];
        out += if end.is_some() { "…" } else { "{" };
        rest = end.map_or(inside, |end| &inside[end + 1..]);
    }
    (out + rest).replace("\\\"", "\"")
}

/// The messages of the table of a guide's section on trouble: the code in the first cell of each row.
fn messages(guide: &str) -> Vec<String> {
    let section =
        guide.split("\n## Troubleshooting").nth(1).expect("there is a section").split("\n## ").next().unwrap();
    let first = |row: &str| row.strip_prefix("| `")?.split_once("` |").map(|(message, _)| message.replace("\\|", "|"));
    section.lines().filter_map(first).collect()
}

#[test]
fn every_message_explained_is_one_of_the_program() {
    let sources = sources();
    let messages = messages(&text("docs/guide.md"));
    for message in &messages {
        assert!(sources.contains(message.as_str()), "no source holds the message {message:?}");
    }
    assert!(messages.len() >= MESSAGES, "{} messages", messages.len());
    assert!(!sources.contains("no target is named; mention the column of labels with --target"));
}

#[test]
fn messages_are_found_as_they_are_quoted() {
    let source = "fn f() { if x {\n g(\"column {name} has \\\"{}\\\" \\\n      levels\") } }";
    assert!(as_quoted(source).contains("column … has \"…\" levels"));
    let guide = "# G\n\n## Troubleshooting by message\n\n| message | do |\n|---|---|\n| `a … b` | x `y` |\n\n## Next\n\n| `c` | d |\n";
    assert_eq!(messages(guide), ["a … b"]);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut seen = 0;
    for (name, _) in DOCUMENTS {
        let document = text(name);
        let here = root().join(name).parent().unwrap().to_path_buf();
        for target in document.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !target.contains("://") {
                assert!(here.join(file).exists(), "{name} links to {target}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "{seen} links");
}
