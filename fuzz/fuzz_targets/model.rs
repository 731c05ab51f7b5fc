#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("model"), |bytes: &[u8]| run("model", bytes));
