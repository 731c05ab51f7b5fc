//! What lies beside the matrices of arrays, targets and weights in files of their own: further columns of the batches.

use std::path::Path;

use super::files::Files;
use super::input::{Batch, Cells, Kind, Text, error_at, npy};
use super::table::{Use, Wanted, not_a_weight};
use crate::error::Result;

/// What is wanted of files beside the matrices.
pub(super) fn wanted(
    target: Option<&Path>,
    weight: Option<&Path>,
    fold: Option<&Path>,
    cluster: Option<&Path>,
) -> impl Iterator<Item = Wanted> {
    let of = |name, kind, purpose, asker, path: &Path| Wanted {
        file: Some(path.to_path_buf()),
        ..Wanted::new(name, Some(kind), purpose, asker)
    };
    let target = target.map(|path| of("target", Kind::Text, Use::Target, "--target-file", path));
    let weight = weight.map(|path| of("weight", Kind::Weight, Use::Weight, "--weight-file", path));
    let fold = fold.map(|path| of("fold", Kind::Text, Use::Group, "--fold", path));
    let cluster = cluster.map(|path| of("cluster", Kind::Text, Use::Group, "--cluster", path));
    target.into_iter().chain(weight).chain(fold).chain(cluster)
}

/// The files beside the matrices, read as these are.
pub(super) struct Beside {
    vectors: Vec<(Wanted, npy::Vector)>,
    /// Rows of the matrices before the first that is read here, and before the first row that is.
    pub(super) rows_before: u64,
    pub(super) first_row: u64,
}

impl Beside {
    /// Opens the files among what is `wanted`.
    ///
    /// # Errors
    /// As [`npy::Vector::open`].
    pub(super) fn open<'a>(files: &Files, wanted: impl Iterator<Item = &'a Wanted>) -> Result<Self> {
        let mut beside = Beside { vectors: Vec::new(), rows_before: 0, first_row: 0 };
        let with_files: Vec<_> = wanted.filter_map(|wanted| Some((wanted.clone(), wanted.file.as_ref()?))).collect();
        if with_files.is_empty() {
            return Ok(beside);
        }
        let (mut rows, mut first) = (0, 0);
        for (file, source) in files.sources.iter().enumerate() {
            if file == files.here.start && !files.here.is_empty() {
                first = rows + npy::rows(source)?.start;
                (beside.rows_before, beside.first_row) = (rows as u64, first as u64);
            }
            rows += npy::shape(source)?.0;
        }
        for (wanted, path) in with_files {
            let vector = npy::Vector::open(path, rows)?.starting_at(first);
            beside.vectors.push((wanted, vector));
        }
        Ok(beside)
    }

    /// Appends the columns that go with the rows of `batch`, which follow those of the call before.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`], and [`crate::error::Error::Data`] about a value that is infinite or cannot be a weight.
    pub(super) fn append(&mut self, batch: &mut Batch) -> Result<()> {
        for (wanted, vector) in &mut self.vectors {
            let values = next(wanted, vector, batch.rows)?;
            batch.columns.push(match wanted.purpose {
                Use::Target | Use::Group => Cells::Text(npy::labels(&values)),
                _ => Cells::Number(values),
            });
        }
        Ok(())
    }

    /// All labels and, where there are any, weights and groups.
    ///
    /// # Errors
    /// As [`Beside::append`].
    pub(super) fn whole(&mut self, rows: usize) -> Result<(Text, Option<Vec<f64>>, Option<Text>)> {
        let (mut labels, mut weights, mut groups) = (Text::default(), None, None);
        for (wanted, vector) in &mut self.vectors {
            let values = next(wanted, vector, rows)?;
            match wanted.purpose {
                Use::Target => labels = npy::labels(&values),
                Use::Group => groups = Some(npy::labels(&values)),
                _ => weights = Some(values),
            }
        }
        Ok((labels, weights, groups))
    }

    /// Holds the files to be as they were found.
    ///
    /// # Errors
    /// [`crate::error::Error::Data`] when one of them was written to since.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.vectors.iter().try_for_each(|(_, vector)| vector.source().check_unchanged())
    }
}

/// The next values of a vector.
fn next(wanted: &Wanted, vector: &mut npy::Vector, rows: usize) -> Result<Vec<f64>> {
    let first = vector.row();
    let values = vector.next(rows)?;
    let is_bad = |x: &f64| x.is_infinite() || (wanted.purpose == Use::Weight && *x < 0.0);
    let Some(row) = values.iter().position(is_bad) else { return Ok(values) };
    let x = values[row];
    let message =
        if x.is_infinite() { format!("'{x}' is infinite or too large for a number") } else { not_a_weight(x) };
    Err(error_at(&vector.source().path, Some((first + row) as u64 + 1), Some(&wanted.name), message))
}
