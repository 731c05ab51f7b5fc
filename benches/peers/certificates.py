"""Certificates of badly scaled fits, re-computed by scikit-learn's own gradient code."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
from program import train
from sklearn._loss import HalfBinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

DATA = Path(__file__).resolve().parents[2] / "data"
# An f64 sum of a few dozen terms is taken to err by so many half units in the last place of its largest.
ROUNDINGS = 4 * np.finfo(float).eps


def read(name):
    with open(DATA / f"{name}.csv") as file:
        header, *rows = csv.reader(file)
    table = np.array(rows, float)
    columns = [i for i, column in enumerate(header) if column != "y"]
    return np.ascontiguousarray(table[:, columns]), np.ascontiguousarray(table[:, header.index("y")])


def products(x):
    """x, the products of two of its columns, and their cubes."""
    pairs = [x[:, i : i + 1] * x[:, i:] for i in range(x.shape[1])]
    return np.hstack([x, *pairs, x**3])


def cases():
    """Name, X, t and l2 of each."""
    urine, pima, wdbc, biopsy, affairs = (read(name) for name in ["urine", "pima_ripley", "wdbc", "biopsy", "affairs601"])
    scales = 10.0 ** np.linspace(-3, 3, biopsy[0].shape[1])
    yield "urine", *urine, 0.0
    yield "wdbc", *wdbc, 1.0
    for l2 in [0.0, 1.0]:
        yield "pima_ripley to the third degree", products(pima[0]), pima[1], l2
        yield "biopsy, columns 10⁶ apart", biopsy[0] * scales, biopsy[1], l2
        yield "affairs601 + 10⁴", affairs[0] + 1e4, affairs[1], l2


def recomputed(x, t, l2, beta, intercept):
    """Each |∂J/∂β_j|/n as scikit-learn computes it, and how far rounding in f64 may take it, to first order."""
    rows = len(t)
    loss = LinearModelLoss(base_loss=HalfBinomialLoss(), fit_intercept=True)
    _, gradient = loss.loss_gradient(np.append(beta, intercept), x, t, l2_reg_strength=l2 / rows)
    size = np.abs(x) @ np.abs(beta) + abs(intercept)
    y = 1 / (1 + np.exp(-(x @ beta + intercept)))
    rounding = ROUNDINGS * np.abs(x).T @ (y * (1 - y) * size + np.abs(y - t)) / rows
    return np.abs(gradient[:-1]), rounding


def lines(binary, devices):
    """One line of a table for each fit; an AssertionError where a certificate does not hold."""
    for name, x, t, l2 in cases():
        for device in devices:
            with tempfile.TemporaryDirectory() as folder:
                files = [os.path.join(folder, file) for file in ["x.npy", "y.npy"]]
                np.save(files[0], x)
                np.save(files[1], t)
                report, beta, intercept = train(binary, files, l2, device)
            found, rounding = recomputed(x, t, l2, beta, intercept)
            certified = report["certificate"]["gradient_inf_norm_raw"]
            assert report["status"] == "converged", (name, l2, device, report["status"])
            assert (found <= certified + rounding).all(), (name, l2, device, certified, found.max())
            yield (f"| {name}, {x.shape[0]} × {x.shape[1]}, l2 = {l2:g} | {device} | {report['status']} | {certified:.0e} "
                   f"| {found.max():.0e} | {rounding.max():.0e} |")
