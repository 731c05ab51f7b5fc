//! Adapters: which ones there are, their stable ids, and how one is opened.

use super::GpuOptions;
use super::choose::{GpuRequest, choose};
use super::device::{Gpu, IMAGE_FORMAT};
use super::tuning::DeviceClass;
use crate::engine::{DeviceInfo, DeviceKind};
use crate::error::{Error, Result};

/// An adapter and what it offers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AdapterReport {
    /// Id, name, backend and kind.
    pub info: DeviceInfo,
    /// The driver and its version, as far as it says.
    pub driver: String,
    /// Largest storage binding, in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Workgroup memory, in bytes.
    pub max_workgroup_bytes: u32,
    /// Most invocations a workgroup has.
    pub max_invocations: u32,
    /// Most workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Most storage buffers a kernel uses.
    pub max_storage_buffers: u32,
    /// Whether kernels can be timed on the device.
    pub timestamps: bool,
    /// The id of the same GPU under a backend that is preferred to this one.
    pub same_gpu_as: Option<String>,
    /// Why this adapter cannot be used, where it cannot.
    pub unusable: Option<String>,
}

/// Backends in the order of preference; ids and [`AdapterReport::same_gpu_as`] follow it.
const BACKENDS: [(wgpu::Backend, &str); 4] = [
    (wgpu::Backend::Vulkan, "vulkan"),
    (wgpu::Backend::Metal, "metal"),
    (wgpu::Backend::Dx12, "dx12"),
    (wgpu::Backend::Gl, "gl"),
];

/// Parts of the names of drivers that compute on the CPU, some of which claim to be something else.
const SOFTWARE: [&str; 5] = ["llvmpipe", "softpipe", "swiftshader", "microsoft basic render", "warp"];

/// Every adapter here, each once, in a stable order.
pub fn adapters() -> Vec<AdapterReport> {
    reports(&behind(false).into_iter().chain(behind(true)).collect::<Vec<_>>())
}

/// The id of the real GPU that `--device auto` takes, if there is one; of several as good the one of this number, counted around.
pub fn choose_real(number: usize) -> Option<String> {
    let (found, chosen) = find(&GpuRequest::RealOnly(number));
    chosen.ok().map(|index| found[index].1.info.id.clone())
}

/// Opens the adapter that `request` means; also says what class of device it is.
pub(super) fn open(request: &GpuRequest, options: &GpuOptions) -> Result<(Gpu, AdapterReport, DeviceClass)> {
    let (mut found, chosen) = match &options.adapter {
        Some(adapter) => {
            let described = reports(std::slice::from_ref(adapter));
            let chosen = choose(&described, request);
            (vec![adapter.clone()].into_iter().zip(described).collect(), chosen)
        }
        None => find(request),
    };
    let (adapter, report) = found.swap_remove(chosen?);
    let limits = if options.default_limits { wgpu::Limits::default() } else { adapter.limits() };
    if !limits.check_limits(&adapter.limits()) {
        return Err(Error::NoDevice(format!("{} offers less than WebGPU's default limits", report.info.id)));
    }
    let features = if report.timestamps { wgpu::Features::TIMESTAMP_QUERY } else { wgpu::Features::empty() };
    let class = class(report.info.kind, &adapter);
    let gpu = Gpu::open(&adapter, limits, features, options.timeout)?;
    Ok((gpu, report, class))
}

/// The class of an adapter. A software driver that does not read storage textures is treated as a GPU.
fn class(kind: DeviceKind, adapter: &wgpu::Adapter) -> DeviceClass {
    let readable = wgpu::TextureFormatFeatureFlags::STORAGE_READ_ONLY;
    let images = adapter.get_texture_format_features(IMAGE_FORMAT).flags.contains(readable)
        && adapter.limits().max_storage_textures_per_shader_stage >= 2;
    match kind {
        DeviceKind::SoftwareGpu if images => DeviceClass::Software,
        _ => DeviceClass::Hardware,
    }
}

/// The adapters, and which one `request` means.
///
/// GL comes last in every choice, and on a machine without a display asking for it makes some drivers complain on
/// stderr: it is asked for only where it could change the answer.
fn find(request: &GpuRequest) -> (Vec<(wgpu::Adapter, AdapterReport)>, Result<usize>) {
    let mut found = behind(false);
    let mut described = reports(&found);
    let mut chosen = choose(&described, request);
    let settled = match &chosen {
        Ok(index) => *request != GpuRequest::Any || described[*index].info.kind != DeviceKind::SoftwareGpu,
        Err(error) => matches!(error, Error::Usage(_)),
    };
    if !settled {
        found.extend(behind(true));
        described = reports(&found);
        chosen = choose(&described, request);
    }
    (found.into_iter().zip(described).collect(), chosen)
}

/// The adapters behind GL, or behind all other backends, in the order of preference.
fn behind(gl: bool) -> Vec<wgpu::Adapter> {
    let backends = BACKENDS
        .iter()
        .filter(|(backend, _)| gl == (*backend == wgpu::Backend::Gl))
        .fold(wgpu::Backends::empty(), |all, (backend, _)| all | (*backend).into());
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // No validation layers: wgpu validates by itself, and the layers print.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let mut found = pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(backends));
    found.sort_by_key(|adapter| preference(adapter.get_info().backend));
    found
}

/// What the adapters offer. `found` are those of every backend that was asked, in the order of preference.
fn reports(found: &[wgpu::Adapter]) -> Vec<AdapterReport> {
    let infos: Vec<wgpu::AdapterInfo> = found.iter().map(wgpu::Adapter::get_info).collect();
    let identities: Vec<Identity> = infos.iter().map(Identity::new).collect();
    let same = same_gpus(&identities);
    let mut ids: Vec<String> = Vec::new();
    for (i, info) in infos.iter().enumerate() {
        let earlier = infos[..i].iter().filter(|other| other.backend == info.backend).count();
        ids.push(format!("{}:{earlier}", backend_name(info.backend)));
    }
    let described = found.iter().zip(&infos).enumerate();
    described
        .map(|(i, (adapter, info))| report(adapter, info, ids[i].clone(), same[i].map(|j| ids[j].clone())))
        .collect()
}

fn preference(backend: wgpu::Backend) -> usize {
    BACKENDS.iter().position(|(known, _)| *known == backend).unwrap_or(BACKENDS.len())
}

fn backend_name(backend: wgpu::Backend) -> &'static str {
    BACKENDS.get(preference(backend)).map_or("other", |(_, name)| name)
}

fn report(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo, id: String, same_gpu_as: Option<String>) -> AdapterReport {
    let limits = adapter.limits();
    let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS);
    let mut driver = info.driver.clone();
    if !info.driver_info.is_empty() {
        driver = format!("{driver} {}", info.driver_info).trim().to_string();
    }
    AdapterReport {
        info: DeviceInfo {
            id,
            name: info.name.clone(),
            backend: backend_name(info.backend).into(),
            kind: kind(info.device_type, &info.name),
        },
        driver,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        timestamps: adapter.features().contains(wgpu::Features::TIMESTAMP_QUERY),
        same_gpu_as,
        unusable: unusable(compute, &limits),
    }
}

/// Why an adapter cannot run the kernels, if it cannot. WebGPU's default limits always suffice.
fn unusable(compute: bool, limits: &wgpu::Limits) -> Option<String> {
    if !compute {
        return Some("it runs no compute shaders".into());
    }
    let needs = [
        ("invocations a workgroup", limits.max_compute_invocations_per_workgroup, 256),
        ("invocations along x", limits.max_compute_workgroup_size_x, 256),
        ("bytes of workgroup memory", limits.max_compute_workgroup_storage_size, 16 << 10),
        ("storage buffers a kernel", limits.max_storage_buffers_per_shader_stage, 4),
        ("uniform buffers a kernel", limits.max_uniform_buffers_per_shader_stage, 2),
        ("workgroups a dimension", limits.max_compute_workgroups_per_dimension, 256),
    ];
    if limits.min_storage_buffer_offset_alignment > 256 {
        return Some(format!("it aligns bindings at {} bytes", limits.min_storage_buffer_offset_alignment));
    }
    needs
        .iter()
        .find(|(_, has, needed)| has < needed)
        .map(|(what, has, needed)| format!("it offers {has} {what}, and {needed} are needed"))
}

fn kind(device_type: wgpu::DeviceType, name: &str) -> DeviceKind {
    let name = name.to_lowercase();
    if SOFTWARE.iter().any(|software| name.contains(software)) {
        return DeviceKind::SoftwareGpu;
    }
    match device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu,
        wgpu::DeviceType::Cpu => DeviceKind::SoftwareGpu,
        wgpu::DeviceType::Other => DeviceKind::OtherGpu,
    }
}

/// What tells whether two adapters are one GPU under two backends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    preference: usize,
    pci: String,
    vendor_device: (u32, u32),
    name: String,
}

impl Identity {
    fn new(info: &wgpu::AdapterInfo) -> Self {
        Identity {
            preference: preference(info.backend),
            pci: info.device_pci_bus_id.clone(),
            vendor_device: (info.vendor, info.device),
            name: info.name.to_lowercase(),
        }
    }

    fn may_be(&self, other: &Identity) -> bool {
        if self.preference == other.preference {
            return false;
        }
        if !self.pci.is_empty() && !other.pci.is_empty() {
            return self.pci == other.pci;
        }
        let numbered = |identity: &Identity| identity.vendor_device.0 != 0 && identity.vendor_device.1 != 0;
        if numbered(self) && numbered(other) {
            return self.vendor_device == other.vendor_device;
        }
        // GL gives no device number but a name with trimmings, such as "NVIDIA H200/PCIe/SSE2".
        let (name, other) = (&self.name, &other.name);
        !name.is_empty() && !other.is_empty() && (name.contains(other.as_str()) || other.contains(name.as_str()))
    }
}

/// For each adapter, in the order of preference, the earlier one that is the same GPU. Two equal GPUs under one
/// backend are two; the first of them under another backend is taken for the first, the second for the second.
fn same_gpus(identities: &[Identity]) -> Vec<Option<usize>> {
    let mut same: Vec<Option<usize>> = Vec::new();
    for (i, identity) in identities.iter().enumerate() {
        let claimed = |j: usize| (0..i).any(|k| identities[k].preference == identity.preference && same[k] == Some(j));
        let found = (0..i).find(|&j| same[j].is_none() && identity.may_be(&identities[j]) && !claimed(j));
        same.push(found);
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_offers_too_little_is_unusable() {
        let poor = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..Default::default() };
        assert!(unusable(true, &poor).unwrap().contains("128 invocations"));
        assert_eq!(unusable(true, &wgpu::Limits::default()), None);
        assert!(unusable(false, &wgpu::Limits::default()).is_some());
    }

    #[test]
    fn one_gpu_under_two_backends_is_recognised() {
        let identity = |preference, pci: &str, vendor_device, name: &str| Identity {
            preference,
            pci: pci.into(),
            vendor_device,
            name: name.into(),
        };
        let twins = [
            identity(0, "0000:01:00.0", (1, 2), "card"),
            identity(0, "0000:02:00.0", (1, 2), "card"),
            identity(2, "", (1, 2), "card"),
            identity(2, "", (1, 2), "card"),
            identity(3, "", (1, 0), "card/pcie"),
            identity(3, "", (0, 0), "another"),
        ];
        assert_eq!(same_gpus(&twins), [None, None, Some(0), Some(1), Some(0), None]);
    }

    #[test]
    fn software_is_recognised_by_name_too() {
        assert_eq!(kind(wgpu::DeviceType::Other, "llvmpipe (LLVM 15)"), DeviceKind::SoftwareGpu);
        assert_eq!(kind(wgpu::DeviceType::DiscreteGpu, "Radeon"), DeviceKind::DiscreteGpu);
    }
}
