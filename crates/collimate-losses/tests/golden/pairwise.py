"""Makes pairwise.json with the standard library alone, in double precision.

    python3 pairwise.py > pairwise.json

The gradients are written from the derivative, not taken by differences: the property tests
compare with differences.
"""

import json
import math


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def case(name, kind, chosen, rejected, margin, centre=0.0, margins=None):
    loss, d_chosen, d_rejected = [], [], []
    for i, (w, l) in enumerate(zip(chosen, rejected)):
        m = margin + (margins[i] if margins else 0.0)
        if kind == "logistic":
            loss.append(softplus(m - (w - l)) + centre * (w + l) ** 2)
            pull = sigmoid(m - (w - l))
            d_chosen.append(-pull + 2 * centre * (w + l))
            d_rejected.append(pull + 2 * centre * (w + l))
        else:
            loss.append(max(0.0, m - (w - l)))
            active = 1.0 if w - l < m else 0.0
            d_chosen.append(-active)
            d_rejected.append(active)
    inputs = {"chosen": chosen, "rejected": rejected, "margin": [margin], "center": [centre]}
    if margins:
        inputs["margins"] = margins
    return {
        "name": f"{kind}: {name}",
        "inputs": inputs,
        "expected": {"loss": loss, "grad.chosen": d_chosen, "grad.rejected": d_rejected},
    }


W, L = [1.2, 0.3], [0.4, 0.9]
wide_w = [-3.0, -0.5, 0.0, 0.25, 2.0, 8.0]
wide_l = [1.5, -0.5, 0.0, -1.75, 2.5, -4.0]
far_w = [10000.0, -10000.0, 10000.0, -10000.0, 60.0, -60.0]
far_l = [-10000.0, 10000.0, 10000.0, -10000.0, -60.0, 60.0]

cases = [
    case("methods, margin 0", "logistic", W, L, 0.0),
    case("methods, margin 0.5", "logistic", W, L, 0.5),
    case("wide", "logistic", wide_w, wide_l, 0.0),
    case("centred", "logistic", wide_w, wide_l, 0.0, centre=0.01),
    case("centred with margin", "logistic", wide_w, wide_l, 0.75, centre=0.25),
    case("own margins", "logistic", wide_w, wide_l, 0.0, margins=[0.0, 1.0, -1.0, 0.5, 3.0, 2.0]),
    case("far", "logistic", far_w, far_l, 0.0),
    case("far, centred", "logistic", far_w, far_l, 1.0, centre=0.01),
    case("margin 1", "hinge", W, L, 1.0),
    case("margin 0.5", "hinge", W, L, 0.5),
    case("wide", "hinge", wide_w, wide_l, 1.0),
    case("own margins", "hinge", wide_w, wide_l, 0.25, margins=[0.0, 1.0, -1.0, 0.5, 3.0, 2.0]),
    case("far", "hinge", far_w, far_l, 1.0),
]

# The values that the method page states.
assert [round(x, 10) for x in cases[0]["expected"]["loss"]] == [0.3711006659, 1.0374879505]
assert [round(x, 10) for x in cases[1]["expected"]["loss"]] == [0.5543552445, 1.3873353251]

print(json.dumps(cases, indent=1))
