//! `gpulogit summary`: what was inferred of a model's coefficients, laid out as R's `summary.glm` does it.

use serde_json::json;

use super::args::SummaryArgs;
use super::exit::Outcome;
use super::output::{json, plural, short, shorten, stdout};
use super::progress::Terminal;
use crate::certificate::Status;
use crate::error::{Error, Result};
use crate::inference::{Covariance, Inference, Profile, check_level, chi_squared_tail};
use crate::model::Model;

/// Confidence of an interval by default.
pub(super) const DEFAULT_LEVEL: f64 = 0.95;
/// Significant digits of a number in the table.
const DIGITS: i32 = 5;

pub(super) fn run(args: &SummaryArgs, terminal: &Terminal) -> Result<Outcome> {
    args.level.map_or(Ok(()), check_level)?;
    let model = Model::load(&args.model)?;
    let Some(inference) = &model.inference else {
        let why = match model.training.status {
            _ if model.objective.l1 > 0.0 || model.objective.l2 > 0.0 => "it was fitted with a penalty",
            _ if model.classes.len() > 2 => "it is of more than two classes",
            Status::Separated => "its classes are separated, so that there are no finite estimates",
            Status::Converged => "it was fitted without --inference: train it again with it",
            _ => "its fit did not converge",
        };
        return Err(Error::Model {
            path: args.model.clone(),
            message: format!("the model holds no standard errors: {why}"),
        });
    };
    let profiled = inference.profile.as_ref().map(|profile| profile.level);
    let level = args.level.or(profiled).unwrap_or(DEFAULT_LEVEL);
    let mut inference = inference.clone();
    if let Some(known) = profiled.filter(|known| *known != level) {
        inference.warnings.push(format!(
            "profile-likelihood intervals need the rows, and the model has those of {}%: these are Wald's.",
            short(100.0 * known)
        ));
    }
    let inference = &inference;
    if args.common.json {
        json(&object(inference, level))?;
        return Ok(Outcome::Done);
    }
    inference.warnings.iter().for_each(|warning| terminal.warn(warning));
    let target = model.design.target.name.as_deref().unwrap_or("the target file");
    let (negative, positive) = (&model.classes[0], &model.classes[1]);
    let head = format!("{}: {target}, {positive} is modelled as 1, {negative} as 0\n\n", args.model.display());
    stdout(&(head + &table(inference, level)))?;
    Ok(Outcome::Done)
}

/// What `--json` prints of an inference, with intervals at `level`.
pub(super) fn object(inference: &Inference, level: f64) -> serde_json::Value {
    let profile = inference.profile.as_ref().filter(|_| inference.is_profiled(level));
    let lines = inference.coefficients.iter().zip(inference.intervals(level)).enumerate();
    let coefficients: Vec<_> = lines
        .map(|(k, (coefficient, interval))| {
            let statistic = profile.and_then(|profile| profile.statistics[k]);
            let value = coefficient.value;
            let (low, high) = (interval.map(|i| i.0), interval.map(|i| i.1));
            let mut line = json!({
                "name": coefficient.name,
                "estimate": value.map(|v| v.estimate),
                "se": value.map(|v| v.se),
                "z": value.map(|v| v.z()),
                "p": value.map(|v| v.p()),
                "low": low,
                "high": high,
                "odds_ratio": value.map(|v| v.estimate.exp()),
                "odds_ratio_low": low.map(f64::exp),
                "odds_ratio_high": high.map(f64::exp),
            });
            if profile.is_some() {
                line["lr_statistic"] = json!(statistic);
                line["lr_p"] = json!(statistic.map(|statistic| chi_squared_tail(statistic, 1)));
            }
            line
        })
        .collect();
    let (df_residual, df_null) = inference.degrees_of_freedom();
    json!({
        "covariance": inference.covariance,
        "firth": inference.firth,
        "level": level,
        "intervals": if inference.is_profiled(level) { "profile" } else { "wald" },
        "coefficients": coefficients,
        "deviance": inference.deviance,
        "df_residual": df_residual,
        "null_deviance": inference.null_deviance,
        "df_null": df_null,
        "log_likelihood": inference.log_likelihood(),
        "likelihood_ratio": inference.likelihood_ratio(),
        "mcfadden_r2": inference.mcfadden(),
        "aic": inference.aic(),
        "bic": inference.bic(),
        "rows": inference.rows,
        "warnings": inference.warnings,
    })
}

/// The tables of coefficients and odds ratios, and what stands below them.
pub(super) fn table(inference: &Inference, level: f64) -> String {
    let [low, high] = ends(level);
    let mut tests = vec![["", "Estimate", "Std. Error", "z value", "Pr(>|z|)", ""].map(str::to_owned)];
    let mut odds = vec![["", &low, &high, "Odds ratio", &low, &high].map(str::to_owned)];
    for (coefficient, interval) in inference.coefficients.iter().zip(inference.intervals(level)) {
        let name = shorten(&coefficient.name, 40);
        let na = || "NA".to_owned();
        let (test, ratio) = match (coefficient.value, interval) {
            (Some(value), Some((low, high))) => (
                [number(value.estimate), number(value.se), format!("{:.3}", value.z()), p_value(value.p())],
                [low, high, value.estimate.exp(), low.exp(), high.exp()].map(number),
            ),
            _ => ([na(), na(), na(), na()], [na(), na(), na(), na(), na()]),
        };
        let stars = coefficient.value.map_or("", |value| stars(value.p()));
        let [estimate, se, z, p] = test;
        tests.push([name.clone(), estimate, se, z, p, stars.to_owned()]);
        let [low, high, ratio, ratio_low, ratio_high] = ratio;
        odds.push([name, low, high, ratio, ratio_low, ratio_high]);
    }
    let covariance = covariance_words(inference);
    let mut text = format!("Coefficients (standard errors by {covariance}):\n{}", aligned(&tests));
    text += "---\nSignif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1\n\n";
    let kind = if inference.is_profiled(level) { "profile likelihood" } else { "Wald" };
    text += &format!("{}% intervals ({kind}) and odds ratios:\n{}\n", short(100.0 * level), aligned(&odds));
    if let Some(profile) = inference.profile.as_ref().filter(|_| inference.is_profiled(level)) {
        text += &format!("Likelihood-ratio tests of each coefficient:\n{}\n", ratio_tests(inference, profile));
    }
    let (df_residual, df_null) = inference.degrees_of_freedom();
    if inference.firth {
        text += "Firth's penalised likelihood, ½·log det H within the log-likelihood and deviances:\n";
    }
    let deviances = [("    Null", inference.null_deviance, df_null), ("Residual", inference.deviance, df_residual)];
    let width = deviances.map(|(_, deviance, _)| fixed(deviance).len()).into_iter().max().unwrap_or(0);
    for (name, deviance, df) in deviances {
        text += &format!("{name} deviance: {:>width$}  on {df} degrees of freedom\n", fixed(deviance));
    }
    if let (Some(aic), Some(bic)) = (inference.aic(), inference.bic()) {
        text += &format!("AIC: {}   BIC: {}\n", fixed(aic), fixed(bic));
    }
    text += &format!("log-likelihood: {}", fixed(inference.log_likelihood()));
    text += &inference.mcfadden().map_or("\n".to_owned(), |r2| format!("   McFadden R²: {r2:.4}\n"));
    if let Some(test) = inference.likelihood_ratio() {
        text += &format!(
            "likelihood-ratio test against the null model: {} on {} degrees of freedom, p = {}\n",
            fixed(test.statistic),
            test.df,
            p_value(test.p)
        );
    }
    text
}

/// The statistics of a profile and their p-values.
fn ratio_tests(inference: &Inference, profile: &Profile) -> String {
    let mut rows = vec![["", "χ²", "Pr(>χ²)", ""].map(str::to_owned)];
    for (coefficient, statistic) in inference.coefficients.iter().zip(&profile.statistics) {
        let p = statistic.map(|statistic| chi_squared_tail(statistic, 1));
        let words = |value: Option<String>| value.unwrap_or_else(|| "NA".to_owned());
        let marks = p.map_or("", stars).to_owned();
        rows.push([shorten(&coefficient.name, 40), words(statistic.map(number)), words(p.map(p_value)), marks]);
    }
    aligned(&rows)
}

/// What the ends of intervals at `level` are called.
pub(super) fn ends(level: f64) -> [String; 2] {
    [0.5 - 0.5 * level, 0.5 + 0.5 * level].map(|share| format!("{} %", short((100.0 * share * 1e6).round() / 1e6)))
}

/// What standard errors are made of, to follow "by".
pub(super) fn covariance_words(inference: &Inference) -> String {
    match &inference.covariance {
        Covariance::Model if inference.firth => "the information at Firth's estimates".to_owned(),
        Covariance::Model => "the model".to_owned(),
        Covariance::Hc0 => "the sandwich (HC0), robust to a wrong variance".to_owned(),
        Covariance::Hc1 => "the sandwich times n/(n−k) (HC1), robust to a wrong variance".to_owned(),
        Covariance::Cluster { column, clusters } => {
            format!("the sandwich of {} of {column}", plural(*clusters as u64, "cluster"))
        }
    }
}

/// Cells in columns: names to the left, numbers to the right, and what may be empty last.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let mut line = format!("{:w$}", row[0], w = widths[0]);
        for (cell, w) in row[1..].iter().zip(&widths[1..]) {
            // Stars stand close to what they mark.
            line += &if cell.is_empty() || cell.starts_with(['*', '.']) {
                format!(" {cell:w$}")
            } else {
                format!("  {cell:>w$}")
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A number with [`DIGITS`] significant digits, with an exponent where it would be long.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e7).contains(&magnitude) {
        let decimals = DIGITS - 1 - magnitude.max(1e-4).log10().floor() as i32;
        format!("{value:.*}", decimals.max(0) as usize)
    } else {
        format!("{value:.*e}", DIGITS as usize - 1)
    }
}

/// A deviance or a criterion.
fn fixed(value: f64) -> String {
    format!("{value:.3}")
}

/// A probability with three digits.
pub(super) fn p_value(p: f64) -> String {
    match p {
        0.0 => "<1e-323".to_owned(),
        p if p < 1e-4 => format!("{p:.2e}"),
        p => format!("{p:.5}"),
    }
}

/// R's mark of a p-value.
fn stars(p: f64) -> &'static str {
    match p {
        p if p < 0.001 => "***",
        p if p < 0.01 => "**",
        p if p < 0.05 => "*",
        p if p < 0.1 => ".",
        _ => "",
    }
}
