"""Makes the small tokenizers of this folder, one of each kind, and the ids that TRL gives for a few rows.

    python make.py            writes *.json (tokenizers) and trl.json (rows and ids)
    python make.py ROWS       compares every row of ROWS/*.jsonl with TRL and prints a table
                              (rows: COLLIMATE_BORDER_ROWS=ROWS cargo test -p collimate-data --test border)

Needs tokenizers, transformers and trl. TRL's sequence is that of `DPOTrainer`: the ids of prompt + answer as one text,
which start to count where they differ from those of the prompt alone.
"""

import json
import pathlib
import random
import sys

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

HERE = pathlib.Path(__file__).parent
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
WORDS = """the a cat dog girl boy river stone bread garden was is had said went saw found made very happy small old green
quick answer question because therefore under over two three seven 12 345 2026 don't it's we're Hello Paris naïve café
straße Ελλάδα привет 東京 한국 user assistant story once upon time there lived who loved to run and jump""".split()


def corpus():
    draw = random.Random(7)
    for _ in range(4000):
        words = [draw.choice(WORDS) for _ in range(draw.randint(3, 14))]
        yield " ".join(words) + draw.choice([".", "!", "?", "\n", "\n\n", ":", " ", "  ok"])


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")


def byte_level(pre, prefix=False, template=None):
    t = Tokenizer(models.BPE())
    byte = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=pre is None)
    t.pre_tokenizer = byte if pre is None else pre_tokenizers.Sequence([*pre, byte])
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=520, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(corpus(), trainer)
    t.post_processor = template or processors.ByteLevel(trim_offsets=True)
    return t


def bos(t):
    return processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1",
                                         special_tokens=[("<s>", t.token_to_id("<s>"))])


def pieces(normalizer, pre, prefix, decoder_prefix=True):
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if normalizer:
        t.normalizer = normalizer
    if pre:
        t.pre_tokenizer = pre
    trainer = trainers.BpeTrainer(vocab_size=560, show_progress=False,
                                  special_tokens=SPECIAL + [f"<0x{b:02X}>" for b in range(256)])
    t.train_from_iterator(corpus(), trainer)
    strip = [decoders.Strip(" ", 1, 0)] if decoder_prefix else []
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    t.post_processor = bos(t)
    return t


def unigram(normalizer, pre):
    t = Tokenizer(models.Unigram())
    if normalizer:
        t.normalizer = normalizer
    t.pre_tokenizer = pre
    trainer = trainers.UnigramTrainer(vocab_size=320, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    t.train_from_iterator(corpus(), trainer)
    t.decoder = decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", t.token_to_id("<s>")), ("</s>", t.token_to_id("</s>"))])
    return t


def word_piece():
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, show_progress=False,
                                        special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]"])
    t.train_from_iterator(corpus(), trainer)
    t.decoder = decoders.WordPiece()
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", t.token_to_id("[CLS]")), ("[SEP]", t.token_to_id("[SEP]"))])
    return t


def all_kinds():
    prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    collapse = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=True, right=False),
                                     normalizers.Replace(Regex(" {2,}"), " ")])
    meta = pre_tokenizers.Metaspace
    yield "byte-level", byte_level(None)
    yield "byte-level-prefix-space", byte_level(None, prefix=True, template=processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 1), trim_offsets=True, add_prefix_space=True))
    yield "byte-level-digits", byte_level([pre_tokenizers.Digits(individual_digits=True),
                                           pre_tokenizers.Split(Regex(GPT2), "isolated")])
    llama3 = byte_level([pre_tokenizers.Split(Regex(LLAMA3), "isolated")])
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), bos(llama3)])
    yield "byte-level-split", llama3
    yield "prepend", pieces(prepend, None, True)
    yield "metaspace-first", pieces(None, meta(prepend_scheme="first", split=False), True)
    yield "metaspace-always", pieces(None, meta(prepend_scheme="always"), True)
    yield "metaspace-never", pieces(None, meta(prepend_scheme="never", split=False), False, False)
    yield "unigram", unigram(collapse, meta(prepend_scheme="always"))
    yield "word-piece", word_piece()


def trl_ids(tokenizer, prompt, answer):
    """As DPOTrainer's tokenize_fn for one answer, without what the tokenizer puts at the end."""
    from transformers import PreTrainedTokenizerFast  # noqa: F401  (an error that says what is missing)
    alone = tokenizer(prompt)["input_ids"]
    joint = tokenizer(prompt + answer)["input_ids"]
    ends = {tokenizer.convert_tokens_to_ids(t) for t in ("</s>", "[SEP]")}
    if alone and alone[-1] in ends:
        alone, joint = alone[:-1], joint[:-1]
    same = 0
    while same < min(len(alone), len(joint)) and alone[same] == joint[same]:
        same += 1
    return alone, joint, same


def wrapped(path):
    from transformers import PreTrainedTokenizerFast
    return PreTrainedTokenizerFast(tokenizer_file=str(path), clean_up_tokenization_spaces=False)


ROWS = [("The cat said:", " no"), ("The cat said:\n", "no"), ("", "Hello there"), ("Once upon a time", " there lived"),
        ("Once upon a ti", "me there"), ("two ", "three"), ("two", "  three"), ("Question?\n\n", "Answer"),
        ("it", "'s"), ("12", "345"), ("naï", "ve café"), ("東", "京"), ("a. ", "\nb"), (" ", "x"), ("user: hi\n\nassistant:", " yes.\n")]


def make():
    rows = {}
    for name, tokenizer in all_kinds():
        path = HERE / f"{name}.json"
        path.write_text(tokenizer.to_str(), encoding="utf-8")
        fast = wrapped(path)
        rows[name] = []
        for prompt, answer in ROWS:
            alone, joint, same = trl_ids(fast, prompt, answer)
            rows[name].append({"prompt": prompt, "answer": answer, "alone": alone, "joint": joint, "same": same})
    text = ",\n".join(f"{json.dumps(k)}: [\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in v) + "]"
                      for k, v in rows.items())
    (HERE / "trl.json").write_text("{" + text + "}\n", encoding="utf-8")


def compare(folder):
    print("| tokenizer | rows | same as TRL | token over the border | prompt written otherwise |")
    print("|---|---|---|---|---|")
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        source = HERE / f"{path.stem}.json"
        fast = wrapped(source)
        count = equal = crossed = other = 0
        for line in path.open(encoding="utf-8"):
            row = json.loads(line)
            alone, joint, same = trl_ids(fast, row["prompt"], row["answer"])
            ours = row["prompt_ids"] + row["answer_ids"]
            count += 1
            crossed += row["crossed"]
            other += row["respelled"]
            if same == len(alone) and ours == joint:
                equal += 1
            elif not (row["crossed"] or row["respelled"] or (not row["prompt"] and ours == joint)):
                print("DIFFERS", path.stem, row, alone, joint)
            elif not row["prompt"]:
                equal += 1
        print(f"| {path.stem} | {count} | {equal} | {crossed} | {other} |")


if __name__ == "__main__":
    compare(sys.argv[1]) if len(sys.argv) > 1 else make()
