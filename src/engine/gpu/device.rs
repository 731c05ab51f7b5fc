//! An open device: creation under error scopes, waits with a time-out, faults recorded instead of panics, and a count
//! of the bytes held.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Bytes of a buffer whose copy tells the bandwidth, and how often it is copied.
const COPIED_BYTES: u64 = 64 << 20;
const COPIES: u64 = 4;

thread_local! {
    static WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread waits for a device: wgpu panics where that is lost meanwhile, which is caught and told as any other fault.
pub fn is_waiting() -> bool {
    WAITING.get()
}

/// The first fault that the device reported outside of any error scope.
type Fault = Arc<Mutex<Option<String>>>;

/// The format of storage textures: four f32 a texel.
pub(super) const IMAGE_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// An open device and its queue.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    timeout: Duration,
    fault: Fault,
    held: Cell<u64>,
    peak: Cell<u64>,
}

impl Gpu {
    /// Opens `adapter` with exactly `limits` and `features`.
    pub(super) fn open(
        adapter: &wgpu::Adapter,
        limits: wgpu::Limits,
        features: wgpu::Features,
        timeout: Duration,
    ) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gpulogit"),
            required_features: features,
            required_limits: limits,
            // What is held should be what was asked for: large pools would double small problems.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
            Error::NoDevice(format!(
                "{} does not open: {}; try --device cpu",
                adapter.get_info().name,
                one_line(&error.to_string())
            ))
        })?;
        let fault = Fault::default();
        let uncaptured = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| record(&uncaptured, error.to_string())));
        let lost = Arc::clone(&fault);
        device.set_device_lost_callback(move |_, message| record(&lost, format!("the device was lost: {message}")));
        Ok(Gpu { device, queue, timeout, fault, held: Cell::new(0), peak: Cell::new(0) })
    }

    /// The same device, with a count of its own of what is held.
    pub(super) fn share(&self) -> Self {
        let (device, queue, fault) = (self.device.clone(), self.queue.clone(), Arc::clone(&self.fault));
        Gpu { device, queue, timeout: self.timeout, fault, held: Cell::new(0), peak: Cell::new(0) }
    }

    /// Runs `create` under error scopes.
    pub(super) fn scoped<T>(&self, what: &str, create: impl FnOnce() -> T) -> Result<T> {
        let scopes = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory]
            .map(|filter| self.device.push_error_scope(filter));
        let made = create();
        let mut failure = None;
        // Scopes are a stack: the last one opened closes first.
        for scope in scopes.into_iter().rev() {
            failure = pollster::block_on(scope.pop()).or(failure);
        }
        match failure {
            None => self.check().map(|()| made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(Error::Device(format!(
                "out of memory for the {what} ({} MiB are held already); a smaller --device-memory sends the rows in turn",
                self.held.get() >> 20
            ))),
            Some(error) => Err(Error::Device(format!("the {what} was refused: {}", one_line(&error.to_string())))),
        }
    }

    /// A buffer of `bytes` (at least 16, so that it can always be bound).
    pub(super) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.create(label, bytes, usage, false)
    }

    /// A buffer that is mapped already, to be written.
    pub(super) fn mapped_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.create(label, bytes, usage, true)
    }

    fn create(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> Result<wgpu::Buffer> {
        let size = bytes.max(16).next_multiple_of(4);
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: mapped };
        let buffer = self.scoped(label, || self.device.create_buffer(&descriptor))?;
        self.hold(size);
        Ok(buffer)
    }

    /// A storage texture of one quad of f32 a texel, and its view.
    pub(super) fn image(&self, label: &str, width: u32, height: u32) -> Result<(wgpu::Texture, wgpu::TextureView)> {
        let descriptor = wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: IMAGE_FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        };
        let texture = self.scoped(label, || self.device.create_texture(&descriptor))?;
        self.hold(u64::from(width) * u64::from(height) * 16);
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok((texture, view))
    }

    fn hold(&self, bytes: u64) {
        self.held.set(self.held.get() + bytes);
        self.peak.set(self.peak.get().max(self.held.get()));
    }

    /// Gives `buffer` back.
    pub(super) fn release(&self, buffer: &wgpu::Buffer) {
        buffer.destroy();
        self.held.set(self.held.get() - buffer.size());
    }

    /// Bytes of the buffers and textures held at one time, at the most.
    pub(super) fn peak(&self) -> u64 {
        self.peak.get()
    }

    /// Waits until `submission` is done and its callbacks were called.
    pub(super) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        // A device that is lost already is not waited for: wgpu would panic.
        self.check()?;
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(self.timeout) };
        // wgpu panics when a device is lost during a wait; that is a fault like any other.
        WAITING.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(poll)));
        WAITING.set(false);
        let Ok(polled) = polled else {
            record(&self.fault, "the device was lost".into());
            return self.check();
        };
        self.check()?;
        match polled {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(Error::Device(format!("no answer within {} s", self.timeout.as_secs_f64())))
            }
            Err(error) => Err(Error::Device(one_line(&error.to_string()))),
        }
    }

    /// Bytes a second that the device reads and writes when it copies from one buffer to another.
    pub(super) fn copy_bandwidth(&self) -> Result<f64> {
        let bytes = COPIED_BYTES.min(self.device.limits().max_buffer_size);
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let (from, to) = (self.buffer("copied", bytes, usage)?, self.buffer("copy", bytes, usage)?);
        let copies = |times: u64| {
            let mut encoder =
                self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("copy") });
            for _ in 0..times {
                encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes);
            }
            let start = Instant::now();
            let submission = self.queue.submit([encoder.finish()]);
            self.wait(submission).map(|()| start.elapsed().as_secs_f64())
        };
        // The first copy touches the memory for the first time.
        copies(1)?;
        let seconds = copies(COPIES)?;
        self.release(&from);
        self.release(&to);
        Ok((2 * bytes * COPIES) as f64 / seconds)
    }

    /// That nothing went wrong so far.
    pub(super) fn check(&self) -> Result<()> {
        match self.fault.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Ok(()),
            Some(message) => Err(Error::Device(message.clone())),
        }
    }
}

fn record(fault: &Fault, message: String) {
    fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| one_line(&message));
}

/// The start of a driver's story, as one line.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).take(6).collect();
    lines.join(" ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{GpuOptions, GpuRequest, adapter};
    use super::*;

    #[test]
    fn a_faulty_device_is_not_waited_for() {
        let options = GpuOptions { default_limits: true, ..GpuOptions::default() };
        let (gpu, ..) = adapter::open(&GpuRequest::Any, &options).expect("this test needs an adapter");
        let submitted = || {
            let (send, done) = std::sync::mpsc::channel();
            let submission = gpu.queue.submit([]);
            gpu.queue.on_submitted_work_done(move || send.send(()).unwrap());
            (submission, done)
        };
        let (submission, done) = submitted();
        gpu.wait(submission).unwrap();
        assert!(done.try_recv().is_ok(), "a wait calls what was to be called");
        let (submission, done) = submitted();
        record(&gpu.fault, "the device was lost".into());
        assert!(matches!(gpu.wait(submission), Err(Error::Device(text)) if text == "the device was lost"));
        assert!(done.try_recv().is_err(), "it was polled");
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        assert!(done.try_recv().is_ok());
    }
}
