//! `gpulogit path`: what a penalty leaves of each coefficient as it falls.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::args::PathArgs;
use super::curve::{of_grid, penalty_words, warn_of_models};
use super::exit::Outcome;
use super::job;
use super::output::{check_outputs, count, device_words, host_peak, json, plural, ranks_text, short, stdout};
use super::progress::Terminal;
use crate::certificate::Status;
use crate::data::{Dataset, Training, files_of, load_training};
use crate::error::Result;
use crate::fit::{FitOptions, Grid, MemberFit, Path, path};
use crate::ranks::Team;
use crate::report;

/// Rows of the table that is printed at the most.
const SHOWN: usize = 25;

pub(super) fn run(args: &PathArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Outcome> {
    let reading = Instant::now();
    let device = (&args.common.device(), args.optimum.device_memory);
    let loaded = load(args, terminal, team);
    job::lead(team, loaded, |training| training, device, |training| fit(args, terminal, &training, reading))
}

/// Holds the arguments to fit each other, and reads the rows.
fn load(args: &PathArgs, terminal: &Terminal, team: Option<&Arc<Team>>) -> Result<Training> {
    args.optimum.check_factors(args.penalties.is_penalty())?;
    let mut data_options = args.data.options(args.penalties.is_penalised(), None, args.optimum.seed)?;
    data_options.team = team.cloned();
    let mut inputs = files_of(&args.data.files)?;
    inputs.extend(data_options.files_beside().cloned());
    check_outputs(&args.results.files().collect::<Vec<_>>(), &inputs)?;
    load_training(&args.data.files, &data_options, terminal)
}

/// Fits the path to what was loaded since `reading`.
fn fit(args: &PathArgs, terminal: &Terminal, training: &Training, reading: Instant) -> Result<Outcome> {
    training.summary.notes.iter().for_each(|note| terminal.warn(&format!("{note}.")));
    let packed = training.summary.pack_seconds;
    let read = reading.elapsed().as_secs_f64() - packed;
    let data = &training.train;
    let options = args.optimum.options(args.common.device(), training)?;
    let mut path = path(data, &args.penalties(), &options, terminal)?;
    path.models.seconds.add_reading(read, packed);
    terminal.clear();
    warn_of_models(
        path.models.fits.iter().enumerate().map(|(k, fit)| (penalty_words(&path.grid, k), fit)),
        args.optimum.tol,
        terminal,
    );
    if args.common.json {
        json(&object(&path, data, &training.design.target.classes, &options))?;
    } else {
        stdout(&text(&path, data, options.verify))?;
    }
    let spreads: Vec<f64> = data.columns.iter().zip(&data.moments).map(|(c, m)| c.scale * m.sd).collect();
    args.results
        .write(|| report::path_table(&path, &data.features), || report::path_plot(&path, &data.features, &spreads))?;
    let interrupted = path.models.fits.iter().any(|fit| fit.status == Status::Interrupted);
    Ok(match path.models.converged() {
        _ if interrupted => Outcome::Interrupted,
        true => Outcome::Done,
        false => Outcome::NotGood,
    })
}

/// What `--json` prints: lists with an entry for each penalty, largest first.
fn object(path: &Path, data: &Dataset, classes: &[String], options: &FitOptions) -> serde_json::Value {
    let (grid, fits) = (&path.grid, &path.models.fits);
    let mut object = json!({
        "rows": data.rows,
        "features": data.features.len(),
        "names": data.features,
        "weight_sum": data.weight_sum,
        "classes": classes,
        "device": path.models.device,
        "ranks": data.ranks(),
        "l1_ratio": grid.l1_ratio,
        "lambda": grid.lambda,
        "l1": of_grid(grid, Grid::l1),
        "l2": of_grid(grid, Grid::l2),
        "nonzero": path.nonzero,
        "log_loss": path.log_loss,
        "deviance_explained": path.deviance_explained,
        "status": fits.iter().map(|fit| fit.status).collect::<Vec<_>>(),
        "objective": fits.iter().map(|fit| fit.objective).collect::<Vec<f64>>(),
        "objective_gap": fits.iter().map(|fit| fit.objective_gap).collect::<Vec<_>>(),
        "gradient_inf_norm": fits.iter().map(|fit| fit.gradient_inf_norm).collect::<Vec<f64>>(),
        "intercept": fits.iter().map(|fit| fit.intercept).collect::<Vec<f64>>(),
        "coefficients": fits.iter().map(|fit| &fit.coefficients).collect::<Vec<_>>(),
        "evaluations": fits.iter().map(|fit| fit.evaluations).collect::<Vec<_>>(),
        "passes": path.models.passes,
        "seconds": path.models.seconds,
        "bytes": {
            "host_peak": host_peak(),
            "device_peak": path.models.cost.device_peak,
            "device_read": path.models.cost.bytes_read,
        },
    });
    if !options.penalty_factors.is_empty() {
        object["penalty_factors"] = json!(options.penalty_factors);
    }
    object
}

fn text(path: &Path, data: &Dataset, verified: bool) -> String {
    let fits = &path.models.fits;
    let mut text = format!("device     {}{}\n", device_words(&path.models.device), ranks_text(data.ranks()));
    text += &format!("data       {} × {}\n", count(data.rows as u64), count(data.features.len() as u64));
    text += &format!(
        "models     {} penalties, fitted at once in {} of X in {:.3} s; the slowest took part in {}\n",
        fits.len(),
        plural(path.models.passes, "read"),
        path.models.seconds.solve + path.models.seconds.verify,
        fits.iter().map(|fit| fit.evaluations).max().unwrap_or(0),
    );
    let worst = fits.iter().map(|fit| fit.gradient_inf_norm).fold(0.0, f64::max);
    text += &match verified {
        true => format!("certified  largest violation of any model {worst:.1e} of S·sd, re-computed in f64"),
        false => format!("violation  {worst:.1e} of S·sd at the most, as the engine saw it; not verified"),
    };
    let gap = |fit: &MemberFit| fit.objective_gap.map(|gap| gap / fit.objective);
    match fits.iter().map(gap).try_fold(0f64, |most, gap| Some(most.max(gap?))) {
        Some(most) => text += &format!("; every J within {most:.1e} of its minimum, proved\n\n"),
        None => text += "\n\n",
    }
    let step = fits.len().div_ceil(SHOWN);
    text += &format!("  {:>12}  {:>8}  {:>12}  {:>9}\n", "penalty", "nonzero", "log loss", "explained");
    for k in (0..fits.len()).filter(|k| k % step == 0 || k + 1 == fits.len()) {
        text += &format!(
            "  {:>12}  {:>8}  {:>12.6}  {:>8.2}%\n",
            short(path.grid.lambda[k]),
            path.nonzero[k],
            path.log_loss[k],
            100.0 * path.deviance_explained[k],
        );
    }
    if step > 1 {
        text += &format!("\nevery {step}th of {}; --table FILE.csv or --json has all of them\n", fits.len());
    }
    text
}
