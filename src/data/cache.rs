//! The cache: files of the rows that memory did not hold, each of the same sources and options, for the fits to come.
//!
//! A file is written under a name of its own while nobody else can take it for a whole one, and renamed once it holds all rows
//! and, behind them, what else was learnt of the sources. Its last bytes say where that is. Nothing of a file is believed whose
//! checksum does not fit, and a file whose sources have changed is of no use to anyone.

mod folder;
mod manifest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tempfile::TempPath;

pub use folder::{CacheState, CachedFile, cached_files, clear_cache};
use manifest::Manifest;

use super::files::Files;
use super::hash;
use super::intake::Intake;
use super::options::{DataOptions, folder_with_room};
use super::table::Wanted;
use crate::disk::{DiskFile, MORE_ROOM};
use crate::error::{Error, Result};

/// Version of the file's format, and of the program.
const FORMAT_VERSION: u32 = 2;
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How names begin, and how they end: those of whole files and of those being written.
const PREFIX: &str = "rows-";
const WHOLE: &str = ".gpulogit";
const PARTIAL: &str = ".gpulogit-partial";

/// What the rows in a file are made of: they serve a fit that would make its rows of the very same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    format_version: u32,
    version: String,
    sources: Vec<Identity>,
    /// How they are read.
    reading: Vec<String>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Identity {
    path: String,
    bytes: u64,
    /// When it was changed, and what else the system says of it: on Unix when that was noted, which no writer can put back.
    changed: Vec<i64>,
}

/// Where the rows of an input go that memory does not hold, and may be already.
pub(super) struct Cache {
    folder: PathBuf,
    /// Whether the user named it.
    asked: bool,
    /// What they are made of; none where they are not to be kept.
    key: Option<Key>,
    /// Where they are written, and the name that it has until then.
    file: Option<Arc<DiskFile>>,
    partial: Option<TempPath>,
}

/// Rows that were found.
pub(super) struct Found {
    pub(super) intake: Intake,
    pub(super) notes: Vec<String>,
    pub(super) path: PathBuf,
}

impl Cache {
    /// The cache of what is `wanted` of `files`, which were `sources` before they were opened.
    pub(super) fn new(sources: Option<Sources>, files: &Files, wanted: &[Wanted], options: &DataOptions) -> Self {
        let key = sources.map(|sources| Key::new(sources, files, wanted, options));
        Cache { asked: options.cache_dir.is_some(), folder: options.cache_dir(), key, file: None, partial: None }
    }

    /// The file to write rows to, an empty one at first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn file(&mut self) -> Result<Arc<DiskFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        if !self.asked {
            let folder = folder_with_room();
            // Nobody would look for the rows elsewhere.
            self.key.take_if(|_| folder != self.folder);
            self.folder = folder;
        }
        let folder = &self.folder;
        let io = |e: std::io::Error| {
            let hint = format!("{e}; --cache-dir names a folder for the rows that memory does not hold");
            Error::io(folder, std::io::Error::new(e.kind(), hint))
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        folder::tidy(folder);
        let file = Arc::new(match &self.key {
            Some(key) => {
                let file = tempfile::Builder::new().prefix(PREFIX).suffix(PARTIAL).tempfile_in(folder).map_err(io)?;
                let (file, partial) = file.into_parts();
                // Where files cannot be locked nobody will take this one for abandoned.
                let _ = file.lock();
                self.partial = Some(partial);
                DiskFile::new(file, &self.path(key), folder, 0)
            }
            None => DiskFile::unnamed(folder, MORE_ROOM)?,
        });
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Where a file of these rows lies, or would.
    fn path(&self, key: &Key) -> PathBuf {
        let text = serde_json::to_vec(key).unwrap_or_default();
        self.folder.join(format!("{PREFIX}{:016x}{WHOLE}", hash::of_bytes(text)))
    }

    /// The rows, if they are there and would take more memory than there may be for them.
    pub(super) fn find(&self, options: &DataOptions) -> Option<Found> {
        let key = self.key.as_ref()?;
        let path = self.path(key);
        let (file, manifest) = Manifest::read(&path).ok()?;
        if manifest.key != *key {
            return None;
        }
        let notes = manifest.notes.clone();
        let intake = manifest.into_intake(&Arc::new(file))?;
        intake.exceeds_memory(options).then_some(Found { intake, notes, path })
    }

    /// Removes a file that was found and turned out to be of no use.
    pub(super) fn remove(path: &Path) {
        // One that cannot be removed will be replaced.
        let _ = std::fs::remove_file(path);
    }

    /// Keeps what was taken in for the fits to come, if it was written to a file and its sources are still what they were:
    /// the file, and its bytes.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] when a source has changed; the rows can be read all the same.
    pub(super) fn keep(&mut self, intake: &Intake, notes: &[String]) -> Result<Option<(PathBuf, u64)>> {
        let (Some(key), Some(file), Some(partial)) = (&self.key, &self.file, self.partial.take()) else {
            return Ok(None);
        };
        let Some(manifest) = Manifest::of(key, intake, notes) else { return Ok(None) };
        if let Some(changed) = key.sources.iter().find(|source| !source.is_current()) {
            return Err(Error::data(Path::new(&changed.path), "the file changed while it was read"));
        }
        manifest.write(file)?;
        let path = self.path(key);
        partial.persist(&path).map_err(|e| Error::io(&path, e.error))?;
        file.unlock();
        Ok(Some((path, file.end())))
    }
}

/// What the files of an input are, and those beside them.
pub(super) struct Sources(Vec<Identity>);

impl Sources {
    /// Those of `files`, before they are opened; none where their rows are not to be kept, or can be read but once.
    pub(super) fn identify(files: &Files, options: &DataOptions) -> Option<Self> {
        if options.no_cache || files.are_streams() {
            return None;
        }
        let paths = files.sources.iter().map(|source| &source.path).chain(options.files_beside());
        paths.map(|path| Identity::of(path)).collect::<Option<_>>().map(Sources)
    }
}

impl Key {
    /// That of what is `wanted` of `files`.
    fn new(sources: Sources, files: &Files, wanted: &[Wanted], options: &DataOptions) -> Self {
        let mut reading = vec![
            format!("{:?}", (files.format, files.no_header, options.missing, options.pack.precision)),
            format!("{:?}", options.holdout.map(|fraction| (fraction, options.seed))),
        ];
        reading.extend(wanted.iter().map(|wanted| format!("{wanted:?}")));
        Key { format_version: FORMAT_VERSION, version: VERSION.to_string(), sources: sources.0, reading }
    }
}

impl Identity {
    /// That of the file at `path`; none where there is none, or a pipe.
    fn of(path: &Path) -> Option<Self> {
        let (whole, data) = (path.canonicalize().ok()?, path.metadata().ok().filter(|data| data.is_file())?);
        let since = |time: std::io::Result<SystemTime>| {
            let time = time.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
            time.map_or(0, |time| time.as_nanos() as i64)
        };
        #[cfg(unix)]
        let system = {
            use std::os::unix::fs::MetadataExt;
            [data.ctime(), data.ctime_nsec(), data.dev() as i64, data.ino() as i64]
        };
        #[cfg(not(unix))]
        let system = [since(data.created())];
        let changed = [since(data.modified())].into_iter().chain(system).collect();
        Some(Identity { path: whole.to_str()?.to_owned(), bytes: data.len(), changed })
    }

    /// Whether the file is still what it was.
    fn is_current(&self) -> bool {
        Identity::of(Path::new(&self.path)).is_some_and(|now| now == *self)
    }

    /// Whether there is a file of that name, which is another.
    fn has_changed(&self) -> bool {
        Identity::of(Path::new(&self.path)).is_some_and(|now| now != *self)
    }
}
