"""gpulogit as a program."""

import json
import os
import subprocess
import tempfile

import numpy as np


def train(binary, files, l2, device):
    """Fits X.npy and Y.npy: the report, the coefficients and the intercept."""
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.json")
        command = [binary, "train", files[0], "--target-file", files[1], "--l2", str(l2), "--device", device, "--json", "--quiet",
                   "--model", model]
        report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        with open(model) as file:
            fitted = json.load(file)
    return report, np.array([c["value"] for c in fitted["coefficients"]]), fitted["intercept"]
