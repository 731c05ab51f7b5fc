//! Model files: read with every part checked, written whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Model;
use crate::disk::is_abandoned;
use crate::error::{Error, Result};

/// Bytes a model file may have; far above any real one, far below what would hurt.
const LARGEST: u64 = 1 << 30;

impl Model {
    /// Reads and checks a model.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] with what is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        let broken = |message: String| Error::Model { path: path.to_path_buf(), message };
        let bytes = read_whole(path).map_err(|e| Error::io(path, e))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| broken("this is no model: it is not text; give the model.json that train wrote".into()))?;
        let model: Model = serde_json::from_str(&text)
            .map_err(|e| broken(format!("this is no model of gpulogit ({e}); give the model.json that train wrote")))?;
        model.check().map_err(|message| broken(format!("the model cannot be used: {message}")))?;
        Ok(model)
    }

    /// Writes the model to a temporary file beside `path` and renames it: a crash never leaves half a model.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.to_json()?;
        write_atomically(path, |out| out.write_all(text.as_bytes()).map_err(|e| Error::write(path, e)))
    }
}

/// The bytes of a file, but no more than a model may have.
pub(super) fn read_whole(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Lets `write` fill a temporary file beside `path`, then renames it to `path`. On failure `path` is left as it was.
/// A link is followed; what is no regular file (a pipe, a device) is written to as it is.
///
/// # Errors
/// [`Error::Write`], and what `write` fails with.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let failed = |e| Error::write(path, e);
    if std::fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
        return write(&mut std::fs::OpenOptions::new().write(true).open(&target).map_err(failed)?);
    }
    let temporary = temporary_name(&target, std::process::id());
    remove_abandoned(&target);
    let result = (|| {
        let file = File::create(&temporary).map_err(failed)?;
        // Where files cannot be locked nobody will take this one for abandoned.
        let _ = file.lock();
        let mut file = std::io::BufWriter::new(file);
        write(&mut file)?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        // Locked until it has its name: nobody shall take it for abandoned.
        std::fs::rename(&temporary, &target).map_err(failed)
    })();
    if result.is_err() {
        // The temporary file is ours alone; that it cannot be removed changes nothing for the caller.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// That `output` can be written: its folder exists, it is no folder itself, and none of `inputs`.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_output(output: &Path, inputs: &[PathBuf]) -> Result<()> {
    let refuse = |why: &str| Err(Error::Usage(format!("{} cannot be written: {why}", output.display())));
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return refuse("its folder does not exist");
    }
    if output.is_dir() {
        return refuse("it is a folder; name a file");
    }
    let Ok(real) = std::fs::canonicalize(output) else { return Ok(()) };
    if inputs.iter().any(|input| std::fs::canonicalize(input).is_ok_and(|input| input == real)) {
        return refuse("it is one of the files to be read");
    }
    Ok(())
}

/// Where the process `process` writes what will be `path`.
fn temporary_name(path: &Path, process: u32) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{process}.tmp"));
    path.with_file_name(name)
}

/// Removes what processes left that were killed while they wrote `path`.
fn remove_abandoned(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = || name.to_str()?.strip_suffix(".tmp")?.rsplit_once('.')?.1.parse().ok();
        let left = process().map(|process| temporary_name(path, process));
        if let Some(left) = left.filter(|left| left.file_name() == Some(&name) && is_abandoned(left)) {
            // What cannot be removed does no harm.
            let _ = std::fs::remove_file(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
        out.write_all(bytes).map_err(|e| Error::write(Path::new("test"), e))
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        write_atomically(&path, |out| write(out, b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            write(out, b"half")?;
            Err(Error::write(&path, std::io::Error::other("disk full")))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".model.json.1.tmp", ".model.json.2.tmp", ".model.json.old.tmp", ".other.json.1.tmp"] {
            std::fs::write(at(name), "half").unwrap();
        }
        let other = File::open(at(".model.json.2.tmp")).unwrap();
        other.lock().unwrap();
        write_atomically(&at("model.json"), |out| write(out, b"whole")).unwrap();
        let mut names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".model.json.2.tmp", ".model.json.old.tmp", ".other.json.1.tmp", "model.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_a_device_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, |out| write(out, b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write_atomically(&null, |out| write(out, b"nothing")).unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn outputs_that_would_do_harm_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("rows.csv");
        std::fs::write(&input, "a,y").unwrap();
        let inputs = [input.clone()];
        assert!(check_output(&input, &inputs).is_err());
        assert!(check_output(folder.path(), &inputs).is_err());
        assert!(check_output(&folder.path().join("no/model.json"), &inputs).is_err());
        assert!(check_output(&folder.path().join("model.json"), &inputs).is_ok());
    }
}
