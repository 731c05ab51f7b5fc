//! Opening a device, and the choice between rows that stay on it and rows that are sent in each pass.

use std::time::Instant;

use super::device::Gpu;
use super::memory::IMAGE_LINE_BYTES;
use super::plan::{Plan, PlanLimits, Problem, SUBMISSION_BYTES};
use super::streamed::{self, StreamedGpu};
use super::tuning::DeviceClass;
use super::upload::STAGING_BYTES;
use super::{GpuEngine, GpuOptions, GpuRequest, adapter};
use crate::data::Block;
use crate::engine::{DeviceInfo, Engine, Opening};
use crate::error::{Error, Result};

/// An open device.
pub(in crate::engine) struct Device {
    pub(super) gpu: Gpu,
    pub(super) info: DeviceInfo,
    pub(super) class: DeviceClass,
    /// Seconds it took to open it.
    pub(super) seconds: f64,
    limits: PlanLimits,
}

impl Device {
    /// Opens the adapter that `request` means.
    ///
    /// # Errors
    /// As [`GpuEngine::open`].
    pub(in crate::engine) fn open(request: &GpuRequest, options: &GpuOptions) -> Result<Self> {
        let opened = Instant::now();
        let (gpu, report, class) = adapter::open(request, options)?;
        let class = options.class.unwrap_or(class);
        let limits = limits(&gpu, class, options);
        Ok(Device { gpu, info: report.info, class, seconds: opened.elapsed().as_secs_f64(), limits })
    }

    /// The plan for `blocks` within what `narrowed` makes of the device's limits.
    pub(super) fn plan(
        &self,
        blocks: &[Block],
        features: usize,
        models: usize,
        narrowed: impl Fn(PlanLimits) -> PlanLimits,
    ) -> Result<Plan> {
        if models == 0 || blocks.iter().any(|block| block.features() != features) {
            return Err(Error::Numerics("internal: blocks and parameters of different shapes".into()));
        }
        let block_rows: Vec<usize> = blocks.iter().map(Block::rows).collect();
        let offsets = blocks.iter().any(|block| block.has_offset());
        Plan::new(Problem { block_rows: &block_rows, features, models, offsets }, narrowed(self.limits))
    }

    /// An engine that holds `blocks`: all rows on the device where they fit into its share of memory, else sent chunk by chunk
    /// in each pass.
    ///
    /// # Errors
    /// As [`GpuEngine::open`].
    pub(in crate::engine) fn hold<'a>(
        &self,
        blocks: &'a [Block],
        features: usize,
        models: usize,
        options: &GpuOptions,
    ) -> Result<(Box<dyn Engine + 'a>, Opening)> {
        let plan = self.plan(blocks, features, models, |limits| limits)?;
        let budget = options.device_memory.unwrap_or(u64::MAX);
        if device_bytes(&plan) > budget {
            let plan = self.plan(blocks, features, models, |limits| streamed::limits(limits, budget))?;
            let engine = StreamedGpu::new(self, plan, blocks, options)?;
            let opening = engine.opening();
            return Ok((Box::new(engine), opening));
        }
        let engine = GpuEngine::on(self, plan, blocks, options)?;
        let opening = engine.opening();
        Ok((Box::new(engine), opening))
    }
}

/// Bytes that the rows of `plan`, three sets of logits and all else take on the device.
pub(super) fn device_bytes(plan: &Plan) -> u64 {
    let rows = plan.chunks.iter().map(|chunk| plan.stored_bytes(chunk) + 3 * plan.logit_bytes(chunk));
    rows.sum::<u64>() + 3 * plan.results_bytes + plan.parameter_bytes() + 2 * STAGING_BYTES
}

/// What the plan has to keep to.
fn limits(gpu: &Gpu, class: DeviceClass, options: &GpuOptions) -> PlanLimits {
    let limits = gpu.device.limits();
    let (image, chunk) = match class {
        DeviceClass::Hardware => (u64::MAX, u64::MAX),
        // A texture that is filled at once need not be cleared before, and dispatches cost no more than function calls.
        DeviceClass::Software => (IMAGE_LINE_BYTES * u64::from(limits.max_texture_dimension_2d), STAGING_BYTES),
    };
    PlanLimits {
        binding: limits.max_storage_buffer_binding_size.min(image).min(options.max_binding_bytes.unwrap_or(u64::MAX)),
        buffer: limits.max_buffer_size,
        workgroups: limits.max_compute_workgroups_per_dimension.min(options.max_workgroups.unwrap_or(u32::MAX)),
        chunk,
        submission: SUBMISSION_BYTES,
    }
}
