"""The mappings of docs/migrating.md, each fitted by both sides on the data in data/: python migrating.py GPULOGIT.

glmnet's objective is written down with scikit-learn as its solver: the mean over rows, on columns divided by their deviations.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier

GPULOGIT = Path(sys.argv[1]).resolve()
DATA = Path(__file__).resolve().parents[2] / "data"
WORST = 1e-6
EXACT = {"solver": "newton-cholesky", "tol": 1e-12}
SPARSE = {"solver": "saga", "tol": 1e-12, "max_iter": 200_000}


def run(command, *options):
    ended = subprocess.run([GPULOGIT, command, *map(str, options), "--device", "cpu"], capture_output=True, text=True)
    assert ended.returncode == 0, (options, ended.stderr)
    return ended.stdout


def train(file, *options):
    """Coefficients (classes × features, one row of two classes), and the intercept or intercepts."""
    run("train", file, "--target", "y", *options)
    model = json.loads(Path("model.json").read_text())
    values = np.array([coefficient["value"] for coefficient in model["coefficients"]])
    intercept = np.atleast_1d(model["intercept"])
    return values.reshape(len(intercept), -1), intercept


def table(name):
    frame = pd.read_csv(DATA / name)
    return frame, frame.drop(columns="y").to_numpy(float), frame.y.to_numpy()


def factors(names, values):
    return ",".join(f"{name}={float(value)!r}" for name, value in zip(names, values))


def checks():
    """What is compared, theirs and ours."""
    for name in ["titanic1046.csv", "pima_ripley.csv", "biopsy.csv"]:
        _, x, y = table(name)
        for c, options in [(0.5, ["--l2", 2]), (np.inf, [])]:
            theirs = LogisticRegression(C=c, **EXACT).fit(x, y)
            yield f"{name}, C={c}", (theirs.coef_, theirs.intercept_), train(DATA / name, *options)

    frame, x, y = table("pima_ripley.csv")
    pima, names, rows = DATA / "pima_ripley.csv", frame.columns[:-1], len(y)
    for what, given, options in [
        ("class_weight='balanced'", {"class_weight": "balanced"}, ["--class-weight", "balanced"]),
        ("class_weight={0: 1, 1: 3}", {"class_weight": {0: 1, 1: 3}}, ["--class-weight", "1=3"]),
        ("fit_intercept=False", {"fit_intercept": False}, ["--no-intercept"]),
    ]:
        theirs = LogisticRegression(**given, **EXACT).fit(x, y)
        yield what, (theirs.coef_, theirs.intercept_), train(pima, "--l2", 1, *options)

    deviation = x.std(axis=0)
    z = (x - x.mean(axis=0)) / deviation
    pd.DataFrame(z, columns=names).assign(y=y).to_csv("z.csv", index=False)
    for ratio in [1.0, 0.5]:
        theirs = LogisticRegression(C=0.1, l1_ratio=ratio, **SPARSE).fit(z, y)
        ours = train("z.csv", "--l1", ratio / 0.1, "--l2", (1 - ratio) / 0.1)
        yield f"C=0.1, l1_ratio={ratio}", (theirs.coef_, theirs.intercept_), ours
    logit = sm.Logit(y, sm.add_constant(z))
    theirs = logit.fit_regularized(alpha=np.r_[0, np.full(len(names), 10.0)], disp=0, acc=1e-14, trim_mode="off").params
    yield "statsmodels fit_regularized(alpha=10)", (theirs[1:], theirs[:1]), train("z.csv", "--l1", 10)

    λ = 0.05
    for alpha, option, powers in [(1.0, "--l1", deviation), (0.0, "--l2", deviation**2)]:
        how = SPARSE if alpha > 0 else EXACT
        theirs = LogisticRegression(C=1 / (rows * λ), l1_ratio=alpha, **how).fit(z, y).coef_ / deviation
        ours, _ = train(pima, option, rows * λ, "--penalty-factor", factors(names, powers))
        yield f"glmnet, standardize=TRUE, alpha={alpha}", (theirs,), (ours,)

    frame = pd.read_csv(DATA / "titanic2201_w.csv")
    theirs = LogisticRegression(**EXACT).fit(frame.drop(columns=["y", "w"]), frame.y, sample_weight=frame.w)
    yield "sample_weight", (theirs.coef_, theirs.intercept_), train(DATA / "titanic2201_w.csv", "--weight", "w", "--l2", 1)

    frame = pd.read_csv(DATA / "titanic.csv").dropna().rename(columns={"survived": "y"})
    frame.to_csv("titanic.csv", index=False)
    for c, drop_first, options in [(np.inf, True, []), (1, False, ["--l2", 1])]:
        x = pd.get_dummies(frame.drop(columns="y"), dtype=float, drop_first=drop_first)
        theirs = LogisticRegression(C=c, **EXACT).fit(x, frame.y)
        # Their indicators come last; ours stand where the column is.
        order = sorted(range(x.shape[1]), key=lambda j: list(frame.columns).index(x.columns[j].split("_")[0]))
        yield f"get_dummies(drop_first={drop_first}), C={c}", (theirs.coef_[:, order], theirs.intercept_), train("titanic.csv", *options)

    _, x, y = table("iris3.csv")
    theirs = LogisticRegression(**EXACT).fit(x, y)
    yield "three classes", (theirs.coef_, theirs.intercept_), train(DATA / "iris3.csv", "--l2", 1)
    theirs = OneVsRestClassifier(LogisticRegression(**EXACT)).fit(x, y)
    ours = train(DATA / "iris3.csv", "--l2", 1, "--multi", "ovr")
    yield "OneVsRestClassifier", (np.vstack([one.coef_ for one in theirs.estimators_]),), ours[:1]

    frame, x, y = table("pima_ripley.csv")
    fold = np.arange(rows) % 5
    frame.assign(fold=fold).to_csv("folds.csv", index=False)
    theirs = LogisticRegressionCV(Cs=[0.01, 0.1, 1, 10], cv=PredefinedSplit(fold), scoring="neg_log_loss", l1_ratios=(0,),
                                  use_legacy_attributes=False, **EXACT).fit(x, y)
    report = json.loads(run("cv", "folds.csv", "--target", "y", "--fold", "fold", "--grid", "100,10,1,0.1", "--json"))
    means = -np.asarray(theirs.scores_).reshape(5, -1).mean(axis=0)
    yield "LogisticRegressionCV", (means, theirs.C_), (report["mean_log_loss"], 1 / report["best_l2"])

    logit = sm.Logit(y, sm.add_constant(x))
    for kind, option in [("nonrobust", "model"), ("HC0", "hc0"), ("HC1", "hc0")]:
        theirs = logit.fit(disp=0, tol=1e-12, maxiter=100, cov_type=kind)
        report = json.loads(run("train", pima, "--target", "y", "--inference", "--covariance", option, "--json"))["inference"]
        ours = ([line[key] for line in report["coefficients"]] for key in ["estimate", "se", "p", "low"])
        known = (theirs.params, theirs.bse, theirs.pvalues, theirs.conf_int()[:, 0])
        yield f"statsmodels {kind}", (*known, theirs.aic, theirs.bic), (*ours, report["aic"], report["bic"])


def main():
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        compared = 0
        for what, theirs, ours in checks():
            pairs = [(np.ravel(a), np.ravel(b)) for a, b in zip(theirs, ours, strict=True)]
            worst = max(np.max(np.abs(a - b) / (1 + np.abs(a))) for a, b in pairs)
            print(f"{what:45} {worst:.1e}")
            assert worst <= WORST, what
            compared += 1
        assert compared == 23, compared
        os.chdir("/")


if __name__ == "__main__":
    main()
