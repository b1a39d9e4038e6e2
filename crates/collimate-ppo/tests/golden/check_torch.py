"""Recomputes ppo.json in double precision with torch, gradients by autograd. Run by hand:

    OMP_NUM_THREADS=1 python check_torch.py [FOLDER]

Needs torch; last run with torch 2.15.0 and trl 1.16.0. Where trl is installed its own code is run
as well: GRPOTrainer._compute_loss with a stub for the trainer (policy loss, with delta for the
dual clip, and k3), and the statements of GRPOTrainer and RLOOTrainer that make advantages of
rewards. FOLDER is an unpacked trl 0.11.4, the last one with the older PPO trainer; its advantages,
whitening, rewards, losses and KL controller are then run too. Nothing of it is imported: the
functions are read out of its files.

A line for each family and way: cases, numbers, the largest relative difference of numbers of at
least 1e-6 and the largest absolute difference of the smaller ones.
"""

import ast
import inspect
import json
import math
import sys
import textwrap
import warnings
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = Path(__file__).parent


def leaf(x):
    return x.clone().requires_grad_(True)


def slope(total, at):
    return torch.autograd.grad(total, at, retain_graph=True)[0]


# Plain torch: a function a family, of tensors by name.


def gae(rewards, values, gamma, gae_lambda):
    """As a matrix: advantage t is the sum over k >= t of (gamma lambda)^(k - t) delta k."""
    n = len(rewards)
    delta = rewards + gamma * torch.cat([values[1:], values.new_zeros(1)]) - values
    steps = torch.arange(n)[None, :] - torch.arange(n)[:, None]
    weights = torch.where(steps >= 0, (gamma * gae_lambda) ** steps.clamp(min=0), torch.zeros(()))
    advantages = weights @ delta
    return {"advantages": advantages, "returns": advantages + values}


def whiten(values):
    return {"whitened": (values - values.mean()) * torch.rsqrt(values.var() + 1e-8)}


def rloo(rewards):
    return {"advantages": rewards - (rewards.sum() - rewards) / (len(rewards) - 1)}


def grpo(rewards, scale):
    centered = rewards - rewards.mean()
    return {"advantages": centered / (rewards.std() + 1e-4) if scale.item() else centered}


def kl(policy_logps, reference_logps):
    p = leaf(policy_logps)
    d = p - reference_logps
    series = sum((-d) ** k / math.factorial(k) for k in range(2, 12))
    small = d.abs() < 0.05
    estimates = {"k1": d, "k2": d.square() / 2, "k3": torch.where(small, series, torch.expm1(-d) + d)}
    return estimates | {f"grad.{k}": slope(v.sum(), p) for k, v in estimates.items()}


def token_rewards(policy_logps, reference_logps, kl_coef, score):
    last = torch.zeros_like(policy_logps).index_fill(0, torch.tensor([len(policy_logps) - 1]), 1.0)
    return {"rewards": kl_coef * (reference_logps - policy_logps) + last * score}


def policy_loss(logps, old_logps, advantages, clip_range, dual_clip):
    p = leaf(logps)
    ratio = (p - old_logps).exp()
    loss = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range))
    if dual_clip.item():
        loss = torch.where(advantages < 0, torch.min(loss, -advantages * dual_clip), loss)
    return {"loss": loss, "grad.logps": slope(loss.sum(), p), "ratio": ratio}


def value_loss(values, old_values, returns, clip_range):
    v = leaf(values)
    held = old_values + torch.clamp(v - old_values, -clip_range, clip_range)
    loss = 0.5 * torch.max((v - returns).square(), (held - returns).square())
    return {"loss": loss, "grad.values": slope(loss.sum(), v)}


def adaptive_kl(kl_coef, target, horizon, sequences, kl):
    factors = 1 + ((kl - target) / target).clamp(-0.2, 0.2) * sequences / horizon
    return {"kl_coef": kl_coef * factors.cumprod(0)}


def scaling_sigmoid(scores, threshold, min, max):
    s = torch.relu(torch.sigmoid(scores) - threshold) / (1 - threshold)
    return {"scaled": torch.lerp(min.expand_as(s), max.expand_as(s), s)}


def scaling_symmetric(scores, limit, min, max):
    s = (torch.clamp(scores / limit, -1, 1) + 1) / 2
    return {"scaled": torch.lerp(min.expand_as(s), max.expand_as(s), s)}


def scaling_running(scores, batches):
    """Count, mean and sum of squares are carried from batch to batch."""
    count, mean, squares, out = 0, torch.zeros(()), torch.zeros(()), []
    for batch in scores.split([int(n) for n in batches]):
        n, gap = len(batch), batch.mean() - mean
        squares = squares + (batch - batch.mean()).square().sum() + gap**2 * count * n / (count + n)
        mean, count = mean + gap * n / (count + n), count + n
        deviation = (squares / (count - 1)).sqrt() if count > 1 else torch.zeros(())
        out.append((batch - mean) / (deviation + 1e-8))
    return {"scaled": torch.cat(out)}


def explained_variance(values, returns):
    return {"explained_variance": (1 - (returns - values).var(correction=0) / returns.var(correction=0))[None]}


PLAIN = {f.__name__: f for f in (
    gae, whiten, rloo, grpo, kl, token_rewards, policy_loss, value_loss, adaptive_kl, scaling_sigmoid,
    scaling_symmetric, scaling_running, explained_variance,
)}


# TRL as installed.


class Anything:
    """Takes every call. What is reduced or gathered comes back as it is."""

    device, num_processes = torch.device("cpu"), 1

    def gather(self, value):
        return value

    def reduce(self, value, reduction):
        return value


def grpo_loss(logps, old, advantages, beta=0.0, clip_range=0.2, delta=None):
    """Per-token losses of GRPOTrainer._compute_loss: every token is an answer of its own."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    column, out = torch.ones(len(logps), 1), []
    for i in range(len(logps)):
        one = slice(i, i + 1)
        stub = SimpleNamespace(
            accelerator=Anything(), model=SimpleNamespace(training=False),
            _metrics=defaultdict(lambda: defaultdict(list)), aux_loss_enabled=False, _entropy_bonus_enabled=False,
            _get_per_token_logps_and_entropies=lambda *_, **__: (logps[one, None], torch.zeros(1, 1), None),
            top_entropy_quantile=1.0, off_policy_mask_threshold=None, loss_type="grpo", use_vllm=False,
            importance_sampling_level="token", beta=beta, epsilon_low=clip_range, epsilon_high=clip_range,
            args=SimpleNamespace(delta=delta, use_bias_correction_kl=False),
        )
        batch = {
            "prompt_ids": column[one].long(), "prompt_mask": column[one], "completion_ids": column[one].long(),
            "completion_mask": column[one], "advantages": advantages[one], "old_per_token_logps": old[one, None],
            "ref_per_token_logps": old[one, None],
        }
        out.append(GRPOTrainer._compute_loss(stub, None, batch))
    return torch.stack(out)


def trl_policy_loss(logps, old_logps, advantages, clip_range, dual_clip):
    p = leaf(logps)
    loss = grpo_loss(p, old_logps, advantages, clip_range=clip_range.item(), delta=dual_clip.item() or None)
    return {"loss": loss, "grad.logps": slope(loss.sum(), p)}


def trl_k3(policy_logps, reference_logps):
    p = leaf(policy_logps)
    loss = grpo_loss(p, reference_logps, torch.zeros_like(p), beta=1.0)
    return {"k3": loss, "grad.k3": slope(loss.sum(), p)}


def statements(function, first, last):
    """The top-level statements of a function, from the one that holds first to the one before last."""
    body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    text = [ast.unparse(node) for node in body]
    start = next(i for i, t in enumerate(text) if first in t)
    stop = next(i for i, t in enumerate(text) if i > start and last in t)
    return "\n".join(text[start:stop])


def trl_rloo(rewards):
    from trl.trainer import rloo_trainer

    code = statements(rloo_trainer.RLOOTrainer._generate_and_score_completions, "grouped_rewards =", "nan_to_num")
    names = {**vars(rloo_trainer), "rewards": rewards, "num_generations": len(rewards),
             "self": SimpleNamespace(normalize_advantages=False)}
    exec(code, names)
    return {"advantages": names["advantages"]}


def trl_grpo(rewards, scale):
    from trl.trainer import grpo_trainer

    code = statements(grpo_trainer.GRPOTrainer._generate_and_score_completions, "multi_objective_aggregation ==",
                      "nan_to_num")
    options = SimpleNamespace(
        multi_objective_aggregation="sum_then_normalize", reward_weights=torch.ones(1),
        scale_rewards="group" if scale.item() else "none",
    )
    names = {**vars(grpo_trainer), "self": options, "rewards_per_func": rewards[:, None], "device": rewards.device,
             "num_generations": len(rewards), "unscorable_mask": torch.zeros(len(rewards), dtype=torch.bool)}
    exec(code, names)
    return {"advantages": names["advantages"]}


INSTALLED = {
    "policy_loss": ("GRPOTrainer._compute_loss", trl_policy_loss), "kl": ("GRPOTrainer._compute_loss, k3", trl_k3),
    "rloo": ("RLOOTrainer", trl_rloo), "grpo": ("GRPOTrainer", trl_grpo),
}


# TRL 0.11.4, read from a folder.


class Older:
    def __init__(self, folder):
        import typing

        import numpy

        self.names = {**vars(typing), "torch": torch, "np": numpy, "warnings": warnings}
        for file in ("core.py", "trainer/utils.py", "trainer/ppo_trainer.py"):
            wanted = {
                "masked_mean", "masked_var", "masked_whiten", "clip_by_value", "entropy_from_logits", "flatten_dict",
                "AdaptiveKLController", "compute_advantages", "compute_rewards", "_kl_penalty", "loss",
            }
            for top in ast.parse((Path(folder) / file).read_text()).body:
                nodes = top.body if getattr(top, "name", "") == "PPOTrainer" else [top]
                for node in nodes:
                    if getattr(node, "name", "") in wanted:
                        exec(ast.unparse(node), self.names)

    def gae(self, rewards, values, gamma, gae_lambda):
        names = self.names
        stub = SimpleNamespace(config=SimpleNamespace(whiten_rewards=False, gamma=gamma.item(), lam=gae_lambda.item()))
        whitening, names["masked_whiten"] = names["masked_whiten"], lambda x, _: x  # the table has them unwhitened
        batch = values[None], rewards[None], torch.ones(1, len(values))
        _, advantages, returns = names["compute_advantages"](stub, *batch)
        names["masked_whiten"] = whitening
        return {"advantages": advantages[0], "returns": returns[0]}

    def whiten(self, values):
        return {"whitened": self.names["masked_whiten"](values, torch.ones_like(values))}

    def kl(self, policy_logps, reference_logps):
        out = {}
        for name, penalty in (("k1", "kl"), ("k2", "mse")):
            p, stub = leaf(policy_logps), SimpleNamespace(config=SimpleNamespace(kl_penalty=penalty))
            out[name] = self.names["_kl_penalty"](stub, p, reference_logps)
            out[f"grad.{name}"] = slope(out[name].sum(), p)
        return out

    def token_rewards(self, policy_logps, reference_logps, kl_coef, score):
        stub = SimpleNamespace(config=SimpleNamespace(kl_penalty="kl"), kl_ctl=SimpleNamespace(value=kl_coef.item()))
        stub._kl_penalty = lambda *x: self.names["_kl_penalty"](stub, *x)
        batch = score, policy_logps[None], reference_logps[None], torch.ones(1, len(policy_logps))
        return {"rewards": self.names["compute_rewards"](stub, *batch)[0][0]}

    def losses(self, logps, old_logps, advantages, values, old_values, returns, **ranges):
        """The policy loss and the value loss of each token: means over batches of one."""
        options = SimpleNamespace(config=SimpleNamespace(vf_coef=1.0, ratio_threshold=math.inf, **ranges))
        one = [torch.zeros(1, 1, 2), torch.ones(1, 1)]
        policy, value = [], []
        for lp, old, a, v, ov, r in zip(logps, old_logps, advantages, values, old_values, returns):
            lp, old, a, v, ov, r = (x.reshape(1, 1) for x in (lp, old, a, v, ov, r))
            pg, vf, _ = self.names["loss"](options, old, ov, one[0], v, lp, one[1], a, r)
            policy.append(pg)
            value.append(vf)
        return torch.stack(policy), torch.stack(value)

    def policy_loss(self, logps, old_logps, advantages, clip_range, dual_clip):
        if dual_clip.item():
            return None
        p, o = leaf(logps), torch.zeros_like(logps)
        loss = self.losses(p, old_logps, advantages, o, o, o, cliprange=clip_range.item(), cliprange_value=1.0)[0]
        return {"loss": loss, "grad.logps": slope(loss.sum(), p)}

    def value_loss(self, values, old_values, returns, clip_range):
        v, o = leaf(values), torch.zeros_like(values)
        loss = self.losses(o, o, o, v, old_values, returns, cliprange=0.2, cliprange_value=clip_range.item())[1]
        return {"loss": loss, "grad.values": slope(loss.sum(), v)}

    def adaptive_kl(self, kl_coef, target, horizon, sequences, kl):
        controller, out = self.names["AdaptiveKLController"](kl_coef.item(), target.item(), horizon.item()), []
        for k in kl.tolist():
            controller.update(k, sequences.item())
            out.append(controller.value)
        return {"kl_coef": torch.tensor(out)}


def compare(expected, got, line, name):
    for key, values in got.items():
        assert len(values) == len(expected[key]), (name, key)
        for want, have in zip(expected[key], values.detach().tolist()):
            line["numbers"] += 1
            gap = abs(have - want)
            if not math.isfinite(have):
                line["bad"].append(name)
            elif abs(want) >= 1e-6:
                line["relative"] = max(line["relative"], (gap / abs(want), f"{name}, {key}"))
            else:
                line["absolute"] = max(line["absolute"], (gap, f"{name}, {key}"))


def main():
    ways = [("plain torch", {k: ("torch", f) for k, f in PLAIN.items()})]
    try:
        import trl

        ways.append((f"trl {trl.__version__}", INSTALLED))
    except ImportError:
        print("no trl")
    if len(sys.argv) > 1:
        older = Older(sys.argv[1])
        names = ("gae", "whiten", "kl", "token_rewards", "policy_loss", "value_loss", "adaptive_kl")
        ways.append(("trl from the folder", {k: (k, getattr(older, k)) for k in names}))
    table = json.loads((HERE / "ppo.json").read_text())
    for title, functions in ways:
        print(f"\n{title}")
        lines = {}
        for case in table:
            family = case["name"].split(":")[0]
            if family not in functions:
                continue
            how, f = functions[family]
            got = f(**{k: torch.tensor(v) for k, v in case["inputs"].items()})
            if got is None:
                continue
            if title == "plain torch":
                assert got.keys() == case["expected"].keys(), case["name"]
            blank = {"cases": 0, "numbers": 0, "relative": (0.0, ""), "absolute": (0.0, ""), "bad": []}
            line = lines.setdefault((family, how), blank)
            line["cases"] += 1
            compare(case["expected"], got, line, case["name"])
        for (family, how), line in lines.items():
            bad = f"; not finite: {sorted(set(line['bad']))}" if line["bad"] else ""
            (relative, where), (absolute, there) = line["relative"], line["absolute"]
            where, there = (f" ({w})" if x > 1e-12 else "" for x, w in ((relative, where), (absolute, there)))
            print(f"{family} [{how}]: {line['cases']} cases, {line['numbers']} numbers, "
                  f"relative {relative:.1e}{where}, absolute {absolute:.1e}{there}{bad}")


main()
