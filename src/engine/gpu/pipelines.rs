//! Kernels compiled for a device, each when it is first needed.

use std::cell::OnceCell;

use super::device::{Gpu, IMAGE_FORMAT};
use super::kernels::{BindingKind, ShaderSources};
use super::tuning::{self, Build, DeviceClass};
use crate::error::Result;

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) name: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Binds `resources`, in the order of the kernel's bindings.
    pub(super) fn bind(&self, gpu: &Gpu, resources: &[wgpu::BindingResource<'_>]) -> Result<wgpu::BindGroup> {
        let entries: Vec<wgpu::BindGroupEntry<'_>> = resources
            .iter()
            .enumerate()
            .map(|(i, resource)| wgpu::BindGroupEntry { binding: i as u32, resource: resource.clone() })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(self.name), layout: &self.layout, entries: &entries };
        gpu.scoped("bind group", || gpu.device.create_bind_group(&descriptor))
    }
}

/// The kernels of an engine. Loss and gradient is compiled at once, the others when they are asked for.
#[derive(Debug)]
pub(super) struct Pipelines {
    class: DeviceClass,
    features: usize,
    models: usize,
    sources: ShaderSources,
    pub(super) loss_gradient: Pipeline,
    loss_gradients: OnceCell<Pipeline>,
    /// Of several classes, and the product with their Hessian.
    softmax: [OnceCell<Pipeline>; 2],
    logits: OnceCell<Pipeline>,
    line_probe: OnceCell<Pipeline>,
}

impl Pipelines {
    pub(super) fn new(
        gpu: &Gpu,
        sources: &ShaderSources,
        class: DeviceClass,
        features: usize,
        models: usize,
    ) -> Result<Self> {
        let build = tuning::loss_gradient(class, features, models);
        Ok(Pipelines {
            class,
            features,
            models,
            sources: sources.clone(),
            loss_gradient: compile(gpu, sources, class, &build)?,
            loss_gradients: OnceCell::new(),
            softmax: Default::default(),
            logits: OnceCell::new(),
            line_probe: OnceCell::new(),
        })
    }

    pub(super) fn loss_gradients(&self, gpu: &Gpu) -> Result<&Pipeline> {
        self.get(gpu, &self.loss_gradients, || tuning::loss_gradients(self.class, self.features))
    }

    pub(super) fn softmax(&self, gpu: &Gpu, product: bool) -> Result<&Pipeline> {
        let cell = &self.softmax[usize::from(product)];
        self.get(gpu, cell, || tuning::softmax(self.class, self.features, product))
    }

    pub(super) fn logits(&self, gpu: &Gpu) -> Result<&Pipeline> {
        self.get(gpu, &self.logits, || tuning::logits(self.class, self.models))
    }

    pub(super) fn line_probe(&self, gpu: &Gpu) -> Result<&Pipeline> {
        self.get(gpu, &self.line_probe, || tuning::line_probe(self.class, self.models))
    }

    fn get<'a>(&self, gpu: &Gpu, cell: &'a OnceCell<Pipeline>, build: impl Fn() -> Build) -> Result<&'a Pipeline> {
        match cell.get() {
            Some(pipeline) => Ok(pipeline),
            None => {
                let pipeline = compile(gpu, &self.sources, self.class, &build())?;
                Ok(cell.get_or_init(|| pipeline))
            }
        }
    }
}

fn compile(gpu: &Gpu, sources: &ShaderSources, class: DeviceClass, build: &Build) -> Result<Pipeline> {
    let kernel = build.kernel;
    let label = format!("gpulogit.{}", kernel.name);
    let entries: Vec<wgpu::BindGroupLayoutEntry> =
        kernel.bindings.iter().enumerate().map(|(i, binding)| layout_entry(i as u32, binding.kind, class)).collect();
    let constants: Vec<(&str, f64)> = build.constants.iter().map(|(name, value)| (*name, f64::from(*value))).collect();
    gpu.scoped(&format!("kernel {}", kernel.name), || {
        let module = module(gpu, sources, build, &label);
        let layout = gpu
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(kernel.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes all that it reads of it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { name: kernel.name, pipeline, layout }
    })
}

#[expect(unsafe_code, reason = "shaders of our own, whose loops all end, are built without a counter in each")]
fn module(gpu: &Gpu, sources: &ShaderSources, build: &Build, label: &str) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(sources.joined(build).into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    if !sources.are_built_in() {
        return gpu.device.create_shader_module(descriptor);
    }
    // A counter against endless loops in every loop keeps compilers from unrolling those over registers.
    let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    // SAFETY: every loop of the built-in shaders counts up to a constant, an override or a number of a uniform in steps of
    // at least one, and writes to its counter nowhere else, so all of them end. Bounds are checked as ever.
    unsafe { gpu.device.create_shader_module_trusted(descriptor, checks) }
}

fn layout_entry(index: u32, kind: BindingKind, class: DeviceClass) -> wgpu::BindGroupLayoutEntry {
    let buffer = |ty, size: usize| wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: wgpu::BufferSize::new(size as u64),
    };
    let ty = match (kind, class) {
        (BindingKind::Uniform(size, _), _) => buffer(wgpu::BufferBindingType::Uniform, size),
        (BindingKind::Values, DeviceClass::Software) => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: IMAGE_FORMAT,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
        (BindingKind::Values | BindingKind::Read, _) => buffer(wgpu::BufferBindingType::Storage { read_only: true }, 0),
        (BindingKind::Write, _) => buffer(wgpu::BufferBindingType::Storage { read_only: false }, 0),
    };
    wgpu::BindGroupLayoutEntry { binding: index, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}
