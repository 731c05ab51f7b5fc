//! When to stop, and how the reason is called.

use crate::monitor::Monitor;
use crate::objective::{Evaluation, Objective};

/// A fit that cannot lower J by more than this much of max(J, S/1000), by its own prediction, has converged.
pub const RELATIVE_DECREASE: f64 = 1e-9;

/// Why a solver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The gradient is within `--tol`.
    Gradient,
    /// The predicted decrease of J is below [`StopRule::relative_decrease`].
    PredictedDecrease,
    /// The next step is expected to end within `--tol`, and the verification takes it.
    NextStep,
    /// The iteration limit was reached.
    MaxIterations,
    /// No step along the search direction lowers J in the engine's arithmetic.
    NoProgress,
    /// J grew without bound: the learning rate is too large.
    Diverged,
    /// The user asked to stop.
    Interrupted,
}

/// When a solver may stop.
#[derive(Debug, Clone, Copy)]
pub struct StopRule {
    /// Largest gradient entry as `--tol` measures it.
    pub tolerance: f64,
    /// Iterations at the most.
    pub max_iterations: usize,
    /// Predicted decrease, as a part of max(J, S/1000), at which it may stop as well.
    pub relative_decrease: f64,
    /// Whether a solver that expects its next step to end within the tolerance may leave that to the verification.
    pub leave_last_step: bool,
}

impl StopRule {
    /// The predicted decrease of J at which a solver at `at` may stop.
    pub fn floor(&self, objective: &Objective<'_>, at: &Evaluation) -> f64 {
        self.relative_decrease * at.value.max(objective.weight_sum() / 1000.0)
    }

    /// Whether to stop at `at`, reached after `iterations`; `predicted` is the decrease of J that the next step
    /// promises, where the solver can tell.
    pub fn check(
        &self,
        objective: &Objective<'_>,
        at: &Evaluation,
        iterations: usize,
        predicted: Option<f64>,
        monitor: &dyn Monitor,
    ) -> Option<StopReason> {
        let floor = self.floor(objective, at);
        if objective.gradient_norms(at).0 <= self.tolerance {
            Some(StopReason::Gradient)
        } else if predicted.is_some_and(|predicted| predicted <= floor) {
            Some(StopReason::PredictedDecrease)
        } else if iterations >= self.max_iterations {
            Some(StopReason::MaxIterations)
        } else if monitor.interrupted() {
            Some(StopReason::Interrupted)
        } else {
            None
        }
    }
}
