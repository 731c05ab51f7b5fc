#!/usr/bin/env bash
# Installs what the tests need and runs all of them. The GPU tests need a Vulkan driver; where none is installed and
# apt is at hand, Mesa's software driver is installed. Those of several ranks need an MPI and libclang. The tests of exports need a C compiler and python3, and for two of them
# packages of Python, which go to a folder below target/. Those of the pages of --report and of WebGPU need Chromium (CHROMIUM names
# another one than `chromium`).
set -euo pipefail
cd "$(dirname "$0")"

# ldconfig is not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

icds() { find /usr/share/vulkan/icd.d /etc/vulkan/icd.d "${XDG_DATA_HOME:-$HOME/.local/share}/vulkan/icd.d" \
    -name '*.json' 2>/dev/null || true; }

lacking=()
if [ "$(uname)" = Linux ]; then
    if [ -z "$(icds)" ] || ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then lacking+=(mesa-vulkan-drivers libvulkan1); fi
    command -v cc >/dev/null || lacking+=(gcc libc6-dev)
    python3 -c 'import ensurepip, sqlite3' 2>/dev/null || lacking+=(python3 python3-venv)
    command -v "${CHROMIUM:-chromium}" >/dev/null || lacking+=(chromium)
    # Several ranks: an MPI, its compiler's wrapper, and what its bindings are made with.
    command -v mpirun >/dev/null && command -v mpicc >/dev/null || lacking+=(openmpi-bin libopenmpi-dev)
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || lacking+=(libclang-dev)
fi
if [ ${#lacking[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${lacking[@]}"
    else
        echo "Install these, or what your system has in their place, and run this again: ${lacking[*]}" >&2
        exit 1
    fi
fi

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
# Mesa's device-select layer prints an error for every look at the adapters where there is no desktop.
export NODEVICE_SELECT=1
cargo test --locked
cargo clippy --locked --features mpi --all-targets -- -D warnings
# What is fast is tested above: here gpulogit itself is built in a tenth of the time.
unoptimised="profile.dev.package.gpulogit.opt-level=0"
cargo test --locked --features mpi --config "$unoptimised" --lib engine::ranked
cargo test --locked --features mpi --config "$unoptimised" --test mpi -- --test-threads 2

runtimes="$PWD/target/export-runtimes"
python3 -m venv "$runtimes"
"$runtimes/bin/pip" install --quiet --disable-pip-version-check -r tests/export/requirements.txt
EXPORT_PYTHON="$runtimes/bin/python" cargo test --locked --test export -- --ignored
cargo test --locked --test report -- --ignored
./benches/drivers/run.sh --quick
