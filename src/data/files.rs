//! The files of an input, and which of them are read here.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::input::{self, Reader, Source};
use super::options::Format;
use super::share::divide;
use super::size;
use crate::error::Result;
use crate::ranks::Team;

/// Columns that a model may ask for behind those of a svmlight file: so many for each that it names, and these at the least.
const COLUMNS_OF_A_NAME: usize = 64;
const COLUMNS_OF_NAMES: usize = 1 << 19;
/// The files of an input.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) sources: Vec<Source>,
    pub(super) format: Format,
    pub(super) no_header: bool,
    extent: Option<input::Extent>,
    /// Those of them that are read here, some perhaps in part.
    pub(super) here: Range<usize>,
    /// The ranks that share them.
    pub(super) team: Option<Arc<Team>>,
}

impl Files {
    /// The files that `paths` mean, to be read within so many bytes of memory, all of them or the share of this rank of `team`.
    pub(super) fn new(
        paths: &[PathBuf],
        asked: Option<Format>,
        no_header: bool,
        memory: u64,
        team: Option<Arc<Team>>,
    ) -> Result<Self> {
        let all = input::expand(paths).and_then(|paths| Ok((input::format_of(&paths, asked)?, paths)));
        let (format, paths) = match &team {
            None => all?,
            Some(team) => team.agree(all)?,
        };
        let sources: Vec<Source> = paths.iter().map(|path| Source::new(path).within(memory)).collect();
        let mut files = Files { here: 0..sources.len(), sources, format, no_header, extent: None, team };
        files.divide(&HashSet::new())?;
        if format == Format::Svmlight {
            files.find_extent()?;
        }
        files.extent.map_or(Ok(()), |extent| size::check_columns(extent.most, memory))?;
        Ok(files)
    }

    /// Gives each rank its share, in which files of the numbers `whole` are not divided.
    pub(super) fn divide(&mut self, whole: &HashSet<usize>) -> Result<()> {
        let Some(team) = &self.team else { return Ok(()) };
        for source in &mut self.sources {
            source.portion = None;
            source.quoted = Arc::default();
        }
        let shared = divide(&mut self.sources, self.format, |file| whole.contains(&file), team);
        self.here = team.agree(shared)?;
        Ok(())
    }

    /// Looks through svmlight files for their rows and columns.
    fn find_extent(&mut self) -> Result<()> {
        let here = input::extent(&self.sources[self.here.clone()]);
        self.extent = Some(match &self.team {
            None => here?,
            Some(team) => {
                let here = team.agree(here)?;
                let all = team.exchange(&(here.rows, here.least, here.most))?.into_iter();
                let none = input::Extent { rows: 0, least: 1, most: 0 };
                all.fold(none, |all, (rows, least, most)| input::Extent {
                    rows: all.rows + rows,
                    least: all.least.min(least),
                    most: all.most.max(most),
                })
            }
        });
        Ok(())
    }

    /// Files, by their numbers, of which parts are read here and in which a quote was met.
    pub(super) fn quoted(&self) -> Vec<usize> {
        let met = |file: &usize| self.sources[*file].quoted.load(Ordering::Relaxed);
        self.here.clone().filter(met).collect()
    }

    /// Gives svmlight files, which do not say what is 0 in all rows, the columns up to those called `names`, if those are not far fewer.
    pub(super) fn widen<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str>) {
        let Some(extent) = &mut self.extent else { return };
        let further = names.len().saturating_mul(COLUMNS_OF_A_NAME).max(COLUMNS_OF_NAMES);
        let most = extent.most.saturating_add(further).min(input::MOST_COLUMNS);
        let index = |name: &str| name.strip_prefix('x')?.parse().ok().filter(|index| *index <= most);
        for index in names.filter_map(index) {
            (extent.least, extent.most) = (extent.least.min(index), extent.most.max(index));
        }
    }

    /// Rows, where they are known before anything is read although they may be far more than their text.
    pub(super) fn sparse_rows(&self) -> Option<u64> {
        self.extent.map(|extent| extent.rows)
    }

    /// The path of the first file.
    pub(super) fn first(&self) -> &Path {
        &self.sources[0].path
    }

    /// Whether they can be read but once.
    pub(super) fn are_streams(&self) -> bool {
        self.sources.iter().any(Source::is_stream)
    }

    pub(super) fn open(&self, file: usize) -> Result<Box<dyn Reader>> {
        input::open(&self.sources[file], self.format, self.no_header, self.extent)
    }

    pub(super) fn path(&self, file: usize) -> &Path {
        &self.sources[file].path
    }
}
