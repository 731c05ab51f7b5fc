//! The one file in a zip archive.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive};

use super::files::Input;
use crate::error::{Error, Result};

/// What macOS puts beside the files of its archives.
const MACOS: &[u8] = b"__MACOSX/";

/// The text of the one file in the archive `file`, checked against its length and checksum at its end; `counted` stands
/// between the archive's bytes and what unpacks them.
pub(super) fn unzipped(path: &Path, mut file: File, counted: impl FnOnce(Input) -> Input) -> Result<Input> {
    let bad = |e: rawzip::Error| Error::data(path, format!("the zip archive cannot be read ({e}); is it whole?"));
    let io = |e| Error::io(path, e);
    let mut room = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file.try_clone().map_err(io)?, &mut room).map_err(bad)?;
    let (mut found, mut files) = (None, 0);
    let mut entries = archive.entries(&mut room);
    while let Some(entry) = entries.next_entry().map_err(bad)? {
        if !entry.is_dir() && !entry.file_path().as_bytes().starts_with(MACOS) {
            found = Some((entry.wayfinder(), entry.compression_method(), entry.flags().is_encrypted()));
            files += 1;
        }
    }
    let Some((place, method, encrypted)) = found.filter(|_| files == 1) else {
        return Err(Error::data(
            path,
            format!("the zip archive holds {files} files; unpack it and name those to read"),
        ));
    };
    let entry = archive.get_entry(place).map_err(bad)?;
    let (start, end) = entry.compressed_data_range();
    file.seek(SeekFrom::Start(start)).map_err(io)?;
    let packed = counted(Box::new(file.take(end - start)));
    let text: Input = match method {
        CompressionMethod::STORE if !encrypted => packed,
        CompressionMethod::DEFLATE if !encrypted => Box::new(DeflateDecoder::new(packed)),
        _ => {
            return Err(Error::data(path, "the zip archive is encrypted or packed in an unusual way; unpack it first"));
        }
    };
    Ok(Box::new(entry.verifying_reader(text)))
}
