"""PyTorch anchor: a MiniLM reward model on ETHICS pairs, fully fine-tuned on the CPU.

    python rm_ethics.py MODEL_DIR util_train.csv [--pairs N] [--seconds S] [--threads T] [--eval N]

Mean pooling over real tokens, a linear head, loss softplus(-(r_better - r_worse)), AdamW (weight decay
0), learning rate 5e-5 falling linearly to 0, gradient norm clipped to 1, batches of 32 pairs, dropout off.
The file is split by rows that share a text into training and validation; no other file is read. Batches
are padded to their longest text; `real_tokens_per_s` counts tokens without padding and each text of a
pair once. Only training steps are timed. Prints one JSON line.
"""

import argparse
import csv
import json
import random
import resource
import time

import torch
from tokenizers import Tokenizer
from transformers import BertModel


def groups(pairs):
    """Rows connected by a shared text, as lists of row numbers."""
    root = list(range(len(pairs)))

    def find(i):
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    owner = {}
    for i, pair in enumerate(pairs):
        for text in pair:
            root[find(i)] = find(owner.setdefault(text, i))
    out = {}
    for i in range(len(pairs)):
        out.setdefault(find(i), []).append(i)
    return [out[k] for k in sorted(out)]


def padded(sequences):
    width = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (width - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences])
    return ids, mask


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("csv")
    parser.add_argument("--pairs", type=int, default=0, help="training pairs, 0 for all")
    parser.add_argument("--eval", type=int, default=1000, help="validation pairs")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="stop training after this long, 0 for never")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    with open(args.csv, newline="", encoding="utf-8") as f:
        pairs = [tuple(row) for row in csv.reader(f)]
    clusters = groups(pairs)
    rng.shuffle(clusters)
    order = [i for c in clusters for i in c]
    # A cluster is never cut: the boundary moves to the end of the cluster that crosses it.
    cut, seen = 0, 0
    for c in clusters:
        if seen >= args.eval:
            break
        seen += len(c)
        cut = seen
    held, train = order[:cut], order[cut:]
    rng.shuffle(train)
    train = train[: args.pairs or None]

    tokenizer = Tokenizer.from_file(f"{args.model}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    ids = [[e.ids for e in tokenizer.encode_batch(list(pair))] for pair in pairs]

    encoder = BertModel.from_pretrained(args.model, dtype=torch.float32, add_pooling_layer=False).eval()
    head = torch.nn.Linear(encoder.config.hidden_size, 1)
    torch.nn.init.zeros_(head.bias)
    parameters = [*encoder.parameters(), *head.parameters()]
    steps = args.epochs * (len(train) // args.batch)
    optimizer = torch.optim.AdamW(parameters, lr=5e-5, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1.0 - s / steps)

    def rewards(rows):
        tokens, mask = padded([ids[i][side] for side in (0, 1) for i in rows])
        hidden = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        return head((hidden * weight).sum(1) / weight.sum(1)).squeeze(-1).chunk(2)

    done, tokens, losses = 0, 0, []
    start = time.perf_counter()
    while done < steps and not (args.seconds and time.perf_counter() - start > args.seconds):
        at = done % (len(train) // args.batch)
        if at == 0:
            rng.shuffle(train)
        rows = train[at * args.batch : (at + 1) * args.batch]
        better, worse = rewards(rows)
        loss = torch.nn.functional.softplus(worse - better).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        tokens += sum(len(s) for i in rows for s in ids[i])
        done += 1
    elapsed = time.perf_counter() - start
    with torch.no_grad():
        right = 0.0
        for i in range(0, len(held), 64):
            better, worse = rewards(held[i : i + 64])
            right += (better > worse).sum().item() + 0.5 * (better == worse).sum().item()
    line = {
        "pairs_per_s": round(done * args.batch / elapsed, 2),
        "real_tokens_per_s": round(tokens / elapsed, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "accuracy": round(right / len(held), 4),
        "validation_pairs": len(held),
        "steps": done,
        "planned_steps": steps,
        "last_loss": round(sum(losses[-20:]) / max(1, len(losses[-20:])), 4),
        "seconds": round(elapsed, 2),
        "threads": args.threads,
        "seed": args.seed,
        "torch": torch.__version__,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
