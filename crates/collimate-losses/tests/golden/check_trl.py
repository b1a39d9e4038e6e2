"""Compares direct.json, token_means.json and unpaired.json with TRL's own loss code. Run by hand:

    OMP_NUM_THREADS=1 python check_trl.py

Needs trl and torch; last run with trl 1.16.0, torch 2.15.0, transformers 5.23.0. A stub stands in
for the trainer and one for the model, whose log-probabilities are the inputs of the case, so that
the code that runs is TRL's: DPOTrainer._compute_loss, KTOTrainer._compute_loss, CPOTrainer.cpo_loss
and ORPOTrainer.odds_ratio_loss. All in double precision, but for the alpha divergence and the odds
ratio, which TRL computes in single precision only.

Where TRL has a loss in another form, the inputs or options are changed so that both agree, and the
line says how. "relative" is the largest relative difference of values, gradients and rewards of at
least 1e-6; "absolute" the largest difference of the smaller ones. Numbers that TRL gives as nan or
inf are counted apart, with the names of their cases.
"""

import json
import math
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from types import MethodType, SimpleNamespace

import torch

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

import trl  # noqa: E402
from trl.experimental.cpo import CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOTrainer  # noqa: E402
from trl.trainer.dpo_trainer import DPOTrainer  # noqa: E402
from trl.trainer.kto_trainer import KTOTrainer  # noqa: E402

HERE = Path(__file__).parent


class Accelerator:
    """Gathers nothing, and notes the local variables of the loss code that calls it."""

    device = torch.device("cpu")

    def __init__(self):
        self.seen = {}

    def gather_for_metrics(self, value):
        self.seen.update(sys._getframe(1).f_locals)
        return value

    gather = gather_for_metrics


def outputs(log_probs):
    blank = torch.zeros_like(log_probs).detach()
    return SimpleNamespace(log_probs=log_probs, entropy=blank, mean_logits=blank, is_top1=blank.bool())


def rows(sums, tokens):
    """Sums as per-token log-probabilities, all on the first token, and the mask with one prompt token."""
    width = max(tokens)
    log_probs = torch.cat([sums[:, None], sums.new_zeros(len(tokens), width - 1)], 1)
    mask = torch.tensor([[0] + [1] * n + [0] * (width - n) for n in tokens])
    return log_probs, mask


def leaf(values, dtype):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def dpo_trainer(inputs, losses, weights=None, dtype=torch.float64, **options):
    """Per-pair losses, gradients and rewards of DPOTrainer._compute_loss."""
    w, l = leaf(inputs["policy_chosen_logps"], dtype), leaf(inputs["policy_rejected_logps"], dtype)
    tokens = inputs["chosen_tokens"] + inputs["rejected_tokens"]
    log_probs, mask = rows(torch.cat([w, l]), tokens)
    stub = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=Accelerator(), aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, use_weighting=False, loss_types=losses, loss_weights=weights or [1.0] * len(losses),
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
        **{"beta": 0.1, "label_smoothing": 0.0, "f_divergence_type": "reverse_kl", "f_alpha_divergence_coef": 0.5,
           "args": SimpleNamespace(discopop_tau=0.05)} | options,
    )
    batch = {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": torch.tensor(inputs["reference_chosen_logps"], dtype=dtype),
        "ref_rejected_logps": torch.tensor(inputs["reference_rejected_logps"], dtype=dtype),
    }
    loss = DPOTrainer._compute_loss(stub, lambda **_: outputs(log_probs), batch, False)
    (loss * len(w)).backward()
    seen = stub.accelerator.seen
    each = seen["per_sequence_loss"] if len(losses) == 1 else loss[None]
    return result(each, w.grad, l.grad, seen["chosen_rewards"], seen["rejected_rewards"])


def result(loss, grad_w, grad_l, reward_w, reward_l):
    keys = ("loss", "grad.policy_chosen_logps", "grad.policy_rejected_logps", "reward.chosen", "reward.rejected")
    return dict(zip(keys, (v.detach().double().tolist() for v in (loss, grad_w, grad_l, reward_w, reward_l))))


def cpo_trainer(w, l, loss, **options):
    """CPOTrainer.cpo_loss on what it takes for log-probabilities."""
    stub = SimpleNamespace(accelerator=Accelerator(), loss_type=loss, alpha=0.0, **{"label_smoothing": 0.0} | options)
    each, reward_w, reward_l = CPOTrainer.cpo_loss(stub, w, l)
    each.sum().backward()
    return each, reward_w, reward_l


def one(inputs, i):
    return {k: v[i : i + 1] for k, v in inputs.items()}


def merge(parts):
    return {k: [v for part in parts for v in part[k]] for k in parts[0]}


def tensors(inputs):
    return (torch.tensor(v, dtype=torch.float64) for v in (inputs["chosen_tokens"], inputs["rejected_tokens"]))


# How to get each kind from TRL: a function of (options, inputs) to (how, TRL's results).

F_NAMES = {"reverse_kl": "reverse_kl", "forward_kl": "forward_kl", "jensen_shannon": "js_divergence"}


def dpo(o, inputs):
    if isinstance(o["divergence"], dict):
        options = {"f_divergence_type": "alpha_divergence", "dtype": torch.float32,
                   "f_alpha_divergence_coef": o["divergence"]["alpha"]["coefficient"]}
        how = "DPOTrainer sigmoid, alpha_divergence (single precision)"
    else:
        options = {"f_divergence_type": F_NAMES[o["divergence"]]}
        how = f"DPOTrainer sigmoid, {options['f_divergence_type']}"
    e, out = o["label_smoothing"], dpo_trainer(inputs, ["sigmoid"], beta=o["beta"], **options)
    if e == 0:
        return how, out
    if o["divergence"] == "reverse_kl":
        w, l = leaf(inputs["policy_chosen_logps"], torch.float64), leaf(inputs["policy_rejected_logps"], torch.float64)
        ref_w, ref_l = (torch.tensor(inputs[f"reference_{side}_logps"]) for side in ("chosen", "rejected"))
        each, reward_w, reward_l = cpo_trainer(w - ref_w, l - ref_l, "sigmoid", beta=o["beta"], label_smoothing=e)
        return ("conservative: DPOTrainer has none; CPOTrainer sigmoid on log-ratios",
                result(each, w.grad, l.grad, reward_w, reward_l))
    swap = {"chosen": "rejected", "rejected": "chosen"}
    swapped = {k.replace(s, swap[s]): v for k, v in inputs.items() for s in swap if s in k}
    back = dpo_trainer(swapped, ["sigmoid"], beta=o["beta"], **options)
    back["grad.policy_chosen_logps"], back["grad.policy_rejected_logps"] = (
        back["grad.policy_rejected_logps"], back["grad.policy_chosen_logps"])
    for k in ("loss", "grad.policy_chosen_logps", "grad.policy_rejected_logps"):
        out[k] = [(1 - e) * a + e * b for a, b in zip(out[k], back[k])]
    return "conservative, with a divergence: TRL has none; sigmoid both ways round", out


def rdpo(o, inputs):
    return "DPOTrainer robust", dpo_trainer(inputs, ["robust"], beta=o["beta"], label_smoothing=o["label_smoothing"])


def ipo(o, inputs):
    if o["normalization"] == "mean":
        return "mean: DPOTrainer ipo", dpo_trainer(inputs, ["ipo"], beta=o["beta"])
    ones = [1] * len(inputs["chosen_tokens"])
    inputs = inputs | {"chosen_tokens": ones, "rejected_tokens": ones}
    return "sum: DPOTrainer has none; ipo with all token counts 1", dpo_trainer(inputs, ["ipo"], beta=o["beta"])


def slic_hf(o, inputs):
    how = "DPOTrainer hinge"
    if o["reference"] == "none":
        zeros = [0.0] * len(inputs["chosen_tokens"])
        inputs = inputs | {"reference_chosen_logps": zeros, "reference_rejected_logps": zeros}
        how += ", reference 0"
    if o["delta"] != 1:
        how += ", delta times hinge at beta / delta"
    if o["nll_weight"]:
        how += ", with sft times the token count"
    parts = []
    for i in range(len(inputs["chosen_tokens"])):
        row, weights = one(inputs, i), [o["delta"], o["nll_weight"] * inputs["chosen_tokens"][i]]
        parts.append(dpo_trainer(row, ["hinge", "sft"], weights, beta=o["beta"] / o["delta"]))
        for k in ("reward.chosen", "reward.rejected"):
            parts[-1][k] = [v * o["delta"] for v in parts[-1][k]]
    return how, merge(parts)


def simpo(o, inputs):
    w, l = leaf(inputs["policy_chosen_logps"], torch.float64), leaf(inputs["policy_rejected_logps"], torch.float64)
    nw, nl = tensors(inputs)
    each, reward_w, reward_l = cpo_trainer(w / nw, l / nl, "simpo", beta=o["beta"], simpo_gamma=o["gamma"])
    return "CPOTrainer simpo (cpo_alpha 0)", result(each, w.grad, l.grad, reward_w, reward_l)


def orpo(o, inputs):
    w, l = leaf(inputs["policy_chosen_logps"], torch.float64), leaf(inputs["policy_rejected_logps"], torch.float64)
    nw, nl = tensors(inputs)
    stub = SimpleNamespace(accelerator=Accelerator(), beta=o["lambda"])
    ratio, reward_w, reward_l, *_ = ORPOTrainer.odds_ratio_loss(stub, w / nw, l / nl)
    each = -w / nw - ratio
    each.sum().backward()
    how = "ORPOTrainer odds_ratio_loss (single precision); the NLL term is ours"
    return how, result(each, w.grad, l.grad, reward_w, reward_l)


def plain(name, how=None):
    def run(o, inputs):
        options = {"beta": o["beta"], "label_smoothing": o.get("label_smoothing", 0.0)}
        options["args"] = SimpleNamespace(discopop_tau=o.get("temperature"))
        return how or f"DPOTrainer {name}", dpo_trainer(inputs, [name], **options)

    return run


def bco(o, inputs):
    lr = [p - r for side in ("chosen", "rejected")
          for p, r in zip(inputs[f"policy_{side}_logps"], inputs[f"reference_{side}_logps"])]
    moved = sum(lr) / len(lr) if o["shift"] == "batch_mean" else 0.0
    shifted = inputs | {k: [v + moved for v in inputs[k]] for k in inputs if k.startswith("reference")}
    out = dpo_trainer(shifted, ["bco_pair"], beta=o["beta"])
    for k in ("reward.chosen", "reward.rejected"):
        out[k] = [v + o["beta"] * moved for v in out[k]]
    return "DPOTrainer bco_pair, batch_mean put into the reference (TRL has no shift)", out


def aot(o, inputs):
    name = {"paired": "aot", "unpaired": "aot_unpaired"}[o["pairing"]]
    how, out = plain(name)(o, inputs)
    return f"{o['pairing']}: {how}", out


def dpo_norm(o, inputs):
    how, out = plain("sigmoid_norm")(o, inputs)
    for side in ("chosen", "rejected"):
        rewards = zip(out[f"reward.{side}"], inputs[f"{side}_tokens"])
        out[f"reward.{side}"] = [reward / tokens for reward, tokens in rewards]
    return f"{how}, rewards per token (TRL logs sums)", out


def anchored(way):
    """The loss with TRL's "sft" beside it, pair by pair: TRL averages that over the tokens of the batch.

    Losses that look across the pairs come from TRL as a batch, the likelihood pair by pair."""

    def run(o, inputs, weight):
        how, out = way(o, inputs)
        for i in range(len(inputs["chosen_tokens"])):
            nll = dpo_trainer(one(inputs, i), ["sft"], [1.0])
            for k in ("loss", "grad.policy_chosen_logps"):
                out[k][i] += weight * nll[k][0]
        return f"{how}, with sft", out

    return run


PAIRED = {
    "dpo_norm": dpo_norm,
    "dpo": dpo, "rdpo": rdpo, "ipo": ipo, "slic_hf": slic_hf, "simpo": simpo, "orpo": orpo,
    "spin": plain("sigmoid", "TRL has none; DPOTrainer sigmoid"), "exo": plain("exo_pair"), "nca": plain("nca_pair"),
    "sppo": plain("sppo_hard"), "bco": bco, "apo_zero": plain("apo_zero"), "apo_down": plain("apo_down"), "aot": aot,
    "discopop": plain("discopop"),
}


def kto(o, inputs):
    """KTOTrainer._compute_loss; the first call of the model is for the mismatched answers."""
    if "kl" in inputs:
        policy, good = leaf(inputs["policy_logps"], torch.float64), inputs["desirable"]
        kl_policy, kl_reference = [inputs["kl"][0]] * len(good), [0.0] * len(good)
    else:
        kl_policy, kl_reference = inputs["mismatched_policy_logps"], inputs["mismatched_reference_logps"]
        policy, good = leaf([0.0] * len(kl_policy), torch.float64), [1] * len(kl_policy)
    reference = torch.tensor(inputs.get("reference_logps", [0.0] * len(good)))
    log_probs, mask = rows(policy, [1] * len(good))
    calls = [outputs(torch.tensor(kl_policy)[:, None]), outputs(log_probs)]
    stub = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=Accelerator(), aux_loss_enabled=False,
        precompute_ref_logps=True, calculate_KL=True, loss_type="kto", _metrics={"train": defaultdict(list)},
        _total_train_tokens=0, _tp_size=1, **o,
    )
    stub._compute_kl_logps = MethodType(KTOTrainer._compute_kl_logps, stub)
    ids, ones = torch.zeros_like(mask), torch.ones_like(mask)
    batch = {
        "input_ids": ids, "attention_mask": ones, "completion_mask": mask, "KL_input_ids": ids,
        "KL_attention_mask": ones, "KL_completion_mask": mask, "label": torch.tensor(good, dtype=torch.bool),
        "ref_logps": reference, "ref_KL_logps": torch.tensor(kl_reference),
    }
    loss = KTOTrainer._compute_loss(stub, lambda **_: calls.pop(0), batch, False)
    seen = stub.accelerator.seen
    if "kl" not in inputs:
        return "z: KTOTrainer kto", {"kl": [seen["kl"].item()]}
    (loss * len(good)).backward()
    places = [i for i, g in enumerate(good) if g] + [i for i, g in enumerate(good) if not g]
    each, reward = [0.0] * len(good), [0.0] * len(good)
    rewards = torch.cat([seen["chosen_rewards"], seen["rejected_rewards"]])
    for i, v, r in zip(places, seen["losses"].tolist(), rewards.tolist()):
        each[i], reward[i] = v, r
    return "KTOTrainer kto", {"loss": each, "grad.policy_logps": policy.grad.tolist(), "reward": reward}


def unpaired_bco(o, inputs):
    """bco_pair with a partner that adds nothing, the shift in the reference."""
    moved, parts = inputs["shift"][0] / o["beta"], []
    for p, r, good in zip(inputs["policy_logps"], inputs["reference_logps"], inputs["desirable"]):
        sides = {"chosen": (p, r + moved) if good else (1e9, 0.0), "rejected": (-1e9, 0.0) if good else (p, r + moved)}
        row = {f"{who}_{side}_logps": [v] for side in sides for who, v in zip(("policy", "reference"), sides[side])}
        out = dpo_trainer(row | {"chosen_tokens": [1], "rejected_tokens": [1]}, ["bco_pair"], beta=o["beta"])
        side = "chosen" if good else "rejected"
        reward = out[f"reward.{side}"][0] + inputs["shift"][0]
        parts.append({"loss": out["loss"], "grad.policy_logps": out[f"grad.policy_{side}_logps"], "reward": [reward]})
    return "TRL has none (BCOTrainer is gone); DPOTrainer bco_pair with an idle partner", merge(parts)


UNPAIRED = {"kto": kto, "bco": unpaired_bco}


def compare(expected, got, line, name):
    assert expected.keys() == got.keys(), name
    for key, values in expected.items():
        assert len(values) == len(got[key]), (name, key)
        for want, have in zip(values, got[key]):
            line["numbers"] += 1
            if not math.isfinite(have):
                line["bad"].append(name)
            elif abs(want) >= 1e-6:
                line["relative"] = max(line["relative"], (abs(have - want) / abs(want), name, key))
            else:
                line["absolute"] = max(line["absolute"], (abs(have - want), name, key))


def main():
    print(f"trl {trl.__version__}, torch {torch.__version__}")
    for file, ways in (("direct.json", PAIRED), ("token_means.json", PAIRED), ("unpaired.json", UNPAIRED)):
        print(f"\n{file}")
        lines = {}
        for case in json.loads((HERE / file).read_text()):
            ((kind, options),) = case["loss"].items()
            if "nll_anchor" in case:
                how, got = anchored(ways[kind])(options, case["inputs"], case["nll_anchor"])
            else:
                how, got = ways[kind](options, case["inputs"])
            blank = {"cases": 0, "numbers": 0, "relative": (0.0, "", ""), "absolute": (0.0, "", ""), "bad": []}
            line = lines.setdefault((kind, how), blank)
            line["cases"] += 1
            compare(case["expected"], got, line, case["name"])
        for (kind, how), line in lines.items():
            print(f"{kind}: {how}")
            bad = f"; {len(line['bad'])} not finite in {sorted(set(line['bad']))}" if line["bad"] else ""
            where = f" ({line['relative'][1]}, {line['relative'][2]})" if line["relative"][0] > 1e-9 else ""
            print(f"    {line['cases']} cases, {line['numbers']} numbers, relative {line['relative'][0]:.1e}{where}, "
                  f"absolute {line['absolute'][0]:.1e}{bad}")


main()
