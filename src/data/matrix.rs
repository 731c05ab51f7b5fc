//! The design matrix, computed from columns as it is packed.

use super::Dataset;
use super::columns::Cells;
use super::design::{Design, InputColumn};
use super::npy::Arrays;
use super::pack::PackOptions;
use super::source::{ColumnSource, RowVectors};
use super::table::Table;
use super::text::MISSING;
use crate::error::Result;

/// Packs the features that `design` makes of the columns of `table`, in the rows `chosen` where not all are. Where the table
/// is one matrix that lies as it is wanted, it is used up: packed in the memory that it lies in.
///
/// # Errors
/// As [`Dataset::pack`].
pub(super) fn pack(
    design: &Design,
    table: &mut Table,
    chosen: Option<&[usize]>,
    vectors: &RowVectors,
    options: PackOptions,
) -> Result<Dataset> {
    let features = design.feature_names();
    if chosen.is_none()
        && let Some(values) = table.take_rows()
    {
        return Dataset::pack_rows(features, values, vectors, options);
    }
    let cells = table.features.iter().map(|(_, cells)| cells);
    let matrix = Matrix::new(&design.columns, cells, table.rows, chosen);
    Dataset::pack(features, &matrix, vectors, options)
}

/// Features of the chosen rows of a table.
#[derive(Debug)]
struct Matrix<'a> {
    features: Vec<Feature<'a>>,
    /// The table's rows that are the matrix's, where not all are.
    chosen: Option<&'a [usize]>,
    rows: usize,
}

/// Where a feature's values come from; `fill` stands for missing ones.
#[derive(Debug)]
enum Feature<'a> {
    Number { values: &'a [f64], fill: f64 },
    Array { arrays: &'a Arrays, column: usize, fill: f64 },
    Level { codes: &'a [u32], level: u32, fill: f64 },
}

impl<'a> Matrix<'a> {
    /// The matrix of `columns`, whose cells are `cells` (text coded by level), for the rows `chosen` of `rows`.
    fn new(
        columns: &'a [InputColumn],
        cells: impl Iterator<Item = &'a Cells>,
        rows: usize,
        chosen: Option<&'a [usize]>,
    ) -> Self {
        let mut features = Vec::new();
        for (column, cells) in columns.iter().zip(cells) {
            match (column, cells) {
                (InputColumn::Numeric { fill, .. }, Cells::Number(values)) => {
                    features.push(Feature::Number { values, fill: fill.unwrap_or(0.0) });
                }
                (InputColumn::Numeric { fill, .. }, Cells::Array { arrays, column }) => {
                    features.push(Feature::Array { arrays, column: *column, fill: fill.unwrap_or(0.0) });
                }
                (InputColumn::Categorical { levels, reference, fill, .. }, Cells::Text(text)) => {
                    let first = usize::from(*reference);
                    for level in first..levels.len() {
                        let fill = fill.as_ref().and_then(|fill| fill.get(level - first)).copied().unwrap_or(0.0);
                        features.push(Feature::Level { codes: &text.codes, level: level as u32, fill });
                    }
                }
                // Columns are read as the kind the design says.
                _ => {}
            }
        }
        Matrix { features, chosen, rows: chosen.map_or(rows, <[usize]>::len) }
    }

    fn write(&self, start: usize, out: &mut [f64], value: impl Fn(usize) -> f64) {
        match self.chosen {
            Some(chosen) => chosen[start..start + out.len()].iter().zip(out).for_each(|(row, x)| *x = value(*row)),
            None => out.iter_mut().enumerate().for_each(|(i, x)| *x = value(start + i)),
        }
    }
}

impl ColumnSource for Matrix<'_> {
    fn rows(&self) -> usize {
        self.rows
    }
    fn features(&self) -> usize {
        self.features.len()
    }
    fn fill(&self, feature: usize, start: usize, out: &mut [f64]) {
        let filled = |x: f64, fill: f64| if x.is_nan() { fill } else { x };
        match &self.features[feature] {
            Feature::Number { values, fill } => self.write(start, out, |row| filled(values[row], *fill)),
            Feature::Array { arrays, column, fill } => match self.chosen {
                Some(_) => self.write(start, out, |row| filled(arrays.value(row, *column), *fill)),
                None => {
                    arrays.fill(*column, start, out);
                    out.iter_mut().for_each(|x| *x = filled(*x, *fill));
                }
            },
            Feature::Level { codes, level, fill } => self.write(start, out, |row| match codes[row] {
                MISSING => *fill,
                code => f64::from(u8::from(code == *level)),
            }),
        }
    }
}

impl Cells {
    /// Whether the cell of `row` is missing.
    pub(super) fn is_missing(&self, row: usize) -> bool {
        match self {
            Cells::Number(values) => values[row].is_nan(),
            Cells::Text(text) => text.codes[row] == MISSING,
            Cells::Array { arrays, column } => arrays.value(row, *column).is_nan(),
        }
    }
}
