//! L-BFGS on top of the curvature of some rows.
//!
//! The inverse Hessian starts as that of evenly spread rows instead of a multiple of the identity, so that a handful of
//! corrections suffices even when columns are correlated; it is taken anew at the current point where the pace asks for it.
//! It is the method where rows are too few for a sample that stands for all of them, or columns too many. Where p is too
//! large for a p × p factor, the usual scaled identity serves.

use super::Solution;
use super::metric::Metric;
use super::quasi_newton::{self, Renewal};
use super::stopping::StopRule;
use crate::error::Result;
use crate::linalg::MAX_COLUMNS;
use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// The curvature of this many times n/p rows costs about as much as eight passes over X on the CPU engine; with the
/// factor that is ten.
const ROWS: usize = 100;
const RENEWAL_PASSES: f64 = 10.0;
/// Rows for each parameter that the curvature is taken from at the least.
const ROWS_PER_PARAMETER: usize = 4;
/// Share of the off-diagonal part that must be more than noise for that.
const CORRELATED: f64 = 0.3;

/// Minimises `objective` from the evaluated `start`.
///
/// # Errors
/// As [`Objective::evaluate`].
pub fn minimise(
    objective: &mut Objective<'_>,
    start: Evaluation,
    rule: StopRule,
    monitor: &dyn Monitor,
) -> Result<Solution> {
    let mut renewal = SomeRows::default();
    let metric = renewal.renew(objective, &start.theta)?;
    let metric = metric.unwrap_or_else(|| Metric::scaled(1.0 / objective.curvature_bound()));
    quasi_newton::minimise(objective, start, metric, renewal, rule, monitor)
}

/// Renews a metric by the curvature of some rows.
#[derive(Debug, Default)]
pub(crate) struct SomeRows {
    /// How many do, once that is known.
    rows: Option<usize>,
}

impl Renewal for SomeRows {
    fn cost(&self) -> f64 {
        RENEWAL_PASSES
    }

    /// The metric of the curvature of some rows at θ, where it can be had.
    fn renew(&mut self, objective: &Objective<'_>, theta: &[f64]) -> Result<Option<Metric>> {
        let parameters = theta.len();
        if parameters == 0 || parameters > MAX_COLUMNS {
            return Ok(None);
        }
        let of = |rows: usize| {
            let curvature = |products| objective.sampled_hessian(theta, rows, products);
            Metric::rough(|products| Ok(Metric::of_sample(&curvature(products)?, rows.min(objective.rows()))))
        };
        if let Some(rows) = self.rows {
            return of(rows);
        }
        let few = ROWS_PER_PARAMETER * parameters;
        let many = (ROWS * objective.pass_cost() * objective.rows() / parameters).max(few);
        // A few rows tell whether there are correlations that make more of them worth the while.
        if many >= 2 * few {
            let Some(metric) = of(few)? else { return Ok(None) };
            if metric.kept() < CORRELATED {
                self.rows = Some(few);
                return Ok(Some(metric));
            }
        }
        self.rows = Some(many);
        of(many)
    }
}
