"""What the default answers, in float32: the same with every version of what it needs.

`python tests/whole/test_default_answers.py` writes the answers anew, where they are meant to change."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
import torch

from spacy_instructner.weights.sources import fetch

HERE = Path(__file__).parent
ANSWERS = HERE / "answers.json"
TEXTS = HERE.parents[1] / "assets" / "workshop" / "test.jsonl"
LABELS = {"PART": "a part of a bicycle", "BIKE": "a kind of bicycle", "TOOL": ""}


def answers() -> list[dict[str, Any]]:
    fetch()
    nlp = spacy.blank("en")
    config = {
        "labels": list(LABELS),
        "label_definitions": {label: said for label, said in LABELS.items() if said},
        "model": {"precision": "float32"},
    }
    nlp.add_pipe("instruction_ner", config=config)
    with TEXTS.open(encoding="utf8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:25]
    found = []
    for doc in nlp.pipe(texts):
        group = doc.spans["instruction_ner"]
        found.append(
            {
                "ents": [[e.start, e.end, e.label_] for e in doc.ents],
                "spans": [
                    [s.start, s.end, s.label_, round(float(score), 6)]
                    for s, score in zip(group, group.attrs["scores"])
                ],
            }
        )
    return found


def test_the_defaults_answers_are_those_of_every_version() -> None:
    expected = json.loads(ANSWERS.read_text(encoding="utf8"))
    found = answers()
    for one, other in zip(found, expected, strict=True):
        assert one["ents"] == other["ents"]
        for span, known in zip(one["spans"], other["spans"], strict=True):
            assert span[:3] == known[:3]
            assert span[3] == pytest.approx(known[3], abs=1e-4)
    assert sum(len(each["spans"]) for each in expected) > 40


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in answers())
    ANSWERS.write_text(f"[\n{rows}\n]\n", encoding="utf8")
