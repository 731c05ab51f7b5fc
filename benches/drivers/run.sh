#!/usr/bin/env bash
# Runs the kernel suite on every driver there is without a GPU and writes docs/drivers.md: ./benches/drivers/run.sh
# Takes some six minutes on two shared cores, most of it SwiftShader's compiler. Only SwiftShader and the browser, without the awkward
# shapes and without writing anything, in half the time: ./benches/drivers/run.sh --quick
# Needs Mesa's software drivers, and Chromium (CHROMIUM names another one than `chromium`), which brings SwiftShader (SWIFTSHADER names
# its vk_swiftshader_icd.json where it is not in Debian's place); what lacks is installed where apt is at hand.
set -euo pipefail
cd "$(dirname "$0")/../.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

lacking=()
lavapipe() { find /usr/share/vulkan/icd.d -name 'lvp_icd*.json' 2>/dev/null | head -1; }
[ -n "$(lavapipe)" ] || lacking+=(mesa-vulkan-drivers libvulkan1)
[ -n "$(find /usr/lib /usr/lib64 -name 'libEGL_mesa.so*' 2>/dev/null | head -1)" ] || lacking+=(libegl-mesa0 libgl1-mesa-dri)
command -v "${CHROMIUM:-chromium}" >/dev/null || lacking+=(chromium)
command -v spirv-val >/dev/null || lacking+=(spirv-tools)
command -v python3 >/dev/null || lacking+=(python3)
if [ ${#lacking[@]} -gt 0 ]; then
    if command -v apt-get >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${lacking[@]}"
    else
        echo "Install these, or what your system has in their place, and run this again: ${lacking[*]}" >&2
        exit 1
    fi
fi
swiftshader="${SWIFTSHADER:-/usr/lib/chromium/vk_swiftshader_icd.json}"
if [ ! -f "$swiftshader" ]; then
    echo "SwiftShader is not at $swiftshader; name its vk_swiftshader_icd.json in SWIFTSHADER" >&2
    exit 1
fi

# Mesa's device-select layer prints an error for every look at the adapters where there is no desktop.
export NODEVICE_SELECT=1
suite() { cargo test --quiet --locked --test drivers -- --exact --ignored "$1"; }
on() { GPULOGIT_DRIVER_NAME="$1" GPULOGIT_DRIVER_ID="$2" VK_DRIVER_FILES="$3" suite on_a_driver; }

if [ "${1:-}" = "--quick" ]; then
    on SwiftShader vulkan:0 "$swiftshader"
    suite in_a_browser
    exit
fi
GPULOGIT_DRIVERS="$(mktemp -d)"
export GPULOGIT_DRIVERS
trap 'rm -rf "$GPULOGIT_DRIVERS"' EXIT
# A driver that fails is in the table before this ends in failure.
failed=0
on llvmpipe vulkan:0 "$(lavapipe)" || failed=1
VK_DRIVER_FILES="$(lavapipe)" cargo test --quiet --locked --test drivers -- --exact on_webgpus_default_limits || failed=1
on SwiftShader vulkan:0 "$swiftshader" || failed=1
on GL gl:0 "$(lavapipe)" || failed=1
suite in_a_browser || failed=1
cargo test --quiet --locked --test translations -- --include-ignored || failed=1
python3 benches/drivers/page.py "$GPULOGIT_DRIVERS" docs/drivers.md || failed=1
exit "$failed"
