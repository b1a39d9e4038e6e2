"""Writes ifeval.json: what the checks of lm-evaluation-harness say about answers at the edges.

    pip install lm_eval==0.4.13 nltk langdetect immutabledict
    python ifeval.py

Sentences are counted by NLTK's splitter without training, in texts without abbreviations. `capital_word_frequency` uses the
word splitter of NLTK that needs no training. Instructions on language get answers of whole sentences.
"""

import json
import logging

import langdetect
import nltk
from lm_eval.tasks.ifeval import instructions_registry, utils

logging.disable(logging.CRITICAL)
langdetect.DetectorFactory.seed = 0
nltk.word_tokenize = nltk.tokenize.NLTKWordTokenizer().tokenize

ENGLISH = "The garden behind the old house was full of flowers, and nobody had walked there for years."
ANSWERS = [
    ENGLISH,
    ENGLISH.upper(),
    ENGLISH.lower(),
    "Der Garten hinter dem alten Haus war voller Blumen, und seit Jahren war dort niemand gewesen.",
    "Le jardin derrière la vieille maison était plein de fleurs et personne n'y allait depuis des années.",
    "* one point\n* another point\n  * a point inside\n- a dash\n** no point **\n-\nplain * text",
    "Tea and coffee and TEA. Steam rises from the cup of tea; teapots are warm. C++ is no drink.",
    "Section 1\nOne.\nSection 2\nTwo.\nSECTION 3\nsection 4 Section5",
    '{"a": [1, 2, {"b": null}]}',
    '```json\n{"a": 1}\n```',
    "```\n[1, 2,]\n```",
    "not json",
    "42",
    "One paragraph.\n***\nAnother one.\n***\nA third one.",
    "*** First *** second ***",
    "one ****** two *** three",
    "A first answer.\n******\nA second answer.",
    "The same.\n******\nThe same.",
    "One\n******\n\n******\nTwo",
    "<<A title>>\nSome text [name] and [address] [] and [a\nb].",
    "<< >> <no> <<two>> [x]",
    "Text.\n\nP.S. More text.",
    "Text.\n\np. s. more. P.P.S also. p. p. s",
    "PS: nothing",
    "My answer is yes. I am sure.",
    "my answer is no.",
    '"Quoted as a whole."',
    '"',
    'He said "yes".',
    "*one* and **two** and ** ** and * * and *three\nlines*",
    "***bold and italic*** text",
    "First words here.\n\nSecond, paragraph.\n\n'Third' one.",
    "First words here.\n\n\n\nSecond paragraph.",
    "\n\nOnly after space.\n\n",
    "NASA and the ESA met in ROME, I think. U.S. WELL-KNOWN x1 A1",
    "Any questions? Let me know if I can help",
    "Let me know if I can help.",
    "let me know if i CAN help\"",
    "write a poem about rain and then: drip",
    "   ",
    "no commas at all; none",
    "Intro line\nTea is good.\nEnd line, really",
    "snake_case well-kept isn't 3.5 naïve",
    "aAbBcC !!! ###",
]
INSTRUCTIONS = [
    ("keywords:existence", {"keywords": ["tea", "cup"]}),
    ("keywords:existence", {"keywords": ["garden"]}),
    ("keywords:frequency", {"keyword": "tea", "frequency": 4, "relation": "at least"}),
    ("keywords:frequency", {"keyword": "tea", "frequency": 1, "relation": "less than"}),
    ("keywords:forbidden_words", {"forbidden_words": ["tea", "title"]}),
    ("keywords:forbidden_words", {"forbidden_words": ["snake", "some text"]}),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 3, "let_relation": "at least"}),
    ("keywords:letter_frequency", {"letter": "w", "let_frequency": 2, "let_relation": "less than"}),
    ("language:response_language", {"language": "de"}),
    ("language:response_language", {"language": "fr"}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 3}),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}),
    ("length_constraints:number_words", {"num_words": 6, "relation": "less than"}),
    ("length_constraints:number_words", {"num_words": 17, "relation": "at least"}),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "Second"}),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 3, "nth_paragraph": 3, "first_word": "third"}),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 1, "nth_paragraph": 1, "first_word": "only"}),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "first"}),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
    ("detectable_content:postscript", {"postscript_marker": "PS:"}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 5}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 1}),
    ("detectable_format:constrained_response", {}),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 3}),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 1}),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 3}),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 1}),
    ("detectable_format:json_format", {}),
    ("detectable_format:title", {}),
    ("combination:two_responses", {}),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem about rain"}),
    ("startend:end_checker", {"end_phrase": "Let me know if I can help"}),
    ("startend:quotation", {}),
    ("change_case:capital_word_frequency", {"capital_frequency": 4, "capital_relation": "at least"}),
    ("change_case:capital_word_frequency", {"capital_frequency": 1, "capital_relation": "less than"}),
    ("change_case:english_capital", {}),
    ("change_case:english_lowercase", {}),
    ("punctuation:no_comma", {}),
]
SENTENCES = [
    ENGLISH,
    "i like tea. it is warm. i drink it.",
    "We met in May. 20 people came.",
    "One. - item two",
    "Is it so? Yes! It is.",
    "He said \"no.\" She left.",
    "A title\n\nOne sentence over\ntwo lines. Another one",
    "1. One point.\n2. Two points.",
    "It costs 3.50 euros. At example.org it is cheaper.",
    "*Bold.* Then plain.",
    "...",
]
ON_LANGUAGE = {"language:response_language", "change_case:english_capital", "change_case:english_lowercase"}


def main():
    cases = []
    for name, arguments in INSTRUCTIONS:
        for answer in ANSWERS:
            if name in ON_LANGUAGE and answer not in ANSWERS[:5]:
                continue
            row = utils.InputExample(0, [name], "a prompt", [arguments])
            strict = utils.test_instruction_following_strict(row, answer)
            loose = utils.test_instruction_following_loose(row, answer)
            cases.append([strict.follow_all_instructions, loose.follow_all_instructions])
    with open("ifeval.json", "w") as file:
        json.dump(
            {
                "answers": ANSWERS,
                "on_language": 5,
                "sentences": [
                    [text, len(nltk.tokenize.punkt.PunktSentenceTokenizer().tokenize(text))]
                    for text in SENTENCES
                ],
                "instructions": [[name, arguments] for name, arguments in INSTRUCTIONS],
                "followed": "".join("01"[strict] + "01"[loose] for strict, loose in cases),
            },
            file,
            ensure_ascii=False,
            indent=1,
        )


if __name__ == "__main__":
    main()
