//! Devices that fail, by a layer between the loader and whatever Vulkan driver is installed (layer.c): as they are for the program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::arrays;
use super::desk::{Desk, Ended, data, number};

/// Runs the program on a Vulkan driver behind the layer of tests/faults, with the fault that this asks for.
fn with_fault(desk: &Desk, fault: &str, value: u64, args: &[&str]) -> Ended {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    if !desk.path("layer").exists() {
        std::fs::create_dir(desk.path("layer")).unwrap();
        std::fs::copy(folder.join("layer.json"), desk.path("layer/layer.json")).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]);
        let compiled = compiler.arg(desk.path("layer/layer.so")).arg(folder.join("layer.c")).status();
        assert!(compiled.expect("a C compiler").success());
    }
    let mut command = desk.command(args);
    command.env("VK_LAYER_PATH", desk.path("layer")).env("VK_INSTANCE_LAYERS", "VK_LAYER_GPULOGIT_fault");
    Ended::new(command.args(["--device", "gpu"]).env(fault, value.to_string()).output().unwrap())
}

/// Coefficients and intercept of a model file.
fn fitted(desk: &Desk, model: &str) -> Vec<f64> {
    let model: Value = serde_json::from_str(&desk.text(model)).unwrap();
    let coefficients = model["coefficients"].as_array().unwrap().iter().map(|c| &c["value"]);
    coefficients.chain([&model["intercept"]]).map(number).collect()
}

#[test]
fn a_device_lost_on_the_way_takes_nothing_along() {
    let desk = Desk::new();
    let set = data("biopsy.csv");
    let train = ["train", &set, "--target", "y", "--l2", "1", "--solver", "lbfgs", "--json"];
    desk.run(&[&train[..], &["--device", "cpu", "--model", "right.json"]].concat()).succeeds();
    let right = fitted(&desk, "right.json");
    // The device works as long as it is let.
    let sound = with_fault(&desk, "FAULT_SUBMIT", 1_000_000, &train).succeeds();
    assert!(sound["device_failure"].is_null() && sound["iterations"].as_u64().unwrap() > 3, "{sound}");
    for fault in ["FAULT_SUBMIT", "FAULT_WAIT"] {
        let ended = with_fault(&desk, fault, 6, &train);
        let report = ended.succeeds();
        assert_eq!(report["status"], "converged");
        let failure = report["device_failure"].as_str().unwrap();
        assert!(failure.contains(" failed after iteration ") && failure.contains("the device was lost"), "{failure}");
        assert!(!failure.contains("iteration 0 "), "{failure}");
        assert!(ended.err.contains(&format!("warning: {failure}; the native CPU engine went on")), "{}", ended.err);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        let found = fitted(&desk, "model.json");
        assert!(right.iter().zip(&found).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + a.abs())), "{right:?} {found:?}");

        // Where nobody is to verify, the device's work is all there is: it stays, and another one goes on.
        std::fs::remove_file(desk.path("model.json")).unwrap();
        let unverified = [&train[..], &["--no-verify", "--checkpoint", "point"]].concat();
        with_fault(&desk, fault, 6, &unverified).fails(1, &["device failure: the device was lost", "--device cpu"]);
        assert!(!desk.path("model.json").exists());
        let resumed = desk.run(&[&unverified[..], &["--resume", "--device", "cpu"]].concat());
        assert_eq!(resumed.succeeds()["status"], "converged");
        assert!(
            resumed.err.contains("going on from point after ") && !resumed.err.contains("after 0 "),
            "{}",
            resumed.err
        );

        // Likewise with an l1, where nothing goes on.
        let sparse = ["train", &set, "--target", "y", "--l1", "1", "--checkpoint", "point", "--json"];
        with_fault(&desk, fault, 4, &sparse).fails(1, &["device failure: the device was lost"]);
        let resumed = desk.run(&[&sparse[..], &["--resume", "--device", "cpu"]].concat());
        assert_eq!(resumed.succeeds()["status"], "converged");
        assert!(resumed.err.contains("going on from point after "), "{}", resumed.err);

        // There is nothing to go on from where it is lost at once.
        with_fault(&desk, fault, 0, &train).fails(1, &["device failure: the device was lost", "--device cpu"]);
    }
}

#[test]
fn a_device_without_memory_is_an_error_with_a_remedy() {
    let desk = Desk::new();
    arrays(&desk, 6_000_000);
    let train = ["train", "x.npy", "--target-file", "y.npy"];
    // What the engine holds beside the rows has room, the rows, of 96 MB and more, have not.
    with_fault(&desk, "FAULT_MEMORY", 90 << 20, &train)
        .fails(1, &["device failure: out of memory for the ", "--device-memory", "--device cpu"]);
    assert!(!desk.path("model.json").exists());
    let remedied = with_fault(&desk, "FAULT_MEMORY", 90 << 20, &[&train[..], &["--device-memory", "64M"]].concat());
    assert_eq!(remedied.code, 0, "{}", remedied.err);
}
