//! The folder of the cache, and what is in it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::manifest::Manifest;
use super::{Identity, PARTIAL, PREFIX, WHOLE};
use crate::disk::is_abandoned;
use crate::error::{Error, Result};

/// A file of the cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CachedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// The files that they were read from.
    pub sources: Vec<String>,
    /// Whether they will be read again, or why not.
    pub state: CacheState,
}

/// Whether a file of the cache is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheState {
    /// The next fit of the same sources and options reads it.
    Usable,
    /// A source has changed or is no longer there.
    Stale,
    /// It is being written.
    Unfinished,
    /// A process that was killed did not finish it.
    Abandoned,
    /// Another version wrote it, or it is damaged.
    Unusable,
}

/// The files of the cache in `folder`; none where there is no such folder.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn cached_files(folder: &Path) -> Result<Vec<CachedFile>> {
    let files = names(folder)?.into_iter().map(|(path, partial)| {
        let bytes = path.metadata().map_or(0, |data| data.len());
        let (state, rows, sources) = match Manifest::read(&path) {
            _ if partial && is_abandoned(&path) => (CacheState::Abandoned, 0, Vec::new()),
            _ if partial => (CacheState::Unfinished, 0, Vec::new()),
            Err(_) => (CacheState::Unusable, 0, Vec::new()),
            Ok((_, manifest)) => {
                let current = manifest.key.sources.iter().all(Identity::is_current);
                let state = if current { CacheState::Usable } else { CacheState::Stale };
                (state, manifest.rows(), manifest.key.sources.into_iter().map(|source| source.path).collect())
            }
        };
        CachedFile { path, bytes, rows, sources, state }
    });
    Ok(files.collect())
}

/// The files of the cache in `folder`, and whether each was not finished.
fn names(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let partial = name.ends_with(PARTIAL);
        if name.starts_with(PREFIX) && (partial || name.ends_with(WHOLE)) {
            files.push((entry.path(), partial));
        }
    }
    files.sort();
    Ok(files)
}

/// Removes the files of the cache in `folder`, but not those being written; those that are read are gone when their readers are.
/// Returns what was removed.
///
/// # Errors
/// [`Error::Io`] about the first that could not be removed, after all the others.
pub fn clear_cache(folder: &Path) -> Result<Vec<CachedFile>> {
    let mut files = cached_files(folder)?;
    files.retain(|file| file.state != CacheState::Unfinished);
    let mut failed = None;
    files.retain(|file| match std::fs::remove_file(&file.path) {
        Ok(()) => true,
        Err(e) => {
            // Another process may have been faster.
            if e.kind() != std::io::ErrorKind::NotFound {
                failed.get_or_insert_with(|| Error::io(&file.path, e));
            }
            false
        }
    });
    failed.map_or(Ok(files), Err)
}

/// Removes what can never be of use again: what processes left that were killed, what another version wrote or is damaged, and
/// rows of which a source is another now.
pub(super) fn tidy(folder: &Path) {
    for (path, partial) in names(folder).unwrap_or_default() {
        let dead = if partial {
            is_abandoned(&path)
        } else {
            Manifest::read(&path).map_or(true, |(_, manifest)| manifest.key.sources.iter().any(Identity::has_changed))
        };
        if dead {
            // One that cannot be removed is in the way of nobody.
            let _ = std::fs::remove_file(path);
        }
    }
}
