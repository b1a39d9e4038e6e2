"""Makes direct.json, token_means.json and unpaired.json: values and gradients of the direct alignment losses.

    python3 direct.py

Needs mpmath (1.3 was used). Every loss is written from its formula in 50-digit arithmetic and
rounded to double at the end. Every gradient is written by hand and compared with a numerical
derivative before it is stored.

Names: w chosen, l rejected; pw, pl the policy's summed log-probabilities; lw, ll log-ratios,
policy minus reference; nw, nl token counts. Gradients are those of the sum over the batch of the
per-pair losses. What a loss detaches (the shift of BCO, z of KTO) is held fixed in them. The
losses of AOT are listed in ascending order of the sorted sample, not by pair; its gradients and
all rewards are by pair. All inputs are exact in single precision.
"""

import json
import math
import random
import struct
from pathlib import Path

from mpmath import diff, exp, expm1, log, log1p, mp, mpf

mp.dps = 50
HERE = Path(__file__).parent


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def sig(x):
    return 1 / (1 + exp(-x))


def bell(x):
    """The derivative of sig."""
    return sig(x) * sig(-x)


def logsig(x):
    return -log1p(exp(-x))


def dec(x):
    """An option as the decimal that is printed: 0.1 is one tenth."""
    return mpf(repr(x))


# Each pair loss has a value function and a function of its two derivatives, both of (options, pair).


def score(kind, u):
    """f'(ratio) of the divergence, up to a constant that cancels, and its derivative in u = log ratio."""
    if kind == "reverse_kl":
        return u, mpf(1)
    if kind == "forward_kl":
        return 1 - exp(-u), exp(-u)
    if kind == "jensen_shannon":
        return log(2) + logsig(u), sig(-u)
    c = dec(kind["alpha"]["coefficient"]) - 1
    return (expm1(c * u) / c, exp(c * u)) if c else (u, mpf(1))


def dpo(o, p):
    x = o["beta"] * (score(o["divergence"], p.lw)[0] - score(o["divergence"], p.ll)[0])
    return -(1 - o["label_smoothing"]) * logsig(x) - o["label_smoothing"] * logsig(-x)


def dpo_grad(o, p):
    (sw, dw), (sl, dl) = score(o["divergence"], p.lw), score(o["divergence"], p.ll)
    x = o["beta"] * (sw - sl)
    pull = (1 - o["label_smoothing"]) * sig(-x) - o["label_smoothing"] * sig(x)
    return -o["beta"] * pull * dw, o["beta"] * pull * dl


def rdpo(o, p):
    e, x = o["label_smoothing"], o["beta"] * (p.lw - p.ll)
    return (-(1 - e) * logsig(x) + e * logsig(-x)) / (1 - 2 * e)


def rdpo_grad(o, p):
    e, x = o["label_smoothing"], o["beta"] * (p.lw - p.ll)
    pull = o["beta"] * ((1 - e) * sig(-x) + e * sig(x)) / (1 - 2 * e)
    return -pull, pull


def ipo_parts(o, p):
    nw, nl = (p.nw, p.nl) if o["normalization"] == "mean" else (1, 1)
    return p.lw / nw - p.ll / nl - 1 / (2 * o["beta"]), mpf(1) / nw, mpf(1) / nl


def ipo(o, p):
    return ipo_parts(o, p)[0] ** 2


def ipo_grad(o, p):
    miss, cw, cl = ipo_parts(o, p)
    return 2 * miss * cw, -2 * miss * cl


def slic_slack(o, p):
    gap = p.lw - p.ll if o["reference"] == "used" else p.pw - p.pl
    slack = o["delta"] - o["beta"] * gap
    assert abs(slack) > 1e-3, "a pair at the corner of the hinge has no gradient"
    return slack


def slic(o, p):
    return max(mpf(0), slic_slack(o, p)) - o["nll_weight"] * p.pw


def slic_grad(o, p):
    pull = o["beta"] if slic_slack(o, p) > 0 else mpf(0)
    return -pull - o["nll_weight"], pull


def simpo(o, p):
    return -logsig(o["beta"] * (p.pw / p.nw - p.pl / p.nl) - o["gamma"])


def simpo_grad(o, p):
    pull = o["beta"] * sig(-(o["beta"] * (p.pw / p.nw - p.pl / p.nl) - o["gamma"]))
    return -pull / p.nw, pull / p.nl


def dpo_norm(o, p):
    return -logsig(o["beta"] * (p.lw / p.nw - p.ll / p.nl))


def dpo_norm_grad(o, p):
    pull = o["beta"] * sig(-o["beta"] * (p.lw / p.nw - p.ll / p.nl))
    return -pull / p.nw, pull / p.nl


def logit(a):
    """Log-odds of an event of log-probability a."""
    return a - log(-expm1(a))


def orpo(o, p):
    return -p.pw / p.nw - o["lambda"] * logsig(logit(p.pw / p.nw) - logit(p.pl / p.nl))


def orpo_grad(o, p):
    aw, al = p.pw / p.nw, p.pl / p.nl
    pull = o["lambda"] * sig(logit(al) - logit(aw))
    return (-1 + pull / expm1(aw)) / p.nw, -pull / expm1(al) / p.nl


def spin(o, p):
    return -logsig(o["beta"] * (p.lw - p.ll))


def spin_grad(o, p):
    pull = o["beta"] * sig(-o["beta"] * (p.lw - p.ll))
    return -pull, pull


def exo(o, p):
    """KL from the policy's two-way choice to the smoothed label (1 - e, e)."""
    x = o["beta"] * (p.lw - p.ll)
    return sig(x) * (logsig(x) - log(1 - o["label_smoothing"])) + sig(-x) * (logsig(-x) - log(o["label_smoothing"]))


def exo_grad(o, p):
    x = o["beta"] * (p.lw - p.ll)
    pull = o["beta"] * bell(x) * (x - logit(log(1 - o["label_smoothing"])))
    return pull, -pull


def nca(o, p):
    rw, rl = o["beta"] * p.lw, o["beta"] * p.ll
    return -logsig(rw) - logsig(-rw) / 2 - logsig(-rl) / 2


def nca_grad(o, p):
    rw, rl = o["beta"] * p.lw, o["beta"] * p.ll
    return o["beta"] * (sig(rw) / 2 - sig(-rw)), o["beta"] * sig(rl) / 2


def sppo(o, p):
    return (p.lw - 1 / (2 * o["beta"])) ** 2 + (p.ll + 1 / (2 * o["beta"])) ** 2


def sppo_grad(o, p):
    return 2 * p.lw - 1 / o["beta"], 2 * p.ll + 1 / o["beta"]


def bco(o, p):
    return -logsig(o["beta"] * p.lw - p.shift) - logsig(p.shift - o["beta"] * p.ll)


def bco_grad(o, p):
    return -o["beta"] * sig(p.shift - o["beta"] * p.lw), o["beta"] * sig(o["beta"] * p.ll - p.shift)


def apo_zero(o, p):
    return sig(-o["beta"] * p.lw) + sig(o["beta"] * p.ll)


def apo_zero_grad(o, p):
    return -o["beta"] * bell(o["beta"] * p.lw), o["beta"] * bell(o["beta"] * p.ll)


def apo_down(o, p):
    return sig(o["beta"] * p.lw) + sig(o["beta"] * (p.ll - p.lw))


def apo_down_grad(o, p):
    push = o["beta"] * bell(o["beta"] * (p.lw - p.ll))
    return o["beta"] * bell(o["beta"] * p.lw) - push, push


def discopop(o, p):
    """Logistic loss and exponential loss, mixed by a sigmoid of the margin."""
    x = o["beta"] * (p.lw - p.ll)
    return -sig(-x / o["temperature"]) * logsig(x) + sig(x / o["temperature"]) * exp(-x)


def discopop_grad(o, p):
    x, t = o["beta"] * (p.lw - p.ll), o["temperature"]
    slope = bell(x / t) / t * (logsig(x) + exp(-x)) - sig(-x / t) * sig(-x) - sig(x / t) * exp(-x)
    return o["beta"] * slope, -o["beta"] * slope


PAIR = {
    "dpo": (dpo, dpo_grad), "rdpo": (rdpo, rdpo_grad), "ipo": (ipo, ipo_grad), "slic_hf": (slic, slic_grad),
    "simpo": (simpo, simpo_grad), "orpo": (orpo, orpo_grad), "spin": (spin, spin_grad), "exo": (exo, exo_grad),
    "nca": (nca, nca_grad), "sppo": (sppo, sppo_grad), "bco": (bco, bco_grad), "apo_zero": (apo_zero, apo_zero_grad),
    "apo_down": (apo_down, apo_down_grad), "discopop": (discopop, discopop_grad), "dpo_norm": (dpo_norm, dpo_norm_grad),
}

DEFAULTS = {
    "dpo": {"beta": 0.1, "label_smoothing": 0.0, "divergence": "reverse_kl"},
    "rdpo": {"beta": 0.1, "label_smoothing": 0.1},
    "ipo": {"beta": 0.1, "normalization": "sum"},
    "slic_hf": {"beta": 0.1, "delta": 1.0, "nll_weight": 0.0, "reference": "used"},
    "simpo": {"beta": 2.0, "gamma": 0.5},
    "orpo": {"lambda": 0.1},
    "spin": {"beta": 0.1},
    "exo": {"beta": 0.1, "label_smoothing": 1e-3},
    "nca": {"beta": 0.1},
    "sppo": {"beta": 0.1},
    "bco": {"beta": 0.1, "shift": "none"},
    "apo_zero": {"beta": 0.1},
    "apo_down": {"beta": 0.1},
    "aot": {"beta": 0.1, "label_smoothing": 0.0, "pairing": "unpaired"},
    "discopop": {"beta": 0.1, "temperature": 0.05},
    "dpo_norm": {"beta": 5.0},
}


class Pair:
    """One pair in 50 digits, with the detached shift of its batch."""

    def __init__(self, pw, pl, rw, rl, nw, nl, shift=None):
        self.pw, self.pl, self.nw, self.nl, self.shift = mpf(pw), mpf(pl), nw, nl, shift
        self.lw, self.ll = self.pw - mpf(rw), self.pl - mpf(rl)
        self.rest = (rw, rl, nw, nl, shift)

    def moved(self, pw, pl):
        return Pair(pw, pl, *self.rest)


def order(values):
    """Indices in ascending order. Equal values would leave the gradient open."""
    assert len(set(values)) == len(values), "ties"
    return sorted(range(len(values)), key=values.__getitem__)


def aot(o, pairs):
    """Losses in ascending order of the two sorted samples, gradients by pair."""
    n, e = len(pairs), o["label_smoothing"]
    if o["pairing"] == "paired":  # margins of the policy against margins of the reference
        high = [p.pw - p.pl for p in pairs]
        low = [mpf(p.rest[0]) - mpf(p.rest[1]) for p in pairs]
    else:  # log-ratios of the chosen against log-ratios of the rejected
        high, low = [p.lw for p in pairs], [p.ll for p in pairs]
    loss, on_high, on_low = [], [mpf(0)] * n, [mpf(0)] * n
    for i, j in zip(order(high), order(low)):
        x = o["beta"] * (high[i] - low[j])
        loss.append(-(1 - e) * logsig(x) - e * logsig(-x))
        pull = o["beta"] * ((1 - e) * sig(-x) - e * sig(x))
        on_high[i], on_low[j] = -pull, pull
    if o["pairing"] == "paired":
        return loss, on_high, [-g for g in on_high]
    return loss, on_high, on_low


def rewards(kind, o, pairs):
    if kind == "simpo":
        return [o["beta"] * p.pw / p.nw for p in pairs], [o["beta"] * p.pl / p.nl for p in pairs]
    if kind == "dpo_norm":
        return [o["beta"] * p.lw / p.nw for p in pairs], [o["beta"] * p.ll / p.nl for p in pairs]
    if kind == "orpo":
        return [o["lambda"] * p.pw / p.nw for p in pairs], [o["lambda"] * p.pl / p.nl for p in pairs]
    if o.get("reference") == "none":
        return [o["beta"] * p.pw for p in pairs], [o["beta"] * p.pl for p in pairs]
    return [o["beta"] * p.lw for p in pairs], [o["beta"] * p.ll for p in pairs]


def same(written, measured, scale, where):
    assert abs(written - measured) <= 1e-20 * (abs(measured) + scale + 1), (where, written, measured)


def doubles(values):
    out = [float(v) + 0.0 for v in values]
    assert all(abs(v) < 3.4e38 for v in out), "not a single-precision number"
    return out


def exact(options):
    return {k: dec(v) if isinstance(v, float) else v for k, v in options.items()}


def case(kind, name, batch, anchor=0.0, **changed):
    """One case: all options are written out, the changed ones in place of the defaults.

    An anchor adds so many times the chosen answer's mean negative log-probability per token."""
    options = {**DEFAULTS[kind], **changed}
    assert options.keys() == DEFAULTS[kind].keys()
    o = exact(options)
    pairs = [Pair(*row) for row in zip(*batch)]
    if kind == "bco":
        mean = o["beta"] * sum(p.lw + p.ll for p in pairs) / (2 * len(pairs))
        shift = mean if options["shift"] == "batch_mean" else mean - mean
        for i, p in enumerate(pairs):
            pairs[i] = Pair(p.pw, p.pl, *p.rest[:4], shift)
    if kind == "aot":
        loss, dw, dl = aot(o, pairs)

        def total(i, pw, pl):
            return sum(aot(o, pairs[:i] + [pairs[i].moved(pw, pl)] + pairs[i + 1 :])[0])
    else:
        value, slope = PAIR[kind]
        loss = [value(o, p) for p in pairs]
        dw, dl = zip(*(slope(o, p) for p in pairs))

        def total(i, pw, pl):
            return value(o, pairs[i].moved(pw, pl))
    alpha = dec(anchor)
    if anchor:
        bare = total
        loss = [x - alpha * p.pw / p.nw for x, p in zip(loss, pairs)]
        dw = [d - alpha / p.nw for d, p in zip(dw, pairs)]

        def total(i, pw, pl):
            return bare(i, pw, pl) - alpha * pw / pairs[i].nw
    for i, p in enumerate(pairs):
        scale = abs(total(i, p.pw, p.pl))
        same(dw[i], diff(lambda v: total(i, v, p.pl), p.pw), scale, (kind, name, i, "chosen"))
        same(dl[i], diff(lambda v: total(i, p.pw, v), p.pl), scale, (kind, name, i, "rejected"))
    reward_w, reward_l = rewards(kind, o, pairs)
    pw, pl, rw, rl, nw, nl = map(list, batch)
    inputs = {"policy_chosen_logps": pw, "policy_rejected_logps": pl}
    if kind not in ("simpo", "orpo") and options.get("reference") != "none":
        inputs |= {"reference_chosen_logps": rw, "reference_rejected_logps": rl}
    inputs |= {"chosen_tokens": nw, "rejected_tokens": nl}
    return {
        "name": f"{kind}: {name}",
        "loss": {kind: options},
        **({"nll_anchor": anchor} if anchor else {}),
        "inputs": inputs,
        "expected": {
            "loss": doubles(loss),
            "grad.policy_chosen_logps": doubles(dw),
            "grad.policy_rejected_logps": doubles(dl),
            "reward.chosen": doubles(reward_w),
            "reward.rejected": doubles(reward_l),
        },
    }


def realistic(n, rng):
    """Log-probabilities from -5 to -200 over 1 to 60 tokens, the policy some nats off the reference."""
    rows = []
    for i in range(n):
        row = []
        for _ in range(2):
            tokens = (1, 60)[i] if i < 2 else 2 + int(59 * rng.random())
            reference = min(max(-tokens * (0.4 + 3.2 * rng.random()), -190.0), -5.5)
            policy = min(max(reference + 24 * (rng.random() - 0.5), -200.0), -5.0)
            row.append((f32(policy), f32(reference), tokens))
        (pw, rw, nw), (pl, rl, nl) = row
        rows.append((pw, pl, rw, rl, nw, nl))
    return list(zip(*rows))


def batch(log_ratios, tokens=None):
    """Pairs with these log-ratios: the likelier of policy and reference has log-probability -5 or so."""
    rows = []
    for i, (lw, ll) in enumerate(log_ratios):
        row = []
        for u, top in ((lw, -5.0 - i / 4), (ll, -6.5 - i / 2)):
            row.append((top, top - u) if u > 0 else (top + u, top))
        (pw, rw), (pl, rl) = row
        nw, nl = tokens[i] if tokens else (1 + 7 * i, 2 + 5 * i)
        rows.append((pw, pl, rw, rl, nw, nl))
    return list(zip(*rows))


METHODS = [[-12.0, -8.0], [-14.0, -7.5], [-12.5, -7.0], [-13.0, -8.0], [6, 4], [7, 5]]
RANDOM = realistic(5, random.Random(20240529))
SMALL = [column[:3] for column in RANDOM]
FAR = batch([(1e4, -1e4), (-9990.0, 9980.0), (9970.0, 9957.0), (-9950.0, -9945.0), (0.0, 0.0), (3.0, -4.5)])
APART = batch([(-9990.0, 9600.0), (-1e4, 9700.0), (-9500.0, 9980.0)])
# Divergences that grow like exp(-u), exp(-u/2) and exp(u): one tail only is finite in single precision.
LEFT = batch([(1e4, -60.0), (-60.0, 1e4), (9990.0, 9980.0), (-59.0, -59.5), (-59.5, -59.0), (0.0, 0.0)])
HALF = batch([(1e4, -110.0), (-110.0, 1e4), (9990.0, 9980.0), (-109.0, -108.5), (-108.5, -109.0), (0.0, 0.0)])
RIGHT = batch([(60.0, -1e4), (-1e4, 60.0), (-9990.0, -9980.0), (59.0, 59.5), (59.5, 59.0), (0.0, 0.0)])
# Mean log-probabilities from -1e-6 to -50, as sums over their tokens.
EDGE = list(zip(*[
    (f32(-1e-6), -50.0, 0, 0, 1, 1), (-50.0, f32(-1e-6), 0, 0, 1, 1), (f32(-6e-5), f32(-1.2e-4), 0, 0, 60, 40),
    (-3000.0, -980.0, 0, 0, 60, 20), (f32(-7e-6), f32(-13.8), 0, 0, 7, 20), (f32(-0.6931), f32(-0.6932), 0, 0, 1, 1),
]))
# Long answers of a policy far from everything, for the losses without a reference.
LOW = [FAR[0], FAR[1], FAR[2], FAR[3], [1, 2, 60, 30, 7, 3], [1, 3, 50, 40, 9, 2]]

cases = []
for kind in DEFAULTS:
    cases.append(case(kind, "methods", METHODS))
    cases.append(case(kind, "random", RANDOM))
    if kind not in ("simpo", "orpo"):
        cases.append(case(kind, "far", FAR))
    if "beta" in DEFAULTS[kind]:
        cases.append(case(kind, "beta 0.5", SMALL, beta=0.5))

means = [c for c in cases if "dpo_norm" in c["loss"]]
cases = [c for c in cases if "dpo_norm" not in c["loss"]]
means += [
    case("dpo_norm", "methods, beta 0.1", METHODS, beta=0.1),
    case("dpo_norm", "methods, beta 0.1, anchor 1", METHODS, 1.0, beta=0.1),
    *(case(kind, "methods, anchor 1", METHODS, 1.0) for kind in DEFAULTS if kind not in ("simpo", "orpo")),
    case("dpo", "random, anchor 0.25", RANDOM, 0.25, beta=0.3),
    case("dpo", "far, anchor 0.25", FAR, 0.25),
    case("ipo", "mean, anchor 0.5", SMALL, 0.5, normalization="mean"),
    case("bco", "batch mean, anchor 0.5", SMALL, 0.5, shift="batch_mean"),
]

forward, js = {"divergence": "forward_kl"}, {"divergence": "jensen_shannon"}


def alpha(c):
    return {"divergence": {"alpha": {"coefficient": c}}}


cases += [
    case("bco", "methods, batch mean", METHODS, shift="batch_mean"),
    case("bco", "batch mean", SMALL, shift="batch_mean", beta=0.5),
    case("dpo", "methods, conservative", METHODS, label_smoothing=0.1),
    case("dpo", "conservative", SMALL, label_smoothing=0.25, beta=0.3),
    case("dpo", "far, conservative", FAR, label_smoothing=0.1),
    case("dpo", "methods, forward KL", METHODS, **forward),
    case("dpo", "forward KL", RANDOM, **forward),
    case("dpo", "far, forward KL", LEFT, **forward),
    case("dpo", "methods, Jensen-Shannon", METHODS, **js),
    case("dpo", "Jensen-Shannon", RANDOM, **js),
    case("dpo", "far, Jensen-Shannon", FAR, **js),
    case("dpo", "Jensen-Shannon, conservative", SMALL, label_smoothing=0.1, beta=0.3, **js),
    case("dpo", "methods, alpha 0.5", METHODS, **alpha(0.5)),
    case("dpo", "alpha 0.5", RANDOM, **alpha(0.5)),
    case("dpo", "far, alpha 0.5", HALF, **alpha(0.5)),
    case("dpo", "alpha 0, the forward KL", RANDOM, **alpha(0.0)),
    case("dpo", "alpha 1, the limit", SMALL, **alpha(1.0)),
    case("dpo", "alpha near 1", SMALL, **alpha(1.0009765625)),
    case("dpo", "alpha 2", SMALL, **alpha(2.0)),
    case("dpo", "far, alpha 2", RIGHT, **alpha(2.0)),
    case("rdpo", "label smoothing 0", SMALL, label_smoothing=0.0),
    case("rdpo", "label smoothing 0.4", SMALL, label_smoothing=0.4),
    case("ipo", "methods, mean", METHODS, normalization="mean"),
    case("ipo", "mean", RANDOM, normalization="mean"),
    case("ipo", "mean, beta 1", SMALL, normalization="mean", beta=1.0),
    case("ipo", "far, mean", FAR, normalization="mean"),
    case("slic_hf", "methods, no reference", METHODS, reference="none"),
    case("slic_hf", "no reference", RANDOM, reference="none"),
    case("slic_hf", "far, no reference", LOW, reference="none"),
    case("slic_hf", "delta 2.5", SMALL, delta=2.5),
    case("slic_hf", "with likelihood", SMALL, nll_weight=0.01),
    case("slic_hf", "no reference, delta 5, with likelihood", RANDOM, reference="none", delta=5.0, nll_weight=0.5),
    case("simpo", "gamma 0", SMALL, gamma=0.0),
    case("simpo", "beta 10, gamma 3", SMALL, beta=10.0, gamma=3.0),
    case("simpo", "far", LOW),
    case("orpo", "lambda 1", SMALL, **{"lambda": 1.0}),
    case("orpo", "lambda 0", SMALL, **{"lambda": 0.0}),
    case("orpo", "edge", EDGE),
    case("orpo", "far", LOW),
    case("exo", "label smoothing 0.1", SMALL, label_smoothing=0.1),
    case("exo", "label smoothing 1e-6", SMALL, label_smoothing=1e-6),
    case("aot", "methods, paired", METHODS, pairing="paired"),
    case("aot", "paired", RANDOM, pairing="paired"),
    case("aot", "far, paired", FAR, pairing="paired"),
    case("aot", "far apart, label smoothing 0.1", APART, label_smoothing=0.1),
    case("aot", "far apart, paired", APART, pairing="paired"),
    case("aot", "label smoothing 0.1", RANDOM, label_smoothing=0.1),
    case("aot", "paired, label smoothing 0.2", RANDOM, label_smoothing=0.2, pairing="paired", beta=0.3),
    case("discopop", "temperature 0.5", SMALL, temperature=0.5),
    case("discopop", "far, temperature 1", FAR, temperature=1.0),
]


def kto_case(name, kl, rows, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    """1 - sig of the signed distance of the log-ratio from the detached z."""
    options = {"beta": beta, "desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight}
    o, z = exact(options), mpf(f32(kl))
    side = {1: (1, o["desirable_weight"]), 0: (-1, o["undesirable_weight"])}

    def value(p, r, good):
        s, weight = side[good]
        return weight * sig(s * o["beta"] * (z - (p - r)))

    def slope(p, r, good):
        s, weight = side[good]
        return -s * weight * o["beta"] * bell(o["beta"] * (p - r - z))

    return unpaired("kto", name, options, o, rows, {"kl": [float(z)]}, value, slope)


def bco_case(name, shift, rows, beta=0.1):
    """-log sig of the signed distance of the reward from the detached shift."""
    o, d = exact({"beta": beta}), mpf(f32(shift))

    def value(p, r, good):
        return -logsig((1 if good else -1) * (o["beta"] * (p - r) - d))

    def slope(p, r, good):
        return -o["beta"] * sig(d - o["beta"] * (p - r)) if good else o["beta"] * sig(o["beta"] * (p - r) - d)

    return unpaired("bco", name, {"beta": beta}, o, rows, {"shift": [float(d)]}, value, slope)


def unpaired(kind, name, options, o, rows, constant, value, slope):
    loss, grad, reward = [], [], []
    for p, r, good in ((mpf(p), mpf(r), good) for p, r, good in rows):
        loss.append(value(p, r, good))
        grad.append(slope(p, r, good))
        reward.append(o["beta"] * (p - r))
        same(grad[-1], diff(lambda v: value(v, r, good), p), abs(loss[-1]), (kind, name))
    policy, reference, desirable = map(list, zip(*rows))
    return {
        "name": f"unpaired {kind}: {name}",
        "loss": {kind: options},
        "inputs": {"policy_logps": policy, "reference_logps": reference, "desirable": desirable, **constant},
        "expected": {"loss": doubles(loss), "grad.policy_logps": doubles(grad), "reward": doubles(reward)},
    }


def kl_case(name, policy, reference):
    """z: the mean log-ratio of mismatched answers, not below zero."""
    mean = sum(mpf(p) - mpf(r) for p, r in zip(policy, reference)) / len(policy)
    return {
        "name": f"unpaired kto: {name}",
        "loss": {"kto": {"beta": 0.1, "desirable_weight": 1.0, "undesirable_weight": 1.0}},
        "inputs": {"mismatched_policy_logps": list(policy), "mismatched_reference_logps": list(reference)},
        "expected": {"kl": doubles([max(mpf(0), mean)])},
    }


def mixed(columns):
    """Chosen and rejected of each pair one after the other, the third pair the other way round."""
    rows = []
    for i, (pw, pl, rw, rl, _, _) in enumerate(zip(*columns)):
        both = [(pw, rw, 1), (pl, rl, 0)]
        rows += both[::-1] if i == 2 else both
    return rows


methods_rows = [(-12.0, -12.5, 1), (-8.0, -7.0, 1), (-14.0, -13.0, 0), (-7.5, -8.0, 0)]
far_rows = mixed(FAR) + [(p, r, 1 - good) for p, r, good in mixed(FAR)[:4]]
plain = [
    kto_case("methods", 0.25, methods_rows),
    kto_case("random", 1.7, mixed(RANDOM)),
    kto_case("kl 0", 0.0, mixed(RANDOM)),
    kto_case("beta 0.5, weights", 0.6, mixed(RANDOM), beta=0.5, desirable_weight=1.33, undesirable_weight=0.75),
    kto_case("desirable only", 2.5, [row for row in mixed(RANDOM) if row[2]], desirable_weight=0.5),
    kto_case("undesirable only", 2.5, [row for row in mixed(RANDOM) if not row[2]], undesirable_weight=2.0),
    kto_case("far", 0.25, far_rows),
    kto_case("far, kl 1e4", 1e4, far_rows),
    kl_case("kl of mismatched answers", RANDOM[0] + RANDOM[1], RANDOM[2] + RANDOM[3]),
    kl_case("kl, positive mean", METHODS[0] + [-20.0], METHODS[2] + [-26.25]),
    kl_case("kl, negative mean is 0", METHODS[0], METHODS[2]),
    kl_case("kl, one answer", [-5.0], [f32(-5.3)]),
    kl_case("kl, far", [-5.0, -10005.0, -5.0], [-10005.0, -5.0, -10002.5]),
    bco_case("methods", -0.025, methods_rows),
    bco_case("random", 0.4, mixed(RANDOM)),
    bco_case("shift 0, beta 0.5", 0.0, mixed(RANDOM), beta=0.5),
    bco_case("desirable only", -1.5, [row for row in mixed(RANDOM) if row[2]]),
    bco_case("far", 0.75, far_rows),
    bco_case("far, shift 500", 500.0, far_rows),
]

# The values that the method page states, to the digits that it states.
by_name = {c["name"]: c["expected"] for c in cases + means + plain}
for name, key, stated in [
    ("dpo: methods", "loss", [0.6209570478, 0.7709570478]),
    ("spin: methods", "loss", [0.6209570478, 0.7709570478]),
    ("dpo: methods, conservative", "loss", [0.6359570478, 0.7559570478]),
    ("rdpo: methods", "loss", [0.6022070478, 0.7897070478]),
    ("ipo: methods", "loss", [12.25, 42.25]),
    ("ipo: methods, mean", "loss", [22.7892573696, 28.6225]),
    ("slic_hf: methods", "loss", [0.85, 1.15]),
    ("slic_hf: methods, no reference", "loss", [0.8, 1.05]),
    ("simpo: methods", "loss", [0.9740769842, 1.7014132780]),
    ("dpo: methods, anchor 1", "loss", [2.6209570478, 2.7709570478]),
    ("unpaired kto: methods", "loss", [0.4937503255, 0.5312093734, 0.4687906266, 0.5062496745]),
]:
    assert [round(x, 10) for x in by_name[name][key]] == stated, name
assert round(by_name["dpo_norm: methods, beta 0.1"]["loss"][0], 10) == 0.6819016081
odds = [logit(mpf(pw) / nw) - logit(mpf(pl) / nl) for pw, pl, _, _, nw, nl in zip(*METHODS)]
assert [round(float(x), 10) for x in odds] == [0.0, -0.6070690011]
penalty = [x - -pw / nw for x, pw, nw in zip(by_name["orpo: methods"]["loss"], METHODS[0], METHODS[4])]
assert [round(x, 10) for x in penalty] == [0.0693147181, 0.1042057808]
shift = dec(0.1) * sum(mpf(p) - mpf(r) for p, r, _ in methods_rows) / 4
assert round(float(shift), 10) == -0.025

# Laws between the losses.
assert by_name["dpo: alpha 0, the forward KL"] == by_name["dpo: forward KL"]
assert by_name["dpo: far"] == by_name["spin: far"]
assert by_name["rdpo: label smoothing 0"]["loss"] == by_name["dpo: random"]["loss"][:3]
assert len(by_name) == len(cases + means + plain), "two cases of one name"


def write(name, table):
    """One list a line."""
    for c in table:
        for values in c["inputs"].values():
            assert all(f32(v) == v for v in values), c["name"]
        for values in c["expected"].values():
            assert all(math.isfinite(v) for v in values), c["name"]
    line = json.JSONEncoder(separators=(",", ":")).encode
    blocks = []
    for c in table:
        parts = [
            f'  "{part}": {{\n' + ",\n".join(f'   "{k}": {line(v)}' for k, v in c[part].items()) + "\n  }"
            for part in ("inputs", "expected")
        ]
        head = f'  "name": {json.dumps(c["name"])},\n  "loss": {json.dumps(c["loss"])},\n'
        if "nll_anchor" in c:
            head += f'  "nll_anchor": {c["nll_anchor"]},\n'
        blocks.append(" {\n" + head + ",\n".join(parts) + "\n }")
    text = "[\n" + ",\n".join(blocks) + "\n]\n"
    assert json.loads(text) == table and len(text) < 100_000, len(text)
    (HERE / name).write_text(text)
    print(name, len(table), "cases,", len(text), "bytes")


write("direct.json", sorted(cases, key=lambda c: list(DEFAULTS).index(next(iter(c["loss"])))))
write("token_means.json", means)
write("unpaired.json", plain)
