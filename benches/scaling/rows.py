#!/usr/bin/env python3
"""Rows for measure.sh: x.npy of 4,000,000 × 64 in f32, neighbouring columns correlated, and y.npy; the first 2,000 of them in few/."""

import sys
from pathlib import Path

import numpy as np

ROWS, FEATURES, PART = 4_000_000, 64, 200_000
folder = sys.argv[1]
random = np.random.default_rng(1)
x = np.lib.format.open_memmap(f"{folder}/x.npy", mode="w+", dtype="<f4", shape=(ROWS, FEATURES))
beta = random.normal(size=FEATURES) * 0.2
y = np.empty(ROWS, np.uint8)
for start in range(0, ROWS, PART):
    z = random.standard_normal((PART, FEATURES), dtype=np.float32)
    z += 0.5 * np.roll(z, 1, axis=1)
    x[start : start + PART] = z
    y[start : start + PART] = random.random(PART) < 1 / (1 + np.exp(-(z @ beta - 0.3)))
x.flush()
np.save(f"{folder}/y.npy", y)
few = Path(folder, "few")
few.mkdir(exist_ok=True)
np.save(few / "x.npy", x[:2000])
np.save(few / "y.npy", y[:2000])
