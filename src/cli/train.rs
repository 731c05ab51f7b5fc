//! `gpulogit train`: files in, model out.

mod classes;
mod diagnostics;
mod load;
mod page;
mod replay;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::ArgMatches;

use diagnostics::{Diagnostics, Influence, check_numbered};
use load::{Loaded, load};
use page::{Story, Work, certificate_of_two, coefficients_of_two};
use replay::{Compared, Replay, add_comparison, recorded_arguments};
pub(super) use report::warn;
use report::{Extras, penalty_chosen, report, text, unchecked, warn_of_replicates};

use super::args::{L2Arg, SolverArg, TrainArgs};
use super::curve::warn as warn_of_curve;
use super::evaluate::{HELD_OUT, Scores, Unseen, judge};
use super::exit::Outcome;
use super::job;
use super::metrics::text as metrics_text;
use super::output::{json, plural, short, stdout};
use super::progress::Terminal;
use super::summary::DEFAULT_LEVEL;
use crate::certificate::Status;
use crate::data::{ReadOptions, RowStream, Training};
use crate::engine::DeviceRequest;
use crate::engine::gpu::GpuOptions;
use crate::error::{Error, Result};
use crate::fit::{Bootstrap, Fit, FitOptions, Init, Resampling, bootstrap, check_inference, fit, infer};
use crate::inference::{Inference, check_level};
use crate::model::{Checkpoint, Checkpoints, FitIdentity, Model};
use crate::monitor::Monitor;
use crate::ranks::Team;
use crate::report::History;
use crate::solver::Solver;

pub(super) fn run(
    args: &TrainArgs,
    matches: &ArgMatches,
    terminal: &Terminal,
    team: Option<&Arc<Team>>,
) -> Result<Outcome> {
    let Some(path) = &args.replay else { return fit_files(args, matches, None, terminal, team) };
    let replay = Replay::load(path)?;
    let (args, matches) = replay.arguments(matches)?;
    fit_files(&args, &matches, Some(&replay), terminal, team)
}

/// The fit that `args` ask for, compared with the one that is to be repeated, if one is.
fn fit_files(
    args: &TrainArgs,
    matches: &ArgMatches,
    replay: Option<&Replay>,
    terminal: &Terminal,
    team: Option<&Arc<Team>>,
) -> Result<Outcome> {
    let reading = Instant::now();
    let loaded = load(args, terminal, team);
    job::note_remedy(args);
    let device = (&args.common.device(), args.fit.optimum.device_memory);
    job::lead(
        team,
        loaded,
        |loaded| &loaded.training,
        device,
        |loaded| fit_loaded(args, matches, replay, terminal, loaded, reading),
    )
}

/// Fits what was loaded since `reading`.
fn fit_loaded(
    args: &TrainArgs,
    matches: &ArgMatches,
    replay: Option<&Replay>,
    terminal: &Terminal,
    loaded: Loaded,
    reading: Instant,
) -> Result<Outcome> {
    let Loaded { training, inputs, level } = loaded;
    training.summary.notes.iter().for_each(|note| terminal.warn(&format!("{note}.")));
    let unseen_options = ReadOptions {
        format: args.data.format.map(Into::into),
        target_file: args.data.target_file.clone(),
        weight_file: args.data.weight_file.clone(),
        with_target: true,
        by: args.judging.by.clone(),
        held_out: args.holdout.map(|fraction| (fraction, args.fit.optimum.seed)),
        ..ReadOptions::default()
    };
    let unseen = match &args.test {
        Some(path) => Some(open_test(args, path, &training, &unseen_options, terminal)?),
        None if args.judging.by.is_some() => {
            let stream = RowStream::open(&args.data.files, &training.design, &unseen_options)?;
            Some(Unseen { title: HELD_OUT, stream, first: None })
        }
        None => None,
    };
    let packed = training.summary.pack_seconds;
    let read = reading.elapsed().as_secs_f64() - packed;

    let diagnostics = Diagnostics::new(args, &training)?;
    if training.train.classes > 2 {
        return classes::run(
            args,
            (matches, &inputs, replay),
            &training,
            diagnostics.as_ref(),
            (read, packed),
            unseen,
            terminal,
        );
    }
    if args.fit.multi.is_some() {
        let shown = training.design.target.shown();
        return Err(Error::Usage(format!("--multi is for more than two classes; the labels are {shown}")));
    }
    let options = FitOptions {
        solver: match args.fit.solver {
            SolverArg::Auto => None,
            SolverArg::Gd => Some(Solver::Gd),
            SolverArg::Lbfgs => Some(Solver::Lbfgs),
            SolverArg::Newton => Some(Solver::Newton),
        },
        firth: args.fit.firth,
        learning_rate: args.fit.learning_rate,
        init: init(args, &training)?,
        ..args.fit.optimum.options(args.common.device(), &training)?
    };
    let mut cv = None;
    let (l1, l2) = match args.fit.l2 {
        L2Arg::Is(l2) => (args.fit.l1, l2),
        L2Arg::Auto => {
            let found = args.grid.cross_validate(&training, &options, args.fit.optimum.seed, terminal)?;
            terminal.clear();
            warn_of_curve(&found, args.fit.optimum.tol, terminal);
            let chosen = args.grid.chosen(&found);
            let penalty = (found.grid.l1(chosen), found.grid.l2(chosen));
            cv = Some((found, chosen));
            penalty
        }
    };
    let options = FitOptions { l1, l2, ..options };
    let inferring = args.inference.inferring(&training, level);
    if inferring.is_some() {
        check_inference(&training.train, &options)?;
        check_numbered(args, &training)?;
    }
    let (checkpoints, options) = checkpoints(args, &training, options, terminal)?;
    let monitor: &dyn Monitor = checkpoints.as_ref().map_or(terminal, |checkpoints| checkpoints);
    let history = History::new(monitor);
    let mut fit = fit(&training.train, &options, &history)
        .inspect_err(|_| checkpoints.iter().for_each(Checkpoints::write_latest))?;
    let runs = history.runs();
    fit.seconds.add_reading(read, packed);
    fit.seconds.total += cv.as_ref().map_or(0.0, |(cv, _)| cv.seconds().total);
    let mut model = fit.model(&training.train, &training.design, &options, args.fit.optimum.seed);
    model.training.arguments = recorded_arguments(matches);
    let mut saved = save(&model, args.model(), terminal);
    if let Some(checkpoints) = checkpoints.filter(|_| fit.status != Status::Interrupted && saved.is_ok()) {
        checkpoints.remove()?;
    }
    // The model is as safe as can be, whatever becomes of what follows.
    let inference = Instant::now();
    let inferred = match &inferring {
        Some(how) => infer(&training.train, &fit, &options, how, terminal),
        None => Ok(None),
    };
    fit.seconds.total += inference.elapsed().as_secs_f64();
    if let Ok(Some(found)) = &inferred {
        model.inference = Some(found.clone());
        saved = save(&model, args.model(), terminal);
    }
    let influence = match args.inference.influence.as_ref().filter(|_| matches!(inferred, Ok(Some(_)))) {
        Some(path) => {
            let held_out = args.holdout.map(|fraction| (fraction, args.fit.optimum.seed));
            Influence::write(path, &training, &fit, &options, held_out, terminal).map(Some)
        }
        None => Ok(None),
    };
    let replicates = match args.bootstrap.filter(|_| fit.status == Status::Converged) {
        Some(count) => {
            let how = Resampling { replicates: count, level, seed: args.fit.optimum.seed };
            bootstrap(&training.train, &fit, &options, &how, terminal)
        }
        None => Ok(None),
    };
    if let Ok(Some(bootstrap)) = &replicates {
        fit.seconds.total += bootstrap.seconds;
    }
    terminal.clear();
    warn(&fit, &training.train, args.fit.optimum.tol, terminal);
    if let Ok(replicates) = &replicates {
        warn_of_bootstrap(args, &fit, replicates.as_ref(), terminal);
    }
    if let Some(why) = unchecked(&fit, &options) {
        terminal.warn(&format!("whether the classes are separated was not checked: {why}."));
    }
    if let (Some(_), Ok(inferred)) = (&inferring, &inferred) {
        warn_of_inference(args, &fit, inferred.as_ref(), terminal);
    }

    let compared = replay.map(|replay| replay.compared(&model, terminal));
    let bootstrap = replicates.as_ref().ok().and_then(Option::as_ref);
    let extras = Extras {
        cv: cv.as_ref(),
        bootstrap,
        inference: model.inference.as_ref().map(|found| (found, level)),
        diagnostics: diagnostics.as_ref(),
        influence: influence.as_ref().ok().and_then(Option::as_ref),
    };
    if !args.common.json {
        stdout(&text(&fit, &training, &model, &extras, args.model()))?;
        compared.iter().try_for_each(Compared::print)?;
    }
    // What goes wrong now must not take the report of the fit along.
    let gpu = GpuOptions { device_memory: options.device_memory, ..GpuOptions::default() };
    let device = if fit.cost.failure.is_some() { &DeviceRequest::Cpu } else { &options.device };
    let scores = Scores::new(&model, device, &gpu, 0.5, &args.judging)?;
    let judged = judge(scores, unseen, training.holdout.as_ref(), terminal);
    if args.common.json {
        let scored = judged.as_ref().ok().and_then(Option::as_ref).map(|(_, scored)| scored);
        let mut report = report(&fit, &training, &options, scored, &extras, args.model());
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
            inputs: &inputs,
            training: &training,
            model: &model,
            diagnostics: diagnostics.as_ref(),
            work: Work::of_two(&fit, runs),
            chosen: cv.as_ref().map(|(cv, chosen)| penalty_chosen(cv, *chosen)),
            certificate: certificate_of_two(&fit, &model, args.fit.optimum.tol),
            coefficients: coefficients_of_two(&model, &training.train, &extras, args)?,
        };
        story.write(path, judged.as_ref(), &gpu, terminal)?;
    }
    saved?;
    influence?;
    let replicates_lack = args.bootstrap.is_some() && replicates?.is_none();
    let inference_lacks = inferring.is_some() && inferred?.is_none();
    let interrupted = fit.status == Status::Converged && (replicates_lack || inference_lacks);
    Ok(if interrupted { Outcome::Interrupted } else { outcome(fit.status, args, compared.as_ref()) })
}

/// How a fit ended that may have been one to be repeated.
fn outcome(status: Status, args: &TrainArgs, compared: Option<&Compared>) -> Outcome {
    match Outcome::of_fit(status, args.strict) {
        Outcome::Done if compared.is_some_and(|compared| !compared.agrees()) => Outcome::NotGood,
        outcome => outcome,
    }
}

/// Writes the model to `path`, if it is to be written; where that fails, to the folder of temporary files, so that a full disk does not take the fit along.
fn save(model: &Model, path: Option<&Path>, terminal: &Terminal) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    model.save(path).inspect_err(|_| {
        let elsewhere = std::env::temp_dir().join(format!("gpulogit-model-{}.json", std::process::id()));
        if model.save(&elsewhere).is_ok() {
            terminal.warn(&format!(
                "the model is in {}, for it could not be written where it was to go.",
                elsewhere.display()
            ));
        }
    })
}

/// Holds the options to fit each other; the confidence of intervals.
fn check(args: &TrainArgs) -> Result<f64> {
    if args.fit.l1 != 0.0 && args.fit.l2 == L2Arg::Auto {
        return Err(Error::Usage(
            "with --l2 auto an l1 is chosen too: say its part of the penalty with --l1-ratio in place of --l1".into(),
        ));
    }
    if let (L2Arg::Is(_), Some(option)) = (args.fit.l2, args.grid.given()) {
        return Err(Error::Usage(format!("{option} says how a penalty is chosen: add --l2 auto, or leave it out")));
    }
    args.fit.optimum.check_factors(match args.fit.l2 {
        L2Arg::Auto => args.grid.penalties.is_penalty(),
        L2Arg::Is(l2) => l2 != 0.0 || args.fit.l1 != 0.0,
    })?;
    check_judging(args)?;
    args.inference.check(&args.data, &args.fit)?;
    if args.level.is_some() && args.bootstrap.is_none() && !args.inference.inference {
        return Err(Error::Usage("--level is of intervals: add --inference or --bootstrap, or leave it out".into()));
    }
    let level = args.level.unwrap_or(DEFAULT_LEVEL);
    check_level(level)?;
    if let Some(replicates) = args.bootstrap {
        Resampling { replicates, level, seed: 0 }.check()?;
    }
    Ok(level)
}

/// What a person must know about the replicates, or why there are none.
fn warn_of_bootstrap(args: &TrainArgs, fit: &Fit, replicates: Option<&Bootstrap>, terminal: &Terminal) {
    match replicates {
        Some(replicates) => warn_of_replicates(replicates, terminal),
        None if args.bootstrap.is_none() => {}
        None if fit.status == Status::Converged => {
            terminal.warn("interrupted: the fit is whole, but there are no intervals.");
        }
        None => terminal.warn("no bootstrap replicates were fitted, for the fit itself did not converge."),
    }
}

/// What a person must know about the inference that was asked for, or why there is none.
fn warn_of_inference(args: &TrainArgs, fit: &Fit, inferred: Option<&Inference>, terminal: &Terminal) {
    let why = match (inferred, fit.status) {
        (Some(found), _) => return found.warnings.iter().for_each(|warning| terminal.warn(warning)),
        (None, Status::Converged) => {
            terminal.warn("interrupted: the fit is whole, but there are no standard errors.");
            "the work was interrupted"
        }
        (None, Status::Separated) => {
            terminal.warn("no standard errors: the classes are separated, so that there are no finite estimates.");
            "there are no finite estimates that rows could move"
        }
        (None, _) => {
            terminal.warn("no standard errors, for the fit did not converge.");
            "the fit did not converge"
        }
    };
    if let Some(path) = &args.inference.influence {
        terminal.warn(&format!("{} was not written, for {why}.", path.display()));
    }
}

/// Holds the options of metrics to be of use.
fn check_judging(args: &TrainArgs) -> Result<()> {
    let Some(option) = args.judging.given() else { return Ok(()) };
    if args.holdout.is_none() && args.test.is_none() {
        return Err(Error::Usage(format!(
            "{option} says which metrics are told of rows that are not trained on: add --holdout FRACTION or --test FILE"
        )));
    }
    if args.judging.by.is_some() && args.test.is_none() && args.data.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Error::Usage(
            "--by reads the rows held out once more, and standard input (-) can be read but once: give the rows as a file"
                .into(),
        ));
    }
    Ok(())
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
        l1: options.l1,
        l2: options.l2,
        penalty_factors: options.penalty_factors.clone(),
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

/// Opens the rows to judge the model on, and reads the first: what is wrong with them should show before the fit.
fn open_test<'a>(
    args: &TrainArgs,
    path: &Path,
    training: &'a Training,
    options: &'a ReadOptions,
    terminal: &Terminal,
) -> Result<Unseen<'a>> {
    if path.as_os_str() == "-" && args.data.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Error::Usage("standard input (-) can be read but once: give the test rows as a file".into()));
    }
    if args.data.target_file.is_some() {
        return Err(Error::Usage("--test goes with files that hold their target; for .npy use --holdout".into()));
    }
    let mut stream = RowStream::open(&[path.to_path_buf()], &training.design, options)?;
    let first = stream.next(terminal)?;
    Ok(Unseen { title: "test rows", stream, first })
}

fn init(args: &TrainArgs, training: &Training) -> Result<Init> {
    match args.fit.init.as_str() {
        "zeros" => Ok(Init::Zeros),
        "random" => Ok(Init::Random { seed: args.fit.optimum.seed }),
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
            let [intercept] = model.intercept.values() else {
                return Err(Error::Usage(format!("--init {path}: it is a model of {} classes", model.classes.len())));
            };
            Ok(Init::Coefficients(model.coefficients.iter().map(|c| c.value).collect(), *intercept))
        }
    }
}
