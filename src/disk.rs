//! Files that are read and written anywhere, and sections of them that tell when they are damaged.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// What to do when there is no room for rows, or for what is computed of them.
pub(crate) const MORE_ROOM: &str = "--cache-dir names a folder with more room for the rows that memory does not hold, and \
                                    `gpulogit cache --clear` removes those of earlier fits";

/// Bytes that are read and judged at a time.
const AT_A_TIME: u64 = 256 << 10;

/// A file, and where its bytes end.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    /// What errors name: it, or its folder where it has no name.
    path: PathBuf,
    folder: PathBuf,
    /// What to do when the disk is full.
    remedy: &'static str,
    end: AtomicU64,
}

/// Bytes of a file, with a CRC-32 for each unit of them behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    pub(crate) unit: u64,
}

impl Section {
    /// Where it ends, checksums included; the largest number where that is none.
    pub(crate) fn end(&self) -> u64 {
        let sums = self.bytes.div_ceil(self.unit).saturating_mul(size_of::<u32>() as u64);
        self.start.saturating_add(self.bytes).saturating_add(sums)
    }
}

impl DiskFile {
    /// An empty file in `folder`, which has no name as soon as it is open (where the system allows that): it is gone with the
    /// process, however that ends, and nobody else's. `remedy` says what to do when the disk is full.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn unnamed(folder: &Path, remedy: &'static str) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|e| Error::io(folder, e))?;
        let folder = folder.to_path_buf();
        Ok(DiskFile { file, path: folder.clone(), folder, remedy, end: AtomicU64::new(0) })
    }

    /// `file`, which lies in `folder` and whose bytes end at `end`; errors name `path`.
    pub(crate) fn new(file: File, path: &Path, folder: &Path, end: u64) -> Self {
        let (path, folder) = (path.to_path_buf(), folder.to_path_buf());
        DiskFile { file, path, folder, remedy: MORE_ROOM, end: AtomicU64::new(end) }
    }

    /// What errors name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder it lies in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its bytes end.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    /// Reads from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_at(&self.file, out, offset).map_err(|e| Error::io(&self.path, e))
    }

    /// Writes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`], when the disk is full for example.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_at(&self.file, bytes, offset)
            .map_err(|e| Error::io(&self.path, std::io::Error::new(e.kind(), format!("{e}; {}", self.remedy))))?;
        self.end.fetch_max(offset + bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back the lock on it.
    pub(crate) fn unlock(&self) {
        // Where files cannot be locked there is none.
        let _ = self.file.unlock();
    }

    /// Makes it `bytes` long, with zeros, which take no room where the file system knows holes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn stretch(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes).map_err(|e| Error::io(&self.path, e))
    }

    /// Writes a section behind all bytes.
    ///
    /// # Errors
    /// As [`DiskFile::write`].
    pub(crate) fn append(&self, bytes: &[u8], unit: u64) -> Result<Section> {
        let section = Section { start: self.end(), bytes: bytes.len() as u64, unit };
        let sums: Vec<u32> = bytes.chunks(unit as usize).map(crc32fast::hash).collect();
        self.write(section.start, bytes)?;
        self.write(section.start + section.bytes, bytemuck::cast_slice(&sums))?;
        Ok(section)
    }

    /// Reads what lies `at` bytes behind the start of `section` and further on.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] when a checksum does not fit.
    pub(crate) fn read_section(&self, section: Section, at: u64, out: &mut [u8]) -> Result<()> {
        let Section { start, bytes, unit } = section;
        let end = at + out.len() as u64;
        let first = at / unit;
        let mut sums = vec![0u32; (end.div_ceil(unit) - first) as usize];
        let sums_at = start + bytes + first * size_of::<u32>() as u64;
        self.read(sums_at, bytemuck::cast_slice_mut(&mut sums))?;
        let check = |number: u64, unit: &[u8]| {
            if sums[(number - first) as usize] == crc32fast::hash(unit) {
                return Ok(());
            }
            Err(Error::data(&self.path, "what was written there is damaged, for a checksum does not fit; run it again"))
        };
        let mut room = Vec::new();
        let mut done = at;
        while done < end {
            let (number, here) = (done / unit, (done - at) as usize);
            let (from, to) = (number * unit, bytes.min((number + 1) * unit));
            if done == from && to <= end {
                // Whole units that follow, as many as stay in a cache until they are judged.
                let whole = if end == bytes { end } else { end / unit * unit };
                let to = whole.min(done + AT_A_TIME.next_multiple_of(unit));
                let out = &mut out[here..(to - at) as usize];
                self.read(start + done, out)?;
                out.chunks(unit as usize).zip(number..).try_for_each(|(bytes, number)| check(number, bytes))?;
                done = to;
            } else {
                room.resize((to - from) as usize, 0);
                self.read(start + from, &mut room)?;
                check(number, &room)?;
                let to = to.min(end);
                out[here..(to - at) as usize].copy_from_slice(&room[(done - from) as usize..(to - from) as usize]);
                done = to;
            }
        }
        Ok(())
    }
}

/// Whether nobody holds a lock on the file at `path` any more, as whoever writes one does.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    // Where that cannot be told somebody may. Some file systems lock only what may be written.
    File::options().read(true).write(true).open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut out: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (out, offset) = (&mut out[n..], offset + n as u64),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            n => (bytes, offset) = (&bytes[n..], offset + n as u64),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_section_is_read_and_every_flipped_bit_is_found() {
        let file = DiskFile::unnamed(&std::env::temp_dir(), MORE_ROOM).unwrap();
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * i / 7) as u8).collect();
        file.append(&[7; 13], 4).unwrap();
        let section = file.append(&bytes, 64).unwrap();
        assert_eq!((section.start, section.end()), (13 + 16, file.end()));
        let (mut seen, mut found) = (0, 0);
        for (at, len) in [(0, 1000), (0, 64), (64, 128), (63, 2), (100, 900), (959, 41), (960, 40), (10, 970), (5, 0)] {
            let mut out = vec![0; len];
            file.read_section(section, at as u64, &mut out).unwrap();
            assert_eq!(out, bytes[at..at + len]);
            seen += 1;
        }
        for offset in section.start..section.end() {
            let mut byte = [0];
            file.read(offset, &mut byte).unwrap();
            file.write(offset, &[byte[0] ^ 1 << (offset % 8)]).unwrap();
            found += usize::from(file.read_section(section, 0, &mut [0; 1000]).is_err());
            file.write(offset, &byte).unwrap();
        }
        assert_eq!((seen, found), (9, 1000 + 16 * 4));
        // What was not asked for is not judged.
        file.write(section.start + 500, &[bytes[500] ^ 1]).unwrap();
        file.read_section(section, 0, &mut [0; 448]).unwrap();
        assert!(file.read_section(section, 400, &mut [0; 49]).is_err());
    }
}
