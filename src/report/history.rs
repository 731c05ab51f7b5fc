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
            match runs.last_mut().filter(|_| reached.iteration > 0) {
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
