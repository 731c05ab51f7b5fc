//! Progress on stderr, and Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::monitor::{Event, Monitor};

/// Set by the first Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Set by the first iteration: from then on there is a point worth keeping.
static FITTING: AtomicBool = AtomicBool::new(false);

/// The handler of Ctrl-C. While a fit runs the first one asks it to stop with the best point so far; another one, or
/// one while nothing is computed yet, ends the program.
pub(super) fn interrupt() {
    if INTERRUPTED.swap(true, Ordering::SeqCst) || !FITTING.load(Ordering::SeqCst) {
        std::process::exit(130);
    }
}

/// Shows long work on stderr: a line that renews itself on a terminal, a line an iteration with `-v`.
pub(super) struct Terminal {
    quiet: bool,
    verbose: bool,
    bar: ProgressBar,
    /// The phase shown.
    phase: Mutex<&'static str>,
}

impl Terminal {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        // indicatif draws nothing where stderr is no terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Terminal { quiet, verbose, bar: ProgressBar::with_draw_target(None, target), phase: Mutex::new("") }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Says something that is no result.
    pub(super) fn note(&self, message: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{message}"));
        }
    }

    /// Warns, even when quiet.
    pub(super) fn warn(&self, message: &str) {
        self.bar.suspend(|| eprintln!("warning: {message}"));
    }

    fn show_reading(&self, rows: u64, bytes: u64, total: u64) {
        self.enter("reading", "{prefix} {bar:30} {percent:>3}%  {msg}  {eta} left");
        self.bar.set_length(total);
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{} rows, {}", HumanCount(rows), HumanBytes(bytes)));
    }

    /// A line of work: kept with `-v`, else renewed in place.
    fn show_work(&self, phase: &'static str, line: &str) {
        if self.verbose {
            self.note(&format!("{phase} {line}"));
            return;
        }
        self.enter(phase, "{spinner} {prefix} {msg}");
        self.bar.set_message(line.to_owned());
    }

    /// Gives the line the look of another phase.
    fn enter(&self, phase: &'static str, template: &str) {
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == phase {
            return;
        }
        *current = phase;
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(phase);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }
}

impl Monitor for Terminal {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Reading { rows, bytes, total_bytes, .. } => self.show_reading(rows, bytes, total_bytes),
            Event::Iteration { iteration, objective, gradient_inf_norm, passes, .. } => {
                FITTING.store(true, Ordering::SeqCst);
                let line = format!(
                    "iteration {iteration:>4}  J {objective:<22.15e}  largest slope {gradient_inf_norm:.2e}  passes {passes}"
                );
                self.show_work("fitting", &line);
            }
            Event::Step(message) => self.show_work("working", &message),
            Event::Note(message) => self.note(&format!("note: {message}")),
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}
