"""What was tried to make the model itself faster and is not in the package: int8 and a
compiled path. `python -m benchmarks.speed.variants PIPELINE DOCS.spacy`."""

import statistics
import sys
from collections.abc import Callable

import spacy
import torch
from spacy.scorer import Scorer
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from torch import nn
from wasabi import msg

from spacy_instructner.models.backbone import Backbone

from .decoding import NAME, ready
from .measure import timed
from .models import copies


def int8(backbone: Backbone) -> None:
    """torch's dynamic quantization of all linear layers but the output matrix."""
    # In place: a copy would have a configuration of its own.
    torch.ao.quantization.quantize_dynamic(
        backbone.hf.base_model.layers, {nn.Linear}, dtype=torch.qint8, inplace=True
    )


def compiled(backbone: Backbone) -> None:
    """torch.compile of what has no state: feed-forward parts and norms."""
    for layer in backbone.hf.base_model.layers:
        layer.mlp = torch.compile(layer.mlp, dynamic=True)
        layer.input_layernorm = torch.compile(layer.input_layernorm, dynamic=True)
        layer.post_attention_layernorm = torch.compile(
            layer.post_attention_layernorm, dynamic=True
        )


VARIANTS: dict[str, "tuple[str, Callable[[Backbone], None]]"] = {
    "bfloat16": ("auto", lambda backbone: None),
    "float32": ("float32", lambda backbone: None),
    "int8": ("float32", int8),
    "compiled": ("auto", compiled),
}


def f1(gold: list[Doc], found: list[Doc]) -> float:
    examples = [Example(one, other) for one, other in zip(found, gold)]
    return Scorer.score_spans(examples, "ents", allow_overlap=False)["ents_f"]


def measure(folder: str, data: str, name: str) -> str:
    """Speed and F1 of a variant, in words."""
    precision, change = VARIANTS[name]
    nlp = spacy.load(folder, config={f"components.{NAME}.model.precision": precision})
    backbone = ready(nlp)
    change(backbone)
    gold = list(DocBin().from_disk(data).get_docs(nlp.vocab))
    pipe = nlp.get_pipe(NAME)
    first = timed(lambda: list(pipe.pipe(copies(gold[:50]))))
    answers: list[list[Doc]] = []
    seconds = [
        timed(lambda: answers.append(list(pipe.pipe(copies(gold), batch_size=1000))))
        for _ in range(3)
    ]
    return (
        f"{name}: {len(gold) / statistics.median(seconds):.1f} docs/s, F1 "
        f"{f1(gold, answers[-1]):.4f}, first 50 texts {first:.1f} s"
    )


def main() -> None:
    folder, data, *names = sys.argv[1:]
    for name in names or VARIANTS:
        msg.text(measure(folder, data, name))


if __name__ == "__main__":
    main()
