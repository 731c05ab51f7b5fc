//! The targets of `tests/hostile`, as libFuzzer runs them.

#[allow(dead_code)] // It damages inputs by itself.
#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use std::path::Path;
use std::sync::OnceLock;

use hostile::{Target, target};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Before the first input: writes those to begin with, and what was found before, to the target's corpus.
pub fn prepare(name: &str) {
    quieten_decoders();
    write_seeds(target(name)).expect("the corpus is written");
}

/// Lets panics through that the program turns into errors of its own: libFuzzer's hook ends the process at any.
fn quieten_decoders() {
    let abort = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !gpulogit::data::is_decoding() {
            abort(info);
        }
    }));
}

fn write_seeds(target: &Target) -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = here.join("corpus").join(target.name);
    std::fs::create_dir_all(&corpus)?;
    for (i, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{i}")), seed)?;
    }
    let found = here.join("../tests/hostile/regressions").join(target.name);
    for file in std::fs::read_dir(found).into_iter().flatten() {
        let file = file?;
        std::fs::copy(file.path(), corpus.join(file.file_name()))?;
    }
    Ok(())
}

/// Runs a target on one thread, where coverage depends on the input alone.
pub fn run(name: &str, bytes: &[u8]) {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| ThreadPoolBuilder::new().num_threads(1).build().expect("a thread starts"));
    pool.install(|| (target(name).run)(bytes));
}
