//! A backend of wgpu that is the WebGPU of a browser: what is called here is called there, by the same name. gpulogit
//! computes on its adapter as on any other, so that its own code decides what the browser runs.

#![expect(unsafe_code, reason = "some methods of the traits are unsafe, for backends that need it")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use wgpu::custom::*;

use crate::browser::Browser;

/// What gpulogit does not call.
macro_rules! unused {
    ($(fn $name:ident$(<$life:lifetime>)?($($args:tt)*) $(-> $out:ty)?;)*) => {
        $(fn $name$(<$life>)?($($args)*) $(-> $out)? { unreachable!("gpulogit does not use it") })*
    };
}

/// Something in the browser, under a number.
#[derive(Debug)]
struct Object {
    browser: Arc<Browser>,
    id: u64,
}

impl Object {
    /// What `method` returns.
    fn call(&self, method: &str, args: Value) -> Object {
        self.call_with(method, args, &[])
    }

    /// Likewise, with the bytes that `args` speaks of.
    fn call_with(&self, method: &str, args: Value, bytes: &[u8]) -> Object {
        Object { id: self.browser.call(self.id, method, args, bytes), browser: Arc::clone(&self.browser) }
    }

    /// What it has under the name of `key`.
    fn get(&self, key: &str) -> Object {
        Object { id: self.browser.get(self.id, key), browser: Arc::clone(&self.browser) }
    }

    /// As an argument.
    fn arg(&self) -> Value {
        json!({"object": self.id})
    }

    fn message(&self, verb: &str) -> Value {
        json!({"verb": verb, "on": self.id})
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // Once a test has failed, nobody may be listening.
        if !std::thread::panicking() {
            self.browser.tell(&self.message("forget"), &[]);
        }
    }
}

impl BindGroupLayoutInterface for Object {}
impl BindGroupInterface for Object {}
impl TextureViewInterface for Object {}
impl PipelineLayoutInterface for Object {}
impl CommandBufferInterface for Object {}

/// The object of the browser behind one of wgpu's.
macro_rules! object {
    ($of:expr) => {
        $of.as_custom::<Object>().expect("made in the browser")
    };
}

/// A shader's whole text and the values of its overrides.
pub(crate) type Source = (String, Vec<(String, u32)>);

/// The browser's adapter, with its one device: what was compiled for an engine is there for the next.
#[derive(Debug, Clone)]
pub(crate) struct Adapter(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    device: Object,
    queue: Object,
    pipelines: Mutex<BTreeMap<Source, Arc<Object>>>,
    info: wgpu::AdapterInfo,
    reads_images: bool,
}

impl Adapter {
    /// What WebGPU computes on in `browser`.
    pub(crate) fn of(browser: Browser) -> Self {
        let browser = Arc::new(browser);
        let adapter = Object { id: browser.call(0, "requestAdapter", json!([]), &[]), browser: Arc::clone(&browser) };
        let greeting = browser.ask(&adapter.message("greet"));
        let text = |key: &str| greeting[key].as_str().expect("a text").to_string();
        let mut info = wgpu::AdapterInfo::new(wgpu::DeviceType::Other, wgpu::Backend::BrowserWebGpu);
        info.name = format!("{} {}", text("vendor"), text("architecture"));
        info.driver = text("agent");
        let device = adapter.call("requestDevice", json!([]));
        browser.tell(&device.message("watch"), &[]);
        let (queue, pipelines) = (device.get("queue"), Mutex::default());
        Adapter(Arc::new(Parts { device, queue, pipelines, info, reads_images: greeting["reads_images"] == true }))
    }

    /// What was compiled on it.
    pub(crate) fn compiled(&self) -> BTreeSet<Source> {
        self.0.pipelines.lock().unwrap().keys().cloned().collect()
    }
}

impl AdapterInterface for Adapter {
    fn request_device(&self, desc: &wgpu::DeviceDescriptor<'_>) -> Pin<Box<dyn RequestDeviceFuture>> {
        assert_eq!((desc.required_features, &desc.required_limits), (self.features(), &self.limits()));
        let (device, queue) = (Device(self.clone()), Queue(self.clone()));
        Box::pin(ready(Ok((DispatchDevice::custom(device), DispatchQueue::custom(queue)))))
    }

    fn features(&self) -> wgpu::Features {
        wgpu::Features::empty()
    }

    /// A device of a browser has WebGPU's default limits unless it is asked for more.
    fn limits(&self) -> wgpu::Limits {
        wgpu::Limits::default()
    }

    fn downlevel_capabilities(&self) -> wgpu::DownlevelCapabilities {
        wgpu::DownlevelCapabilities::default()
    }

    fn get_info(&self) -> wgpu::AdapterInfo {
        self.0.info.clone()
    }

    fn get_texture_format_features(&self, _: wgpu::TextureFormat) -> wgpu::TextureFormatFeatures {
        let flags = match self.0.reads_images {
            true => wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY,
            false => wgpu::TextureFormatFeatureFlags::empty(),
        };
        wgpu::TextureFormatFeatures { allowed_usages: wgpu::TextureUsages::STORAGE_BINDING, flags }
    }

    unused! {
        fn is_surface_supported(&self, _: &DispatchSurface) -> bool;
        fn get_presentation_timestamp(&self) -> wgpu::PresentationTimestamp;
        fn cooperative_matrix_properties(&self) -> Vec<wgpu::wgt::CooperativeMatrixProperties>;
    }
}

#[derive(Debug)]
struct Device(Adapter);

impl Device {
    fn call(&self, method: &str, args: Value) -> Object {
        self.0.0.device.call(method, args)
    }
}

#[derive(Debug)]
struct Module {
    module: Object,
    text: String,
}

impl ShaderModuleInterface for Module {
    unused! {
        fn get_compilation_info(&self) -> Pin<Box<dyn ShaderCompilationInfoFuture>>;
    }
}

/// What a binding of a layout is, as WebGPU says it.
fn layout_entry(entry: &wgpu::BindGroupLayoutEntry) -> Value {
    let kind = match entry.ty {
        wgpu::BindingType::Buffer { ty, min_binding_size, .. } => {
            let ty = match ty {
                wgpu::BufferBindingType::Uniform => "uniform",
                wgpu::BufferBindingType::Storage { read_only: true } => "read-only-storage",
                wgpu::BufferBindingType::Storage { read_only: false } => "storage",
            };
            json!({"buffer": {"type": ty, "minBindingSize": min_binding_size.map_or(0, u64::from)}})
        }
        wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: wgpu::TextureFormat::Rgba32Float,
            ..
        } => json!({"storageTexture": {"access": "read-only", "format": "rgba32float"}}),
        other => unreachable!("gpulogit binds no {other:?}"),
    };
    let mut all = json!({"binding": entry.binding, "visibility": entry.visibility.bits()});
    all.as_object_mut().expect("made as one").extend(kind.as_object().cloned().expect("made as one"));
    all
}

impl DeviceInterface for Device {
    fn features(&self) -> wgpu::Features {
        wgpu::Features::empty()
    }

    fn limits(&self) -> wgpu::Limits {
        wgpu::Limits::default()
    }

    fn adapter_info(&self) -> wgpu::AdapterInfo {
        self.0.get_info()
    }

    fn create_shader_module(
        &self,
        desc: wgpu::ShaderModuleDescriptor<'_>,
        _: wgpu::ShaderRuntimeChecks,
    ) -> DispatchShaderModule {
        let wgpu::ShaderSource::Wgsl(text) = desc.source else { unreachable!("gpulogit's shaders are WGSL") };
        let module = self.call("createShaderModule", json!([{"label": desc.label, "code": text}]));
        DispatchShaderModule::custom(Module { module, text: text.into_owned() })
    }

    fn create_bind_group_layout(&self, desc: &wgpu::BindGroupLayoutDescriptor<'_>) -> DispatchBindGroupLayout {
        let entries: Vec<Value> = desc.entries.iter().map(layout_entry).collect();
        let layout = self.call("createBindGroupLayout", json!([{"label": desc.label, "entries": entries}]));
        DispatchBindGroupLayout::custom(layout)
    }

    fn create_bind_group(&self, desc: &wgpu::BindGroupDescriptor<'_>) -> DispatchBindGroup {
        let resource = |entry: &wgpu::BindGroupEntry<'_>| match &entry.resource {
            wgpu::BindingResource::Buffer(part) => {
                let mut resource = json!({"buffer": buffer(part.buffer).arg(), "offset": part.offset});
                if let Some(size) = part.size {
                    resource["size"] = size.get().into();
                }
                json!({"binding": entry.binding, "resource": resource})
            }
            wgpu::BindingResource::TextureView(view) => {
                json!({"binding": entry.binding, "resource": object!(view).arg()})
            }
            other => unreachable!("gpulogit binds no {other:?}"),
        };
        let entries: Vec<Value> = desc.entries.iter().map(resource).collect();
        let desc = json!({"label": desc.label, "layout": object!(desc.layout).arg(), "entries": entries});
        DispatchBindGroup::custom(self.call("createBindGroup", json!([desc])))
    }

    fn create_pipeline_layout(&self, desc: &wgpu::PipelineLayoutDescriptor<'_>) -> DispatchPipelineLayout {
        let layouts: Vec<Value> =
            desc.bind_group_layouts.iter().flatten().map(|layout| object!(layout).arg()).collect();
        let desc = json!({"label": desc.label, "bindGroupLayouts": layouts});
        DispatchPipelineLayout::custom(self.call("createPipelineLayout", json!([desc])))
    }

    fn create_compute_pipeline(&self, desc: &wgpu::ComputePipelineDescriptor<'_>) -> DispatchComputePipeline {
        let module: &Module = desc.module.as_custom().expect("made in the browser");
        let constants = desc.compilation_options.constants;
        let numbers: Map<String, Value> =
            constants.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        let compute = json!({"module": module.module.arg(), "entryPoint": desc.entry_point, "constants": numbers});
        let layout = object!(desc.layout.expect("gpulogit states its layouts")).arg();
        let desc = json!({"label": desc.label, "layout": layout, "compute": compute});
        let constants = constants.iter().map(|(name, value)| (name.to_string(), *value as u32)).collect();
        let mut pipelines = self.0.0.pipelines.lock().unwrap();
        let pipeline = pipelines
            .entry((module.text.clone(), constants))
            .or_insert_with(|| Arc::new(self.call("createComputePipeline", json!([desc]))));
        DispatchComputePipeline::custom(Pipeline(Arc::clone(pipeline)))
    }

    fn create_buffer(&self, desc: &wgpu::BufferDescriptor<'_>) -> DispatchBuffer {
        let (size, mapped) = (desc.size, desc.mapped_at_creation);
        let desc = json!({"label": desc.label, "size": size, "usage": desc.usage.bits(), "mappedAtCreation": mapped});
        let buffer = self.call("createBuffer", json!([desc]));
        let state = if mapped { Mapped::ToWrite(vec![0; size as usize]) } else { Mapped::Not };
        DispatchBuffer::custom(Buffer { buffer, size, mapped: Arc::new(Mutex::new(state)) })
    }

    fn create_texture(&self, desc: &wgpu::TextureDescriptor<'_>) -> DispatchTexture {
        assert_eq!(desc.format, wgpu::TextureFormat::Rgba32Float);
        let size = json!([desc.size.width, desc.size.height]);
        let desc = json!({"label": desc.label, "size": size, "format": "rgba32float", "usage": desc.usage.bits()});
        DispatchTexture::custom(Texture { texture: self.call("createTexture", json!([desc])) })
    }

    fn create_command_encoder(&self, _: &wgpu::CommandEncoderDescriptor<'_>) -> DispatchCommandEncoder {
        DispatchCommandEncoder::custom(Encoder { encoder: self.call("createCommandEncoder", json!([])) })
    }

    /// The page says so by itself.
    fn set_device_lost_callback(&self, _: BoxDeviceLostCallback) {}
    fn on_uncaptured_error(&self, _: Arc<dyn wgpu::UncapturedErrorHandler>) {}

    fn push_error_scope(&self, filter: wgpu::ErrorFilter) -> u32 {
        let filter = match filter {
            wgpu::ErrorFilter::OutOfMemory => "out-of-memory",
            wgpu::ErrorFilter::Validation => "validation",
            wgpu::ErrorFilter::Internal => "internal",
        };
        self.call("pushErrorScope", json!([filter]));
        0
    }

    fn pop_error_scope(&self, _: u32) -> Pin<Box<dyn PopErrorScopeFuture>> {
        let error = self.0.0.device.browser.ask(&self.0.0.device.message("pop"));
        let error =
            error.as_str().map(|text| wgpu::Error::Validation { source: text.into(), description: text.into() });
        Box::pin(ready(error))
    }

    /// Mapping a buffer has waited for all that was submitted.
    fn poll(&self, _: wgpu::wgt::PollType<u64>) -> Result<wgpu::PollStatus, wgpu::PollError> {
        Ok(wgpu::PollStatus::QueueEmpty)
    }

    unsafe fn create_shader_module_passthrough(
        &self,
        _: &wgpu::ShaderModuleDescriptorPassthrough<'_>,
    ) -> DispatchShaderModule {
        unreachable!("gpulogit does not use it")
    }

    unsafe fn create_pipeline_cache(&self, _: &wgpu::PipelineCacheDescriptor<'_>) -> DispatchPipelineCache {
        unreachable!("gpulogit does not use it")
    }

    unsafe fn start_graphics_debugger_capture(&self) {}
    unsafe fn stop_graphics_debugger_capture(&self) {}

    unused! {
        fn create_render_pipeline(&self, _: &wgpu::RenderPipelineDescriptor<'_>) -> DispatchRenderPipeline;
        fn create_mesh_pipeline(&self, _: &wgpu::MeshPipelineDescriptor<'_>) -> DispatchRenderPipeline;
        fn create_external_texture(
            &self, _: &wgpu::ExternalTextureDescriptor<'_>, _: &[&wgpu::TextureView]
        ) -> DispatchExternalTexture;
        fn create_blas(
            &self, _: &wgpu::CreateBlasDescriptor<'_>, _: wgpu::BlasGeometrySizeDescriptors
        ) -> (Option<u64>, DispatchBlas);
        fn create_tlas(&self, _: &wgpu::CreateTlasDescriptor<'_>) -> DispatchTlas;
        fn create_sampler(&self, _: &wgpu::SamplerDescriptor<'_>) -> DispatchSampler;
        fn create_query_set(&self, _: &wgpu::QuerySetDescriptor<'_>) -> DispatchQuerySet;
        fn create_render_bundle_encoder(
            &self, _: &wgpu::RenderBundleEncoderDescriptor<'_>
        ) -> DispatchRenderBundleEncoder;
        fn get_internal_counters(&self) -> wgpu::InternalCounters;
        fn generate_allocator_report(&self) -> Option<wgpu::AllocatorReport>;
        fn destroy(&self);
    }
}

#[derive(Debug)]
struct Pipeline(Arc<Object>);

impl ComputePipelineInterface for Pipeline {
    unused! {
        fn get_bind_group_layout(&self, _: u32) -> DispatchBindGroupLayout;
    }
}

#[derive(Debug)]
struct Queue(Adapter);

impl QueueInterface for Queue {
    fn write_buffer(&self, buffer: &DispatchBuffer, offset: u64, data: &[u8]) {
        self.0.0.queue.call_with("writeBuffer", json!([dispatched(buffer).arg(), offset, {"bytes": true}]), data);
    }

    fn write_texture(
        &self,
        texture: wgpu::TexelCopyTextureInfo<'_>,
        data: &[u8],
        layout: wgpu::TexelCopyBufferLayout,
        size: wgpu::Extent3d,
    ) {
        let layout = json!({"bytesPerRow": layout.bytes_per_row});
        let args = json!([texel(&texture), {"bytes": true}, layout, [size.width, size.height]]);
        self.0.0.queue.call_with("writeTexture", args, data);
    }

    fn submit(&self, buffers: &mut dyn Iterator<Item = DispatchCommandBuffer>) -> u64 {
        let buffers: Vec<DispatchCommandBuffer> = buffers.collect();
        let args: Vec<Value> = buffers.iter().map(|buffer| object!(buffer).arg()).collect();
        self.0.0.queue.call("submit", json!([args]));
        0
    }

    unused! {
        fn create_staging_buffer(&self, _: wgpu::BufferSize) -> Option<DispatchQueueWriteBuffer>;
        fn validate_write_buffer(&self, _: &DispatchBuffer, _: u64, _: wgpu::BufferSize) -> Option<()>;
        fn write_staging_buffer(&self, _: &DispatchBuffer, _: u64, _: &DispatchQueueWriteBuffer);
        fn get_timestamp_period(&self) -> f32;
        fn on_submitted_work_done(&self, _: BoxSubmittedWorkDoneCallback);
        fn compact_blas(&self, _: &DispatchBlas) -> (Option<u64>, DispatchBlas);
        fn present(&self, _: &DispatchSurfaceOutputDetail);
    }
}

#[derive(Debug)]
struct Buffer {
    buffer: Object,
    size: u64,
    mapped: Arc<Mutex<Mapped>>,
}

/// Bytes of a mapped buffer.
#[derive(Debug)]
enum Mapped {
    Not,
    ToRead(Vec<u8>),
    ToWrite(Vec<u8>),
}

fn buffer(buffer: &wgpu::Buffer) -> &Object {
    &buffer.as_custom::<Buffer>().expect("made in the browser").buffer
}

fn dispatched(buffer: &DispatchBuffer) -> &Object {
    &buffer.as_custom::<Buffer>().expect("made in the browser").buffer
}

impl BufferInterface for Buffer {
    fn map_async(&self, mode: wgpu::MapMode, range: Range<u64>, callback: BufferMapCallback) {
        assert_eq!(range, 0..self.size, "gpulogit maps whole buffers");
        let reads = mode == wgpu::MapMode::Read;
        let mut message = self.buffer.message("map");
        message["reads"] = reads.into();
        let bytes = self.buffer.browser.ask_bytes(&message);
        *self.mapped.lock().unwrap() =
            if reads { Mapped::ToRead(bytes) } else { Mapped::ToWrite(vec![0; self.size as usize]) };
        callback(Ok(()));
    }

    fn get_mapped_range(&self, range: Range<u64>) -> Result<DispatchBufferMappedRange, wgpu::MapRangeError> {
        let range = range.start as usize..range.end as usize;
        let part = match &*self.mapped.lock().unwrap() {
            Mapped::Not => unreachable!("wgpu has checked that it is mapped"),
            Mapped::ToRead(bytes) => Part { bytes: bytes[range].to_vec(), start: 0, of: None },
            Mapped::ToWrite(bytes) => {
                Part { bytes: bytes[range.clone()].to_vec(), start: range.start, of: Some(Arc::clone(&self.mapped)) }
            }
        };
        Ok(DispatchBufferMappedRange::custom(part))
    }

    fn unmap(&self) {
        if let Mapped::ToWrite(bytes) = std::mem::replace(&mut *self.mapped.lock().unwrap(), Mapped::Not) {
            self.buffer.browser.tell(&self.buffer.message("fill"), &bytes);
        }
        self.buffer.call("unmap", json!([]));
    }

    fn destroy(&self) {
        self.buffer.call("destroy", json!([]));
    }
}

/// Part of a mapped buffer; where it is written, it goes back there.
#[derive(Debug)]
struct Part {
    bytes: Vec<u8>,
    start: usize,
    of: Option<Arc<Mutex<Mapped>>>,
}

impl BufferMappedRangeInterface for Part {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn read_slice(&self) -> &[u8] {
        &self.bytes
    }

    unsafe fn write_slice(&mut self) -> wgpu::WriteOnly<'_, [u8]> {
        wgpu::WriteOnly::from_mut(&mut self.bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(of) = &self.of
            && let Mapped::ToWrite(bytes) = &mut *of.lock().unwrap()
        {
            bytes[self.start..self.start + self.bytes.len()].copy_from_slice(&self.bytes);
        }
    }
}

#[derive(Debug)]
struct Texture {
    texture: Object,
}

impl TextureInterface for Texture {
    fn create_view(&self, _: &wgpu::TextureViewDescriptor<'_>) -> DispatchTextureView {
        DispatchTextureView::custom(self.texture.call("createView", json!([])))
    }

    fn destroy(&self) {
        self.texture.call("destroy", json!([]));
    }
}

fn texel(place: &wgpu::TexelCopyTextureInfo<'_>) -> Value {
    let texture: &Texture = place.texture.as_custom().expect("made in the browser");
    json!({"texture": texture.texture.arg(), "origin": [place.origin.x, place.origin.y]})
}

#[derive(Debug)]
struct Encoder {
    encoder: Object,
}

impl CommandEncoderInterface for Encoder {
    fn copy_buffer_to_buffer(
        &self,
        source: &DispatchBuffer,
        source_offset: u64,
        destination: &DispatchBuffer,
        destination_offset: u64,
        copy_size: Option<u64>,
    ) {
        let (from, to) = (dispatched(source).arg(), dispatched(destination).arg());
        self.encoder.call("copyBufferToBuffer", json!([from, source_offset, to, destination_offset, copy_size]));
    }

    fn copy_buffer_to_texture(
        &self,
        source: wgpu::TexelCopyBufferInfo<'_>,
        destination: wgpu::TexelCopyTextureInfo<'_>,
        size: wgpu::Extent3d,
    ) {
        let layout = source.layout;
        let from = buffer(source.buffer).arg();
        let from = json!({"buffer": from, "offset": layout.offset, "bytesPerRow": layout.bytes_per_row});
        self.encoder.call("copyBufferToTexture", json!([from, texel(&destination), [size.width, size.height]]));
    }

    fn begin_compute_pass(&self, _: &wgpu::ComputePassDescriptor<'_>) -> DispatchComputePass {
        DispatchComputePass::custom(Pass { pass: self.encoder.call("beginComputePass", json!([])) })
    }

    fn finish(&mut self) -> DispatchCommandBuffer {
        DispatchCommandBuffer::custom(self.encoder.call("finish", json!([])))
    }

    unused! {
        fn copy_texture_to_buffer(
            &self, _: wgpu::TexelCopyTextureInfo<'_>, _: wgpu::TexelCopyBufferInfo<'_>, _: wgpu::Extent3d
        );
        fn copy_texture_to_texture(
            &self, _: wgpu::TexelCopyTextureInfo<'_>, _: wgpu::TexelCopyTextureInfo<'_>, _: wgpu::Extent3d
        );
        fn begin_render_pass(&self, _: &wgpu::RenderPassDescriptor<'_>) -> DispatchRenderPass;
        fn clear_texture(&self, _: &DispatchTexture, _: &wgpu::ImageSubresourceRange);
        fn clear_buffer(&self, _: &DispatchBuffer, _: u64, _: Option<u64>);
        fn insert_debug_marker(&self, _: &str);
        fn push_debug_group(&self, _: &str);
        fn pop_debug_group(&self);
        fn write_timestamp(&self, _: &DispatchQuerySet, _: u32);
        fn resolve_query_set(&self, _: &DispatchQuerySet, _: u32, _: u32, _: &DispatchBuffer, _: u64);
        fn mark_acceleration_structures_built<'a>(
            &self, _: &mut dyn Iterator<Item = &'a wgpu::Blas>, _: &mut dyn Iterator<Item = &'a wgpu::Tlas>
        );
        fn build_acceleration_structures<'a>(
            &self,
            _: &mut dyn Iterator<Item = &'a wgpu::BlasBuildEntry<'a>>,
            _: &mut dyn Iterator<Item = &'a wgpu::Tlas>
        );
        fn transition_resources<'a>(
            &mut self,
            _: &mut dyn Iterator<Item = wgpu::wgt::BufferTransition<&'a DispatchBuffer>>,
            _: &mut dyn Iterator<Item = wgpu::wgt::TextureTransition<&'a DispatchTexture>>
        );
    }
}

#[derive(Debug)]
struct Pass {
    pass: Object,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.pass.call("end", json!([]));
        }
    }
}

impl ComputePassInterface for Pass {
    fn set_pipeline(&mut self, pipeline: &DispatchComputePipeline) {
        let pipeline: &Pipeline = pipeline.as_custom().expect("made in the browser");
        self.pass.call("setPipeline", json!([pipeline.0.arg()]));
    }

    fn set_bind_group(&mut self, index: u32, group: Option<&DispatchBindGroup>, _: &[wgpu::DynamicOffset]) {
        let group = object!(group.expect("gpulogit binds what it made"));
        self.pass.call("setBindGroup", json!([index, group.arg()]));
    }

    fn dispatch_workgroups(&mut self, x: u32, y: u32, z: u32) {
        self.pass.call("dispatchWorkgroups", json!([x, y, z]));
    }

    unused! {
        fn set_immediates(&mut self, _: u32, _: &[u8]);
        fn insert_debug_marker(&mut self, _: &str);
        fn push_debug_group(&mut self, _: &str);
        fn pop_debug_group(&mut self);
        fn write_timestamp(&mut self, _: &DispatchQuerySet, _: u32);
        fn begin_pipeline_statistics_query(&mut self, _: &DispatchQuerySet, _: u32);
        fn end_pipeline_statistics_query(&mut self);
        fn dispatch_workgroups_indirect(&mut self, _: &DispatchBuffer, _: u64);
        fn transition_resources<'a>(
            &mut self,
            _: &mut dyn Iterator<Item = wgpu::wgt::BufferTransition<&'a DispatchBuffer>>,
            _: &mut dyn Iterator<Item = wgpu::wgt::TextureTransition<&'a DispatchTextureView>>
        );
    }
}
