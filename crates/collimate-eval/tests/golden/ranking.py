"""Makes ranking.json with NumPy and SciPy, independently of the Rust code.

    python3 ranking.py > ranking.json
"""

import itertools
import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(24011)

# Kendall's tau-b of lists with ties on both sides and without.
taus = []
for n, high in [(2, 9), (5, 3), (8, 4), (20, 6), (30, 1000)]:
    x = rng.integers(0, high, n).astype(float)
    y = rng.integers(0, high, n).astype(float)
    x[0], x[1], y[0], y[1] = 0.0, 1.0, 2.0, 0.0
    taus.append({"x": x.tolist(), "y": y.tolist(), "tau": float(stats.kendalltau(x, y).statistic)})

# Lists of 1 to 6 answers: scores 0 to 5 in thirds, ranks with ties.
lists = []
for index in range(40):
    k = 1 + index % 6
    ranks = np.arange(k).astype(float)
    if index % 5 == 4 and k > 1:
        ranks[1] = ranks[0]
    rng.shuffle(ranks)
    scores = np.clip(np.round(3 * (4.5 - ranks + rng.normal(0, 1.0, k))) / 3, 0, 5)
    if index % 7 == 3:
        scores[:] = 4.0
    lists.append((scores, -ranks))

pairs = correct = ties = exact = top = best = 0
rho, tau, long = [], [], 0
for scores, merits in lists:
    if len(scores) < 2:
        continue
    long += 1
    same = True
    for i, j in itertools.combinations(range(len(scores)), 2):
        same &= np.sign(scores[i] - scores[j]) == np.sign(merits[i] - merits[j])
        if merits[i] != merits[j]:
            pairs += 1
            product = (scores[i] - scores[j]) * (merits[i] - merits[j])
            correct += int(product > 0)
            ties += int(product == 0)
    exact += int(same)
    top += int((scores >= 5).sum())
    best += int(((scores >= 5) & (merits == merits.max())).sum())
    if np.ptp(scores) > 0 and np.ptp(merits) > 0:
        rho.append(stats.spearmanr(scores, merits).statistic)
        tau.append(stats.kendalltau(scores, merits).statistic)

print(json.dumps({
    "kendall": taus,
    "lists": [{"scores": s.tolist(), "merits": m.tolist()} for s, m in lists],
    "agreement": {
        "lists": long, "pairs": pairs, "correct": correct, "ties": ties,
        "pairwise": (correct + ties / 2) / pairs, "exact": exact, "exact_match": exact / long,
        "top": top, "top_best": best, "top_share": best / top, "correlated": len(rho),
        "spearman": float(np.mean(rho)), "kendall": float(np.mean(tau)),
    },
}, indent=1))
