"""Makes eval.json with NumPy and SciPy, independently of the Rust code.

    python3 eval.py > eval.json
"""

import json

import numpy as np
from scipy import stats
from scipy.special import expit

rng = np.random.default_rng(20240607)


def f32(values):
    return np.asarray(values, dtype=np.float32).astype(np.float64)


# Scores of 60 pairs, some tied, some large.
chosen = f32(rng.normal(0.6, 1.5, 60).round(3))
rejected = f32(rng.normal(0.0, 1.5, 60).round(3))
rejected[[3, 17, 41]] = chosen[[3, 17, 41]]
chosen[5], rejected[5] = 40.0, -40.0
chosen[6], rejected[6] = -40.0, 40.0

gap = chosen - rejected
outcome = np.where(gap > 0, 1.0, np.where(gap == 0, 0.5, 0.0))
centre = 0.25
same = np.sign(chosen - centre) * np.sign(rejected - centre) > 0

q = expit(gap)
confidence = np.maximum(q, expit(-gap))
edges = np.linspace(0.5, 1.0, 11)
bin_of = np.clip(np.digitize(confidence, edges) - 1, 0, 9)
bins = []
ece = 0.0
for b in range(10):
    members = bin_of == b
    n = int(members.sum())
    conf = float(confidence[members].mean()) if n else 0.0
    acc = float(outcome[members].mean()) if n else 0.0
    ece += n / 60 * abs(acc - conf)
    bins.append({"count": n, "confidence": conf, "accuracy": acc})

x = rng.integers(0, 8, 40).astype(float)
y = (x + rng.normal(0, 3, 40)).round(1)

wilson = []
for k, n, level in [(0, 10, 0.95), (8, 10, 0.95), (10, 10, 0.9), (37, 120, 0.99), (5000, 9000, 0.95)]:
    ci = stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
    wilson.append({"k": k, "n": n, "level": level, "low": ci.low, "high": ci.high})

# The bootstrap mean of m ones among n zeros and ones is Binomial(n, m/n)/n: its exact quantiles.
# Cases where the cumulative probability is far from the tail, so that sampling cannot cross it.
binomial = []
for m, n, level in [(5, 10, 0.95), (4, 16, 0.9), (9, 12, 0.8)]:
    dist = stats.binom(n, m / n)
    tail = (1 - level) / 2
    low, high = dist.ppf(tail), dist.ppf(1 - tail)
    for edge, p in [(low, tail), (high, 1 - tail)]:
        assert dist.cdf(edge) - p > 0.008 and p - dist.cdf(edge - 1) > 0.008, (m, n, edge)
    binomial.append({"ones": m, "n": n, "level": level, "low": low / n, "high": high / n})

ps = [1e-300, 1e-20, 1e-8, 0.001, 0.02425, 0.074, 0.076, 0.25, 0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 1 - 1e-9]

print(json.dumps({
    "chosen": chosen.tolist(),
    "rejected": rejected.tolist(),
    "accuracy": {
        "correct": int((gap > 0).sum()),
        "ties": int((gap == 0).sum()),
        "accuracy": float(outcome.mean()),
    },
    "gap": {
        "centre": centre,
        "mean": float(gap.mean()),
        "mean_abs": float(np.abs(gap).mean()),
        "same_side": int(same.sum()),
        "mean_abs_same_side": float(np.abs(gap[same]).mean()),
    },
    "calibration": {
        "bins": bins,
        "ece": ece,
        "brier": float(((1 - q) ** 2).mean()),
        "log_loss": float(np.logaddexp(0, -gap).mean()),
    },
    "correlation": {
        "x": x.tolist(),
        "y": y.tolist(),
        "pearson": float(stats.pearsonr(x, y).statistic),
        "spearman": float(stats.spearmanr(x, y).statistic),
        "ranks": stats.rankdata(x).tolist(),
    },
    "wilson": wilson,
    "binomial": binomial,
    "normal_quantile": [[p, float(stats.norm.ppf(p))] for p in ps],
}, indent=1))
