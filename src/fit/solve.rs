//! The solver on an engine, and on the host from where it was when the engine fails.

use std::sync::{Mutex, PoisonError};

use super::{FitOptions, Init, LEAST_DECREASE};
use crate::certificate;
use crate::data::Dataset;
use crate::engine::cpu::Host;
use crate::engine::gpu::GpuOptions;
use crate::engine::{self, Cost, DeviceKind, DeviceRequest, Engine};
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};
use crate::objective::{Coordinates, Objective};
use crate::solver::newton::{self, SampleFit};
use crate::solver::{RELATIVE_DECREASE, Solution, Solver, StopRule, gradient_descent, lbfgs};

/// What is to be solved, whatever engine does it.
pub(super) struct Task<'a> {
    pub(super) data: &'a Dataset,
    pub(super) host: &'a Host<'a>,
    pub(super) coordinates: &'a Coordinates,
    pub(super) solver: Solver,
    pub(super) options: &'a FitOptions,
}

/// Where a solver ended, and what it took.
pub(super) struct Solved {
    pub(super) solution: Solution,
    /// The engine's view of the slope there, as [`Coordinates::gradient_norms`] has it.
    pub(super) norms: (f64, f64),
    /// What computed there.
    pub(super) kind: DeviceKind,
    pub(super) samples: Vec<SampleFit>,
    pub(super) cost: Cost,
}

impl Task<'_> {
    /// Solves from `theta` on `engine`; where that fails on the way and the answer will be verified, the CPU engine goes on from the
    /// latest point, so that nothing computed is lost, and the [`Cost`] says so.
    ///
    /// # Errors
    /// As [`Engine::loss_gradient`]; [`Error::Device`] only where no iteration was finished before, or nothing is to be verified.
    pub(super) fn solve(
        &self,
        mut engine: Box<dyn Engine + '_>,
        theta: Vec<f64>,
        monitor: &dyn Monitor,
    ) -> Result<Solved> {
        let latest = Latest { inner: monitor, point: Mutex::default() };
        let warm = matches!(self.options.init, Init::Coefficients(..));
        let failed = match self.solve_on(engine.as_mut(), theta.clone(), (warm, 0), &latest) {
            Err(failed) => failed,
            solved => return solved,
        };
        let (Error::Device(why) | Error::Numerics(why)) = &failed else { return Err(failed) };
        let reached = latest.point.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (done, from) = match reached {
            _ if !self.options.verify || engine.device().kind == DeviceKind::Cpu => return Err(failed),
            // Ranks go on from a checkpoint.
            _ if self.data.ranks() > 1 => return Err(failed),
            Some((done, beta, intercept)) if done > 0 => (done, self.coordinates.from_original(&beta, intercept)),
            // Numbers that are none where nothing was done yet: f64 may have them.
            _ if matches!(failed, Error::Numerics(_)) => (0, theta),
            _ => return Err(failed),
        };
        let (cost, device) = (engine.cost(), engine.device().id.clone());
        drop(engine);
        let failure = format!("{device} failed after iteration {done} ({why})");
        monitor.event(Event::Note(format!("{failure}; the native CPU engine goes on from there")));
        let (mut host, _) = engine::open(&DeviceRequest::Cpu, self.data, 1, &GpuOptions::default())?;
        let mut solved = self.solve_on(host.as_mut(), from, (warm || done > 0, done), monitor)?;
        solved.solution.iterations += done;
        solved.cost.add(&Cost { failure: Some(failure), ..cost });
        Ok(solved)
    }

    /// Solves from `theta`, reached after `done` iterations and better than a row sample's optimum where it is `warm`.
    fn solve_on(
        &self,
        engine: &mut dyn Engine,
        theta: Vec<f64>,
        (warm, done): (bool, usize),
        monitor: &dyn Monitor,
    ) -> Result<Solved> {
        let Task { data, host, coordinates, solver, options } = *self;
        let kind = engine.device().kind;
        // What comes after is cheaper on the host than shaders that a CPU computes. Elsewhere the engine goes on as long as it gets
        // anywhere, but for a last step that the verification takes with its own pass.
        let goes_on = options.verify && kind != DeviceKind::SoftwareGpu;
        let most = options.max_iterations.unwrap_or(solver.default_max_iterations());
        let rule = StopRule {
            tolerance: options.tolerance,
            max_iterations: most.saturating_sub(done),
            relative_decrease: if goes_on { LEAST_DECREASE } else { RELATIVE_DECREASE },
            leave_last_step: goes_on,
        };
        let mut objective = Objective::new(engine, host, coordinates.clone(), options.l2);
        let mut samples = Vec::new();
        let solution = match solver {
            Solver::Gd => gradient_descent::minimise(&mut objective, theta, options.learning_rate, rule, monitor)?,
            Solver::Lbfgs => {
                let start = objective.evaluate(theta)?;
                lbfgs::minimise(&mut objective, start, rule, monitor)?
            }
            Solver::Newton if data.samples.is_empty() => newton::minimise(&mut objective, theta, rule, monitor)?,
            Solver::Newton | Solver::ProximalNewton => {
                let solution;
                (solution, samples) = self.sampled_newton(&mut objective, theta, warm, rule, monitor)?;
                solution
            }
        };
        let norms = objective.gradient_norms(&solution.at);
        Ok(Solved { solution, norms, kind, samples, cost: engine.cost() })
    }

    /// Newton's method on the row samples, then on all rows.
    fn sampled_newton(
        &self,
        objective: &mut Objective<'_>,
        theta: Vec<f64>,
        warm: bool,
        rule: StopRule,
        monitor: &dyn Monitor,
    ) -> Result<(Solution, Vec<SampleFit>)> {
        let (data, coordinates) = (self.data, self.coordinates);
        let hosts: Vec<Host<'_>> = data.samples.iter().map(Host::new).collect();
        let mut engines = hosts.iter().map(Host::engine).collect::<Result<Vec<_>>>()?;
        let pairs = hosts.iter().zip(&mut engines);
        let mut samples: Vec<Objective<'_>> = pairs
            .map(|(host, engine)| Objective::of_sample(engine.as_mut(), host, coordinates.clone(), self.options.l2))
            .collect();
        let exact = certificate::affordable(data.rows, coordinates.len());
        newton::minimise_sampled(objective, &mut samples, theta, warm, exact, rule, monitor)
    }
}

/// Keeps the latest point that a solver reported: the iterations done, β and β₀.
struct Latest<'a> {
    inner: &'a dyn Monitor,
    point: Mutex<Option<(usize, Vec<f64>, f64)>>,
}

impl Monitor for Latest<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Iteration { iteration, objective, point: Some(point), .. } = &event
            && objective.is_finite()
        {
            let (coefficients, intercept) = point();
            let mut latest = self.point.lock().unwrap_or_else(PoisonError::into_inner);
            *latest = Some((*iteration, coefficients, intercept));
        }
        self.inner.event(event);
    }

    fn interrupted(&self) -> bool {
        self.inner.interrupted()
    }
}
