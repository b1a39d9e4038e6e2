"""Repeats a DPO training of `collimate-bench trace-dpo` in TRL and compares it step by step.

    collimate-bench trace-dpo --model DIR --data FILE --steps 20 [--lora 8] --out trace.jsonl
    python dpo_parity.py DIR trace.jsonl

Run by hand, with trl 1.16, transformers 5.24, peft 0.21, torch 2.15 on a CPU. The same weights, ids, batches and
optimiser; TRL pads and runs both completions of a pair with their prompt. With --lora the adapters are peft's, start
from the same numbers, and the reference is the policy without them. Exit status 1 if a loss
differs by more than 1e-4 relative, or a gradient norm by more than 1e-3.
"""

import json
import sys
import tempfile

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

folder, trace = sys.argv[1:3]
settings, *rows = [json.loads(line) for line in open(trace)]
(kind, options), learning_rate = *settings["loss"].items(), settings["learning_rate"]
names = {"dpo": "sigmoid", "slic_hf": "hinge", "exo": "exo_pair", "nca": "nca_pair", "sppo": "sppo_hard"}
batch = len(rows[0]["pairs"])


class Repeat(DPOTrainer):
    """TRL's trainer over ids that are given, in the order that is given."""

    losses, norms = [], []

    def _prepare_dataset(self, dataset, *_):
        return dataset

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(self, *args, **kwargs):
        out = super().compute_loss(*args, **kwargs)
        loss = out[0] if isinstance(out, tuple) else out
        self.losses.append(loss.item())
        return out

    def log(self, logs, *args, **kwargs):
        if "grad_norm" in logs:
            self.norms.append(float(logs["grad_norm"]))
        super().log(logs, *args, **kwargs)


tokenizer = AutoTokenizer.from_pretrained(folder)
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
load = lambda: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
lora, peft_config = settings.get("lora"), None
if lora:
    from peft import LoraConfig

    peft_config = LoraConfig(
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=sorted({path.rsplit(".", 1)[-1] for path in settings["lora_a"]}),
        task_type="CAUSAL_LM",
    )
pairs = [pair for row in rows for pair in row["pairs"]]
with tempfile.TemporaryDirectory() as out:
    config = DPOConfig(
        output_dir=out,
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        lr_scheduler_type="constant",
        num_train_epochs=1,
        loss_type=names.get(kind, kind),
        beta=options["beta"],
        max_length=None,
        logging_steps=1,
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=1.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Repeat(
        model=load(),
        ref_model=None if lora else load(),
        peft_config=peft_config,
        args=config,
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    starts = dict(settings.get("lora_a", {}))
    with torch.no_grad():
        for name, p in trainer.model.named_parameters():
            if ".lora_A." in name:
                path = name.removeprefix("base_model.model.").split(".lora_A.")[0]
                p.copy_(torch.tensor(starts.pop(path)).reshape(p.shape))
    if starts:
        sys.exit(f"peft gave no adapter to {sorted(starts)}")
    trainer.train()

worst = worst_norm = 0.0
for row, loss, norm in zip(rows, trainer.losses, trainer.norms, strict=True):
    far = abs(row["loss"] - loss) / max(1e-12, abs(loss))
    far_norm = abs(row["grad_norm"] - norm) / max(1e-12, abs(norm))
    worst, worst_norm = max(worst, far), max(worst_norm, far_norm)
    print(f"step {row['step']:>2}  here {row['loss']:.8f}  TRL {loss:.8f}  {far:.1e}   grad norm {far_norm:.1e}")
print(json.dumps({"steps": len(rows), "batch": batch, "worst_relative_loss": worst, "worst_relative_grad_norm": worst_norm}))
sys.exit(worst > 1e-4 or worst_norm > 1e-3)
