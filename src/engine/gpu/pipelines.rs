//! The kernels: their sources, bindings and pipelines.

use std::collections::BTreeMap;

use super::device::Gpu;
use super::uniforms::{CHUNK_MEMBERS, ChunkUniform, Member, PROBE_MEMBERS, ProbeUniform};
use crate::error::Result;

macro_rules! shader {
    ($file:literal) => {
        include_str!(concat!("../../../shaders/", $file))
    };
}

const MODELS_1: &str = shader!("common/models_1.wgsl");
const MODELS_4: &str = shader!("common/models_4.wgsl");
const CHUNK: &str = shader!("common/chunk.wgsl");
const LOGISTIC: &str = shader!("common/logistic.wgsl");
const TILE_SUM: &str = shader!("common/tile_sum.wgsl");

/// A resource of a kernel, at the binding of its position in [`Kernel::bindings`].
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Its name in the shader.
    pub name: &'static str,
    /// What it is.
    pub kind: BindingKind,
}

/// What a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// A uniform struct: size and members in Rust.
    Uniform(usize, &'static [Member]),
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written.
    Write,
}

/// A kernel: one shader file, one entry point of the same name.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// File stem, entry point and name in every report.
    pub name: &'static str,
    /// The shader file's text.
    pub source: &'static str,
    /// What is joined before it, after the prelude of the batch of models.
    common: &'static [&'static str],
    /// Its resources, in the order of their bindings.
    pub bindings: &'static [Binding],
}

const fn binding(name: &'static str, kind: BindingKind) -> Binding {
    Binding { name, kind }
}

const CHUNK_BINDING: Binding = binding("chunk", BindingKind::Uniform(size_of::<ChunkUniform>(), &CHUNK_MEMBERS));

const KERNELS: [Kernel; 4] = [
    Kernel {
        name: "logits",
        source: shader!("logits.wgsl"),
        common: &[CHUNK],
        bindings: &[
            CHUNK_BINDING,
            binding("x", BindingKind::Read),
            binding("w", BindingKind::Read),
            binding("offsets", BindingKind::Read),
            binding("a", BindingKind::Write),
        ],
    },
    Kernel {
        name: "residual",
        source: shader!("residual.wgsl"),
        common: &[CHUNK, LOGISTIC, TILE_SUM],
        bindings: &[
            CHUNK_BINDING,
            binding("a", BindingKind::Read),
            binding("t", BindingKind::Read),
            binding("s", BindingKind::Read),
            binding("r", BindingKind::Write),
            binding("losses", BindingKind::Write),
        ],
    },
    Kernel {
        name: "gradient",
        source: shader!("gradient.wgsl"),
        common: &[CHUNK],
        bindings: &[
            CHUNK_BINDING,
            binding("x", BindingKind::Read),
            binding("r", BindingKind::Read),
            binding("partials", BindingKind::Write),
        ],
    },
    Kernel {
        name: "line_probe",
        source: shader!("line_probe.wgsl"),
        common: &[CHUNK, LOGISTIC, TILE_SUM],
        bindings: &[
            CHUNK_BINDING,
            binding("probe", BindingKind::Uniform(size_of::<ProbeUniform>(), &PROBE_MEMBERS)),
            binding("start", BindingKind::Read),
            binding("end", BindingKind::Read),
            binding("t", BindingKind::Read),
            binding("s", BindingKind::Read),
            binding("sums", BindingKind::Write),
        ],
    },
];

/// Every kernel of this engine.
pub fn kernels() -> &'static [Kernel] {
    &KERNELS
}

impl Kernel {
    /// The whole text given to the compiler, for batches of `batch` models (1 or 4).
    pub fn joined(&self, batch: usize) -> String {
        self.joined_with(batch, self.source)
    }

    fn joined_with(&self, batch: usize, source: &str) -> String {
        let prelude = if batch == 1 { MODELS_1 } else { MODELS_4 };
        [&[prelude], self.common, &[source]].concat().join("\n")
    }
}

/// The shader sources to build an engine from: the built-in ones, unless a test replaces some to prove that a broken
/// kernel is noticed.
#[derive(Debug, Clone, Default)]
pub struct ShaderSources {
    replaced: BTreeMap<String, String>,
}

impl ShaderSources {
    /// Puts `wgsl` in the place of the file of `kernel`.
    #[must_use]
    pub fn replace(mut self, kernel: &str, wgsl: impl Into<String>) -> Self {
        self.replaced.insert(kernel.into(), wgsl.into());
        self
    }

    fn source(&self, kernel: &Kernel) -> &str {
        self.replaced.get(kernel.name).map_or(kernel.source, String::as_str)
    }
}

/// A compiled kernel.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) name: &'static str,
    pub(super) pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Binds `resources`, in the order of [`Kernel::bindings`].
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

/// The compiled kernels of an engine.
#[derive(Debug)]
pub(super) struct Pipelines {
    pub(super) logits: Pipeline,
    pub(super) residual: Pipeline,
    pub(super) gradient: Pipeline,
    pub(super) line_probe: Pipeline,
}

impl Pipelines {
    /// Compiles every kernel for batches of `batch` models.
    pub(super) fn new(gpu: &Gpu, sources: &ShaderSources, batch: usize) -> Result<Self> {
        let [logits, residual, gradient, line_probe] = &KERNELS;
        Ok(Pipelines {
            logits: compile(gpu, sources, batch, logits)?,
            residual: compile(gpu, sources, batch, residual)?,
            gradient: compile(gpu, sources, batch, gradient)?,
            line_probe: compile(gpu, sources, batch, line_probe)?,
        })
    }
}

fn compile(gpu: &Gpu, sources: &ShaderSources, batch: usize, kernel: &Kernel) -> Result<Pipeline> {
    let label = format!("gpulogit.{}", kernel.name);
    let source = kernel.joined_with(batch, sources.source(kernel));
    let entries: Vec<wgpu::BindGroupLayoutEntry> =
        kernel.bindings.iter().enumerate().map(|(i, binding)| layout_entry(i as u32, binding.kind)).collect();
    gpu.scoped(&format!("kernel {}", kernel.name), || {
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
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
                constants: &[],
                // Every kernel writes all that it reads of it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { name: kernel.name, pipeline, layout }
    })
}

fn layout_entry(index: u32, kind: BindingKind) -> wgpu::BindGroupLayoutEntry {
    let (ty, size) = match kind {
        BindingKind::Uniform(size, _) => (wgpu::BufferBindingType::Uniform, size as u64),
        BindingKind::Read => (wgpu::BufferBindingType::Storage { read_only: true }, 0),
        BindingKind::Write => (wgpu::BufferBindingType::Storage { read_only: false }, 0),
    };
    wgpu::BindGroupLayoutEntry {
        binding: index,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: wgpu::BufferSize::new(size) },
        count: None,
    }
}
