//! What commands have in common in printing results.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine::{DeviceInfo, DeviceKind};
use crate::error::{Error, Result};
use crate::model::{check_output, write_atomically};

/// Writes to stdout.
pub(super) fn stdout(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::write(Path::new("standard output"), e))
}

/// Writes one JSON object to stdout.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Numerics(format!("the result cannot be written as JSON: {e}")))?;
    stdout(&(text + "\n"))
}

/// Holds the files to be written to be of use, each other than the others and than what is read.
pub(super) fn check_outputs(outputs: &[&PathBuf], inputs: &[PathBuf]) -> Result<()> {
    for (i, path) in outputs.iter().enumerate() {
        check_output(path, inputs)?;
        if outputs[..i].contains(path) {
            return Err(Error::Usage(format!("{} is to be written twice; name another file", path.display())));
        }
    }
    Ok(())
}

/// Writes a text file as a whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, |out| out.write_all(text.as_bytes()).map_err(|e| Error::write(path, e)))
}

/// A device in words.
pub(super) fn device_words(device: &DeviceInfo) -> String {
    let kind = match device.kind {
        DeviceKind::Cpu => "native CPU engine",
        DeviceKind::DiscreteGpu => "discrete GPU",
        DeviceKind::IntegratedGpu => "integrated GPU",
        DeviceKind::VirtualGpu => "virtual GPU",
        DeviceKind::SoftwareGpu => "software GPU: shaders computed on the CPU",
        DeviceKind::OtherGpu => "GPU",
    };
    if device.kind == DeviceKind::Cpu {
        format!("{} ({kind}, {} threads, {})", device.id, rayon::current_num_threads(), device.name)
    } else {
        format!("{} ({}, {}, {kind})", device.id, device.name, device.backend)
    }
}

/// A whole number with its thousands apart.
pub(super) fn count(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// A count of things.
pub(super) fn plural(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `text`, cut to `most` characters.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// Up to `most` names, and how many more there are.
pub(super) fn some_names<'a>(names: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let total = names.len();
    let shown: Vec<String> = names.take(most).map(|name| shorten(name, 60)).collect();
    let more = if total > shown.len() { format!(" and {} more", total - shown.len()) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Most memory the process has held, in bytes, where the system tells (Linux: VmHWM).
pub(super) fn host_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// A number in as many digits as it has, with an exponent where it would be long.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || (1e-5..1e15).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}

/// How many ranks share the rows, where several do.
pub(super) fn ranks_text(ranks: usize) -> String {
    if ranks > 1 { format!(" on {ranks} ranks") } else { String::new() }
}
