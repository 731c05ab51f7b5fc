//! Checkpoints: the best point of a fit under way, so that it can go on after whatever ended it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::file::read_whole;
use super::write_atomically;
use crate::error::{Error, Result};
use crate::monitor::{Event, Monitor};

/// Time between two checkpoints, at the least.
const INTERVAL: Duration = Duration::from_secs(1);
/// Version of the file's format.
const FORMAT_VERSION: u32 = 1;

/// What a fit minimises: a point of one fit is of no use to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitIdentity {
    /// Rows fitted.
    pub rows: usize,
    /// Names of the features, in order.
    pub features: Vec<String>,
    /// The labels modelled as 0 and 1.
    pub classes: Vec<String>,
    /// l1 of the objective.
    #[serde(default)]
    pub l1: f64,
    /// l2 of the objective.
    pub l2: f64,
    /// Penalty factors of the features; none where all are 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalty_factors: Vec<f64>,
    /// Whether there is an intercept.
    pub intercept: bool,
}

/// The best point of a fit so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    format_version: u32,
    /// The fit it belongs to.
    pub fit: FitIdentity,
    /// Iterations that led there, those before an earlier interruption counted.
    pub iterations: usize,
    /// J there, as the engine saw it.
    pub objective: f64,
    /// β on the original columns.
    pub coefficients: Vec<f64>,
    /// β₀.
    pub beta0: f64,
}

impl Checkpoint {
    /// Reads and checks a checkpoint of `fit`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Model`] when it is no checkpoint, or that of another fit.
    pub fn load(path: &Path, fit: &FitIdentity) -> Result<Option<Self>> {
        let bytes = match read_whole(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let broken = |message: String| Error::Model { path: path.to_path_buf(), message };
        let found: Checkpoint = serde_json::from_slice(&bytes).map_err(|e| {
            broken(format!("this is no checkpoint of gpulogit ({e}); give the file that --checkpoint named"))
        })?;
        let finite = found.beta0.is_finite() && found.coefficients.iter().all(|b| b.is_finite());
        if found.format_version != FORMAT_VERSION || found.coefficients.len() != found.fit.features.len() || !finite {
            return Err(broken("the checkpoint cannot be used; fit without --resume".into()));
        }
        match difference(&found.fit, fit) {
            None => Ok(Some(found)),
            Some(what) => Err(broken(format!(
                "this checkpoint is of another fit: {what}; fit without --resume, or with the data and options of then"
            ))),
        }
    }
}

/// What tells two fits apart.
fn difference(then: &FitIdentity, now: &FitIdentity) -> Option<String> {
    if then.features != now.features {
        return Some(format!(
            "its {} features are not the {} of this one, in this order",
            then.features.len(),
            now.features.len()
        ));
    }
    if then.rows != now.rows {
        return Some(format!("it had {} rows, and this one has {}", then.rows, now.rows));
    }
    if then.classes != now.classes {
        return Some(format!("its classes were '{}'", then.classes.join("' and '")));
    }
    if then.l1 != now.l1 {
        return Some(format!("l1 was {}", then.l1));
    }
    if then.penalty_factors != now.penalty_factors {
        let factor = |fit: &FitIdentity, j: usize| fit.penalty_factors.get(j).copied().unwrap_or(1.0);
        let j = (0..then.features.len()).find(|j| factor(then, *j) != factor(now, *j))?;
        return Some(format!("the penalty factor of '{}' was {}", then.features[j], factor(then, j)));
    }
    (then != now)
        .then(|| format!("l2 was {} {} an intercept", then.l2, if then.intercept { "with" } else { "without" }))
}

/// Writes checkpoints while it listens for another monitor.
pub struct Checkpoints<'a> {
    path: PathBuf,
    fit: FitIdentity,
    /// Iterations before this run.
    before: usize,
    inner: &'a dyn Monitor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: Option<Instant>,
    failed: bool,
    /// The latest point, where it is not written yet: the iterations, J, β and β₀.
    waiting: Option<(usize, f64, (Vec<f64>, f64))>,
}

impl<'a> Checkpoints<'a> {
    /// Checkpoints of `fit`, which has taken `before` iterations already, go to `path`; events go on to `inner`.
    pub fn new(path: &Path, fit: FitIdentity, before: usize, inner: &'a dyn Monitor) -> Self {
        Checkpoints { path: path.to_path_buf(), fit, before, inner, state: Mutex::default() }
    }

    /// Removes the checkpoint of a fit that is done.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&self.path, e)),
            _ => Ok(()),
        }
    }

    /// Writes the latest point, where that was put off: the fit has ended without being done.
    pub fn write_latest(&self) {
        self.write_waiting(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn write_waiting(&self, state: &mut State) {
        let Some((iteration, objective, point)) = state.waiting.take() else { return };
        state.written = Some(Instant::now());
        if let Err(error) = self.write(iteration, objective, point) {
            // The fit is worth more than its checkpoints.
            state.failed = true;
            self.inner.event(Event::Note(format!("no checkpoint can be written any more ({error}); the fit goes on")));
        }
    }

    fn write(&self, iteration: usize, objective: f64, (coefficients, beta0): (Vec<f64>, f64)) -> Result<()> {
        let checkpoint = Checkpoint {
            format_version: FORMAT_VERSION,
            fit: self.fit.clone(),
            iterations: self.before.saturating_add(iteration),
            objective,
            coefficients,
            beta0,
        };
        let text = serde_json::to_string(&checkpoint)
            .map_err(|e| Error::Numerics(format!("the checkpoint cannot be written as JSON: {e}")))?;
        write_atomically(&self.path, |out| out.write_all(text.as_bytes()).map_err(|e| Error::write(&self.path, e)))
    }
}

impl Monitor for Checkpoints<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Iteration { iteration, objective, point: Some(point), .. } = event {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.failed && objective.is_finite() {
                state.waiting = Some((iteration, objective, point()));
            }
            // At once where the user asked to stop: there may be no further one.
            if state.written.is_none_or(|written| written.elapsed() >= INTERVAL) || self.interrupted() {
                self.write_waiting(&mut state);
            }
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

    fn fit() -> FitIdentity {
        FitIdentity {
            rows: 10,
            features: vec!["a".into(), "b".into()],
            classes: vec!["0".into(), "1".into()],
            l1: 0.0,
            l2: 0.5,
            penalty_factors: vec![1.0, 0.0],
            intercept: true,
        }
    }

    fn iterate(checkpoints: &Checkpoints<'_>, iteration: usize, value: f64) {
        let point = move || (vec![value, 0.1 + 0.2], -value);
        checkpoints.event(Event::Iteration {
            iteration,
            objective: 1.0,
            gradient_inf_norm: 1.0,
            passes: 1,
            point: Some(&point),
        });
    }

    #[test]
    fn what_is_written_is_read_again_and_no_more_often_than_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        assert_eq!(Checkpoint::load(&path, &fit()).unwrap(), None);
        let checkpoints = Checkpoints::new(&path, fit(), 5, &Silent);
        iterate(&checkpoints, 0, 1.5);
        iterate(&checkpoints, 1, 2.5);
        let read = Checkpoint::load(&path, &fit()).unwrap().unwrap();
        assert_eq!((read.iterations, read.coefficients, read.beta0), (5, vec![1.5, 0.1 + 0.2], -1.5));
        checkpoints.write_latest();
        let read = Checkpoint::load(&path, &fit()).unwrap().unwrap();
        assert_eq!((read.iterations, read.beta0), (6, -2.5));
        checkpoints.remove().unwrap();
        checkpoints.remove().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_checkpoint_of_another_fit_or_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        iterate(&Checkpoints::new(&path, fit(), 0, &Silent), 0, 1.5);
        type Change = fn(&mut FitIdentity);
        let others: [(Change, &str); 8] = [
            (|f| f.rows = 11, "it had 10 rows, and this one has 11"),
            (|f| f.features.swap(0, 1), "its 2 features are not the 2"),
            (|f| f.classes[1] = "2".into(), "its classes were '0' and '1'"),
            (|f| f.l1 = 2.0, "l1 was 0"),
            (|f| f.penalty_factors[0] = 3.0, "the penalty factor of 'a' was 1"),
            (|f| f.penalty_factors.clear(), "the penalty factor of 'b' was 0"),
            (|f| f.l2 = 0.0, "l2 was 0.5 with an intercept"),
            (|f| f.intercept = false, "l2 was 0.5 with an intercept"),
        ];
        let mut seen = 0;
        for (change, expected) in others {
            let mut other = fit();
            change(&mut other);
            let message = Checkpoint::load(&path, &other).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            seen += 1;
        }
        assert_eq!(seen, 8);
        let text = std::fs::read_to_string(&path).unwrap();
        for (damaged, expected) in [
            (text[..text.len() / 2].to_string(), "no checkpoint"),
            (text.replace("\"format_version\":1", "\"format_version\":9"), "cannot be used"),
            (text.replace("[1.5,", "["), "cannot be used"),
        ] {
            std::fs::write(&path, damaged).unwrap();
            let message = Checkpoint::load(&path, &fit()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_is_said_once() {
        struct Notes(Mutex<Vec<String>>);
        impl Monitor for Notes {
            fn event(&self, event: Event<'_>) {
                if let Event::Note(note) = event {
                    self.0.lock().unwrap().push(note);
                }
            }
        }
        let notes = Notes(Mutex::default());
        let checkpoints = Checkpoints::new(Path::new("/nowhere/c.json"), fit(), 0, &notes);
        (0..3).for_each(|i| iterate(&checkpoints, i, 1.0));
        let notes = notes.0.into_inner().unwrap();
        assert!(notes.len() == 1 && notes[0].contains("the fit goes on"), "{notes:?}");
    }
}
