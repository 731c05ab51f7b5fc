//! That validation passes on sound kernels and notices each broken one.

mod common;

use common::Rows;
use gpulogit::data::PackOptions;
use gpulogit::engine::DeviceRequest;
use gpulogit::engine::gpu::{GpuOptions, ShaderSources, kernels};
use gpulogit::fit::{FitOptions, fit_with};
use gpulogit::monitor::Silent;
use gpulogit::validate::{Validation, awkward, validate};

/// The built-in shaders with one passage of one kernel changed.
fn doctored(kernel: &str, from: &str, to: &str) -> GpuOptions {
    let source = kernels().iter().find(|k| k.name == kernel).unwrap().source;
    assert_eq!(source.matches(from).count(), 1, "{kernel} holds {from:?} once");
    GpuOptions { sources: ShaderSources::default().replace(kernel, source.replace(from, to)), ..GpuOptions::default() }
}

fn on_gpu(options: &GpuOptions) -> Validation {
    // Every edge is in the first shapes; a broken kernel is broken on small data too.
    let cases: Vec<_> = awkward().unwrap().into_iter().take(12).collect();
    validate(&[DeviceRequest::Gpu], &cases, options, &Silent).unwrap()
}

#[test]
fn sound_engines_pass_every_check() {
    let cases = awkward().unwrap();
    let devices = [DeviceRequest::Cpu, DeviceRequest::Gpu];
    let validation = validate(&devices, &cases, &GpuOptions::default(), &Silent).unwrap();
    assert!(validation.ok, "{:#?}", validation.kernels);
    assert_eq!(validation.kernels.len(), 11, "five checks on each engine, and the CPU's curvature");
    for check in &validation.kernels {
        // A whole fit needs two classes, which the smallest sets lack.
        let expected = if check.name == "fit" { cases.len() - 2 } else { cases.len() };
        assert_eq!(check.cases, expected, "{check:?}");
        assert!(check.worst_error <= check.bound && check.bound < 1e-2, "{check:?}");
    }
}

#[test]
fn what_the_reference_cannot_afford_is_left_out_with_a_note() {
    struct Notes(std::sync::Mutex<Vec<String>>);
    impl gpulogit::monitor::Monitor for Notes {
        fn event(&self, event: gpulogit::monitor::Event<'_>) {
            if let gpulogit::monitor::Event::Note(note) = event {
                self.0.lock().unwrap().push(note);
            }
        }
    }
    let notes = Notes(std::sync::Mutex::default());
    let wide = Rows::random(1000, 2300, 22).pack(PackOptions::default());
    let validation = validate(&[DeviceRequest::Cpu], &[wide], &GpuOptions::default(), &notes).unwrap();
    assert!(validation.ok, "{:#?}", validation.kernels);
    let names: Vec<&str> = validation.kernels.iter().map(|check| check.name).collect();
    assert_eq!(names, ["logits", "residual", "gradient", "line_probe"]);
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.len() == 1 && notes[0].contains("not compared"), "{notes:?}");
}

#[test]
fn a_broken_shader_is_noticed_by_the_check_of_its_name() {
    let faults = [
        // An off-by-one in the tail of the features, a wrong target, a lost row, a wrong step.
        ("logits", "w[w_first + j];\n            }", "w[w_first + j + 1u];\n            }", "logits"),
        ("residual", "(sigmoid(at, e) - t[row])", "(sigmoid(at, e) - 0.999 * t[row])", "residual"),
        (
            "residual",
            "weighted_loss(at, t[row], s[row], e)",
            "weighted_loss(at, t[row], 1.001 * s[row], e)",
            "residual",
        ),
        ("gradient", "for (var g = first; g < end; g++)", "for (var g = first + 1u; g < end; g++)", "gradient"),
        ("line_probe", "from_row + step * d", "from_row + 1.001 * step * d", "line_probe"),
    ];
    let mut noticed = 0;
    for (kernel, from, to, check) in faults {
        let validation = on_gpu(&doctored(kernel, from, to));
        assert!(!validation.ok, "{kernel} with {to:?} passed");
        let failed: Vec<&str> = validation.kernels.iter().filter(|c| !c.ok).map(|c| c.name).collect();
        assert!(failed.contains(&check), "{kernel} with {to:?}: {failed:?}");
        noticed += 1;
    }
    assert_eq!(noticed, 5);
    assert!(on_gpu(&GpuOptions::default()).ok, "the cases fail without a fault");
}

#[test]
fn a_fit_on_a_broken_gradient_is_mended_on_the_host_and_the_certificate_says_by_how_much() {
    let data = Rows::random(2000, 5, 21).pack(PackOptions::default());
    let broken = doctored("gradient", "for (var g = first; g < end; g++)", "for (var g = first + 1u; g < end; g++)");
    let options = FitOptions { device: DeviceRequest::Gpu, ..FitOptions::default() };
    let fitted = fit_with(&data, &options, &broken, &Silent).unwrap();
    let sound = fit_with(&data, &options, &GpuOptions::default(), &Silent).unwrap();
    let off = |fit: &gpulogit::fit::Fit| fit.certificate.as_ref().unwrap().polish_decrease / fit.objective;
    assert!(fitted.gradient_inf_norm <= 1e-8, "{:?}", fitted.certificate);
    assert!(off(&fitted) > 1e-6 && off(&sound) < 1e-8, "{} {}", off(&fitted), off(&sound));
    let unverified = FitOptions { verify: false, ..options };
    let trusted = fit_with(&data, &unverified, &broken, &Silent).unwrap();
    assert!((trusted.intercept - sound.intercept).abs() > 1e-3, "the fault matters");
}
