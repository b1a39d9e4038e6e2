"""Renders conversations with transformers and writes the texts.

    python make.py fixture          writes the small set of this folder
    python make.py all DIR [N]      writes every template of TRL with N conversations (default 200) to DIR

DIR is then named to the tests by the environment variable COLLIMATE_TEMPLATES. Written with
transformers 5.24 and trl 1.16.
"""

import datetime
import json
import random
import re
import sys
from pathlib import Path

import trl
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
DATE = "2024-07-26"
TEMPLATES = Path(trl.__file__).parent / "chat_templates"
# Models whose licence is Apache-2.0 or MIT: see NOTICE.md.
FIXTURE = ["qwen2_5", "qwen3", "qwen3_training", "phi3_training", "deepseek_r1_distill", "smolvlm"]

# Templates of our own making, for what the published ones use rarely.
OWN = {
    "own_python": """{%- set ns = namespace(n=0, last=none) -%}
{%- for message in messages -%}
    {%- set ns.n = ns.n + 1 -%}
    {%- set text = message.content if message.content is string else message.content | tojson -%}
[{{ loop.index0 }}/{{ loop.length }} {{ message['role'] | upper }} {{ message.role.title() }}]
    {{- text.strip() }}|{{ text.split() }}|{{ text.split('\\n')[-1] }}|{{ text.splitlines() }}
    {{- text[:3] ~ text[-3:] ~ text[::-1] }}|{{ text | trim | length }}|{{ text.rstrip('\\n').lstrip(' a') }}
    {{- text.partition('a') }}|{{ text.removeprefix(' ') }}|{{ text.replace('a', 'b', 1) }}|{{ text.find('e') }}
    {{- text is string }}|{{ text is sequence }}|{{ text is iterable }}|{{ message is mapping }}|{{ none is iterable }}
    {{- message.get('name', 'nobody') }}|{{ message.get('missing') }}|{{ message.missing is defined }}
    {{- message.items() | list | length }}|{{ message.keys() | first }}
    {%- if message.tool_calls is defined %}{{ message.tool_calls }}{{ message.tool_calls | tojson(indent=2) }}{% endif %}
    {%- set ns.last = message.role %}
{% endfor -%}
{{ ns.n // 2 }} {{ ns.n / 2 }} {{ ns.n % 3 }} {{ ns.n ** 2 }} {{ -7 // 2 }} {{ 7.5 // 2 }} {{ 1e16 }} {{ 0.00001 }} {{ 1.0 }}
{{ none }} {{ true }} {{ [1, 'a', none, true, "it's", 1.5] }} {{ {'z': 1, 'a': [none]} }} {{ (1, 'x') }} {{ (1,) }}
{{ ['b', 'a'] | sort | join(', ') }} {{ [3, 1] | max }} {{ 'x' * 3 }} {{ [1] + [2] }} {{ 'a' in 'abc' }} {{ 2 in [1] }}
{{ '%s-%03d' | format('a', 7) }} {{ '{}:{x}'.format(1, x=2) }} {{ 'abc' | center(8) }}| {{ ' a  b' | wordcount }}
{{ {'b': 1, 'a': '<&>'} | tojson }} {{ {'b': 1, 'a': [1, {}]} | tojson(sort_keys=true, indent=4) }} {{ [1.0, 1e-7, none] | tojson(separators=(',', ':')) }}
{{ 'é' | tojson }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ '12' | int + 1 }} {{ 'x' | int(5) }} {{ '1.5' | float }} {{ 7 | string ~ 'a' }}
{%- for x in range(10) -%}{%- if x == 2 %}{% continue %}{% endif -%}{%- if x > 4 %}{% break %}{% endif %}{{ x }}{{ loop.cycle('a', 'b') }}{%- endfor %}
{% macro wrap(text, mark='*') %}{{ mark }}{{ text }}{{ mark }}{{ caller() if caller }}{% endmacro %}
{{ wrap('m') }} {{ wrap('n', mark='_') }} {% call wrap('c') %}inner{% endcall %}
{% filter upper %}shout {{ bos_token }}{% endfilter %} {% set block %} captured {% endset %}[{{ block }}]
{{ messages[0].role if messages else 'none' }} {{ messages[-1]['role'] }} {{ messages[1:] | length }} {{ messages | map(attribute='role') | list }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(',') }}
{{ undefined_thing }}{{ undefined_thing is defined }}{{ undefined_thing | default('d') }} {{ '' or 'e' }} {{ not none }} {{ strftime_now('%d %B %Y') }}
{%- if add_generation_prompt %}
<a>{% endif %}""",
    "own_refusals": """{%- if messages[0].role == 'assistant' %}{{ raise_exception('begins with the assistant') }}{% endif -%}
{%- for message in messages %}{{ message.content + '\\n' }}{% generation %}
  {{- message.role }}{% endgeneration %}{% endfor -%}
{{- messages[0].missing.deeper if messages | length > 4 }}""",
}

TEXTS = [
    "", " ", "\n", "  leading and trailing  ", "What is 2+2?", "a", "It's \"quoted\" <b>&amp;</b> 'x'",
    "naïve café — 漢字 😀 ﬁ İ ß", "line one\nline two\n\n", "tab\tand\\n literal \\u0041", "</s><s><|im_end|>",
    "{{ x }} {% if %} {# c #}", "<think>\nfirst\n</think>\n\nanswer", "<think>\nopen only", "closed only</think> rest",
    "a\u2028b\x1cc\x85d", "\u00a0nbsp\u00a0", "\r\nwindows\r\n", "word " * 30, "[INST] not a tag [/INST]", "0", "None",
    "<tool_response>fake</tool_response>", "\ufeffbom", "e\u0301 combining",
]
ARGUMENTS = [
    {}, {"city": "Paris", "days": 3}, {"z": 1, "a": {"y": [True, None, 1.5], "b": "é\"<"}, "m": []},
    {"tiny": 1e-7, "big": 1e20, "float": 3.0, "neg": -2}, {"items": ["a", "b"], "keys": {"get": 1}},
]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city, it's <simple>",
     "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "A city"},
      "days": {"type": "integer", "enum": [1, 3]}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "sum", "description": "Adds\nnumbers",
     "parameters": {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "number"}},
      "deep": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}}, "required": []},
     "return": {"type": "number", "description": "sum"}}},
]


def content(rng, parts):
    text = rng.choice(TEXTS)
    if parts and rng.random() < 0.3:
        return [{"type": "text", "text": text}] + ([{"type": "text", "text": rng.choice(TEXTS)}] if rng.random() < 0.3 else [])
    return text


def calls(rng):
    out = []
    for n in range(rng.choice([1, 1, 2])):
        arguments = rng.choice(ARGUMENTS)
        if rng.random() < 0.2:
            arguments = json.dumps(arguments)
        call = {"type": "function", "function": {"name": rng.choice(["get_weather", "sum"]), "arguments": arguments}}
        if rng.random() < 0.7:
            call = {"id": f"call_{n}abcdefgh"[:9], **call}
        out.append(call)
    return out


def conversation(seed):
    rng = random.Random(seed)
    parts = rng.random() < 0.25
    with_tools = rng.random() < 0.35
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": content(rng, parts)})
    for turn in range(rng.choice([1, 1, 2, 2, 3, 4])):
        if rng.random() > 0.04:
            messages.append({"role": "user", "content": content(rng, parts)})
            if rng.random() < 0.05:
                messages[-1]["name"] = "Ann"
        if with_tools and rng.random() < 0.6:
            call = {"role": "assistant", "content": rng.choice(["", None, "I look it up."]), "tool_calls": calls(rng)}
            if rng.random() < 0.3:
                call["reasoning_content"] = rng.choice(TEXTS)
            messages.append(call)
            for made in call["tool_calls"]:
                answer = {"role": "tool", "content": rng.choice(['{"t": 21.5}', "sunny", "", "漢"])}
                if rng.random() < 0.7:
                    answer["tool_call_id"] = made.get("id", "call_0abc")
                if rng.random() < 0.7:
                    answer["name"] = made["function"]["name"]
                messages.append(answer)
        if rng.random() > 0.04:
            messages.append({"role": "assistant", "content": content(rng, parts)})
            if rng.random() < 0.25:
                messages[-1][rng.choice(["reasoning_content", "reasoning_content", "thinking", "reasoning"])] = rng.choice(TEXTS)
    ask = rng.random() < 0.6
    if ask and rng.random() < 0.9 and messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        messages.append({"role": "user", "content": "x"})
    kwargs = {}
    if rng.random() < 0.4:
        kwargs["enable_thinking"] = rng.random() < 0.5
    if rng.random() < 0.1:
        kwargs["reasoning_effort"] = rng.choice(["low", "high"])
    tools = rng.choice([TOOLS, TOOLS[:1], TOOLS[1:]]) if with_tools and rng.random() < 0.8 else None
    return {"messages": messages, "tools": tools, "kwargs": kwargs, "add_generation_prompt": ask}


def names(source, name):
    return re.search(rf"(?<!\w){name}(?!\w)", source) is not None


def render(tokenizer, source, case):
    kwargs = {name: value for name, value in case["kwargs"].items() if names(source, name)}
    tools = case["tools"] if names(source, "tools") else None
    try:
        return tokenizer.apply_chat_template(
            case["messages"], tools=tools, chat_template=source, tokenize=False,
            add_generation_prompt=case["add_generation_prompt"], **kwargs,
        ), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:120]


def main():
    class Fixed(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.strptime(DATE, "%Y-%m-%d")

    chat_template_utils.datetime = Fixed
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocab, unk_token="<unk>")),
        bos_token="<s>", eos_token="</s>", pad_token="<pad>",
    )
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.jinja"))}
    sources.update(OWN)
    if sys.argv[1] == "fixture":
        out, wanted, count = HERE, [*FIXTURE, *OWN], 10
    else:
        out, wanted = Path(sys.argv[2]), list(sources)
        count = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    out.mkdir(parents=True, exist_ok=True)
    cases = [conversation(seed) for seed in range(count)]
    (out / "conversations.json").write_text(json.dumps({"date": DATE, "cases": cases}, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in wanted:
        texts, errors = zip(*(render(tokenizer, sources[name], case) for case in cases))
        body = {"source": sources[name], "texts": texts, "errors": errors}
        (out / f"{name}.expected.json").write_text(json.dumps(body, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


main()
