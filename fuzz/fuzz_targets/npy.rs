#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("npy"), |bytes: &[u8]| run("npy", bytes));
