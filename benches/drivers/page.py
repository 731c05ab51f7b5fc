"""Writes docs/drivers.md from what the suite left of each driver: page.py FOLDER PAGE. Fails where one is missing or out of bounds."""

import datetime
import json
import os
import platform
import sys
from pathlib import Path

# Columns, and what each is.
DRIVERS = {
    "llvmpipe": "Mesa's software Vulkan",
    "default limits": "the same, as a device that has WebGPU's default limits and no more",
    "SwiftShader": "Google's software Vulkan, which shares no code with Mesa",
    "GL": "wgpu's OpenGL backend, naga's GLSL, on Mesa's software OpenGL",
    "browser": "WebGPU in headless Chromium: Tint compiles the WGSL, Dawn runs it",
}
ROWS = [
    "logits",
    "loss_gradient",
    "loss_gradient_wide",
    "loss_gradients",
    "line_probe",
    "softmax",
    "softmax_product",
    "fit",
]

INTRODUCTION = """# Drivers

Written by `./benches/drivers/run.sh`, which installs what it needs, runs the whole suite of `gpulogit validate` on every driver there is
without a GPU, and fails if an error is beyond its bound or a driver is missing.

The cases reach all {builds} builds of the seven kernels (preludes and overrides, for GPUs and for software drivers, for every number of
features), and the awkward shapes of `gpulogit validate` besides. What is compared is the f64 reference, entry by entry, each with a bound
of its own that is derived from the kernel's arithmetic (`src/validate/bounds.rs`). A cell has the error of the entry nearest to its
bound, and which part of the bound that is; `fit` is how far a whole fit ends above the optimum before any polish.

In the browser runs what the program runs: `tests/drivers/webgpu.rs` is a backend of wgpu that makes each call in a page of headless
Chromium, and gpulogit computes on it as on any adapter. The test holds that exactly these {builds} builds were compiled there.
"""

ELSEWHERE = """
## Not run

Metal and DX12 are not at hand. `tests/translations.rs` has naga translate all {builds} builds, overrides settled, to MSL, HLSL and SPIR-V, as
wgpu does there, and this command has `spirv-val` check the last. No real GPU was at hand either.

## In CI

`./test.sh` runs the translations and WebGPU's default limits on the Vulkan driver that is installed, and then `./benches/drivers/run.sh
--quick`: SwiftShader and the browser, on the cases that reach every build, without the awkward ones.
"""


def cell(check):
    if check["worst_error"] is None:
        return "**not a number**"
    part = check["worst_error"] / check["bound"] if check["bound"] else float("inf")
    text = f"{check['worst_error']:.1e} ({100 * part:.2g}%)"
    return text if check["ok"] else f"**{text}**"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    folder, page = Path(sys.argv[1]), Path(sys.argv[2])
    found = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    missing = [name for name in DRIVERS if name not in found]
    present = [name for name in DRIVERS if name in found]
    if not present:
        sys.exit("no driver left anything")
    builds = found[present[0]]["builds"]
    lines = [INTRODUCTION.format(builds=builds), "| | " + " | ".join(present) + " |", "|---" * (len(present) + 1) + "|"]
    wrong = []
    for row in ROWS:
        cells = []
        for name in present:
            check = next(check for check in found[name]["checks"] if check["name"] == row)
            cells.append(cell(check))
            if not check["ok"]:
                wrong.append(f"{row} on {name}")
        lines.append(f"| {'the whole fit' if row == 'fit' else f'`{row}`'} | " + " | ".join(cells) + " |")
    date = datetime.date.today().isoformat()
    lines.append(f"\nRun on {date} on {os.cpu_count()} cores of an {processor()}, {platform.system()}.\n")
    lines += [f"- **{name}**: {DRIVERS[name]} ({found[name]['driver']})." for name in present]
    page.write_text("\n".join(lines) + "\n" + ELSEWHERE.format(builds=builds))
    if missing or wrong:
        sys.exit(f"missing: {missing}; beyond a bound: {wrong}")


main()
