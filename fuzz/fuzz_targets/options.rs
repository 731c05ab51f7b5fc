#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("options"), |bytes: &[u8]| run("options", bytes));
