//! The design matrix, computed from columns as it is packed.

use super::Dataset;
use super::design::{Design, InputColumn};
use super::expand::{pack_frames, pack_spilled};
use super::frames::{Frames, StoredFrames};
use super::input::MISSING;
use super::intake::Place;
use super::pack::PackOptions;
use super::part::{Part, Vectors};
use super::scaling::{StoredColumn, stored_column};
use super::source::ColumnSource;
use crate::error::{Error, Result};

/// Where a feature's values come from; `fill` stands for missing ones.
#[derive(Debug)]
pub(super) enum Feature<'a> {
    /// The number column `column`.
    Number { column: usize, fill: Option<f64> },
    /// Whether the code of a row is `level`; the codes are those of levels.
    Level { text: usize, codes: &'a [u32], level: u32, fill: f64, stored: StoredColumn },
}

/// Packs the features that `design` makes of the columns of `part`, which lie at `places`; `shares` are those of the levels of
/// each text column among the rows that teach.
///
/// # Errors
/// As [`Dataset::pack`], and what reading rows that were spilled fails with.
pub(super) fn pack(
    design: &Design,
    places: &[Place],
    shares: &[Vec<f64>],
    part: &mut Part,
    vectors: Vectors,
    options: PackOptions,
) -> Result<Dataset> {
    let stored = part.numbers.take_stored();
    let mut features = Vec::new();
    for (column, place) in design.columns.iter().zip(places) {
        match (column, *place) {
            (InputColumn::Numeric { fill, .. }, Place::Number(column)) => {
                features.push(Feature::Number { column, fill: *fill });
            }
            (column, Place::Text(n)) => {
                let (first, fill) = (usize::from(column.reference()), column.fills());
                for (k, level) in (first..first + column.features()).enumerate() {
                    let share = shares[n].get(level).copied().unwrap_or(0.0);
                    features.push(Feature::Level {
                        text: n,
                        codes: &part.codes[n],
                        level: level as u32,
                        fill: fill.and_then(|fill| fill.get(k)).copied().unwrap_or(0.0),
                        stored: stored_column(share, (share * (1.0 - share)).max(0.0).sqrt()),
                    });
                }
            }
            // Columns are read as the kind the design says.
            _ => {}
        }
    }
    let names = design.feature_names();
    match (stored, vectors) {
        (Some(StoredFrames { columns, rounding, .. }), Vectors::Spilled(vectors)) => {
            Ok(Dataset::of(names, pack_spilled(vectors, &columns, &rounding, &features, options)?))
        }
        (Some(frames), Vectors::Held(vectors)) => {
            Ok(Dataset::of(names, pack_frames(frames, &features, &part.codes, &vectors, options)?))
        }
        (None, Vectors::Held(vectors)) => {
            Dataset::pack(names, &Matrix { features, numbers: &part.numbers }, &vectors, options)
        }
        (None, Vectors::Spilled(_)) => {
            Err(Error::Numerics("internal: rows were spilled before they were stored".into()))
        }
    }
}

/// Features of the rows of a part whose numbers are exact.
#[derive(Debug)]
struct Matrix<'a> {
    features: Vec<Feature<'a>>,
    numbers: &'a Frames,
}

impl ColumnSource for Matrix<'_> {
    fn rows(&self) -> usize {
        self.numbers.rows()
    }
    fn features(&self) -> usize {
        self.features.len()
    }
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]) {
        match &self.features[feature] {
            Feature::Number { column, fill } => {
                self.numbers.fill(*column, start, out);
                if let Some(fill) = fill {
                    out.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = *fill);
                }
            }
            Feature::Level { codes, level, fill, .. } => {
                for (x, code) in out.iter_mut().zip(&codes[start..]) {
                    *x = match *code {
                        MISSING => *fill,
                        code => f64::from(u8::from(code == *level)),
                    };
                }
            }
        }
    }
}
