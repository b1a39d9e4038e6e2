"""NumPy anchor: ranking N implicit reward margins.

    python rank_margins.py [N] [--rising]

The same numbers as the example `rank_margins` of collimate-irm. Times `argpartition` alone, which
leaves the indices in no order; with `--rising` their sort and the gathering of the scores too, as a
selection lists them. Prints one JSON line; `seconds` is the median of 5.
"""

import argparse
import json
import time

import numpy as np


def margins(n):
    """SplitMix64 of 0..n, of which 28 bits are used: uniform in [-4, 4), with exact sums."""
    out = np.empty(n)
    for start in range(0, n, 1 << 20):  # in blocks, so that the peak memory is the ranking's
        part = out[start : start + (1 << 20)]
        z = np.arange(start + 1, start + 1 + len(part), dtype=np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        z >>= np.uint64(36)
        part[:] = z.astype(np.float64) / 2.0**25 - 4.0
    return out


def peak_rss_mb():
    with open("/proc/self/status") as f:
        kib = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    return round(kib / 1024, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--rising", action="store_true", help="indices in rising order, with their scores")
    args = parser.parse_args()
    scores = margins(args.n)
    k = int(0.7 * args.n + 0.5)
    seconds = []
    for _ in range(5):
        index = kept = None
        start = time.perf_counter()
        index = np.argpartition(scores, args.n - k)[args.n - k :]
        if args.rising:
            index = np.sort(index)
            kept = scores[index]
        seconds.append(time.perf_counter() - start)
    kept = scores[index] if kept is None else kept
    line = {
        "n": args.n,
        "k": k,
        "seconds": sorted(seconds)[2],
        "peak_rss_mb": peak_rss_mb(),
        "kept_sum": float(kept.sum()),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
