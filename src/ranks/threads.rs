//! Ranks as threads of one process, for tests.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::{Team, Wire};
use crate::error::{Error, Result};

/// A message.
enum Parcel {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
}

#[derive(Debug)]
struct Thread {
    rank: usize,
    /// To each rank.
    to: Vec<Sender<Parcel>>,
    /// From each rank.
    from: Vec<Mutex<Receiver<Parcel>>>,
}

impl Thread {
    fn put(&self, parcel: Parcel, to: usize) -> Result<()> {
        self.to[to].send(parcel).map_err(|_| Error::Rank(format!("rank {to} has ended")))
    }

    fn take(&self, from: usize) -> Result<Parcel> {
        let parcel = self.from[from].lock().map(|from| from.recv());
        parcel.ok().and_then(Result::ok).ok_or_else(|| Error::Rank(format!("rank {from} has ended")))
    }

    fn bytes(&self, from: usize) -> Result<Vec<u8>> {
        match self.take(from)? {
            Parcel::Bytes(bytes) => Ok(bytes),
            Parcel::Numbers(_) => Err(Error::Rank("numbers where bytes were expected".into())),
        }
    }
}

impl Wire for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.to.len()
    }

    fn local(&self) -> (usize, usize) {
        (self.rank, self.ranks())
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.rank > 0 {
            return self.bytes(0);
        }
        (1..self.ranks()).try_for_each(|to| self.put(Parcel::Bytes(bytes.clone()), to))?;
        Ok(bytes)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.rank > 0 {
            self.put(Parcel::Bytes(bytes.to_vec()), 0)?;
            return Ok(Vec::new());
        }
        std::iter::once(Ok(bytes.to_vec())).chain((1..self.ranks()).map(|from| self.bytes(from))).collect()
    }

    fn send(&self, values: &[f64], to: usize) -> Result<()> {
        self.put(Parcel::Numbers(values.to_vec()), to)
    }

    fn receive(&self, values: &mut [f64], from: usize) -> Result<()> {
        match self.take(from)? {
            Parcel::Numbers(numbers) if numbers.len() == values.len() => {
                values.copy_from_slice(&numbers);
                Ok(())
            }
            _ => Err(Error::Rank("what was received is not what was expected".into())),
        }
    }
}

/// What `work` makes on each of `ranks` ranks, in their order.
pub(crate) fn run<T: Send>(ranks: usize, work: impl Fn(Arc<Team>) -> T + Sync) -> Vec<T> {
    let mut to: Vec<Vec<Sender<Parcel>>> = (0..ranks).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<Mutex<Receiver<Parcel>>>> = (0..ranks).map(|_| Vec::new()).collect();
    for sender in &mut to {
        for receiver in &mut from {
            let (send, receive) = channel();
            sender.push(send);
            receiver.push(Mutex::new(receive));
        }
    }
    let threads = to.into_iter().zip(from).enumerate().map(|(rank, (to, from))| Thread { rank, to, from });
    let teams: Vec<Arc<Team>> = threads.map(|thread| Arc::new(Team::new(Box::new(thread)))).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = teams.into_iter().map(|team| scope.spawn(|| work(team))).collect();
        running.into_iter().map(|one| one.join().expect("a rank panicked")).collect()
    })
}
