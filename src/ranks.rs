//! Ranks: the processes that share one job, and the few ways in which they talk.
//!
//! All that goes between them is a broadcast from rank 0, a gathering to rank 0, and sums. A sum is taken along a tree that the number of
//! ranks alone decides (rank r adds what rank r + 2ᵏ has, for k = 0, 1, …), in f64, so that the same number of ranks gives the same
//! bits, whoever is first; MPI's own reductions promise no order.

mod failure;
#[cfg(feature = "mpi")]
pub mod mpi;
#[cfg(test)]
pub(crate) mod threads;

pub(crate) use failure::Failure;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What carries messages between ranks. Every rank makes the same calls in the same order.
pub trait Wire: Send + Sync + std::fmt::Debug {
    /// The number of this rank, from 0 on.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn ranks(&self) -> usize;

    /// The number of this rank among those of its machine, and how many those are.
    fn local(&self) -> (usize, usize);

    /// The bytes of rank 0, on every rank.
    ///
    /// # Errors
    /// [`Error::Rank`] when a rank cannot be reached, as for all that follows.
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// On rank 0 the bytes of each rank in order, elsewhere nothing.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Sends numbers to a rank.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    fn send(&self, values: &[f64], to: usize) -> Result<()>;

    /// Receives as many numbers from a rank as `values` has room for.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    fn receive(&self, values: &mut [f64], from: usize) -> Result<()>;
}

/// What went between the ranks so far, as this one saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Sums over all ranks.
    pub reductions: u64,
    /// Bytes that this rank gave to each sum, all sums together.
    pub reduced_bytes: u64,
    /// Requests that rank 0 sent to all.
    pub requests: u64,
    /// Bytes of them.
    pub request_bytes: u64,
    /// Seconds spent in all of it, waiting for slower ranks included.
    pub seconds: f64,
}

/// The ranks of a job, seen from one of them.
#[derive(Debug)]
pub struct Team {
    wire: Box<dyn Wire>,
    reductions: AtomicU64,
    reduced_bytes: AtomicU64,
    requests: AtomicU64,
    request_bytes: AtomicU64,
    nanoseconds: AtomicU64,
    failure: OnceLock<Failure>,
}

/// What a rank says where all tell each other something.
#[derive(Serialize, Deserialize)]
enum Word {
    Has(String),
    Failed(Failure),
}

impl Team {
    /// The ranks that `wire` connects.
    pub fn new(wire: Box<dyn Wire>) -> Self {
        let none = AtomicU64::default;
        Team {
            wire,
            reductions: none(),
            reduced_bytes: none(),
            requests: none(),
            request_bytes: none(),
            nanoseconds: none(),
            failure: OnceLock::new(),
        }
    }

    /// The number of this rank.
    pub fn rank(&self) -> usize {
        self.wire.rank()
    }

    /// How many ranks there are.
    pub fn ranks(&self) -> usize {
        self.wire.ranks()
    }

    /// The number of this rank among those of its machine, and how many those are.
    pub fn local(&self) -> (usize, usize) {
        self.wire.local()
    }

    /// Whether this is rank 0, which alone prints and writes.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// What went between the ranks so far.
    pub fn traffic(&self) -> Traffic {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            reductions: count(&self.reductions),
            reduced_bytes: count(&self.reduced_bytes),
            requests: count(&self.requests),
            request_bytes: count(&self.request_bytes),
            seconds: count(&self.nanoseconds) as f64 * 1e-9,
        }
    }

    /// Tells all other ranks something; rank 0 does.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn tell<T: Serialize>(&self, words: &T) -> Result<()> {
        let bytes = written(words)?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.request_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.timed(|| self.wire.broadcast(bytes)).map(|_| ())
    }

    /// What rank 0 tells this one.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        read(&self.timed(|| self.wire.broadcast(Vec::new()))?)
    }

    /// What each rank has, in their order, on all of them; where one has failed in the meantime, wherever that was, what it failed with.
    ///
    /// # Errors
    /// That, and as [`Wire::broadcast`].
    pub fn exchange<T: Serialize + DeserializeOwned>(&self, mine: &T) -> Result<Vec<T>> {
        self.exchange_words(Word::Has(text(written(mine)?)?))?.iter().map(|one| read(one.as_bytes())).collect()
    }

    /// What this rank has, if every rank has something; else, on all of them, what the first of those failed with that failed.
    ///
    /// # Errors
    /// That.
    pub fn agree<T>(&self, mine: Result<T>) -> Result<T> {
        match mine {
            Ok(mine) => self.exchange_words(Word::Has(String::new())).map(|_| mine),
            Err(error) => match self.exchange_words(Word::Failed(Failure::of(&error, self.rank()))) {
                Ok(_) => Err(error),
                Err(agreed) => Err(agreed),
            },
        }
    }

    /// Whether all ranks know that one has failed.
    pub fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    fn exchange_words(&self, mine: Word) -> Result<Vec<String>> {
        // Once all know of a failure nobody waits for anyone any more.
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone().error());
        }
        let mine = written(&mine)?;
        let all = self.timed(|| {
            let gathered = self.wire.gather(&mine)?;
            self.wire.broadcast(written(&gathered.into_iter().map(text).collect::<Result<Vec<String>>>()?)?)
        })?;
        let mut words = Vec::with_capacity(self.ranks());
        for word in read::<Vec<String>>(&all)? {
            match read(word.as_bytes())? {
                Word::Has(said) => words.push(said),
                Word::Failed(failure) => return Err(self.failure.get_or_init(|| failure).clone().error()),
            }
        }
        Ok(words)
    }

    /// What each rank has, in their order, on rank 0; nothing elsewhere.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn collect<T: Serialize + DeserializeOwned>(&self, mine: &T) -> Result<Vec<T>> {
        let mine = written(mine)?;
        self.timed(|| self.wire.gather(&mine))?.iter().map(|one| read(one)).collect()
    }

    /// On rank 0 the numbers of all ranks, one after the other, of which rank r has `lengths[r]`; nothing elsewhere.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn gather_numbers(&self, mine: Vec<f64>, lengths: &[usize]) -> Result<Vec<f64>> {
        if !self.leads() {
            self.timed(|| self.wire.send(&mine, 0))?;
            return Ok(Vec::new());
        }
        let mut all = mine;
        for (rank, length) in lengths.iter().enumerate().skip(1) {
            let start = all.len();
            all.resize(start + length, 0.0);
            self.timed(|| self.wire.receive(&mut all[start..], rank))?;
        }
        Ok(all)
    }

    /// The numbers of this rank among those that rank 0 has of all, of which rank r gets `lengths[r]`.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn scatter_numbers(&self, all: &[f64], lengths: &[usize]) -> Result<Vec<f64>> {
        if !self.leads() {
            let mut mine = vec![0.0; lengths[self.rank()]];
            self.timed(|| self.wire.receive(&mut mine, 0))?;
            return Ok(mine);
        }
        let (mine, mut rest) = all.split_at(lengths[0]);
        for (rank, length) in lengths.iter().enumerate().skip(1) {
            let (theirs, later) = rest.split_at(*length);
            self.timed(|| self.wire.send(theirs, rank))?;
            rest = later;
        }
        Ok(mine.to_vec())
    }

    /// Σ over the ranks of `length` numbers each, on rank 0; of no meaning elsewhere. Nothing where a rank has none to give.
    ///
    /// # Errors
    /// As [`Wire::broadcast`].
    pub fn sum(&self, mine: Option<Vec<f64>>, length: usize) -> Result<Option<Vec<f64>>> {
        // The last number counts the ranks that have none to give.
        let lacks = mine.as_ref().is_none_or(|mine| mine.len() != length);
        let mut values = mine.filter(|_| !lacks).unwrap_or_else(|| vec![0.0; length]);
        values.push(f64::from(u8::from(lacks)));
        self.reductions.fetch_add(1, Ordering::Relaxed);
        self.reduced_bytes.fetch_add(size_of_val(values.as_slice()) as u64, Ordering::Relaxed);
        self.timed(|| self.add_up(&mut values))?;
        Ok(values.pop().filter(|lacking| *lacking == 0.0).map(|_| values))
    }

    fn add_up(&self, values: &mut [f64]) -> Result<()> {
        let (rank, ranks) = (self.rank(), self.ranks());
        let mut theirs = vec![0.0; values.len()];
        let mut apart = 1;
        while apart < ranks {
            if !rank.is_multiple_of(2 * apart) {
                return self.wire.send(values, rank - apart);
            }
            if rank + apart < ranks {
                self.wire.receive(&mut theirs, rank + apart)?;
                values.iter_mut().zip(&theirs).for_each(|(sum, x)| *sum += x);
            }
            apart *= 2;
        }
        Ok(())
    }

    fn timed<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let done = work();
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }
}

fn written<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Rank(format!("a message cannot be written: {e}")))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| Error::Rank(format!("a message cannot be read: {e}")))
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| Error::Rank(format!("a message cannot be read: {e}")))
}

/// Numbers as messages carry them: each bit of them, also of those that JSON has no word for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
pub(crate) struct Bits(pub(crate) Vec<f64>);

impl From<Vec<u64>> for Bits {
    fn from(bits: Vec<u64>) -> Self {
        Bits(bits.into_iter().map(f64::from_bits).collect())
    }
}

impl From<Bits> for Vec<u64> {
    fn from(Bits(values): Bits) -> Self {
        values.into_iter().map(f64::to_bits).collect()
    }
}
