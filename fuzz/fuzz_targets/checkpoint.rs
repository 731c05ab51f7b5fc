#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("checkpoint"), |bytes: &[u8]| run("checkpoint", bytes));
