"""Seconds per rollout and peak memory of TRL's PPO trainer on the CPU, over Llama folders.

    python ppo_step.py --model DIR --reward-model DIR --prompts FILE|--ids FILE.jsonl [--trl FOLDER] [--rollouts N]
        [--rollout-size N] [--mini-batch N] [--ppo-epochs N] [--response-tokens N] [--threads T] ...

Run by hand, with trl 1.12.0, transformers 5.23.0, torch 2.15.0. TRL 1.13 has this trainer no more; --trl is a
folder that holds the package `trl`, such as an unpacked wheel, put before the installed one.

The policy and a critic of its own, begun as the reward model, are trained in full, or with --lora peft's
adapters of all linear layers of both (alpha twice the rank, no dropout) and the critic's head; the reference is
then the policy with its adapters off. The reward model is frozen, and so is the reference. A rollout is
everything from taking prompts to the last optimiser step. Rollouts
are timed from the end of the one before; the first of several is left out, or the first `--warmup`.
Prompts as text are drawn in TRL's random order. `--ids` has rows {"prompt_ids": [...]}, taken as they are, in
their order, from the start again after the last.

With micro-batches TRL makes one optimiser step a pass whatever `num_mini_batches` is: it accumulates
over all `gradient_accumulation_steps` of them. (Only on the last rollout of a pass over the prompts does
accelerate step after each.) Without accumulation it cuts the rollout into `num_mini_batches` parts and
steps after each. So here the device's batch is the rollout, accumulation 1, and `num_mini_batches`
rollout / mini-batch: ppo-epochs * rollout-size / mini-batch steps, printed as counted at the optimiser.
TRL does not clip the gradient, and steps the linear schedule once a rollout. Learning rate, Adam's
epsilon and decay are those of the example `ppo`; all else that is not an option here is TRL's default.

TRL pads prompts on the left, writes until every row of a batch has ended or is full, and runs all
forward passes over the padded rows. Writing and scoring 64 rows at once was faster than 16, and as fast
as 32 within the noise. `mean_response_tokens` counts a response's tokens up to its end-of-text token and
with it. Prints one JSON line; `peak_rss_mb` includes the libraries, which alone make `imported_rss_mb`.
"""

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time


def peak_mb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def options(argv=None):
    """The command line's options, of `argv` if given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="folder with the package trl; by default the installed one")
    parser.add_argument("--model", required=True, help="Llama folder of the policy and the reference")
    parser.add_argument("--reward-model", required=True, help="folder of a LlamaForSequenceClassification, one label")
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--prompts", help="one prompt a line")
    prompts.add_argument("--ids", help="a row with the ids of a prompt a line; --max-length is not looked at")
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--warmup", type=int, help="rollouts that are not timed; by default 1 of several")
    parser.add_argument("--rollout-size", type=int, default=64)
    parser.add_argument("--mini-batch", type=int, default=16, help="responses of an optimiser step")
    parser.add_argument("--ppo-epochs", type=int, default=4)
    parser.add_argument("--response-tokens", type=int, default=48)
    parser.add_argument("--max-length", type=int, default=128, help="prompt and response, in tokens")
    parser.add_argument("--kl-coef", type=float, default=0.05)
    parser.add_argument("--learning-rate", type=float, default=1.4e-5)
    parser.add_argument("--forward-batch", type=int, default=0, help="rows written and scored at once, 0 for all")
    parser.add_argument("--lora", type=int, help="rank of adapters that are trained instead of all weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.rollout_size % args.mini_batch:
        parser.error("--rollout-size must be a multiple of --mini-batch")
    args.forward_batch = args.forward_batch or args.rollout_size
    if args.rollout_size % args.forward_batch:
        parser.error("--rollout-size must be a multiple of --forward-batch")
    if args.warmup is None:
        args.warmup = 1 if args.rollouts > 1 else 0
    if not 0 <= args.warmup < args.rollouts:
        parser.error("--warmup leaves no rollout to time")
    return args


def run(args):
    """Trains with these options; a dictionary of what was measured."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["ACCELERATE_USE_CPU"] = "true"
    if args.trl:
        sys.path.insert(0, args.trl)
    import accelerate
    import torch
    import transformers
    import trl
    import trl.experimental.ppo.ppo_trainer as ppo
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    torch.set_num_threads(args.threads)
    imported = peak_mb()

    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        # Padding must be told from the end of text; an id that no text has needs no new row.
        if tokenizer.unk_token_id in (None, tokenizer.eos_token_id):
            sys.exit("the tokenizer has no padding token of its own and no unknown token in its place")
        tokenizer.pad_token = tokenizer.unk_token
    with open(args.prompts or args.ids, encoding="utf-8") as f:
        lines = [line.strip() for line in f if line.strip()]
    if args.ids:
        prompts = [json.loads(line)["prompt_ids"] for line in lines]
        rows = [{"input_ids": prompts[i % len(prompts)]} for i in range(args.rollouts * args.rollout_size)]
        loader = ppo.DataLoader
        ppo.DataLoader = lambda *positional, **named: loader(*positional, **{**named, "shuffle": False})
    else:
        longest = args.max_length - args.response_tokens
        rows = [{"input_ids": tokenizer(text).input_ids} for text in lines]
        rows = [row for row in rows if len(row["input_ids"]) <= longest]
        if not rows:
            sys.exit(f"no prompt of at most {longest} tokens")
        # TRL drops an incomplete rollout, and would look for a complete one for ever.
        rows *= -(-args.rollout_size // len(rows))

    policy = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    policy.generation_config.pad_token_id = tokenizer.pad_token_id
    scorer = lambda: AutoModelForSequenceClassification.from_pretrained(
        args.reward_model, num_labels=1, dtype=torch.float32
    )

    critic, adapters = scorer(), None
    modules = [trl, transformers, accelerate, torch]
    if args.lora:
        import peft

        modules.append(peft)
        adapters = peft.LoraConfig(r=args.lora, lora_alpha=2 * args.lora, lora_dropout=0.0, target_modules="all-linear")
        head = peft.LoraConfig(**{**adapters.to_dict(), "exclude_modules": ["score"], "task_type": "SEQ_CLS"})
        # In place, because TRL looks for the parts of a plain model.
        critic = peft.inject_adapter_in_model(head, critic)
        critic.score.requires_grad_(True)

    lengths, tokens, writing = [], [], []
    batch_generation = ppo.batch_generation

    def counted(model, queries, *rest):
        """TRL's generation; keeps the responses' lengths, all real tokens and its seconds."""
        begun = time.perf_counter()
        out, logits = batch_generation(model, queries, *rest)
        writing.append(time.perf_counter() - begun)
        ends = out[:, queries.shape[1] :] == tokenizer.eos_token_id
        first = torch.where(ends.any(1), ends.int().argmax(1) + 1, args.response_tokens)
        lengths.append(first.float().mean().item())
        tokens.append((queries != tokenizer.pad_token_id).sum().item() + first.sum().item())
        return out, logits

    ppo.batch_generation = counted
    times, steps = [], []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_, **__):
            times.append((time.perf_counter(), time.process_time()))

        def on_step_end(self, *_, **__):
            times.append((time.perf_counter(), time.process_time()))

    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(sys.stderr):
        config = PPOConfig(
            output_dir=out,
            seed=args.seed,
            total_episodes=args.rollouts * args.rollout_size,
            per_device_train_batch_size=args.rollout_size,
            gradient_accumulation_steps=1,
            num_mini_batches=args.rollout_size // args.mini_batch,
            local_rollout_forward_batch_size=args.forward_batch,
            num_ppo_epochs=args.ppo_epochs,
            response_length=args.response_tokens,
            stop_token="eos",
            missing_eos_penalty=None,
            temperature=1.0,
            kl_coef=args.kl_coef,
            learning_rate=args.learning_rate,
            adam_epsilon=1e-5,
            weight_decay=0.0,
            num_sample_generations=0,
            use_cpu=True,
            bf16=False,
            fp16=False,
            gradient_checkpointing=False,
            eval_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = PPOTrainer(
            args=config,
            processing_class=tokenizer,
            model=policy,
            ref_model=None,
            reward_model=scorer(),
            value_model=critic,
            peft_config=adapters,
            train_dataset=Dataset.from_list(rows),
            callbacks=[Clock()],
        )
        optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
        optimizer.register_step_post_hook(lambda *_: steps.append(1))
        trainer.train()

    warm = args.warmup
    seconds, processor = ([b - a for a, b in zip(t, t[1:])][warm:] for t in zip(*times))
    mean = lambda numbers: sum(numbers) / len(numbers)
    return {
        "library": f"trl {trl.__version__}",
        "seconds_per_rollout": round(mean(seconds), 4),
        "fastest": round(min(seconds), 4),
        "slowest": round(max(seconds), 4),
        "processor_seconds_per_rollout": round(mean(processor), 4),
        "generation_seconds_per_rollout": round(mean(writing[warm:]), 4),
        "rollouts_timed": len(seconds),
        "rollout_size": args.rollout_size,
        "mini_batch": args.mini_batch,
        "forward_batch": args.forward_batch,
        "mean_response_tokens": round(mean(lengths[warm:]), 2),
        "real_tokens": sum(tokens[warm:]),
        "peak_rss_mb": peak_mb(),
        "imported_rss_mb": imported,
        "optimizer_steps_per_rollout": len(steps) / args.rollouts,
        "optimizer": type(optimizer).__name__ + (" fused" if optimizer.defaults.get("fused") else ""),
        "device": str(trainer.accelerator.device),
        "threads": torch.get_num_threads(),
        "seed": args.seed,
        "lora": args.lora,
        "versions": {m.__name__: m.__version__ for m in modules},
    }


if __name__ == "__main__":
    print(json.dumps(run(options())))
