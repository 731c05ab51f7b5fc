"""`train --inference` beside statsmodels: estimates, standard errors, z, p, intervals, deviances, AIC and BIC, robust and clustered too.

    python inference.py GPULOGIT [FOLDER]

FOLDER holds references.json and a CSV for each set in it (by default data/ of the repository); those with a unique maximum-likelihood
estimate are compared. statsmodels is given standardised columns, whose covariance is mapped back, for it inverts what it is given.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from scipy.stats import norm

CLUSTERS = 10
# Relative, of a number and of statsmodels'; p-values of the far tails are compared by their logarithms.
TOLERANCE = 1e-6


def read(path):
    with open(path) as file:
        header, *rows = csv.reader(file)
    table = dict(zip(header, np.array(rows, float).T))
    target, weight = table.pop("y"), table.pop("w", None)
    return table, target, weight


def ours(binary, table, target, weight, more):
    """What gpulogit infers of the rows, whose cluster is their number modulo CLUSTERS."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.csv")
        columns = {**table, "y": target, "g": np.arange(len(target)) % CLUSTERS}
        if weight is not None:
            columns["w"] = weight
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*[map(repr, map(float, column)) for column in columns.values()]))
        command = [binary, "train", path, "--target", "y", "--inference", "--json", "--quiet", "--model", os.path.join(folder, "m.json"), *more]
        command += ["--weight", "w"] if weight is not None else []
        command += [] if "--cluster" in more else ["--drop", "g"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["inference"]


def theirs(table, target, weight, kind):
    """Estimates, standard errors, z, p and intervals of statsmodels, the intercept first, and the fit."""
    x = np.array(list(table.values())).T
    s = np.ones(len(target)) if weight is None else weight
    mean, sd = np.average(x, axis=0, weights=s), np.sqrt(np.average((x - np.average(x, axis=0, weights=s)) ** 2, axis=0, weights=s))
    design = np.column_stack([np.ones(len(target)), (x - mean) / sd])
    groups = {"cov_type": "cluster", "cov_kwds": {"groups": np.arange(len(target)) % CLUSTERS}}
    how = {"model": {}, "hc0": {"cov_type": "HC0"}, "cluster": groups}[kind]
    glm = sm.GLM(target, design, family=sm.families.Binomial(), freq_weights=weight)
    fit = glm.fit(maxiter=200, tol=1e-15, tol_criterion="params", **how)
    if weight is None and kind != "model":
        # GLM takes probabilities nearer than 1e-10 to 0 or 1 for that far, and scores with it; Logit does not, and knows no weights.
        robust = sm.Logit(target, design).fit(start_params=fit.params, method="newton", tol=1e-15, disp=0, **how)
        fit.params, fit.cov_params = robust.params, robust.cov_params
    back = np.eye(design.shape[1])
    back[0, 1:] = -mean / sd
    back[range(1, len(back)), range(1, len(back))] = 1 / sd
    beta, se = back @ fit.params, np.sqrt(np.diag(back @ fit.cov_params() @ back.T))
    z = beta / se
    reach = norm.ppf(0.975) * se
    return {"estimate": beta, "se": se, "z": z, "p": norm.logsf(abs(z)) + np.log(2), "low": beta - reach, "high": beta + reach}, fit


def worst(found, expected):
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    difference = float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 1e-300)))
    return difference if difference >= 0 else float("inf")


def main(binary, folder):
    references = json.loads((folder / "references.json").read_text())
    sets = [name for name, reference in references.items() if reference.get("mle")]
    print("| set | rows × features | covariance | estimate | SE | z | p | interval | deviances | AIC, BIC |\n|---|---|---|---|---|---|---|---|---|---|")
    largest = 0.0
    for name in sets:
        table, target, weight = read(folder / f"{name}.csv")
        for kind, more in [("model", []), ("hc0", ["--covariance", "hc0"]), ("cluster", ["--cluster", "g"])]:
            found = ours(binary, table, target, weight, more)
            expected, fit = theirs(table, target, weight, kind)
            column = lambda key: [row[key] for row in found["coefficients"]]
            differences = [
                worst(column("estimate"), expected["estimate"]),
                worst(column("se"), expected["se"]),
                worst(column("z"), expected["z"]),
                worst(np.log(column("p")), expected["p"]),
                max(worst(column("low"), expected["low"]), worst(column("high"), expected["high"])),
                max(worst(found["deviance"], fit.deviance), worst(found["null_deviance"], fit.null_deviance)),
            ]
            criteria = worst(found["aic"], fit.aic)
            if weight is None:
                # n under weights counts rows here and Σw there (docs/inference.md).
                criteria = max(criteria, worst(found["bic"], fit.deviance + len(fit.params) * np.log(len(target))))
            differences.append(criteria)
            largest = max(largest, *differences)
            cells = " | ".join(f"{d:.0e}" for d in differences)
            print(f"| {name} | {len(target)} × {len(table)} | {kind} | {cells} |", flush=True)
    print(f"\n{len(sets)} sets; the largest difference is {largest:.1e}")
    return 0 if sets and largest <= TOLERANCE else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    default = Path(__file__).resolve().parents[2] / "data"
    sys.exit(main(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else default))
