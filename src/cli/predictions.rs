//! Predictions written row by row, as CSV or as Parquet: the columns kept, then the probability (one for each class, where there
//! are more than two) and the label.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};
use crate::model::LABEL;

/// Where predictions go.
pub(super) enum Predictions<'a> {
    /// With so many probabilities a row.
    Csv(csv::Writer<&'a mut (dyn Write + Send)>, usize, &'a Path),
    Parquet(ArrowWriter<&'a mut (dyn Write + Send)>, Arc<Schema>, &'a Path),
}

/// Probabilities and the label; none where a row cannot be predicted.
pub(super) type Prediction<'a> = Option<(Vec<f64>, &'a str)>;

impl<'a> Predictions<'a> {
    /// To `out`, which is `path`: Parquet where that ends so, else CSV. `kept` are the names of the columns that are carried
    /// through, `columns` those of the predictions.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn new(
        out: &'a mut (dyn Write + Send),
        path: &'a Path,
        kept: &[String],
        columns: &[String],
    ) -> Result<Self> {
        if !is_parquet(path) {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(kept.iter().chain(columns)).map_err(|e| csv_error(path, e))?;
            return Ok(Predictions::Csv(csv, columns.len() - 1, path));
        }
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let mut fields: Vec<Field> = kept.iter().map(|name| text(name)).collect();
        for column in columns {
            fields.push(if column == LABEL { text(column) } else { Field::new(column, DataType::Float64, true) });
        }
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties));
        Ok(Predictions::Parquet(writer.map_err(|e| failed(path, e))?, schema, path))
    }

    /// Writes some rows: what is kept of them, column by column, and their predictions.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&mut self, kept: &[(String, Vec<String>)], predictions: &[Prediction<'_>]) -> Result<()> {
        match self {
            Predictions::Csv(csv, probabilities, path) => {
                for (row, prediction) in predictions.iter().enumerate() {
                    let cells = kept.iter().map(|(_, values)| values[row].as_str());
                    let (ys, label): (Vec<String>, &str) = match prediction {
                        Some((ys, label)) => (ys.iter().map(|y| format!("{y}")).collect(), label),
                        None => (vec![String::new(); *probabilities], ""),
                    };
                    let predicted = ys.iter().map(String::as_str).chain([label]);
                    csv.write_record(cells.chain(predicted)).map_err(|e| csv_error(path, e))?;
                }
                Ok(())
            }
            Predictions::Parquet(writer, schema, path) => {
                let mut columns: Vec<ArrayRef> = Vec::new();
                for (_, values) in kept {
                    columns.push(Arc::new(StringArray::from_iter_values(values)));
                }
                for k in 0..schema.fields().len() - kept.len() - 1 {
                    let of_class = predictions.iter().map(|p| p.as_ref().map(|(ys, _)| ys[k]));
                    columns.push(Arc::new(Float64Array::from_iter(of_class)));
                }
                let labels = predictions.iter().map(|p| p.as_ref().map(|(_, label)| *label));
                columns.push(Arc::new(StringArray::from_iter(labels)));
                let batch = RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| failed(path, e))?;
                writer.write(&batch).map_err(|e| failed(path, e))
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Predictions::Csv(mut csv, _, path) => csv.flush().map_err(|e| Error::write(path, e)),
            Predictions::Parquet(writer, _, path) => writer.close().map(drop).map_err(|e| failed(path, e)),
        }
    }
}

/// Whether predictions for `path` are written as Parquet.
pub(super) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    match error.into_kind() {
        // Unwrapped, so that a pipe that was closed is known as one.
        csv::ErrorKind::Io(error) => Error::write(path, error),
        other => Error::write(path, std::io::Error::other(format!("{other:?}"))),
    }
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::write(path, std::io::Error::other(error))
}
