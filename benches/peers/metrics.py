"""`gpulogit evaluate` beside scikit-learn on made-up rows, ties, weights and single classes among them: python metrics.py GPULOGIT.

A model of one column with slope 1 and intercept 0 makes the column the linear predictor. What scikit-learn has none of (DeLong's
interval, lift, expected calibration error, the best threshold) is computed here by its definition, row by row or pair by pair.
`--constants` prints the numbers of tests/metrics.rs instead.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (accuracy_score, average_precision_score, balanced_accuracy_score, brier_score_loss, confusion_matrix,
                             f1_score, log_loss, matthews_corrcoef, precision_score, recall_score, roc_auc_score, roc_curve)

SHARES = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
WORST = 1e-9


def of_labels(t, p, s):
    """Of labels p. What is 0/0 is none: there scikit-learn has 0 (MCC), or what `zero_division` says."""
    nothing = {"sample_weight": s, "zero_division": np.nan}
    cells = confusion_matrix(t, p, labels=[0, 1], sample_weight=s)
    one_kind = (cells.sum(axis=0) > 0).sum() < 2 or (cells.sum(axis=1) > 0).sum() < 2
    scores = {
        "accuracy": accuracy_score(t, p, sample_weight=s),
        "balanced_accuracy": balanced_accuracy_score(t, p, sample_weight=s),
        "precision": precision_score(t, p, **nothing),
        "recall": recall_score(t, p, **nothing),
        "specificity": recall_score(t, p, pos_label=0, **nothing),
        "f1": f1_score(t, p, **nothing),
        "mcc": np.nan if one_kind else matthews_corrcoef(t, p, sample_weight=s),
    }
    return scores | dict(zip(["true_negative", "false_positive", "false_negative", "true_positive"], cells.ravel()))


def delong(a, t, s, area):
    """Standard error of the area from all pairs."""
    variance = 0
    for own in (0, 1):
        here, there = t == own, t != own
        sign = 1 if own == 1 else -1
        pairs = sign * (a[here][:, None] - a[there][None, :])
        part = ((pairs > 0) + 0.5 * (pairs == 0)) @ s[there] / s[there].sum()
        m = here.sum()
        variance += np.sum(s[here] ** 2 * (part - area) ** 2) / s[here].sum() ** 2 * m / (m - 1)
    return np.sqrt(variance)


def lift(a, t, s):
    """Each row of a group of ties is taken in the same part."""
    captured = []
    for share in SHARES:
        left, ones = share * s.sum(), 0.0
        for value in np.unique(a)[::-1]:
            tie = a == value
            part = min(1.0, left / s[tie].sum())
            ones += part * s[tie] @ t[tie]
            left -= part * s[tie].sum()
            if part < 1:
                break
        captured.append(ones / (s @ t))
    return np.array(captured)


def reference(a, t, s, threshold, cost):
    y = 1 / (1 + np.exp(-a))
    there = s > 0
    both = len(np.unique(t[there])) == 2
    found = {
        "base_rate": np.average(t, weights=s),
        "mean_probability": np.average(y, weights=s),
        "log_loss": log_loss(t, y, sample_weight=s, labels=[0, 1]),
        "brier": brier_score_loss(t, y, sample_weight=s, labels=[0, 1], pos_label=1),
    }
    found |= of_labels(t, (y >= threshold).astype(int), s)
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], y)
    sums = [np.bincount(bins, weights=s * value, minlength=10) for value in (y, t)]
    found["expected_error"] = np.abs(sums[0] - sums[1]).sum() / s.sum()
    if not both:
        return found | dict.fromkeys(["roc_auc", "pr_auc", "ks", "slope", "intercept", "at_1", "se", "low", "captured 1%"], np.nan)
    found["roc_auc"] = roc_auc_score(t, a, sample_weight=s)
    found["pr_auc"] = average_precision_score(t, a, sample_weight=s)
    fpr, tpr, _ = roc_curve(t, a, sample_weight=s, drop_intermediate=False)
    found["ks"] = np.abs(tpr - fpr).max()
    ones, zeros = a[there & (t == 1)], a[there & (t == 0)]
    overlap = zeros.max() > ones.min() and ones.max() > zeros.min()
    se = delong(a[there], t[there], s[there], found["roc_auc"]) if overlap and min(len(ones), len(zeros)) > 1 else np.nan
    found["se"] = se
    found["low"], found["high"] = np.clip(found["roc_auc"] + norm.ppf([0.025, 0.975]) * se, 0, 1)
    for share, captured in zip(SHARES, lift(a[there], t[there], s[there])):
        found[f"captured {share:.0%}"] = captured
    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-14, max_iter=1000)
    if overlap:
        line.fit(a[:, None], t, sample_weight=s)
        found["slope"], found["intercept"] = line.coef_[0, 0], line.intercept_[0]
    else:
        found["slope"] = found["intercept"] = np.nan
    # The root of a monotone function, by bisection.
    low, high = -100.0, 100.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if s @ (1 / (1 + np.exp(-(a + middle))) - t) < 0 else (low, middle)
    found["at_1"] = 0.5 * (low + high)
    cuts = np.append(np.unique(y[there]), np.inf)
    costs = [cost[0] * s @ ((y >= cut) & (t == 0)) + cost[1] * s @ ((y < cut) & (t == 1)) for cut in cuts]
    found["mean_cost"] = min(costs) / s.sum()
    return found


def program(binary, a, t, s, threshold, cost):
    with tempfile.TemporaryDirectory() as folder:
        # Beside the rows some that make a model of both classes possible; it is then written over.
        small = "a,y,w\n" + "".join(f"{x},{y},1\n" for x, y in [(0, 0), (1, 1), (1, 0), (2, 1)])
        Path(folder, "small.csv").write_text(small)
        model = Path(folder, "model.json")
        train = [binary, "train", f"{folder}/small.csv", "--target", "y", "--weight", "w", "--model", str(model), "--quiet"]
        subprocess.run([*train, "--device", "cpu", "--json"], check=True, capture_output=True)
        fitted = json.loads(model.read_text())
        fitted["coefficients"][0]["value"], fitted["intercept"] = 1.0, 0.0
        model.write_text(json.dumps(fitted))
        rows = "".join(f"{float(x)!r},{int(y)},{float(w)!r}\n" for x, y, w in zip(a, t, s))
        Path(folder, "rows.csv").write_text("a,y,w\n" + rows)
        command = [binary, "evaluate", str(model), f"{folder}/rows.csv", "--json", "--quiet", "--device", "cpu"]
        command += ["--threshold", repr(threshold), "--cost", f"{cost[0]}:{cost[1]}"]
        metrics = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["metrics"]
    calibration, interval = metrics["calibration"], metrics["roc_auc_interval"] or dict.fromkeys(["se", "low", "high"])
    found = metrics | metrics["confusion"] | interval | calibration | {"at_1": calibration["intercept_at_slope_1"]}
    found |= {f"captured {at['share']:.0%}": at["captured"] for at in metrics["lift"] or []}
    # The best threshold must do what it says.
    best = metrics["best_threshold"]
    label = 1 / (1 + np.exp(-a)) >= best["threshold"]
    said = (cost[0] * s @ (label & (t == 0)) + cost[1] * s @ (~label & (t == 1))) / s.sum()
    found["mean_cost"] = best["mean_cost"] if abs(said - best["mean_cost"]) <= WORST else None
    tables = [(of_labels(t, (1 / (1 + np.exp(-a)) >= at["threshold"]).astype(int), s), at) for at in metrics["thresholds"]]
    return found, tables


def made_up():
    """Rows of each kind: a, t, s."""
    random = np.random.default_rng(0)
    for case in range(60):
        n = [12, 60, 400, 3000][case % 4]
        a = random.standard_normal(n) * random.choice([0.5, 2, 6])
        t = (random.random(n) < 1 / (1 + np.exp(-(random.uniform(0.3, 1.5) * a + random.uniform(-1.5, 1.5))))).astype(int)
        s = np.ones(n)
        if case % 3 > 0:
            a = np.round(a, case % 3 - 1)
        if case % 5 in (1, 3):
            s = random.exponential(size=n)
        if case % 5 in (2, 3):
            s = s * (random.random(n) < 0.8)
        if case % 10 == 9:
            t[:] = case // 10 % 2
        if case % 20 == 4:
            t = (a > 0.3).astype(int)
        yield f"case {case}", a, t, s


def main():
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--constants":
        a = np.array([2.0, 0.5, 0.5, -1.0, 0.5, -3.0, 1.0, -1.0, 0.0, 2.0])
        t = np.array([1, 0, 1, 0, 1, 0, 0, 1, 1, 1])
        for s in (np.array([1, 2, 0.5, 3, 1.5, 1, 0.25, 2, 1, 0.75]), np.ones(10)):
            for name, value in reference(a, t, s, 0.6, (1, 5)).items():
                print(f'("{name}", {float(value)!r}),')
        return 0
    worst, compared, good = {}, 0, True
    for case, a, t, s in made_up():
        threshold, cost = 0.6, (1, 5)
        ours, tables = program(sys.argv[1], a, t, s, threshold, cost)
        pairs = [("", reference(a, t, s, threshold, cost), ours), *((f"at {o['threshold']}: ", r, o) for r, o in tables)]
        for where, expected, found in pairs:
            for name, value in expected.items():
                mine, compared = found.get(name), compared + 1
                if np.isnan(value) or mine is None:
                    error = 0 if np.isnan(value) and mine is None else np.inf
                else:
                    error = abs(mine - value) / max(1, abs(value))
                name = name if not where else f"table's {name}"
                worst[name] = max(worst.get(name, 0), error)
                if not error <= WORST:
                    good = False
                    print(f"{case} ({len(a)} rows) {where}{name}: {mine}, not {value}")
    for name, error in worst.items():
        print(f"{name:28} {error:.1e}")
    print(f"{compared} numbers compared, worst difference {max(worst.values()):.1e}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
