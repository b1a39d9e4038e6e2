"""Compares greedy answers of `collimate generate` with those of transformers, token by token.

    collimate generate --model DIR --prompts chats.jsonl --temperature 0 --max-new-tokens 48 --out answers.jsonl
    python greedy_parity.py DIR answers.jsonl 48

Run by hand, with transformers 5.24 on a CPU in float32. Rows of chats.jsonl are {"prompt": [messages]}. Where
an answer differs, the logits of both tokens show whether they were as good as equal; of equal answers the
nearest two logits are shown. Exit status 1 if the logits where an answer differs are 0.001 apart or more.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_num_threads(2)
folder, answers, count = sys.argv[1], [json.loads(line) for line in open(sys.argv[2])], int(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
equal = tokens = wrong = 0
for row, answer in enumerate(answers):
    here = answer["completions"][0]["tokens"]
    ids = tokenizer.apply_chat_template(
        answer["prompt"], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )["input_ids"]
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
        logits = model(out).logits[0, ids.shape[1] - 1 :]
    there = out[0, ids.shape[1] :].tolist()
    tokens += len(there)
    if here == there:
        best = logits[: len(there)].topk(2).values
        near = (best[:, 0] - best[:, 1]).argmin().item()
        print(f"{row:3} equal, {len(there)} tokens; nearest logits {best[near].tolist()} at token {near}")
        equal += 1
        continue
    at = next((i for i, (a, b) in enumerate(zip(here, there)) if a != b), None)
    if at is None:
        print(f"{row:3} one ends after {min(len(here), len(there))} tokens, the other goes on")
        wrong += 1
        continue
    pair = [logits[at, side[at]].item() for side in (here, there)]
    wrong += abs(pair[0] - pair[1]) >= 1e-3
    print(f"{row:3} differs at token {at}: here {here[at]} with logit {pair[0]}, there {there[at]} with {pair[1]}")
print(json.dumps({"rows": len(answers), "equal": equal, "tokens": tokens, "wrong": wrong}))
sys.exit(wrong > 0)
