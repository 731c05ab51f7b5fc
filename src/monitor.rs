//! How long work reports on itself and is asked to stop, without the library printing anything.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Something that happened during long work.
#[derive(Clone)]
pub enum Event<'a> {
    /// Rows are being read.
    Reading {
        /// The file being read.
        file: &'a Path,
        /// Data rows read so far, over all files.
        rows: u64,
        /// Bytes read so far, over all files.
        bytes: u64,
        /// Bytes of all files together.
        total_bytes: u64,
    },
    /// A solver finished an iteration.
    Iteration {
        /// Iterations finished; 0 is the starting point.
        iteration: usize,
        /// Objective J at the point reached.
        objective: f64,
        /// Largest scale-free gradient entry, as `--tol` measures it.
        gradient_inf_norm: f64,
        /// Full reads of X so far.
        passes: u64,
        /// The point reached: β on the original columns, and β₀; none where there are several classes.
        point: Option<&'a dyn Fn() -> (Vec<f64>, f64)>,
    },
    /// Memory does not hold the rows: from now on they are read from a file in each pass, and this says how far one is.
    Streaming(Arc<Pass>),
    /// A step of work that takes its time has begun.
    Step(String),
    /// Something the user should know although the work goes on.
    Note(String),
}

/// Listens to long work and may ask it to stop.
pub trait Monitor: Sync {
    /// Called now and then from the working thread.
    fn event(&self, _event: Event<'_>) {}
    /// Whether the user asked to stop; solvers look once an iteration.
    fn interrupted(&self) -> bool {
        false
    }
}

/// How far the pass under way is over rows that memory does not hold: written as they are read, and read by whoever shows it.
#[derive(Debug, Default)]
pub struct Pass {
    bytes: AtomicU64,
    total: AtomicU64,
    began: Mutex<Option<Instant>>,
}

impl Pass {
    /// A pass over `total` bytes begins.
    pub(crate) fn begin(&self, total: u64) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.bytes.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many more bytes are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes done, those of the whole pass, and the time since it began; nothing while no pass is under way.
    pub fn under_way(&self) -> Option<(u64, u64, Duration)> {
        let began = (*self.began.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (bytes, total) = (self.bytes.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        (bytes < total).then(|| (bytes, total, began.elapsed()))
    }
}

/// A [`Monitor`] that listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {}

/// Passes on whether the user asked to stop, and no event: for work within the work that is reported on.
pub(crate) struct Unheard<'a>(pub(crate) &'a dyn Monitor);

impl Monitor for Unheard<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
