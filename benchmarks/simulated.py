"""The page's annotation loop with a data set's own annotation in the place of a person:
`python -m benchmarks.simulated --data FOLDER`.

A project begins without a corrected text. The pipeline without shots annotates 300 sentences; the
first 10 in order are given their entities, the page's own function trains on all that are corrected, and
so on until 40 are. Each time, strict F1 is measured on 300 other sentences. `uncertainty` is the
order of the page; `benchmarks/text_orders.py` has the others.

A run (data set, seed, order) trains four times. Three sets, two seeds and two orders are 12 runs and 48
trainings: about 4 hours of one CPU core with trainings of 5 minutes, and half an hour for annotating.
`--list` counts what is left. A row is in benchmarks/results/simulated.jsonl as soon as
it is measured. A run that was stopped goes on behind its last row, with one training again where its
order asks a model. Several processes may work at once, each at a run of its own."""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from filelock import FileLock, Timeout
from wasabi import msg

from spacy_instructner.corpus.pipelines import Pipeline
from spacy_instructner.evaluation.metrics import count, total
from spacy_instructner.evaluation.predicted_texts import predict_texts
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.fewshot.study import Record, Study
from spacy_instructner.serving.project.findings import current
from spacy_instructner.serving.project.imports import ImportedText
from spacy_instructner.serving.project.project_folder import ProjectFolder
from spacy_instructner.serving.project_models import ProjectModels, begin_project
from spacy_instructner.serving.session import PipelineSession

from .simulated_texts import SETS, SimulatedTexts, read_simulated
from .text_orders import ORDERS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "simulated.jsonl"
# Texts that are corrected from one training to the next, and in all.
BATCH, MOST = 10, 40
SEEDS, COMPARED = (0, 1), ("uncertainty", "random")
# CPU seconds of a training with the settings of the page, until some are measured.
SECONDS = 300.0


@dataclass(frozen=True)
class SimulatedRun:
    """data: one of `SETS`; seed: of its pool, and of chance; order: one of `ORDERS`."""

    data: str
    seed: int
    order: str

    @property
    def name(self) -> str:
        return f"{self.data}:{self.seed}:{self.order}"

    def row_name(self, texts: int) -> str:
        """The name of the row after so many corrected texts."""
        return f"{self.name}:{texts}"


class Simulation:
    """A project that is worked at by the annotation of its texts. It is opened in a folder,
    which may be thrown away."""

    def __init__(
        self,
        folder: Path,
        run: SimulatedRun,
        texts: SimulatedTexts,
        config: Mapping[str, Any],
    ) -> None:
        """config: of the component, beside its labels. Raises as the project and the
        session do."""
        self.run, self.texts = run, texts
        self.order, self.asks = ORDERS[run.order]
        nlp = spacy.blank("en")
        own = {"bundle": "adapter", **config, "labels": list(texts.labels)}
        nlp.add_pipe("instruction_ner", config=own)
        nlp.to_disk(folder / "pipeline")
        self.session = PipelineSession(Pipeline(str(folder / "pipeline")))
        self.project = ProjectFolder(folder / "project")
        begin_project(self.project, self.session)
        self.thread = ThreadPoolExecutor(1)
        self.models = ProjectModels(self.session, self.project, self.thread)
        pool = [ImportedText(t.text, str(at)) for at, t in enumerate(texts.pool)]
        self.project.add_texts(pool, run.data)

    def close(self) -> None:
        self.project.close()
        self.thread.shutdown()

    def correct(self, places: Sequence[int]) -> None:
        """Accept the texts at these places of the pool with their entities."""
        state = self.project.state
        for place in places:
            text, spans = place + 1, self.texts.pool[place].spans
            changed = set(current(state, text)) != set(spans)
            self.project.decide(text, "accept", spans, changed, state.changed[text])

    def train(self) -> None:
        """As the page does. Where nobody is asked, the pool is not annotated."""
        with closing(self.models.train()) as events:
            for event in events:
                if "trained" in event and not self.asks:
                    return

    def annotate(self) -> None:
        """As the page does, where the order asks a model."""
        if self.asks:
            for _ in self.models.annotate():
                pass

    def choose(self, done: int, batch: int) -> list[int]:
        """The places of the next texts. done: texts that are corrected."""
        chance = random.Random(f"{self.run.seed}-{done}")
        found = self.order(self.project.state, chance)
        return [text - 1 for text in found[:batch]]

    def score(self) -> dict[str, Any]:
        """Of the present model, at the project's threshold, as the page shows entities."""
        found = predict_texts(self.session.nlp, self.texts.scored)
        if found.failures:
            number, why = found.failures[0]
            raise ValueError(f"Text {number} cannot be annotated: {why}.")
        shown = found.entities_above(self.project.state.least, {})
        own = total(count(found.gold, shown).values())
        return {
            "f1": own.f1,
            "precision": own.precision,
            "recall": own.recall,
        }


def simulate(
    folder: Path,
    run: SimulatedRun,
    texts: SimulatedTexts,
    rows: Sequence[Record],
    config: Mapping[str, Any],
    sizes: tuple[int, int] = (BATCH, MOST),
) -> Iterator[Record]:
    """The rows of a run that are still to be measured, as soon as they are.

    folder (Path): an empty one.
    rows (Sequence[Record]): those that are measured already, in order.
    config (Mapping): of the component, beside its labels.
    sizes (tuple[int, int]): texts from one training to the next, and in all."""
    batch, most = sizes
    simulation = Simulation(folder, run, texts, config)
    try:
        chosen: list[int] = []
        for row in rows:
            simulation.correct(row["chosen"])
            chosen += row["chosen"]
        if len(chosen) >= most and rows:
            return
        if rows and chosen and simulation.asks:
            simulation.train()
        if not rows:
            yield measured(simulation, chosen, 0, 0.0)
        simulation.annotate()
        while len(chosen) < most:
            places = simulation.choose(len(chosen), min(batch, most - len(chosen)))
            simulation.correct(places)
            chosen += places
            begin = time.process_time()
            simulation.train()
            seconds = time.process_time() - begin
            yield measured(simulation, chosen, len(places), seconds)
    finally:
        simulation.close()


def measured(
    simulation: Simulation, chosen: Sequence[int], new: int, seconds: float
) -> Record:
    """A row. chosen: places of all corrected texts; new: how many of them since the last row;
    seconds: CPU time of the training, and of annotating the pool where the order asks."""
    run, pool = simulation.run, simulation.texts.pool
    begin = time.process_time()
    scores = simulation.score()
    return {
        "name": run.row_name(len(chosen)),
        "data": run.data,
        "seed": run.seed,
        "order": run.order,
        "texts": len(chosen),
        "entities": sum(len(pool[place].spans) for place in chosen),
        "words": sum(len(pool[place].text.split()) for place in chosen),
        "chosen": list(chosen[len(chosen) - new :]),
        **scores,
        "scored": len(simulation.texts.scored),
        "seconds": {
            "train": round(seconds, 1),
            "score": round(time.process_time() - begin, 1),
        },
        "machine": machine(),
    }


def rows_of(run: SimulatedRun, records: Sequence[Record]) -> list[Record]:
    """Those of a run, by how many texts are corrected."""
    own = [r for r in records if (r["data"], r["seed"], r["order"]) == key_of(run)]
    return sorted(own, key=lambda row: int(row["texts"]))


def key_of(run: SimulatedRun) -> tuple[str, int, str]:
    return run.data, run.seed, run.order


def trainings_left(runs: Sequence[SimulatedRun], records: Sequence[Record]) -> int:
    """How many trainings the runs still take, those to go on from included."""
    left = 0
    for run in runs:
        rows = rows_of(run, records)
        done = rows[-1]["texts"] if rows else 0
        again = bool(0 < done < MOST and ORDERS[run.order][1])
        left += (MOST - done) // BATCH + again
    return left


def left_said(runs: Sequence[SimulatedRun], records: Sequence[Record]) -> str:
    """What is still to be done, in words."""
    known = [r["seconds"]["train"] for r in records if r["texts"]]
    seconds = sum(known) / len(known) if known else SECONDS
    trainings = trainings_left(runs, records)
    source = f"the mean of {len(known)}" if known else "an estimate"
    return (
        f"{len(runs)} runs, {trainings} trainings left: about "
        f"{trainings * seconds / 3600:.1f} CPU hours with {seconds / 60:.1f} minutes each "
        f"({source}), besides annotating"
    )


def measure(runs: Sequence[SimulatedRun], data: Path, study: Study) -> None:
    """Measure what is left of the runs. A run that another process is at is left to it."""
    for run in runs:
        lock = FileLock(study.lock_of(run.name), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            msg.info(f"{run.name}: another process is at it")
            continue
        try:
            rows = rows_of(run, study.records())
            if rows and rows[-1]["texts"] >= MOST:
                continue
            texts = read_simulated(data, run.data, run.seed)
            with tempfile.TemporaryDirectory() as aside:
                for row in simulate(Path(aside), run, texts, rows, {}):
                    study.add(row)
                    msg.text(f"{row['name']}: F1 {100 * row['f1']:.1f}")
        finally:
            lock.release()


def chosen_runs(orders: Sequence[str], only: Sequence[str]) -> list[SimulatedRun]:
    """All runs of some orders, or those whose names begin with one of `only`. Raises
    ValueError for a beginning that no run has."""
    runs = [
        SimulatedRun(data, seed, order)
        for data in SETS
        for seed in SEEDS
        for order in orders
    ]
    if not only:
        return runs
    if unknown := [each for each in only if not begins(each, runs)]:
        raise ValueError(
            f"No run is called {unknown[0]}. They are: "
            f"{', '.join(run.name for run in runs)}. Other orders need --orders."
        )
    return [run for run in runs if any(run in begins(own, runs) for own in only)]


def begins(name: str, runs: Sequence[SimulatedRun]) -> list[SimulatedRun]:
    """The runs whose name is this one, or begins with it and a colon."""
    return [run for run in runs if f"{run.name}:".startswith(f"{name}:")]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulated", description=__doc__
    )
    # fmt: off
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--orders", nargs="+", choices=list(ORDERS), default=list(COMPARED))
    parser.add_argument("--only", nargs="+", metavar="DATA[:SEED[:ORDER]]", default=[],
                        help="a part of it, such as mit_restaurant:0")
    parser.add_argument("--list", action="store_true", help="count what is left, and end")
    # fmt: on
    args = parser.parse_args()
    try:
        runs = chosen_runs(args.orders, args.only)
    except ValueError as error:
        parser.error(str(error))
    study = Study(RESULTS)
    msg.info(left_said(runs, study.records()))
    if not args.list:
        measure(runs, args.data, study)
        msg.info("The tables and plots: python -m benchmarks.pages")


if __name__ == "__main__":
    main()
