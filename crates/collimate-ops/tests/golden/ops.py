"""Writes ops.json: values and gradients of the operations, from PyTorch and transformers in float64.

Run: python3 ops.py
"""

import json
import math
from pathlib import Path

import torch
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm, eager_attention_forward
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
cases = []


def rounded(tensor):
    """Numbers of few digits, which keep the file small."""
    return tensor.round(decimals=2)


def case(name, function, sizes=None, **inputs):
    """One case: the output and the gradient of every input for a fixed output gradient."""
    leaves = {key: rounded(value).requires_grad_() for key, value in inputs.items()}
    y = function(**leaves)
    weights = rounded(torch.randn(y.shape))
    (y * weights).sum().backward()
    expected = {"y": y} | {f"grad.{key}": leaf.grad for key, leaf in leaves.items()}
    numbers = lambda tensor: [float(f"{x:.8g}") for x in tensor.detach().reshape(-1).tolist()]
    flat = lambda table: {key: numbers(tensor) for key, tensor in table.items()}
    shapes = {f"shape.{key}": list(value.shape) for key, value in leaves.items()}
    given = flat(leaves | {"weights": weights}) | shapes | (sizes or {})
    cases.append({"name": name, "inputs": given, "expected": flat(expected)})


def activations():
    x = torch.cat([torch.linspace(-6, 6, 25), torch.tensor([-40.0, 0.0, 40.0])]).reshape(4, 7)
    up = torch.randn(4, 7)
    gelu = torch.nn.functional.gelu
    case("gelu", lambda x: gelu(x), x=x)
    case("gelu_tanh", lambda x: gelu(x, approximate="tanh"), x=x)
    case("geglu", lambda gate, up: gelu(gate) * up, gate=x, up=up)
    case("geglu_tanh", lambda gate, up: gelu(gate, approximate="tanh") * up, gate=x, up=up)


def norms():
    x, w = torch.randn(3, 6) * 2, torch.randn(6)
    norm = lambda x, weight: torch.nn.functional.layer_norm(x, (6,), weight, eps=1e-5)
    case("layer_norm without bias", norm, x=x, weight=w)

    def gemma(x, weight):
        module = Gemma2RMSNorm(6, eps=1e-6)
        # The forward works in float32 otherwise.
        return module._norm(x) * (1.0 + weight)

    case("rms_norm with unit offset", gemma, x=x, weight=w)


def rotary():
    tokens, heads, head_dim, turned, theta = 5, 2, 10, 4, 10_000.0
    positions = torch.tensor([0.0, 3.0, 1.0, 40.0, 900.0])
    inverse = theta ** (-torch.arange(0, turned, 2) / turned)
    angles = torch.outer(positions, inverse)
    angles = torch.cat([angles, angles], -1)[None]

    def turn(x):
        x = x.reshape(1, tokens, heads, head_dim).transpose(1, 2)
        y, _ = apply_rotary_pos_emb(x, x, angles.cos(), angles.sin())
        return y.transpose(1, 2).reshape(tokens, heads * head_dim)

    sizes = {"positions": positions.tolist(), "head_dim": [head_dim], "turned": [turned]}
    case("partial rope", turn, sizes, x=torch.randn(tokens, heads * head_dim))


def attention():
    tokens, query, key_value, head_dim = 11, 4, 2, 5
    q = torch.randn(tokens, query * head_dim) * 3
    k, v = [torch.randn(tokens, key_value * head_dim) * 3 for _ in range(2)]
    module = torch.nn.Module()
    module.num_key_value_groups, module.training = query // key_value, False
    distance = torch.arange(tokens)[:, None] - torch.arange(tokens)
    for causal, window, scale, cap in [
        (True, 0, 0.25, 5.0),
        (True, 4, 0.25, 5.0),
        (False, 0, 0.4, None),
        (False, 3, 0.4, None),
        (False, 6, head_dim**-0.5, 2.5),
    ]:
        seen = distance >= 0 if causal else torch.ones_like(distance, dtype=bool)
        if window:
            seen = seen & (distance.abs() < window)
        mask = torch.zeros(tokens, tokens).masked_fill(~seen, -math.inf)[None, None]

        def attend(q, k, v):
            heads = lambda x: x.reshape(1, tokens, -1, head_dim).transpose(1, 2)
            # Gemma 2's own function, whose softmax is in float32 but for this default.
            softmax = torch.nn.functional.softmax
            torch.nn.functional.softmax = lambda x, dim, dtype=None: softmax(x, dim)
            y, _ = eager_attention_forward(
                module, heads(q), heads(k), heads(v), mask, scaling=scale, softcap=cap
            )
            torch.nn.functional.softmax = softmax
            return y.reshape(tokens, -1)

        sizes = {
            "heads": [query, key_value, head_dim],
            "causal": [float(causal)],
            "window": [window],
            "scale": [scale],
            "softcap": [cap or 0.0],
        }
        case("attention", attend, sizes, q=q, k=k, v=v)


def logps():
    rows, width, vocab = 7, 5, 23
    targets = [0, 22, 3, 3, 11, 7, 19]

    def logits(hidden, weight, cap):
        z = hidden @ weight.T
        return torch.tanh(z / cap) * cap

    def logp(cap):
        def function(hidden, weight):
            logps = logits(hidden, weight, cap).log_softmax(-1)
            return logps[torch.arange(rows), targets][:, None]

        return function

    def both(cap):
        def function(hidden, weight):
            logps = logits(hidden, weight, cap).log_softmax(-1)
            entropy = -(logps.exp() * logps).sum(-1)
            return torch.stack([logps[torch.arange(rows), targets], entropy], -1)

        return function

    for cap in [1.5, 30.0]:
        sizes = {"targets": targets, "softcap": [cap]}
        inputs = {"hidden": torch.randn(rows, width) * 2, "weight": torch.randn(vocab, width)}
        case("selected_logp_capped", logp(cap), sizes, **inputs)
        case("selected_logp_entropy_capped", both(cap), sizes, **inputs)


activations()
norms()
rotary()
attention()
logps()
Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
