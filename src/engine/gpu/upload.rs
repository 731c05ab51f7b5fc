//! Upload: host values go to device buffers through a small ring of staging buffers of our own, since
//! `Queue::write_buffer` would stage every byte into fresh memory until a submission ends.

use std::sync::mpsc;

use super::device::Gpu;
use crate::error::{Error, Result};

/// Bytes of one staging buffer.
const STAGING_BYTES: usize = 8 << 20;
/// Staging buffers: while one is copied from, the other is written.
const STAGING_BUFFERS: usize = 2;
/// Values rounded to f32 at a time, small enough to stay in cache.
const ROUNDED: usize = 8 << 10;

/// Host values to be uploaded as f32.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// As they are.
    F32(&'a [f32]),
    /// Rounded to f32 while they are staged.
    F64(&'a [f64]),
}

impl<'a> Source<'a> {
    fn len(&self) -> usize {
        match self {
            Source::F32(values) => values.len(),
            Source::F64(values) => values.len(),
        }
    }

    fn range(&self, start: usize, end: usize) -> Source<'a> {
        match self {
            Source::F32(values) => Source::F32(&values[start..end]),
            Source::F64(values) => Source::F64(&values[start..end]),
        }
    }
}

/// The ring of staging buffers.
#[derive(Debug)]
pub(super) struct Uploader<'a> {
    gpu: &'a Gpu,
    staging: Vec<Staging>,
    next: usize,
}

#[derive(Debug)]
struct Staging {
    buffer: wgpu::Buffer,
    /// The submission that copies from it, and word that it is mapped again afterwards.
    copying: Option<(wgpu::SubmissionIndex, mpsc::Receiver<bool>)>,
}

impl<'a> Uploader<'a> {
    /// A ring no larger than `largest` bytes need.
    pub(super) fn new(gpu: &'a Gpu, largest: u64) -> Result<Self> {
        let bytes = largest.clamp(16, STAGING_BYTES as u64).next_multiple_of(16);
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let staging = (0..STAGING_BUFFERS)
            .map(|_| Ok(Staging { buffer: gpu.mapped_buffer("staging", bytes, usage)?, copying: None }))
            .collect::<Result<_>>()?;
        Ok(Uploader { gpu, staging, next: 0 })
    }

    /// Fills the start of `target` with `source`.
    pub(super) fn upload(&mut self, target: &wgpu::Buffer, source: Source<'_>) -> Result<()> {
        let piece = self.staging[0].buffer.size() as usize / size_of::<f32>();
        for start in (0..source.len()).step_by(piece) {
            let end = source.len().min(start + piece);
            self.copy(target, (start * size_of::<f32>()) as u64, source.range(start, end))?;
        }
        Ok(())
    }

    fn copy(&mut self, target: &wgpu::Buffer, offset: u64, source: Source<'_>) -> Result<()> {
        let gpu = self.gpu;
        let staging = &mut self.staging[self.next];
        self.next = (self.next + 1) % STAGING_BUFFERS;
        if let Some((submission, mapped)) = staging.copying.take() {
            gpu.wait(submission)?;
            if !mapped.try_recv().unwrap_or(false) {
                return Err(Error::Device("a staging buffer could not be mapped".into()));
            }
        }
        let bytes = (source.len() * size_of::<f32>()) as u64;
        gpu.scoped("staging", || write(&staging.buffer, bytes, source))??;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("upload") });
        encoder.copy_buffer_to_buffer(&staging.buffer, 0, target, offset, bytes);
        let submission = gpu.queue.submit([encoder.finish()]);
        let (send, mapped) = mpsc::channel();
        staging.buffer.map_async(wgpu::MapMode::Write, .., move |result| {
            // Nobody listens any more when the upload failed or ended.
            let _ = send.send(result.is_ok());
        });
        staging.copying = Some((submission, mapped));
        gpu.check()
    }

    /// Waits for all copies and gives the ring back.
    pub(super) fn finish(self) -> Result<()> {
        for staging in self.staging {
            if let Some((submission, _)) = staging.copying {
                self.gpu.wait(submission)?;
            }
            self.gpu.release(&staging.buffer);
        }
        Ok(())
    }
}

fn write(buffer: &wgpu::Buffer, bytes: u64, source: Source<'_>) -> Result<()> {
    let mut view = buffer.get_mapped_range_mut(0..bytes).map_err(|error| Error::Device(format!("staging: {error}")))?;
    match source {
        Source::F32(values) => view.copy_from_slice(bytemuck::cast_slice(values)),
        Source::F64(values) => {
            let mut rounded = [0f32; ROUNDED];
            for (i, piece) in values.chunks(ROUNDED).enumerate() {
                for (to, from) in rounded.iter_mut().zip(piece) {
                    *to = *from as f32;
                }
                let start = i * size_of_val(&rounded);
                let bytes: &[u8] = bytemuck::cast_slice(&rounded[..piece.len()]);
                view.slice(start..start + bytes.len()).copy_from_slice(bytes);
            }
        }
    }
    drop(view);
    buffer.unmap();
    Ok(())
}
