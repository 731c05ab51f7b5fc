//! What the ranks but the first do while that one fits: they answer it.

use std::collections::HashMap;

use super::ask::{Ask, RowsCall};
use super::held::{Held, Local, answer_of_rows};
use super::{Opened, folds, gather, give, length_of, length_of_rows, numbers_a_row};
use crate::data::{Dataset, Spread};
use crate::engine::cpu::Host;
use crate::engine::gpu::GpuOptions;
use crate::engine::{Device, DeviceRequest, DrawnRows, Shape};
use crate::error::{Error, Result};
use crate::ranks::{Failure, Team};

/// Answers rank 0 about the rows of `data` here, on the device that `request` asks for, until it has no more to ask.
///
/// # Errors
/// [`Error::Rank`] when rank 0 cannot be reached; what fails here is rank 0's to tell.
pub fn serve(data: &Dataset, request: &DeviceRequest, options: &GpuOptions) -> Result<()> {
    let Some(spread) = data.spread.as_deref() else { return Ok(()) };
    Serving::new(spread, request, options, None).until_done().map(|_| ())
}

/// Tells the other ranks of `team` that there is no more to answer.
///
/// # Errors
/// [`Error::Rank`] when they cannot be reached.
pub fn dismiss(team: &Team) -> Result<()> {
    team.tell(&Ask::Done)
}

/// A rank that answers.
struct Serving<'a> {
    spread: &'a Spread,
    request: &'a DeviceRequest,
    options: &'a GpuOptions,
    device: Option<Device>,
    engines: HashMap<u64, Held<'a>>,
    /// The folds of the rows here, as told last.
    folds: Vec<u8>,
    /// What the last call failed with.
    failure: Option<Failure>,
}

impl<'a> Serving<'a> {
    fn new(
        spread: &'a Spread,
        request: &'a DeviceRequest,
        options: &'a GpuOptions,
        device: Option<Device>,
    ) -> Serving<'a> {
        Serving { spread, request, options, device, engines: HashMap::new(), folds: Vec::new(), failure: None }
    }

    /// Answers until there is no more to be asked; the device that was opened for it.
    fn until_done(mut self) -> Result<Option<Device>> {
        let (spread, team) = (self.spread, &self.spread.team);
        loop {
            match team.hear::<Ask>()? {
                Ask::Open(number, models) => {
                    let opened = self.open(models);
                    Opened::told(&opened, team)?;
                    opened.into_iter().for_each(|held| drop(self.engines.insert(number, held)));
                }
                Ask::Close(number) => drop(self.engines.remove(&number)),
                Ask::Engine(number, call) => {
                    let shape = Shape { rows: spread.here.rows, features: spread.units.len(), models: 1 };
                    let engine = self.engines.get_mut(&number);
                    let shape = engine.as_ref().map_or(shape, |held| held.engine().shape());
                    let unknown = || Err(Error::Numerics("internal: an engine was asked for that is none".into()));
                    let rows = DrawnRows { folds: &self.folds, first: spread.first_row() };
                    let mine = engine.map_or_else(unknown, |held| held.answer(&call, rows));
                    match length_of(&call, shape) {
                        Some(length) => self.give(mine, length)?,
                        None => self.failure = mine.err().map(|error| Failure::of(&error, team.rank())),
                    }
                }
                Ask::Rows(call) => self.answer_of_rows(&call)?,
                Ask::Folds => self.folds = folds::heard(spread)?,
                Ask::AgainstRest(class) => {
                    let rest = spread.against_rest(class);
                    self.device = Serving::new(&rest, self.request, self.options, self.device.take()).until_done()?;
                }
                Ask::Why => drop(team.collect(&self.failure.take())?),
                Ask::Done => return Ok(self.device),
            }
        }
    }

    /// An engine over the rows here: the host's own, or the device's for so many models.
    fn open(&mut self, models: Option<usize>) -> Result<Held<'a>> {
        let spread = self.spread;
        let local = match models {
            None => Local::Host(Box::new(Host::new(&spread.here).engine_here())),
            Some(models) => {
                let device = match self.device.take() {
                    Some(device) => device,
                    None => Device::open_for_rank(self.request, self.options, spread.team.local().0)?,
                };
                let opened = device.hold_here(&spread.here, models);
                self.device = Some(device);
                Local::Device(opened?.0)
            }
        };
        Ok(Held::new(local, &spread.units))
    }

    fn answer_of_rows(&mut self, call: &RowsCall) -> Result<()> {
        let rows = DrawnRows { folds: &self.folds, first: self.spread.first_row() };
        let mine = answer_of_rows(self.spread, call, &[], rows);
        if let Some(numbers) = numbers_a_row(call) {
            gather(self.spread, &mine, numbers)?;
            return self.give(mine.map(|_| Vec::new()), 0);
        }
        self.give(mine, length_of_rows(call, self.spread.units.len()))
    }

    /// Gives what there is to a sum.
    fn give(&mut self, mine: Result<Vec<f64>>, length: usize) -> Result<()> {
        self.failure = give(&self.spread.team, mine, length)?.1;
        Ok(())
    }
}
