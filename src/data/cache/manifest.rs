//! What lies behind the rows of a cached file: all that was learnt when they were taken in.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, Key, VERSION};
use crate::data::frames::Frames;
use crate::data::intake::{Intake, Place};
use crate::data::part::{ClassSums, Dictionary, Labels, Part};
use crate::data::scaling::StoredColumn;
use crate::data::spill::{PlacedFrames, Spilled};
use crate::disk::DiskFile;
use crate::error::{Error, Result};

/// The last bytes of a file, as this machine orders them.
const MAGIC: u64 = 0x6770_756c_6f67_6974;

/// The end of a file.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Footer {
    /// Where the manifest begins, and its bytes.
    start: u64,
    bytes: u64,
    /// CRC-32 of the manifest.
    sum: u64,
    magic: u64,
}

/// What was learnt of the rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) key: Key,
    pub(super) notes: Vec<String>,
    features: Vec<(String, Place, bool)>,
    /// Values of each text column, and how often they stand.
    labels: Vec<(Vec<String>, Vec<u64>)>,
    target: Vec<String>,
    sums: Vec<(f64, u64)>,
    rows: u64,
    dropped: u64,
    gaps: Vec<u64>,
    missing: Vec<(String, u64)>,
    /// The rows to fit, and those held out.
    parts: Vec<KeptPart>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptPart {
    rows: usize,
    classes: ClassSums,
    columns: Vec<StoredColumn>,
    rounding: Vec<f64>,
    frames: PlacedFrames,
}

impl Manifest {
    /// Of what was taken in; none while some of it is in memory only.
    pub(super) fn of(key: &Key, intake: &Intake, notes: &[String]) -> Option<Self> {
        let part = |part: &Part| {
            let (columns, rounding) = part.numbers.stored_columns()?;
            Some(KeptPart {
                rows: part.rows,
                classes: part.classes.clone(),
                columns: columns.to_vec(),
                rounding: rounding.to_vec(),
                frames: part.spilled.as_ref()?.frames().clone(),
            })
        };
        let labels = |labels: &Labels| (labels.dictionary.values.clone(), labels.counts.clone());
        Some(Manifest {
            key: key.clone(),
            notes: notes.to_vec(),
            features: intake.features.clone(),
            labels: intake.labels.iter().map(labels).collect(),
            target: intake.target.values.clone(),
            sums: intake.sums.clone(),
            rows: intake.rows,
            dropped: intake.dropped,
            gaps: intake.gaps.clone(),
            missing: intake.missing.clone(),
            parts: intake.parts().map(part).collect::<Option<_>>()?,
        })
    }

    /// Writes it behind the rows in `file`, which is whole then.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&self, file: &DiskFile) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|e| Error::io(file.path(), e.into()))?;
        let footer =
            Footer { start: file.end(), bytes: text.len() as u64, sum: crc32fast::hash(&text).into(), magic: MAGIC };
        file.write(footer.start, &text)?;
        file.write(file.end(), bytemuck::bytes_of(&footer))
    }

    /// Reads that of the file at `path`, and opens the file.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] when it is not whole or of another version.
    pub(super) fn read(path: &Path) -> Result<(DiskFile, Self)> {
        let unusable = || Error::data(path, "this is no file of rows that this version of gpulogit can use");
        let io = |e| Error::io(path, e);
        let file = File::open(path).map_err(io)?;
        let all = file.metadata().map_err(io)?.len();
        let file = DiskFile::new(file, path, path.parent().unwrap_or(path), all);
        let mut footer = Footer::zeroed();
        let footer_at = all.checked_sub(size_of::<Footer>() as u64).ok_or_else(unusable)?;
        file.read(footer_at, bytemuck::bytes_of_mut(&mut footer))?;
        if footer.magic != MAGIC || footer.start.checked_add(footer.bytes) != Some(footer_at) {
            return Err(unusable());
        }
        let mut text = vec![0; usize::try_from(footer.bytes).map_err(|_| unusable())?];
        file.read(footer.start, &mut text)?;
        if u64::from(crc32fast::hash(&text)) != footer.sum {
            return Err(unusable());
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|_| unusable())?;
        let key = &manifest.key;
        if (key.format_version, key.version.as_str()) != (FORMAT_VERSION, VERSION)
            || !manifest.holds_together(footer.start)
        {
            return Err(unusable());
        }
        Ok((file, manifest))
    }

    /// Rows in the file.
    pub(super) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows as u64).sum()
    }

    /// Whether the parts fit each other and the rows lie within the first `end` bytes.
    fn holds_together(&self, end: u64) -> bool {
        let (numbers, texts) = (self.sums.len(), self.labels.len());
        let placed = |(_, place, _): &(String, Place, bool)| match place {
            Place::Number(n) => *n < numbers,
            Place::Text(n) => *n < texts,
        };
        let part = |part: &KeptPart| {
            let finite = |column: &StoredColumn| column.centre.is_finite() && column.scale > 0.0;
            (part.columns.len(), part.rounding.len()) == (numbers, numbers)
                && part.columns.iter().all(finite)
                && part.classes.rows.len() == part.classes.weight.len()
                && part.frames.fit(part.rows, numbers, texts, end)
        };
        self.features.iter().all(placed)
            && self.gaps.len() == self.features.len()
            && self.labels.iter().all(|(values, counts)| values.len() == counts.len())
            && (1..=2).contains(&self.parts.len())
            && self.parts.iter().all(part)
    }

    /// What was taken in, its rows in `file`.
    pub(super) fn into_intake(self, file: &Arc<DiskFile>) -> Option<Intake> {
        let texts = self.labels.len();
        let mut parts = self.parts.into_iter().map(|part| Part {
            rows: part.rows,
            numbers: Frames::elsewhere(part.rows, part.frames.frame_rows(), part.columns, part.rounding),
            codes: vec![Vec::new(); texts],
            target: Vec::new(),
            weight: Vec::new(),
            offset: Vec::new(),
            classes: part.classes,
            beside: part.frames.beside(),
            spilled: Some(Spilled::at(file, part.frames)),
        });
        Some(Intake {
            train: parts.next()?,
            holdout: parts.next(),
            features: self.features,
            labels: self
                .labels
                .into_iter()
                .map(|(values, counts)| Labels { dictionary: Dictionary::known(values), counts })
                .collect(),
            target: Dictionary::known(self.target),
            sums: self.sums,
            rows: self.rows,
            dropped: self.dropped,
            gaps: self.gaps,
            missing: self.missing,
        })
    }
}
