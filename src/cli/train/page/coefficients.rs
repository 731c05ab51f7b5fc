//! What the page of a fit says of its answer: certificate and coefficients.

use super::without_intervals;
use crate::cli::args::TrainArgs;
use crate::cli::output::{count, plural, short};
use crate::cli::page::{fact, figure, named};
use crate::cli::summary::{self, number, p_value};
use crate::cli::train::report::Extras;
use crate::data::Dataset;
use crate::error::Result;
use crate::fit::{Bootstrap, ClassFit, Fit, Interval};
use crate::inference::{Estimate, INTERCEPT, Inference};
use crate::model::Model;
use crate::report::page::{Part, Table};
use crate::report::picture::{Effect, forest};

/// Coefficients in the picture, and in the table; the model file has all.
const MOST_DRAWN: usize = 40;
const MOST_LISTED: usize = 1000;
/// Those that the picture's words name.
const MOST_NAMED: usize = 3;

/// What f64 says of a fit of two classes.
pub(in crate::cli::train) fn certificate_of_two(fit: &Fit, model: &Model, tolerance: f64) -> Vec<Part> {
    let Some(c) = &fit.certificate else {
        let words = format!(
            "The answer was not verified (--no-verify): its largest slope is {:.1e} of S·sd as the engine saw it.",
            fit.gradient_inf_norm
        );
        return vec![Part::Text(words)];
    };
    let what = if model.objective.l1 > 0.0 { "KKT residual" } else { "largest slope" };
    let mut facts = vec![
        fact(what, format!("{:.1e} of S·sd, where {tolerance:e} is the tolerance", c.gradient_inf_norm)),
        fact("objective J", short(c.objective)),
    ];
    if let Some(gap) = c.objective_gap {
        facts.push(fact("proved of J", format!("it is within {gap:.1e} of its minimum")));
    }
    if let Some(distance) = c.coefficient_gap {
        facts.push(fact("proved of β", format!("it is within {distance:.1e} of the optimum's")));
    }
    if let Some(errors) = c.standard_error_gap.filter(|_| model.objective.l2 == 0.0) {
        facts.push(fact("of each βⱼ", format!("it is within {errors:.1e} standard errors of the optimum's")));
    }
    facts.push(fact("f64 steps", format!("{} on the host after the solver", count(c.polish_steps as u64))));
    facts.extend(fit.rank.map(rank));
    if let Some(separation) = &fit.separation {
        let kind = if separation.complete { "complete" } else { "quasi-complete" };
        facts.push(fact("separation", format!("{kind}, of {}: proved in f64", plural(separation.rows as u64, "row"))));
    }
    vec![Part::Text(verified().into()), Part::Facts(facts)]
}

/// And of one of more.
pub(in crate::cli::train) fn certificate_of_classes(fit: &ClassFit, tolerance: f64, verify: bool) -> Vec<Part> {
    let slope = format!("{:.1e} of S·sd, where {tolerance:e} is the tolerance", fit.gradient_inf_norm);
    let mut facts = vec![fact("largest slope", slope), fact("objective J", short(fit.objective))];
    if let Some((gap, distance)) = fit.bounds {
        facts.push(fact("proved of J", format!("it is within {gap:.1e} of its minimum")));
        facts.push(fact("proved of β", format!("it is within {distance:.1e} of the optimum's")));
    }
    facts.extend(fit.rank.map(rank));
    let words =
        if verify { verified() } else { "The answer was not verified (--no-verify): this is as the engine saw it." };
    vec![Part::Text(words.into()), Part::Facts(facts)]
}

fn rank(rank: usize) -> (String, String) {
    fact("rank", format!("{} independent among those not penalised", plural(rank as u64, "column")))
}

fn verified() -> &'static str {
    "The answer was computed again in f64 on the host, at the very coefficients that were written down."
}

/// A coefficient as the page tells of it.
struct Line {
    name: String,
    estimate: Option<f64>,
    interval: Option<(f64, f64)>,
    /// Standard error, z and p, where something was inferred.
    test: Option<[f64; 3]>,
}

/// Coefficients, the intercept first where there is one, and what their intervals are.
struct Lines {
    lines: Vec<Line>,
    /// What the intervals are, and their confidence; nothing without any.
    intervals: Option<(String, f64)>,
}

impl Lines {
    fn of_inference(inference: &Inference, level: f64) -> Self {
        let line = |(coefficient, interval): (&Estimate, _)| Line {
            name: coefficient.name.clone(),
            estimate: coefficient.value.map(|value| value.estimate),
            interval,
            test: coefficient.value.map(|value| [value.se, value.z(), value.p()]),
        };
        let kind = if inference.is_profiled(level) { "profile likelihood" } else { "Wald" };
        let by = summary::covariance_words(inference);
        let words = format!("{}% intervals ({kind}), standard errors by {by}", short(100.0 * level));
        let lines = inference.coefficients.iter().zip(inference.intervals(level)).map(line).collect();
        Lines { lines, intervals: Some((words, level)) }
    }

    /// The model's, with the intervals of replicates, if there are any.
    fn of_model(model: &Model, bootstrap: Option<&Bootstrap>) -> Self {
        let ends = |interval: &Interval| (interval.low, interval.high);
        let line = |name: &str, estimate: f64, interval: Option<&Interval>| Line {
            name: name.to_owned(),
            estimate: Some(estimate),
            interval: interval.map(ends),
            test: None,
        };
        let of_intercept = bootstrap.and_then(|bootstrap| bootstrap.intercept.as_ref());
        let intercepts = model.intercept.values().iter().filter(|_| model.objective.intercept);
        let intercept = intercepts.map(|value| line(INTERCEPT, *value, of_intercept));
        let features = model.coefficients.iter().enumerate();
        let features =
            features.map(|(j, c)| line(&c.name, c.value, bootstrap.map(|bootstrap| &bootstrap.coefficients[j])));
        let words = |bootstrap: &Bootstrap| {
            let of = plural(bootstrap.replicates as u64, "bootstrap replicate");
            (format!("{}% intervals: percentiles of {of}", short(100.0 * bootstrap.level)), bootstrap.level)
        };
        Lines { lines: intercept.chain(features).collect(), intervals: bootstrap.map(words) }
    }

    /// All of them as a table.
    fn table(&self, title: &str) -> Table {
        let [low, high] =
            self.intervals.as_ref().map_or([String::new(), String::new()], |(_, level)| summary::ends(*level));
        let tested = self.lines.iter().any(|line| line.test.is_some());
        let mut heads = vec!["", "estimate"];
        heads.extend(["std. error", "z", "p"].iter().filter(|_| tested));
        let ends = [low.as_str(), &high];
        heads.extend(ends.iter().filter(|_| self.intervals.is_some()));
        heads.push("odds ratio");
        heads.extend(ends.iter().filter(|_| self.intervals.is_some()));
        let row = |line: &Line| {
            let value = |value: Option<f64>| match value {
                None => "NA".to_owned(),
                Some(0.0) => "0".to_owned(),
                Some(value) => number(value),
            };
            let mut cells = vec![value(line.estimate)];
            if tested {
                let [se, z, p] = line.test.map_or([None; 3], |test| test.map(Some));
                cells.extend([
                    value(se),
                    z.map_or("NA".to_owned(), |z| format!("{z:.3}")),
                    p.map_or("NA".to_owned(), p_value),
                ]);
            }
            let (low, high) = line.interval.unzip();
            let shown = self.intervals.is_some();
            cells.extend([low, high].into_iter().filter(|_| shown).map(value));
            cells.push(value(line.estimate.map(f64::exp)));
            cells.extend([low, high].into_iter().filter(|_| shown).map(|end| value(end.map(f64::exp))));
            (named(&line.name), cells)
        };
        let mut rows: Vec<_> = self.lines.iter().take(MOST_LISTED).map(row).collect();
        if self.lines.len() > MOST_LISTED {
            let more = plural((self.lines.len() - MOST_LISTED) as u64, "more");
            rows.push((
                format!("{} in the model file", more.trim_end_matches('s')),
                vec![String::new(); heads.len() - 1],
            ));
        }
        let words = self.intervals.as_ref().map_or(String::new(), |(words, _)| format!(" and {words}"));
        Table {
            caption: format!("{title}{words}"),
            heads: heads.into_iter().map(str::to_owned).collect(),
            folded: rows.len() > MOST_DRAWN + 1,
            rows,
            numbers: true,
        }
    }

    /// The coefficients that a picture shows, from the largest down, each times the standard deviation of its column; and in words
    /// which ones they are.
    fn drawn(&self, data: &Dataset) -> (Vec<Effect>, String) {
        let features = &self.lines[self.lines.len() - data.features.len()..];
        // What a coefficient is worth a place for, and the coefficient.
        let mut found: Vec<(f64, Effect)> = Vec::new();
        for ((line, column), moments) in features.iter().zip(&data.columns).zip(&data.moments) {
            let sd = column.scale * moments.sd;
            let Some(estimate) = line.estimate.map(|estimate| estimate * sd).filter(|estimate| *estimate != 0.0) else {
                continue;
            };
            let worth = line.test.map_or(estimate, |[_, z, _]| z).abs();
            let interval = line.interval.map(|(low, high)| (low * sd, high * sd));
            found.push((worth, Effect { name: line.name.clone(), estimate, interval }));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (all, tested) = (found.len(), features.iter().any(|line| line.test.is_some()));
        let mut words = format!(
            "Coefficients times the standard deviation of their columns, {}",
            count(all.min(MOST_DRAWN) as u64)
        );
        words += &match features.len() {
            every if every == all.min(MOST_DRAWN) => " in all.".to_owned(),
            every if all <= MOST_DRAWN => format!(" of {}: the others are 0 or redundant.", count(every as u64)),
            every => {
                format!(" of {}: those with the largest {}.", count(every as u64), if tested { "|z|" } else { "size" })
            }
        };
        found.truncate(MOST_DRAWN);
        let mut effects: Vec<Effect> = found.into_iter().map(|(_, effect)| effect).collect();
        effects.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
        (effects, words)
    }
}

/// The coefficients of a fit of two classes: a picture, and tables.
///
/// # Errors
/// As the picture.
pub(in crate::cli::train) fn coefficients_of_two(
    model: &Model,
    data: &Dataset,
    extras: &Extras<'_>,
    args: &TrainArgs,
) -> Result<Vec<Part>> {
    let mut all = Vec::new();
    all.extend(extras.inference.map(|(inference, level)| Lines::of_inference(inference, level)));
    if extras.bootstrap.is_some() || all.is_empty() {
        all.push(Lines::of_model(model, extras.bootstrap));
    }
    let (effects, words) = all[0].drawn(data);
    let about = match &all[0].intervals {
        Some((intervals, _)) => format!("Lines: {intervals}. Dashed: 0, an odds ratio of 1."),
        None => format!("{} Dashed: 0, an odds ratio of 1.", without_intervals(model, args)),
    };
    let says = format!("{words} {}", largest(&effects));
    let mut parts = vec![match figure(forest(&effects, "coefficient · sd")?, says, format!("{words} {about}")) {
        Some(figure) => Part::Figures(vec![figure]),
        None => Part::Text("No coefficient differs from 0: there is nothing to draw.".into()),
    }];
    parts.extend(all.iter().map(|lines| Part::Table(lines.table("coefficients"))));
    parts.extend(extras.inference.map(|(inference, _)| Part::Facts(deviances(inference))));
    Ok(parts)
}

/// The largest of some coefficients in words.
fn largest(effects: &[Effect]) -> String {
    let mut order: Vec<&Effect> = effects.iter().collect();
    order.sort_by(|a, b| b.estimate.abs().total_cmp(&a.estimate.abs()));
    let words = order.iter().take(MOST_NAMED).map(|effect| {
        let interval =
            effect.interval.map_or(String::new(), |(low, high)| format!(" ({} to {})", number(low), number(high)));
        format!("{} {}{interval}", named(&effect.name), number(effect.estimate))
    });
    format!("The largest: {}.", words.collect::<Vec<_>>().join(", "))
}

/// Deviances and what follows from them.
fn deviances(inference: &Inference) -> Vec<(String, String)> {
    let (df_residual, df_null) = inference.degrees_of_freedom();
    let mut facts = vec![
        fact("null deviance", format!("{:.3} on {df_null} degrees of freedom", inference.null_deviance)),
        fact("residual deviance", format!("{:.3} on {df_residual} degrees of freedom", inference.deviance)),
    ];
    if let Some((aic, bic)) = inference.aic().zip(inference.bic()) {
        facts.push(fact("AIC, BIC", format!("{aic:.3}, {bic:.3}")));
    }
    facts.extend(inference.mcfadden().map(|r2| fact("McFadden R²", format!("{r2:.4}"))));
    facts.extend(inference.likelihood_ratio().map(|test| {
        let p = p_value(test.p);
        fact("likelihood ratio", format!("{:.3} on {} degrees of freedom, p = {p}", test.statistic, test.df))
    }));
    facts
}

/// The coefficients of a fit of more than two classes, as a table of a column for each class.
pub(in crate::cli::train) fn coefficients_of_classes(model: &Model, data: &Dataset) -> Vec<Part> {
    let (classes, features) = (model.classes.len(), data.features.len());
    let listed = (MOST_LISTED / classes).max(1);
    let intercepts = model.intercept.values().iter().map(|value| number(*value)).collect();
    let mut rows = Vec::new();
    rows.extend(model.objective.intercept.then(|| (INTERCEPT.to_owned(), intercepts)));
    rows.extend(data.features.iter().take(listed).enumerate().map(|(j, name)| {
        let of_class = (0..classes).map(|k| number(model.coefficients[k * features + j].value));
        (named(name), of_class.collect())
    }));
    let caption = match features.checked_sub(listed) {
        None | Some(0) => "coefficients, a column for each class".to_owned(),
        Some(more) => format!(
            "coefficients, a column for each class; those of {} in the model file",
            plural(more as u64, "more feature")
        ),
    };
    let heads = [String::new()].into_iter().chain(model.classes.iter().map(|class| named(class))).collect();
    vec![Part::Table(Table { caption, heads, folded: rows.len() > MOST_DRAWN + 1, rows, numbers: true })]
}
