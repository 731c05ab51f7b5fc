//! The `gpulogit` command.
fn main() {}
