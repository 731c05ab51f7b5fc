//! What each of several ranks reads: stretches of the input, in its order, of about as many bytes each.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::hash;
use super::input::{Source, npy, parquet_groups};
use super::options::Format;
use crate::error::{Error, Result};
use crate::ranks::Team;

/// What lies behind the last unit of a file.
const END: u64 = u64::MAX;
/// Bytes that are looked through at a time for the end of a line.
const LOOK_BYTES: usize = 64 << 10;

/// What the ranks must agree on before they share an input.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    files: usize,
    /// Of all paths and lengths.
    hash: u64,
}

/// Gives each of `sources` the part of it that this rank reads, and says which of them it reads. Text, row groups of Parquet and rows of
/// NumPy files are divided; files for which `whole` holds, compressed ones and those of other formats are one rank's.
///
/// # Errors
/// [`Error::Io`] and [`Error::Data`] about files; [`Error::Usage`] where ranks do not see the same files.
pub(super) fn divide(
    sources: &mut [Source],
    format: Format,
    whole: impl Fn(usize) -> bool,
    team: &Team,
) -> Result<Range<usize>> {
    let lengths = sources.iter().map(Source::length).collect::<Result<Vec<u64>>>();
    let lengths = team.agree(lengths)?;
    let names = sources.iter().zip(&lengths).flat_map(|(source, length)| {
        source.path.to_string_lossy().into_owned().into_bytes().into_iter().chain(length.to_le_bytes())
    });
    let seen = team.exchange(&Seen { files: sources.len(), hash: hash::of_bytes(names) })?;
    if let Some(rank) = seen.iter().position(|one| *one != seen[0]) {
        return Err(Error::Usage(format!(
            "rank {rank} sees other files than rank 0 ({} and {}, or of other lengths): all ranks must see the same input, as on \
             a shared file system",
            seen[rank].files, seen[0].files
        )));
    }
    let total: u64 = lengths.iter().sum();
    let bound = |rank: usize| (u128::from(total) * rank as u128 / team.ranks() as u128) as u64;
    let (start, end) = (bound(team.rank()), bound(team.rank() + 1));
    let last = team.rank() + 1 == team.ranks();
    let (mut first, mut mine) = (0, None);
    let mut shares = Vec::new();
    for (file, length) in lengths.iter().enumerate() {
        let cut = |at: u64| cut(&sources[file], format, whole(file), at.checked_sub(first), *length);
        let from = cut(start)?;
        let to = if last { END } else { cut(end)? };
        if from < to {
            shares.push((file, from, to));
        }
        first += length;
    }
    // Of other files no more is read than what they say of their columns.
    sources.iter_mut().for_each(|source| source.portion = Some(0..0));
    for (file, from, to) in shares {
        sources[file].portion = (from > 0 || to < END).then_some(from..to);
        let range = mine.get_or_insert(file..file);
        range.end = file + 1;
    }
    Ok(mine.unwrap_or(0..0))
}

/// The unit of a file of `length` bytes that a cut `at` bytes behind its start falls before (`None` where it is before that): a byte
/// of text, a row group, a row, or for what is not divided nothing or all of it.
fn cut(source: &Source, format: Format, whole: bool, at: Option<u64>, length: u64) -> Result<u64> {
    let Some(at) = at.filter(|at| *at > 0) else { return Ok(0) };
    if at >= length {
        return Ok(END);
    }
    let undivided = if at < length / 2 { 0 } else { END };
    match format {
        _ if whole => Ok(undivided),
        Format::Csv | Format::Tsv | Format::Svmlight if source.is_compressed()? => Ok(undivided),
        Format::Csv | Format::Tsv | Format::Svmlight => next_line(source, at),
        Format::Npy => {
            let rows = npy::shape(source)?.0 as u128;
            Ok((rows * u128::from(at) / u128::from(length)) as u64)
        }
        Format::Parquet => Ok(nearest(&parquet_groups(source)?, at, length)),
        Format::Arrow => Ok(undivided),
    }
}

/// How many of the first parts, of so many bytes each, come nearest to `at` of `length`.
fn nearest(parts: &[u64], at: u64, length: u64) -> u64 {
    let total: u64 = parts.iter().sum();
    let wanted = u128::from(total) * u128::from(at) / u128::from(length.max(1));
    let (mut before, mut count) = (0u128, 0);
    for part in parts {
        if wanted < before + u128::from(*part).div_ceil(2) {
            break;
        }
        before += u128::from(*part);
        count += 1;
    }
    count
}

/// Where the first line begins that does so at byte `at` or behind it.
fn next_line(source: &Source, at: u64) -> Result<u64> {
    let io = |e| Error::io(&source.path, e);
    let mut file = File::open(&source.path).map_err(io)?;
    let mut place = at - 1;
    file.seek(SeekFrom::Start(place)).map_err(io)?;
    let mut bytes = vec![0; LOOK_BYTES];
    loop {
        let read = file.read(&mut bytes).map_err(io)?;
        if read == 0 {
            return Ok(END);
        }
        if let Some(end) = memchr::memchr(b'\n', &bytes[..read]) {
            return Ok(place + end as u64 + 1);
        }
        place += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_groups_go_where_most_of_them_lies() {
        let cuts: Vec<u64> = [1, 4, 6, 14, 16, 39].iter().map(|at| nearest(&[10, 10, 20], *at, 40)).collect();
        assert_eq!(cuts, [0, 0, 1, 1, 2, 3]);
        assert_eq!(nearest(&[], 5, 10), 0);
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_every_line_is_in_one_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let text = "a,b\n1,2\n333333333,4\n\n5,6";
        std::fs::write(&path, text).unwrap();
        let source = Source::new(&path);
        let mut seen = 0;
        for at in 1..text.len() as u64 {
            let cut = next_line(&source, at).unwrap();
            assert!(cut >= at);
            if cut < END {
                assert_eq!(text.as_bytes()[cut as usize - 1], b'\n');
                assert!(!text[at as usize - 1..cut as usize - 1].contains('\n'));
                seen += 1;
            }
        }
        assert!(seen > 15, "{seen}");
    }
}
