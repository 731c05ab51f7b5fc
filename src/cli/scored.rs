//! Rows of files and what a model makes of them, in input order, whether this process reads them alone or several ranks do.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::progress::Terminal;
use crate::data::{Dataset, ReadOptions, ReadSummary, RowStream, Rows};
use crate::engine::gpu::GpuOptions;
use crate::engine::{Device, DeviceInfo, DeviceRequest};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::ranks::{Bits, Failure, Team};

/// What a model computes on a device, which is opened for the first rows.
pub(super) struct Scorer<'a> {
    pub(super) model: &'a Model,
    request: DeviceRequest,
    options: GpuOptions,
    /// The number of this process among those of its machine.
    local: usize,
    device: Option<(Device, DeviceInfo)>,
}

/// Rows and what the model makes of them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScoredRows {
    pub(super) rows: usize,
    predictors: Bits,
    /// Target and sample weight of each row.
    pub(super) targets: Vec<(f64, f64)>,
    /// Rows that cannot be predicted or judged, ascending.
    pub(super) missing_rows: Vec<usize>,
    /// The columns carried through, as text.
    pub(super) kept: Vec<(String, Vec<String>)>,
    /// The group of each row, where a column says it.
    pub(super) groups: Option<Vec<String>>,
}

impl ScoredRows {
    /// The linear predictor of a row, or that of the first class.
    pub(super) fn predictor_of(&self, row: usize) -> f64 {
        self.predictors.0[row]
    }

    /// The linear predictors of a row: one, or one for each of more than two classes.
    pub(super) fn predictors_of(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        self.predictors.0.iter().skip(row).step_by(self.rows).copied()
    }
}

impl<'a> Scorer<'a> {
    /// One of `model`, on the device that `request` asks for.
    pub(super) fn new(
        model: &'a Model,
        request: &DeviceRequest,
        options: &GpuOptions,
        team: Option<&Arc<Team>>,
    ) -> Self {
        let local = team.map_or(0, |team| team.local().0);
        Scorer { model, request: request.clone(), options: options.clone(), local, device: None }
    }

    /// What has computed, if anything has yet.
    pub(super) fn device(&self) -> Option<&DeviceInfo> {
        self.device.as_ref().map(|(_, info)| info)
    }

    /// What the model makes of the rows of `data`.
    pub(super) fn score(&mut self, data: &Dataset) -> Result<ScoredRows> {
        let device = match self.device.take() {
            Some((device, _)) => device,
            None => Device::open_for_rank(&self.request, &self.options, self.local)?,
        };
        let (predictors, info) = self.model.linear_predictors(data, &device)?;
        self.device = Some((device, info));
        let mut targets = Vec::with_capacity(data.rows);
        for block in &data.blocks {
            let vectors = block.vectors()?;
            targets.extend(vectors.target.iter().zip(vectors.weight.iter()));
        }
        let predictors = Bits(predictors);
        Ok(ScoredRows {
            rows: data.rows,
            predictors,
            targets,
            missing_rows: Vec::new(),
            kept: Vec::new(),
            groups: None,
        })
    }

    /// The same of rows of a file, with what came with them.
    pub(super) fn score_rows(&mut self, rows: Rows) -> Result<ScoredRows> {
        let scored = self.score(&rows.data)?;
        Ok(ScoredRows { missing_rows: rows.missing_rows, kept: rows.kept, groups: rows.groups, ..scored })
    }
}

/// The rows of files, scored some at a time.
pub(super) struct ScoredStream<'a>(Origin<'a>);

enum Origin<'a> {
    Here(Box<(RowStream<'a>, Scorer<'a>)>),
    Ranks(Box<Gathered>),
}

impl<'a> ScoredStream<'a> {
    /// Those of `paths`, of which every rank of `team` reads and scores a part, if there are several. None but the first gets them: on the
    /// others this returns once that one has had all of theirs.
    ///
    /// # Errors
    /// As [`RowStream::open`]; on several ranks also what [`ScoredStream::next`] fails with.
    pub(super) fn open(
        paths: &[PathBuf],
        mut scorer: Scorer<'a>,
        options: &'a ReadOptions,
        team: Option<&Arc<Team>>,
        terminal: &Terminal,
    ) -> Result<Option<Self>> {
        let design = &scorer.model.design;
        let Some(team) = team else {
            let stream = RowStream::open(paths, design, options)?;
            return Ok(Some(ScoredStream(Origin::Here(Box::new((stream, scorer))))));
        };
        let mut undivided = HashSet::new();
        let (stream, mine) = loop {
            let mut stream = team.agree(RowStream::open_share(paths, design, options, Some(team), &undivided))?;
            let mine = Spool::fill(&mut stream, &mut scorer, terminal);
            let quoted: Vec<usize> = team.exchange(&stream.quoted())?.into_iter().flatten().collect();
            if quoted.is_empty() {
                break (stream, team.agree(mine)?);
            }
            // What was read of such a file may have begun inside of a cell.
            undivided.extend(quoted);
        };
        let read = stream.finish_share(team)?;
        let devices = team.exchange(&scorer.device().cloned())?;
        let parts = team.exchange(&mine.parts)?;
        if !team.leads() {
            return mine.answer(team).map(|()| None);
        }
        let device = devices.into_iter().flatten().next();
        let next = parts.iter().enumerate().flat_map(|(rank, parts)| std::iter::repeat_n(rank, *parts)).collect();
        let gathered = Gathered { team: Arc::clone(team), mine, next, read, device };
        Ok(Some(ScoredStream(Origin::Ranks(Box::new(gathered)))))
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// As [`RowStream::next`], and what computing fails with.
    pub(super) fn next(&mut self, terminal: &Terminal) -> Result<Option<ScoredRows>> {
        match &mut self.0 {
            Origin::Here(here) => {
                let (stream, scorer) = here.as_mut();
                stream.next(terminal)?.map(|rows| scorer.score_rows(rows)).transpose()
            }
            Origin::Ranks(gathered) => gathered.next(),
        }
    }

    /// What reading met, and what computed.
    pub(super) fn finish(self) -> (ReadSummary, Option<DeviceInfo>) {
        match self.0 {
            Origin::Here(here) => (here.0.finish(), here.1.device().cloned()),
            Origin::Ranks(mut gathered) => (std::mem::take(&mut gathered.read), gathered.device.take()),
        }
    }
}

/// The scored rows of all ranks, as the first of them has them.
struct Gathered {
    team: Arc<Team>,
    mine: Spool,
    /// The ranks that have the parts that are still to come, in input order.
    next: VecDeque<usize>,
    read: ReadSummary,
    device: Option<DeviceInfo>,
}

impl Gathered {
    fn next(&mut self) -> Result<Option<ScoredRows>> {
        let Some(rank) = self.next.pop_front() else { return Ok(None) };
        if rank == self.team.rank() {
            return self.mine.next().map(Some);
        }
        self.team.tell(&Some(rank))?;
        let theirs: Result<Option<ScoredRows>, Failure> = Ok(None);
        self.team.collect(&theirs)?.into_iter().find_map(Result::transpose).transpose().map_err(Failure::error)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        // Ranks that cannot be reached do not wait.
        let _ = self.team.tell(&None::<usize>);
    }
}

/// Scored rows in a file that is gone with the process.
struct Spool {
    file: BufReader<File>,
    parts: usize,
}

impl Spool {
    /// All rows of `stream`.
    fn fill(stream: &mut RowStream<'_>, scorer: &mut Scorer<'_>, terminal: &Terminal) -> Result<Self> {
        let failed = |e| Error::write(&std::env::temp_dir(), e);
        let mut file = BufWriter::new(tempfile::tempfile().map_err(failed)?);
        let mut parts = 0;
        while let Some(rows) = stream.next(terminal)? {
            let text = serde_json::to_vec(&scorer.score_rows(rows)?).map_err(|e| failed(e.into()))?;
            let length = (text.len() as u64).to_le_bytes();
            file.write_all(&length).and_then(|()| file.write_all(&text)).map_err(failed)?;
            parts += 1;
        }
        let mut file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.rewind().map_err(failed)?;
        Ok(Spool { file: BufReader::new(file), parts })
    }

    /// The next part, of which there is one.
    fn next(&mut self) -> Result<ScoredRows> {
        let failed = |e| Error::io(&std::env::temp_dir(), e);
        let mut length = [0; 8];
        self.file.read_exact(&mut length).map_err(failed)?;
        let mut text = vec![0; u64::from_le_bytes(length) as usize];
        self.file.read_exact(&mut text).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|e| failed(e.into()))
    }

    /// Gives rank 0 one part after the other, as it asks for them.
    fn answer(mut self, team: &Team) -> Result<()> {
        while let Some(rank) = team.hear::<Option<usize>>()? {
            let mine = if rank == team.rank() { self.next().map(Some) } else { Ok(None) };
            team.collect(&mine.map_err(|error| Failure::of(&error, team.rank())))?;
        }
        Ok(())
    }
}
