"""Scripts without spaces, right to left, and with combining signs, one token a
character, through encoding, grammar, windows and annotation."""

from collections.abc import Callable
from pathlib import Path

import pytest
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from test_training import LORA, Adam

from spacy_instructner.component import InstructionNERPipe
from spacy_instructner.decoding.grammar import read_answer
from spacy_instructner.decoding.request import DecodingRequest
from spacy_instructner.models.thinc_model import get_backbone

TEXTS = {
    "zh": ("王小明昨天去了北京", [(0, 3, "PERSON"), (7, 9, "PLACE")]),
    "ar": ("زار أحمد مدينة القاهرة", [(4, 8, "PERSON"), (15, 22, "PLACE")]),
    "th": ("สมชายไปกรุงเทพ", [(0, 5, "PERSON"), (7, 14, "PLACE")]),
}


def character_doc(nlp: Language, text: str) -> Doc:
    """One token a character; a space belongs to the character before it."""
    words, spaces = [], []
    for character in text:
        if character == " ":
            spaces[-1] = True
        else:
            words.append(character)
            spaces.append(False)
    return Doc(nlp.vocab, words=words, spaces=spaces)


def gold_doc(nlp: Language, language: str) -> Doc:
    text, entities = TEXTS[language]
    doc = character_doc(nlp, text)
    spans = [doc.char_span(start, end, label=label) for start, end, label in entities]
    assert None not in spans and doc.text == text
    doc.set_ents(spans, default="outside")
    return doc


def first_question(pipe: InstructionNERPipe, doc: Doc) -> DecodingRequest:
    """What the component asks about a Doc's first window."""
    ((_, requests), *_) = pipe.requests([doc])
    return requests[0]


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("kind", ["causal", "t5"])
def test_learnt_and_found_again(
    make_nlp: Callable[..., Language],
    tiny_seq2seq: Callable[[str], Path],
    language: str,
    kind: str,
) -> None:
    model = {"adapter": None}
    if kind == "t5":
        # Its tokenizer never saw these signs: each is the unknown token, and an
        # answer is read by its path all the same.
        model["@architectures"] = "spacy-instructner.Seq2SeqLM.v1"
        model["name"] = str(tiny_seq2seq("t5"))
    nlp = make_nlp(model=model)
    doc = gold_doc(nlp, language)
    example = Example(character_doc(nlp, doc.text), doc)
    nlp.initialize(lambda: [example])
    pipe = nlp.get_pipe("instruction_ner")
    (main,) = [r for r in pipe.records([example]) if r.task == "main"]
    request = first_question(pipe, doc)
    clauses = read_answer(request.grammar, main.answer)
    assert clauses is not None and len(clauses) == 2
    if kind == "causal":
        assert [c[:2] for c in clauses] == [(e.start, e.end) for e in doc.ents]
        sgd = Adam(3e-3)
        for _ in range(40):
            nlp.update([example], sgd=sgd)
        found = pipe(character_doc(nlp, doc.text))
        assert [(e.start, e.end, e.label_) for e in found.ents] == [
            (e.start, e.end, e.label_) for e in doc.ents
        ]


@pytest.mark.parametrize("language", TEXTS)
def test_windows_cut_between_characters(
    make_nlp: Callable[..., Language], language: str
) -> None:
    nlp = make_nlp(max_window=12, window_overlap=4, save_io=True)
    doc = nlp.get_pipe("instruction_ner")(character_doc(nlp, TEXTS[language][0]))
    io = doc.user_data["instruction_ner_io"]["instruction_ner"]
    assert len(io) > 1
    assert {i for e in io for i in range(e["start"], e["end"])} == set(range(len(doc)))
    for span in doc.spans["instruction_ner"]:
        assert isinstance(span, Span) and span.text in doc.text


def test_prompts_in_another_language(make_nlp: Callable[..., Language]) -> None:
    nlp = make_nlp(
        task={
            "@misc": "spacy-instructner.InstructionNER.v1",
            "main_template": "指令：找出实体。类型：{options}\n句子：{sentence}\n答案：",
            "clause": "{entity}是{type}",
            "separator": "，",
            "terminator": "。",
            "no_entity": "无。",
        },
        label_names={"PERSON": "人", "PLACE": "地点"},
        model={"adapter": LORA},
        save_io=True,
    )
    doc = gold_doc(nlp, "zh")
    example = Example(character_doc(nlp, doc.text), doc)
    nlp.initialize(lambda: [example])
    pipe = nlp.get_pipe("instruction_ner")
    decode = get_backbone(pipe.model).tokenizer.decode
    (main,) = [r for r in pipe.records([example]) if r.task == "main"]
    assert decode(main.prefix) == "指令：找出实体。类型： 人, 地点\n句子："
    assert decode(main.answer) == " 王小明是人， 北京是地点。<|end|>"
