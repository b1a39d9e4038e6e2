"""Makes ppo.json: advantages, KL estimates, losses, gradients and reward scalings of PPO.

    python3 ppo.py

Needs mpmath (1.3 was used). Every value is computed from its formula in 50-digit arithmetic and
rounded to double at the end. Every gradient is written by hand and compared with a numerical
derivative before it is stored; it is that of the sum over the tokens. Advantages, returns and old
values are constants in it.

All values are lists of numbers, options are lists of one. All inputs, options too, are exact in
single precision: 0.95 stands as 0.949999988079071, and the results are those of that number.
Decimal constants that are part of a formula (1e-8, 1e-4, the 0.2 of the KL controller) are the
decimals.

The variance is the unbiased one where it matters (whiten, grpo, scaling_running).
"""

import json
import math
import random
import struct
from pathlib import Path

from mpmath import diff, exp, expm1, log, mp, mpf, sqrt

mp.dps = 50
HERE = Path(__file__).parent
CASES = []


def f32(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def clip(x, low, high):
    return min(max(x, low), high)


def mean(x):
    return sum(x, mpf(0)) / len(x)


def variance(x):
    return sum(((v - mean(x)) ** 2 for v in x), mpf(0)) / (len(x) - 1)


def near(a, b):
    return abs(a - b) <= mpf(10) ** -40 * (1 + abs(b))


def slope(f, x, written, where):
    """The written derivative, after a look at the numerical one."""
    measured = diff(f, x)
    assert abs(written - measured) <= mpf(10) ** -20 * (1 + abs(measured) + abs(f(x))), (where, written, measured)
    return written


# One function a family: inputs by name (50 digits) to expected by name.


def gae(rewards, values, gamma, gae_lambda):
    (g,), (lam,) = gamma, gae_lambda
    following = values[1:] + [mpf(0)]
    delta = [r + g * n - v for r, v, n in zip(rewards, values, following)]
    advantages, last = [], mpf(0)
    for d in reversed(delta):
        last = d + g * lam * last
        advantages.insert(0, last)
    for t, a in enumerate(advantages):  # the same as one sum
        assert near(a, sum((g * lam) ** k * d for k, d in enumerate(delta[t:])))
    return {"advantages": advantages, "returns": [a + v for a, v in zip(advantages, values)]}


def whiten(values):
    return {"whitened": [(v - mean(values)) / sqrt(variance(values) + mpf("1e-8")) for v in values]}


def rloo(rewards):
    k = len(rewards)
    out = [r - mean(rewards[:i] + rewards[i + 1 :]) for i, r in enumerate(rewards)]
    for a, r in zip(out, rewards):
        assert near(a, (r - mean(rewards)) * k / (k - 1))
    return {"advantages": out}


def grpo(rewards, scale):
    by = sqrt(variance(rewards)) + mpf("1e-4") if scale[0] else mpf(1)
    return {"advantages": [(r - mean(rewards)) / by for r in rewards]}


def kl(policy_logps, reference_logps):
    out = {k: [] for k in ("k1", "k2", "k3", "grad.k1", "grad.k2", "grad.k3")}
    for p, r in zip(policy_logps, reference_logps):
        d = p - r
        estimates = {
            "k1": (lambda x: x - r, mpf(1)),
            "k2": (lambda x: (x - r) ** 2 / 2, d),
            "k3": (lambda x: expm1(r - x) + (x - r), -expm1(-d)),
        }
        for name, (f, written) in estimates.items():
            out[name].append(f(p))
            out[f"grad.{name}"].append(slope(f, p, written, (name, d)))
    return out


def token_rewards(policy_logps, reference_logps, kl_coef, score):
    rewards = [-kl_coef[0] * (p - r) for p, r in zip(policy_logps, reference_logps)]
    rewards[-1] += score[0]
    return {"rewards": rewards}


def policy_loss(logps, old_logps, advantages, clip_range, dual_clip):
    (e,), (c,) = clip_range, dual_clip
    assert c == 0 or c > 1
    out = {"loss": [], "grad.logps": [], "ratio": []}
    for p, old, a in zip(logps, old_logps, advantages):

        def loss(x):
            ratio = exp(x - old)
            clipped = max(-a * ratio, -a * clip(ratio, 1 - e, 1 + e))
            return min(clipped, -a * c) if c and a < 0 else clipped

        ratio = exp(p - old)
        for corner in (1 - e, 1 + e) + ((c,) if c else ()):
            assert abs(ratio - corner) > 1e-6, "no gradient at a corner"
        flat = ratio > 1 + e if a >= 0 else ratio < 1 - e or (c != 0 and ratio > c)
        written = mpf(0) if flat else -a * ratio
        out["loss"].append(loss(p))
        out["grad.logps"].append(slope(loss, p, written, (p, old, a)))
        out["ratio"].append(ratio)
    return out


def value_loss(values, old_values, returns, clip_range):
    (e,) = clip_range
    out = {"loss": [], "grad.values": []}
    for v, old, r in zip(values, old_values, returns):

        def loss(x):
            return max((x - r) ** 2, (clip(x, old - e, old + e) - r) ** 2) / 2

        held = clip(v, old - e, old + e)
        assert abs(abs(v - old) - e) > 1e-6, "no gradient at a corner"
        assert held == v or abs(abs(v - r) - abs(held - r)) > 1e-6, "a tie"
        free = held == v or abs(v - r) > abs(held - r)
        out["loss"].append(loss(v))
        out["grad.values"].append(slope(loss, v, v - r if free else mpf(0), (v, old, r)))
    return out


def adaptive_kl(kl_coef, target, horizon, sequences, kl):
    beta, out = kl_coef[0], []
    for k in kl:
        error = clip(k / target[0] - 1, -mpf("0.2"), mpf("0.2"))
        beta *= 1 + error * sequences[0] / horizon[0]
        out.append(beta)
    return {"kl_coef": out}


def scaling_sigmoid(scores, threshold, min, max):
    (c,), (low,), (high,) = threshold, min, max
    assert 0 <= c < 1
    out = []
    for x in scores:
        s = 1 / (1 + exp(-x))
        out.append(((s if s > c else c) - c) / (1 - c) * (high - low) + low)
    return {"scaled": out}


def scaling_symmetric(scores, limit, min, max):
    (c,), (low,), (high,) = limit, min, max
    return {"scaled": [(clip(x, -c, c) + c) / (2 * c) * (high - low) + low for x in scores]}


def scaling_running(scores, batches):
    out, seen = [], 0
    for n in map(int, batches):
        start, seen = seen, seen + n
        known = scores[:seen]
        deviation = sqrt(variance(known)) if seen > 1 else mpf(0)
        out += [(x - mean(known)) / (deviation + mpf("1e-8")) for x in scores[start:seen]]
    assert seen == len(scores)
    return {"scaled": out}


def explained_variance(values, returns):
    return {"explained_variance": [1 - variance([r - v for r, v in zip(returns, values)]) / variance(returns)]}


def double(v):
    out = float(v) + 0.0
    assert out == 0 or 1.2e-38 < abs(out) < 3.4e38, "not a single-precision number"
    return out


def case(family, what, near_to=None, within=1e-7, **inputs):
    """Adds a case. Inputs are rounded to single precision first; near_to is what is known of the results."""
    inputs = {k: [f32(v) for v in (x if isinstance(x, (list, tuple)) else [x])] for k, x in inputs.items()}
    expected = family(**{k: [mpf(v) for v in x] for k, x in inputs.items()})
    for key, known in (near_to or {}).items():
        assert len(known) == len(expected[key])
        for a, b in zip(known, expected[key]):
            assert abs(a - b) <= within, (family.__name__, what, key, a, b)
    expected = {k: [double(v) for v in x] for k, x in expected.items()}
    CASES.append({"name": f"{family.__name__}: {what}", "inputs": inputs, "expected": expected})


def keyed(name):
    """Random numbers that hang on the name only, so that a new case leaves the others as they are."""
    return random.Random(name)


def normals(rng, n, center=0.0, spread=1.0):
    return [rng.gauss(center, spread) for _ in range(n)]


# gae

REWARDS, VALUES = [-0.01, 0.02, -0.005, 1.0], [0.1, 0.2, 0.3, 0.4]
case(gae, "methods", {"advantages": [0.8041625, 0.75175, 0.665, 0.6], "returns": [0.9041625, 0.95175, 0.965, 1.0]},
     rewards=REWARDS, values=VALUES, gamma=1, gae_lambda=0.95)
# lambda 1: the sum of the rewards to come less the value; lambda 0: the one-step error.
case(gae, "methods, lambda 1", {"advantages": [0.905, 0.815, 0.695, 0.6], "returns": [1.005, 1.015, 0.995, 1.0]},
     rewards=REWARDS, values=VALUES, gamma=1, gae_lambda=1)
case(gae, "methods, lambda 0", {"advantages": [0.09, 0.12, 0.095, 0.6]},
     rewards=REWARDS, values=VALUES, gamma=1, gae_lambda=0)
case(gae, "methods, gamma 0.9", {"advantages": [0.5621722, 0.57564, 0.568, 0.6]},
     rewards=REWARDS, values=VALUES, gamma=0.9, gae_lambda=0.95, within=2e-7)
case(gae, "gamma 0", rewards=REWARDS, values=VALUES, gamma=0, gae_lambda=0.95)
case(gae, "one token", {"advantages": [0.5], "returns": [0.75]}, rewards=0.75, values=0.25, gamma=0.99, gae_lambda=0.95)
rng = keyed("gae: random")
case(gae, "random", rewards=normals(rng, 12), values=normals(rng, 12), gamma=0.99, gae_lambda=0.9)
rng = keyed("gae: long, a score at the end")
case(gae, "long, a score at the end", rewards=[0] * 39 + [2.5], values=normals(rng, 40, 0.5, 0.25), gamma=1,
     gae_lambda=0.95)
case(gae, "large and small", rewards=[1e4, -1e4, 1e-6, 0, 3e5], values=[-2e4, 1e-3, 5e4, 0, 1e5], gamma=0.995,
     gae_lambda=0.97)

# whiten

case(whiten, "methods", {"whitened": [-1.161895, -0.387298, 0.387298, 1.161895]}, values=[1, 2, 3, 4], within=1e-6)
case(whiten, "two values", values=[-0.25, 1.75])
case(whiten, "equal values", {"whitened": [0, 0, 0]}, values=[0.5, 0.5, 0.5])
# Variance near 1e-8: what is added to it counts, and is under the root.
case(whiten, "close values", values=[1e-4, -1e-4, 5e-5, 0, -1.5e-4])
case(whiten, "far from zero", values=[1024, 1024.5, 1023.5, 1025, 1022.75, 1024.25])
case(whiten, "random", values=normals(keyed("whiten: random"), 17, 0.3, 2))

# rloo

case(rloo, "methods", {"advantages": [1, -1 / 3, -1 / 3, -1 / 3]}, rewards=[1, 0, 0, 0])
case(rloo, "two", {"advantages": [1.25, -1.25]}, rewards=[0.5, -0.75])
case(rloo, "equal", {"advantages": [0, 0, 0]}, rewards=[0.7, 0.7, 0.7])
case(rloo, "large and small", rewards=[1e6, -1e6, 0.5, 0.25])
case(rloo, "random", rewards=normals(keyed("rloo: random"), 8, -1, 3))

# grpo

case(grpo, "methods", {"advantages": [1.4997, -0.4999, -0.4999, -0.4999]}, rewards=[1, 0, 0, 0], scale=1, within=1e-4)
case(grpo, "methods, no scale", {"advantages": [0.75, -0.25, -0.25, -0.25]}, rewards=[1, 0, 0, 0], scale=0)
case(grpo, "two", rewards=[0.5, -0.75], scale=1)
case(grpo, "equal", {"advantages": [0, 0, 0, 0]}, rewards=[0.5, 0.5, 0.5, 0.5], scale=1)
case(grpo, "equal, not dyadic", {"advantages": [0, 0, 0]}, rewards=[0.7, 0.7, 0.7], scale=1)
case(grpo, "equal, no scale", {"advantages": [0, 0, 0, 0]}, rewards=[-2, -2, -2, -2], scale=0)
# Deviation near 1e-4: what is added to it counts, and is outside the root.
case(grpo, "close", rewards=[1e-4, -1e-4, 5e-5, 0], scale=1)
rewards = normals(keyed("grpo: random"), 8, 1, 2)
case(grpo, "random", rewards=rewards, scale=1)
case(grpo, "random, no scale", rewards=rewards, scale=0)

# kl

case(kl, "methods", {"k1": [0.5, -1, 0], "k2": [0.125, 0.5, 0], "k3": [0.10653066, 0.71828183, 0],
                     "grad.k2": [0.5, -1, 0], "grad.k3": [0.39346934, -1.71828183, 0]},
     policy_logps=[-1, -3, -2], reference_logps=[-1.5, -2, -2])
case(kl, "one token", policy_logps=-0.125, reference_logps=-2.75)
# Half the square, but for a factor 1 - d/3: no room for a difference of two numbers near 1.
case(kl, "close",
     policy_logps=[-1 + 2**-20, -1, -1 + 2**-24, -0.5 - 2**-24, -8 + 2**-20, -4 + 2**-12, -4 - 2**-7, -0.25],
     reference_logps=[-1, -1 + 2**-20, -1, -0.5, -8, -4, -4, -0.25 + 2**-15])
case(kl, "far", policy_logps=[-0.5, -80.5, -0.03125, -20, -60, -5], reference_logps=[-80.5, -0.5, -30, -0.5, -45, -85])
rng = keyed("kl: random")
reference = [-rng.expovariate(0.5) for _ in range(12)]
policy = [min(r + rng.gauss(0, 0.5), -0.001) for r in reference]
case(kl, "random", policy_logps=policy, reference_logps=reference)

# token_rewards

case(token_rewards, "methods", {"rewards": [-0.05, 0.1, 1.5]},
     policy_logps=[-1, -3, -2], reference_logps=[-1.5, -2, -2], kl_coef=0.1, score=1.5)
case(token_rewards, "one token", {"rewards": [-1.125]}, policy_logps=-1.5, reference_logps=-1, kl_coef=0.25,
     score=-1.25)
case(token_rewards, "no penalty", {"rewards": [0, 0, -3]},
     policy_logps=[-1, -3, -2], reference_logps=[-1.5, -2, -7], kl_coef=0, score=-3)
case(token_rewards, "far", policy_logps=[-0.5, -80.5, -1], reference_logps=[-80.5, -0.5, -1 + 2**-20], kl_coef=0.5,
     score=1e4)
case(token_rewards, "random", policy_logps=policy, reference_logps=reference, kl_coef=0.05, score=0.8125)

# policy_loss


def at_ratios(ratios, old):
    """Log-probabilities at which the ratios to old come out, up to single precision."""
    return {"logps": [float(o + log(mpf(r))) for r, o in zip(ratios, old)], "old_logps": old}


FOUR = {"advantages": [1, -1, 1, -1]} | at_ratios([1.5, 1.5, 0.5, 0.5], [-2, -2, -1, -1])
case(policy_loss, "methods", {"loss": [-1.2, 1.5, -0.5, 0.8], "grad.logps": [0, 1.5, -0.5, 0],
                              "ratio": [1.5, 1.5, 0.5, 0.5]}, within=2e-7, clip_range=0.2, dual_clip=0, **FOUR)
case(policy_loss, "one token", {"loss": [-2], "grad.logps": [-2], "ratio": [1]},
     logps=-1.25, old_logps=-1.25, advantages=2, clip_range=0.2, dual_clip=0)
ratios, old = [1.1999, 1.2001, 0.7999, 0.8001] * 2, [-0.5, -1, -0.75, -1.5] * 2
case(policy_loss, "near the bounds", advantages=[2, 2, 2, 2, -3, -3, -3, -3], clip_range=0.2, dual_clip=0,
     **at_ratios(ratios, old))
case(policy_loss, "no advantage", {"loss": [0, 0, 0], "grad.logps": [0, 0, 0]},
     logps=[-1, -0.5, -3], old_logps=[-1.0625, -1.5, -1], advantages=[0, 0, 0], clip_range=0.2, dual_clip=0)
FAR = {"logps": [-0.5, -0.5, -60.5, -60.5, -0.25, -20.25], "old_logps": [-60.5, -60.5, -0.5, -0.5, -20.25, -0.25],
       "advantages": [3, -3, 3, -3, -1e-3, 1e3], "clip_range": 0.2}
case(policy_loss, "far", dual_clip=0, **FAR)
case(policy_loss, "far, dual clip", dual_clip=3, **FAR)
case(policy_loss, "dual clip", {"loss": [6, 5.8, 6, -2.4, 1.6, 2, -1, 2.6],
                                "grad.logps": [0, 5.8, 0, 0, 0, 2, -1, 2.6]},
     within=2e-6, clip_range=0.2, dual_clip=3, advantages=[-2, -2, -2, 2, -2, -2, 2, -2],
     **at_ratios([5, 2.9, 3.1, 5, 0.5, 1, 0.5, 1.3], [-2, -2, -2, -2, -1, -1, -1, -1]))
rng = keyed("policy_loss: random")
old = [-rng.expovariate(0.5) for _ in range(16)]
RANDOM = {"old_logps": old, "logps": [min(o + rng.gauss(0, 0.5), -0.001) for o in old],
          "advantages": normals(rng, 16)}
case(policy_loss, "random", clip_range=0.2, dual_clip=0, **RANDOM)
case(policy_loss, "random, dual clip", clip_range=0.1, dual_clip=1.25, **RANDOM)

# value_loss

case(value_loss, "methods", {"loss": [0.125], "grad.values": [0]}, values=0.9, old_values=0.5, returns=1.2,
     clip_range=0.2)
# Old value 0.5: inside the clip; outside with the plain error the larger; outside with the clipped the larger.
case(value_loss, "sides", {"loss": [0.245, 0.605, 0.125, 0.32, 0.32, 0.08, 0.02, 0],
                           "grad.values": [-0.7, 1.1, 0, -0.8, 0, -0.4, 0.2, 0]},
     within=1e-6, values=[0.5, 0.9, 0.9, 0.1, 0.1, 0.6, 0.4, 0.6], old_values=[0.5] * 8,
     returns=[1.2, -0.2, 1.2, 0.9, -0.5, 1, 0.2, 0.6], clip_range=0.2)
case(value_loss, "far", values=[1e4, -1e4, 1e4, 0.5, 1e-4], old_values=[0, 0, 1e4, -5e3, 0],
     returns=[-1e4, -2e4, 1e4, 5e3, 2e-4], clip_range=0.2)
rng = keyed("value_loss: random")
old = normals(rng, 12)
case(value_loss, "random", values=[o + rng.gauss(0, 0.4) for o in old], old_values=old,
     returns=[o + rng.gauss(0, 0.7) for o in old], clip_range=0.2)
case(value_loss, "wide clip", values=[o + rng.gauss(0, 0.4) for o in old], old_values=old,
     returns=[o + rng.gauss(0, 0.7) for o in old], clip_range=100)

# adaptive_kl

START = {"kl_coef": 0.2, "target": 6, "horizon": 1e4, "sequences": 128}
case(adaptive_kl, "methods, kl 12", {"kl_coef": [0.200512]}, kl=12, **START)
case(adaptive_kl, "methods, kl 6.6", {"kl_coef": [0.200256]}, kl=6.6, **START)
case(adaptive_kl, "methods, kl 0", {"kl_coef": [0.199488]}, kl=0, **START)
case(adaptive_kl, "on target", {"kl_coef": [0.2, 0.2]}, kl=[6, 6], **START)
case(adaptive_kl, "one after the other", kl=[0.5, 5.9, 6.3, 20, -3, 7, 1000, 4.7, 5.5, 0], kl_coef=0.05, target=6,
     horizon=1e4, sequences=512)
case(adaptive_kl, "fast", kl=[8, 1, 1.1, 0.95, 0, 0, 3], kl_coef=0.5, target=1, horizon=64, sequences=256)

# scaling_sigmoid


def logit(s):
    return float(log(mpf(s) / (1 - mpf(s))))


case(scaling_sigmoid, "methods", {"scaled": [-1, 0, 1]}, scores=[logit("0.4"), logit("0.75"), 50], threshold=0.5,
     min=-1, max=1)
case(scaling_sigmoid, "methods, threshold 0", {"scaled": [0.2]}, scores=logit("0.6"), threshold=0, min=-1, max=1)
SCORES = [-90, -12, -1.5, -0.001, 0, 0.001, 0.75, 2, 12, 90]
case(scaling_sigmoid, "far", scores=SCORES, threshold=0.5, min=-1, max=1)
case(scaling_sigmoid, "far, threshold 0", scores=[-40] + SCORES[1:], threshold=0, min=0, max=1)
case(scaling_sigmoid, "random", scores=normals(keyed("scaling_sigmoid: random"), 10, 0.5, 2), threshold=0.6, min=-0.5,
     max=2)

# scaling_symmetric

case(scaling_symmetric, "methods", {"scaled": [-1, -1, -0.5, 0, 0.25, 1, 1]}, scores=[-20, -10, -5, 0, 2.5, 10, 11],
     limit=10, min=-1, max=1)
case(scaling_symmetric, "one score", {"scaled": [0.625]}, scores=0.5, limit=2, min=0, max=1)
case(scaling_symmetric, "far", scores=[1e6, -1e6, 3e38, -3e38, 1e-6], limit=5, min=-3, max=0.5)
case(scaling_symmetric, "random", scores=normals(keyed("scaling_symmetric: random"), 10, 0.5, 3), limit=3.3, min=-0.7,
     max=1.9)

# scaling_running

case(scaling_running, "methods", {"scaled": [-1, 0, 1, 1.5 / math.sqrt(5 / 3)]}, scores=[1, 2, 3, 4], batches=[3, 1])
case(scaling_running, "one score", {"scaled": [0]}, scores=0.7, batches=1)
case(scaling_running, "one by one", scores=[0.5, 2, -1, 0.25, 8], batches=[1, 1, 1, 1, 1])
case(scaling_running, "equal, then not", scores=[1.5, 1.5, 1.5, 1.5, 2.5, 1.5], batches=[1, 2, 3])
case(scaling_running, "far from zero", scores=[1024, 1024.5, 1023.5, 1025, 1022.75, 1024.25, 1e-3, -4096],
     batches=[4, 2, 2])
case(scaling_running, "random", scores=normals(keyed("scaling_running: random"), 20, -2, 3), batches=[4, 1, 7, 8])

# explained_variance

case(explained_variance, "methods", {"explained_variance": [0.875]}, values=[1, 2, 3, 4], returns=[1, 3, 3, 5])
case(explained_variance, "perfect", {"explained_variance": [1]}, values=[1, 2, -3, 0.5], returns=[1, 2, -3, 0.5])
case(explained_variance, "shifted", {"explained_variance": [1]}, values=[1, 2, -3, 0.5], returns=[3, 4, -1, 2.5])
case(explained_variance, "constant values", {"explained_variance": [0]}, values=[0.5, 0.5, 0.5], returns=[1, -2, 0.25])
case(explained_variance, "worse than none", {"explained_variance": [-3]}, values=[-1, -2, 3], returns=[1, 2, -3])
case(explained_variance, "two", values=[0.25, 1], returns=[0.5, 2])
rng = keyed("explained_variance: random")
returns = normals(rng, 16, 1, 2)
case(explained_variance, "random", values=[0.8 * r + rng.gauss(0, 0.7) for r in returns], returns=returns)


def write():
    """One list a line."""
    assert len({c["name"] for c in CASES}) == len(CASES), "two cases of one name"
    blocks = []
    for c in CASES:
        assert all(f32(v) == v for x in c["inputs"].values() for v in x), c["name"]
        parts = [
            f'  "{part}": {{\n' + ",\n".join(f'   "{k}": {line(v)}' for k, v in c[part].items()) + "\n  }"
            for part in ("inputs", "expected")
        ]
        blocks.append(" {\n" + f'  "name": {json.dumps(c["name"])},\n' + ",\n".join(parts) + "\n }")
    text = "[\n" + ",\n".join(blocks) + "\n]\n"
    assert json.loads(text) == CASES and len(text) < 60_000, len(text)
    (HERE / "ppo.json").write_text(text)
    print("ppo.json", len(CASES), "cases,", len(text), "bytes")


line = json.JSONEncoder(separators=(",", ":")).encode
write()
