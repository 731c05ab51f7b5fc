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

use super::hash;
use super::intake::Intake;
use super::options::DataOptions;
use super::table::{Files, Wanted};
use crate::disk::{DiskFile, MORE_ROOM};
use crate::error::{Error, Result};

/// Version of the file's format, and of the program.
const FORMAT_VERSION: u32 = 1;
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
    /// When it was changed: seconds and their fraction, and what else the system says that no writer can put back.
    changed: Vec<i64>,
}

/// Where the rows of an input go that memory does not hold, and may be already.
pub(super) struct Cache {
    folder: PathBuf,
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
    /// The cache of what is `wanted` of `files`.
    pub(super) fn new(files: &Files, wanted: &[Wanted], options: &DataOptions) -> Self {
        let key = if options.no_cache { None } else { Key::new(files, wanted, options) };
        Cache { folder: options.cache_dir(), key, file: None, partial: None }
    }

    /// The file to write rows to, an empty one at first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn file(&mut self) -> Result<Arc<DiskFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let folder = &self.folder;
        let io = |e| Error::io(folder, e);
        std::fs::create_dir_all(folder).map_err(io)?;
        let file = Arc::new(if self.key.is_some() {
            folder::remove_abandoned(folder);
            let (file, path) =
                tempfile::Builder::new().prefix(PREFIX).suffix(PARTIAL).tempfile_in(folder).map_err(io)?.into_parts();
            // Where files cannot be locked nobody will take this one for abandoned.
            let _ = file.lock();
            let file = DiskFile::new(file, &path, folder, 0);
            self.partial = Some(path);
            file
        } else {
            DiskFile::unnamed(folder, MORE_ROOM)?
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
        let file = Arc::new(DiskFile::new(file, &path, &self.folder, 0));
        let notes = manifest.notes.clone();
        let intake = manifest.into_intake(&file)?;
        let rows = intake.parts().map(|part| part.rows as u64).sum::<u64>();
        let bytes = rows.saturating_mul((intake.features_at_most(options) * size_of::<f32>()) as u64);
        (bytes > options.memory() / 2).then_some(Found { intake, notes, path })
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
    /// [`Error::Io`]; the rows can be read all the same.
    pub(super) fn keep(&mut self, intake: &Intake, notes: &[String]) -> Result<Option<(PathBuf, u64)>> {
        let (Some(key), Some(file), Some(partial)) = (&self.key, &self.file, self.partial.take()) else {
            return Ok(None);
        };
        let Some(manifest) = Manifest::of(key, intake, notes) else { return Ok(None) };
        if !key.sources.iter().all(Identity::is_current) {
            return Ok(None);
        }
        manifest.write(file)?;
        folder::remove_stale(&self.folder);
        let path = self.path(key);
        partial.persist(&path).map_err(|e| Error::io(&path, e.error))?;
        Ok(Some((path, file.end())))
    }
}

impl Key {
    /// That of what is `wanted` of `files`; none where one of them can be read but once.
    fn new(files: &Files, wanted: &[Wanted], options: &DataOptions) -> Option<Self> {
        let mut reading = vec![
            format!("{:?}", (files.format, files.no_header, options.missing)),
            format!("{:?}", (options.pack.block_rows, options.pack.precision)),
            format!("{:?}", options.holdout.map(|fraction| (fraction, options.seed))),
        ];
        reading.extend(wanted.iter().map(|wanted| format!("{wanted:?}")));
        let beside = wanted.iter().filter_map(|wanted| wanted.file.as_ref());
        let paths = files.sources.iter().map(|source| &source.path).chain(beside);
        Some(Key {
            format_version: FORMAT_VERSION,
            version: VERSION.to_string(),
            sources: paths.map(|path| Identity::of(path)).collect::<Option<_>>()?,
            reading,
        })
    }
}

impl Identity {
    /// That of the file at `path`; none where there is none, or a pipe.
    fn of(path: &Path) -> Option<Self> {
        let (whole, data) = (path.canonicalize().ok()?, path.metadata().ok().filter(|data| data.is_file())?);
        let modified = data.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut changed = vec![modified.map_or(0, |time| time.as_nanos() as i64)];
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            changed.extend([data.ctime(), data.ctime_nsec(), data.dev() as i64, data.ino() as i64]);
        }
        Some(Identity { path: whole.to_string_lossy().into_owned(), bytes: data.len(), changed })
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
