//! The whole suite of `gpulogit validate`, on cases that reach every build of every kernel, on one driver after another:
//! whatever Vulkan driver is installed, held to WebGPU's default limits; and, by benches/drivers/run.sh, which writes
//! docs/drivers.md, those it names and the WebGPU of a browser.

#[path = "drivers/browser.rs"]
mod browser;
#[path = "common/builds.rs"]
mod builds;
mod common;
#[path = "drivers/webgpu.rs"]
mod webgpu;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use browser::Browser;
use builds::{BUILDS, CLASSES, builds, chosen};
use common::Rows;
use gpulogit::data::{Dataset, PackOptions};
use gpulogit::engine::DeviceRequest;
use gpulogit::engine::gpu::{GpuOptions, ShaderSources, adapters};
use gpulogit::monitor::Silent;
use gpulogit::validate::{Check, awkward, validate};
use serde_json::json;

/// Rows of a case: two tiles, the second one not full.
const ROWS: usize = 300;
/// The checks: seven kernels, and the whole fit.
const CHECKS: [&str; 8] = [
    "logits",
    "loss_gradient",
    "loss_gradient_wide",
    "line_probe",
    "loss_gradients",
    "softmax",
    "softmax_product",
    "fit",
];

/// The least features that each build is chosen for, each once.
fn sizes() -> BTreeSet<usize> {
    builds().into_iter().map(|(_, least, _)| least).collect()
}

/// A set of two classes and one of three for each of `sizes`.
fn cases(sizes: &BTreeSet<usize>) -> Vec<Dataset> {
    let of = |&features: &usize| {
        let rows = Rows::random(ROWS, features, features as u64);
        let mut three = rows.clone();
        three.target = (0..ROWS).map(|i| ((i + i / 7) % 3) as f64).collect();
        [rows, three].map(|rows| rows.pack(PackOptions::default()))
    };
    sizes.iter().flat_map(of).collect()
}

/// The worst of each check of `device`: on cases for every build of both classes of devices and, where `thorough`, on the
/// awkward ones as its own class builds kernels.
fn suite(device: &DeviceRequest, options: &GpuOptions, thorough: bool) -> Vec<Check> {
    let every_build = cases(&sizes());
    let awkward = if thorough { awkward().unwrap() } else { Vec::new() };
    let classes = CLASSES.map(|class| (GpuOptions { class: Some(class), ..options.clone() }, &every_build));
    let runs = classes.into_iter().chain([(options.clone(), &awkward)]).filter(|(_, cases)| !cases.is_empty());
    let mut worst: Vec<Check> = Vec::new();
    for (options, cases) in runs {
        let validation = validate(std::slice::from_ref(device), cases, &options, &Silent).unwrap();
        for check in validation.kernels {
            match worst.iter_mut().find(|known| known.name == check.name) {
                None => worst.push(check),
                Some(known) => {
                    let nearer = check.worst_error * known.bound > known.worst_error * check.bound;
                    let (cases, ok) = (known.cases + check.cases, known.ok && check.ok);
                    let shown = if nearer || (known.ok && !check.ok) { check } else { known.clone() };
                    *known = Check { cases, ok, ..shown };
                }
            }
        }
    }
    let names: BTreeSet<&str> = worst.iter().map(|check| check.name).collect();
    assert_eq!(names, BTreeSet::from(CHECKS));
    assert!(worst.iter().all(|check| check.cases >= sizes().len()), "{worst:#?}");
    worst
}

/// Leaves what was found for benches/drivers/run.sh, before it is judged.
fn report(name: &str, driver: &str, checks: &[Check]) {
    if let Some(folder) = std::env::var_os("GPULOGIT_DRIVERS").map(PathBuf::from) {
        let found = json!({"name": name, "driver": driver, "builds": BUILDS, "checks": checks});
        std::fs::write(folder.join(format!("{name}.json")), found.to_string()).unwrap();
    }
    assert!(checks.iter().all(|check| check.ok), "{name}, {driver}: {checks:#?}");
}

#[test]
fn the_cases_reach_every_build() {
    let sizes = sizes();
    let mut reached = Vec::new();
    for class in CLASSES {
        // As validate does: one model, and several.
        for models in [1, 3, 5] {
            for &features in &sizes {
                for build in chosen(class, features, models) {
                    if !reached.contains(&build) {
                        reached.push(build);
                    }
                }
            }
        }
    }
    assert_eq!(reached.len(), BUILDS);
    assert!(builds().iter().all(|(build, ..)| reached.contains(build)));
}

#[test]
fn on_webgpus_default_limits() {
    let options = GpuOptions { default_limits: true, ..GpuOptions::default() };
    let thorough = std::env::var_os("GPULOGIT_DRIVERS").is_some();
    report("default limits", "", &suite(&DeviceRequest::Gpu, &options, thorough));
}

#[test]
#[ignore = "benches/drivers/run.sh names the driver"]
fn on_a_driver() {
    let [name, id] = ["NAME", "ID"].map(|key| std::env::var(format!("GPULOGIT_DRIVER_{key}")).unwrap());
    let found = adapters();
    let adapter = found.iter().find(|adapter| adapter.info.id == id).unwrap_or_else(|| panic!("{id} is not here"));
    let driver = format!("{}, {}", adapter.info.name, adapter.driver);
    report(&name, &driver, &suite(&DeviceRequest::Named(id), &GpuOptions::default(), true));
}

#[test]
#[ignore = "needs Chromium: benches/drivers/run.sh installs it"]
fn in_a_browser() {
    let browser = Arc::new(Browser::start());
    let adapter = webgpu::Adapter::of(&browser);
    let driver = format!("{}, {}", adapter.get_info().driver, adapter.get_info().name);
    let checks = suite(&DeviceRequest::Gpu, &GpuOptions { adapter: Some(adapter), ..GpuOptions::default() }, true);
    let sent: BTreeSet<browser::Compiled> = builds()
        .into_iter()
        .map(|(build, ..)| {
            let constants = build.constants.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
            (ShaderSources::default().joined(&build), constants)
        })
        .collect();
    assert_eq!(sent.len(), BUILDS);
    assert_eq!(*browser.compiled.lock().unwrap(), sent, "what the browser has compiled");
    report("browser", &driver, &checks);
}
