//! Progress on stderr, and Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::job;
use crate::monitor::{Event, Monitor, Pass};

/// Set by the first Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Set by the first iteration: from then on there is a point worth keeping.
static FITTING: AtomicBool = AtomicBool::new(false);

/// The handler of Ctrl-C. While a fit runs the first one asks it to stop with the best point so far; another one, or
/// one while nothing is computed yet, ends the program.
pub(super) fn interrupt() {
    let again = INTERRUPTED.swap(true, Ordering::SeqCst);
    job::end_by_signal();
    if again || !FITTING.load(Ordering::SeqCst) {
        std::process::exit(130);
    }
}

/// Shows long work on stderr: a line that renews itself on a terminal, a line an iteration with `-v`.
pub(super) struct Terminal {
    /// Whether not even warnings are shown.
    mute: bool,
    quiet: bool,
    verbose: bool,
    bar: ProgressBar,
    /// The phase shown.
    phase: Mutex<&'static str>,
    /// How far a pass is over rows that memory does not hold.
    pass: Arc<Mutex<Option<Arc<Pass>>>>,
    /// What it warned of.
    warnings: Mutex<Vec<String>>,
}

impl Terminal {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        // indicatif draws nothing where stderr is no terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Terminal {
            mute: false,
            quiet,
            verbose,
            bar: ProgressBar::with_draw_target(None, target),
            phase: Mutex::new(""),
            pass: Arc::default(),
            warnings: Mutex::default(),
        }
    }

    /// That of a rank that has nothing to say: rank 0 does.
    pub(super) fn mute() -> Self {
        Terminal { mute: true, ..Terminal::new(true, false) }
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
        if !self.mute {
            self.bar.suspend(|| eprintln!("warning: {message}"));
        }
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_owned());
    }

    /// What it has warned of.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show_reading(&self, rows: u64, bytes: u64, total: u64) {
        // Nobody knows how much is still to come on standard input.
        let template = if total > 0 {
            "{prefix} {bar:30} {percent:>3}%  {msg}, {binary_bytes_per_sec}  {eta} left"
        } else {
            "{spinner} {prefix} {msg}"
        };
        self.enter("reading", template);
        self.bar.set_length(total);
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{} rows, {}", HumanCount(rows), HumanBytes(bytes)));
    }

    /// A line of work: kept with `-v`, else renewed in place.
    fn show_work(&self, phase: &'static str, line: &str) {
        if self.verbose {
            self.note(&format!("{phase} {line}"));
            if self.pass.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                self.enter(phase, "{spinner} {prefix} {pass}");
            }
            return;
        }
        self.enter(phase, "{spinner} {prefix} {msg}  {pass}");
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
            let pass = Arc::clone(&self.pass);
            let show = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                let pass = pass.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(words) = pass.as_deref().and_then(pass_words) {
                    // What cannot be shown is not shown.
                    let _ = out.write_str(&words);
                }
            };
            self.bar.set_style(style.with_key("pass", show));
        }
        self.bar.set_prefix(phase);
        self.bar.enable_steady_tick(Duration::from_millis(200));
    }
}

/// How far a pass is, and how long it will take.
fn pass_words(pass: &Pass) -> Option<String> {
    let (bytes, total, elapsed) = pass.under_way()?;
    let rate = bytes as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = Duration::from_secs_f64(((total - bytes) as f64 / rate.max(1.0)).ceil().min(1e9));
    let (done, rate) = (100 * u128::from(bytes) / u128::from(total), HumanBytes(rate as u64));
    Some(format!("pass {done:>3}% of {}, {rate}/s, {} left", HumanBytes(total), HumanDuration(left)))
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
            Event::Streaming(pass) => {
                *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = Some(pass);
                self.show_work("packing", "the rows that memory does not hold");
            }
            Event::Step(message) => self.show_work("working", &message),
            Event::Note(message) => self.note(&format!("note: {message}")),
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::SeqCst)
    }
}
