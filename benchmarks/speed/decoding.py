"""Decoding against `generate()` on the same weights, prompts and threads, and against
other taggers; and against what the processor could do at best."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc

from spacy_instructner.decoding.answers import Ids
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.request import Answer, DecodingRequest
from spacy_instructner.models.backbone import Backbone
from spacy_instructner.models.thinc_model import get_inference_backbone

from . import rivals
from .measure import Row, in_turns
from .models import copies, definitions, test_docs, tuned

NAME = "instruction_ner"
LONGEST_ANSWER = 128


def ready(nlp: Language) -> Backbone:
    """The pipeline's model with its adapter merged."""
    return get_inference_backbone(nlp.get_pipe(NAME).model)


def requests_of(nlp: Language, docs: list[Doc]) -> list[DecodingRequest]:
    """One for each text: these texts fit a window."""
    asked = nlp.get_pipe(NAME).requests(docs)
    assert [window.doc for window, _ in asked] == list(range(len(docs)))
    return [request for _, (request,) in asked]


def generate(
    backbone: Backbone,
    requests: list[DecodingRequest],
    batch: int,
    grammar: bool = False,
) -> list[Ids]:
    """Answers by `generate()`, greedy, prompts of like length together.

    grammar: let it choose only what our grammar allows; the automaton goes on from
    step to step and is never rebuilt."""
    order = sorted(range(len(requests)), key=lambda i: -len(requests[i].own))
    answers: dict[int, Ids] = {}
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        asked = [requests[i] for i in rows]
        answers.update(zip(rows, _generate_batch(backbone, asked, grammar)))
    return [answers[i] for i in range(len(requests))]


def _generate_batch(
    backbone: Backbone, requests: list[DecodingRequest], grammar: bool
) -> list[Ids]:
    end = backbone.tokenizer.eos_token_id
    prompts = [request.prefix + request.own for request in requests]
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), end)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    states = [request.grammar.start() for request in requests]

    def allowed(row: int, said: torch.Tensor) -> list[int]:
        if len(said) > width and not states[row].done:
            states[row] = states[row].step(int(said[-1]))
        return [end] if states[row].done else list(states[row].allowed)

    with torch.inference_mode():
        out = backbone.hf.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=LONGEST_ANSWER,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            prefix_allowed_tokens_fn=allowed if grammar else None,
        )
    answers = []
    for row in out[:, width:].tolist():
        answers.append(tuple(row[: row.index(end) + 1] if end in row else row))
    return answers


# What to run, on how many texts, and what a reader must know of it.
Rival = tuple[Callable[[], Any], int, str]


def compare(
    data: Path, name: str, cache: Path, count: int, few: int, times: int
) -> list[Row]:
    """Texts a second of a data set, ours and others'. count: texts; few: of them for
    what reads texts one by one; times: repetitions, by turns."""
    nlp = tuned(data, name, cache)
    docs = test_docs(nlp, data, name, count)
    own = ours(nlp, docs)
    runs = {**own, **generated(nlp, docs, few), **others(nlp, docs, few)}
    first, _, _ = own["ours, greedy"]
    first()  # what is compiled and cached at first use
    seconds = in_turns({other: run for other, (run, _, _) in runs.items()}, times)
    pipe = nlp.get_pipe(NAME)
    pipe.decoder = type(pipe.decoder)()
    rows = [
        Row(
            f"docs_s.{name}",
            other,
            "docs/s",
            [n / s for s in seconds[other]],
            note=note,
        )
        for other, (_, n, note) in runs.items()
    ]
    # A longer stream: most of what is lost at 128 texts is at its begin and end.
    return rows + floor(nlp, name, test_docs(nlp, data, name, 4 * count), times)


def ours(nlp: Language, docs: list[Doc]) -> dict[str, Rival]:
    """The component, greedy and with four beams."""
    pipe = nlp.get_pipe(NAME)

    def annotate(width: int) -> None:
        pipe.decoder = type(pipe.decoder)(beam_width=width)
        list(pipe.pipe(copies(docs), batch_size=1000))

    return {
        "ours, greedy": (partial(annotate, 1), len(docs), ""),
        "ours, beam 4": (partial(annotate, 4), len(docs), ""),
    }


def generated(nlp: Language, docs: list[Doc], few: int) -> dict[str, Rival]:
    """`generate()` on the same prompts. few: texts for small batches."""
    backbone, requests = ready(nlp), requests_of(nlp, docs)
    runs: dict[str, Rival] = {}
    for batch in (1, 8, 32, 128):
        asked = requests if batch > 8 else requests[:few]
        note = "one prompt at a time" if batch == 1 else ""
        run = partial(generate, backbone, asked, batch)
        runs[f"generate(), batch {batch}"] = run, len(asked), note
    for batch in (32, 128):
        run = partial(generate, backbone, requests, batch, grammar=True)
        name = f"generate() under our grammar, batch {batch}"
        runs[name] = run, len(requests), "prefix_allowed_tokens_fn"
    return runs


def others(nlp: Language, docs: list[Doc], few: int) -> dict[str, Rival]:
    """Other taggers, as far as they are installed. few: texts for small batches."""
    backbone, labels = ready(nlp), list(nlp.get_pipe(NAME).labels)
    texts = [doc.text for doc in docs]

    def said(prompts: list[str]) -> list[str]:
        """Text in, text out, over the same weights."""
        answers = []
        for prompt in prompts:
            ids = backbone.tokenizer(prompt, return_tensors="pt").input_ids
            with torch.inference_mode():
                out = backbone.hf.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=64,
                    do_sample=False,
                    pad_token_id=backbone.tokenizer.eos_token_id,
                )
            answers.append(backbone.tokenizer.decode(out[0, ids.shape[1] :]))
        return answers

    found = {
        "spacy-llm, NER task": (
            rivals.spacy_llm(labels, said),
            few // 2,
            "its own prompt over the same weights; answers cut at 64 tokens",
        ),
        "spaCy `ner`": (rivals.spacy_ner(labels), len(texts), ""),
        "spacy-transformers + `ner`, all-MiniLM-L6": (
            rivals.transformer_ner(labels, rivals.minilm_folder()),
            len(texts),
            "22 M parameters",
        ),
        "GLiNER, small": (rivals.gliner_small(labels), len(texts), "random weights"),
    }
    return {
        name: (partial(call, texts[:number]), number, note)
        for name, (call, number, note) in found.items()
        if call is not None
    }


def methods(data: Path, name: str, cache: Path, count: int, times: int) -> list[Row]:
    """Texts a second of both methods with the same labels, and of a loop over labels
    with `generate()`, by turns."""
    runs: dict[str, Rival] = {}
    asked: list[DecodingRequest] = []

    def annotating(pipe: Any, docs: list[Doc]) -> Callable[[], Any]:
        return lambda: list(pipe.pipe(copies(docs), batch_size=1000))

    nlp = tuned(data, name, cache)
    ready(nlp)
    docs = test_docs(nlp, data, name, count)
    runs["InstructionNER"] = annotating(nlp.get_pipe(NAME), docs), count, ""
    for layout in ("text_first", "text_last"):
        settings = {
            "paths.definitions": definitions(name),
            f"components.{NAME}.task.layout": layout,
        }
        variant = f"-cllmfs-{layout}"
        nlp = tuned(data, name, cache, "cllmfs", settings, variant)
        backbone = ready(nlp)
        runs[f"CLLMFS, {layout}"] = annotating(nlp.get_pipe(NAME), docs), count, ""
        asked = [q for _, of in nlp.get_pipe(NAME).requests(docs) for q in of]
        labels = len(asked) // count
        for batch in (8, 32, 128):
            # A part of the texts, all labels of each.
            few = asked[: labels * max(1, min(count, count * batch // 128))]
            runs[f"generate() for each label, {layout}, batch {batch}"] = (
                lambda b=backbone, few=few, batch=batch: generate(b, few, batch),
                len(few) // labels,
                "",
            )
    for call in [run for label, (run, _, _) in runs.items() if "generate" not in label]:
        call()
    seconds = in_turns({label: run for label, (run, _, _) in runs.items()}, times)
    return [
        Row("methods", label, "docs/s", [n / s for s in seconds[label]], note=note)
        for label, (_, n, note) in runs.items()
    ]


def floor(nlp: Language, name: str, docs: list[Doc], times: int) -> list[Row]:
    """What the processor could do if reading and writing were matrix products only:
    (ids of text and answer) x 2 x parameters without embeddings / the rate it reaches
    on one layer's own matrices at 512 rows. Measured in turns with ours."""
    backbone = ready(nlp)
    pipe = nlp.get_pipe(NAME)
    requests = requests_of(nlp, docs)
    answers = search(backbone, requests)
    words = sum(len(ids) for q in requests for ids in q.grammar.words.following)
    said = sum(len(answer.ids) for answer in answers)
    layers = backbone.hf.base_model.layers
    layer = [
        module.weight.data
        for module_name, module in layers[0].named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in module_name
    ]
    size = sum(weight.numel() for weight in layer)
    parameters = size * len(layers)
    inputs = {w.shape[1]: torch.randn(512, w.shape[1]).to(w.dtype) for w in layer}

    def products() -> None:
        with torch.inference_mode():
            for _ in range(40):
                for weight in layer:
                    torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    def ours() -> None:
        list(pipe.pipe(copies(docs), batch_size=1000))

    seconds = in_turns({"rate": products, "ours": ours}, times)
    rates = [2 * size * 512 * 40 / s / 1e9 for s in seconds["rate"]]
    per_doc = (words + said) / len(docs) * 2 * parameters / 1e9
    best = [rate / per_doc for rate in rates]
    done = [len(docs) / s for s in seconds["ours"]]
    note = f"{words / len(docs):.1f} ids of text and {said / len(docs):.1f} of answer a text"
    return [
        Row(f"floor.{name}", "rate at 512 rows", "GFLOP/s", rates),
        Row(f"floor.{name}", "the floor", "docs/s", best, note=note),
        Row(f"floor.{name}", "ours, in turns with it", "docs/s", done),
        Row(
            f"floor.{name}",
            "share of the floor",
            "",
            [a / b for a, b in zip(done, best)],
        ),
    ]


def agreement(data: Path, name: str, cache: Path, count: int) -> list[Row]:
    """Are our answers those of `generate()` under the same grammar?"""
    rows = []
    for precision in ("float32", "auto"):
        tuned(data, name, cache)
        nlp = spacy.load(
            cache / name / "model-last",
            config={f"components.{NAME}.model.precision": precision},
        )
        backbone = ready(nlp)
        requests = requests_of(nlp, test_docs(nlp, data, name, count))
        ours = search(backbone, requests)
        theirs = generate(backbone, requests, 32, grammar=True)
        gaps = [
            gap(backbone, request, answer, other)
            for request, answer, other in zip(requests, ours, theirs)
            if answer.ids != other
        ]
        dtype = str(backbone.hf.dtype).replace("torch.", "")
        note = f"of {count} answers, against generate() under the grammar"
        rows.append(
            Row(
                "agreement",
                f"{name}, {dtype}: other answers",
                "",
                [len(gaps)],
                note=note,
            )
        )
        if gaps:
            rows.append(
                Row(
                    "agreement",
                    f"{name}, {dtype}: largest gap of logits there",
                    "",
                    [max(gaps)],
                    note="between the two choices where they part, one text at a time",
                )
            )
    return rows


def gap(
    backbone: Backbone, request: DecodingRequest, answer: Answer, other: Ids
) -> float:
    """How far apart the model itself sees two answers' first difference."""
    same = 0
    while answer.ids[same] == other[same]:
        same += 1
    ids = request.prefix + request.own + answer.ids[:same]
    with torch.inference_mode():
        logits = backbone.hf(torch.tensor([ids])).logits[0, -1].float()
    return math.fabs(float(logits[answer.ids[same]] - logits[other[same]]))
