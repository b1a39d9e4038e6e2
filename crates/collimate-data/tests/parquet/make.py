"""Writes the Parquet files of this folder, each with the same rows as JSON lines.

The sets have the columns of published data sets; all rows are invented. The library `datasets` writes
the sets, pyarrow writes the files with special encodings and the damaged files.

    python make.py        (datasets 5.2, pyarrow 26.0)
"""

import base64
import datetime
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from datasets import Dataset, Features, List, Value

HERE = pathlib.Path(__file__).parent
TEXT = Value("string")
MESSAGES = List({"content": TEXT, "role": TEXT})


def user(text):
    return {"content": text, "role": "user"}


def bot(text):
    return {"content": text, "role": "assistant"}


def write(name, rows, features):
    """Writes one set as Parquet and as JSON lines."""
    columns = {key: [row[key] for row in rows] for key in features}
    Dataset.from_dict(columns, features=Features(features)).to_parquet(HERE / f"{name}.parquet")
    lines = [json.dumps({key: row[key] for key in features}) for row in rows]
    (HERE / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


ASKED = ["Name a river in France.", "How long is a mile in kilometres?", "Why is the sky blue? Ünïcode ☂"]
GOOD = ["The Loire, for example.", "About 1.609 kilometres.", "Air scatters short waves more."]
POOR = ["River.", "A mile is a mile.", "Because of the sea."]
THREE = range(3)


def chats(side):
    return [[user(ASKED[i]), bot(side[i])] for i in THREE]


def sets():
    write(
        "ultrafeedback_binarized",
        [
            dict(prompt=ASKED[i], prompt_id=f"{i:064x}", chosen=chats(GOOD)[i], rejected=chats(POOR)[i],
                 messages=chats(GOOD)[i], score_chosen=8.5 - i, score_rejected=[4.0, 7.5, 1.25][i])
            for i in THREE
        ],
        dict(prompt=TEXT, prompt_id=TEXT, chosen=MESSAGES, rejected=MESSAGES, messages=MESSAGES,
             score_chosen=Value("float64"), score_rejected=Value("float64")),
    )
    write(
        "tulu_3_mixture",
        [dict(id=f"row-{i}", prompt=ASKED[i], chosen=chats(GOOD)[i], rejected=chats(POOR)[i], source="invented")
         for i in THREE],
        dict(id=TEXT, prompt=TEXT, chosen=MESSAGES, rejected=MESSAGES, source=TEXT),
    )
    write(
        "skywork_preference",
        [dict(chosen=chats(GOOD)[i], rejected=chats(POOR)[i], source="invented") for i in THREE],
        dict(chosen=MESSAGES, rejected=MESSAGES, source=TEXT),
    )
    dialogue = "\n\nHuman: {}\n\nAssistant: {}"
    write(
        "hh_rlhf",
        [dict(chosen=dialogue.format(ASKED[i], GOOD[i]), rejected=dialogue.format(ASKED[i], POOR[i])) for i in THREE],
        dict(chosen=TEXT, rejected=TEXT),
    )
    write(
        "helpsteer3",
        [
            dict(domain="general", language="english",
                 context=[user("Hello."), bot("Hello, what do you want to know?"), user(ASKED[i % 3])],
                 response1=GOOD[i % 3], response2=POOR[i % 3], overall_preference=[-3, 2, 0, -1][i],
                 individual_preference=[dict(score=-2, reasoning="The first is right.", feedback1="Good.", feedback2=None)])
            for i in range(4)
        ],
        dict(domain=TEXT, language=TEXT, context=MESSAGES, response1=TEXT, response2=TEXT,
             overall_preference=Value("int64"),
             individual_preference=List(dict(score=Value("int64"), reasoning=TEXT, feedback1=TEXT, feedback2=TEXT))),
    )
    write(
        "helpsteer2_preference",
        [
            dict(split="train", prompt=ASKED[i % 3], response_1=GOOD[i % 3], response_2=POOR[i % 3],
                 preference_strength=[-2, 1, 0, 3][i], preference_statement="One says more.",
                 preference_elaboration=None, three_most_similar_preferences=None)
            for i in range(4)
        ],
        dict(split=TEXT, prompt=TEXT, response_1=TEXT, response_2=TEXT, preference_strength=Value("int32"),
             preference_statement=TEXT, preference_elaboration=TEXT, three_most_similar_preferences=TEXT),
    )
    graded = [(0, GOOD, 4), (0, POOR, 1), (1, GOOD, 3), (1, POOR, 3), (2, POOR, 0), (2, GOOD, 2)]
    write(
        "helpsteer2",
        [dict(prompt=ASKED[i], response=side[i], helpfulness=grade, correctness=grade, coherence=4, complexity=1,
              verbosity=1) for i, side, grade in graded],
        dict(prompt=TEXT, response=TEXT, **{name: Value("int32") for name in
             ["helpfulness", "correctness", "coherence", "complexity", "verbosity"]}),
    )
    write(
        "trl_ultrafeedback",
        [dict(chosen=chats(GOOD)[i], rejected=chats(POOR)[i], score_chosen=9.0, score_rejected=[2.0, 5.5, 9.0][i])
         for i in THREE],
        dict(chosen=MESSAGES, rejected=MESSAGES, score_chosen=Value("float64"), score_rejected=Value("float64")),
    )
    write(
        "snorkel",
        [dict(prompt_id=str(i), prompt=ASKED[i], chosen=chats(GOOD)[i], rejected=chats(POOR)[i],
              all_generated_responses=[GOOD[i], POOR[i], "I cannot say.", GOOD[i] + " More?", " "],
              all_rm_scores=[0.75, -0.5, -0.5, 0.25, -2.0]) for i in THREE],
        dict(prompt_id=TEXT, prompt=TEXT, chosen=MESSAGES, rejected=MESSAGES, all_generated_responses=List(TEXT),
             all_rm_scores=List(Value("float64"))),
    )
    write(
        "completions",
        [dict(instruction=ASKED[i], source="invented",
              completions=[dict(model="a", response=GOOD[i], overall_score=8.5), dict(model="b", response=POOR[i], overall_score=3.0),
                           dict(model="c", response="I cannot say.", overall_score=[1.0, None, 2.0][i])]) for i in THREE],
        dict(instruction=TEXT, source=TEXT,
             completions=List(dict(model=TEXT, response=TEXT, overall_score=Value("float64")))),
    )
    write(
        "reward_bench_2",
        [dict(id=str(i), prompt=ASKED[i], chosen=GOOD[i:i + 1] if i < 2 else GOOD[:2], rejected=POOR, num_correct=1,
              num_incorrect=3, total_completions=4, models=["m"] * 4, subset=["Factuality", "Math", "Ties"][i],
              additional_metadata=dict(category=None, correct="yes", index=1.0)) for i in THREE],
        dict(id=TEXT, prompt=TEXT, chosen=List(TEXT), rejected=List(TEXT), num_correct=Value("int64"),
             num_incorrect=Value("int64"), total_completions=Value("int64"), models=List(TEXT), subset=TEXT,
             additional_metadata=dict(category=TEXT, correct=TEXT, index=Value("float64"))),
    )
    write(
        "kto",
        [dict(prompt=ASKED[i], completion=side[i], label=label) for i in THREE for side, label in [(GOOD, True), (POOR, False)]],
        dict(prompt=TEXT, completion=TEXT, label=Value("bool")),
    )
    write(
        "margins",
        [dict(prompt=ASKED[i], chosen=GOOD[i], rejected=POOR[i], margin=[0.5, None, 2.0][i], weight=1.0 + i) for i in THREE],
        dict(prompt=TEXT, chosen=TEXT, rejected=TEXT, margin=Value("float64"), weight=Value("float64")),
    )


def table(name, columns, **options):
    pq.write_table(pa.table(columns), HERE / f"{name}.parquet", **options)


def lines(name, rows):
    (HERE / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def encodings():
    """Writes the same six pairs in many encodings, in row groups of two rows."""
    rows = [dict(prompt=[user(f"Question {i}?")], chosen=[bot(f"Good {i}.")], rejected=[bot(f"Poor {i}.")]) for i in range(6)]
    lines("six", rows)
    for text, name in [(pa.string(), "plain"), (pa.large_string(), "large")]:
        kind = (pa.large_list if name == "large" else pa.list_)(pa.struct([("content", text), ("role", text)]))
        columns = {key: pa.array([row[key] for row in rows], kind) for key in rows[0]}
        table(f"six_{name}", columns, row_group_size=2)
    table("six_two_level", columns, row_group_size=2, use_compliant_nested_type=False)
    table("six_v2", columns, row_group_size=2, data_page_version="2.0", compression="zstd")
    table("six_gzip", columns, row_group_size=2, compression="gzip", use_dictionary=False)
    table("six_pages", columns, data_page_size=1, write_batch_size=1, use_dictionary=False)
    table("bad_brotli", columns, compression="brotli")
    table("bad_lz4", columns, compression="lz4")
    whole = (HERE / "six_plain.parquet").read_bytes()
    (HERE / "bad_truncated.parquet").write_bytes(whole[:-200])
    (HERE / "bad_tail.parquet").write_bytes(whole[:-1])
    damaged("six_plain", "bad_page", 4)
    for name, prompt in [("unread_damage", "c?"), ("bad_read_damage", " ")]:
        texts = dict(prompt=["a?", "b?", prompt], chosen=["x"] * 3, rejected=["y"] * 3, messages=["z"] * 3, blank=[""] * 3,
                     note=pa.nulls(3, pa.string()))
        table(name, texts, row_group_size=2)
        damaged(name, name, 3)


def damaged(name, out, column):
    """Replaces the data of a column in the second row group by zeros."""
    whole = bytearray((HERE / f"{name}.parquet").read_bytes())
    column = pq.ParquetFile(HERE / f"{name}.parquet").metadata.row_group(1).column(column)
    start = column.dictionary_page_offset or column.data_page_offset
    whole[start:start + column.total_compressed_size] = bytes(column.total_compressed_size)
    (HERE / f"{out}.parquet").write_bytes(whole)


def values():
    """Writes nulls, nested lists and numbers of all kinds."""
    day = datetime.date(2024, 2, 29)
    columns = {
        "flag": pa.array([True, False, None]),
        "small": pa.array([-128, 127, None], pa.int8()),
        "large": pa.array([2**64 - 1, 0, None], pa.uint64()),
        "unsigned": pa.array([2**32 - 1, 0, None], pa.uint32()),
        "half": pa.array([1.5, -0.25, None], pa.float16()),
        "single": pa.array([0.5, float("nan"), None], pa.float32()),
        "double": pa.array([0.1, float("inf"), float("-inf")]),
        "price": pa.array([decimal.Decimal("12.345"), decimal.Decimal("-0.001"), None], pa.decimal128(10, 3)),
        "tiny": pa.array([decimal.Decimal("1.5"), decimal.Decimal("-9.9"), None], pa.decimal128(4, 1)),
        "day": pa.array([day, None, day]),
        "time": pa.array([datetime.datetime(2024, 2, 29, 12), None, None], pa.timestamp("us")),
        "category": pa.array(["a", "b", "a"]).dictionary_encode(),
        "nothing": pa.nulls(3),
        "bytes": pa.array([b"text", b"\xff\xfe", None], pa.binary()),
        "nested": pa.array([[[["a", None], []], None], [], None], pa.list_(pa.list_(pa.list_(pa.string())))),
        "turns": pa.array([[{"role": "user", "content": None}, None], None, []], pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "inner": pa.array([{"list": [1, None], "struct": {"x": None}}, {"list": None, "struct": None}, None],
                          pa.struct([("list", pa.list_(pa.int32())), ("struct", pa.struct([("x", pa.string())]))])),
    }
    prompts = {"prompt": ["a?", "b?", "c?"]}
    table("values", {**prompts, **columns})
    table("values_two_level", {**prompts, **columns}, use_compliant_nested_type=False, store_schema=False,
          store_decimal_as_integer=True, use_deprecated_int96_timestamps=True)
    calls = [{"type": "function", "function": {"name": "look", "arguments": {"z": "1", "a": "2"}}}]
    asked = [user("Look."), {"role": "assistant", "content": "", "tool_calls": calls}, {"role": "tool", "content": "seen"}]
    call = pa.list_(pa.struct([("type", pa.string()), ("function", pa.struct([
        ("name", pa.string()), ("arguments", pa.struct([("z", pa.string()), ("a", pa.string())]))]))]))
    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", call)]))
    rows = [dict(prompt=asked, chosen=[bot("Yes.")], rejected=[bot("No.")])]
    lines("calls", rows)
    table("calls", {key: pa.array([row[key] for row in rows], chat) for key in rows[0]})


def bad():
    pair = dict(prompt=["a?", "b?", "c?"], rejected=["x", "y", "z"])
    table("bad_type", {**pair, "chosen": pa.array([1, 2, 3])}, row_group_size=2)
    table("bad_null", {**pair, "chosen": pa.array(["u", "v", None])}, row_group_size=2)
    text = pa.array([b"fine", b"\xff\xff", b"fine"], pa.binary())
    marked = pa.Array.from_buffers(pa.string(), 3, text.buffers())
    table("bad_utf8", {**pair, "chosen": marked}, row_group_size=2)
    table("bad_no_rows", {"prompt": pa.array([], pa.string()), "chosen": pa.array([], pa.string())})
    pq.write_table(pa.table({"x": [1, 2]}).select([]), HERE / "bad_no_columns.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["chosen", "chosen"]), HERE / "bad_twice.parquet")
    deep = pa.string()
    for _ in range(70):
        deep = pa.struct([("a", deep)])
    pq.write_table(pa.table({"deep": pa.array([None], deep)}), HERE / "bad_deep.parquet", store_schema=False)
    pages = {"prompt": ["a?"], "chosen": ["b"], "rejected": [" " * (70 << 20)]}
    table("bad_bomb", pages, compression="zstd", compression_level=3, use_dictionary=False, write_statistics=False)


class Keys(pe.KmsClient):
    """A key service for the encrypted files, which does not encrypt the keys."""

    def __init__(self, config):
        pe.KmsClient.__init__(self)

    def wrap_key(self, key, master):
        return base64.b64encode(key)

    def unwrap_key(self, wrapped, master):
        return base64.b64decode(wrapped)


def encrypted():
    factory = pe.CryptoFactory(Keys)
    for name, plain in [("bad_encrypted", False), ("bad_encrypted_columns", True)]:
        config = pe.EncryptionConfiguration(footer_key="f", column_keys={"c": ["chosen"]}, plaintext_footer=plain)
        properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
        rows = pa.table(dict(prompt=["a?"], chosen=["b"], rejected=["c"]))
        with pq.ParquetWriter(HERE / f"{name}.parquet", rows.schema, encryption_properties=properties) as writer:
            writer.write_table(rows)


if __name__ == "__main__":
    sets()
    encodings()
    values()
    bad()
    encrypted()
