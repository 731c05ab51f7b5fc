//! What is read: files, folders, patterns and standard input, with their compression looked through.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use super::zip;
use crate::data::options::Format;
use crate::error::{Error, Result};

/// The name of standard input.
const STDIN: &str = "-";
/// Part of memory that what is being read may take.
const READING: u64 = 4;
/// Bytes that tell a compression.
const MAGIC_BYTES: u64 = 4;
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const ZIP: &[u8] = b"PK\x03\x04";

/// A source of rows: a file, or standard input (`-`).
#[derive(Debug, Clone)]
pub(in crate::data) struct Source {
    pub(in crate::data) path: PathBuf,
    /// Bytes read of it, as they lie there.
    pub(in crate::data) bytes: Arc<AtomicU64>,
    /// Bytes of memory there may be for all that is done with it.
    memory: u64,
    /// Its length and when it was last written to, as it was found; nothing of a pipe.
    found: Option<(u64, SystemTime)>,
    /// What is read of it, where that is not all: bytes of text from the start of a line to that of another, row groups, or rows.
    pub(in crate::data) portion: Option<Range<u64>>,
    /// Set where a part of its text is read and a quote is met: line ends may then be inside of cells.
    pub(in crate::data) quoted: Arc<AtomicBool>,
}

impl Source {
    pub(in crate::data) fn new(path: &Path) -> Self {
        Source {
            path: path.to_path_buf(),
            bytes: Arc::default(),
            memory: u64::MAX,
            found: state(path),
            portion: None,
            quoted: Arc::default(),
        }
    }

    /// The same, within so many bytes of memory.
    pub(in crate::data) fn within(self, memory: u64) -> Self {
        Source { memory, ..self }
    }

    /// Parts of it that are read at a time: so many for each thread, but no more than `most`, nor than a part of memory holds
    /// when each takes `bytes` until it is done with.
    pub(super) fn at_a_time(&self, a_thread: usize, most: usize, bytes: u64) -> usize {
        let held = usize::try_from(self.memory / READING / bytes).unwrap_or(most);
        (a_thread * rayon::current_num_threads()).min(most).min(held).max(1)
    }

    /// Whether it can be read but once.
    pub(in crate::data) fn is_stream(&self) -> bool {
        self.path.as_os_str() == STDIN
    }

    /// Holds it to be as it was found: what shrank or grew while it was read would pass for other rows.
    ///
    /// # Errors
    /// [`Error::Data`] when it was written to since.
    pub(in crate::data) fn check_unchanged(&self) -> Result<()> {
        match self.found {
            Some(_) if self.found != state(&self.path) => Err(Error::data(
                &self.path,
                "the file changed while it was read; wait until it is finished, or read a copy",
            )),
            _ => Ok(()),
        }
    }

    /// Bytes read so far.
    pub(in crate::data) fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// It will be read from the start.
    pub(in crate::data) fn rewind(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Its bytes, as it was found.
    ///
    /// # Errors
    /// [`Error::Io`] where there is none; [`Error::Usage`] where it is no file.
    pub(in crate::data) fn length(&self) -> Result<u64> {
        match self.found {
            Some((length, _)) => Ok(length),
            None => {
                self.file()?;
                Err(Error::Usage(format!("{}: several ranks share files, and this is none", self.path.display())))
            }
        }
    }

    /// Whether its text is compressed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::data) fn is_compressed(&self) -> Result<bool> {
        let mut start = Vec::new();
        self.file()?.take(MAGIC_BYTES).read_to_end(&mut start).map_err(|e| Error::io(&self.path, e))?;
        Ok([GZIP, ZSTD, ZIP].iter().any(|magic| start.starts_with(magic)))
    }

    /// Lines of its text before the part that is read, where that does not begin with the first.
    pub(in crate::data) fn lines_before(&self) -> u64 {
        let Some(portion) = &self.portion else { return 0 };
        let mut bytes = vec![0; 1 << 20];
        let (mut lines, mut left) = (0, portion.start);
        let Ok(mut file) = self.file() else { return 0 };
        while left > 0 {
            let most = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match file.read(&mut bytes[..most]) {
                Ok(read @ 1..) => {
                    lines += memchr::memchr_iter(b'\n', &bytes[..read]).count() as u64;
                    left -= read as u64;
                }
                _ => break,
            }
        }
        lines
    }

    /// The part of its text that is read, behind the first `header` bytes, which belong to none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::data) fn text_of_portion(&self, portion: &Range<u64>, header: u64) -> Result<Input> {
        let io = |e| Error::io(&self.path, e);
        let (from, to) = (portion.start.max(header), portion.end.max(header));
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(from)).map_err(io)?;
        Ok(Box::new(Counted { inner: Box::new(file.take(to - from)), bytes: Arc::clone(&self.bytes) }))
    }

    /// The file; a directory and standard input are errors.
    pub(in crate::data) fn file(&self) -> Result<File> {
        if self.is_stream() {
            return Err(Error::Usage("standard input is read as text (csv, tsv, svmlight) only; give a file".into()));
        }
        let path = &self.path;
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        if file.metadata().map_err(|e| Error::io(path, e))?.is_dir() {
            return Err(Error::data(path, "this is a directory; name the files in it"));
        }
        Ok(file)
    }

    /// Its bytes, unpacked where they are compressed.
    pub(in crate::data) fn text(&self) -> Result<Input> {
        let counted = |inner: Input| Counted { inner, bytes: Arc::clone(&self.bytes) };
        let mut raw = counted(if self.is_stream() { Box::new(io::stdin()) } else { Box::new(self.file()?) });
        let mut start = Vec::new();
        raw.by_ref().take(MAGIC_BYTES).read_to_end(&mut start).map_err(|e| Error::io(&self.path, e))?;
        let (gzip, zstd) = (start.starts_with(GZIP), start.starts_with(ZSTD));
        if start.starts_with(ZIP) && !self.is_stream() {
            return zip::unzipped(&self.path, self.file()?, |packed| Box::new(counted(packed)));
        }
        let whole = Cursor::new(start).chain(raw);
        Ok(if gzip {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole)))
        } else if zstd {
            Box::new(zstd::Decoder::new(whole).map_err(|e| Error::io(&self.path, e))?)
        } else {
            Box::new(whole)
        })
    }
}

/// Length and time of the last change of the file at `path`, if it is one.
fn state(path: &Path) -> Option<(u64, SystemTime)> {
    let data = path.metadata().ok().filter(|data| data.is_file())?;
    Some((data.len(), data.modified().ok()?))
}

/// Bytes to be read in order.
pub(in crate::data) type Input = Box<dyn Read + Send>;

/// Counts what is read.
struct Counted {
    inner: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The files that `paths` mean: a directory stands for the files in it (those whose name begins with a dot or an underscore left
/// out), and what is no file but has `*`, `?` or `[` for the files it matches; both in the order of their names.
///
/// # Errors
/// [`Error::Usage`] when a directory or a pattern gives no file, [`Error::Io`] when it cannot be listed.
pub(in crate::data) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
            for entry in entries {
                let entry = entry.map_err(|e| Error::io(path, e))?.path();
                let hidden = entry.file_name().is_none_or(|name| {
                    let name = name.to_string_lossy();
                    name.starts_with('.') || name.starts_with('_')
                });
                if !hidden && entry.is_file() {
                    files.push(entry);
                }
            }
            files[before..].sort();
            if files.len() == before {
                return Err(Error::Usage(format!("{}: there is no file in this directory", path.display())));
            }
        } else if !path.exists() && path.to_string_lossy().contains(['*', '?', '[']) {
            let pattern = path.to_string_lossy();
            let matches = glob::glob(&pattern)
                .map_err(|e| Error::Usage(format!("{pattern}: this is no file and no pattern of files ({e})")))?;
            for found in matches {
                let found = found.map_err(|e| {
                    let path = e.path().to_path_buf();
                    Error::io(&path, e.into())
                })?;
                if found.is_file() {
                    files.push(found);
                }
            }
            if files.len() == before {
                return Err(Error::Usage(format!("{pattern}: no file matches this pattern")));
            }
        } else {
            files.push(path.clone());
        }
    }
    if files.iter().filter(|path| path.as_os_str() == STDIN).count() > 1 {
        return Err(Error::Usage("standard input (-) can be read but once".into()));
    }
    Ok(files)
}

/// The one format of all files.
///
/// # Errors
/// [`Error::Usage`] when there is no file, or files of formats that cannot be read together.
pub(in crate::data) fn format_of(paths: &[PathBuf], asked: Option<Format>) -> Result<Format> {
    let [first, rest @ ..] = paths else { return Err(Error::Usage("no data file is given".to_string())) };
    if let Some(format) = asked {
        return Ok(format);
    }
    let format = by_ending(first)?;
    let is_text = |format| matches!(format, Format::Csv | Format::Tsv);
    for path in rest {
        let other = by_ending(path)?;
        if other != format && !(is_text(other) && is_text(format)) {
            return Err(Error::Usage(format!(
                "{} and {} are of different formats and cannot be read together",
                first.display(),
                path.display()
            )));
        }
    }
    Ok(format)
}

/// The format that the ending of a file's name says, that of a compression left away.
pub(in crate::data) fn by_ending(path: &Path) -> Result<Format> {
    let ending = |path: &Path| path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut last = ending(path);
    if matches!(last.as_str(), "gz" | "zst" | "zip") {
        last = ending(Path::new(path.file_stem().unwrap_or_default()));
    }
    match last.as_str() {
        "npy" => Ok(Format::Npy),
        "tsv" | "tab" => Ok(Format::Tsv),
        "parquet" | "pq" => Ok(Format::Parquet),
        "arrow" | "feather" | "ipc" | "arrows" => Ok(Format::Arrow),
        "svm" | "svmlight" | "libsvm" => Ok(Format::Svmlight),
        "npz" | "xlsx" | "xls" | "json" | "bz2" | "xz" | "avro" | "orc" => Err(Error::Usage(format!(
            "{}: .{last} files are not read; those read are .csv and .tsv (also .gz, .zst and .zip), .parquet, .arrow, .npy and \
             .svmlight (--format names one for another ending)",
            path.display()
        ))),
        _ => Ok(Format::Csv),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_say_the_format_and_compression_is_looked_through() {
        let cases = [
            ("a.csv", Format::Csv),
            ("a.TSV.gz", Format::Tsv),
            ("a.csv.zst", Format::Csv),
            ("a.gz", Format::Csv),
            ("flights.csv.zip", Format::Csv),
            ("-", Format::Csv),
            ("a.parquet", Format::Parquet),
            ("a.feather", Format::Arrow),
            ("a.svm.gz", Format::Svmlight),
            ("a.npy", Format::Npy),
        ];
        let right = cases.iter().filter(|(name, format)| by_ending(Path::new(name)).is_ok_and(|f| f == *format));
        assert_eq!(right.count(), cases.len());
        assert!(by_ending(Path::new("a.xlsx")).unwrap_err().to_string().contains(".xlsx files are not read"));
    }

    #[test]
    fn folders_and_patterns_are_their_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv", ".hidden.csv", "_SUCCESS", "c.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |path: PathBuf| -> Vec<String> {
            let files = expand(&[path]).unwrap();
            files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(folder.path().to_path_buf()), ["a.csv", "b.csv", "c.txt"]);
        assert_eq!(names(folder.path().join("[ab].csv")), ["a.csv", "b.csv"]);
        assert!(expand(&[folder.path().join("*.parquet")]).unwrap_err().to_string().contains("no file matches"));
        let empty = tempfile::tempdir().unwrap();
        assert!(expand(&[empty.path().to_path_buf()]).unwrap_err().to_string().contains("there is no file in"));
        assert!(expand(&["-".into(), "-".into()]).is_err());
    }
}
