"""Reads files and fits them, beside polars, pyarrow and scikit-learn: the table 1,000,000 x 33 in full precision as CSV and
Parquet, and a matrix that memory does not hold. Run it through run.sh --files. Both sides run in turn, each in a process of
its own; the median of several is compared, and every model must be certified before its time counts."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import peers

READ = {
    "csv": "import polars; frame = polars.read_csv(path)",
    "parquet": "import pyarrow.parquet; frame = polars.from_arrow(pyarrow.parquet.read_table(path))",
}
PEER = """
import sys, time, json, numpy as np, polars
path, fits = sys.argv[1], sys.argv[2] == "fit"
start = time.perf_counter()
{read}
reading = time.perf_counter() - start
if fits:
    from sklearn.linear_model import LogisticRegression
    x = frame.drop("y").to_numpy(); y = frame["y"].to_numpy()
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-6, max_iter=1000).fit(x, y)
    total = time.perf_counter() - start
    a = x @ model.coef_[0] + model.intercept_[0]
    r = 1 / (1 + np.exp(-a)) - y
    slope = max(np.abs(x.T @ r).max(), abs(r.sum())) / len(y)
else:
    total, slope = reading, 0.0
print(json.dumps(dict(reading=reading, total=total, slope=slope)))
"""


def table(folder: Path) -> dict[str, Path]:
    """The table as CSV and as Parquet, written once."""
    import polars

    paths = {ending: folder / f"table.{ending}" for ending in READ}
    if not all(path.exists() for path in paths.values()):
        x, y = peers.synthetic(1_000_000, 32, 0.5)
        x = x.astype(np.float64) + np.random.default_rng(0).normal(size=x.shape) * 1e-9
        frame = polars.DataFrame({f"x{j}": x[:, j] for j in range(x.shape[1])} | {"y": y.astype(np.int64)})
        frame.write_csv(paths["csv"])
        frame.write_parquet(paths["parquet"], compression="zstd")
    return paths


def train(gpulogit: str, *args: str) -> dict:
    model = ["--model", str(Path(args[0]).with_suffix(".model.json"))]
    ended = subprocess.run([gpulogit, "train", *args, *model, "--json"], capture_output=True, text=True)
    report = json.loads(ended.stdout) if ended.returncode == 0 else sys.exit(ended.stderr)
    assert report["status"] == "converged" and report["gradient_inf_norm_raw"] <= 1e-8, report["status"]
    return report


def compare(ending: str, path: Path, options: argparse.Namespace) -> None:
    program = PEER.format(read=READ[ending])
    rounds = []
    for _ in range(options.rounds):
        peer = [
            json.loads(subprocess.run([sys.executable, "-c", program, path, what], capture_output=True, check=True).stdout)
            for what in ("read", "fit")
        ]
        assert peer[1]["slope"] <= 1e-8, peer
        ours = train(options.gpulogit, str(path), "--target", "y", "--device", "cpu")
        rounds.append((peer[0]["reading"], peer[1]["total"], ours))
    reading, total = statistics.median(r[0] for r in rounds), statistics.median(r[1] for r in rounds)
    ours = [statistics.median(r[2]["seconds"][part] for r in rounds) for part in ("read", "total")]
    peak = max(r[2]["bytes"]["host_peak"] for r in rounds)
    matrix = 4 * 32 * 1_000_000
    name = "polars.read_csv" if ending == "csv" else "pyarrow.parquet.read_table"
    print(f"{ending}, {path.stat().st_size / 1e6:.0f} MB")
    print(f"  reading: {name} {reading:.2f} s, gpulogit {ours[0]:.2f} s ({reading / ours[0]:.2f} x)")
    print(f"  file to model: with scikit-learn's newton-cholesky {total:.2f} s, gpulogit {ours[1]:.2f} s ({total / ours[1]:.1f} x)")
    print(f"  peak memory {peak / 1e6:.0f} MB, {peak / matrix:.2f} of the f32 matrix", flush=True)


def beyond_memory(folder: Path, rows: int, options: argparse.Namespace) -> None:
    """A matrix of 256 columns with --memory 512M, beside the reading of as many bytes."""
    x_path, y_path, features = folder / f"large_{rows}.npy", folder / f"large_{rows}_y.npy", 256
    if not y_path.exists():
        rng = np.random.default_rng(1)
        x = np.lib.format.open_memmap(x_path, mode="w+", dtype="<f4", shape=(rows, features))
        w, y = rng.normal(size=features) / 16, np.empty(rows, dtype="<f4")
        for start in range(0, rows, 100_000):
            part = rng.standard_normal((min(100_000, rows - start), features), dtype=np.float32)
            x[start : start + len(part)] = part
            y[start : start + len(part)] = rng.random(len(part)) < 1 / (1 + np.exp(-(part @ w)))
        x.flush()
        np.save(y_path, y)
    for device in options.devices:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            report, again = [
                train(
                    options.gpulogit, str(x_path), "--target-file", str(y_path), "--device", device, "--memory", "512M",
                    "--device-memory", "64M", "--cache-dir", cache,
                )
                for _ in range(2)
            ]
        assert again["objective"] == report["objective"], "the kept rows are others"
        start = time.perf_counter()
        with open(x_path, "rb", buffering=0) as file:
            while file.readinto(bytearray(32 << 20)):
                pass
        once = time.perf_counter() - start
        seconds, passes, peak = report["seconds"], report["passes"], report["bytes"]
        packing = seconds["read"] + seconds["upload"]
        engine = sum(k["seconds"] for k in report["kernels"] if k["name"].startswith("loss_gradient"))
        pass_ = max(once, engine / passes)
        print(f"{rows:,} x {features}, --memory 512M --device-memory 64M, {device}")
        print(f"  total {seconds['total']:.1f} s = packing {packing:.1f} + solving {seconds['solve'] + seconds['verify']:.1f}; {passes} passes")
        print(f"  one reading of as many bytes {once:.2f} s, the engine's pass {engine / passes:.2f} s")
        print(f"  again, from the rows that were kept: {again['seconds']['total']:.1f} s")
        print(f"  total / (packing + passes x the slower) = {seconds['total'] / (packing + passes * pass_):.2f}")
        print(f"  peak memory {peak['host_peak'] / 1e6:.0f} MB, on the device {peak['device_peak'] / 1e6:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--gpulogit", required=True)
    parser.add_argument("--devices", nargs="+", default=["cpu", "gpu"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the matrix that memory does not hold")
    options = parser.parse_args()
    folder = options.place / "arrays"
    folder.mkdir(exist_ok=True)
    for ending, path in table(folder).items():
        compare(ending, path, options)
    beyond_memory(folder, options.rows, options)


if __name__ == "__main__":
    main()
