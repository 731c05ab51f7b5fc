//! The rules of the house, held by reading its sources: who may import whom, who may name wgpu, who may print.
//!
//! Each rule is a pure function over (path, source), so that a doctored source can show that it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rooms (top-level modules of `src/`), lowest layer first. A room may import from its own layer and those before
/// it, never in a circle. A new room is an error until it is placed here.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["monitor", "linalg", "octet", "ranks"],
    &["disk"],
    &["logistic"],
    &["data"],
    &["engine"],
    &["objective"],
    &["solver"],
    &["model", "metrics", "inference", "certificate", "separation"],
    &["report", "fit", "validate", "bench", "explain", "export"],
    &["cli"],
];

/// The textbook code stands beside the layers: it imports `error` alone, and only these rooms may import it.
const REFERENCE: &str = "reference";
const MAY_USE_REFERENCE: &[&str] = &["validate", "explain"];

/// Files at the top of `src/` that join the rooms and are none themselves.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// Lines from which on a file asks to be two.
const LONGEST: usize = 450;

/// A source file: its path below `src/` with `/` between the parts, and its text.
type Source = (String, String);

fn source(path: &str, text: &str) -> Source {
    (path.to_owned(), text.to_owned())
}

/// The room a file is in: `solver` for `solver.rs` and for `solver/lbfgs.rs`.
fn room(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&room))
}

/// Bytes of the string or character literal that `rest` begins with, if it does.
fn literal(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r').map_or(0, |rest| rest.len() - rest.trim_start_matches('#').len());
    let quote = usize::from(rest.starts_with('r')) + hashes;
    if quote > 0 && rest[quote..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        return rest[quote + 1..].find(&end).map(|at| quote + 1 + at + end.len());
    }
    let close = match rest.chars().next()? {
        '"' => '"',
        // A lifetime has no second quote after one character.
        '\'' if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => '\'',
        _ => return None,
    };
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == close => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The code of a source: comments and literals taken out, line breaks kept.
fn code(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else {
            literal(rest).unwrap_or(0)
        };
        let (taken, left) = rest.split_at(skipped.max(c.len_utf8()));
        if skipped == 0 {
            out.push(c);
        } else {
            out.extend(taken.chars().filter(|&c| c == '\n'));
        }
        rest = left;
    }
    out
}

/// The words (identifiers and keywords) of a piece of code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// First words of the paths in `path`: one for `a::b`, several for `{a::b, c}`.
fn heads(path: &str) -> Vec<String> {
    let Some(list) = path.trim_start().strip_prefix('{') else {
        return words(path).next().map(str::to_owned).into_iter().collect();
    };
    let (mut depth, mut items) = (0_i32, vec![String::new()]);
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            _ if depth < 0 => break,
            ',' if depth == 0 => items.push(String::new()),
            c => items.last_mut().expect("starts with one").push(c),
        }
    }
    items.iter().filter_map(|item| words(item).next().map(str::to_owned)).collect()
}

/// What a file names at the top of the crate: after `crate::`, and after as many `super::` as lead there. The latter
/// count only where they name a room, because one `super::` of a test module goes no further than its file.
fn imports((path, text): &Source) -> Vec<String> {
    let code = code(text);
    let after = |keyword: &'static str| {
        let free = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        code.match_indices(keyword).filter(move |&(at, _)| free(at)).map(|(at, _)| &code[at..])
    };
    let mut found: Vec<String> = after("crate::").flat_map(|rest| heads(&rest["crate::".len()..])).collect();
    let depth = path.trim_end_matches("/mod.rs").split('/').count();
    for rest in after("super::") {
        let path = rest.trim_start_matches("super::");
        if (rest.len() - path.len()) / "super::".len() >= depth {
            found.extend(heads(path).into_iter().filter(|head| layer(head).is_some() || head == REFERENCE));
        }
    }
    found
}

/// Imports that do not run one way, and rooms that were not placed.
fn import_faults(file: &Source) -> Vec<String> {
    let path = &file.0;
    if ROOTS.contains(&path.as_str()) {
        return Vec::new();
    }
    let here = room(path);
    if layer(here).is_none() && here != REFERENCE {
        return vec![format!("{path}: place the room `{here}` in the table of tests/layering.rs")];
    }
    let allowed = |there: &str| {
        if here == "solver" && ["engine", "data"].contains(&there) {
            // Solvers know an objective and nothing else of the data.
            false
        } else if there == here {
            true
        } else if here == REFERENCE {
            there == "error"
        } else if there == REFERENCE {
            MAY_USE_REFERENCE.contains(&here)
        } else {
            layer(there).is_some_and(|there| Some(there) <= layer(here))
        }
    };
    let wrong = imports(file).into_iter().filter(|there| !allowed(there));
    wrong.map(|there| format!("{path}: `{here}` may not import `crate::{there}`")).collect()
}

/// Rooms that import each other in a circle.
fn circles(files: &[Source]) -> BTreeSet<String> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !ROOTS.contains(&file.0.as_str())) {
        let here = room(&file.0);
        graph.entry(here.to_owned()).or_default().extend(imports(file).into_iter().filter(|there| there != here));
    }
    // Rooms that import nothing left in the graph are in no circle; take them out until none is found.
    loop {
        let left: BTreeSet<String> = graph.keys().cloned().collect();
        graph.retain(|_, imports| !imports.is_disjoint(&left));
        if graph.len() == left.len() {
            return left;
        }
    }
}

/// `wgpu` named outside the room of the GPU.
fn wgpu_faults((path, text): &Source) -> Vec<String> {
    let here = path == "engine/gpu.rs" || path.starts_with("engine/gpu/");
    let code = code(text);
    let lines = code.lines().enumerate().filter(|(_, line)| !here && words(line).any(|word| word == "wgpu"));
    lines.map(|(i, _)| format!("{path}:{}: names wgpu", i + 1)).collect()
}

/// Printing, or ending the process, outside `cli`.
fn printing_faults((path, text): &Source) -> Vec<String> {
    let code = code(text);
    let prints = |line: &str| {
        let ends = |name: &str| line.match_indices(name).any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric));
        words(line).any(|word| matches!(word, "stdout" | "stderr"))
            || ["print!", "println!", "eprint!", "eprintln!", "dbg!", "process::exit"].into_iter().any(ends)
    };
    let lines = code.lines().enumerate().filter(|(_, line)| room(path) != "cli" && prints(line));
    lines.map(|(i, _)| format!("{path}:{}: prints or exits", i + 1)).collect()
}

/// A socket of any sort: the program opens none.
fn network_faults((path, text): &Source) -> Vec<String> {
    let code = code(text);
    let opens = |line: &str| {
        line.contains("::net::")
            || words(line)
                .any(|word| matches!(word, "TcpStream" | "TcpListener" | "UdpSocket" | "UnixStream" | "UnixDatagram"))
    };
    let lines = code.lines().enumerate().filter(|(_, line)| opens(line));
    lines.map(|(i, _)| format!("{path}:{}: names a socket", i + 1)).collect()
}

/// Files too long to be read in one sitting.
fn length_faults((path, text): &Source) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= LONGEST { Vec::new() } else { vec![format!("{path}: {lines} lines, more than {LONGEST}")] }
}

/// Every `.rs` file below `folder`, which is named `prefix` in the paths.
fn read(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder).expect("src/ can be read");
    for entry in entries.map(|entry| entry.expect("src/ can be listed").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).expect("names are Unicode");
        let path = format!("{prefix}{name}");
        if entry.is_dir() {
            read(&entry, &format!("{path}/"), files);
        } else if path.ends_with(".rs") {
            files.push((path, std::fs::read_to_string(&entry).expect("a source is text")));
        }
    }
}

fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    files.sort();
    files
}

#[test]
fn the_house_keeps_its_rules() {
    let files = sources();
    let rules = [import_faults, wgpu_faults, printing_faults, network_faults, length_faults];
    let faults: Vec<String> = files.iter().flat_map(|file| rules.map(|rule| rule(file))).flatten().collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert_eq!(circles(&files), BTreeSet::new(), "rooms that import each other");
    // Both roots, files of every kind of room, and imports in them: the walk has seen the house.
    let seen = |path: &str| files.iter().any(|file| file.0 == path);
    for path in
        ["lib.rs", "main.rs", "error.rs", "reference.rs", "data/block.rs", "engine/device.rs", "engine/gpu/mod.rs"]
    {
        assert!(seen(path), "{path} was not read");
    }
    assert!(files.len() >= 15, "{} files", files.len());
    let engine = files.iter().find(|file| file.0 == "engine/device.rs").expect("seen above");
    assert!(["data", "error"].iter().all(|room| imports(engine).iter().any(|i| i == room)), "imports are found");
}

#[test]
fn imports_run_one_way() {
    let good = [
        ("solver/lbfgs.rs", "use crate::objective::Objective;\nuse crate::error::{Error, Result};"),
        ("fit.rs", "use crate::{certificate, report::{Table, Row}};"),
        ("explain/example.rs", "use crate::reference::Problem;"),
        ("reference.rs", "use crate::error::Result;"),
        (
            "error.rs",
            "// crate::cli\n/* crate::cli */ const A: &str = \"crate::cli\"; const B: &str = r#\"\"crate::cli\"#;",
        ),
        ("data/csv.rs", "use super::block; mod tests { use super::*; use super::super::block; }"),
        ("error.rs", "mod tests { use super::*; }"),
        ("lib.rs", "pub use crate::cli::run;"),
    ];
    for (path, text) in good {
        assert_eq!(import_faults(&source(path, text)), Vec::<String>::new());
    }
    let bad = [
        ("solver/lbfgs.rs", "use crate::fit::Report;"),
        ("data/csv.rs", "fn f<'a>(c: char) { if c == '\"' { crate::engine::run() } }"),
        ("engine/mod.rs", "use crate::{\n    error::Result,\n    solver::{self, Step},\n};"),
        ("fit.rs", "use crate::{error::{Error, Result}, cli};"),
        ("fit.rs", "use crate::reference::Problem;"),
        ("reference.rs", "use crate::engine::cpu;"),
        ("data/csv.rs", "use super::super::solver::Step;"),
        ("engine/gpu/mod.rs", "use super::super::fit;"),
        ("fit.rs", "use crate::Model;"),
        ("solver/newton.rs", "use crate::engine::cpu::Host;"),
        ("solver/mod.rs", "use crate::data::Dataset;"),
        ("rooftop.rs", ""),
        ("rooftop/mod.rs", "use crate::error::Result;"),
    ];
    for (path, text) in bad {
        assert_eq!(import_faults(&source(path, text)).len(), 1, "{path}: {text}");
    }
}

#[test]
fn circles_are_found() {
    let line = [source("fit.rs", "use crate::report::Row;"), source("report/mod.rs", "use crate::model::Model;")];
    assert!(circles(&line).is_empty());
    let circle = [&line[..], &[source("report/html.rs", "use crate::fit::FitReport;")]].concat();
    assert_eq!(circles(&circle).into_iter().collect::<Vec<_>>(), ["fit", "report"]);
}

#[test]
fn wgpu_is_named_in_one_room() {
    assert!(wgpu_faults(&source("engine/gpu/device.rs", "use wgpu::Device;")).is_empty());
    assert!(wgpu_faults(&source("engine/mod.rs", "// wgpu\nfn wgpu_free() -> &'static str { \"wgpu\" }")).is_empty());
    assert_eq!(wgpu_faults(&source("engine/mod.rs", "\nuse wgpu::Device;")), ["engine/mod.rs:2: names wgpu"]);
    assert_eq!(wgpu_faults(&source("engine/gpuless.rs", "fn f(d: &wgpu::Device) {}")).len(), 1);
}

#[test]
fn printing_is_found_outside_the_command_line() {
    let texts = [
        "println!(\"x\");",
        "print!(\"x\");",
        "eprintln!(\"x\");",
        "eprint!(\"x\");",
        "std::io::stdout().flush()",
        "use std::io::{self, stderr};",
        "std::process::exit(1)",
        "dbg!(x)",
    ];
    for text in texts {
        assert_eq!(printing_faults(&source("fit.rs", text)).len(), 1, "{text}");
        assert_eq!(printing_faults(&source("main.rs", text)).len(), 1, "{text}");
        assert!(printing_faults(&source("cli/train.rs", text)).is_empty());
    }
    assert_eq!(texts.len(), 8);
    assert!(
        printing_faults(&source("main.rs", "fn main() -> std::process::ExitCode { run() } // println!")).is_empty()
    );
    assert!(printing_faults(&source("fit.rs", "blueprint!(\"x\"); \"stdout\"")).is_empty());
}

#[test]
fn sockets_are_found() {
    for text in ["use std::net::ToSocketAddrs;", "fn f(s: TcpStream) {}", "use std::os::unix::net::{self};"] {
        assert_eq!(network_faults(&source("cli/mod.rs", text)).len(), 1, "{text}");
    }
    assert!(network_faults(&source("cli/mod.rs", "let net = planet::network(); // std::net::TcpStream")).is_empty());
}

#[test]
fn long_files_are_found() {
    assert!(length_faults(&source("fit.rs", &"\n".repeat(LONGEST))).is_empty());
    assert_eq!(length_faults(&source("fit.rs", &"\n".repeat(LONGEST + 1))).len(), 1);
}
