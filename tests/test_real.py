"""The real small model and real data. The weights come by `fetch` (once)."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import spacy
import torch
from conftest import SHARED
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_instructner.data.corpora import build_few_shot_corpus_v1, read_docs
from spacy_instructner.decoding.grammar import Grammar, read_answer
from spacy_instructner.models.thinc_model import get_inference_backbone
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.instruction_ner import build_instruction_ner_v1
from spacy_instructner.tasks.labels import make_label_set
from spacy_instructner.weights.sources import KNOWN_SHA256, fetch

ASSETS = Path(__file__).parents[1] / "assets" / "workshop"


@pytest.fixture(scope="module")
def weights() -> Path:
    """The default model, fetched where it is not here yet."""
    fetched = fetch()
    assert fetched.identity.sha256 == KNOWN_SHA256[fetched.identity.source]
    return fetched.folder


@pytest.fixture(scope="module")
def encoder(weights: Path) -> TextEncoder:
    from transformers import AutoTokenizer

    return TextEncoder(AutoTokenizer.from_pretrained(weights))


def test_the_converted_tokenizers_faults_are_mended(encoder: TextEncoder) -> None:
    tokenizer = encoder.tokenizer
    assert tokenizer.eos_token_id == 2 and tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id is not None
    assert encoder.start == encoder.end == ()
    assert tokenizer("Anna").input_ids == list(encoder.text("Anna"))


def test_words_make_the_ids_the_tokenizer_makes(encoder: TextEncoder) -> None:
    """On text split at spaces our word-by-word ids are the usual ones."""
    text = " where can i find cheap thai food near 5th avenue , open late ?"
    words = text.split()
    encoded = encoder.words(words, [True] * len(words), 50)
    assert list(encoded.text) == encoder.tokenizer(text).input_ids


@pytest.mark.long
def test_few_shots_and_stopping(weights: Path) -> None:
    """Trained on a few sentences the model answers, and left to itself it stops."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    task = {"@misc": "spacy-instructner.InstructionNER.v1"}
    pipe = nlp.add_pipe("instruction_ner", config={"task": task})
    corpus = build_few_shot_corpus_v1(ASSETS / "train.jsonl", "at-least-k", 2, 0)
    examples = list(corpus(nlp))
    nlp.initialize(lambda: examples)
    sgd = Adam(2e-3)
    losses = [
        pipe.update(examples[at : at + 4], sgd=sgd)["instruction_ner"]
        for _ in range(4)
        for at in range(0, len(examples), 4)
    ]
    assert losses[-1] < 0.5 * losses[0]
    docs, _ = read_docs(ASSETS / "test.jsonl", nlp)
    scores = nlp.evaluate([Example(nlp.make_doc(d.text), d) for d in docs[:25]])
    assert scores["ents_f"] > 0.1
    reader = get_inference_backbone(pipe.model)
    (record,) = [r for r in pipe.records(examples[:1]) if r.task == "main"]
    prompt = torch.tensor([record.prefix + record.suffix])
    said = reader.hf.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=4 * len(record.answer),
        do_sample=False,
    )[0, prompt.shape[1] :]
    assert int(said[-1]) == reader.tokenizer.eos_token_id
    assert (said == reader.tokenizer.eos_token_id).sum() == 1


def sentences(path: Path) -> Iterator[tuple[list[str], list]]:
    with gzip.open(path, "rt", encoding="utf8") as file_:
        for line in file_:
            row = json.loads(line)
            at, begin, end = 0, {}, {}
            for number, token in enumerate(row["tokens"]):
                begin[at] = number
                at += len(token)
                end[at] = number + 1
                at += 1
            yield (
                row["tokens"],
                [(begin[s["start"]], end[s["end"]], s["label"]) for s in row["spans"]],
            )


def all_files() -> list[Path]:
    return sorted(SHARED.glob("*/*.jsonl.gz"))


def check_targets(encoder: TextEncoder, path: Path, most: int) -> tuple[int, int]:
    """Every gold target is an accepted path, id for id; how many spans there are,
    and how many the documented reading puts elsewhere."""
    rows = list(sentences(path))
    if len(rows) > most:
        rows = random.Random(0).sample(rows, most)
    names = sorted({label for _, spans in rows for *_, label in spans})
    labels = make_label_set(names, {}, {})
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1().bind(encoder, labels, end)
    total = elsewhere = 0
    for tokens, spans in rows:
        words = encoder.words(tokens, [bool(i) for i in range(len(tokens))], 500)
        record = task.records(words, Gold(tuple(spans)))[0]
        clauses = read_answer(
            Grammar(words, task.format, trie=task.trie), record.answer
        )
        assert clauses is not None, (path.parent.name, tokens)
        said = [(a, b, labels.labels[label]) for a, b, label in clauses]
        # Another place, never other words.
        texts = [(" ".join(tokens[a:b]), x) for a, b, x in said]
        assert texts == [(" ".join(tokens[a:b]), x) for a, b, x in spans]
        total += len(spans)
        elsewhere += len(set(spans) - set(said))
    return total, elsewhere


@pytest.mark.skipif(not all_files(), reason="no real data here")
def test_gold_targets_are_accepted(encoder: TextEncoder) -> None:
    for path in all_files():
        check_targets(encoder, path, 150)


@pytest.mark.slow
@pytest.mark.skipif(not all_files(), reason="no real data here")
def test_every_gold_target_is_accepted(encoder: TextEncoder) -> None:
    total = elsewhere = 0
    for path in all_files():
        counts = check_targets(encoder, path, 1_000_000)
        total, elsewhere = total + counts[0], elsewhere + counts[1]
    assert total > 100_000
    assert elsewhere / total < 0.003
