//! Ranks as MPI starts them: `mpirun -n N`, `srun --mpi=...`, an MPI operator.

use std::sync::Mutex;

use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Root, Source};
use mpi::{Count, Threading};

use super::{Team, Wire};
use crate::error::{Error, Result};

/// Numbers of one message at the most: MPI counts them in 32 bits.
const MOST_NUMBERS: usize = 1 << 26;
/// Variables that launchers give to the processes they start, whichever MPI and whichever launcher.
const LAUNCHED: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MPI_LOCALRANKID"];

/// MPI, from its start to its end.
pub struct Session {
    universe: Universe,
}

impl Session {
    /// Joins the job that a launcher started this process for; `None` where there is no launcher.
    ///
    /// # Errors
    /// [`Error::Rank`] when MPI does not start.
    pub fn join() -> Result<Option<Session>> {
        if !LAUNCHED.iter().any(|name| std::env::var_os(name).is_some()) {
            return Ok(None);
        }
        match mpi::initialize_with_threading(Threading::Serialized) {
            Some((universe, threading)) if threading >= Threading::Serialized => Ok(Some(Session { universe })),
            _ => Err(Error::Rank("this MPI does not start, or not for a process of several threads".into())),
        }
    }

    /// The ranks of the job; `None` where this is the only one.
    pub fn team(&self) -> Option<Team> {
        let world = self.universe.world();
        let (rank, ranks) = (number(world.rank()), number(world.size()));
        let machine = world.split_shared(world.rank());
        let local = (number(machine.rank()), number(machine.size()));
        (ranks > 1).then(|| Team::new(Box::new(World { rank, ranks, local, one_at_a_time: Mutex::new(()) })))
    }

    /// Ends all processes of the job at once, with this exit code.
    pub fn abort(code: u8) -> ! {
        SimpleCommunicator::world().abort(i32::from(code))
    }
}

/// A number of ranks, which MPI keeps as a C int that is not negative.
fn number(count: i32) -> usize {
    usize::try_from(count).unwrap_or_default()
}

/// MPI_COMM_WORLD. Its errors end the job (MPI_ERRORS_ARE_FATAL): nothing can be mended that the launcher cannot.
#[derive(Debug)]
struct World {
    rank: usize,
    ranks: usize,
    local: (usize, usize),
    /// What MPI_THREAD_SERIALIZED asks for.
    one_at_a_time: Mutex<()>,
}

impl World {
    /// Calls `work` with the communicator, and with nobody else.
    fn with<T>(&self, work: impl FnOnce(SimpleCommunicator) -> Result<T>) -> Result<T> {
        let _mine = self.one_at_a_time.lock().map_err(|_| Error::Rank("a thread that talked to them failed".into()))?;
        work(SimpleCommunicator::world())
    }
}

impl Wire for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn local(&self) -> (usize, usize) {
        self.local
    }

    fn broadcast(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.with(|world| {
            let root = world.process_at_rank(0);
            let mut length = bytes.len() as u64;
            root.broadcast_into(&mut length);
            bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
            bytes.chunks_mut(MOST_NUMBERS).for_each(|part| root.broadcast_into(part));
            Ok(bytes)
        })
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.with(|world| {
            let root = world.process_at_rank(0);
            let length = bytes.len() as u64;
            if self.rank != 0 {
                root.gather_into(&length);
                root.gather_varcount_into(bytes);
                return Ok(Vec::new());
            }
            let mut lengths = vec![0u64; self.ranks];
            root.gather_into_root(&length, &mut lengths[..]);
            let long = |_| Error::Rank("what they have to say of the data is more than 2 GiB".into());
            let counts =
                lengths.iter().map(|n| Count::try_from(*n)).collect::<Result<Vec<Count>, _>>().map_err(long)?;
            let starts = lengths.iter().scan(0u64, |end, n| {
                let start = *end;
                *end += n;
                Some(Count::try_from(start))
            });
            let starts = starts.collect::<Result<Vec<Count>, _>>().map_err(long)?;
            let mut all = vec![0u8; usize::try_from(lengths.iter().sum::<u64>()).unwrap_or_default()];
            root.gather_varcount_into_root(bytes, &mut PartitionMut::new(&mut all[..], counts, starts));
            let mut rest = &all[..];
            let one = |length: &u64| {
                let (one, later) = rest.split_at(usize::try_from(*length).unwrap_or_default());
                rest = later;
                one.to_vec()
            };
            Ok(lengths.iter().map(one).collect())
        })
    }

    fn send(&self, values: &[f64], to: usize) -> Result<()> {
        self.with(|world| {
            let to = world.process_at_rank(to as i32);
            values.chunks(MOST_NUMBERS).for_each(|part| to.send(part));
            Ok(())
        })
    }

    fn receive(&self, values: &mut [f64], from: usize) -> Result<()> {
        self.with(|world| {
            let from = world.process_at_rank(from as i32);
            values.chunks_mut(MOST_NUMBERS).for_each(|part| {
                from.receive_into(part);
            });
            Ok(())
        })
    }
}
