//! How a kernel is built for a device and a problem: which preludes are joined before it, and its numbers. Pure
//! functions; nothing here changes what is computed, only how the work is laid out.

use super::kernels::{
    Kernel, LINE_PROBE, LOGITS, LOSS_GRADIENT, LOSS_GRADIENT_WIDE, LOSS_GRADIENTS, Residuals, SOFTMAX, SOFTMAX_PRODUCT,
};
use super::plan::TILE;
use crate::data::LANES;

/// What sort of machine runs the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceClass {
    /// A GPU: rows and parameters in storage buffers, workgroups of 64 to 256 threads, few registers each.
    Hardware,
    /// A driver that computes on the CPU, eight lanes at a time, and for which memory is as good as a register: rows and
    /// parameters in storage textures, a workgroup of one or two vectors of lanes.
    Software,
}

/// A kernel with all that is chosen for a device and a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The kernel.
    pub kernel: Kernel,
    /// Stems of the files of `shaders/common` joined before it, in order.
    pub common: Vec<&'static str>,
    /// Values of its overrides.
    pub constants: Vec<(&'static str, u32)>,
}

/// Quads (four consecutive rows) of a group and of a tile.
const GROUP_QUADS: usize = LANES / 4;
const TILE_QUADS: usize = TILE / 4;
/// Threads of a workgroup where nothing asks for more: two or four subgroups on every GPU.
const THREADS: usize = 64;
/// Most threads of a workgroup, by WebGPU's default limits.
const MOST_THREADS: usize = 256;
/// Features whose values and sums a GPU's thread keeps in registers without trouble, and at the most.
const EASY_SLOTS: usize = 8;
const MOST_SLOTS: usize = 32;
/// X that a step of the wide kernel reads on a GPU, at the most, in bytes: some of its workgroups share a first-level
/// cache of 128 KiB or more, and all of them the second-level one.
const STEP_BYTES: usize = 64 << 10;
/// Fours of sums that a workgroup's threads hand in at a time, all together: 8 KiB of workgroup memory.
const ROUND_FOURS: usize = 512;

/// The kernel of loss and gradient of `models` models on `features` features.
pub fn loss_gradient(class: DeviceClass, features: usize, models: usize) -> Build {
    let batch = batch(models);
    let register = match class {
        DeviceClass::Hardware => in_registers_hardware(features),
        DeviceClass::Software => in_registers_software(features),
    };
    match register.filter(|_| batch == 1) {
        Some(Shape { slots, quads, slices }) => {
            let round = (slots / 4).min(ROUND_FOURS / (quads * slices));
            let constants = [("QUADS", quads), ("SLICES", slices), ("ROUND", round)];
            build(LOSS_GRADIENT, class, batch, Some(slots), &constants)
        }
        None => wide(LOSS_GRADIENT_WIDE, class, features, batch),
    }
}

/// The kernel of loss and gradient of many models of rows of their own on `features` features.
pub fn loss_gradients(class: DeviceClass, features: usize) -> Build {
    wide(LOSS_GRADIENTS, class, features, BATCH)
}

/// The kernel of loss and gradient of several classes on `features` features, or of the product with their Hessian.
pub fn softmax(class: DeviceClass, features: usize, product: bool) -> Build {
    wide(if product { SOFTMAX_PRODUCT } else { SOFTMAX }, class, features, BATCH)
}

/// A kernel that reads X twice, the second time from cache.
fn wide(kernel: Kernel, class: DeviceClass, features: usize, batch: usize) -> Build {
    let (Shape { slots, quads, slices }, repeat) = match class {
        DeviceClass::Hardware => wide_hardware(features, batch),
        DeviceClass::Software => (Shape { slots: 16, quads: GROUP_QUADS, slices: 1 }, TILE_QUADS / GROUP_QUADS),
    };
    build(kernel, class, batch, Some(slots), &[("QUADS", quads), ("SLICES", slices), ("REPEAT", repeat)])
}

/// The kernel of the logits of `models` models.
pub fn logits(class: DeviceClass, models: usize) -> Build {
    build(LOGITS, class, batch(models), None, &[])
}

/// The kernel of probes along a line of `models` models.
pub fn line_probe(class: DeviceClass, models: usize) -> Build {
    // 32 lanes of four models need 8 KiB for the sums of all steps.
    let quads = match class {
        DeviceClass::Hardware => THREADS / 2,
        DeviceClass::Software => GROUP_QUADS,
    };
    build(LINE_PROBE, class, batch(models), None, &[("QUADS", quads)])
}

/// Models that share a register, where there are several.
pub(super) const BATCH: usize = 4;

/// Models that share a register.
pub(super) fn batch(models: usize) -> usize {
    if models == 1 { 1 } else { BATCH }
}

/// How a workgroup's threads share a tile: slots of features a thread, quads of rows side by side, threads a quad.
#[derive(Debug, Clone, Copy)]
struct Shape {
    slots: usize,
    quads: usize,
    slices: usize,
}

/// 64 threads that hold one quad of 8 features each, in as many slices as the features need; for more than 64 features
/// more threads, then more slots.
fn in_registers_hardware(features: usize) -> Option<Shape> {
    let slices = features.div_ceil(EASY_SLOTS).next_power_of_two().min(MOST_THREADS / GROUP_QUADS);
    let slots = slots_for(features.div_ceil(slices))?;
    Some(Shape { slots: slots.max(EASY_SLOTS), quads: (THREADS / slices).max(GROUP_QUADS), slices })
}

/// One vector of lanes, or two.
fn in_registers_software(features: usize) -> Option<Shape> {
    let slices = if features <= MOST_SLOTS { 1 } else { 2 };
    slots_for(features.div_ceil(slices)).map(|slots| Shape { slots, quads: GROUP_QUADS, slices })
}

fn slots_for(features: usize) -> Option<usize> {
    [4, 8, 16, 24, MOST_SLOTS].into_iter().find(|slots| features <= *slots)
}

/// Threads as for the kernel in registers, and so many quads a step that they stay in cache.
fn wide_hardware(features: usize, batch: usize) -> (Shape, usize) {
    // Four models fill four times the workgroup memory.
    let (slots, threads) = if batch == 1 { (EASY_SLOTS, MOST_THREADS) } else { (EASY_SLOTS / 2, THREADS) };
    let slices = features.div_ceil(EASY_SLOTS).next_power_of_two().min(threads / GROUP_QUADS);
    let quads = (THREADS / slices).max(GROUP_QUADS);
    let in_cache = STEP_BYTES / (16 * features.max(1) * quads);
    let repeat = in_cache.clamp(1, TILE_QUADS / quads);
    // The largest power of two that is not larger.
    (Shape { slots, quads, slices }, 1 << repeat.ilog2())
}

fn build(
    kernel: Kernel,
    class: DeviceClass,
    batch: usize,
    slots: Option<usize>,
    constants: &[(&'static str, usize)],
) -> Build {
    let models = if batch == 1 { "models_1" } else { "models_4" };
    let (x, w) = match (class, batch) {
        (DeviceClass::Hardware, _) => ("x_buffer", "w_buffer"),
        (DeviceClass::Software, 1) => ("x_image", "w_image_1"),
        (DeviceClass::Software, _) => ("x_image", "w_image_4"),
    };
    let slots = match slots {
        None => None,
        Some(4) => Some("slots_4"),
        Some(8) => Some("slots_8"),
        Some(16) => Some("slots_16"),
        Some(24) => Some("slots_24"),
        Some(_) => Some("slots_32"),
    };
    let mut common = vec![models, x, "chunk"];
    if kernel.reads_parameters() {
        common.extend([w, "parameters"]);
    }
    match kernel.residuals {
        Residuals::None => {}
        Residuals::Plain => common.extend(["logistic", "residual"]),
        Residuals::Counted => common.extend(["logistic", "draws"]),
        Residuals::Classes => common.push("logistic"),
    }
    common.extend(slots);
    if constants.iter().any(|(name, _)| *name == "REPEAT") {
        common.push("wide");
    }
    if kernel.residuals == Residuals::Classes {
        common.push("classes");
    }
    Build { kernel, common, constants: constants.iter().map(|(name, value)| (*name, *value as u32)).collect() }
}
