//! The engine boundary: all that a solver may ask of the data.
//!
//! An engine owns X in blocks and computes in *stored units*: its feature j is z = (x − centre)/scale as packed by
//! [`crate::data`]. It knows the loss of the objective in [`crate`] and nothing of penalties or scaling.
//!
//! An engine holds the logits of two points, the *kept* one and the *latest*, so that a line search between them
//! reads no X. Points and lines carry stamps: asking for one that is no longer held is an error, never a wrong
//! answer.

mod batch;
mod classes;
pub mod cpu;
mod device;
pub mod gpu;
mod ranked;

pub use batch::{Batch, BatchSums, Draw, DrawnRows};
pub use classes::ClassSums;
pub use device::{Device, DeviceRequest, Opening, open};
pub use ranked::{AgainstRest, RankedEngine, SharedFolds, dismiss, serve};

use crate::error::{Error, Result};

/// Size of the problem an engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows n.
    pub rows: usize,
    /// Features p, the intercept not counted.
    pub features: usize,
    /// Models m evaluated at once (columns of W).
    pub models: usize,
}

/// W: the parameters of m models, p slopes and then the intercept for each. All zeros at first.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    features: usize,
    values: Vec<f64>,
}

impl Params {
    /// W = 0 for `models` models of `features` features.
    pub fn zeros(features: usize, models: usize) -> Self {
        Params { features, values: vec![0.0; (features + 1) * models] }
    }

    /// One model, from its p slopes followed by its intercept.
    pub fn single(values: Vec<f64>) -> Self {
        Params { features: values.len() - 1, values }
    }

    /// Features p.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Models m.
    pub fn models(&self) -> usize {
        self.values.len() / (self.features + 1)
    }

    /// The p slopes and the intercept of model `k`.
    pub fn model(&self, k: usize) -> &[f64] {
        let width = self.features + 1;
        &self.values[k * width..(k + 1) * width]
    }

    /// Some of the models.
    pub(crate) fn models_in(&self, models: std::ops::Range<usize>) -> Self {
        let width = self.features + 1;
        Params { features: self.features, values: self.values[models.start * width..models.end * width].to_vec() }
    }

    /// The p slopes and the intercept of model `k`, to be changed.
    pub fn model_mut(&mut self, k: usize) -> &mut [f64] {
        let width = self.features + 1;
        &mut self.values[k * width..(k + 1) * width]
    }
}

/// Stamp of a point whose logits an engine holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointId(u64);

/// Stamp of a line between two points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineId(u64);

/// Loss and gradient at a point, both in f64.
#[derive(Debug, Clone)]
pub struct LossGradient {
    /// The point: its logits stay with the engine as the latest.
    pub point: PointId,
    /// Σᵢ sᵢ·ℓ(tᵢ, aᵢ) of each model.
    pub loss: Vec<f64>,
    /// Zᵀ(s∘(Y−T)) of each model in stored units; last entry Σ s·(y−t).
    pub gradient: Params,
}

/// Loss and its derivative at one step along a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossSlope {
    /// Σᵢ sᵢ·ℓ(tᵢ, aᵢ + α·dᵢ).
    pub loss: f64,
    /// Its derivative in α: Σᵢ sᵢ·(yᵢ−tᵢ)·dᵢ.
    pub slope: f64,
}

impl LossSlope {
    /// Beyond the range of the engine's numbers: an infinite loss, and a slope that is not a number.
    pub const OUT_OF_RANGE: LossSlope = LossSlope { loss: f64::INFINITY, slope: f64::NAN };
}

/// What an engine has done so far.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// Full reads of X.
    pub passes: u64,
    /// Bytes of X read by kernels.
    pub bytes_read: u64,
    /// Bytes held on the device, at the most (0 for the CPU engine, whose rows are the host's).
    pub device_peak: u64,
    /// Seconds and calls of each kernel, by kernel name.
    pub kernels: Vec<KernelCost>,
    /// How a device failed where the CPU engine went on in its place.
    pub failure: Option<String>,
}

/// The share of one kernel in a [`Cost`].
#[derive(Debug, Clone)]
pub struct KernelCost {
    /// The kernel's name.
    pub name: &'static str,
    /// Dispatches (GPU) or calls per block (CPU).
    pub calls: u64,
    /// Seconds, by the device's own clock where it has one.
    pub seconds: f64,
    /// Bytes that went between memory and the kernel; what is read again from cache is not among them.
    pub bytes: u64,
}

impl Cost {
    /// Adds what another engine did, one after the other.
    pub(crate) fn add(&mut self, other: &Cost) {
        self.passes += other.passes;
        self.bytes_read += other.bytes_read;
        self.device_peak = self.device_peak.max(other.device_peak);
        for kernel in &other.kernels {
            let sum = self.kernel(kernel.name);
            sum.calls += kernel.calls;
            sum.seconds += kernel.seconds;
            sum.bytes += kernel.bytes;
        }
        self.failure = self.failure.take().or_else(|| other.failure.clone());
    }

    /// Counts one full read of X, `x` bytes, by the kernel `kernel`, which moved `bytes` in all.
    fn count_pass(&mut self, kernel: &'static str, x: u64, bytes: u64) {
        self.passes += 1;
        self.bytes_read += x;
        self.kernel(kernel).bytes += bytes;
    }

    /// The share of the kernel `name`.
    fn kernel(&mut self, name: &'static str) -> &mut KernelCost {
        let found = self.kernels.iter().position(|kernel| kernel.name == name);
        let index = found.unwrap_or_else(|| {
            self.kernels.push(KernelCost { name, calls: 0, seconds: 0.0, bytes: 0 });
            self.kernels.len() - 1
        });
        &mut self.kernels[index]
    }
}

/// What computes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceInfo {
    /// Stable, unique id, as `--device` takes it: `cpu`, `vulkan:0`, …
    pub id: String,
    /// The name the driver or the processor gives itself.
    pub name: String,
    /// `native`, `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// What sort of device it is.
    pub kind: DeviceKind,
}

/// What sort of device computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The native CPU engine.
    Cpu,
    /// A GPU with its own memory.
    DiscreteGpu,
    /// A GPU that shares the host's memory.
    IntegratedGpu,
    /// A GPU lent by a hypervisor.
    VirtualGpu,
    /// A driver that computes shaders on the CPU.
    SoftwareGpu,
    /// A GPU whose driver does not say.
    OtherGpu,
}

/// All that a solver may ask of the data. One call reads X at most once.
pub trait Engine {
    /// Rows, features, models.
    fn shape(&self) -> Shape;

    /// What computes.
    fn device(&self) -> &DeviceInfo;

    /// Differences of the loss below this part of it may be rounding, at a point or along a line.
    fn resolution(&self) -> f64;

    /// The same of [`Engine::loss_gradients`].
    fn batch_resolution(&self) -> f64 {
        self.resolution()
    }

    /// Loss and gradient at W; the logits become those of the *latest* point.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails, [`Error::Numerics`] when a result is not finite.
    fn loss_gradient(&mut self, w: &Params) -> Result<LossGradient>;

    /// Loss and gradient of any number of models at once, each of rows of its own. Points and lines stay as they are.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails, [`Error::Numerics`] when W holds a number that is not finite, on a GPU in f32. What
    /// leaves the range on the way is that model's infinite loss and no error.
    fn loss_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<BatchSums>>;

    /// Loss and gradient of the softmax of K classes, of which W has a column each; the targets number them, and offsets, which move
    /// all classes alike, do not count. Points and lines stay as they are.
    ///
    /// # Errors
    /// As [`Engine::loss_gradients`].
    fn softmax(&mut self, w: &Params) -> Result<ClassSums>;

    /// The product of the Hessian of that loss at W with V, which has as many columns.
    ///
    /// # Errors
    /// As [`Engine::loss_gradients`].
    fn softmax_product(&mut self, w: &Params, v: &Params) -> Result<Params>;

    /// Makes `point`, the latest, the *kept* one: its logits outlive the next [`Engine::loss_gradient`].
    ///
    /// # Errors
    /// [`Error::Numerics`] when `point` is not the latest.
    fn keep(&mut self, point: PointId) -> Result<()>;

    /// The line from the kept point (step 0) to the latest (step 1). No pass over X where their logits are held, else one:
    /// d = latest − kept logits.
    /// The line stays probe-able until the next `keep` or `start_line`.
    ///
    /// # Errors
    /// [`Error::Numerics`] when the stamps are not those of the kept and the latest point.
    fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId>;

    /// Loss and slope at each of `steps` along `line`: one list of m entries for each step. No pass over X. A step whose
    /// sums are not finite gets [`LossSlope::OUT_OF_RANGE`].
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails; [`Error::Numerics`] when the line is no longer held.
    fn probe(&mut self, line: LineId, steps: &[f64]) -> Result<Vec<Vec<LossSlope>>>;

    /// The linear predictors (offset included) of every row, in input order: n entries for model 0, then model 1, …
    /// Leaves points and lines as they are.
    ///
    /// # Errors
    /// As [`Engine::loss_gradient`].
    fn logits(&mut self, w: &Params) -> Result<Vec<f64>>;

    /// What was done so far.
    fn cost(&self) -> Cost;

    /// Bytes a second that the device moves when it does nothing else, measured once: what the CPU reads of X when it only
    /// adds it up, what a GPU reads and writes when it copies.
    ///
    /// # Errors
    /// [`Error::Device`] when the device fails.
    fn bandwidth(&mut self) -> Result<f64>;
}

/// [`Engine::resolution`] where the logits that are kept for lines are f32, and where they are f64.
pub(crate) const F32_RESOLUTION: f64 = 1e-7;
pub(crate) const F64_RESOLUTION: f64 = 1e-11;

/// The stamps of an engine: which point is kept, which is the latest, which line is held.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    last: u64,
    kept: Option<u64>,
    latest: Option<u64>,
    line: Option<u64>,
}

impl Stamps {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A new latest point.
    pub(crate) fn evaluated(&mut self) -> PointId {
        let id = self.next();
        self.latest = Some(id);
        PointId(id)
    }

    /// Whether `point` is the kept one (and not the latest).
    pub(crate) fn is_kept(&self, point: PointId) -> Result<bool> {
        match point.0 {
            id if self.latest == Some(id) => Ok(false),
            id if self.kept == Some(id) => Ok(true),
            _ => Err(Error::Numerics("internal: a point was asked for that is no longer held".into())),
        }
    }

    /// The latest point becomes the kept one; a line is no longer held.
    pub(crate) fn keep(&mut self, point: PointId) -> Result<()> {
        if self.latest != Some(point.0) {
            return Err(Error::Numerics("internal: the point to keep is not the latest one evaluated".into()));
        }
        self.kept = self.latest.take();
        self.line = None;
        Ok(())
    }

    /// A new line between the kept point and the latest.
    pub(crate) fn start_line(&mut self, kept: PointId, latest: PointId) -> Result<LineId> {
        if self.kept != Some(kept.0) || self.latest != Some(latest.0) {
            return Err(Error::Numerics("internal: a line was asked for between points no longer held".into()));
        }
        let id = self.next();
        self.line = Some(id);
        Ok(LineId(id))
    }

    /// Whether `line` is the one held.
    pub(crate) fn check_line(&self, line: LineId) -> Result<()> {
        if self.line != Some(line.0) {
            return Err(Error::Numerics("internal: the line to probe is no longer held".into()));
        }
        Ok(())
    }
}

/// That `w` has the shape of the data, and only finite entries.
pub(crate) fn check_params(w: &Params, shape: Shape) -> Result<()> {
    if w.features() != shape.features || w.models() != shape.models {
        return Err(Error::Numerics(format!(
            "internal: parameters of {} features × {} models for data of {} × {}",
            w.features(),
            w.models(),
            shape.features,
            shape.models
        )));
    }
    if !w.values.iter().all(|v| v.is_finite()) {
        return Err(Error::Numerics("a coefficient became infinite or not a number".into()));
    }
    Ok(())
}
