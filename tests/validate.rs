//! That validation passes on sound kernels and notices each broken one.

mod common;

use common::Rows;
use gpulogit::certificate::Status;
use gpulogit::data::{Dataset, PackOptions};
use gpulogit::engine::DeviceRequest;
use gpulogit::engine::gpu::tuning::{self, DeviceClass};
use gpulogit::engine::gpu::{GpuOptions, ShaderSources, common, kernels};
use gpulogit::error::Error;
use gpulogit::fit::{FitOptions, Init, fit_with};
use gpulogit::monitor::Silent;
use gpulogit::solver::Solver;
use gpulogit::validate::{Validation, awkward, validate};

const CLASSES: [DeviceClass; 2] = [DeviceClass::Hardware, DeviceClass::Software];

fn sound(class: DeviceClass) -> GpuOptions {
    GpuOptions { class: Some(class), ..GpuOptions::default() }
}

/// The built-in shaders with one passage of one file changed: a kernel's, or one of shaders/common.
#[track_caller]
fn doctored(class: DeviceClass, stem: &str, from: &str, to: &str) -> GpuOptions {
    let source = kernels().iter().find(|k| k.name == stem).map_or(common(stem), |kernel| kernel.source);
    assert_eq!(source.matches(from).count(), 1, "{stem} holds {from:?} once");
    GpuOptions { sources: ShaderSources::default().replace(stem, source.replace(from, to)), ..sound(class) }
}

fn on_gpu(cases: &[Dataset], options: &GpuOptions) -> Validation {
    validate(&[DeviceRequest::Gpu], cases, options, &Silent).unwrap()
}

/// The checks that failed.
fn failed(validation: &Validation) -> Vec<&str> {
    assert_eq!(validation.ok, validation.kernels.iter().all(|check| check.ok));
    validation.kernels.iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

#[test]
fn sound_engines_pass_every_check() {
    let cases = awkward().unwrap();
    let devices = [DeviceRequest::Cpu, DeviceRequest::Gpu];
    let validation = validate(&devices, &cases, &GpuOptions::default(), &Silent).unwrap();
    assert!(validation.ok, "{:#?}", validation.kernels);
    assert_eq!(
        validation.kernels.len(),
        16,
        "eight checks on each engine: the GPU has a wide kernel, the CPU curvature"
    );
    let more = cases.iter().filter(|data| data.classes > 2).count();
    for check in &validation.kernels {
        // A whole fit needs two classes, which the smallest sets lack.
        let expected = match check.name {
            // How many features are too many for registers is for the GPU to say.
            "loss_gradient" | "loss_gradient_wide" if check.engine != "cpu" => check.cases.max(12),
            "softmax" | "softmax_product" => more,
            "fit" => cases.len() - more - 2,
            _ => cases.len() - more,
        };
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
    assert_eq!(names, ["logits", "loss_gradient", "line_probe", "loss_gradients"]);
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.len() == 1 && notes[0].contains("not compared"), "{notes:?}");
}

#[test]
fn a_broken_shader_is_noticed_by_the_check_of_its_name() {
    use DeviceClass::{Hardware, Software};
    // A broken kernel is broken on small data too; these are the edges of group, tile and register.
    let edges = [(31, 4), (33, 8), (257, 33), (513, 64), (1000, 65)];
    let is_edge = |data: &Dataset| match data.classes {
        2 => edges.contains(&(data.rows, data.features.len())),
        _ => [257, 513].contains(&data.rows),
    };
    let cases: Vec<_> = awkward().unwrap().into_iter().filter(is_edge).collect();
    assert_eq!(cases.len(), edges.len() + 2);
    let faults: [(&str, &str, &str, &str, &[DeviceClass]); 27] = [
        // A row too many and one too few, a threshold, a sum in the wrong place, a lost step.
        ("draws", "ModelWords(fold))", "ModelWords(fold + 1u))", "loss_gradients", &CLASSES),
        ("draws", "0xbc5ab1b1u", "0xbf5ab1b1u", "loss_gradients", &CLASSES),
        ("draws", "count == Models(0.0)", "count <= Models(1.0)", "loss_gradients", &CLASSES),
        ("draws", "loss += count * l", "loss += l", "loss_gradients", &CLASSES),
        (
            "loss_gradients",
            "lane_sums[2u * QUADS + at.lane] = left_out",
            "lane_sums[2u * QUADS + at.lane] = loss",
            "loss_gradients",
            &CLASSES,
        ),
        ("wide", "sums[first + block + k] += sum", "sums[first + block + k] = sum", "loss_gradients", &[Hardware]),
        // A wrong slope in the tail of the features, a wrong target, a lost row, a wrong step.
        ("logits", "min(j + 2u, p)), beta[2])", "min(j + 2u, p)), beta[3])", "logits", &CLASSES),
        ("loss_gradient", "targets(quad), weights", "0.999 * targets(quad), weights", "loss_gradient", &CLASSES),
        ("loss_gradient", "step = 0u; step < TILE", "step = 1u; step < TILE", "loss_gradient", &CLASSES),
        ("loss_gradient", "values[4u * i + 2u] * beta[i].z", "values[4u * i] * beta[i].z", "loss_gradient", &CLASSES),
        ("loss_gradient", "vec2<f32>(result.total, result.loss)", "vec2<f32>(result.loss)", "loss_gradient", &CLASSES),
        ("loss_gradient", "for (var i = 1u; i < SLICES", "for (var i = 2u; i < SLICES", "loss_gradient", &CLASSES),
        (
            "loss_gradient_wide",
            "targets(quad), weights",
            "0.999 * targets(quad), weights",
            "loss_gradient_wide",
            &CLASSES,
        ),
        ("wide", "min(j + 2u, p)), beta[2])", "min(j + 2u, p)), beta[3])", "loss_gradient_wide", &CLASSES),
        ("wide", "for (var i = 1u; i < SLICES", "for (var i = 2u; i < SLICES", "loss_gradient_wide", &[Hardware]),
        ("wide", "sums[first + block + k] += sum", "sums[first + block + k] = sum", "loss_gradient_wide", &[Hardware]),
        ("loss_gradient_wide", "loss += result.loss", "loss += 1.001 * result.loss", "loss_gradient_wide", &CLASSES),
        (
            "residual",
            "weighted_loss(a[i], t[i], s[i], e)",
            "weighted_loss(a[i], t[i], 1.001 * s[i], e)",
            "loss_gradient",
            &CLASSES,
        ),
        ("models_4", "slope * x.w", "slope * x.z", "loss_gradient_wide", &CLASSES),
        ("w_image_4", "w_texel(4u * at + 3u)", "w_texel(4u * at + 2u)", "loss_gradient_wide", &[Software]),
        ("x_image", "at / X_LINE", "at / X_LINE / 2u", "loss_gradient", &[Software]),
        ("line_probe", "origin + d * step", "origin + d * (1.001 * step)", "line_probe", &CLASSES),
        // A sign, a logarithm, a mean, a row and a part of the loss.
        ("softmax", "Models(-others * unit)", "Models(others * unit)", "softmax", &CLASSES),
        ("softmax", "(largest - own) + log_sum", "(largest - own) + 1.01 * log_sum", "softmax", &[Software]),
        ("softmax_product", "(b - Models(mean / sum))", "b", "softmax_product", &CLASSES),
        ("classes", "(r[0] + r[1]) + (r[2] + r[3])", "(r[0] + r[1]) + r[2]", "softmax", &[Software]),
        ("classes", "Models(loss, 0.0, 0.0, 0.0)", "Models(0.99 * loss, 0.0, 0.0, 0.0)", "softmax", &CLASSES),
    ];
    let mut noticed = 0;
    for (stem, from, to, check, classes) in faults {
        for class in classes {
            let validation = on_gpu(&cases, &doctored(*class, stem, from, to));
            assert!(failed(&validation).contains(&check), "{stem} with {to:?} for {class:?}: {validation:#?}");
            noticed += 1;
        }
    }
    assert_eq!(noticed, 47);
    for class in CLASSES {
        assert!(on_gpu(&cases, &sound(class)).ok, "the cases fail without a fault");
    }
}

#[test]
fn a_fault_in_the_last_register_is_noticed_at_every_size() {
    let last_lost = (
        "for (var i = 0u; i < FOURS; i++) {\n                gradient",
        "for (var i = 0u; i + 1u < FOURS; i++) {\n                gradient",
    );
    let last_lost_wide = (
        "for (var i = 0u; i < SLOTS; i++) {\n                gradient",
        "for (var i = 0u; i + 1u < SLOTS; i++) {\n                gradient",
    );
    let cases: [(DeviceClass, &[usize]); 2] =
        [(DeviceClass::Hardware, &[8, 512, 768, 1024, 1025]), (DeviceClass::Software, &[4, 8, 16, 24, 32, 48, 64, 65])];
    let mut seen = Vec::new();
    for (class, sizes) in cases {
        for &features in sizes {
            let build = tuning::loss_gradient(class, features, 1);
            let size = build.common.iter().find(|stem| stem.starts_with("slots_")).unwrap();
            // Several tiles, the last one not full.
            let case = [Rows::random(300, features, features as u64).pack(PackOptions::default())];
            assert!(on_gpu(&case, &sound(class)).ok, "{features} features fail without a fault");
            let kernel = build.kernel.name;
            let (stem, (from, to)) =
                if kernel == "loss_gradient" { (kernel, last_lost) } else { ("wide", last_lost_wide) };
            let validation = on_gpu(&case, &doctored(class, stem, from, to));
            assert!(failed(&validation).contains(&kernel), "{class:?}, {features} features: {validation:#?}");
            seen.push((class, kernel, *size));
        }
    }
    let of = |class, kernel| seen.iter().filter(|s| s.0 == class && s.1 == kernel).map(|s| s.2).collect::<Vec<_>>();
    assert_eq!(of(DeviceClass::Hardware, "loss_gradient"), ["slots_8", "slots_16", "slots_24", "slots_32"]);
    assert_eq!(of(DeviceClass::Hardware, "loss_gradient_wide"), ["slots_8"]);
    let software = ["slots_4", "slots_8", "slots_16", "slots_24", "slots_32", "slots_24", "slots_32"];
    assert_eq!(of(DeviceClass::Software, "loss_gradient"), software);
    assert_eq!(of(DeviceClass::Software, "loss_gradient_wide"), ["slots_16"]);
}

#[test]
fn a_fit_on_a_broken_gradient_is_mended_on_the_host_and_the_certificate_says_by_how_much() {
    let data = Rows::random(2000, 5, 21).pack(PackOptions::default());
    let broken = doctored(DeviceClass::Software, "loss_gradient", "step = 0u; step < TILE", "step = 1u; step < TILE");
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

#[test]
fn a_driver_that_returns_no_numbers_spoils_no_model() {
    let data = Rows::random(2000, 5, 21).pack(PackOptions::default());
    let not_a_number = "bitcast<f32>(local | 0x7fc00000u)";
    let faults = [
        ("loss_gradient", "sums[first + j] = sum", format!("sums[first + j] = {not_a_number}")),
        // One tile's loss alone.
        (
            "loss_gradient",
            "sums[first + p + local] = sum",
            format!("sums[first + p + local] = select(sum, {not_a_number}, tile == 3u && local == 1u)"),
        ),
        (
            "line_probe",
            "sums[piece * 2u * probe.count + k] = sum",
            format!("sums[piece * 2u * probe.count + k] = Models({not_a_number})"),
        ),
    ];
    let solvers = [None, Some(Solver::Lbfgs), Some(Solver::Gd), Some(Solver::ProximalNewton)];
    let (mut right, mut refused, mut failures) = (0, 0, 0);
    for solver in solvers {
        let l1 = if solver == Some(Solver::ProximalNewton) { 1.0 } else { 0.0 };
        // Far out, so that steps are searched for along lines.
        let init = Init::Random { seed: 3 };
        let device = DeviceRequest::Gpu;
        let options = FitOptions { device, solver: solver.filter(|_| l1 == 0.0), l1, init, ..FitOptions::default() };
        let sound = fit_with(&data, &options, &GpuOptions::default(), &Silent).unwrap();
        for (stem, from, to) in &faults {
            for verify in [true, false] {
                let options = FitOptions { verify, ..options.clone() };
                match fit_with(&data, &options, &doctored(DeviceClass::Software, stem, from, to), &Silent) {
                    Ok(fitted) => {
                        failures += usize::from(fitted.cost.failure.is_some());
                        let off = fitted.coefficients.iter().zip(&sound.coefficients).map(|(a, b)| (a - b).abs());
                        let off = off.fold((fitted.intercept - sound.intercept).abs(), f64::max);
                        assert!(off.is_finite() && fitted.objective.is_finite(), "{solver:?}, {to}: {fitted:?}");
                        let tolerance = if verify { 1e-6 } else { 1e-3 };
                        assert!(
                            off <= tolerance || fitted.status == Status::Stalled,
                            "{solver:?}, {to}: off by {off:e}"
                        );
                        right += 1;
                    }
                    Err(error) => {
                        assert!(!verify && matches!(error, Error::Numerics(_)), "{solver:?}, {to}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    // A gradient without numbers, of each method but the one for l1, whose steps are judged without an error: nothing to go on with
    // but the host, and that verifies.
    assert_eq!((right, refused, failures), (18, 6, 6));
}
