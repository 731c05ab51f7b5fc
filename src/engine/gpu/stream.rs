//! Submissions in flight: passes recorded with their times, results copied to the host and read while the device works on
//! what follows.

use std::sync::mpsc;
use std::time::Instant;

use super::device::Gpu;
use super::pipelines::Pipeline;
use super::plan::{Chunk, Plan, Region};
use crate::engine::Cost;
use crate::error::{Error, Result};

/// Passes of one submission that can be timed.
const TIMED_PASSES: u32 = 1024;
const TIMER_BYTES: u64 = TIMED_PASSES as u64 * 2 * 8;
/// Submissions in flight.
const SLOTS: usize = 2;

/// The results buffer, where its contents are read on the host, and timers.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) results: wgpu::Buffer,
    readback: Vec<wgpu::Buffer>,
    timer: Option<Timer>,
    next: usize,
}

#[derive(Debug)]
struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Seconds between two ticks.
    tick: f64,
}

/// A submission whose results are on their way.
#[derive(Debug)]
pub(super) struct Flight {
    slot: usize,
    bytes: u64,
    submission: wgpu::SubmissionIndex,
    mapped: mpsc::Receiver<bool>,
    passes: Vec<&'static str>,
    submitted: Instant,
}

/// A submission being recorded.
#[derive(Debug)]
pub(super) struct Recording<'a> {
    stream: &'a Stream,
    encoder: wgpu::CommandEncoder,
    passes: Vec<&'static str>,
}

impl Stream {
    /// Room for `results_bytes` of results a submission.
    pub(super) fn new(gpu: &Gpu, results_bytes: u64) -> Result<Self> {
        let results_bytes = results_bytes.max(16).next_multiple_of(16);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let results = gpu.buffer("results", results_bytes, usage)?;
        let timer = match gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            true => Some(Timer::new(gpu)?),
            false => None,
        };
        let bytes = results_bytes + timer.as_ref().map_or(0, |_| TIMER_BYTES);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let readback = (0..SLOTS).map(|_| gpu.buffer("readback", bytes, usage)).collect::<Result<_>>()?;
        Ok(Stream { results, readback, timer, next: 0 })
    }

    /// Runs one submission for each of `items`: `record` records what an item needs and returns how many bytes of results
    /// it leaves, `fold` reads them, in order. While the device works on one submission, the host folds the results of
    /// the one before. After a failure, what is in flight still lands, so that the engine stays usable.
    pub(super) fn run<T: Clone>(
        &mut self,
        gpu: &Gpu,
        cost: &mut Cost,
        items: impl IntoIterator<Item = T>,
        mut record: impl FnMut(&mut Recording<'_>, T) -> u64,
        mut fold: impl FnMut(T, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut in_flight = None;
        let outcome =
            items.into_iter().try_for_each(|item| self.push(gpu, cost, &mut in_flight, item, &mut record, &mut fold));
        self.finish(gpu, cost, in_flight, outcome, &mut fold)
    }

    /// One submission of [`Stream::run`], behind the one `in_flight`, whose results are read.
    pub(super) fn push<T: Clone>(
        &mut self,
        gpu: &Gpu,
        cost: &mut Cost,
        in_flight: &mut Option<(T, Flight)>,
        item: T,
        record: &mut impl FnMut(&mut Recording<'_>, T) -> u64,
        fold: &mut impl FnMut(T, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("gpulogit") });
        let mut recording = Recording { stream: self, encoder, passes: Vec::new() };
        let bytes = record(&mut recording, item.clone());
        let (encoder, passes) = (recording.encoder, recording.passes);
        let flight = self.submit(gpu, encoder, passes, bytes);
        match in_flight.replace((item, flight)) {
            Some((before, flight)) => self.land(gpu, cost, flight, |results| fold(before, results)),
            None => Ok(()),
        }
    }

    /// The end of [`Stream::run`]: what is in flight still lands, and is read if all went well so far.
    pub(super) fn finish<T>(
        &mut self,
        gpu: &Gpu,
        cost: &mut Cost,
        in_flight: Option<(T, Flight)>,
        outcome: Result<()>,
        fold: &mut impl FnMut(T, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let Some((last, flight)) = in_flight else { return outcome };
        let go_on = outcome.is_ok();
        let landed = self.land(gpu, cost, flight, |results| if go_on { fold(last, results) } else { Ok(()) });
        outcome.and(landed)
    }

    /// Runs every submission of `plan`: one dispatch of `pipeline` a chunk, bound by `bound`, which leaves its results `at` a place;
    /// `add` reads those of a chunk, in order.
    pub(super) fn run_plan(
        &mut self,
        gpu: &Gpu,
        cost: &mut Cost,
        plan: &Plan,
        (pipeline, bound): (&Pipeline, &[wgpu::BindGroup]),
        at: impl Fn(&Chunk) -> Region,
        mut add: impl FnMut(&Chunk, &[f32]),
    ) -> Result<()> {
        self.run(
            gpu,
            cost,
            plan.submissions.iter().cloned(),
            |recording, chunks| {
                for c in chunks.clone() {
                    let [x, y] = plan.chunks[c].grid;
                    recording.dispatch(pipeline, &bound[c], [x, y, 1]);
                }
                plan.chunks[chunks].last().map_or(0, |last| at(last).offset + at(last).bytes)
            },
            |chunks, results| {
                plan.chunks[chunks].iter().for_each(|chunk| add(chunk, results));
                Ok(())
            },
        )
    }

    fn submit(
        &mut self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        passes: Vec<&'static str>,
        bytes: u64,
    ) -> Flight {
        let slot = self.next;
        self.next = (self.next + 1) % SLOTS;
        let readback = &self.readback[slot];
        encoder.copy_buffer_to_buffer(&self.results, 0, readback, 0, bytes);
        let queries = 2 * (passes.len() as u32).min(TIMED_PASSES);
        if let Some(timer) = self.timer.as_ref().filter(|_| queries > 0) {
            encoder.resolve_query_set(&timer.queries, 0..queries, &timer.resolved, 0);
            encoder.copy_buffer_to_buffer(&timer.resolved, 0, readback, self.results.size(), u64::from(queries) * 8);
        }
        let submission = gpu.queue.submit([encoder.finish()]);
        let (send, mapped) = mpsc::channel();
        readback.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens any more when an earlier submission failed.
            let _ = send.send(result.is_ok());
        });
        Flight { slot, bytes, submission, mapped, passes, submitted: Instant::now() }
    }

    fn land(&self, gpu: &Gpu, cost: &mut Cost, flight: Flight, read: impl FnOnce(&[f32]) -> Result<()>) -> Result<()> {
        gpu.wait(flight.submission)?;
        let seconds = flight.submitted.elapsed().as_secs_f64();
        if !flight.mapped.try_recv().unwrap_or(false) {
            return Err(Error::Device("results could not be mapped".into()));
        }
        let readback = &self.readback[flight.slot];
        let view = readback
            .get_mapped_range(..)
            .map_err(|error| Error::Device(format!("results could not be read: {error}")))?;
        match &self.timer {
            Some(timer) => {
                let ticks: &[u64] = bytemuck::cast_slice(&view[self.results.size() as usize..]);
                for (pass, ticks) in flight.passes.iter().zip(ticks.chunks_exact(2)) {
                    count(cost, pass, ticks[1].saturating_sub(ticks[0]) as f64 * timer.tick);
                }
                for pass in flight.passes.iter().skip(TIMED_PASSES as usize) {
                    count(cost, pass, 0.0);
                }
            }
            // Without timers all that is known is how long the whole took; each pass counts an equal share.
            None => {
                for pass in &flight.passes {
                    count(cost, pass, seconds / flight.passes.len() as f64);
                }
            }
        }
        let done = read(bytemuck::cast_slice(&view[..flight.bytes as usize]));
        drop(view);
        readback.unmap();
        done
    }
}

impl Timer {
    fn new(gpu: &Gpu) -> Result<Self> {
        let queries = gpu.scoped("timer", || {
            gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timer"),
                ty: wgpu::QueryType::Timestamp,
                count: TIMED_PASSES * 2,
            })
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("timer", TIMER_BYTES, usage)?;
        Ok(Timer { queries, resolved, tick: f64::from(gpu.queue.get_timestamp_period()) * 1e-9 })
    }
}

impl Recording<'_> {
    /// One dispatch of `pipeline`, timed where the device can.
    pub(super) fn dispatch(&mut self, pipeline: &Pipeline, bound: &wgpu::BindGroup, [x, y, z]: [u32; 3]) {
        let index = self.passes.len() as u32;
        self.passes.push(pipeline.name);
        let timestamp_writes =
            self.stream.timer.as_ref().filter(|_| index < TIMED_PASSES).map(|timer| wgpu::ComputePassTimestampWrites {
                query_set: &timer.queries,
                beginning_of_pass_write_index: Some(2 * index),
                end_of_pass_write_index: Some(2 * index + 1),
            });
        let descriptor = wgpu::ComputePassDescriptor { label: Some(pipeline.name), timestamp_writes };
        let mut pass = self.encoder.begin_compute_pass(&descriptor);
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, bound, &[]);
        pass.dispatch_workgroups(x, y, z);
    }

    /// Copies `bytes` of `from` to the start of the results.
    pub(super) fn copy_to_results(&mut self, from: &wgpu::Buffer, offset: u64, bytes: u64) {
        self.encoder.copy_buffer_to_buffer(from, offset, &self.stream.results, 0, bytes);
    }

    /// Copies the first `bytes` of `from` to the results from `at` on.
    pub(super) fn copy_behind(&mut self, from: &wgpu::Buffer, bytes: u64, at: u64) {
        self.encoder.copy_buffer_to_buffer(from, 0, &self.stream.results, at, bytes);
    }
}

fn count(cost: &mut Cost, name: &'static str, seconds: f64) {
    let kernel = cost.kernel(name);
    kernel.calls += 1;
    kernel.seconds += seconds;
}
