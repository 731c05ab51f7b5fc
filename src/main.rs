//! The `gpulogit` command: see `gpulogit --help` and the README.

use std::process::ExitCode;

fn main() -> ExitCode {
    gpulogit::cli::main()
}
