//! `gpulogit train`: files in, model out.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::args::{SolverArg, TrainArgs};
use super::evaluate::{Scored, Scores, judge};
use super::exit::Outcome;
use super::output::{count, device_words, json, metrics_text, plural, shorten, some_names, stdout};
use super::progress::Terminal;
use crate::certificate::Status;
use crate::data::{Dataset, ReadOptions, RowStream, Rows, Training, files_of, load_training};
use crate::engine::DeviceKind;
use crate::engine::gpu::GpuOptions;
use crate::error::{Error, Result};
use crate::fit::{Fit, FitOptions, Init, fit};
use crate::model::{Checkpoint, Checkpoints, FitIdentity, Model, check_output};
use crate::monitor::Monitor;
use crate::solver::Solver;

/// Coefficients printed as text; the model file has all of them.
const MOST_PRINTED: usize = 100;

/// Redundant columns explained one by one.
const MOST_REDUNDANT: usize = 10;
/// Decrease of J by the host's own steps, as a part of it, above which the engine is suspected.
const MISTRUSTED: f64 = 1e-6;

pub(super) fn run(args: &TrainArgs, terminal: &Terminal) -> Result<Outcome> {
    let reading = Instant::now();
    let penalised = args.fit.l2 > 0.0;
    let data_options = args.data.options(penalised, args.holdout, args.fit.seed)?;
    let inputs = inputs(args)?;
    check_output(&args.model, &inputs)?;
    if let Some(path) = &args.checkpoint {
        check_output(path, &inputs)?;
        let name = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if name(path) == name(&args.model) {
            return Err(Error::Usage(format!(
                "--checkpoint {}: the model goes there; name another file",
                path.display()
            )));
        }
    }
    let training = load_training(&args.data.files, &data_options, terminal)?;
    training.summary.notes.iter().for_each(|note| terminal.warn(&format!("{note}.")));
    let test_options =
        ReadOptions { format: args.data.format.map(Into::into), with_target: true, ..ReadOptions::default() };
    let test = match &args.test {
        Some(path) => Some(open_test(args, path, &training, &test_options, terminal)?),
        None => None,
    };
    let packed = training.summary.pack_seconds;
    let read = reading.elapsed().as_secs_f64() - packed;

    let options = FitOptions {
        device: args.common.device(),
        solver: match args.fit.solver {
            SolverArg::Auto => None,
            SolverArg::Gd => Some(Solver::Gd),
            SolverArg::Lbfgs => Some(Solver::Lbfgs),
            SolverArg::Newton => Some(Solver::Newton),
        },
        l2: args.fit.l2,
        intercept: !args.fit.no_intercept,
        max_iterations: args.fit.max_iter,
        tolerance: args.fit.tol,
        learning_rate: args.fit.learning_rate,
        verify: !args.fit.no_verify,
        init: init(args, &training)?,
        device_memory: args.fit.device_memory,
    };
    let (checkpoints, options) = checkpoints(args, &training, options, terminal)?;
    let monitor: &dyn Monitor = checkpoints.as_ref().map_or(terminal, |checkpoints| checkpoints);
    let mut fit = fit(&training.train, &options, monitor)?;
    fit.seconds.read = read;
    fit.seconds.upload += packed;
    fit.seconds.total += read + packed;
    let model = fit.model(&training.train, &training.design, &options, args.fit.seed);
    model.save(&args.model)?;
    if let Some(checkpoints) = checkpoints.filter(|_| fit.status != Status::Interrupted) {
        checkpoints.remove()?;
    }
    terminal.clear();
    warn(&fit, &training.train, args.fit.tol, terminal);
    if let Some(why) = unchecked(&fit, penalised) {
        terminal.warn(&format!("whether the classes are separated was not checked: {why}."));
    }

    if !args.common.json {
        stdout(&text(&fit, &training, &model, &args.model))?;
    }
    // What goes wrong now must not take the report of the fit along.
    let gpu = GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() };
    let judged = judge(Scores::new(&model, &options.device, &gpu, 0.5)?, training.holdout.as_ref(), test, terminal);
    if args.common.json {
        let scored = judged.as_ref().ok().and_then(Option::as_ref).map(|(_, scored)| scored);
        json(&report(&fit, &training, scored, &args.model))?;
    }
    if let (Some((title, scored)), false) = (judged?, args.common.json) {
        stdout(&format!("\n{}", metrics_text(title, &scored.metrics, &model.classes)))?;
    }
    Ok(match fit.status {
        Status::Converged => Outcome::Done,
        Status::Separated if args.strict => Outcome::NotGood,
        Status::Separated => Outcome::Done,
        Status::MaxIterations | Status::Stalled => Outcome::NotGood,
        Status::Interrupted => Outcome::Interrupted,
    })
}

/// Where checkpoints go, and the options with the start that one of them gives.
fn checkpoints<'a>(
    args: &TrainArgs,
    training: &Training,
    mut options: FitOptions,
    terminal: &'a Terminal,
) -> Result<(Option<Checkpoints<'a>>, FitOptions)> {
    let Some(path) = &args.checkpoint else { return Ok((None, options)) };
    let fit = FitIdentity {
        rows: training.train.rows,
        features: training.train.features.clone(),
        classes: training.design.target.classes.clone(),
        l2: options.l2,
        intercept: options.intercept,
    };
    let mut before = 0;
    match if args.resume { Checkpoint::load(path, &fit)? } else { None } {
        Some(found) => {
            terminal.note(&format!(
                "going on from {} after {}, J = {}",
                path.display(),
                plural(found.iterations as u64, "iteration"),
                short(found.objective)
            ));
            before = found.iterations;
            options.init = Init::Coefficients(found.coefficients, found.beta0);
        }
        None if args.resume => terminal.note(&format!("there is no {} yet: starting anew", path.display())),
        None => {}
    }
    Ok((Some(Checkpoints::new(path, fit, before, terminal)), options))
}

/// Every file that is read.
fn inputs(args: &TrainArgs) -> Result<Vec<PathBuf>> {
    let data = &args.data;
    let mut inputs = files_of(&data.files)?;
    inputs.extend([&data.target_file, &data.weight_file, &args.test].into_iter().flatten().cloned());
    // A start that is no file does no harm here.
    inputs.push(PathBuf::from(&args.fit.init));
    Ok(inputs)
}

/// Opens the rows to judge the model on, and reads the first: what is wrong with them should show before the fit.
fn open_test<'a>(
    args: &TrainArgs,
    path: &Path,
    training: &'a Training,
    options: &'a ReadOptions,
    terminal: &Terminal,
) -> Result<(RowStream<'a>, Option<Rows>)> {
    if path.as_os_str() == "-" && args.data.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Error::Usage("standard input (-) can be read but once: give the test rows as a file".into()));
    }
    if args.data.target_file.is_some() {
        return Err(Error::Usage("--test goes with files that hold their target; for .npy use --holdout".into()));
    }
    let mut stream = RowStream::open(&[path.to_path_buf()], &training.design, options)?;
    let first = stream.next(terminal)?;
    Ok((stream, first))
}

fn init(args: &TrainArgs, training: &Training) -> Result<Init> {
    match args.fit.init.as_str() {
        "zeros" => Ok(Init::Zeros),
        "random" => Ok(Init::Random { seed: args.fit.seed }),
        path => {
            let model = Model::load(Path::new(path)).map_err(|error| match error {
                Error::Io { source, .. } => {
                    Error::Usage(format!("--init {path} is neither zeros, random nor a model file ({source})"))
                }
                other => other,
            })?;
            let names = model.coefficients.iter().map(|c| &c.name);
            if !names.eq(&training.train.features) {
                return Err(Error::Usage(format!(
                    "--init {path}: its features are not those of this data, in this order (--encoding auto depends on --l2)"
                )));
            }
            Ok(Init::Coefficients(model.coefficients.iter().map(|c| c.value).collect(), model.intercept))
        }
    }
}

/// What a person must know about the answer.
fn warn(fit: &Fit, data: &Dataset, tolerance: f64, terminal: &Terminal) {
    if let Some(separation) = &fit.separation {
        let names = some_names(separation.columns.iter().map(|&j| data.features[j].as_str()), 8);
        let kind = if separation.complete { "completely" } else { "quasi-completely" };
        terminal.warn(&format!(
            "the classes are {kind} separated ({} of {} rows), so no maximum-likelihood estimate exists: the \
             coefficients of {names} grow without end. Predictions are usable, those coefficients are not; add a \
             penalty (--l2 1) for finite ones.",
            count(separation.rows as u64),
            count(data.rows as u64),
        ));
    }
    if !fit.redundant.is_empty() {
        let mut text = format!(
            "redundant columns: {}. Of all coefficients that predict the same, the shortest are returned; those of constant \
             columns are 0.",
            fit.redundant.len()
        );
        for (name, parts) in fit.redundant.iter().take(MOST_REDUNDANT) {
            let what = match parts.as_slice() {
                [] => "constant".to_owned(),
                parts => format!("a combination of {}", some_names(parts.iter().map(|(name, _)| name.as_str()), 4)),
            };
            text += &format!("\n  {}: {what}", shorten(name, 60));
        }
        if fit.redundant.len() > MOST_REDUNDANT {
            let rest = &fit.redundant[MOST_REDUNDANT..];
            text += &format!("\n  and {}", some_names(rest.iter().map(|(name, _)| name.as_str()), 20));
        }
        terminal.warn(&text);
    }
    if let Some(c) = &fit.certificate {
        let scale = fit.objective.max(data.weight_sum / 1000.0);
        let expected = fit.device.kind == DeviceKind::Cpu || tolerance > 1e-6 || fit.separation.is_some();
        if !expected && c.polish_steps > 0 && c.polish_decrease > MISTRUSTED * scale {
            terminal.warn(&format!(
                "J at the point that {} ended at was {:.1e} times too large, more than its arithmetic explains; the \
                 host went on in f64, and what is returned holds. Run `gpulogit validate --device {0}`.",
                fit.device.id,
                c.polish_decrease / scale,
            ));
        }
    }
    match fit.status {
        Status::MaxIterations => terminal.warn(&format!(
            "not converged: the {} allowed are used up, largest slope {:.1e}; raise --max-iter{}.",
            plural(fit.iterations as u64, "iteration"),
            fit.gradient_inf_norm,
            if fit.solver == Solver::Gd { ", or leave --solver to auto" } else { "" },
        )),
        Status::Stalled if fit.stopped_by == "diverged" => {
            terminal.warn("not converged: J grew without bound; lower --learning-rate, or leave it out.");
        }
        Status::Stalled => terminal.warn(&format!(
            "not converged: no step lowers J any more in this arithmetic, largest slope {:.1e}; a larger --tol accepts \
             that, a penalty (--l2) makes the problem easier.",
            fit.gradient_inf_norm
        )),
        Status::Interrupted => {
            terminal.warn("interrupted: the model holds the best point so far, which is not the optimum.");
        }
        Status::Converged | Status::Separated => {}
    }
}

/// Why separation was not looked for, where it was not although there is no penalty.
fn unchecked(fit: &Fit, penalised: bool) -> Option<&'static str> {
    if penalised {
        return None;
    }
    let Some(certificate) = &fit.certificate else {
        return Some("that is part of the verification, which --no-verify leaves out");
    };
    // What has an optimum is not separated.
    if fit.rank.is_none() && certificate.standard_error_gap.is_none() {
        Some("the data has too many columns for it; with --l2 the question does not arise")
    } else {
        None
    }
}

/// What `--json` prints.
fn report(fit: &Fit, training: &Training, held_out: Option<&Scored>, path: &Path) -> serde_json::Value {
    json!({
        "rows": training.train.rows,
        "features": training.train.features.len(),
        "ranks": 1,
        "weight_sum": training.train.weight_sum,
        "classes": training.design.target.classes,
        "rows_read": training.summary.rows,
        "rows_dropped": training.summary.dropped_rows,
        "cells_filled": training.summary.filled_cells,
        "device": fit.device,
        "solver": fit.solver,
        "samples": fit.samples,
        "status": fit.status,
        "stopped_by": fit.stopped_by,
        "iterations": fit.iterations,
        "passes": fit.passes,
        "objective": fit.objective,
        "gradient_inf_norm": fit.gradient_inf_norm,
        "gradient_inf_norm_raw": fit.gradient_inf_norm_raw,
        "log_loss": fit.log_loss,
        "intercept": fit.intercept,
        "column_rank": fit.rank,
        "redundant": fit.redundant.iter().map(|(name, parts)| json!({
            "name": name,
            "combination_of": parts.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "separation": fit.separation.as_ref().map(|s| json!({
            "complete": s.complete,
            "rows": s.rows,
            "columns": s.columns.iter().map(|&j| &training.train.features[j]).collect::<Vec<_>>(),
        })),
        "certificate": fit.certificate,
        "storage_rounding": fit.rounding,
        "holdout": held_out.map(|scored| &scored.metrics),
        "model": path.display().to_string(),
        "seconds": fit.seconds,
        "bytes": {
            "host_peak": host_peak(),
            "device_peak": fit.cost.device_peak,
            "device_read": fit.cost.bytes_read,
        },
        "kernels": fit.cost.kernels.iter().map(|k| json!({
            "name": k.name, "calls": k.calls, "seconds": k.seconds,
        })).collect::<Vec<_>>(),
    })
}

/// Most memory the process has held, in bytes, where the system tells (Linux: VmHWM).
fn host_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

fn text(fit: &Fit, training: &Training, model: &Model, path: &Path) -> String {
    let data = &training.train;
    let [negative, positive] = &training.design.target.classes;
    let target = training.design.target.name.as_deref().unwrap_or("the target file");
    let mut text = format!("device     {}\n", device_words(&fit.device));
    text += &format!(
        "data       {} × {}; {target}: {positive} is modelled as 1, {negative} as 0\n",
        plural(data.rows as u64, "row"),
        plural(data.features.len() as u64, "feature"),
    );
    if fit.rounding > 0.0 {
        text += &format!(
            "stored     in f32, standardised: the largest rounding is {:.1e} standard deviations\n",
            fit.rounding
        );
    }
    let penalty =
        if model.objective.l2 > 0.0 { format!(", l2 = {}", short(model.objective.l2)) } else { String::new() };
    if !fit.samples.is_empty() {
        let rows: Vec<String> = fit.samples.iter().map(|sample| count(sample.rows as u64)).collect();
        let iterations: Vec<String> = fit.samples.iter().map(|sample| sample.iterations.to_string()).collect();
        text += &format!(
            "samples    {} rows fitted first, on the host in f64: {} iterations\n",
            rows.join(", then "),
            iterations.join(" and "),
        );
    }
    text += &format!(
        "solver     {}{penalty}: {}, {} of X in {:.3} s\n",
        fit.solver.name(),
        plural(fit.iterations as u64, "iteration"),
        plural(fit.passes, "read"),
        fit.seconds.solve + fit.seconds.verify,
    );
    let status = fit.status.name();
    text += &match fit.stopped_by {
        "gradient" | "predicted-decrease" | "no-progress" | "diverged" => {
            format!("status     {status} (by {})\n", fit.stopped_by.replace('-', " "))
        }
        _ => format!("status     {status}\n"),
    };
    text += &match &fit.certificate {
        Some(c) => {
            let steps = match c.polish_steps {
                0 => String::new(),
                steps => format!(" after {steps} f64 step{}", if steps == 1 { "" } else { "s" }),
            };
            let gaps = match (c.objective_gap, c.coefficient_gap) {
                (Some(gap), Some(distance)) => format!(
                    "\nproved     J is within {gap:.1e} of its minimum, β within {distance:.1e} of the optimum's{}",
                    match c.standard_error_gap {
                        Some(errors) if model.objective.l2 == 0.0 => {
                            format!(", each within {errors:.1e} standard errors")
                        }
                        _ => String::new(),
                    }
                ),
                _ => String::new(),
            };
            format!("certified  largest slope {:.1e} of S·sd, re-computed in f64{steps}{gaps}\n", c.gradient_inf_norm)
        }
        None => format!("slope      {:.1e} of S·sd as the engine saw it; not verified\n", fit.gradient_inf_norm),
    };
    text += &format!("log loss   {:.9} (J = {})\n\ncoefficients\n", fit.log_loss, short(fit.objective));
    let shown = model.coefficients.iter().take(MOST_PRINTED);
    let names: Vec<String> = shown.clone().map(|c| shorten(&c.name, 40)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("(intercept)".len());
    if model.objective.intercept {
        text += &format!("  {:width$}  {:>18}\n", "(intercept)", number(model.intercept));
    }
    for (name, coefficient) in names.iter().zip(shown) {
        text += &format!("  {name:width$}  {:>18}\n", number(coefficient.value));
    }
    if model.coefficients.len() > MOST_PRINTED {
        text += &format!("  … {} more in the model\n", model.coefficients.len() - MOST_PRINTED);
    }
    text + &format!("\nmodel      {}\n", path.display())
}

/// A number in as many digits as it has, with an exponent where it would be long.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-5..1e15).contains(&value.abs()) { format!("{value}") } else { format!("{value:e}") }
}

/// A coefficient with ten digits.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e6).contains(&magnitude) {
        let decimals = 9 - magnitude.max(1e-4).log10().floor() as i32;
        format!("{value:.*}", decimals.clamp(0, 10) as usize)
    } else {
        format!("{value:.9e}")
    }
}
