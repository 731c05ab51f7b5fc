#!/usr/bin/env bash
# Installs what the tests need and runs all of them. The GPU tests need a Vulkan driver; where none is installed and
# apt is at hand, Mesa's software driver is installed.
set -euo pipefail
cd "$(dirname "$0")"

# ldconfig is not on every user's path.
PATH="$PATH:/usr/sbin:/sbin"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

icds() { find /usr/share/vulkan/icd.d /etc/vulkan/icd.d "${XDG_DATA_HOME:-$HOME/.local/share}/vulkan/icd.d" \
    -name '*.json' 2>/dev/null || true; }

if [ "$(uname)" = Linux ] && { [ -z "$(icds)" ] || ! ldconfig -p | grep -q 'libvulkan\.so\.1'; }; then
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mesa-vulkan-drivers libvulkan1
    else
        echo "No Vulkan driver was found: install one (Mesa's lavapipe will do) and run this again." >&2
        exit 1
    fi
fi

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
# Mesa's device-select layer prints an error for every look at the adapters where there is no desktop.
export NODEVICE_SELECT=1
cargo test --locked
