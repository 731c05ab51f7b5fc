//! Model files: read with every part checked, written whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::Model;
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
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut text = String::new();
        match file.take(LARGEST).read_to_string(&mut text) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Err(broken("this is no model: it is not text; give the model.json that train wrote".into()));
            }
            Err(e) => return Err(Error::io(path, e)),
        }
        let model: Model = serde_json::from_str(&text)
            .map_err(|e| broken(format!("this is no model of gpulogit ({e}); give the model.json that train wrote")))?;
        model.check().map_err(|message| broken(format!("the model cannot be used: {message}")))?;
        Ok(model)
    }

    /// Writes the model to a temporary file beside `path` and renames it: a crash never leaves half a model.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = self.to_json()?;
        write_atomically(path, |out| out.write_all(text.as_bytes()))
    }
}

/// Lets `write` fill a temporary file beside `path`, then renames it to `path`. On failure `path` is left as it was.
///
/// # Errors
/// [`Error::Io`].
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let temporary = temporary_name(path);
    let result = (|| {
        let mut file = std::io::BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)
    })();
    result.map_err(|e| {
        // The temporary file is ours alone; that it cannot be removed changes nothing for the caller.
        let _ = std::fs::remove_file(&temporary);
        Error::io(path, e)
    })
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"half")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
