//! The folder of the cache, and what is in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::manifest::Manifest;
use super::{Cache, Identity, PARTIAL, PREFIX, VERSION, WHOLE};
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
    /// Another version wrote it, or it is damaged.
    Unusable,
}

/// The files of the cache in `folder`; none where there is no such folder.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn cached_files(folder: &Path) -> Result<Vec<CachedFile>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let partial = name.ends_with(PARTIAL);
        if !name.starts_with(PREFIX) || !(partial || name.ends_with(WHOLE)) {
            continue;
        }
        let bytes = path.metadata().map_or(0, |data| data.len());
        let (state, rows, sources) = match Manifest::read(&path) {
            _ if partial => (CacheState::Unfinished, 0, Vec::new()),
            Err(_) => (CacheState::Unusable, 0, Vec::new()),
            Ok((_, Manifest { key, .. })) if key.version != VERSION => (CacheState::Unusable, 0, Vec::new()),
            Ok((_, Manifest { key, rows, .. })) => {
                let current = key.sources.iter().all(Identity::is_current);
                let state = if current { CacheState::Usable } else { CacheState::Stale };
                (state, rows, key.sources.into_iter().map(|source| source.path).collect())
            }
        };
        files.push(CachedFile { path, bytes, rows, sources, state });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Removes the files of the cache in `folder`, but not those being written; those that are read are gone when their readers are.
/// Returns what was removed.
///
/// # Errors
/// [`Error::Io`].
pub fn clear_cache(folder: &Path) -> Result<Vec<CachedFile>> {
    remove_abandoned(folder);
    let mut files = cached_files(folder)?;
    files.retain(|file| file.state != CacheState::Unfinished);
    files.iter().try_for_each(|file| std::fs::remove_file(&file.path).map_err(|e| Error::io(&file.path, e)))?;
    Ok(files)
}

/// Removes what processes left that were killed while they wrote.
pub(super) fn remove_abandoned(folder: &Path) {
    for file in cached_files(folder).unwrap_or_default() {
        if file.state == CacheState::Unfinished && is_abandoned(&file.path) {
            Cache::remove(&file.path);
        }
    }
}

/// Removes files that can never be of use again, since a source of theirs is another now.
pub(super) fn remove_stale(folder: &Path) {
    for file in cached_files(folder).unwrap_or_default() {
        let has_changed = |(_, manifest): (File, Manifest)| manifest.key.sources.iter().any(Identity::has_changed);
        if file.state == CacheState::Stale && Manifest::read(&file.path).is_ok_and(has_changed) {
            Cache::remove(&file.path);
        }
    }
}
