//! The page of a fit: `train --report`.

mod coefficients;

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::diagnostics::Diagnostics;
use super::report::penalty_text;
use crate::certificate::Status;
use crate::cli::args::TrainArgs;
use crate::cli::evaluate::{Scored, Scores};
use crate::cli::output::{count, device_words, host_peak, plural, short};
use crate::cli::page::{bytes, fact, figure, files, foot, invocation, metrics, named, save, warnings};
use crate::cli::progress::Terminal;
use crate::cli::{output, summary};
use crate::data::Training;
use crate::engine::Cost;
use crate::engine::gpu::GpuOptions;
use crate::error::Result;
use crate::fit::{ClassFit, Fit, Seconds};
use crate::model::{Model, Multi};
use crate::report::Reached;
use crate::report::page::{Page, Part, Section, Table};
use crate::report::picture;

pub(super) use coefficients::{
    certificate_of_classes, certificate_of_two, coefficients_of_classes, coefficients_of_two,
};

/// Points of the fit that the table of them shows.
const MOST_POINTS: usize = 100;

/// What was done to fit, whatever the number of classes.
pub(super) struct Work {
    pub(super) iterations: usize,
    pub(super) passes: u64,
    pub(super) seconds: Seconds,
    pub(super) cost: Cost,
    pub(super) rounding: f64,
    /// Rows of the samples that were fitted first.
    pub(super) samples: Vec<usize>,
    /// The points that each solver reached.
    pub(super) runs: Vec<Vec<Reached>>,
}

impl Work {
    /// That of a fit of two classes.
    pub(super) fn of_two(fit: &Fit, runs: Vec<Vec<Reached>>) -> Self {
        let Fit { iterations, passes, seconds, rounding, ref cost, ref samples, .. } = *fit;
        let samples = samples.iter().map(|sample| sample.rows).collect();
        Work { iterations, passes, seconds, cost: cost.clone(), rounding, samples, runs }
    }

    /// And of one of more.
    pub(super) fn of_classes(fit: &ClassFit, runs: Vec<Vec<Reached>>) -> Self {
        let ClassFit { iterations, passes, seconds, rounding, ref cost, .. } = *fit;
        Work { iterations, passes, seconds, cost: cost.clone(), rounding, samples: Vec::new(), runs }
    }
}

/// All that the page of a fit is about.
pub(super) struct Story<'a> {
    pub(super) args: &'a TrainArgs,
    pub(super) matches: &'a ArgMatches,
    /// Every file that was read.
    pub(super) inputs: &'a [PathBuf],
    pub(super) training: &'a Training,
    pub(super) model: &'a Model,
    pub(super) diagnostics: Option<&'a Diagnostics>,
    pub(super) work: Work,
    /// How the penalty was chosen, where it was.
    pub(super) chosen: Option<String>,
    pub(super) certificate: Vec<Part>,
    pub(super) coefficients: Vec<Part>,
}

impl Story<'_> {
    /// Writes the page to `path`, with the metrics of unseen rows that were `judged` and what these are called, or where
    /// there are none with those of the rows trained on.
    pub(super) fn write(
        self,
        path: &Path,
        judged: Option<&(&'static str, Scored)>,
        gpu: &GpuOptions,
        terminal: &Terminal,
    ) -> Result<()> {
        let classes = &self.model.classes;
        let predicts = match judged {
            Some((whose, scored)) => {
                let words = format!("Measured on the {whose}, which the model was not fitted to.");
                Some(metrics(scored, whose, Part::Text(words), classes, &self.args.judging)?)
            }
            None if self.args.holdout.is_none() && self.args.test.is_none() => {
                let scored = self.of_own_rows(gpu)?;
                let words = "No rows were held out, so these are the rows that the model was fitted to: it does better on them than \
                             on others, which the interval of the ROC area supposes. --holdout 0.2 or --test FILE measure it on rows \
                             that it has not seen.";
                let whose = "rows trained on";
                Some(metrics(&scored, whose, Part::Text(words.into()), classes, &self.args.judging)?)
            }
            // They were not judged, because the user stopped it.
            None => None,
        };
        let target = self.training.design.target.name.as_deref().unwrap_or("the target file");
        let page = Page {
            title: format!("Logistic regression of {}", named(target)),
            lead: self.lead(),
            sections: [
                Some(self.what()),
                warnings(terminal),
                Some(self.data()?),
                Some(self.convergence()?),
                Some(Section { id: "certificate", heading: "Certificate", parts: self.certificate }),
                Some(Section { id: "coefficients", heading: "Coefficients", parts: self.coefficients }),
                predicts,
                Some(device(self.model, self.training, &self.work)),
                Some(invocation(self.matches)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            foot: foot(),
        };
        save(&page, path)?;
        if !self.args.common.json {
            output::stdout(&format!("\nreport     {}\n", path.display()))?;
        }
        Ok(())
    }

    /// The metrics of the rows that the model was fitted to.
    fn of_own_rows(&self, gpu: &GpuOptions) -> Result<Scored> {
        let mut scores = Scores::new(self.model, &self.args.common.device(), gpu, 0.5, &self.args.judging)?;
        scores.add(&self.training.train, &[])?;
        scores.finish()
    }

    fn lead(&self) -> String {
        let fitted = &self.model.training;
        format!(
            "{} × {}, {} classes: {}, log loss {:.6}.",
            plural(fitted.rows as u64, "row"),
            plural(self.training.train.features.len() as u64, "feature"),
            self.model.classes.len(),
            fitted.status.name(),
            fitted.log_loss,
        )
    }

    /// What was fitted.
    fn what(&self) -> Section {
        let (model, fitted) = (self.model, &self.model.training);
        let classes = &model.classes;
        let labels = match classes.as_slice() {
            [zero, one] => format!("{} is modelled as 1, {} as 0", named(one), named(zero)),
            many => format!("{} classes: {}", many.len(), self.training.design.target.shown()),
        };
        let penalty = match (penalty_text(&model.objective), &self.chosen) {
            (_, Some(chosen)) => chosen.clone(),
            (none, None) if none.is_empty() => "none: maximum likelihood".to_owned(),
            (some, None) => some.trim_start_matches(", ").to_owned(),
        };
        let multi = model.objective.multi.map(|multi| match multi {
            Multi::Softmax => "softmax: all classes at once",
            Multi::Ovr => "each class against the rest; J and log loss are sums over the classes",
        });
        let intercept = match (model.objective.intercept, model.objective.firth) {
            (false, _) => "none",
            (true, false) => "yes, not penalised",
            (true, true) => "yes",
        };
        let mut facts = vec![fact("labels", labels)];
        facts.extend(multi.map(|multi| fact("classes", multi)));
        facts.extend([
            fact("intercept", intercept),
            fact("penalty", penalty),
            fact("solver", fitted.solver.name()),
            fact("status", format!("{} (by {})", fitted.status.name(), fitted.stopped_by.replace('-', " "))),
            fact("objective J", short(fitted.objective)),
            fact("log loss", format!("{:.9}", fitted.log_loss)),
        ]);
        facts.extend(self.args.model().map(|path| fact("model file", named(&path.display().to_string()))));
        Section { id: "model", heading: "What was fitted", parts: vec![Part::Facts(facts)] }
    }

    /// On what.
    fn data(&self) -> Result<Section> {
        let (data, read) = (&self.training.train, &self.training.summary);
        let mut facts = vec![fact("rows read", count(read.rows))];
        if read.dropped_rows > 0 {
            facts.push(fact("left out", format!("{}, for a value is missing", plural(read.dropped_rows, "row"))));
        }
        if read.filled_cells > 0 {
            facts.push(fact("filled", format!("{} with the mean of the column", plural(read.filled_cells, "cell"))));
        }
        if let Some(held_out) = &self.training.holdout {
            facts.push(fact("held out", plural(held_out.data.rows as u64, "row")));
        }
        facts.push(fact("rows fitted", count(data.rows as u64)));
        let counts = self.training.design.target.classes.iter().zip(&read.class_counts);
        let counts: Vec<String> =
            counts.take(20).map(|(class, rows)| format!("{} of {}", count(*rows), named(class))).collect();
        facts.push(fact("of each class", counts.join(", ")));
        facts.push(fact("sum of weights", short(data.weight_sum)));
        if self.training.class_factors.iter().any(|factor| *factor != 1.0) {
            let factors: Vec<String> = self.training.class_factors.iter().map(|factor| short(*factor)).collect();
            facts.push(fact("class weights", format!("{}, in the order of the classes", factors.join(", "))));
        }
        facts.push(fact("features", count(data.features.len() as u64)));
        if self.work.rounding > 0.0 {
            let rounding = format!("in f32; the largest rounding is {:.1e} standard deviations", self.work.rounding);
            facts.push(fact("stored", rounding));
        }
        // The classes stand above.
        let diagnosed = self.diagnostics.into_iter().flat_map(|diagnostics| diagnostics.facts(self.training));
        facts.extend(diagnosed.filter(|(name, _)| *name != "classes").map(|(name, what)| fact(name, what)));
        let print = |print| {
            fact("fingerprint", format!("{print} of the rows fitted: names, values, targets, weights, offsets"))
        };
        facts.extend(data.fingerprint.map(print));
        Ok(Section { id: "data", heading: "Data", parts: vec![Part::Facts(facts), files(self.inputs)] })
    }

    /// How it converged.
    fn convergence(&self) -> Result<Section> {
        let (fitted, runs) = (&self.model.training, &self.work.runs);
        let tolerance = self.args.fit.optimum.tol;
        let (least, slope) = (short(fitted.objective), format!("{:.1e}", fitted.gradient_inf_norm));
        let several = self.model.objective.multi == Some(Multi::Ovr);
        let mut words = format!(
            "{} of the solver, {} of X in all, those for rank, curvature and verification among them.",
            plural(self.work.iterations as u64, "iteration"),
            plural(self.work.passes, "read"),
        );
        if !self.work.samples.is_empty() {
            let rows: Vec<String> = self.work.samples.iter().map(|rows| count(*rows as u64)).collect();
            words += &format!(" Samples of {} rows were fitted first, on the host in f64.", rows.join(" and "));
        }
        if let Some(first) = runs.first().and_then(|run| run.first()).filter(|_| !several) {
            words += &format!(" J fell from {} to {least}.", summary::number(first.objective));
        }
        let mut parts = vec![Part::Text(words)];
        let certified = !self.args.fit.optimum.no_verify;
        // Of several solvers each has a J of its own.
        let least_of = |run: &[Reached]| {
            let seen = run.iter().map(|at| at.objective).fold(f64::INFINITY, f64::min);
            if several { seen } else { seen.min(fitted.objective) }
        };
        let above = if several {
            format!("of each class above its least, by read of X, a line for each; {least} is the sum of all")
        } else {
            format!("above the least, {least}, by read of X")
        };
        let of_each = if several { ", a line for each class" } else { "" };
        let cross = if certified { format!(" The cross is the answer in f64, {slope}.") } else { String::new() };
        let figures = [
            figure(
                picture::above_the_least(runs, least_of)?,
                format!("Objective J {above}, on a scale of powers of ten."),
                format!("J {above}."),
            ),
            figure(
                picture::slopes(runs, tolerance, certified.then_some(fitted.gradient_inf_norm))?,
                format!(
                    "Largest slope by read of X{of_each}, on a scale of powers of ten: {slope} in the end, where {tolerance:e} is \
                     the tolerance."
                ),
                format!(
                    "Largest slope in units of S·sd, by read of X{of_each}.{cross} Dashed: the tolerance, {tolerance:e}."
                ),
            ),
        ];
        let figures: Vec<_> = figures.into_iter().flatten().collect();
        if figures.is_empty() {
            parts.push(Part::Text("The solver had nowhere to go: there is no curve to draw.".into()));
        } else {
            parts.push(Part::Figures(figures));
        }
        parts.push(Part::Table(points(runs)));
        Ok(Section { id: "convergence", heading: "How it converged", parts })
    }
}

/// The points that solvers reached; of many every so many.
fn points(runs: &[Vec<Reached>]) -> Table {
    let total: usize = runs.iter().map(Vec::len).sum();
    let stride = total.div_ceil(MOST_POINTS).max(1);
    let shown = |run: &&Vec<Reached>, i: usize| i.is_multiple_of(stride) || i + 1 == run.len();
    let rows = runs.iter().flat_map(|run| {
        let kept = run.iter().enumerate().filter(move |(i, _)| shown(&run, *i));
        kept.map(|(_, at)| {
            let cells =
                vec![at.passes.to_string(), format!("{:.12e}", at.objective), format!("{:.2e}", at.gradient_inf_norm)];
            (at.iteration.to_string(), cells)
        })
    });
    Table {
        caption: "points of the solver".into(),
        heads: ["iteration", "reads of X", "J", "largest slope"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        numbers: true,
        folded: true,
    }
}

/// What computed, and how fast.
fn device(model: &Model, training: &Training, work: &Work) -> Section {
    let (cost, seconds) = (&work.cost, &work.seconds);
    let matrix: u64 = training.train.blocks.iter().map(|block| block.x_bytes()).sum();
    let busy: f64 = cost.kernels.iter().map(|kernel| kernel.seconds).sum();
    let rate = |amount: f64, seconds: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    let throughput = format!(
        "{:.3} GB/s of X within kernels; {} rows a second over solving and verifying",
        rate(cost.bytes_read as f64, busy) / 1e9,
        count(rate(work.passes as f64 * training.train.rows as f64, seconds.solve + seconds.verify) as u64),
    );
    let mut facts = vec![
        fact("device", device_words(&model.training.device)),
        fact("X", format!("{} as stored", bytes(matrix))),
        fact("read", format!("{} of X by the device's kernels", bytes(cost.bytes_read))),
        fact("throughput", throughput),
    ];
    facts.extend(host_peak().map(|peak| fact("memory", format!("{} at the most", bytes(peak)))));
    if cost.device_peak > 0 {
        facts.push(fact("device memory", format!("{} at the most", bytes(cost.device_peak))));
    }
    let parts_of = [
        ("reading", seconds.read),
        ("device and shaders", seconds.setup),
        ("packing and uploading", seconds.upload),
        ("solving", seconds.solve),
        ("verifying", seconds.verify),
        ("all", seconds.total),
    ];
    let table = |caption: &str, heads: &[&str], rows: Vec<(String, Vec<String>)>| {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        Part::Table(Table { caption: caption.into(), heads, rows, numbers: true, folded: false })
    };
    let spent = parts_of.map(|(name, seconds)| (name.to_owned(), vec![format!("{seconds:.4}")])).to_vec();
    let kernels = cost.kernels.iter().map(|kernel| {
        let moved = format!("{:.3}", rate(kernel.bytes as f64, kernel.seconds) / 1e9);
        (kernel.name.to_owned(), vec![count(kernel.calls), format!("{:.4}", kernel.seconds), moved])
    });
    let parts = vec![
        Part::Facts(facts),
        table("seconds", &["part", "seconds"], spent),
        table("kernels", &["kernel", "calls", "seconds", "GB/s"], kernels.collect()),
    ];
    Section { id: "device", heading: "Device and throughput", parts }
}

/// Why a fit has no intervals.
fn without_intervals(model: &Model, args: &TrainArgs) -> &'static str {
    match model.training.status {
        Status::Separated => "There are no intervals, for separated classes have no finite estimates.",
        Status::Converged if model.objective.l1 > 0.0 || model.objective.l2 > 0.0 => {
            "There are no intervals: a penalty pulls estimates towards zero, and a standard error says nothing of that; --bootstrap \
             resamples the fit as it is."
        }
        Status::Converged if args.inference.inference || args.bootstrap.is_some() => {
            "There are no intervals, for what was to find them was stopped."
        }
        Status::Converged => "There are no intervals, for none were asked for: --inference or --bootstrap give them.",
        _ => "There are no intervals, for the fit did not converge.",
    }
}
