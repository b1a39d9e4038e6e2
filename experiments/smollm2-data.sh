#!/usr/bin/env bash
# Cuts the data sets to the short rows that the plans `smollm2-*` and `precision-*` read.
# Usage: experiments/smollm2-data.sh SETS OUT
# SETS has hh-rlhf/{helpful,harmless}-base-test.jsonl.gz, rmb/helpful.jsonl.gz,
# ultrafeedback/{train,eval}_clean.jsonl and prompts/vicuna-80.jsonl. A length is in bytes of a line.
set -euo pipefail
export LC_ALL=C
sets=${1:?usage: smollm2-data.sh SETS OUT}
out=${2:?usage: smollm2-data.sh SETS OUT}
mkdir -p "$out/hh-rlhf" "$out/rmb" "$out/ultrafeedback"

shorter() { awk -v most="$1" 'length <= most'; }
text='"([^"\\]|\\.)*"'
# The prompts of chats of one turn as rows of instruction data, each prompt once.
prompts() {
  sed -nE 's/^\{"prompt": \[\{"role": "user", "content": ('"$text"')\}\].*/{"instruction": \1}/p' | awk '!seen[$0]++'
}
# Texts as chats, so that the model's template renders them in trainings and in tests.
chats() {
  sed -E 's/^\{"prompt": ('"$text"'), "chosen": ('"$text"'), "rejected": ('"$text"').*/{"prompt": [{"role": "user", "content": \1}], "chosen": [{"role": "assistant", "content": \3}], "rejected": [{"role": "assistant", "content": \5}]}/'
}

# Curves in f32 and bf16.
cat "$sets"/hh-rlhf/{helpful,harmless}-base-test.jsonl.gz | gunzip | shorter 500 > "$out/hh-rlhf/short.jsonl"
gunzip < "$sets/rmb/helpful.jsonl.gz" | shorter 800 > "$out/rmb/short.jsonl"
head -n 250 "$out/rmb/short.jsonl" > "$out/rmb/short-train.jsonl"
tail -n 100 "$out/rmb/short.jsonl" > "$out/rmb/short-test.jsonl"
rm "$out/rmb/short.jsonl"

# RMB without translations and code, which a model of this size cannot judge. All rows of every fifth
# prompt are for the test, because the file is sorted by kind of task.
gunzip < "$sets/rmb/helpful.jsonl.gz" | shorter 2000 |
  grep -v -e '"category": "Translation' -e '"category": "Code' |
  awk -v train="$out/rmb/train.jsonl" -v test="$out/rmb/test.jsonl" '{
    prompt = substr($0, 1, index($0, "\"chosen\""))
    if (!(prompt in number)) number[prompt] = count++
    print > (number[prompt] % 5 == 4 ? test : train)
  }'
prompts < "$out/rmb/test.jsonl" > "$out/rmb/prompts.jsonl"
prompts < "$out/rmb/train.jsonl" |
  sed -E 's/^\{"instruction": (.*)\}$/{"messages": [{"role": "user", "content": \1}]}/' > "$out/rmb/policy-prompts.jsonl"

# HH-RLHF, helpful: the file is in no order.
gunzip < "$sets/hh-rlhf/helpful-base-test.jsonl.gz" | shorter 900 > "$out/hh-rlhf/all.jsonl"
head -n 590 "$out/hh-rlhf/all.jsonl" > "$out/hh-rlhf/train.jsonl"
tail -n 200 "$out/hh-rlhf/all.jsonl" > "$out/hh-rlhf/test.jsonl"
rm "$out/hh-rlhf/all.jsonl"

# UltraFeedback.
shorter 1600 < "$sets/ultrafeedback/train_clean.jsonl" | chats > "$out/ultrafeedback/train.jsonl"
shorter 3000 < "$sets/ultrafeedback/eval_clean.jsonl" | chats > "$out/ultrafeedback/test.jsonl"
prompts < "$out/ultrafeedback/test.jsonl" > "$out/ultrafeedback/prompts.jsonl"
cp "$sets/prompts/vicuna-80.jsonl" "$out/vicuna.jsonl"
wc -l "$out"/*/*.jsonl "$out"/*.jsonl
echo "next: experiments instructions --prompts $out/vicuna.jsonl --each 2 --out $out/instructions.jsonl"
