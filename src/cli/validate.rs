//! `gpulogit validate`: a table of every engine's errors and their bounds.

use super::args::ValidateArgs;
use super::devices::every_engine;
use super::exit::Outcome;
use super::output::{device_words, json, stdout};
use super::progress::Terminal;
use crate::data::load_training;
use crate::engine::DeviceRequest;
use crate::engine::gpu::GpuOptions;
use crate::error::{Error, Result};
use crate::validate::{Validation, awkward, validate};

pub(super) fn run(args: &ValidateArgs, terminal: &Terminal) -> Result<Outcome> {
    let cases = if args.data.files.is_empty() {
        if args.data.target.is_some() || args.data.target_file.is_some() {
            return Err(Error::Usage("name the files of rows that the target belongs to, or leave it out".into()));
        }
        awkward()?
    } else {
        // Penalised, as the fit that is compared.
        vec![load_training(&args.data.files, &args.data.options(true, None, 0)?, terminal)?.train]
    };
    let devices = match args.common.device() {
        DeviceRequest::Auto => every_engine(terminal),
        one => vec![one],
    };
    let validation = validate(&devices, &cases, &GpuOptions::default(), terminal)?;
    terminal.clear();
    if args.common.json {
        json(&validation)?;
    } else {
        stdout(&table(&validation))?;
    }
    Ok(if validation.ok { Outcome::Done } else { Outcome::NotGood })
}

fn table(validation: &Validation) -> String {
    let mut text = String::from("engines compared with the f64 reference\n");
    for device in &validation.adapter {
        text += &format!("  {}\n", device_words(device));
    }
    let width = validation.kernels.iter().map(|check| check.engine.len()).max().unwrap_or(0).max("engine".len());
    let names = validation.kernels.iter().map(|check| check.name.len()).max().unwrap_or(0).max("kernel".len());
    text += &format!(
        "\n  {:width$}  {:names$}  {:>5}  {:>11}  {:>11}\n",
        "engine", "kernel", "cases", "worst error", "its bound"
    );
    for check in &validation.kernels {
        text += &format!(
            "  {:width$}  {:names$}  {:>5}  {:>11.2e}  {:>11.2e}  {}\n",
            check.engine,
            check.name,
            check.cases,
            check.worst_error,
            check.bound,
            if check.ok { "ok" } else { "FAILED" }
        );
    }
    let failed = validation.kernels.iter().filter(|check| !check.ok).count();
    text + &match failed {
        0 => format!("\nall {} checks passed\n", validation.kernels.len()),
        _ => format!("\n{failed} of {} checks FAILED\n", validation.kernels.len()),
    }
}
