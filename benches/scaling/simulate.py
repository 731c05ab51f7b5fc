#!/usr/bin/env python3
"""What a fit on N ranks takes: the cost model of docs/scaling.md, simulated. Prints its tables.

A pass is a request from rank 0 to all, the ranks' own reads of their rows (each a little slower or faster than the others, drawn
anew each time), and a sum along a tree, in which each rank waits for the later of the two it adds up. Nothing but Python is needed.
"""

import math
import random

# Passes of a fit (tests/passes.rs); the rest are assumptions: seconds that a request's encoding and decoding take for each parameter, and
# those of what rank 0 does alone.
PASSES = 6
REQUEST_PER_PARAMETER = 0.15e-6
SAMPLE_SECONDS = 1.3

# Assumed of a cluster: its network, what the storage gives each node and all of them, and what a rank reads of X in a second.
LATENCY = 5e-6
NETWORK = 10e9
STORAGE_OF_NODE = 2e9
STORAGE_OF_ALL = 200e9
DEVICES = {"CPU, 16 cores": (80e9, 256e9), "GPU, 80 GB": (1.2e12, 64e9)}
JITTER = 0.03
FEATURES = 64
SEED = 1


def tree(ready, payload):
    """When rank 0 has the sum, given when each rank has its part."""
    times, apart = list(ready), 1
    step = LATENCY + payload / NETWORK
    while apart < len(times):
        for rank in range(0, len(times) - apart, 2 * apart):
            times[rank] = max(times[rank], times[rank + apart]) + step
        apart *= 2
    return times[0]


def one_pass(ranks, seconds, width, random_):
    """Seconds of a pass: request, reads, sum."""
    steps = math.ceil(math.log2(ranks)) if ranks > 1 else 0
    # A length, then the numbers as text.
    told = steps * (2 * LATENCY + 20 * width / NETWORK) + REQUEST_PER_PARAMETER * width
    ready = [told + seconds * max(0.5, random_.gauss(1.0, JITTER)) for _ in range(ranks)]
    return tree(ready, 8 * (width + 2))


def fit(total, ranks, device):
    """Seconds of reading, of the passes, and of what only rank 0 does."""
    rate, memory = DEVICES[device]
    random_ = random.Random(SEED)
    here = total / ranks
    width = FEATURES + 1
    read = total / min(STORAGE_OF_ALL, STORAGE_OF_NODE * ranks)
    # What memory does not hold is read from the node's storage in each pass.
    away = max(0.0, here - memory)
    seconds = (here - away) / rate + away / STORAGE_OF_NODE
    passes = sum(one_pass(ranks, seconds, width, random_) for _ in range(PASSES))
    sample = 65_536 * (width + 2) * 8 / NETWORK + SAMPLE_SECONDS if ranks > 1 else SAMPLE_SECONDS
    return read, passes, sample


def main():
    for total, name in [(1e12, "1 TB"), (100e12, "100 TB")]:
        for device in DEVICES:
            print(f"\n{name} of f32, {FEATURES} features ({total / 4 / FEATURES:.1e} rows), {device}\n")
            print("| ranks | reading | passes | rank 0 alone | fit | a pass | of it reads of X |")
            print("|---|---|---|---|---|---|---|")
            for ranks in [1, 4, 16, 64, 256, 1024]:
                read, passes, sample = fit(total, ranks, device)
                rate, memory = DEVICES[device]
                here = total / ranks
                away = max(0.0, here - memory)
                alone = (here - away) / rate + away / STORAGE_OF_NODE
                a_pass = passes / PASSES
                print(
                    f"| {ranks:,} | {read:,.0f} s | {passes:,.2f} s | {sample:.1f} s | {read + passes + sample:,.0f} s "
                    f"| {a_pass * 1e3:,.1f} ms | {min(1.0, alone / a_pass):.0%} |"
                )


if __name__ == "__main__":
    main()
