//! The page of an evaluation: `evaluate --report`.

use std::path::PathBuf;

use clap::ArgMatches;

use super::Scored;
use crate::cli::args::EvaluateArgs;
use crate::cli::output::{count, device_words, plural};
use crate::cli::page::{fact, files, foot, invocation, metrics, named, warnings};
use crate::cli::progress::Terminal;
use crate::data::ReadSummary;
use crate::error::Result;
use crate::model::Model;
use crate::report::page::{Page, Part, Section};

/// The page of metrics of rows, of which some were left out.
pub(super) fn page(
    args: &EvaluateArgs,
    matches: &ArgMatches,
    model: &Model,
    inputs: &[PathBuf],
    (read, left_out): (&ReadSummary, usize),
    scored: &Scored,
    terminal: &Terminal,
) -> Result<Page> {
    let fitted = &model.training;
    let target = model.design.target.name.as_deref().unwrap_or("the target file");
    let labels = match model.classes.as_slice() {
        [zero, one] => format!("{} is modelled as 1, {} as 0", named(one), named(zero)),
        many => format!("{} classes: {}", many.len(), model.design.target.shown()),
    };
    let about = vec![
        fact("model file", named(&args.model.display().to_string())),
        fact("target", named(target)),
        fact("labels", labels),
        fact("fitted to", plural(fitted.rows as u64, "row")),
        fact("its fit", format!("{}, log loss {:.9}", fitted.status.name(), fitted.log_loss)),
        fact("fitted by", format!("gpulogit {}, {}", fitted.version, fitted.solver.name())),
    ];
    let mut rows = vec![fact("rows read", count(read.rows))];
    if left_out > 0 {
        let words = format!("{}, for missing values or levels unseen in training", plural(left_out as u64, "row"));
        rows.push(fact("left out", words));
    }
    if read.filled_cells > 0 {
        rows.push(fact("filled", format!("{} with the mean of training", plural(read.filled_cells, "cell"))));
    }
    let section = |id, heading, parts| Some(Section { id, heading, parts });
    let words = "Measured on the rows of these files.".to_owned();
    let sections = [
        section("model", "The model", vec![Part::Facts(about)]),
        warnings(terminal),
        section("data", "Data", vec![Part::Facts(rows), files(inputs)]),
        Some(metrics(scored, "rows read", Part::Text(words), &model.classes, &args.judging)?),
        section("device", "Device", vec![Part::Facts(vec![fact("device", device_words(&scored.device))])]),
        Some(invocation(matches)),
    ];
    Ok(Page {
        title: format!("A model of {}, evaluated", named(target)),
        lead: format!("{}, {} classes.", plural(read.rows, "row"), model.classes.len()),
        sections: sections.into_iter().flatten().collect(),
        foot: foot(),
    })
}
