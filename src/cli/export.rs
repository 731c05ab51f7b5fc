//! `gpulogit export`: a model for other systems.

use std::io::{IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use super::args::ExportArgs;
use super::exit::Outcome;
use super::output::{count, json};
use super::progress::Terminal;
use crate::error::{Error, Result};
use crate::export::{Language, export};
use crate::model::{Model, check_output, write_atomically};

pub(super) fn run(args: &ExportArgs, terminal: &Terminal) -> Result<Outcome> {
    let language = Language::from(args.to);
    let Some(path) = &args.output else {
        if args.common.json {
            return Err(Error::Usage("--json reports on the run: send the export elsewhere with --output FILE".into()));
        }
        if language.is_binary() && std::io::stdout().is_terminal() {
            return Err(Error::Usage("ONNX is no text for a terminal: name a file with --output FILE.onnx".into()));
        }
        let bytes = export(&Model::load(&args.model)?, language)?;
        write(&mut std::io::stdout().lock(), Path::new("standard output"), &bytes)?;
        return Ok(Outcome::Done);
    };
    check_output(path, std::slice::from_ref(&args.model))?;
    let bytes = export(&Model::load(&args.model)?, language)?;
    write_atomically(path, |out| write(out, path, &bytes))?;
    if args.common.json {
        json(&json!({ "output": path.display().to_string(), "bytes": bytes.len() }))?;
    } else {
        terminal.note(&format!("{} bytes written to {}", count(bytes.len() as u64), path.display()));
    }
    Ok(Outcome::Done)
}

fn write(out: &mut dyn Write, path: &Path, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| Error::write(path, e))
}
