//! The job that this process is one rank of: `mpirun -n N gpulogit train ...`.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::args::{Command, TrainArgs};
use super::exit::Outcome;
use crate::data::Training;
use crate::engine::gpu::GpuOptions;
use crate::engine::{DeviceRequest, dismiss, serve};
use crate::error::{Error, Result};
use crate::ranks::Team;
#[cfg(feature = "mpi")]
use crate::ranks::mpi::Session;

/// How long a signal lets the work go on: launchers kill what does not end a second after it.
const GRACE: Duration = Duration::from_millis(250);

/// Whether there are several ranks, and whether this is the first of them.
static SEVERAL: AtomicBool = AtomicBool::new(false);
static LEADS: AtomicBool = AtomicBool::new(false);
/// What is there to go on from when the job is ended from outside.
static REMEDY: OnceLock<String> = OnceLock::new();

/// The job, until it ends.
pub(super) struct Job {
    pub(super) team: Option<Arc<Team>>,
    /// Behind the team, which talks by it.
    #[cfg(feature = "mpi")]
    session: Option<Session>,
}

#[cfg(feature = "mpi")]
impl Job {
    /// Joins the job that a launcher started this process for, if one did.
    pub(super) fn join() -> Result<Job> {
        let session = Session::join()?;
        let team = session.as_ref().and_then(Session::team).map(Arc::new);
        if let Some(team) = &team {
            SEVERAL.store(true, Ordering::SeqCst);
            LEADS.store(team.leads(), Ordering::SeqCst);
            end_job_on_panic();
        }
        Ok(Job { team, session })
    }

    /// Leaves the job: together with the other ranks where `together`, else by ending it.
    pub(super) fn leave(self, together: bool, code: u8) {
        let several = self.team.is_some();
        drop(self.team);
        if several && !together {
            Session::abort(code);
        }
        drop(self.session);
    }
}

/// Ends all ranks where this one panics: they would wait for it for ever.
#[cfg(feature = "mpi")]
fn end_job_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        if !crate::data::is_decoding() {
            Session::abort(1);
        }
    }));
}

#[cfg(not(feature = "mpi"))]
impl Job {
    /// Refuses to be one of several processes that know nothing of each other.
    pub(super) fn join() -> Result<Job> {
        let size = |name: &&str| std::env::var(name).ok().and_then(|size| size.parse::<usize>().ok());
        match ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].iter().find_map(size) {
            Some(ranks @ 2..) => Err(Error::Usage(format!(
                "this gpulogit was built without MPI, so that {ranks} processes would fit the same model {ranks} times; build it \
                 with `cargo build --release --features mpi`"
            ))),
            _ => Ok(Job { team: None }),
        }
    }

    /// Nobody is left behind.
    pub(super) fn leave(self, _together: bool, _code: u8) {}
}

/// How many ranks there are.
pub(super) fn ranks(team: Option<&Arc<Team>>) -> usize {
    team.map_or(1, |team| team.ranks())
}

/// Refuses what several ranks do not do together.
pub(super) fn check(team: Option<&Arc<Team>>, command: &Command) -> Result<()> {
    let Some(team) = team else { return Ok(()) };
    let (files, refused) = match command {
        Command::Train(args) => (&args.data.files, refused_of_train(args)),
        Command::Cv(args) => (&args.data.files, None),
        Command::Path(args) => (&args.data.files, None),
        Command::Predict(args) => (&args.rows.files, None),
        Command::Evaluate(args) => (&args.rows.files, None),
        _ => {
            return Err(Error::Usage(format!(
                "this command is not shared by several ranks, and there are {}; run it without mpirun",
                team.ranks()
            )));
        }
    };
    let stream = files.iter().any(|file| file.as_os_str() == "-").then_some("standard input (-)");
    match refused.or(stream) {
        Some(option) => Err(Error::Usage(format!(
            "{option} cannot be shared by several ranks yet; leave it out, or run without mpirun"
        ))),
        None => Ok(()),
    }
}

/// An option that was given which several ranks do not do together.
fn refused_of_train(args: &TrainArgs) -> Option<&'static str> {
    let given = [
        ("--holdout", args.holdout.is_some()),
        ("--replay", args.replay.is_some()),
        ("--report", args.page.report.is_some()),
        ("--diagnostics", args.diagnostics),
        ("--influence", args.inference.influence.is_some()),
        ("--firth", args.fit.firth),
    ];
    given.iter().find_map(|(option, given)| given.then_some(*option))
}

/// Does `work` with what was `loaded`; where ranks share the rows of its `training`, the first of them does, and the others serve it on
/// the device that `request` asks for until it is done.
pub(super) fn lead<T>(
    team: Option<&Arc<Team>>,
    loaded: Result<T>,
    training: impl FnOnce(&T) -> &Training,
    (request, device_memory): (&DeviceRequest, Option<u64>),
    work: impl FnOnce(T) -> Result<Outcome>,
) -> Result<Outcome> {
    let Some(team) = team else { return work(loaded?) };
    let loaded = team.agree(loaded)?;
    if !team.leads() {
        let gpu = GpuOptions { device_memory, ..GpuOptions::default() };
        serve(&training(&loaded).train, request, &gpu)?;
        return Ok(Outcome::Done);
    }
    let done = work(loaded);
    dismiss(team)?;
    done
}

/// Notes what a job that is ended from outside can be gone on with.
pub(super) fn note_remedy(args: &TrainArgs) {
    let remedy = match &args.checkpoint {
        Some(path) => format!("the same command with --resume goes on from {}", path.display()),
        None => "with --checkpoint FILE it could go on from where it was".to_owned(),
    };
    // There is one fit a process.
    let _ = REMEDY.set(remedy);
}

/// What a signal does where there are several ranks: a launcher sends it when one of them is lost, or the user stopped the job. The
/// fit is given a moment to keep its best point, then this rank ends.
pub(super) fn end_by_signal() {
    if !SEVERAL.load(Ordering::SeqCst) {
        return;
    }
    std::thread::sleep(GRACE);
    if LEADS.load(Ordering::SeqCst) {
        let remedy = REMEDY.get().map_or("run it again", String::as_str);
        eprintln!("error: the job was ended from outside: another rank was lost, or it was stopped; {remedy}");
    }
    std::process::exit(1);
}

/// Threads of this rank where the user says nothing: those that the launcher bound it to, else its share of the machine's.
pub(super) fn threads(team: &Team) -> usize {
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = std::fs::read_to_string("/proc/cpuinfo");
    let cores = machine.map_or(here, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    let ranks = team.local().1.max(1);
    if here * ranks <= cores { here } else { (here / ranks).max(1) }
}
