#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("arrow"), |bytes: &[u8]| run("arrow", bytes));
