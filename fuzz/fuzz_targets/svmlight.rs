#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("svmlight"), |bytes: &[u8]| run("svmlight", bytes));
