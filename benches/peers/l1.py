"""Fits with l1, and with l1 and l2, beside skglm and scikit-learn's saga, each run to 1e-10: python l1.py GPULOGIT FILE.csv.. (target y).

Columns are standardised for all of them, so that saga gets anywhere. J of each is computed here, in f64.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Logistic
from skglm.penalties import L1_plus_L2
from skglm.solvers import ProxNewton
from sklearn.linear_model import LogisticRegression


# Parts of the least penalty that leaves nothing, and how much of it is l1.
PENALTIES = [(0.3, 1.0), (0.03, 1.0), (0.03, 0.5)]


def objective(x, y, beta, intercept, l1, l2):
    a = x @ beta + intercept
    return np.sum(np.logaddexp(0, a) - y * a) + l1 * np.abs(beta).sum() + 0.5 * l2 * (beta**2).sum()


def made_up(rows=100, columns=1000):
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, columns))
    a = x[:, :8] @ np.array([2, -2, 1.5, -1.5, 1, -1, 0.5, -0.5])
    return x, (random.random(rows) < 1 / (1 + np.exp(-a))).astype(float)


def read(path):
    names = Path(path).read_text().split("\n", 1)[0].strip().split(",")
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    y = names.index("y")
    return np.delete(table, y, axis=1), table[:, y]


def main():
    warnings.simplefilter("ignore")
    program, files = sys.argv[1], sys.argv[2:]
    sets = [(Path(file).stem, *read(file)) for file in files] + [("made up, 100 × 1000", *made_up())]
    good = True
    for name, x, y in sets:
        spread = x.std(axis=0)
        x = ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1))[:, spread > 0]
        n = len(y)
        largest = np.abs(x.T @ (y.mean() - y)).max()
        for part, ratio in PENALTIES:
            penalty = part * largest / ratio
            l1, l2 = ratio * penalty, (1 - ratio) * penalty
            with tempfile.TemporaryDirectory() as folder:
                np.save(f"{folder}/x.npy", x)
                np.save(f"{folder}/y.npy", y)
                command = [program, "train", f"{folder}/x.npy", "--target-file", f"{folder}/y.npy", "--l1", repr(float(l1)), "--l2", repr(float(l2))]
                command += ["--model", f"{folder}/m.json", "--json", "--device", "cpu", "--quiet"]
                report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                model = json.loads(Path(f"{folder}/m.json").read_text())
            ours = np.array([c["value"] for c in model["coefficients"]])
            j = objective(x, y, ours, model["intercept"], l1, l2)
            solver = ProxNewton(tol=1e-10, max_iter=200, fit_intercept=True)
            peer = GeneralizedLinearEstimator(Logistic(), L1_plus_L2(penalty / n, ratio), solver).fit(x, 2 * y - 1)
            skglm = objective(x, y, peer.coef_.ravel(), float(np.ravel(peer.intercept_)[0]), l1, l2)
            saga = LogisticRegression(C=1 / penalty, l1_ratio=ratio, solver="saga", tol=1e-10, max_iter=20_000).fit(x, y)
            saga_j = objective(x, y, saga.coef_.ravel(), saga.intercept_[0], l1, l2)
            same = [set(np.flatnonzero(ours)) == set(np.flatnonzero(b)) for b in (peer.coef_.ravel(), saga.coef_.ravel())]
            good &= same[0] and abs(j - skglm) <= 1e-9 * j and j - saga_j <= 1e-9 * j
            print(
                f"{name} | {part}, {ratio:g} l1 | {np.count_nonzero(ours)} of {x.shape[1]} | {report['gradient_inf_norm']:.0e} | "
                f"{report['certificate']['objective_gap'] / j:.0e} | {(skglm - j) / j:.0e}, {same[0]} | "
                f"{(saga_j - j) / j:.0e}, {same[1]}",
                flush=True,
            )
    sys.exit(not good)


main()
