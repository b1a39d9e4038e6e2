"""Compares the log-probabilities of `collimate score --logprobs` with those of transformers.

    collimate score --logprobs --model DIR --data pairs.jsonl --max-length N --out scores.jsonl
    collimate data show-tokens pairs.jsonl --max-length N --rows ROWS --model DIR --json > tokens.json
    python score_parity.py DIR scores.jsonl tokens.json [FIRST [COUNT]]

Run by hand, with transformers 5.24 on a CPU in float32. The ids and the tokens that count are those of
`show-tokens`; conversations must render to the same ids with `apply_chat_template`. Relative errors are
|here - there| / |there|. Exit status 1 above 1e-4.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(2)
folder, scores, tokens = sys.argv[1:4]
first = int(sys.argv[4]) if len(sys.argv) > 4 else 0
count = int(sys.argv[5]) if len(sys.argv) > 5 else None
rows = [json.loads(line) for line in open(scores)]
shown = json.load(open(tokens))["rows"]
if len(rows) != len(shown):
    sys.exit(f"{len(rows)} rows are scored, {len(shown)} are shown: ask show-tokens for --rows {len(rows)}")
picked = list(zip(rows, shown))[first:][:count]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def summed(ids, learned):
    """Sum of log p over the tokens that count."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1]
    logps = torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return logps[torch.tensor(learned[1:])].sum().item()


worst, other_ids, total, longest = 0.0, 0, 0, 0
for row, both in picked:
    for name, sequence in zip(("chosen", "rejected"), both["sequences"], strict=True):
        ids = [token["id"] for token in sequence["tokens"]]
        learned = [token["learned"] for token in sequence["tokens"]]
        if isinstance(row["prompt"], list):
            answer = {"role": "assistant", "content": row[name]}
            whole = tokenizer.apply_chat_template(row["prompt"] + [answer], return_dict=True)["input_ids"]
            other_ids += whole[: len(ids)] != ids or whole[len(ids) :] not in ([], tokenizer.encode("\n"))
        there, here = summed(ids, learned), row[f"{name}_logps"]
        far = abs(here - there) / abs(there)
        if sum(learned) != row[f"{name}_tokens"] or far > worst:
            print(f"row {both['row']} {name}: here {here:.6f} over {row[f'{name}_tokens']} tokens, there {there:.6f} over {sum(learned)}: {far:.1e}")
        worst, total, longest = max(worst, far), total + len(ids), max(longest, len(ids))
print(json.dumps({"pairs": len(picked), "tokens": total, "longest": longest, "other_ids": other_ids, "worst_relative": worst}))
sys.exit(worst > 1e-4 or other_ids > 0)
