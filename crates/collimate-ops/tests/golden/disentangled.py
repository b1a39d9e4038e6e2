"""Writes disentangled.json: DeBERTa's attention in transformers, with gradients, in float64.

Run: python3 disentangled.py
"""

import json
from pathlib import Path

import torch
from transformers import DebertaV2Config
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DisentangledSelfAttention,
    make_log_bucket_position,
)

torch.manual_seed(3)
cases = []
HEADS, HEAD_DIM = 2, 3
WIDTH = HEADS * HEAD_DIM


class Fixed(torch.nn.Module):
    """A projection that gives the same whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, _):
        return self.value


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.detach().reshape(-1).tolist()]


def attention(buckets, longest, kinds, lengths):
    config = DebertaV2Config(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        relative_attention=True,
        position_buckets=buckets or -1,
        max_relative_positions=longest,
        pos_att_type=kinds,
        share_att_key=False,
    )
    module = DisentangledSelfAttention(config).eval()
    rows = 2 * module.pos_ebd_size
    tokens = sum(lengths)
    sizes = {name: tokens for name in ["q", "k", "v"]}
    if "c2p" in kinds:
        sizes["keys"] = rows
    if "p2c" in kinds:
        sizes["queries"] = rows
    leaves = {
        name: (torch.randn(count, WIDTH).double() * 1.5).round(decimals=2).requires_grad_()
        for name, count in sizes.items()
    }
    outputs, start = [], 0
    for length in lengths:
        part = lambda name: Fixed(leaves[name][None, start : start + length])
        module.query_proj, module.key_proj, module.value_proj = part("q"), part("k"), part("v")
        if "c2p" in kinds:
            module.pos_key_proj = Fixed(leaves["keys"][None])
        if "p2c" in kinds:
            module.pos_query_proj = Fixed(leaves["queries"][None])
        states = torch.zeros(1, length, WIDTH, dtype=torch.float64)
        mask = torch.ones(1, 1, length, length)
        table = torch.zeros(rows, WIDTH, dtype=torch.float64)
        y, _ = module(states, mask, rel_embeddings=table)
        outputs.append(y[0])
        start += length
    y = torch.cat(outputs)
    weights = torch.randn(y.shape).double().round(decimals=2)
    (y * weights).sum().backward()
    inputs = {name: numbers(leaf) for name, leaf in leaves.items()}
    inputs |= {"weights": numbers(weights), "lengths": lengths}
    inputs |= {"buckets": [buckets], "longest": [longest]}
    expected = {"y": numbers(y)} | {f"grad.{name}": numbers(x.grad) for name, x in leaves.items()}
    cases.append({"name": "attention", "inputs": inputs, "expected": expected})


def rows(buckets, longest, beyond):
    distances = torch.arange(-beyond, beyond + 1)
    found = make_log_bucket_position(distances, buckets, longest).long()
    found = torch.clamp(found + buckets, 0, 2 * buckets - 1)
    inputs = {"distances": distances.tolist(), "buckets": [buckets], "longest": [longest]}
    cases.append({"name": "rows", "inputs": inputs, "expected": {"rows": found.tolist()}})


rows(256, 512, 600)
rows(32, 128, 140)
rows(7, 19, 30)
attention(6, 12, ["c2p", "p2c"], [17, 1, 5])
attention(4, 9, ["p2c", "c2p"], [3, 12])
attention(6, 12, ["c2p"], [14])
attention(6, 12, ["p2c"], [14])
attention(0, 5, ["c2p", "p2c"], [9, 2])
Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
