//! That naga, as wgpu does before a driver sees a shader, translates every build of every kernel to the languages of
//! Metal, DX12 and Vulkan. Needs no GPU, and no such machine.

#[path = "common/builds.rs"]
mod builds;

use std::collections::BTreeMap;
use std::process::Command;

use builds::{BUILDS, builds, settled};
use gpulogit::engine::gpu::ShaderSources;
use gpulogit::engine::gpu::tuning::Build;
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::ModuleInfo;
use naga::{Module, ShaderStage};

type Translated = Result<Vec<u8>, String>;
/// Writes the kernel of a name.
type Translate = fn(&Module, &ModuleInfo, &str) -> Translated;
/// The languages, and how gpulogit asks wgpu for them: workgroup memory is not cleared, loops end by themselves.
const LANGUAGES: [(&str, Translate); 3] = [("MSL", to_msl), ("HLSL", to_hlsl), ("SPIR-V", to_spirv)];

/// Indices are kept within bounds.
const CHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Unchecked,
};

fn to_msl(module: &Module, info: &ModuleInfo, entry: &str) -> Translated {
    let resources = msl::EntryPointResources { sizes_buffer: Some(0), ..Default::default() };
    let options = msl::Options {
        lang_version: (2, 0),
        per_entry_point_map: [(entry.to_string(), resources)].into(),
        bounds_check_policies: CHECKED,
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline = msl::PipelineOptions { entry_point: Some(entry_point(entry)), ..Default::default() };
    let (text, written) = msl::write_string(module, info, &options, &pipeline).map_err(|error| error.to_string())?;
    all_written(&written.entry_point_names, &text)
}

fn to_hlsl(module: &Module, info: &ModuleInfo, entry: &str) -> Translated {
    let options =
        hlsl::Options { zero_initialize_workgroup_memory: false, force_loop_bounding: false, ..Default::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some(entry_point(entry)) };
    let mut text = String::new();
    let written = hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    all_written(&written.map_err(|error| error.to_string())?.entry_point_names, &text)
}

fn to_spirv(module: &Module, info: &ModuleInfo, entry: &str) -> Translated {
    let options = spv::Options {
        // That of Vulkan 1.1.
        lang_version: (1, 3),
        bounds_check_policies: CHECKED,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_string() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|error| error.to_string())?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

fn entry_point(name: &str) -> (ShaderStage, String) {
    (ShaderStage::Compute, name.to_string())
}

/// `text`, unless an entry point is not in it.
fn all_written<E: ToString>(names: &[Result<String, E>], text: &str) -> Translated {
    for name in names {
        let name = name.as_ref().map_err(ToString::to_string)?;
        if !text.contains(&format!("{name}(")) {
            return Err(format!("{name} is not in the text"));
        }
    }
    if names.is_empty() { Err("no entry point".into()) } else { Ok(text.as_bytes().to_vec()) }
}

/// `wgsl` in every language.
fn translated(wgsl: &str, build: &Build) -> Result<[Vec<u8>; 3], String> {
    let (module, info) = settled(wgsl, build)?;
    let mut texts = <[Vec<u8>; 3]>::default();
    for ((language, translate), text) in LANGUAGES.iter().zip(&mut texts) {
        *text = translate(&module, &info, build.kernel.name).map_err(|error| format!("{language}: {error}"))?;
    }
    Ok(texts)
}

/// Every build with its translations.
fn all() -> Vec<(Build, [Vec<u8>; 3])> {
    let translate = |(build, ..): (Build, usize, usize)| {
        let texts = translated(&ShaderSources::default().joined(&build), &build)
            .unwrap_or_else(|error| panic!("{} after {:?}: {error}", build.kernel.name, build.common));
        (build, texts)
    };
    builds().into_iter().map(translate).collect()
}

#[test]
fn every_build_is_translated_to_every_language() {
    let mut seen = BTreeMap::new();
    for (build, [msl, hlsl, spirv]) in all() {
        let [msl, hlsl] = [msl, hlsl].map(|text| String::from_utf8(text).unwrap());
        assert!(msl.contains(&format!("kernel void {}", build.kernel.name)), "{msl}");
        assert!(hlsl.contains("[numthreads("), "{hlsl}");
        assert_eq!(spirv[..4], 0x0723_0203_u32.to_le_bytes(), "SPIR-V begins with its magic number");
        *seen.entry(build.kernel.name).or_insert(0) += 1;
    }
    assert_eq!((seen.len(), seen.values().sum()), (7, BUILDS));
}

#[test]
fn what_cannot_be_translated_is_noticed() {
    let build = builds().into_iter().find(|(build, ..)| build.kernel.name == "loss_gradient").unwrap().0;
    let wgsl = ShaderSources::default().joined(&build);
    let (module, info) = settled(&wgsl, &build).unwrap();
    let open = naga::front::wgsl::parse_str(&wgsl).unwrap();
    for (language, translate) in LANGUAGES {
        assert!(translate(&module, &info, "loss_gradient").is_ok(), "{language}");
        assert!(translate(&module, &info, "another").is_err(), "{language}: an entry point that is not there");
        assert!(translate(&open, &info, "loss_gradient").is_err(), "{language}: overrides without a value");
    }
}

#[test]
#[ignore = "needs spirv-val: benches/drivers/run.sh installs it"]
fn the_spirv_is_valid_for_vulkan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel.spv");
    let is_valid = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new("spirv-val").args(["--target-env", "vulkan1.1"]).arg(&path).output();
        let output = output.unwrap_or_else(|error| panic!("spirv-val: {error}; install spirv-tools"));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let all = all();
    for (build, [.., spirv]) in &all {
        let (valid, complaint) = is_valid(spirv);
        assert!(valid, "{} after {:?}: {complaint}", build.kernel.name, build.common);
    }
    assert_eq!(all.len(), BUILDS);
    assert!(!is_valid(&all[0].1[2][..400]).0, "half a module");
}
