#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("csv"), |bytes: &[u8]| run("csv", bytes));
