//! Which adapter a request means: the one policy of choice, free of any GPU.

use super::adapter::AdapterReport;
use crate::engine::DeviceKind;
use crate::error::{Error, Result};

/// Which adapter to compute on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuRequest {
    /// The best real GPU, else a software one (`--device gpu`).
    Any,
    /// The best real GPU or none (`--device auto`); of several as good the one of this number, counted around.
    RealOnly(usize),
    /// An id, or a part of a name in any case.
    Named(String),
}

/// The index of the adapter that `request` means: [`Error::NoDevice`] when none answers, [`Error::Usage`] when a
/// name is blank or means several GPUs.
pub(super) fn choose(reports: &[AdapterReport], request: &GpuRequest) -> Result<usize> {
    // OpenGL computed on the CPU is the slowest path of all: only its id asks for it.
    let taken = |report: &AdapterReport, real_only: bool| {
        report.info.kind != DeviceKind::SoftwareGpu || !(real_only || report.info.backend == "gl")
    };
    let best = |real_only: bool, number: usize| {
        let mut usable: Vec<usize> = (0..reports.len())
            .filter(|&i| reports[i].unusable.is_none() && reports[i].same_gpu_as.is_none())
            .filter(|&i| taken(&reports[i], real_only))
            .collect();
        let least = usable.iter().map(|&i| rank(reports[i].info.kind)).min()?;
        usable.retain(|&i| rank(reports[i].info.kind) == least);
        Some(usable[number % usable.len()])
    };
    match request {
        GpuRequest::Any => best(false, 0)
            .ok_or_else(|| Error::NoDevice(format!("no usable GPU was found{}; try --device cpu", listed(reports)))),
        GpuRequest::RealOnly(number) => best(true, *number)
            .ok_or_else(|| Error::NoDevice(format!("no real GPU was found{}; try --device cpu", listed(reports)))),
        GpuRequest::Named(name) => named(reports, name),
    }
}

fn named(reports: &[AdapterReport], name: &str) -> Result<usize> {
    // Every name contains the empty one.
    if name.trim().is_empty() {
        return Err(Error::Usage("--device needs auto, cpu, gpu, or the id or name of an adapter".into()));
    }
    let wanted = name.to_lowercase();
    let by_id = reports.iter().position(|report| report.info.id == wanted);
    let index = match by_id {
        Some(index) => index,
        None => {
            let matching = |i: &usize| reports[*i].info.name.to_lowercase().contains(&wanted);
            let mut found: Vec<usize> = (0..reports.len()).filter(matching).collect();
            if found.iter().any(|&i| reports[i].same_gpu_as.is_none()) {
                found.retain(|&i| reports[i].same_gpu_as.is_none());
            }
            match found[..] {
                [] => {
                    return Err(Error::NoDevice(format!("no GPU has the id or name {name:?}{}", listed(reports))));
                }
                [index] => index,
                _ => {
                    let ids: Vec<&str> = found.iter().map(|&i| reports[i].info.id.as_str()).collect();
                    return Err(Error::Usage(format!(
                        "{name:?} names several GPUs; give one of their ids: {}",
                        ids.join(", ")
                    )));
                }
            }
        }
    };
    match &reports[index].unusable {
        Some(reason) => Err(Error::NoDevice(format!("{} cannot be used: {reason}", reports[index].info.id))),
        None => Ok(index),
    }
}

fn rank(kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::DiscreteGpu => 0,
        DeviceKind::IntegratedGpu => 1,
        DeviceKind::VirtualGpu => 2,
        DeviceKind::OtherGpu => 3,
        DeviceKind::SoftwareGpu => 4,
        DeviceKind::Cpu => 5,
    }
}

/// What there is, for the end of a sentence that says what there is not.
fn listed(reports: &[AdapterReport]) -> String {
    let names: Vec<String> = reports
        .iter()
        .map(|report| {
            let reason = report.unusable.as_ref().map(|reason| format!(", unusable: {reason}")).unwrap_or_default();
            format!("{} ({}{reason})", report.info.id, report.info.name)
        })
        .collect();
    if names.is_empty() { String::new() } else { format!(" among {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DeviceInfo;

    fn adapter(id: &str, name: &str, kind: DeviceKind) -> AdapterReport {
        AdapterReport {
            info: DeviceInfo { id: id.into(), name: name.into(), backend: id.split(':').next().unwrap().into(), kind },
            driver: String::new(),
            max_binding_bytes: 0,
            max_buffer_bytes: 0,
            max_workgroup_bytes: 0,
            max_invocations: 0,
            max_workgroups: 0,
            max_storage_buffers: 0,
            timestamps: false,
            same_gpu_as: None,
            unusable: None,
        }
    }

    fn desk() -> Vec<AdapterReport> {
        let mut gl = adapter("gl:0", "Radeon Nine", DeviceKind::DiscreteGpu);
        gl.same_gpu_as = Some("vulkan:1".into());
        vec![
            adapter("vulkan:0", "llvmpipe", DeviceKind::SoftwareGpu),
            adapter("vulkan:1", "Radeon Nine", DeviceKind::DiscreteGpu),
            adapter("vulkan:2", "Radeon Small", DeviceKind::IntegratedGpu),
            gl,
        ]
    }

    #[test]
    fn a_real_gpu_is_preferred_and_software_needs_asking() {
        let reports = desk();
        assert_eq!(choose(&reports, &GpuRequest::Any).unwrap(), 1);
        assert_eq!(choose(&reports, &GpuRequest::RealOnly(0)).unwrap(), 1);
        assert_eq!(choose(&reports[..1], &GpuRequest::Any).unwrap(), 0);
        assert!(matches!(choose(&reports[..1], &GpuRequest::RealOnly(0)), Err(Error::NoDevice(_))));
        assert!(matches!(choose(&[], &GpuRequest::Any), Err(Error::NoDevice(_))));
    }

    #[test]
    fn names_and_ids() {
        let reports = desk();
        let named = |name: &str| choose(&reports, &GpuRequest::Named(name.into()));
        assert_eq!(named("GL:0").unwrap(), 3);
        assert_eq!(named("vulkan:2").unwrap(), 2);
        assert_eq!(named("radeon nine").unwrap(), 1, "one GPU under two backends is not ambiguous");
        assert!(matches!(named("radeon"), Err(Error::Usage(text)) if text.contains("vulkan:1, vulkan:2")));
        assert!(matches!(named("geforce"), Err(Error::NoDevice(text)) if text.contains("llvmpipe")));
    }

    #[test]
    fn a_blank_name_means_no_adapter() {
        for reports in [&desk()[..], &desk()[..1], &[]] {
            for blank in ["", " ", "\t\n"] {
                let refused = choose(reports, &GpuRequest::Named(blank.into()));
                assert!(matches!(refused, Err(Error::Usage(text)) if text.contains("--device needs")), "{blank:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_not_chosen_and_says_why() {
        let mut reports = desk();
        reports[1].unusable = Some("it runs no compute shaders".into());
        assert_eq!(choose(&reports, &GpuRequest::Any).unwrap(), 2);
        let refused = choose(&reports, &GpuRequest::Named("vulkan:1".into()));
        assert!(matches!(refused, Err(Error::NoDevice(text)) if text.contains("compute shaders")));
    }
}
