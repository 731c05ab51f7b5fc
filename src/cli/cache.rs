//! `gpulogit cache`: the rows that were kept for the next fit.

use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use super::args::CacheArgs;
use super::exit::Outcome;
use super::output::{json, stdout};
use crate::data::{CacheState, CachedFile, cached_files, clear_cache, default_cache_dir};
use crate::error::Result;

pub(super) fn run(args: &CacheArgs) -> Result<Outcome> {
    let folder = args.cache_dir.clone().unwrap_or_else(default_cache_dir);
    let files = if args.clear { clear_cache(&folder)? } else { cached_files(&folder)? };
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    if args.common.json {
        json(&json!({ "folder": folder, "removed": args.clear, "files": files, "bytes": bytes }))?;
        return Ok(Outcome::Done);
    }
    let done = if args.clear { "removed from" } else { "in" };
    let total = format!("{} ({}) {done} {}\n", plural(files.len()), HumanBytes(bytes), folder.display());
    stdout(&(files.iter().map(line).collect::<String>() + &total))?;
    Ok(Outcome::Done)
}

fn plural(files: usize) -> String {
    format!("{files} {}", if files == 1 { "file" } else { "files" })
}

/// A file, with what it is of and whether it is of use.
fn line(file: &CachedFile) -> String {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let what = match file.state {
        CacheState::Unfinished => "being written".to_string(),
        CacheState::Abandoned => "left by a process that was killed".to_string(),
        CacheState::Unusable => "damaged, or of another version".to_string(),
        CacheState::Usable => rows_of(file),
        CacheState::Stale => rows_of(file) + ", which has changed since or is gone",
    };
    format!("{name}  {}  {what}\n", HumanBytes(file.bytes))
}

fn rows_of(file: &CachedFile) -> String {
    let first = file.sources.first().map_or("", String::as_str);
    let more = match file.sources.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    format!("{} rows of {first}{more}", HumanCount(file.rows))
}
