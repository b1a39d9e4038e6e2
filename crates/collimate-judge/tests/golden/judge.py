"""Makes judge.json with mpmath and the rouge-score package, independently of the Rust code.

    pip install mpmath rouge-score
    python3 judge.py > judge.json
"""

import json
import random

from mpmath import exp, findroot, matrix, mp, mpf, sqrt, tanh
from rouge_score import rouge_scorer

mp.dps = 40
random.seed(20240404)


def length_control(duels, ridge):
    """The root of the gradient, at 40 digits; Newton's start is the logit of the mean, not 0."""
    n = len(duels)
    deltas = [mpf(d) for _, d in duels]
    mean = sum(deltas) / n
    sd = sqrt(sum((d - mean) ** 2 for d in deltas) / (n - 1))
    xs = [tanh(d / sd) for d in deltas]
    ys = [mpf(y) for y, _ in duels]
    lam = mpf(ridge)

    def gradient(theta, phi):
        p = [1 / (1 + exp(-(theta + phi * x))) for x in xs]
        return matrix(
            [
                sum(a - b for a, b in zip(p, ys)) + lam * theta,
                sum((a - b) * x for a, b, x in zip(p, ys, xs)) + lam * phi,
            ]
        )

    root = findroot(gradient, (mpf("0.1"), mpf("0.1")), tol=mpf(10) ** -30, maxsteps=400)
    theta, phi = root[0], root[1]
    assert max(abs(g) for g in gradient(theta, phi)) < mpf(10) ** -25
    return {
        "duels": duels,
        "ridge": ridge,
        "sd": float(sd),
        "intercept": float(theta),
        "length_weight": float(phi),
        "win_rate": float(1 / (1 + exp(-theta))),
        "raw": float(sum(ys) / n),
    }


def noisy(n, theta, phi):
    """Outcomes drawn from the model itself."""
    duels = []
    for _ in range(n):
        delta = random.randint(-900, 900)
        p = 1 / (1 + exp(-(mpf(theta) + mpf(phi) * tanh(mpf(delta) / 500))))
        draw = random.random()
        y = 0.5 if abs(draw - float(p)) < 0.05 else float(draw < p)
        duels.append([y, float(delta)])
    return duels


lengths = [
    length_control(noisy(40, 0.3, 1.2), 0.01),
    length_control(noisy(200, -0.8, 2.0), 0.01),
    length_control(noisy(60, 0.0, -1.0), 1.0),
    # Side a wins everything: only the ridge keeps it finite.
    length_control([[1.0, float(d)] for d in (120, -30, 44, 8, -260, 75, 3, 19)], 0.01),
    # The longer answer always wins.
    length_control([[float(d > 0), float(d)] for d in (120, -30, 44, 8, -260, 75, -3, -19)], 0.01),
    length_control([[0.5, 10.0], [0.5, -40.0], [1.0, 300.0], [0.0, 20.0]], 0.5),
]

texts = [
    "the cat sat on the mat",
    "the cat lay on a mat",
    "The CAT, sat; on: the mat!!",
    "mat the on sat cat the",
    "a a a b b b",
    "b a b a b a",
    "Write a poem about the sea.",
    "Write a short poem about the open sea and its waves.",
    "don't stop me now",
    "don t stop me now",
    "",
    "?!",
    "one",
    "x y z " * 30,
    "z y x " * 25 + "x y",
    " ".join(random.choice("abcde") for _ in range(64)),
    " ".join(random.choice("abcde") for _ in range(65)),
    " ".join(random.choice("abcde") for _ in range(200)),
    " ".join(random.choice("abcdefghijklmnop") for _ in range(130)),
]
scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
rouge = [
    [a, b, scorer.score(a, b)["rougeL"].fmeasure] for i, a in enumerate(texts) for b in texts[i:]
]

print(json.dumps({"lengths": lengths, "rouge": rouge}, indent=None))
