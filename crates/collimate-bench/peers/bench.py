"""The work of `collimate-bench sft|rm|dpo|ppo|generate` in TRL and transformers on the CPU.

    python bench.py sft|rm|dpo|ppo|generate --model DIR --rows FILE.jsonl [--steps N] [--warmup N] [--batch N]
        [--threads T] [--learning-rate F] [--dtype float32|bfloat16] [--lora RANK] [--checkpointing 1]
    ppo:       --reward-model DIR [--rollout-size N] [--mini-batch N] [--ppo-epochs N] [--new-tokens N] [--trl FOLDER]
    generate:  [--new-tokens N] [--temperature F] [--gguf FILE]

Run by hand or by `collimate-bench compare`, with trl 1.16.0 (ppo: 1.12.0), transformers 5.23.0, torch 2.15.0.

A row holds ids that are cut already, so that both sides see the same ones in the same order:

    sft       prompt_ids, completion_ids              TRL's SFTTrainer, loss over the completion
    dpo       prompt_ids, chosen_ids, rejected_ids    TRL's DPOTrainer, sigmoid, beta 0.1, live reference
    rm        [prompt_ids,] chosen_ids, rejected_ids  PyTorch: BERT, mean pooling; Llama, last token; linear head
    ppo       prompt_ids                              as `ppo_step.py`; a step is a rollout
    generate  prompt_ids                              transformers' `generate` with its cache; a step is all rows

All is float32, unless --dtype says that the model is bfloat16, with the libraries' default attention (SDPA).
sft, dpo and rm train every weight, or with --lora peft's adapters of all linear layers (alpha twice the rank, no
dropout; the reference of dpo is then the model with its adapters off), with AdamW (decay 0), a constant learning rate
and the gradient norm clipped to 1, without dropout, and without gradient checkpointing unless it is asked for.
With --gguf, generate is llama.cpp: the prompts are one batch (`llama_batch`), each step of all rows is one call.
AdamW is the fused one: transformers' default, and several times as fast here as the other.

Steps are timed from the end of the last warm-up step, with collation and optimiser. Files must have
(warmup + steps) * batch rows, but ppo begins again after the last. generate writes to the same rows each step,
`--batch` at a time, exactly `--new-tokens` to each, as no token ends a text; it warms up on a few tokens.

TRL pads a batch to its longest row, runs the prompt of a pair twice, and on a CPU takes log-probabilities at
all positions, also of prompts and padding. rm pads both sides of a batch to one length. A head that its folder
does not have is drawn, and then its losses are not those of the other side. `real_tokens_per_s` counts no
padding; a pair has prompt + chosen + prompt + rejected tokens; generate counts new tokens.
Threads beyond the cores that are free cost PyTorch far more than their share, as OpenMP's wait by spinning;
OMP_WAIT_POLICY=passive made two threads on two busy cores two to four times as fast.
Prints one JSON line; `peak_rss_mb` includes the libraries, which alone make `imported_rss_mb`.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time

# A run leaves nothing beside the scripts.
sys.dont_write_bytecode = True

import ppo_step
from ppo_step import peak_mb

FIELDS = {
    "sft": ("prompt_ids", "completion_ids"),
    "rm": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "dpo": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "ppo": ("prompt_ids",),
    "generate": ("prompt_ids",),
}
# New tokens of a warm-up of `generate`: through the prompts, and some steps with the cache.
WARMUP_TOKENS = 8


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = parser.add_subparsers(dest="work", required=True)
    for work in FIELDS:
        sub = works.add_parser(work)
        sub.add_argument("--model", required=True, help="model folder")
        sub.add_argument("--rows", required=True, help="JSON lines with token ids")
        sub.add_argument("--steps", type=count(1), default=8, help="steps to time")
        sub.add_argument("--warmup", type=count(0), default=1, help="steps before those")
        batch = {"rm": 32, "generate": 8}.get(work, 4)
        sub.add_argument("--batch", type=count(1), default=batch, help="rows of a forward pass; not for ppo")
        sub.add_argument("--threads", type=count(1), default=os.cpu_count())
        sub.add_argument("--learning-rate", type=float, default=1e-5, help="not for generate")
        sub.add_argument("--seed", type=int, default=0)
        if work != "ppo":
            sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
        if work != "generate":
            sub.add_argument("--lora", type=count(1), help="rank of adapters that are trained instead of all weights")
        if work in ("sft", "dpo", "rm"):
            sub.add_argument("--checkpointing", type=count(0), default=0, help="1 for gradient checkpointing")
        if work == "ppo":
            sub.add_argument("--reward-model", required=True, help="LlamaForSequenceClassification, one label")
            sub.add_argument("--rollout-size", type=count(1), default=64)
            sub.add_argument("--mini-batch", type=count(1), default=16)
            sub.add_argument("--ppo-epochs", type=count(1), default=4)
            sub.add_argument("--trl", help="folder with the package trl, at most 1.12; by default the installed one")
        if work in ("ppo", "generate"):
            sub.add_argument("--new-tokens", type=count(1), default=48 if work == "ppo" else 200)
        if work == "generate":
            sub.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token")
            sub.add_argument("--gguf", help="file that llama.cpp reads instead of the model folder")
    args = parser.parse_args()
    if args.work == "ppo" and args.rollout_size % args.mini_batch:
        parser.error("--rollout-size must be a multiple of --mini-batch")
    return args


def count(least):
    def parse(text):
        if (number := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return number

    return parse


def read_rows(args):
    """The rows of a run, or exit with a line that says what is wrong."""
    for folder in filter(None, (args.model, getattr(args, "reward_model", None))):
        if not os.path.isfile(os.path.join(folder, "config.json")):
            sys.exit(f"error: {folder}: not a model folder, it has no config.json")
    with open(os.path.join(args.model, "config.json"), encoding="utf-8") as f:
        vocabulary = range(json.load(f)["vocab_size"])
    rows = []
    try:
        with open(args.rows, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    sys.exit(f"error: {args.rows}:{number}: {error}")
                if not isinstance(row, dict):
                    sys.exit(f"error: {args.rows}:{number}: not an object")
                if args.work == "rm":
                    row.setdefault("prompt_ids", [])
                for field in FIELDS[args.work]:
                    ids = row.get(field)
                    may_be_empty = field == "prompt_ids" and args.work in ("sft", "rm", "dpo")
                    if not (isinstance(ids, list) and (ids or may_be_empty)):
                        sys.exit(f"error: {args.rows}:{number}: no ids as `{field}`")
                    if not all(type(i) is int and i in vocabulary for i in ids):
                        sys.exit(f"error: {args.rows}:{number}: `{field}` has ids that the model has not")
                rows.append({field: row[field] for field in FIELDS[args.work]})
    except OSError as error:
        sys.exit(f"error: {args.rows}: {error.strerror}")
    except UnicodeDecodeError as error:
        sys.exit(f"error: {args.rows}: {error}")
    if args.work == "ppo":
        needed, why = 1, "ppo"
    elif args.work == "generate":
        needed, why = args.batch, f"a batch of {args.batch}"
    else:
        needed, why = (args.warmup + args.steps) * args.batch, f"{args.warmup} + {args.steps} steps of {args.batch}"
        rows = rows[:needed]
    if len(rows) < needed:
        sys.exit(f"error: {args.rows}: {len(rows)} rows, but {why} needs {needed}")
    return rows


def padded(sequences, pad=0, left=False):
    """Ids and attention mask as tensors, as wide as the longest sequence."""
    import torch

    width = max(map(len, sequences))
    fill = lambda row, value: [value] * (width - len(row)) + row if left else row + [value] * (width - len(row))
    return torch.tensor([fill(s, pad) for s in sequences]), torch.tensor([fill([1] * len(s), 0) for s in sequences])


def pair_tokens(rows):
    """Tokens of both sequences of pairs, the prompt in each."""
    return sum(2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)


def adapters(args):
    """peft's configuration of the adapters that both sides train."""
    from peft import LoraConfig

    return LoraConfig(r=args.lora, lora_alpha=2 * args.lora, lora_dropout=0.0, target_modules="all-linear")


def trl_training(args, rows):
    """sft and dpo: TRL's trainers over ids that are given, in the order that is given."""
    import accelerate
    import torch
    import transformers
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    torch.set_num_threads(args.threads)
    imported = peak_mb()
    sft = args.work == "sft"
    losses, times = [], []

    class Repeat(SFTTrainer if sft else DPOTrainer):
        def _prepare_dataset(self, dataset, *_, **__):
            return dataset

        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def compute_loss(self, *positional, **named):
            out = super().compute_loss(*positional, **named)
            losses.append((out[0] if isinstance(out, tuple) else out).item())
            return out

    class Clock(TrainerCallback):
        def on_train_begin(self, *_, **__):
            times.append(time.perf_counter())

        def on_step_end(self, *_, **__):
            times.append(time.perf_counter())

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    dtype = getattr(torch, args.dtype)
    load = lambda: AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype)
    if sft:
        data = [
            {
                "input_ids": row["prompt_ids"] + row["completion_ids"],
                "labels": [-100] * len(row["prompt_ids"]) + row["completion_ids"],
            }
            for row in rows
        ]
    else:
        data = rows
    with tempfile.TemporaryDirectory() as out:
        common = dict(
            output_dir=out,
            per_device_train_batch_size=args.batch,
            max_steps=args.warmup + args.steps,
            learning_rate=args.learning_rate,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",
            weight_decay=0.0,
            max_grad_norm=1.0,
            max_length=None,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=bool(args.checkpointing),
            dataloader_pin_memory=False,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=args.seed,
        )
        arguments = dict(
            model=load(), train_dataset=Dataset.from_list(data), processing_class=tokenizer, callbacks=[Clock()]
        )
        if args.lora:
            arguments["peft_config"] = adapters(args)
        if sft:
            trainer = Repeat(args=SFTConfig(**common), **arguments)
        elif args.lora:
            trainer = Repeat(args=DPOConfig(loss_type="sigmoid", beta=0.1, **common), **arguments)
        else:
            trainer = Repeat(args=DPOConfig(loss_type="sigmoid", beta=0.1, **common), ref_model=load(), **arguments)
        trainer.train()
    timed = data[args.warmup * args.batch :]
    return {
        "library": f"trl {trl.__version__}",
        "seconds": times[-1] - times[args.warmup],
        "tokens": sum(len(row["input_ids"]) for row in timed) if sft else pair_tokens(timed),
        "losses": losses,
        "imported_rss_mb": imported,
        "modules": (torch, transformers, trl, accelerate),
    }


def head_of(folder, bert, width):
    """The linear head: that of a sentence-transformers folder or a classifier, else a new one."""
    import torch
    from safetensors import safe_open

    file, prefix = ("2_Dense/model.safetensors", "linear.") if bert else ("model.safetensors", "score.")
    file = os.path.join(folder, file)
    held = {}
    if os.path.isfile(file):
        with safe_open(file, "pt") as tensors:
            names = [name for name in tensors.keys() if name.startswith(prefix)]
            held = {name.removeprefix(prefix): tensors.get_tensor(name) for name in names}
    head = torch.nn.Linear(width, 1, bias=bert)
    if held:
        head.load_state_dict(held)
    elif bert:
        torch.nn.init.zeros_(head.bias)
    return head.float()


def reward_model(args, rows):
    """rm: an encoder or decoder with a linear head in plain PyTorch."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    imported = peak_mb()
    config = AutoConfig.from_pretrained(args.model)
    bert = config.model_type == "bert"
    dtype = getattr(torch, args.dtype)
    if bert:
        backbone = AutoModel.from_pretrained(args.model, dtype=dtype, add_pooling_layer=False)
    elif (config.architectures or [""])[0].endswith("ForCausalLM"):
        # A folder with tied weights may store `lm_head` alone, where AutoModel finds no embedding.
        backbone = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).base_model
    else:
        backbone = AutoModel.from_pretrained(args.model, dtype=dtype)
    backbone.eval()
    torch.manual_seed(args.seed)
    if args.lora:
        from peft import get_peft_model

        # peft makes the adapters of a model in float32 by itself.
        backbone = get_peft_model(backbone, adapters(args))
    if args.checkpointing:
        backbone.train()
        backbone.gradient_checkpointing_enable()
        backbone.enable_input_require_grads()
    head = head_of(args.model, bert, config.hidden_size)
    parameters = [p for p in (*backbone.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.learning_rate, weight_decay=0.0, fused=True)
    more = {} if bert else {"use_cache": False}

    def rewards(batch):
        ids, mask = padded([row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids") for row in batch])
        hidden = backbone(input_ids=ids, attention_mask=mask, **more).last_hidden_state
        if bert:
            weight = mask.unsqueeze(-1).float()
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        else:
            pooled = hidden[torch.arange(len(ids)), mask.sum(1) - 1]
        return head(pooled.float()).squeeze(-1).chunk(2)

    losses, times = [], [time.perf_counter()]
    for at in range(0, len(rows), args.batch):
        chosen, rejected = rewards(rows[at : at + args.batch])
        loss = torch.nn.functional.softplus(rejected - chosen).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter())
    return {
        "library": f"transformers {transformers.__version__}",
        "seconds": times[-1] - times[args.warmup],
        "tokens": pair_tokens(rows[args.warmup * args.batch :]),
        "losses": losses,
        "imported_rss_mb": imported,
        "modules": (torch, transformers),
    }


def generate(args, rows):
    """generate: batches padded on the left, each row as many new tokens."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, GenerationConfig

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    imported = peak_mb()
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    # What a configuration leaves open is taken from the model's.
    model.generation_config = GenerationConfig(pad_token_id=model.generation_config.pad_token_id or 0)
    pad = model.generation_config.pad_token_id
    sampling = dict(do_sample=True, temperature=args.temperature, top_k=0, top_p=1.0)

    def write(batch, new_tokens):
        """Continues the prompts; the number of new tokens."""
        ids, mask = padded(batch, pad, left=True)
        config = GenerationConfig(
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            use_cache=True,
            pad_token_id=pad,
            **(sampling if args.temperature > 0 else dict(do_sample=False)),
        )
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        return (out.shape[1] - ids.shape[1]) * len(batch)

    prompts = [row["prompt_ids"] for row in rows]
    batches = [prompts[at : at + args.batch] for at in range(0, len(prompts), args.batch)]
    for _ in range(args.warmup):
        write(batches[0], min(WARMUP_TOKENS, args.new_tokens))
    begun = time.perf_counter()
    tokens = sum(write(batch, args.new_tokens) for _ in range(args.steps) for batch in batches)
    seconds = time.perf_counter() - begun
    if tokens != args.steps * args.new_tokens * len(prompts):
        sys.exit(f"error: {tokens} new tokens in {args.steps} steps for {len(prompts)} prompts")
    return {
        "library": f"transformers {transformers.__version__}",
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_s": round(tokens / seconds, 1),
        "imported_rss_mb": imported,
        "modules": (torch, transformers),
    }


def llama_cpp(args, rows):
    """generate with --gguf: llama.cpp's batches, where each row is a sequence of its own; the likeliest tokens."""
    import llama_cpp
    import numpy

    if args.temperature > 0:
        sys.exit("error: with --gguf, only the likeliest tokens are taken")
    imported = peak_mb()
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(args.gguf.encode(), llama_cpp.llama_model_default_params())
    if not model:
        sys.exit(f"error: {args.gguf}: llama.cpp cannot read it")
    words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    prompts = [row["prompt_ids"] for row in rows]
    batches = [prompts[at : at + args.batch] for at in range(0, len(prompts), args.batch)]
    longest = args.batch * (max(map(len, prompts)) + args.new_tokens)
    given = llama_cpp.llama_context_default_params()
    given.n_ctx, given.n_batch, given.n_ubatch, given.n_seq_max = longest, longest, 512, args.batch
    given.n_threads = given.n_threads_batch = args.threads
    if hasattr(given, "kv_unified"):
        # A cache for each row: 287 tokens/s in place of 205 with one cache for all (SmolLM2-135M, 16 rows).
        given.kv_unified = False
    context = llama_cpp.llama_init_from_model(model, given)
    place = llama_cpp.llama_batch_init(longest, 0, 1)

    def run(tokens):
        """Runs tokens (id, position, row, wanted); the likeliest next token after each that is wanted."""
        for at, (token, position, row, wanted) in enumerate(tokens):
            place.token[at], place.pos[at], place.logits[at] = token, position, wanted
            place.n_seq_id[at], place.seq_id[at][0] = 1, row
        place.n_tokens = len(tokens)
        if llama_cpp.llama_decode(context, place):
            sys.exit("error: llama.cpp could not decode")
        logits = lambda at: numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, at), (words,))
        return [int(logits(at).argmax()) for at, (*_, wanted) in enumerate(tokens) if wanted]

    def write(batch, new_tokens):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        last = run([(t, i, row, i + 1 == len(p)) for row, p in enumerate(batch) for i, t in enumerate(p)])
        written = [last]
        for step in range(new_tokens - 1):
            last = run([(token, len(batch[row]) + step, row, True) for row, token in enumerate(last)])
            written.append(last)
        return sum(map(len, written))

    for _ in range(args.warmup):
        write(batches[0], min(WARMUP_TOKENS, args.new_tokens))
    begun = time.perf_counter()
    tokens = sum(write(batch, args.new_tokens) for _ in range(args.steps) for batch in batches)
    seconds = time.perf_counter() - begun
    return {
        "library": f"llama.cpp (llama-cpp-python {llama_cpp.__version__})",
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_s": round(tokens / seconds, 1),
        "imported_rss_mb": imported,
        "modules": (llama_cpp,),
    }


def ppo(args, _):
    """ppo: `ppo_step.py` over prompts as ids."""
    given = {
        "--model": args.model,
        "--reward-model": args.reward_model,
        "--ids": args.rows,
        "--rollouts": args.warmup + args.steps,
        "--warmup": args.warmup,
        "--rollout-size": args.rollout_size,
        "--mini-batch": args.mini_batch,
        "--ppo-epochs": args.ppo_epochs,
        "--response-tokens": args.new_tokens,
        "--learning-rate": args.learning_rate,
        "--threads": args.threads,
        "--seed": args.seed,
    }
    for name in ("trl", "lora"):
        if getattr(args, name):
            given[f"--{name}"] = getattr(args, name)
    given = ppo_step.options([f"{name}={value}" for name, value in given.items()])
    try:
        line = ppo_step.run(given)
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; PPO needs a trl of at most 1.12, see --trl")
    return {
        "library": line["library"],
        "seconds": line["seconds_per_rollout"] * args.steps,
        "tokens": line["real_tokens"],
        "seconds_per_rollout": line["seconds_per_rollout"],
        "mean_response_tokens": line["mean_response_tokens"],
        "optimizer_steps_per_rollout": line["optimizer_steps_per_rollout"],
        "rollout_size": args.rollout_size,
        "mini_batch": args.mini_batch,
        "imported_rss_mb": line["imported_rss_mb"],
        "versions": line["versions"],
    }


def main():
    args = options()
    rows = read_rows(args)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    works = {"sft": trl_training, "dpo": trl_training, "rm": reward_model, "ppo": ppo, "generate": generate}
    if getattr(args, "gguf", None):
        works["generate"] = llama_cpp
    with contextlib.redirect_stdout(sys.stderr):
        done = works[args.work](args, rows)

    seconds, tokens = done.pop("seconds"), done.pop("tokens")
    modules = done.pop("modules", ())
    per_second = round(args.steps * args.batch / seconds, 3) if args.work in ("sft", "rm", "dpo") else None
    line = {
        "work": args.work,
        "library": done.pop("library"),
        "pairs_per_s": None if args.work == "sft" else per_second,
        "examples_per_s": per_second if args.work == "sft" else None,
        "real_tokens_per_s": round(tokens / seconds, 1),
        "tokens": tokens,
        "seconds": round(seconds, 4),
        "steps": args.steps,
        "batch": args.rollout_size if args.work == "ppo" else args.batch,
        "peak_rss_mb": peak_mb(),
        "imported_rss_mb": done.pop("imported_rss_mb"),
        "losses": [round(loss, 7) for loss in done.pop("losses", [])],
        "gemm_share": None,
        "threads": args.threads,
        "versions": {module.__name__: module.__version__ for module in modules},
        **done,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
