//! The kernels: their sources, what is joined before them, and their bindings.

use std::collections::BTreeMap;

use super::tuning::Build;
use super::uniforms::{CHUNK_MEMBERS, ChunkUniform, Member, PROBE_MEMBERS, ProbeUniform};

macro_rules! shader {
    ($file:literal) => {
        include_str!(concat!("../../../shaders/", $file, ".wgsl"))
    };
}

/// The files of `shaders/common`: stem and text.
const COMMON: [(&str, &str); 19] = [
    ("chunk", shader!("common/chunk")),
    ("classes", shader!("common/classes")),
    ("draws", shader!("common/draws")),
    ("logistic", shader!("common/logistic")),
    ("models_1", shader!("common/models_1")),
    ("models_4", shader!("common/models_4")),
    ("parameters", shader!("common/parameters")),
    ("residual", shader!("common/residual")),
    ("slots_4", shader!("common/slots_4")),
    ("slots_8", shader!("common/slots_8")),
    ("slots_16", shader!("common/slots_16")),
    ("slots_24", shader!("common/slots_24")),
    ("slots_32", shader!("common/slots_32")),
    ("w_buffer", shader!("common/w_buffer")),
    ("w_image_1", shader!("common/w_image_1")),
    ("w_image_4", shader!("common/w_image_4")),
    ("wide", shader!("common/wide")),
    ("x_buffer", shader!("common/x_buffer")),
    ("x_image", shader!("common/x_image")),
];

/// A resource of a kernel, at the binding of its position in [`Kernel::bindings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the shader.
    pub name: &'static str,
    /// What it is.
    pub kind: BindingKind,
}

/// What a binding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindingKind {
    /// A uniform struct: size and members in Rust.
    Uniform(usize, &'static [Member]),
    /// Rows or parameters, which are read: a storage buffer on GPUs, a storage texture on software drivers.
    Values,
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written.
    Write,
}

/// A kernel: one shader file, one entry point of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// File stem, entry point and name in every report.
    pub name: &'static str,
    /// The file and function of `src/engine/cpu` that compute the same.
    pub counterpart: &'static str,
    /// The shader file's text.
    pub source: &'static str,
    /// Its resources, in the order of their bindings.
    pub bindings: &'static [Binding],
    /// How it takes residuals and losses.
    pub(super) residuals: Residuals,
}

/// How a kernel takes residuals and losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residuals {
    /// Not at all.
    None,
    /// Of every row once.
    Plain,
    /// Of every row as often as each model counts it.
    Counted,
    /// Of all classes of every row.
    Classes,
}

const fn binding(name: &'static str, kind: BindingKind) -> Binding {
    Binding { name, kind }
}

const CHUNK: Binding = binding("chunk", BindingKind::Uniform(size_of::<ChunkUniform>(), &CHUNK_MEMBERS));
const X: Binding = binding("x", BindingKind::Values);
const W: Binding = binding("w", BindingKind::Values);
const A: Binding = binding("a", BindingKind::Write);
const SUMS: Binding = binding("sums", BindingKind::Write);

pub(super) const LOGITS: Kernel = Kernel {
    name: "logits",
    counterpart: "kernels.rs, logits",
    source: shader!("logits"),
    bindings: &[CHUNK, X, W, A],
    residuals: Residuals::None,
};

pub(super) const LOSS_GRADIENT: Kernel = Kernel {
    name: "loss_gradient",
    counterpart: "kernels.rs, loss_gradient",
    source: shader!("loss_gradient"),
    bindings: &[CHUNK, X, W, A, SUMS],
    residuals: Residuals::Plain,
};

pub(super) const LOSS_GRADIENT_WIDE: Kernel = Kernel {
    name: "loss_gradient_wide",
    counterpart: "kernels.rs, loss_gradient",
    source: shader!("loss_gradient_wide"),
    bindings: &[CHUNK, X, W, A, SUMS],
    residuals: Residuals::Plain,
};

pub(super) const LINE_PROBE: Kernel = Kernel {
    name: "line_probe",
    counterpart: "kernels.rs, line_probe",
    source: shader!("line_probe"),
    bindings: &[
        CHUNK,
        X,
        binding("probe", BindingKind::Uniform(size_of::<ProbeUniform>(), &PROBE_MEMBERS)),
        binding("start", BindingKind::Read),
        binding("end", BindingKind::Read),
        SUMS,
    ],
    residuals: Residuals::Plain,
};

pub(super) const LOSS_GRADIENTS: Kernel = Kernel {
    name: "loss_gradients",
    counterpart: "batch.rs, loss_gradients",
    source: shader!("loss_gradients"),
    bindings: &[CHUNK, X, W, binding("draws", BindingKind::Read), SUMS],
    residuals: Residuals::Counted,
};

pub(super) const SOFTMAX: Kernel = Kernel {
    name: "softmax",
    counterpart: "softmax.rs, softmax",
    source: shader!("softmax"),
    bindings: &[CHUNK, X, W, A, SUMS],
    residuals: Residuals::Classes,
};

pub(super) const SOFTMAX_PRODUCT: Kernel = Kernel {
    name: "softmax_product",
    counterpart: "softmax.rs, products",
    source: shader!("softmax_product"),
    bindings: &[CHUNK, X, W, A, SUMS],
    residuals: Residuals::Classes,
};

const KERNELS: [Kernel; 7] =
    [LOGITS, LOSS_GRADIENT, LOSS_GRADIENT_WIDE, LOSS_GRADIENTS, LINE_PROBE, SOFTMAX, SOFTMAX_PRODUCT];

/// Every kernel of this engine.
pub fn kernels() -> &'static [Kernel] {
    &KERNELS
}

/// The text of a file of `shaders/common`; empty for a stem that is none.
pub fn common(stem: &str) -> &'static str {
    COMMON.iter().find(|(name, _)| *name == stem).map_or("", |(_, text)| text)
}

impl Kernel {
    /// Whether it reads the parameters W.
    pub(super) fn reads_parameters(&self) -> bool {
        self.bindings.contains(&W)
    }
}

/// The shader sources to build an engine from: the built-in ones, unless a test replaces some to prove that a broken
/// kernel is noticed.
#[derive(Debug, Clone, Default)]
pub struct ShaderSources {
    replaced: BTreeMap<String, String>,
}

impl ShaderSources {
    /// Puts `wgsl` in the place of the file with this stem, a kernel's or one of `shaders/common`.
    #[must_use]
    pub fn replace(mut self, stem: &str, wgsl: impl Into<String>) -> Self {
        self.replaced.insert(stem.into(), wgsl.into());
        self
    }

    /// The whole text given to the compiler.
    pub fn joined(&self, build: &Build) -> String {
        let mut text = String::new();
        let files = build.common.iter().map(|stem| (*stem, common(stem)));
        for (stem, source) in files.chain([(build.kernel.name, build.kernel.source)]) {
            text.push_str(self.replaced.get(stem).map_or(source, String::as_str));
            text.push('\n');
        }
        text
    }

    /// Whether nothing was replaced: then the contract of `tests/shader_contract.rs` holds.
    pub(super) fn are_built_in(&self) -> bool {
        self.replaced.is_empty()
    }
}
