//! What every shader promises, held against its text, its reflection and the Rust side. Needs no GPU.
//!
//! Each check is a function from a built kernel (a shader with the preludes and numbers of a device and a problem) to
//! what is wrong with it, so that a doctored shader can prove that it fails.

#[path = "common/builds.rs"]
mod builds;

use std::collections::BTreeSet;
use std::path::Path;

use builds::{BUILDS, CLASSES, builds, settled};
use gpulogit::data::LANES;
use gpulogit::engine::gpu::tuning::{self, Build, DeviceClass};
use gpulogit::engine::gpu::{BindingKind, IMAGE_LINE, ShaderSources, common, kernels, plan};
use naga::{AddressSpace, ImageClass, Module, ShaderStage, StorageAccess, StorageFormat, TypeInner};

/// What a shader's header says, in this order.
const HEADER: [&str; 7] = ["Computes:", "Shapes:", "Bindings:", "Dispatch:", "Numerics:", "Bytes:", "CPU:"];

/// A kernel as built, of which a test may have doctored a file.
#[derive(Clone)]
struct Shader {
    build: Build,
    sources: ShaderSources,
    /// The kernel's own file.
    source: String,
}

impl Shader {
    fn new(build: Build) -> Self {
        Shader { source: build.kernel.source.to_string(), build, sources: ShaderSources::default() }
    }

    /// A kernel as built for GPUs, 33 features and one model, or five where one does not do.
    fn named(name: &str) -> Self {
        let class = DeviceClass::Hardware;
        Shader::new(match name {
            "logits" => tuning::logits(class, 1),
            "loss_gradient" => tuning::loss_gradient(class, 33, 1),
            "loss_gradient_wide" => tuning::loss_gradient(class, 33, 5),
            "loss_gradients" => tuning::loss_gradients(class, 33),
            "line_probe" => tuning::line_probe(class, 1),
            "softmax" => tuning::softmax(class, 33, false),
            "softmax_product" => tuning::softmax(class, 33, true),
            _ => panic!("there is no kernel {name}"),
        })
    }

    /// With one passage of its own file or of a common one changed.
    #[track_caller]
    fn doctored(mut self, stem: &str, right: &str, wrong: &str) -> Self {
        let own = stem == self.build.kernel.name;
        let text = if own { self.build.kernel.source } else { common(stem) };
        assert!(text.contains(right), "{stem} has changed; doctor it in another way");
        let text = text.replace(right, wrong);
        self.sources = self.sources.replace(stem, text.clone());
        if own {
            self.source = text;
        }
        self
    }

    fn joined(&self) -> String {
        self.sources.joined(&self.build)
    }

    fn parsed(&self) -> Result<Module, String> {
        naga::front::wgsl::parse_str(&self.joined()).map_err(|error| error.message().to_string())
    }

    /// The module with its overrides settled.
    fn module(&self) -> Result<Module, String> {
        settled(&self.joined(), &self.build).map(|(module, _)| module)
    }

    /// The value of an override.
    fn number(&self, name: &str) -> usize {
        self.build.constants.iter().find(|constant| constant.0 == name).map_or(0, |constant| constant.1 as usize)
    }

    /// The features a thread keeps sums of.
    fn slots(&self) -> usize {
        let stem = self.build.common.iter().find_map(|stem| stem.strip_prefix("slots_"));
        stem.map_or(0, |slots| slots.parse().unwrap())
    }

    fn is_software(&self) -> bool {
        self.build.common.contains(&"x_image")
    }
}

fn without_comments(wgsl: &str) -> String {
    wgsl.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn check_header(shader: &Shader) -> Result<(), String> {
    let header: Vec<&str> = shader.source.lines().take_while(|line| line.starts_with("//")).collect();
    let title = format!("// {}: ", shader.build.kernel.name);
    if !header.first().is_some_and(|line| line.starts_with(&title)) {
        return Err(format!("the first line is not {title:?}…"));
    }
    let text = header.join("\n");
    let mut from = 0;
    for field in HEADER {
        match text[from..].find(&format!("// {field} ")) {
            Some(at) => from += at,
            None => return Err(format!("the header has no {field} in its place")),
        }
    }
    let counterpart = format!("src/engine/cpu/{}", shader.build.kernel.counterpart);
    if !header.iter().any(|line| line.starts_with("// CPU:") && line.ends_with(&counterpart)) {
        return Err(format!("the header does not name {counterpart}"));
    }
    for (i, binding) in shader.build.kernel.bindings.iter().enumerate() {
        if !text.contains(&format!(" {i} {}", binding.name)) {
            return Err(format!("the header does not name binding {i}, {}", binding.name));
        }
    }
    Ok(())
}

fn check_entry_point(shader: &Shader) -> Result<(), String> {
    let module = shader.module()?;
    let [entry] = &module.entry_points[..] else { return Err("not exactly one entry point".into()) };
    if entry.name != shader.build.kernel.name || entry.stage != ShaderStage::Compute {
        return Err(format!("the entry point is {:?}", entry.name));
    }
    let invocations: u32 = entry.workgroup_size.iter().product();
    let lanes = shader.number("QUADS").max(1) * shader.number("SLICES").max(1);
    if invocations > 256 || (lanes > 1 && invocations as usize != lanes) {
        return Err(format!("{invocations} invocations a workgroup"));
    }
    Ok(())
}

/// Bindings, uniform structs and workgroup memory, within WebGPU's default limits.
fn check_resources(shader: &Shader) -> Result<(), String> {
    let (module, bindings) = (shader.module()?, shader.build.kernel.bindings);
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let (mut seen, mut storage, mut images, mut workgroup) = (BTreeSet::new(), 0, 0, 0);
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        if variable.space == AddressSpace::WorkGroup {
            workgroup += layouter[variable.ty].size.next_multiple_of(16);
        }
        let Some(place) = &variable.binding else { continue };
        let Some(stated) = bindings.get(place.binding as usize).filter(|_| place.group == 0) else {
            return Err(format!("{name} is at a binding that Rust does not know"));
        };
        if stated.name != name || !seen.insert(place.binding) {
            return Err(format!("binding {} is {name} here and {} in Rust", place.binding, stated.name));
        }
        let writes =
            matches!(variable.space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
        let reads_image = matches!(
            module.types[variable.ty].inner,
            TypeInner::Image {
                class: ImageClass::Storage { format: StorageFormat::Rgba32Float, access: StorageAccess::LOAD },
                ..
            }
        );
        let kind_agrees = match (variable.space, stated.kind) {
            (AddressSpace::Uniform, BindingKind::Uniform(size, members)) => {
                let TypeInner::Struct { members: here, .. } = &module.types[variable.ty].inner else {
                    return Err(format!("{name} is no struct"));
                };
                let here: Vec<(&str, usize)> =
                    here.iter().map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize)).collect();
                if here != members {
                    return Err(format!("{name} has members {here:?} here and {members:?} in Rust"));
                }
                layouter[variable.ty].size as usize == size
            }
            (AddressSpace::Storage { .. }, BindingKind::Values) => !writes && !shader.is_software(),
            (AddressSpace::Handle, BindingKind::Values) => reads_image && shader.is_software(),
            (AddressSpace::Storage { .. }, BindingKind::Read) => !writes,
            (AddressSpace::Storage { .. }, BindingKind::Write) => writes,
            _ => false,
        };
        if !kind_agrees {
            return Err(format!("{name} is {:?} here and {:?} in Rust", variable.space, stated.kind));
        }
        storage += u32::from(matches!(variable.space, AddressSpace::Storage { .. }));
        images += u32::from(variable.space == AddressSpace::Handle);
    }
    if seen.len() != bindings.len() {
        return Err(format!("{} bindings here and {} in Rust", seen.len(), bindings.len()));
    }
    // What an adapter must offer to be used at all.
    if storage > 4 || images > 2 {
        return Err(format!("{storage} storage buffers, {images} storage textures"));
    }
    if workgroup > 16 << 10 {
        return Err(format!("{workgroup} bytes of workgroup memory"));
    }
    Ok(())
}

/// That no kernel takes an exponential or logarithm of the driver's, whose errors WGSL hardly bounds, nor anything whose
/// order is not fixed.
fn check_text(shader: &Shader) -> Result<(), String> {
    let text = without_comments(&shader.joined());
    for word in words(&text) {
        let driver_math = ["exp", "exp2", "log", "log2", "pow", "tanh", "sinh", "cosh"].contains(&word);
        let loose = ["atomic", "subgroup", "quadBroadcast", "quadSwap"].iter().any(|prefix| word.starts_with(prefix));
        if driver_math || loose {
            return Err(format!("it uses {word}"));
        }
    }
    Ok(())
}

/// That every loop ends: it counts up to a bound, and nothing but its head writes to its counter. wgpu is told so
/// (`pipelines.rs`), and leaves out its own guard.
fn check_loops(shader: &Shader) -> Result<(), String> {
    let text = without_comments(&shader.joined());
    if let Some(word) = words(&text).find(|word| ["loop", "while", "continuing"].contains(word)) {
        return Err(format!("it has a {word}"));
    }
    for (at, _) in text.match_indices("for (") {
        let head = text[at + 5..].split('{').next().unwrap_or_default().trim().trim_end_matches(')');
        let parts: Vec<&str> = head.split(';').map(str::trim).collect();
        let [start, end, step] = parts[..] else { return Err(format!("a loop over {head}")) };
        let counter = start.strip_prefix("var ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let counts = step == format!("{counter}++") || step.starts_with(&format!("{counter} += "));
        if counter.is_empty() || !end.starts_with(&format!("{counter} < ")) || !counts {
            return Err(format!("a loop over {head}"));
        }
        // What begins with the counter is an assignment, but for a head's middle and its end, which closes a bracket.
        let is_head = |statement: &str| {
            let brackets = |bracket| statement.matches(bracket).count();
            statement.starts_with(&format!("{counter} < ")) || brackets('(') < brackets(')')
        };
        let mut statements = text.split([';', '{', '}']).map(str::trim).filter(|statement| !is_head(statement));
        if statements.any(|statement| words(statement).next() == Some(counter) && statement.starts_with(counter)) {
            return Err(format!("{counter} is written in a loop's body"));
        }
    }
    Ok(())
}

/// That overrides are used, that Rust sets each of them and sets no others.
fn check_overrides(shader: &Shader) -> Result<(), String> {
    let text = without_comments(&shader.joined());
    let module = shader.parsed()?;
    let here: BTreeSet<&str> = module.overrides.iter().filter_map(|(_, item)| item.name.as_deref()).collect();
    let set: BTreeSet<&str> = shader.build.constants.iter().map(|constant| constant.0).collect();
    if here != set {
        return Err(format!("overrides {here:?} here and {set:?} in Rust"));
    }
    match here.iter().find(|name| words(&text).filter(|word| word == *name).count() < 2) {
        Some(name) => Err(format!("override {name} is never used")),
        None => Ok(()),
    }
}

/// That the numbers of a build cover `features` and divide what they are to divide.
fn check_numbers(shader: &Shader, features: usize) -> Result<(), String> {
    let number = |name| shader.number(name).max(1);
    let (quads, slices, repeat, round) = (number("QUADS"), number("SLICES"), number("REPEAT"), number("ROUND"));
    let tile_quads = plan::TILE / 4;
    if !tile_quads.is_multiple_of(quads * repeat) {
        return Err(format!("{quads} quads {repeat} times are no part of a tile's {tile_quads}"));
    }
    if shader.build.kernel.name == "loss_gradient" {
        if slices * shader.slots() < features {
            return Err(format!("{slices} slices of {} slots for {features} features", shader.slots()));
        }
        if !(shader.slots() / 4).is_multiple_of(round) {
            return Err(format!("{} slots in rounds of {round} fours", shader.slots()));
        }
    }
    Ok(())
}

#[track_caller]
fn all_pass(check: impl Fn(&Shader) -> Result<(), String>) {
    let mut seen = BTreeSet::new();
    for (build, least, most) in builds() {
        if let Err(problem) = check(&Shader::new(build.clone())) {
            let (name, common, constants) = (build.kernel.name, build.common, build.constants);
            panic!("{name}.wgsl after {common:?} with {constants:?} for {least} to {most} features: {problem}");
        }
        seen.insert(build.kernel.name);
    }
    assert_eq!(seen.len(), 7);
}

/// The stems of the `.wgsl` files of a folder.
fn stems(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "wgsl"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_string())
        .collect()
}

#[test]
fn every_shader_file_is_used_and_the_readme_lists_it() {
    let files = stems("shaders");
    let names: BTreeSet<String> = kernels().iter().map(|kernel| kernel.name.to_string()).collect();
    assert_eq!(files, names);
    assert_eq!(files.len(), 7);
    let common = stems("shaders/common");
    let joined: BTreeSet<String> =
        builds().iter().flat_map(|(build, ..)| &build.common).map(|stem| (*stem).to_string()).collect();
    assert_eq!(common, joined, "files of shaders/common, and those that some build joins");
    assert_eq!(common.len(), 19);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/README.md")).unwrap();
    for stem in files.iter().chain(&common) {
        assert!(readme.contains(&format!("`{stem}.wgsl`")), "shaders/README.md does not list {stem}.wgsl");
    }
}

#[test]
fn the_builds_of_every_size_and_class_are_known() {
    let found = builds();
    for class in CLASSES {
        for slots in [4, 8, 16, 24, 32] {
            let stem = format!("slots_{slots}");
            let seen = found.iter().any(|(build, ..)| {
                let software = build.common.contains(&"x_image");
                software == (class == DeviceClass::Software) && build.common.contains(&stem.as_str())
            });
            assert!(seen, "no build of {class:?} has {slots} slots");
        }
    }
    assert_eq!(found.len(), BUILDS);
}

#[test]
fn headers() {
    all_pass(check_header);
    let doctored = |right, wrong| Shader::named("loss_gradient").doctored("loss_gradient", right, wrong);
    assert!(check_header(&doctored("// Bytes:", "// Size:")).is_err());
    assert!(check_header(&doctored("// loss_gradient:", "// slope:")).is_err());
    assert!(check_header(&doctored("src/engine/cpu/kernels.rs, loss_gradient", "src/engine/cpu/kernels.rs")).is_err());
    assert!(check_header(&doctored("3 a (written)", "3 logits (written)")).is_err());
    let wide = Shader::named("loss_gradient_wide");
    assert!(check_header(&wide.doctored("loss_gradient_wide", "kernels.rs, loss_gradient", "kernels.rs, l")).is_err());
}

#[test]
fn entry_points() {
    all_pass(check_entry_point);
    let wrong = [
        ("loss_gradient", "fn loss_gradient(", "fn slope("),
        ("loss_gradient", "workgroup_size(QUADS * SLICES)", "workgroup_size(64)"),
        ("logits", "workgroup_size(64)", "workgroup_size(512)"),
        ("logits", "fn logits(", "fn logits(("),
    ];
    for (name, right, wrong) in wrong {
        let mut shader = Shader::named(name).doctored(name, right, wrong);
        if wrong == "workgroup_size(64)" {
            shader.build.constants = vec![("QUADS", 8), ("SLICES", 16), ("ROUND", 1)];
        }
        assert!(check_entry_point(&shader).is_err(), "{wrong}");
    }
    let mut crowded = Shader::named("loss_gradient");
    crowded.build.constants = vec![("QUADS", 16), ("SLICES", 32), ("ROUND", 1)];
    assert!(check_entry_point(&crowded).is_err());
}

#[test]
fn resources() {
    all_pass(check_resources);
    let own = |name: &str, right, wrong| Shader::named(name).doctored(name, right, wrong);
    let mut wrong = vec![
        own("line_probe", "@binding(3) var<storage, read> start", "@binding(3) var<storage, read_write> start"),
        own("loss_gradient", "@binding(4)", "@binding(5)"),
        own("loss_gradient", "@group(0) @binding(4)", "@group(1) @binding(4)"),
        own("loss_gradient", "read_write> sums", "read_write> partials"),
        own("line_probe", "    count: u32,\n", "    count: vec4<u32>,\n"),
        own("line_probe", "count: u32", "total: u32"),
        own(
            "loss_gradient",
            "array<vec4<f32>, ROUND * QUADS * SLICES>",
            "array<vec4<f32>, ROUND * QUADS * SLICES * 8>",
        ),
        Shader::named("loss_gradient_wide").doctored(
            "wide",
            "array<Models, SLOTS * QUADS * SLICES>",
            "array<Models, SLOTS * QUADS * SLICES * 4>",
        ),
        Shader::named("logits").doctored("chunk", "tiles: u32", "rows: u32"),
        Shader::named("logits").doctored("x_buffer", "var<storage, read> x", "var<storage, read_write> x"),
    ];
    let image = Shader::new(tuning::logits(DeviceClass::Software, 1));
    assert!(check_resources(&image).is_ok());
    wrong.push(image.clone().doctored("x_image", "rgba32float, read>", "rgba32float, write>"));
    wrong.push(image.clone().doctored("x_image", "texture_storage_2d<rgba32float, read>", "texture_2d<f32>"));
    let mut mixed = image;
    mixed.build.common.iter_mut().filter(|stem| **stem == "x_image").for_each(|stem| *stem = "x_buffer");
    wrong.push(mixed);
    let mut unknown = Shader::named("logits");
    unknown.build.kernel.bindings = &unknown.build.kernel.bindings[..3];
    wrong.push(unknown);
    for shader in &wrong {
        assert!(check_resources(shader).is_err(), "{}", shader.joined());
    }
    assert_eq!(wrong.len(), 14);
}

#[test]
fn valid_without_optional_capabilities() {
    all_pass(|shader| shader.module().map(drop));
    let wide = "fn wide(value: f64) -> f64 { return value; }\n@compute";
    assert!(Shader::named("logits").doctored("logits", "@compute", wide).module().is_err());
}

#[test]
fn nothing_of_loose_precision_or_order() {
    all_pass(check_text);
    let doctored = |wrong: &str| Shader::named("logits").doctored("logits", "+ quad] = logit;", wrong);
    for wrong in ["exp(logit)", "log2(logit)", "pow(logit, 2.0)", "subgroupAdd(logit)", "atomicAdd(logit)"] {
        assert!(check_text(&doctored(&format!("+ quad] = {wrong};"))).is_err());
    }
    assert!(check_text(&doctored("+ quad] = quadSwapX(logit);")).is_err());
    assert!(check_text(&doctored("+ quad] = logit; // exp(logit)")).is_ok());
}

#[test]
fn every_loop_ends() {
    all_pass(check_loops);
    let (right, name) = ("for (var j = 0u; j < p; j += 4u) {", "logits");
    let wrong = [
        "for (var j = 0u; j != p; j += 4u) {",
        "for (var j = 0u; j < p; j -= 4u) {",
        "for (var j = 0u; j < p; ) {",
        "var j = 0u; while (j < p) {",
        "var j = 0u; loop {",
        "for (var j = 0u; j < p; j += 4u) { j -= 1u;",
        "for (var j = 0u; j < p; j += 4u) { j = min(j, 4u);",
    ];
    for wrong in wrong {
        assert!(check_loops(&Shader::named(name).doctored(name, right, wrong)).is_err(), "{wrong}");
    }
    // A step of zero would not end either; no number of a build is zero.
    assert!(builds().iter().all(|(build, ..)| build.constants.iter().all(|constant| constant.1 > 0)));
}

#[test]
fn overrides_are_set_and_used() {
    all_pass(check_overrides);
    let unused = "override UNUSED: u32 = 1u;\n@compute";
    let mut shader = Shader::named("logits").doctored("logits", "@compute", unused);
    assert!(check_overrides(&shader).is_err(), "Rust does not set it");
    shader.build.constants.push(("UNUSED", 1));
    assert!(check_overrides(&shader).is_err(), "nothing uses it");
    let mut unknown = Shader::named("logits");
    unknown.build.constants.push(("QUADS", 8));
    assert!(check_overrides(&unknown).is_err());
}

#[test]
fn numbers_agree_with_rust() {
    for (build, least, most) in builds() {
        for features in [least, most] {
            check_numbers(&Shader::new(build.clone()), features).unwrap();
        }
    }
    let mut wrong = Shader::named("loss_gradient");
    assert!(check_numbers(&wrong, 33).is_ok() && check_numbers(&wrong, 65).is_err(), "more features than slots");
    wrong.build.constants = vec![("QUADS", 24), ("SLICES", 8), ("ROUND", 1)];
    assert!(check_numbers(&wrong, 33).is_err(), "quads that do not divide a tile");
    wrong.build.constants = vec![("QUADS", 8), ("SLICES", 8), ("ROUND", 3)];
    assert!(check_numbers(&wrong, 33).is_err(), "rounds that do not divide the slots");
    let stated = |stem: &str, name: &str, value: usize| {
        let text = kernels().iter().find(|kernel| kernel.name == stem).map_or(common(stem), |kernel| kernel.source);
        without_comments(text).contains(&format!("const {name}: u32 = {value}u;"))
    };
    assert!(stated("chunk", "LANES", LANES) && stated("chunk", "TILE", plan::TILE));
    assert!(stated("x_image", "X_LINE", IMAGE_LINE as usize));
    assert!(stated("w_image_1", "W_LINE", IMAGE_LINE as usize) && stated("w_image_4", "W_LINE", IMAGE_LINE as usize));
    assert!(stated("line_probe", "STEPS", plan::PROBE_STEPS));
    assert!([4, 8, 16, 24, 32].iter().all(|slots| stated(&format!("slots_{slots}"), "SLOTS", *slots)));
    assert!(!stated("slots_4", "SLOTS", 8) && !stated("line_probe", "SLOTS", 4));
    let probe = Shader::named("line_probe").joined();
    assert!(probe.contains(&format!("steps: array<vec4<f32>, {}>", plan::PROBE_STEPS / 4)));
    // A lane a quad of a tile.
    assert!(Shader::named("logits").source.contains(&format!("@workgroup_size({})", plan::TILE / 4)));
}
