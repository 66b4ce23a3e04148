"""What a pipeline finds of held-out labels and sources, at every threshold and, at the best one,
by source: `python -m benchmarks.held_out PIPELINE`.

PIPELINE is what `pretrain` wrote with `configs/base2.cfg` (FOLDER/model); the texts are those
of its `[corpora.dev]`, and of its `[corpora.nested]`, whose labels hold one another. More of
them (`--texts`) say more: 400 have about 570 entities. They are asked for twice: with what labels
mean, and by names alone."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import spacy
from spacy.training import Example
from spacy.util import load_config, resolve_dot_names
from wasabi import msg

from spacy_instructner.corpus.entities import entities_of, scored_spans_of
from spacy_instructner.evaluation.metrics import Counts, count, total
from spacy_instructner.evaluation.predicted_texts import PredictedTexts

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "base2.cfg"
NAME = "instruction_ner"
# 0: all that is found.
THRESHOLDS = (0.0, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)


@dataclass(frozen=True)
class Found:
    """Counts at a threshold; whatever: with the right border, whatever the label."""

    threshold: float
    counts: Counts
    whatever: Counts

    def __str__(self) -> str:
        p, r, f = (
            100 * each
            for each in (self.counts.precision, self.counts.recall, self.counts.f1)
        )
        return (
            f"{self.threshold:.2f}: P {p:.1f} R {r:.1f} F1 {f:.1f}, "
            f"F1 whatever the label {100 * self.whatever.f1:.1f}"
        )


def held_out_examples(
    nlp: Any, data: Path, defined: bool, texts: int, corpus: str = "dev"
) -> list[Example]:
    """So many texts as the config scores by. defined: whether labels have a meaning,
    too; corpus: "nested" for those that ask for labels that hold one another."""
    own = {"defined": defined, "texts": texts}
    overrides: dict[str, Any] = {f"corpora.{corpus}.{key}": own[key] for key in own}
    overrides["paths.data"] = str(data)
    config = load_config(CONFIG, overrides=overrides, interpolate=True)
    (reader,) = resolve_dot_names(config, [f"corpora.{corpus}"])
    return list(reader(nlp))


def predict(nlp: Any, examples: Sequence[Example]) -> PredictedTexts:
    """All spans that have a score. Each text is asked for its own labels."""
    pipe = nlp.get_pipe(NAME)
    docs = list(pipe.pipe([each.predicted for each in examples], batch_size=1000))
    spans = [scored_spans_of(doc) for doc in docs]
    gold = [entities_of(each.reference) for each in examples]
    return PredictedTexts(gold, [[] for _ in docs], spans, [])


def ask(
    nlp: Any, data: Path, defined: bool, texts: int, corpus: str = "dev"
) -> tuple[PredictedTexts, list[str]]:
    """What a pipeline finds in so many texts, and the source of each. defined, corpus: see
    `held_out_examples`."""
    examples = held_out_examples(nlp, data, defined, texts, corpus)
    sources = [each.reference.user_data["source"] for each in examples]
    return predict(nlp, examples), sources


def at_thresholds(texts: PredictedTexts) -> list[Found]:
    """What would be entities at each of them."""
    rows = []
    for threshold in THRESHOLDS:
        found = texts.entities_above(threshold, {})
        one = total(count(texts.gold, found).values())
        whatever = total(count(without(texts.gold), without(found)).values())
        rows.append(Found(threshold, one, whatever))
    return rows


def by_source(
    texts: PredictedTexts, sources: Sequence[str], threshold: float
) -> dict[str, Counts]:
    """What would be entities at a threshold, of each source. sources: of each text."""
    found = texts.entities_above(threshold, {})
    counts = {}
    for source in sorted(set(sources)):
        own = [at for at, each in enumerate(sources) if each == source]
        gold, there = ([rows[at] for at in own] for rows in (texts.gold, found))
        counts[source] = total(count(gold, there).values())
    return counts


def without(spans: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The same with one label for all."""
    return [[(each[0], each[1], "", *each[3:]) for each in own] for own in spans]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.held_out", description=__doc__
    )
    # fmt: off
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--texts", type=int, default=400, help="texts to ask")
    # fmt: on
    args = parser.parse_args()
    nlp = spacy.load(args.pipeline)
    for corpus, defined in product(("dev", "nested"), (True, False)):
        texts, sources = ask(nlp, args.data, defined, args.texts, corpus)
        said = "names and meanings" if defined else "names alone"
        msg.divider(f"{corpus}: {said}")
        rows = at_thresholds(texts)
        for row in rows:
            msg.text(str(row))
        best = max(rows, key=lambda row: row.counts.f1).threshold
        for source, counts in by_source(texts, sources, best).items():
            said = f"{100 * counts.f1:5.1f}  {source}, {counts.annotated} entities"
            msg.text(f"at {best:.2f}: {said}")


if __name__ == "__main__":
    main()
