"""SpanMarker, trained by its own Trainer."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_instructner.annotations import annotate
from spacy_instructner.fewshot.runs import Annotate
from spacy_instructner.resolve import Found


def fit(
    nlp: Language,
    support: Sequence[Doc],
    seed: int,
    name: str,
    steps: int = 200,
    batch_size: int = 8,
    learn_rate: float = 1e-4,
    longest: int = 8,
) -> Annotate:
    """name: the folder of the encoder; steps: of batch_size texts; learn_rate: the
    highest, after a tenth of the steps, falling to 0; longest: words of a span.

    Raises ModuleNotFoundError without span-marker."""
    from datasets import Dataset
    from span_marker import SpanMarkerModel, Trainer
    from transformers import TrainingArguments

    labels = sorted({ent.label_ for doc in support for ent in doc.ents})
    model = SpanMarkerModel.from_pretrained(
        name,
        labels=["O", *labels],
        model_max_length=256,
        entity_max_length=longest,
    )
    model.data_collator = partial(trimmed, model.data_collator)
    rows = {
        "tokens": [[word.text for word in doc] for doc in support],
        "ner_tags": [_tags(doc, labels) for doc in support],
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=batch_size,
            learning_rate=learn_rate,
            warmup_ratio=0.1,
            seed=seed,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=steps,
            use_cpu=True,
        )
        Trainer(model, arguments, train_dataset=Dataset.from_dict(rows)).train()
    model.eval()
    return lambda docs: _annotated(model, docs)


def trimmed(
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
    features: list[dict[str, Any]],
) -> dict[str, torch.Tensor]:
    """A batch without the columns that are padding in all of its rows.

    SpanMarker pads each to the longest text and the most markers that there could be,
    512 places here: of a sentence, most are empty, and nothing attends to them."""
    batch = collate(features)
    pairs = batch["num_marker_pairs"]
    used = int((batch["start_marker_indices"] + 2 * pairs).max())
    used += used % 2
    lengths = {"input_ids": used, "position_ids": used, "labels": used // 2}
    for name in lengths.keys() & batch.keys():
        batch[name] = batch[name][:, : lengths[name]].contiguous()
    batch["attention_mask"] = batch["attention_mask"][:, :used, :used]
    return batch


def _tags(doc: Doc, labels: Sequence[str]) -> list[int]:
    """The label of each word, 0 for none; without begin tags, as SpanMarker reads
    entities of one type side by side as one."""
    return [1 + labels.index(word.ent_type_) if word.ent_type_ else 0 for word in doc]


def _annotated(model: object, docs: Iterable[Doc]) -> Iterable[Doc]:
    docs = list(docs)
    read = [doc for doc in docs if len(doc)]
    words = [[word.text for word in doc] for doc in read]
    said = model.predict(words, batch_size=32)  # type: ignore[attr-defined]
    for doc, entities in zip(read, said, strict=True):
        found = [
            Found(
                entity["word_start_index"],
                entity["word_end_index"],
                entity["label"],
                entity["score"],
            )
            for entity in entities
        ]
        annotate(doc, found, spans_key="scored", threshold=0.0, overwrite=True)
    return docs
