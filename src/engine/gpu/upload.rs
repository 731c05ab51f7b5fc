//! Upload: the rows of a chunk go to the device through a small ring of staging buffers of our own, since
//! `Queue::write_buffer` would stage every byte into fresh memory until a submission ends.

use std::sync::mpsc;

use rayon::prelude::*;

use super::device::Gpu;
use super::memory::{IMAGE_LINE_BYTES, Values};
use crate::data::{self, LANES, RowBlock};
use crate::error::{Error, Result};

/// Bytes of one staging buffer; whole lines of a texture.
pub(super) const STAGING_BYTES: u64 = 8 << 20;
/// Staging buffers: while one is copied from, the other is written.
const STAGING_BUFFERS: usize = 2;
/// Bytes that one thread writes at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of the values of one column in the rows of a group.
const LINE: usize = LANES * size_of::<f32>();

type Bytes<'a> = wgpu::WriteOnly<'a, [u8]>;

/// The rows of a chunk as they lie on the device: for each group of [`LANES`] rows the line of each column, the features
/// first, then target, weight and, where there is one, offset; beyond the block's last group, zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredRows<'a> {
    block: &'a RowBlock,
    first_group: usize,
    columns: usize,
}

impl<'a> StoredRows<'a> {
    /// The rows of `block` from `first_row` on, which begins a group.
    pub(super) fn new(block: &'a RowBlock, first_row: usize, columns: usize) -> Self {
        StoredRows { block, first_group: first_row / LANES, columns }
    }

    /// Writes whole lines from line `first` on.
    fn write(&self, first: usize, mut out: Bytes<'_>) {
        let features = self.block.features();
        let mut line = first;
        while !out.is_empty() {
            let (group, column) = (self.first_group + line / self.columns, line % self.columns);
            if group >= self.block.groups() {
                out.fill(0);
                return;
            }
            let lines = features.saturating_sub(column).clamp(1, out.len() / LINE);
            let (now, rest) = out.split_at(lines * LINE);
            match column.checked_sub(features) {
                None => {
                    let start = (group * features + column) * LANES;
                    let values = start..start + lines * LANES;
                    match self.block.x() {
                        data::Values::F32(x) => copy(now, &x[values]),
                        data::Values::F64(x) => round(now, &x[values]),
                    }
                }
                Some(0) => round(now, &self.block.target().group(group).lanes()),
                Some(1) => round(now, &self.block.weight().group(group).lanes()),
                Some(_) => {
                    round(now, &self.block.offset().map_or([0.0; LANES], |offset| offset.group(group).lanes()));
                }
            }
            out = rest;
            line += lines;
        }
    }
}

fn copy(mut out: Bytes<'_>, values: &[f32]) {
    out.copy_from_slice(bytemuck::cast_slice(values));
}

fn round(mut out: Bytes<'_>, values: &[f64]) {
    for (i, line) in values.chunks_exact(LANES).enumerate() {
        let rounded: [f32; LANES] = std::array::from_fn(|lane| line[lane] as f32);
        copy(out.slice(i * LINE..(i + 1) * LINE), &rounded);
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
        // A short last line of a texture is staged in full.
        let bytes = (largest + IMAGE_LINE_BYTES).min(STAGING_BYTES);
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let staging = (0..STAGING_BUFFERS)
            .map(|_| Ok(Staging { buffer: gpu.mapped_buffer("staging", bytes, usage)?, copying: None }))
            .collect::<Result<_>>()?;
        Ok(Uploader { gpu, staging, next: 0 })
    }

    /// Fills `target` with `rows`, whose X is in memory.
    pub(super) fn upload(&mut self, target: &Values, rows: StoredRows<'_>) -> Result<()> {
        let piece = self.staging[0].buffer.size();
        let all = target.bytes();
        for start in (0..all).step_by(piece as usize) {
            self.copy(target, start, piece.min(all - start), rows)?;
        }
        Ok(())
    }

    fn copy(&mut self, target: &Values, offset: u64, bytes: u64, rows: StoredRows<'_>) -> Result<()> {
        let gpu = self.gpu;
        let staging = &mut self.staging[self.next];
        self.next = (self.next + 1) % STAGING_BUFFERS;
        if let Some((submission, mapped)) = staging.copying.take() {
            gpu.wait(submission)?;
            if !mapped.try_recv().unwrap_or(false) {
                return Err(Error::Device("a staging buffer could not be mapped".into()));
            }
        }
        gpu.scoped("staging", || write(&staging.buffer, bytes, offset as usize / LINE, rows))??;
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("upload") });
        target.copy_from(&mut encoder, &staging.buffer, offset, bytes);
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

/// Writes the first `bytes` of `buffer`, with the lines of `rows` from `first` on.
fn write(buffer: &wgpu::Buffer, bytes: u64, first: usize, rows: StoredRows<'_>) -> Result<()> {
    let mut view = buffer.get_mapped_range_mut(0..bytes).map_err(|error| Error::Device(format!("staging: {error}")))?;
    let (pieces, rest) = view.slice(..).into_chunks::<PIECE_BYTES>();
    let pieces: Vec<_> = pieces.into_iter().collect();
    let line = |piece: usize| first + piece * PIECE_BYTES / LINE;
    rows.write(line(pieces.len()), rest);
    pieces.into_par_iter().enumerate().for_each(|(i, piece)| rows.write(line(i), piece.into()));
    drop(view);
    buffer.unmap();
    Ok(())
}
