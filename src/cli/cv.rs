//! `gpulogit cv`: which penalty predicts rows best that it has not seen.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::args::CvArgs;
use super::curve::{curve, penalty_options, penalty_words, warn};
use super::exit::Outcome;
use super::job;
use super::output::{check_outputs, count, device_words, host_peak, json, plural, ranks_text, short, stdout};
use super::progress::Terminal;
use super::train;
use crate::data::{Training, files_of, load_training};
use crate::error::{Error, Result};
use crate::fit::{CrossValidation, Fit, FitOptions, fit};
use crate::ranks::Team;
use crate::report;

pub(super) fn run(args: &CvArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Outcome> {
    let reading = Instant::now();
    let device = (&args.common.device(), args.optimum.device_memory);
    let loaded = load(args, terminal, team);
    job::lead(team, loaded, |training| training, device, |training| validate(args, terminal, &training, reading))
}

/// Holds the arguments to fit each other, and reads the rows.
fn load(args: &CvArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Training> {
    if args.grid.chooses() && args.model.is_none() {
        return Err(Error::Usage("--choose says which model is written: add --model FILE".into()));
    }
    args.optimum.check_factors(args.grid.penalties.is_penalty())?;
    let mut data_options = args.data.options(args.grid.penalties.is_penalised(), None, args.optimum.seed)?;
    data_options.team = team.cloned();
    args.grid.read_folds(&mut data_options);
    let mut inputs = files_of(&args.data.files)?;
    inputs.extend(data_options.files_beside().cloned());
    check_outputs(&args.model.iter().chain(args.results.files()).collect::<Vec<_>>(), &inputs)?;
    load_training(&args.data.files, &data_options, terminal)
}

/// Cross-validates on what was loaded since `reading`.
fn validate(args: &CvArgs, terminal: &Terminal, training: &Training, reading: Instant) -> Result<Outcome> {
    training.summary.notes.iter().for_each(|note| terminal.warn(&format!("{note}.")));
    let packed = training.summary.pack_seconds;
    let read = reading.elapsed().as_secs_f64() - packed;
    let options = args.optimum.options(args.common.device(), training)?;
    let mut cv = args.grid.cross_validate(training, &options, args.optimum.seed, terminal)?;
    cv.models.seconds.add_reading(read, packed);
    terminal.clear();
    warn(&cv, args.optimum.tol, terminal);
    let chosen = args.grid.chosen(&cv);
    let refit = match &args.model {
        Some(path) => Some(refit(
            training,
            (cv.grid.l1(chosen), cv.grid.l2(chosen)),
            &options,
            args.optimum.seed,
            path,
            terminal,
        )?),
        None => None,
    };
    if args.common.json {
        json(&report(&cv, training, &options, refit.as_ref()))?;
    } else {
        stdout(&text(&cv, training, options.verify, chosen, args.model.as_deref()))?;
    }
    // What cannot be drawn takes nothing else along.
    args.results.write(|| report::cv_table(&cv), || report::cv_curve(&cv))?;
    let refitted = refit.map_or(Outcome::Done, |fit| Outcome::of_fit(fit.status, false));
    Ok(if refitted == Outcome::Done && !cv.models.converged() { Outcome::NotGood } else { refitted })
}

/// Fits the model of the chosen penalty to all rows, and writes it.
fn refit(
    training: &Training,
    (l1, l2): (f64, f64),
    options: &FitOptions,
    seed: u64,
    path: &Path,
    terminal: &Terminal,
) -> Result<Fit> {
    let options = FitOptions { l1, l2, ..options.clone() };
    let fit = fit(&training.train, &options, terminal)?;
    fit.model(&training.train, &training.design, &options, seed).save(path)?;
    terminal.clear();
    train::warn(&fit, &training.train, options.tolerance, terminal);
    Ok(fit)
}

/// What `--json` prints.
fn report(cv: &CrossValidation, training: &Training, options: &FitOptions, refit: Option<&Fit>) -> serde_json::Value {
    let data = &training.train;
    let mut report = json!({
        "rows": data.rows,
        "features": data.features.len(),
        "names": data.features,
        "weight_sum": data.weight_sum,
        "classes": training.design.target.classes,
        "device": cv.device(),
        "ranks": data.ranks(),
        "models": cv.members().zip(&cv.models.fits).map(|((k, fold), fit)| json!({
            "l1": cv.grid.l1(k),
            "l2": cv.grid.l2(k),
            "without_fold": fold,
            "status": fit.status,
            "passes": fit.evaluations,
            "objective": fit.objective,
            "gradient_inf_norm": fit.gradient_inf_norm,
            "intercept": fit.intercept,
            "coefficients": fit.coefficients,
        })).collect::<Vec<_>>(),
        "bytes": {
            "host_peak": host_peak(),
            "device_peak": cv.cost().device_peak,
            "device_read": cv.cost().bytes_read,
        },
    });
    if let (Some(report), serde_json::Value::Object(curve)) = (report.as_object_mut(), curve(cv)) {
        report.extend(curve);
    }
    if !options.penalty_factors.is_empty() {
        report["penalty_factors"] = json!(options.penalty_factors);
    }
    if let Some(fit) = refit {
        report["refit"] = json!({
            "status": fit.status,
            "passes": fit.passes,
            "objective": fit.objective,
            "gradient_inf_norm": fit.gradient_inf_norm,
        });
    }
    report
}

fn text(cv: &CrossValidation, training: &Training, verified: bool, chosen: usize, model: Option<&Path>) -> String {
    let data = &training.train;
    let alone = cv.models.fits.iter().map(|fit| fit.evaluations).max().unwrap_or(0);
    let mut text = format!("device     {}{}\n", device_words(cv.device()), ranks_text(data.ranks()));
    text += &format!("data       {} × {}\n", count(data.rows as u64), count(data.features.len() as u64));
    text += &format!(
        "models     {} penalties × {} folds, fitted at once in {} of X; the slowest took part in {alone}\n",
        cv.grid.lambda.len(),
        cv.folds.len(),
        plural(cv.models.passes, "read"),
    );
    let worst = cv.models.fits.iter().map(|fit| fit.gradient_inf_norm).fold(0.0, f64::max);
    text += &match verified {
        true => format!("certified  largest slope of any model {worst:.1e} of S·sd, re-computed in f64\n\n"),
        false => format!("slope      {worst:.1e} of S·sd at the most, as the engine saw it; not verified\n\n"),
    };
    let name = if cv.grid.l1_ratio == 0.0 { "l2" } else { "l1" };
    text += &format!("  {name:>12}  {:>12}  {:>10}\n", format!("mean {}", cv.score.words()), "± 1 SE");
    for k in 0..cv.grid.lambda.len() {
        let penalty = if cv.grid.l1_ratio == 0.0 { cv.grid.l2(k) } else { cv.grid.l1(k) };
        let note = match (k == cv.best, k == cv.one_se) {
            (true, true) => "  best, and the largest within 1 SE",
            (true, false) => "  best",
            (false, true) => "  largest within 1 SE of the best",
            (false, false) => "",
        };
        text +=
            &format!("  {:>12}  {:>12.6}  {:>10.6}{note}\n", short(penalty), cv.mean_score[k], cv.standard_error[k]);
    }
    match model {
        Some(path) => {
            text + &format!("\nmodel      {} (all rows, {})\n", path.display(), penalty_words(&cv.grid, chosen))
        }
        None => text + &format!("\nnext       gpulogit train ... {}\n", penalty_options(&cv.grid, chosen)),
    }
}
