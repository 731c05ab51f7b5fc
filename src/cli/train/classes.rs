//! `train` of more than two classes.

use std::path::PathBuf;

use clap::ArgMatches;
use serde_json::json;

use super::super::args::{L2Arg, MultiArg, SolverArg, TrainArgs};
use super::super::evaluate::{Scored, Scores, Unseen, judge};
use super::super::exit::Outcome;
use super::super::metrics::text as metrics_text;
use super::super::output::{count, device_words, json, plural, ranks_text, short, shorten, stdout};
use super::super::progress::Terminal;
use super::diagnostics::Diagnostics;
use super::page::{Story, Work, certificate_of_classes, coefficients_of_classes};
use super::replay::{Compared, Replay, add_comparison, recorded_arguments};
use super::report::{
    MOST_PRINTED, bytes_json, kernels_json, model_text, number, penalty_text, redundant_json, redundant_text,
    warn_of_failure, warn_of_interruption, warn_of_stall,
};
use super::{outcome, save};
use crate::certificate::Status;
use crate::data::Training;
use crate::engine::gpu::GpuOptions;
use crate::error::{Error, Result};
use crate::fit::{ClassFit, FitOptions, Init, fit_one_vs_rest, fit_softmax};
use crate::model::{Model, Multi};
use crate::report::History;

/// Fits `training`, read of `inputs`, whose reading took `read` seconds and packing `packed`, and judges the model on the rows that
/// are `unseen` or held out.
pub(super) fn run(
    args: &TrainArgs,
    (matches, inputs, replay): (&ArgMatches, &[PathBuf], Option<&Replay>),
    training: &Training,
    diagnostics: Option<&Diagnostics>,
    (read, packed): (f64, f64),
    unseen: Option<Unseen<'_>>,
    terminal: &Terminal,
) -> Result<Outcome> {
    check(args, training)?;
    args.judging.check_for(training.train.classes)?;
    let multi = match args.fit.multi {
        Some(MultiArg::Ovr) => Multi::Ovr,
        Some(MultiArg::Softmax) | None => Multi::Softmax,
    };
    let L2Arg::Is(l2) = args.fit.l2 else { return Err(for_two("--l2 auto", training)) };
    let init = match args.fit.init.as_str() {
        "zeros" => Init::Zeros,
        "random" => Init::Random { seed: args.fit.optimum.seed },
        path => return Err(for_two(&format!("--init {path}"), training)),
    };
    let options = FitOptions { init, l2, ..args.fit.optimum.options(args.common.device(), training)? };
    let data = &training.train;
    let history = History::new(terminal);
    let mut fit = match multi {
        Multi::Softmax => fit_softmax(data, &options, &history)?,
        Multi::Ovr => fit_one_vs_rest(data, &options, &history)?,
    };
    fit.seconds.add_reading(read, packed);
    let mut model = fit.model(data, &training.design, &options, multi, args.fit.optimum.seed);
    model.training.arguments = recorded_arguments(matches);
    let saved = save(&model, args.model(), terminal);
    terminal.clear();
    warn(&fit, training, terminal);
    let compared = replay.map(|replay| replay.compared(&model, terminal));
    if !args.common.json {
        let about_data = diagnostics.map_or(String::new(), |diagnostics| diagnostics.text(training));
        stdout(&(about_data + &text(&fit, training, &model, args)))?;
        compared.iter().try_for_each(Compared::print)?;
    }
    // What goes wrong now must not take the report of the fit along.
    let gpu = GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() };
    let scores = Scores::new(&model, &options.device, &gpu, 0.5, &args.judging)?;
    let judged = judge(scores, unseen, training.holdout.as_ref(), terminal);
    if args.common.json {
        let scored = judged.as_ref().ok().and_then(Option::as_ref).map(|(_, scored)| scored);
        let mut report = report(&fit, training, &model, scored, args);
        if let Some(traffic) = data.traffic() {
            report["communication"] = json!(traffic);
        }
        if let Some(diagnostics) = diagnostics {
            report["diagnostics"] = diagnostics.json(training);
        }
        add_comparison(&mut report, compared.as_ref());
        json(&report)?;
    }
    let judged = judged?;
    if let (Some((title, scored)), false) = (&judged, args.common.json) {
        stdout(&format!("\n{}", metrics_text(title, scored, &model.classes, &args.judging)))?;
    }
    if let Some(path) = &args.page.report {
        let story = Story {
            args,
            matches,
            inputs,
            training,
            model: &model,
            diagnostics,
            work: Work::of_classes(&fit, history.runs()),
            chosen: None,
            certificate: certificate_of_classes(&fit, args.fit.optimum.tol, options.verify),
            coefficients: coefficients_of_classes(&model, data),
        };
        story.write(path, judged.as_ref(), &gpu, terminal)?;
    }
    saved?;
    Ok(outcome(fit.status, args, compared.as_ref()))
}

/// That `option` is of no use here.
fn for_two(option: &str, training: &Training) -> Error {
    let classes = &training.design.target;
    Error::Usage(format!(
        "{option} is for two classes, and the target has {} ({}); leave it out",
        classes.classes.len(),
        classes.shown()
    ))
}

/// Holds the arguments to be those of a fit of more than two classes.
fn check(args: &TrainArgs, training: &Training) -> Result<()> {
    let given = [
        ("--l1", args.fit.l1 > 0.0),
        ("--bootstrap", args.bootstrap.is_some()),
        ("--firth", args.fit.firth),
        ("--inference", args.inference.inference),
        ("--checkpoint", args.checkpoint.is_some()),
        ("--learning-rate", args.fit.learning_rate.is_some()),
        ("--solver gd", args.fit.solver == SolverArg::Gd),
        ("--solver lbfgs", args.fit.solver == SolverArg::Lbfgs),
        ("--offset", args.data.offset.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(for_two(option, training)),
        None => Ok(()),
    }
}

fn warn(fit: &ClassFit, training: &Training, terminal: &Terminal) {
    let classes = &training.design.target.classes;
    if fit.separated.len() == classes.len() {
        terminal.warn(
            "the classes are separated from each other, so no maximum-likelihood estimate exists: some coefficients grow without \
             end. Predictions are usable, coefficients are not; add a penalty (--l2 1) for finite ones.",
        );
    } else if !fit.separated.is_empty() {
        let names: Vec<String> = fit.separated.iter().take(8).map(|k| shorten(&classes[*k], 40)).collect();
        terminal.warn(&format!(
            "{} separated from the rest, so no maximum-likelihood estimate exists there: {}. Add a penalty (--l2 1) for finite \
             coefficients.",
            if fit.separated.len() == 1 { "a class is" } else { "classes are" },
            names.join(", "),
        ));
    }
    if !fit.redundant.is_empty() {
        terminal.warn(&redundant_text(&fit.redundant));
    }
    warn_of_failure(&fit.cost, terminal);
    match fit.status {
        Status::MaxIterations => terminal.warn(&format!(
            "not converged: the {} allowed are used up, largest slope {:.1e}; raise --max-iter.",
            plural(fit.iterations as u64, "iteration"),
            fit.gradient_inf_norm,
        )),
        Status::Stalled => warn_of_stall(fit.gradient_inf_norm, terminal),
        Status::Interrupted => warn_of_interruption(terminal),
        Status::Converged | Status::Separated => {}
    }
}

/// What `--json` prints.
fn report(
    fit: &ClassFit,
    training: &Training,
    model: &Model,
    held_out: Option<&Scored>,
    args: &TrainArgs,
) -> serde_json::Value {
    let classes = &training.design.target.classes;
    let mut report = json!({
        "rows": training.train.rows,
        "features": training.train.features.len(),
        "ranks": training.train.ranks(),
        "weight_sum": training.train.weight_sum,
        "classes": classes,
        "class_rows": training.summary.class_counts,
        "multi": model.objective.multi,
        "rows_read": training.summary.rows,
        "rows_dropped": training.summary.dropped_rows,
        "cells_filled": training.summary.filled_cells,
        "device": fit.device,
        "device_failure": fit.cost.failure,
        "solver": model.training.solver,
        "l2": model.objective.l2,
        "status": fit.status,
        "stopped_by": fit.stopped_by,
        "iterations": fit.iterations,
        "products": fit.products,
        "passes": fit.passes,
        "objective": fit.objective,
        "gradient_inf_norm": fit.gradient_inf_norm,
        "gradient_inf_norm_raw": fit.gradient_inf_norm_raw,
        "log_loss": fit.log_loss,
        "intercept": fit.intercepts,
        "column_rank": fit.rank,
        "redundant": redundant_json(&fit.redundant),
        "separated": fit.separated.iter().map(|k| &classes[*k]).collect::<Vec<_>>(),
        "objective_gap": fit.bounds.map(|bounds| bounds.0),
        "coefficient_gap": fit.bounds.map(|bounds| bounds.1),
        "storage_rounding": fit.rounding,
        "holdout": held_out.map(|scored| &scored.metrics),
        "holdout_groups": held_out.and_then(Scored::groups_json),
        "model": args.model().map(|path| path.display().to_string()),
        "seconds": fit.seconds,
        "bytes": bytes_json(&fit.cost),
        "kernels": kernels_json(&fit.cost),
    });
    if !model.objective.penalty_factors.is_empty() {
        report["penalty_factors"] = json!(model.objective.penalty_factors);
    }
    report
}

fn text(fit: &ClassFit, training: &Training, model: &Model, args: &TrainArgs) -> String {
    let data = &training.train;
    let target = training.design.target.name.as_deref().unwrap_or("the target file");
    let classes = &model.classes;
    let mut text = format!("device     {}\n", device_words(&fit.device));
    text += &format!(
        "data       {} × {}{}; {target}: {} classes ({})\n",
        plural(data.rows as u64, "row"),
        plural(data.features.len() as u64, "feature"),
        ranks_text(data.ranks()),
        classes.len(),
        training.design.target.shown(),
    );
    if fit.rounding > 0.0 {
        text += &format!(
            "stored     in f32, standardised: the largest rounding is {:.1e} standard deviations\n",
            fit.rounding
        );
    }
    let penalty = penalty_text(&model.objective);
    let products = if fit.products > 0 {
        format!(", {} products with the Hessian", count(fit.products as u64))
    } else {
        String::new()
    };
    text += &format!(
        "solver     {}, newton{penalty}: {}{products}, {} of X in {:.3} s\n",
        model.objective.multi.map_or("", Multi::name),
        plural(fit.iterations as u64, "iteration"),
        plural(fit.passes, "read"),
        fit.seconds.solve + fit.seconds.verify,
    );
    text += &format!("status     {} (by {})\n", fit.status.name(), fit.stopped_by.replace('-', " "));
    let certified =
        if args.fit.optimum.no_verify { "as the engine saw it; not verified" } else { "re-computed in f64" };
    text += &format!("certified  largest slope {:.1e} of S·sd, {certified}\n", fit.gradient_inf_norm);
    if let Some((gap, distance)) = fit.bounds {
        text += &format!("proved     J is within {gap:.1e} of its minimum, β within {distance:.1e} of the optimum's\n");
    }
    let sum = if model.objective.multi == Some(Multi::Ovr) { ", both summed over the classes" } else { "" };
    text += &format!("log loss   {:.9} (J = {}{sum})\n", fit.log_loss, short(fit.objective));
    text += "\ncoefficients\n";
    let names: Vec<String> = data.features.iter().map(|name| shorten(name, 30)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(11);
    let mut printed = 0;
    for (k, class) in classes.iter().enumerate() {
        text += &format!("  {}\n", shorten(class, 40));
        let intercept = model.objective.intercept.then_some(("(intercept)", fit.intercepts[k]));
        let features = names.iter().map(String::as_str).zip(fit.coefficients[k].iter().copied());
        for (name, value) in intercept.into_iter().chain(features) {
            text += &format!("    {name:width$}  {:>18}\n", number(value));
            printed += 1;
        }
        if printed >= MOST_PRINTED && k + 1 < classes.len() {
            text += &format!("  … those of {} more classes in the model\n", classes.len() - k - 1);
            break;
        }
    }
    text + &model_text(args.model())
}
