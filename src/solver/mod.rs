//! Solvers: each minimises an [`Objective`] and knows nothing else of data or device.

pub mod batch;
pub mod gradient_descent;
pub mod lbfgs;
mod line_search;
mod metric;
pub mod newton;
pub mod pointwise;
mod quadratic;
pub mod quasi_newton;
pub mod sparse;
mod stopping;
pub mod truncated_newton;

use crate::error::Result;
use crate::monitor::{Event, Monitor};
use crate::objective::{Evaluation, Objective};

pub use metric::Metric;
pub use stopping::{RELATIVE_DECREASE, StopReason, StopRule};

/// Which method minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// w := w − η∇J, the lesson's method.
    Gd,
    /// Quasi-Newton steps on top of curvature taken from rows on the host.
    Lbfgs,
    /// Newton's method, curvature of all rows in f64 on the host.
    Newton,
    /// Newton's method on the columns that matter, with the penalty l1·‖β‖₁ as it is: what fits every l1.
    ProximalNewton,
}

impl Solver {
    /// The name `--solver` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Solver::Gd => "gd",
            Solver::Lbfgs => "lbfgs",
            Solver::Newton => "newton",
            Solver::ProximalNewton => "proximal-newton",
        }
    }

    /// The iterations after which it gives up by default.
    pub fn default_max_iterations(self) -> usize {
        match self {
            Solver::Gd => 10_000,
            Solver::Lbfgs => 1_000,
            Solver::Newton => 100,
            Solver::ProximalNewton => 1_000,
        }
    }
}

/// What a solver ended with. Ending early is data, not an error.
#[derive(Debug)]
pub struct Solution {
    /// The point reached.
    pub at: Evaluation,
    /// Why it ended.
    pub reason: StopReason,
    /// Iterations finished.
    pub iterations: usize,
    /// The decrease of J that the next step would have promised, where the method can tell.
    pub predicted: Option<f64>,
    /// The metric of the last step, where the method has one that is worth keeping.
    pub metric: Option<Metric>,
}

/// Reports an iteration to the monitor.
fn report(objective: &Objective<'_>, at: &Evaluation, iteration: usize, monitor: &dyn Monitor) {
    monitor.event(Event::Iteration {
        iteration,
        objective: at.value,
        gradient_inf_norm: objective.gradient_norms(at).0,
        passes: objective.passes(),
        point: Some(&|| objective.coordinates().to_original(&at.theta)),
    });
}

/// Moves from `from`, the kept point, along `direction` and keeps the point reached; `None` when no step along it
/// lowers J any more.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn advance(objective: &mut Objective<'_>, from: &Evaluation, direction: &[f64]) -> Result<Option<Evaluation>> {
    let next = line_search::search(objective, from, direction)?;
    if let Some(next) = &next {
        objective.keep(next)?;
    }
    Ok(next)
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
