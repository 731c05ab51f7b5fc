//! Every build of every kernel, and its module.
#![allow(dead_code)] // Each test binary uses its own part of this.

use gpulogit::engine::gpu::tuning::{self, Build, DeviceClass};
use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

pub(crate) const CLASSES: [DeviceClass; 2] = [DeviceClass::Hardware, DeviceClass::Software];
/// More features than any kernel holds in registers.
pub(crate) const MANY: usize = 1100;
/// How many builds there are.
pub(crate) const BUILDS: usize = 58;

/// The builds that the plan chooses for a class of device, features and models.
pub(crate) fn chosen(class: DeviceClass, features: usize, models: usize) -> [Build; 6] {
    [
        tuning::logits(class, models),
        tuning::loss_gradient(class, features, models),
        tuning::loss_gradients(class, features),
        tuning::line_probe(class, models),
        tuning::softmax(class, features, false),
        tuning::softmax(class, features, true),
    ]
}

/// Every build that the plan chooses, with the least and the most features it is chosen for.
pub(crate) fn builds() -> Vec<(Build, usize, usize)> {
    let mut found: Vec<(Build, usize, usize)> = Vec::new();
    for class in CLASSES {
        for models in [1, 5] {
            for features in 0..=MANY {
                for build in chosen(class, features, models) {
                    match found.iter_mut().find(|(known, ..)| *known == build) {
                        Some((_, _, most)) => *most = features,
                        None => found.push((build, features, features)),
                    }
                }
            }
        }
    }
    found
}

/// The module of `wgsl` with the overrides of `build` settled; naga's validator, which wgpu runs too, finds nothing wrong
/// without any optional capability.
pub(crate) fn settled(wgsl: &str, build: &Build) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.message().to_string())?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::default());
    let info = validator.validate(&module).map_err(|error| error.as_inner().to_string())?;
    let constants = build.constants.iter().map(|(name, value)| ((*name).to_string(), f64::from(*value)));
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants.collect())
        .map_err(|error| error.to_string())?;
    Ok((module.into_owned(), info.into_owned()))
}
