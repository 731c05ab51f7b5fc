//! What every shader promises, held against its text, its reflection and the Rust side. Needs no GPU.
//!
//! Each check is a function from a kernel to what is wrong with it, so that a doctored shader can prove that it fails.

use std::collections::BTreeSet;
use std::path::Path;

use gpulogit::data::LANES;
use gpulogit::engine::gpu::{BindingKind, Kernel, kernels, plan};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess, TypeInner};

/// What a shader's header says, in this order.
const HEADER: [&str; 7] = ["Computes:", "Shapes:", "Bindings:", "Dispatch:", "Numerics:", "Bytes:", "CPU:"];
const BATCHES: [usize; 2] = [1, 4];

/// A kernel with its own file's text, which a test may have doctored.
struct Shader {
    kernel: Kernel,
    source: String,
}

impl Shader {
    fn named(name: &str) -> Self {
        let kernel = *kernels().iter().find(|kernel| kernel.name == name).unwrap();
        Shader { kernel, source: kernel.source.to_string() }
    }

    #[track_caller]
    fn doctored(name: &str, right: &str, wrong: &str) -> Self {
        let mut shader = Shader::named(name);
        assert!(shader.source.contains(right), "{name} has changed; doctor it in another way");
        shader.source = shader.source.replace(right, wrong);
        shader
    }

    fn joined(&self, batch: usize) -> String {
        self.kernel.joined(batch).replace(self.kernel.source, &self.source)
    }

    fn module(&self, batch: usize) -> Result<Module, String> {
        naga::front::wgsl::parse_str(&self.joined(batch)).map_err(|error| error.message().to_string())
    }
}

fn without_comments(wgsl: &str) -> String {
    wgsl.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn check_header(shader: &Shader) -> Result<(), String> {
    let header: Vec<&str> = shader.source.lines().take_while(|line| line.starts_with("//")).collect();
    let title = format!("// {}: ", shader.kernel.name);
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
    let counterpart = format!("src/engine/cpu/kernels.rs, {}", shader.kernel.name);
    if !text.contains(&counterpart) {
        return Err(format!("the header does not name {counterpart}"));
    }
    Ok(())
}

fn check_entry_point(shader: &Shader) -> Result<(), String> {
    for batch in BATCHES {
        let module = shader.module(batch)?;
        let [entry] = &module.entry_points[..] else { return Err("not exactly one entry point".into()) };
        if entry.name != shader.kernel.name || entry.stage != ShaderStage::Compute {
            return Err(format!("the entry point is {:?}", entry.name));
        }
        let invocations: u32 = entry.workgroup_size.iter().product();
        if invocations > 256 {
            return Err(format!("{invocations} invocations a workgroup"));
        }
    }
    Ok(())
}

/// Bindings, uniform structs and workgroup memory.
fn check_resources(shader: &Shader) -> Result<(), String> {
    for batch in BATCHES {
        let module = shader.module(batch)?;
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
        let (mut seen, mut storage, mut workgroup) = (BTreeSet::new(), 0, 0);
        for (_, variable) in module.global_variables.iter() {
            let name = variable.name.clone().unwrap_or_default();
            if variable.space == AddressSpace::WorkGroup {
                workgroup += layouter[variable.ty].size;
            }
            let Some(place) = &variable.binding else { continue };
            let Some(stated) = shader.kernel.bindings.get(place.binding as usize).filter(|_| place.group == 0) else {
                return Err(format!("{name} is at a binding that Rust does not know"));
            };
            if stated.name != name || !seen.insert(place.binding) {
                return Err(format!("binding {} is {name} here and {} in Rust", place.binding, stated.name));
            }
            let writes =
                matches!(variable.space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
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
                (AddressSpace::Storage { .. }, BindingKind::Read) => !writes,
                (AddressSpace::Storage { .. }, BindingKind::Write) => writes,
                _ => false,
            };
            if !kind_agrees {
                return Err(format!("{name} is {:?} here and {:?} in Rust", variable.space, stated.kind));
            }
            storage += u32::from(matches!(variable.space, AddressSpace::Storage { .. }));
        }
        if seen.len() != shader.kernel.bindings.len() {
            return Err(format!("{} bindings here and {} in Rust", seen.len(), shader.kernel.bindings.len()));
        }
        if storage > 8 {
            return Err(format!("{storage} storage buffers"));
        }
        if workgroup > 16 << 10 {
            return Err(format!("{workgroup} bytes of workgroup memory"));
        }
    }
    Ok(())
}

/// That naga's validator, which wgpu runs too, finds nothing wrong without any optional capability.
fn check_valid(shader: &Shader) -> Result<(), String> {
    for batch in BATCHES {
        let flags = naga::valid::ValidationFlags::all();
        let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
        validator.validate(&shader.module(batch)?).map_err(|error| error.as_inner().to_string())?;
    }
    Ok(())
}

/// That no kernel takes an exponential or logarithm of the driver's, whose errors WGSL hardly bounds, nor anything whose
/// order is not fixed.
fn check_text(shader: &Shader) -> Result<(), String> {
    let text = without_comments(&shader.joined(1));
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        let driver_math = ["exp", "exp2", "log", "log2", "pow", "tanh", "sinh", "cosh"].contains(&word);
        if driver_math || word.starts_with("atomic") || word.starts_with("subgroup") || word.starts_with("quad") {
            return Err(format!("it uses {word}"));
        }
    }
    Ok(())
}

/// That every override is used.
fn check_overrides(shader: &Shader) -> Result<(), String> {
    let text = without_comments(&shader.joined(1));
    for (_, constant) in shader.module(1)?.overrides.iter() {
        let name = constant.name.clone().unwrap_or_default();
        let uses = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| *word == name).count();
        if uses < 2 {
            return Err(format!("override {name} is never used"));
        }
    }
    Ok(())
}

#[track_caller]
fn all_pass(check: impl Fn(&Shader) -> Result<(), String>) {
    let mut seen = 0;
    for kernel in kernels() {
        if let Err(problem) = check(&Shader::named(kernel.name)) {
            panic!("{}.wgsl: {problem}", kernel.name);
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
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
fn every_shader_file_is_a_kernel_and_the_readme_lists_it() {
    let files = stems("shaders");
    let names: BTreeSet<String> = kernels().iter().map(|kernel| kernel.name.to_string()).collect();
    assert_eq!(files, names);
    assert_eq!(files.len(), 4);
    let common = stems("shaders/common");
    assert_eq!(common.len(), 5);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/README.md")).unwrap();
    for stem in files.iter().chain(&common) {
        assert!(readme.contains(&format!("`{stem}.wgsl`")), "shaders/README.md does not list {stem}.wgsl");
    }
}

#[test]
fn headers() {
    all_pass(check_header);
    assert!(check_header(&Shader::doctored("gradient", "// Bytes:", "// Size:")).is_err());
    assert!(check_header(&Shader::doctored("gradient", "// gradient:", "// slope:")).is_err());
    assert!(
        check_header(&Shader::doctored("gradient", "src/engine/cpu/kernels.rs, gradient", "src/engine/cpu/kernels.rs"))
            .is_err()
    );
}

#[test]
fn entry_points() {
    all_pass(check_entry_point);
    assert!(check_entry_point(&Shader::doctored("gradient", "fn gradient(", "fn slope(")).is_err());
    assert!(check_entry_point(&Shader::doctored("logits", "workgroup_size(256)", "workgroup_size(512)")).is_err());
    assert!(check_entry_point(&Shader::doctored("logits", "fn logits(", "fn logits((")).is_err());
}

#[test]
fn resources() {
    all_pass(check_resources);
    let mut wrong = vec![
        Shader::doctored("gradient", "@binding(2) var<storage, read> r", "@binding(2) var<storage, read_write> r"),
        Shader::doctored("gradient", "@binding(3)", "@binding(4)"),
        Shader::doctored("gradient", "@group(0) @binding(3)", "@group(1) @binding(3)"),
        Shader::doctored("residual", "var<storage, read> t:", "var<storage, read> labels:"),
        Shader::doctored("line_probe", "    count: u32,\n", "    count: vec4<u32>,\n"),
        Shader::doctored("line_probe", "count: u32", "total: u32"),
        Shader::doctored("residual", "@compute", "var<workgroup> big: array<f32, 4097>;\n@compute"),
    ];
    let mut unknown = Shader::named("logits");
    unknown.kernel.bindings = &unknown.kernel.bindings[..4];
    wrong.push(unknown);
    for shader in &wrong {
        assert!(check_resources(shader).is_err(), "{}", shader.source);
    }
    assert_eq!(wrong.len(), 8);
}

#[test]
fn valid_without_optional_capabilities() {
    all_pass(check_valid);
    let wide = "fn wide(value: f64) -> f64 { return value; }\n@compute";
    assert!(check_valid(&Shader::doctored("gradient", "@compute", wide)).is_err());
}

#[test]
fn nothing_of_loose_precision_or_order() {
    all_pass(check_text);
    for wrong in ["exp(sum)", "log2(sum)", "pow(sum, 2.0)", "subgroupAdd(sum)", "atomicAdd(sum)"] {
        assert!(check_text(&Shader::doctored("gradient", "+ j] = sum;", &format!("+ j] = {wrong};"))).is_err());
    }
    assert!(check_text(&Shader::doctored("gradient", "+ j] = sum;", "+ j] = sum; // exp(sum)")).is_ok());
}

#[test]
fn overrides_are_used() {
    all_pass(check_overrides);
    assert!(
        check_overrides(&Shader::doctored("logits", "const RUN", "override UNUSED: u32 = 1u;\nconst RUN")).is_err()
    );
}

#[test]
fn numbers_agree_with_rust() {
    let text = without_comments(&Shader::named("gradient").joined(1));
    let numbers = [
        ("LANES", LANES),
        ("TILE", plan::TILE),
        ("FEATURES", plan::GRADIENT_FEATURES),
        ("GROUPS", plan::TILE / LANES),
        ("QUADS", LANES / 4),
    ];
    for (name, value) in numbers {
        assert!(text.contains(&format!("const {name}: u32 = {value}u;")), "{name} is not {value}");
    }
    let text = without_comments(&Shader::named("line_probe").joined(1));
    assert!(text.contains(&format!("steps: array<vec4<f32>, {}>", plan::PROBE_STEPS / 4)));
    assert!(text.contains(&format!("const SUM_LANES: u32 = {}u;", plan::TILE / 4)));
    assert!(text.contains("const ROWS_A_LANE: u32 = 4u;"));
    for batch in BATCHES {
        assert!(Shader::named("logits").joined(batch).contains(&format!("const BATCH: u32 = {batch}u;")));
    }
}
