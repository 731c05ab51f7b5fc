//! A model as code or as a document of another system, which predicts what `gpulogit predict` does: the same encoding of levels, the
//! same fills or gaps for what is missing or unseen, offsets, labels and probabilities. What a language cannot do is an error.

mod c;
mod json_schema;
mod onnx;
mod pmml;
mod protobuf;
mod python;
mod scoring;
mod sql;

use crate::error::Result;
use crate::model::Model;
use scoring::Scoring;

/// What a model can be exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// An ONNX graph in double precision (opset 18, ai.onnx.ml 4).
    Onnx,
    /// A PMML 4.4 document.
    Pmml,
    /// One SQL query over a table of rows.
    Sql,
    /// One C99 file to include.
    C,
    /// One Python module that needs the standard library only.
    Python,
    /// The JSON Schema of the rows that the Python module takes, and of what it returns.
    JsonSchema,
}

impl Language {
    /// Whether what is written is no text.
    pub fn is_binary(self) -> bool {
        self == Language::Onnx
    }
}

/// The model in that language: bytes of a file.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) where the language cannot do what the model needs.
pub fn export(model: &Model, language: Language) -> Result<Vec<u8>> {
    let scoring = Scoring::new(model)?;
    let target = &model.design.target;
    Ok(match language {
        Language::Onnx => onnx::write(&scoring)?,
        Language::Pmml => pmml::write(&scoring, target.name.as_deref().filter(|_| target.cut.is_none()))?.into_bytes(),
        Language::Sql => sql::write(&scoring)?.into_bytes(),
        Language::C => c::write(&scoring)?.into_bytes(),
        Language::Python => python::write(&scoring, model.design.header).into_bytes(),
        Language::JsonSchema => json_schema::write(&scoring)?.into_bytes(),
    })
}
