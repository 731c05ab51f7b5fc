#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("cache"), |bytes: &[u8]| run("cache", bytes));
