//! What computes: the device that is asked for, and an engine on it.

use super::cpu::CpuEngine;
use super::gpu::{self, GpuOptions, GpuRequest};
use super::{Engine, RankedEngine};
use crate::data::{Dataset, Precision};
use crate::error::Result;

/// What `--device` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRequest {
    /// A real GPU if there is one, else the CPU engine.
    Auto,
    /// The CPU engine.
    Cpu,
    /// A GPU: a real one if there is one, else a software one.
    Gpu,
    /// The adapter with this id or name.
    Named(String),
}

/// Seconds it took to open an engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// Adapter and pipelines.
    pub setup: f64,
    /// Copying rows to the device.
    pub upload: f64,
}

/// A device that is ready to hold rows: one set after another, or several at once.
pub struct Device {
    gpu: Option<gpu::Device>,
    options: GpuOptions,
}

impl Device {
    /// The device that `request` asks for.
    ///
    /// # Errors
    /// [`crate::error::Error::NoDevice`] when nothing answers the request; [`crate::error::Error::Device`] when what answers
    /// fails. What was asked for is never exchanged for another.
    pub fn open(request: &DeviceRequest, options: &GpuOptions) -> Result<Device> {
        Device::open_for_rank(request, options, 0)
    }

    /// The same where `local` other ranks of this machine have taken theirs: one real GPU after the other, and again from the first.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub(crate) fn open_for_rank(request: &DeviceRequest, options: &GpuOptions, local: usize) -> Result<Device> {
        let request = match request {
            DeviceRequest::Cpu => None,
            DeviceRequest::Auto => gpu::choose_real(local).map(GpuRequest::Named),
            DeviceRequest::Gpu if local > 0 => Some(gpu::choose_real(local).map_or(GpuRequest::Any, GpuRequest::Named)),
            DeviceRequest::Gpu => Some(GpuRequest::Any),
            DeviceRequest::Named(name) => Some(GpuRequest::Named(name.clone())),
        };
        let gpu = request.map(|request| gpu::Device::open(&request, options)).transpose()?;
        Ok(Device { gpu, options: options.clone() })
    }

    /// An engine that holds `data`, for `models` models at once, and the seconds it took to have it; those of the device itself
    /// count for each.
    ///
    /// # Errors
    /// [`crate::error::Error::NoDevice`] when the problem cannot fit the device's limits; [`crate::error::Error::Device`] when it
    /// fails or its memory does not suffice.
    pub fn hold<'a>(&self, data: &'a Dataset, models: usize) -> Result<(Box<dyn Engine + 'a>, Opening)> {
        let Some(spread) = &data.spread else { return self.hold_here(data, models) };
        let mut opening = Opening::default();
        let engine = RankedEngine::on_devices(spread, models, || {
            let (engine, took) = self.hold_here(&spread.here, models)?;
            opening = took;
            Ok(engine)
        })?;
        Ok((Box::new(engine), opening))
    }

    /// The same of the rows of this process.
    pub(super) fn hold_here<'a>(&self, data: &'a Dataset, models: usize) -> Result<(Box<dyn Engine + 'a>, Opening)> {
        let features = data.features.len();
        match self.gpu.as_ref().filter(|_| data.rows > 0) {
            None => Ok((Box::new(CpuEngine::new(&data.blocks, features, models, Precision::F32)), Opening::default())),
            Some(device) => device.hold(&data.blocks, features, models, &self.options),
        }
    }
}

/// The engine on the device that `request` asks for, holding `data`, for `models` models at once.
///
/// # Errors
/// As [`Device::open`] and [`Device::hold`].
pub fn open<'a>(
    request: &DeviceRequest,
    data: &'a Dataset,
    models: usize,
    options: &GpuOptions,
) -> Result<(Box<dyn Engine + 'a>, Opening)> {
    Device::open(request, options)?.hold(data, models)
}
