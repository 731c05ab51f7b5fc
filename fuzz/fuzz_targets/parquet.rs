#![no_main]

use gpulogit_fuzz::{prepare, run};

libfuzzer_sys::fuzz_target!(init: prepare("parquet"), |bytes: &[u8]| run("parquet", bytes));
