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

use browser::Browser;
use builds::{BUILDS, CLASSES, MANY, builds, chosen};
use common::Rows;
use gpulogit::data::{Dataset, PackOptions};
use gpulogit::engine::gpu::tuning::{Build, DeviceClass};
use gpulogit::engine::gpu::{GpuOptions, ShaderSources, adapters, kernels};
use gpulogit::engine::{DeviceInfo, DeviceRequest};
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

/// Numbers of features that reach every build of a class of devices.
fn sizes(class: DeviceClass) -> Vec<usize> {
    let mut reached = Vec::new();
    let is_new = |features: &usize| {
        let before = reached.len();
        for build in [1, 5].into_iter().flat_map(|models| chosen(class, *features, models)) {
            if !reached.contains(&build) {
                reached.push(build);
            }
        }
        reached.len() > before
    };
    (0..=MANY).filter(is_new).collect()
}

/// A set of two classes and one of three for each of `sizes`.
fn cases(sizes: &[usize]) -> Vec<Dataset> {
    let of = |&features: &usize| {
        let rows = Rows::random(ROWS, features, features as u64);
        let mut three = rows.clone();
        three.target = (0..ROWS).map(|i| ((i + i / 7) % 3) as f64).collect();
        [rows, three].map(|rows| rows.pack(PackOptions::default()))
    };
    sizes.iter().flat_map(of).collect()
}

/// Where benches/drivers/run.sh wants what was found, to write its page.
fn wanted() -> Option<PathBuf> {
    std::env::var_os("GPULOGIT_DRIVERS").map(PathBuf::from)
}

/// The worst of each check of `device`, and what it is: on cases for every build of both classes of devices and, where a page
/// is written, on the awkward ones as its own class builds kernels.
fn suite(device: &DeviceRequest, options: &GpuOptions) -> (DeviceInfo, Vec<Check>) {
    let awkward = if wanted().is_some() { awkward().unwrap() } else { Vec::new() };
    let every_build = CLASSES.map(|class| (GpuOptions { class: Some(class), ..options.clone() }, cases(&sizes(class))));
    let runs = every_build.into_iter().chain([(options.clone(), awkward)]).filter(|(_, cases)| !cases.is_empty());
    let (mut worst, mut info): (Vec<Check>, _) = (Vec::new(), None);
    for (options, cases) in runs {
        let validation = validate(std::slice::from_ref(device), &cases, &options, &Silent).unwrap();
        info = validation.adapter.into_iter().next();
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
    assert!(worst.iter().all(|check| check.cases >= 10), "{worst:#?}");
    (info.unwrap(), worst)
}

/// Leaves what was found of a driver, then judges it.
fn report(name: &str, driver: &str, checks: &[Check]) {
    if let Some(folder) = wanted() {
        let found = json!({"driver": driver, "builds": BUILDS, "checks": checks});
        std::fs::write(folder.join(format!("{name}.json")), found.to_string()).unwrap();
    }
    assert!(checks.iter().all(|check| check.ok), "{name}, {driver}: {checks:#?}");
}

/// Name and version of the driver of an adapter of this machine.
fn driver(info: &DeviceInfo) -> String {
    let found = adapters().into_iter().find(|adapter| adapter.info.id == info.id).unwrap();
    format!("{}, {}", found.info.name, found.driver)
}

#[test]
fn the_cases_reach_every_build() {
    // As validate does: one model, and several.
    let of = |class| sizes(class).into_iter().flat_map(move |features| [1, 3, 5].map(|m| chosen(class, features, m)));
    let reached: Vec<Build> = CLASSES.into_iter().flat_map(of).flatten().collect();
    assert!(builds().iter().all(|(build, ..)| reached.contains(build)));
}

#[test]
fn on_webgpus_default_limits() {
    let options = GpuOptions { default_limits: true, ..GpuOptions::default() };
    let (info, checks) = suite(&DeviceRequest::Gpu, &options);
    report("default limits", &driver(&info), &checks);
}

#[test]
#[ignore = "benches/drivers/run.sh names the driver"]
fn on_a_driver() {
    let [name, id] = ["NAME", "ID"].map(|key| std::env::var(format!("GPULOGIT_DRIVER_{key}")).unwrap());
    let (info, checks) = suite(&DeviceRequest::Named(id.clone()), &GpuOptions::default());
    assert_eq!(info.id, id);
    report(&name, &driver(&info), &checks);
}

#[test]
#[ignore = "needs Chromium: benches/drivers/run.sh installs it"]
fn in_a_browser() {
    let browser = webgpu::Adapter::of(Browser::start());
    let adapter = wgpu::Adapter::from_custom(browser.clone());
    let driver = format!("{}, {}", adapter.get_info().name, adapter.get_info().driver);
    let options = GpuOptions { adapter: Some(adapter), ..GpuOptions::default() };
    let (_, checks) = suite(&DeviceRequest::Gpu, &options);
    report("browser", &driver, &checks);
    let sent: BTreeSet<webgpu::Source> = builds()
        .into_iter()
        .map(|(build, ..)| {
            let constants = build.constants.iter().map(|(name, value)| ((*name).to_string(), *value)).collect();
            (ShaderSources::default().joined(&build), constants)
        })
        .collect();
    assert_eq!(sent.len(), BUILDS);
    assert_eq!(browser.compiled(), sent, "what the browser has compiled");

    // What is computed there is what is judged: a wrong slope is noticed.
    let logits = kernels().iter().find(|kernel| kernel.name == "logits").unwrap();
    let (right, wrong) = ("min(j + 2u, p)), beta[2])", "min(j + 2u, p)), beta[3])");
    assert!(logits.source.contains(right));
    let sources = ShaderSources::default().replace("logits", logits.source.replace(right, wrong));
    let broken = GpuOptions { sources, ..options };
    let validation = validate(&[DeviceRequest::Gpu], &cases(&[7])[..1], &broken, &Silent).unwrap();
    let failed: Vec<&str> = validation.kernels.iter().filter(|check| !check.ok).map(|check| check.name).collect();
    assert_eq!(failed, ["logits"]);
}
