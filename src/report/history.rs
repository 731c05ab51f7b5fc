//! How a fit came to its end, remembered while it runs.

use std::sync::{Mutex, PoisonError};

use crate::monitor::{Event, Monitor};

/// A point that a solver reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// Iterations finished; 0 is the start.
    pub iteration: usize,
    /// Full reads of X by the solver so far.
    pub passes: u64,
    /// J.
    pub objective: f64,
    /// The gradient as `--tol` measures it.
    pub gradient_inf_norm: f64,
}

/// A [`Monitor`] that remembers each iteration and passes everything on.
pub struct History<'a> {
    inner: &'a dyn Monitor,
    reached: Mutex<Vec<Reached>>,
}

impl<'a> History<'a> {
    /// One that passes events on to `inner`.
    pub fn new(inner: &'a dyn Monitor) -> Self {
        History { inner, reached: Mutex::default() }
    }

    /// The points reached by each solver that ran, one after the other.
    pub fn runs(self) -> Vec<Vec<Reached>> {
        let mut runs: Vec<Vec<Reached>> = Vec::new();
        for reached in self.reached.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // A solver that goes on reports where it stands once more.
            let goes_on = |run: &&mut Vec<Reached>| run.last().is_none_or(|last| last.iteration <= reached.iteration);
            match runs.last_mut().filter(goes_on) {
                Some(run) => run.push(reached),
                None => runs.push(vec![reached]),
            }
        }
        runs
    }
}

impl Monitor for History<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Iteration { iteration, objective, gradient_inf_norm, passes, .. } = event {
            let reached = Reached { iteration, passes, objective, gradient_inf_norm };
            self.reached.lock().unwrap_or_else(PoisonError::into_inner).push(reached);
        }
        self.inner.event(event);
    }

    fn interrupted(&self) -> bool {
        self.inner.interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;

    #[test]
    fn solvers_that_run_one_after_the_other_are_told_apart() {
        let history = History::new(&Silent);
        for (iteration, passes) in [(0, 1), (0, 1), (1, 3), (2, 5), (2, 6), (0, 1), (1, 2)] {
            let (objective, gradient_inf_norm) = (1.0, 0.5);
            history.event(Event::Iteration { iteration, objective, gradient_inf_norm, passes, point: None });
        }
        history.event(Event::Note("no iteration".into()));
        let runs = history.runs();
        let passes: Vec<Vec<u64>> = runs.iter().map(|run| run.iter().map(|at| at.passes).collect()).collect();
        assert_eq!(passes, [vec![1, 1, 3, 5, 6], vec![1, 2]]);
    }
}
