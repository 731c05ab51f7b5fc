//! `gpulogit devices`: what can compute here.

use serde_json::json;

use super::args::DevicesArgs;
use super::exit::Outcome;
use super::output::{device_words, json, stdout};
use super::progress::Terminal;
use crate::engine::{DeviceRequest, cpu, gpu};
use crate::error::Result;

pub(super) fn run(args: &DevicesArgs) -> Result<Outcome> {
    let adapters = gpu::adapters();
    let real = gpu::choose_real(0);
    let (auto, why) = match &real {
        Some(id) => (id.as_str(), "a real GPU that can compute"),
        None if adapters.is_empty() => ("cpu", "no GPU adapter answers (is a Vulkan, Metal or DX12 driver installed?)"),
        None => ("cpu", "no real GPU is among the adapters; a software one is used only when asked for"),
    };
    let host = cpu::device_info();
    if args.common.json {
        json(&json!({ "auto": auto, "why": why, "cpu": host, "adapters": adapters }))?;
        return Ok(Outcome::Done);
    }
    let mut text = format!("{}\n", device_words(&host));
    for adapter in &adapters {
        text += &format!("{}\n  driver           {}\n", device_words(&adapter.info), adapter.driver);
        text += &format!(
            "  limits           {} MiB a binding, {} MiB a buffer, {} KiB of workgroup memory, {} invocations\n",
            adapter.max_binding_bytes >> 20,
            adapter.max_buffer_bytes >> 20,
            adapter.max_workgroup_bytes >> 10,
            adapter.max_invocations,
        );
        if let Some(other) = &adapter.same_gpu_as {
            text += &format!("  the same GPU as  {other}\n");
        }
        if let Some(why) = &adapter.unusable {
            text += &format!("  not usable       {why}\n");
        }
    }
    stdout(&format!("{text}\n--device auto takes {auto}: {why}\n"))?;
    Ok(Outcome::Done)
}

/// The CPU engine and every adapter that can compute.
pub(super) fn every_engine(terminal: &Terminal) -> Vec<DeviceRequest> {
    let adapters = gpu::adapters();
    let mut devices = vec![DeviceRequest::Cpu];
    for adapter in &adapters {
        match &adapter.unusable {
            None => devices.push(DeviceRequest::Named(adapter.info.id.clone())),
            Some(why) => terminal.warn(&format!("{} is left out: {why}.", adapter.info.id)),
        }
    }
    if devices.len() == 1 {
        terminal.warn("no GPU adapter is here: only the CPU engine is left.");
    }
    devices
}
