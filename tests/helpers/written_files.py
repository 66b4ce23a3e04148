"""Each kind of file, as its tool writes it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

COUNT = 2000
LABELS = ["PART", "TOOL", "BIKE"]
VOCABULARY = (
    "the chain saddle René torque wrench broke yesterday Åsa rides 12 mm # old "
    "Größe 小 明 naïve no.7 e-mail B-52 today fork said"
).split()
Entities = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Text:
    """What a mutated file says: words, and entities by words."""

    words: tuple[str, ...]
    entities: Entities

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        starts = [0]
        for word in self.words:
            starts.append(starts[-1] + len(word) + 1)
        return [(starts[a], starts[b] - 1, label) for a, b, label in self.entities]

    @property
    def truth(self) -> tuple:
        """Words of entities, as no tokenizer changes them."""
        return tuple(
            ("".join(self.words[start:end]), label)
            for start, end, label in self.entities
        )


def make_texts(rng: random.Random) -> list[Text]:
    texts = []
    for _ in range(rng.randint(2, 4)):
        words = tuple(rng.choices(VOCABULARY, k=rng.randint(2, 7)))
        borders = sorted(rng.sample(range(len(words) + 1), k=min(4, len(words))))
        entities = [
            (start, end, rng.choice(LABELS))
            for start, end in zip(borders[::2], borders[1::2])
        ]
        texts.append(Text(words, tuple(entities)))
    # Entities in the first and the last: most files have some.
    for at in (0, -1):
        words = texts[at].words
        texts[at] = Text(words, ((0, 1, "PART"), (1, 2, "TOOL")))
    return texts


Row = Callable[[Text], Any]


def span(start: int, end: int, label: str) -> dict:
    return {"start": start, "end": end, "label": label}


def prodigy(text: Text) -> dict:
    spans = [{**span(*each), "answer": "accept"} for each in text.spans]
    return {"text": text.text, "spans": spans, "answer": "accept"}


def label_studio(text: Text) -> dict:
    result = [
        {
            "type": "labels",
            "value": {"start": a, "end": b, "text": text.text[a:b], "labels": [label]},
        }
        for a, b, label in text.spans
    ]
    return {"data": {"text": text.text}, "annotations": [{"id": 3, "result": result}]}


def label_studio_min(text: Text) -> dict:
    found = [
        {"start": a, "end": b, "text": text.text[a:b], "labels": [label]}
        for a, b, label in text.spans
    ]
    row = {"text": text.text, "annotator": 1, "annotation_id": 2}
    return {**row, "label": found} if found else row


def doccano_entities(text: Text) -> dict:
    entities = [
        {"label": label, "start_offset": a, "end_offset": b}
        for a, b, label in text.spans
    ]
    return {"text": text.text, "entities": entities, "relations": []}


def tags_of(text: Text, scheme: str) -> list[str]:
    letters = {"IOB2": "BIIB", "BIOES": "BIES", "BILUO": "BILU", "BMES": "BMES"}
    tags = ["O"] * len(text.words)
    for start, end, label in text.entities:
        for at in range(start, end):
            before = tags[at - 1][2:] if at and tags[at - 1] != "O" else ""
            if scheme == "IOB1":
                letter = "B" if at == start and before == label else "I"
            else:
                begin, inside, last, single = letters[scheme]
                letter = begin if at == start else inside
                if at == end - 1:
                    letter = single if end - start == 1 else last
            tags[at] = f"{letter}-{label}"
    return tags


def training_json(text: Text) -> dict:
    tokens = [
        {"orth": word, "ner": tag}
        for word, tag in zip(text.words, tags_of(text, "BILUO"))
    ]
    return {"id": 0, "paragraphs": [{"sentences": [{"tokens": tokens}]}]}


def gliner(text: Text) -> dict:
    ner = [[start, end - 1, label] for start, end, label in text.entities]
    return {"tokenized_text": list(text.words), "ner": ner}


ROWS: dict[str, Row] = {
    "prodigy": prodigy,
    "doccano": lambda t: {"id": 1, "text": t.text, "label": [list(s) for s in t.spans]},
    "doccano-entities": doccano_entities,
    "spacy2": lambda t: [t.text, {"entities": [list(s) for s in t.spans]}],
    "spacy2-dict": lambda t: {"text": t.text, "entities": [list(s) for s in t.spans]},
    "doc-json": lambda t: {"text": t.text, "ents": [span(*s) for s in t.spans]},
    "label-studio": label_studio,
    "label-studio-min": label_studio_min,
    "hugging-face": lambda t: {
        "id": "0",
        "tokens": list(t.words),
        "ner_tags": tags_of(t, "IOB2"),
    },
    "gliner": gliner,
    "training-json": training_json,
}
# What a tool calls something that no reader needs: whatever becomes of it.
SPARE = {"id", "relations", "annotator", "annotation_id", "answer", "type", "sentences"}


def columns(scheme: str, *before: str, lower: bool = False, between: str = "\t") -> Any:
    def write(texts: Sequence[Text]) -> list[list[str]]:
        lines: list[list[str]] = []
        for text in texts:
            for word, tag in zip(text.words, tags_of(text, scheme)):
                tag = tag[0].lower() + tag[1:] if lower else tag
                lines.append([word, *before, tag])
            lines.append([])
        return lines

    return write, between


def nested(texts: Sequence[Text]) -> list[list[str]]:
    """As GermEval: numbered, the outer entities in front of the inner ones."""
    lines = [["#", "http://example.org", "[2009-10-17]"]]
    for text in texts:
        for at, (word, tag) in enumerate(zip(text.words, tags_of(text, "IOB2")), 1):
            lines.append([str(at), word, tag, "O"])
        lines.append([])
    return lines


def conllu(texts: Sequence[Text]) -> list[list[str]]:
    lines = [["# global.columns = ID FORM UPOS NER"]]
    for text in texts:
        lines.append(["# sent_id = 1"])
        for at, (word, tag) in enumerate(zip(text.words, tags_of(text, "IOB2")), 1):
            lines.append([str(at), word, "_", tag])
        lines.append([])
    return lines


def ontonotes(texts: Sequence[Text]) -> list[list[str]]:
    lines = [["#begin document (a); part 000"]]
    for text in texts:
        brackets = ["*"] * len(text.words)
        for start, end, label in text.entities:
            brackets[start] = f"({label}*"
            brackets[end - 1] = (brackets[end - 1] + ")").replace("*)", "*)")
            if end - start == 1:
                brackets[start] = f"({label})"
        for at, (word, bracket) in enumerate(zip(text.words, brackets)):
            parse = (
                "(TOP(S*" if at == 0 else "*))" if at == len(text.words) - 1 else "*"
            )
            own = ["a", "0", str(at), word, "NN", parse, *"----", bracket, "-"]
            lines.append(own)
        lines.append([])
    return [*lines, ["#end document"]]


COLUMNS: dict[str, tuple[Callable, str]] = {
    "iob1": columns("IOB1", between=" "),
    "iob2": columns("IOB2"),
    "iob2-lower": columns("IOB2", "NN", lower=True),
    "bioes": columns("BIOES", "NN", "B-NP", between=" "),
    "biluo": columns("BILUO"),
    "bmes": columns("BMES", between=" "),
    "nested": (nested, "\t"),
    "conllu-plus": (conllu, "\t"),
    "ontonotes": (ontonotes, "   "),
}
PIPES = {"pipes": (), "pipes-pos": ("NN",)}
