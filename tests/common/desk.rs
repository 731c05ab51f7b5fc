//! The program run as a person runs it, in a folder of its own.
#![allow(dead_code)] // Each test binary uses its own part of this.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::tables::Files;

/// The path of a set that the project ships.
pub(crate) fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name).display().to_string()
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A folder of its own for one test, and the device that is asked for there.
pub(crate) struct Desk {
    files: Files,
    device: Option<&'static str>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Desk { files: Files::new(), device: None }
    }

    /// One where everything runs on the CPU engine.
    pub(crate) fn on_cpu() -> Self {
        Desk { device: Some("cpu"), ..Desk::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// Writes a file and returns its name.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.files.write(name, content);
        name.to_owned()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpulogit"));
        command.args(args).current_dir(self.path(""));
        command.args(self.device.iter().flat_map(|device| ["--device", device]));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        Ended::new(self.command(args).envs(env.iter().copied()).output().unwrap())
    }

    /// Runs with `bytes` on standard input, through a pipe.
    pub(crate) fn run_on(&self, bytes: Vec<u8>, args: &[&str]) -> Ended {
        let mut command = self.command(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // A program that gave up reads no further.
        let writer = std::thread::spawn(move || input.write_all(&bytes).is_ok());
        let ended = Ended::new(child.wait_with_output().unwrap());
        assert!(writer.join().unwrap() || ended.code == 2);
        ended
    }

    /// Names of what is in a folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// What a run left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    pub(crate) fn new(output: Output) -> Self {
        Ended {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it printed with `--json`.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.out, self.err))
    }

    /// The same of a run that went well.
    pub(crate) fn succeeds(&self) -> Value {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self.json()
    }

    /// That the run failed with `code` and one clear error that holds each of `parts`.
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.contains("error: ") && !self.err.contains("panicked"), "{}", self.err);
        let lines = self.err.lines().filter(|line| !line.is_empty()).count();
        assert!(lines <= 6, "{lines} lines:\n{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing from: {}", self.err);
        }
    }
}
