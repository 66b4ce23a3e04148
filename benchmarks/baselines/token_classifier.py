"""The language model itself as a classifier of tokens: what does generating buy?

LoRA on the base, a linear layer over a word's last piece, BIO labels. The base sees no
right context; `twice` gives it the text two times and classifies the second copy."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from peft import LoraConfig, get_peft_model
from spacy.language import Language
from spacy.tokens import Doc
from torch.nn.functional import cross_entropy
from transformers import AutoModel, AutoTokenizer

from spacy_instructner.annotations import annotate
from spacy_instructner.fewshot.runs import Annotate
from spacy_instructner.resolve import Found
from spacy_instructner.weights.memory import bound_memory
from spacy_instructner.weights.precision import choose_dtype
from spacy_instructner.weights.sources import DEFAULT_MODEL, locate

# Ids of a text, and for each word where its last piece stands.
Read = tuple[list[int], list[int]]


def fit(
    nlp: Language,
    support: Sequence[Doc],
    seed: int,
    name: str = DEFAULT_MODEL,
    steps: int = 80,
    batch_size: int = 8,
    learn_rate: float = 5e-4,
    r: int = 16,
    twice: bool = False,
) -> Annotate:
    """Learn from a support set.

    steps: of batch_size texts; learn_rate: the highest, after a tenth of the steps, and
    falling to 0; r: rank of the adapter on all linear layers; twice: see above."""
    labels = sorted({ent.label_ for doc in support for ent in doc.ents})
    tags = ["O", *(f"{kind}-{label}" for label in labels for kind in "BI")]
    tagger = Tagger(name, tags, r, twice)
    weights = [weight for weight in tagger.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learn_rate, weight_decay=0.0)
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup)),
    )
    for batch in islice(_batches(support, batch_size, random.Random(seed)), steps):
        logits = tagger([tagger.read(doc) for doc in batch])
        gold = [tags.index(tag) for doc in batch for tag in tags_of(doc)]
        cross_entropy(logits, torch.tensor(gold)).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    tagger.eval()
    return lambda docs: _annotated(tagger, docs)


class Tagger(torch.nn.Module):
    """The base with its adapter, and the layer on top."""

    def __init__(self, name: str, tags: Sequence[str], r: int, twice: bool) -> None:
        super().__init__()
        folder = locate(name).folder
        self.tags = tags
        self.twice = twice
        bound_memory()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        dtype = choose_dtype("auto", torch.device("cpu"))
        base = AutoModel.from_pretrained(folder, torch_dtype=dtype)
        config = LoraConfig(r=r, lora_alpha=2 * r, target_modules="all-linear")
        self.base = get_peft_model(base, config)
        self.top = torch.nn.Linear(base.config.hidden_size, len(tags))

    def read(self, doc: Doc) -> Read:
        """The text as ids, once or twice, and its words' last pieces (of the second
        copy)."""
        ids: list[int] = []
        last: list[int] = []
        for _ in range(1 + self.twice):
            ids += self.pieces("\n")
            last = []
            for word in doc:
                ids += self.pieces(f" {word.text}")
                last.append(len(ids) - 1)
        return ids, last

    def pieces(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def forward(self, texts: Sequence[Read]) -> torch.Tensor:
        """Logits of all texts' words: (words, tags)."""
        width = max(len(ids) for ids, _ in texts)
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        # What is filled up stands behind, where nothing looks at it.
        for row, (own, _) in enumerate(texts):
            ids[row, : len(own)] = torch.tensor(own)
            mask[row, : len(own)] = 1
        hidden = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        places = [(row, at) for row, (_, last) in enumerate(texts) for at in last]
        rows, at = torch.tensor(places).T
        return self.top(hidden[rows, at].float())


def tags_of(doc: Doc) -> list[str]:
    return [
        f"{word.ent_iob_}-{word.ent_type_}" if word.ent_type_ else "O" for word in doc
    ]


def spans_of(tags: Sequence[str], probabilities: Sequence[float]) -> list[Found]:
    """Entities of BIO tags; an I that continues nothing begins. Score: the product of
    the words' probabilities."""
    spans: list[Found] = []
    for at, (tag, probability) in enumerate(zip(tags, probabilities, strict=True)):
        kind, _, label = tag.partition("-")
        if kind == "I" and spans and (spans[-1].end, spans[-1].label) == (at, label):
            before = spans.pop()
            score = before.score * probability
            spans.append(Found(before.start, at + 1, label, score))
        elif label:
            spans.append(Found(at, at + 1, label, probability))
    return spans


def _batches(docs: Sequence[Doc], size: int, rng: random.Random) -> Iterator[list[Doc]]:
    """Without end; each text once before any comes again."""
    while True:
        order = rng.sample(range(len(docs)), len(docs))
        for first in range(0, len(order), size):
            yield [docs[at] for at in order[first : first + size]]


def _annotated(tagger: Tagger, docs: Iterable[Doc], size: int = 32) -> Iterable[Doc]:
    docs = list(docs)
    by_length = sorted((doc for doc in docs if len(doc)), key=len)
    for first in range(0, len(by_length), size):
        batch = by_length[first : first + size]
        with torch.inference_mode():
            best = tagger([tagger.read(doc) for doc in batch]).softmax(-1).max(-1)
        said = zip(best.indices.tolist(), best.values.tolist())
        for doc in batch:
            own = list(islice(said, len(doc)))
            spans = spans_of([tagger.tags[at] for at, _ in own], [p for _, p in own])
            annotate(doc, spans, spans_key="scored", threshold=0.0, overwrite=True)
    return docs
