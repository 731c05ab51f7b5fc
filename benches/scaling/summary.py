#!/usr/bin/env python3
"""What measure.sh measured: medians of its rounds, the coefficients held to be the same, and the cost of messages."""

import json
import sys
from pathlib import Path
from statistics import median

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])


def read(name):
    return json.loads((folder / name).read_text())


def coefficients(ranks):
    model = read(f"model{ranks}.json")
    return [c["value"] for c in model["coefficients"]] + [model["intercept"]]


one, two = coefficients(1), coefficients(2)
apart = max(abs(a - b) for a, b in zip(one, two)) / max(map(abs, one))
assert apart <= 1e-9, f"the ranks' coefficients differ by {apart}"
reports = {ranks: [read(f"fit-{ranks}-{k}.json") for k in range(1, rounds + 1)] for ranks in (1, 2)}
assert all(r["status"] == "converged" for of in reports.values() for r in of)

print(f"median of {rounds} rounds, seconds (least to most); coefficients alike to {apart:.0e}")
print("| ranks | " + " | ".join(PARTS := ["read", "upload", "solve", "verify", "total"]) + " | a rank reads X at | passes | waiting |")
print("|---" * (len(PARTS) + 4) + "|")
for ranks, of in reports.items():
    cells = []
    for part in PARTS:
        seconds = [r["seconds"][part] for r in of]
        cells.append(f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})")
    kernels = [next(k for k in r["kernels"] if k["name"] == "loss_gradient") for r in of]
    share = 4 * of[0]["rows"] * of[0]["features"] / ranks
    # The certificate's pass, in f64, is the host's.
    rates = [share * (r["passes"] - 1) / k["seconds"] for r, k in zip(of, kernels)]
    cells.append(f"{median(rates) / 1e9:.1f} GB/s")
    cells.append(str(of[0]["passes"]))
    cells.append(f"{median(r.get('communication', {}).get('seconds', 0.0) for r in of):.3f}")
    print(f"| {ranks} | " + " | ".join(cells) + " |")
ratio = {part: median(r["seconds"][part] for r in reports[1]) / median(r["seconds"][part] for r in reports[2]) for part in PARTS}
print("two ranks are faster by " + ", ".join(f"{part} {times:.2f}x" for part, times in ratio.items()))

messages = read("messages.json")["communication"]
each = messages["seconds"] / messages["reductions"]
print(f"a request and a sum: {each * 1e6:.1f} us ({messages['request_bytes'] / messages['requests']:.0f} and "
      f"{messages['reduced_bytes'] / messages['reductions']:.0f} bytes; mean of {messages['reductions']:,})")
