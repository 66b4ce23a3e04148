"""`python -m benchmarks.reliability`: threads, kills, lost workers, long texts, scores.

Each part can be run by itself; it replaces its own figures in
benchmarks/results/reliability.json, of which `python -m benchmarks.pages` makes the tables.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import spacy
from spacy.util import load_config
from wasabi import msg

from spacy_instructner.calibration import fit
from spacy_instructner.evaluation.cross_fitting import judge_folds, judge_texts
from spacy_instructner.evaluation.metrics import expected_error, reliability
from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.fewshot.draws import draws
from spacy_instructner.fewshot.grid import read_grid
from spacy_instructner.fewshot.machine import machine
from spacy_instructner.files import to_json, write_whole

from ..speed.scaling import occupied
from .tables import RESULTS
from .threads import threads

ROOT = Path(__file__).parents[2]
SENTENCES = ROOT / "assets" / "workshop"
LABELS = {"PART": "a part of a bicycle", "BIKE": "a kind of bicycle"}
Figures = dict[str, Any]


def texts() -> list[str]:
    """The workshop sentences."""
    lines = [
        line
        for name in ("train", "test")
        for line in (SENTENCES / f"{name}.jsonl").read_text("utf8").splitlines()
    ]
    return [json.loads(line)["text"] for line in lines]


def prepared(cache: Path) -> Path:
    """A saved pipeline that writes answers, on the default weights, and a corpus of one
    text a line."""
    cache.mkdir(parents=True, exist_ok=True)
    nlp = spacy.blank("en")
    config = {
        "task": {"@misc": "spacy-instructner.CLLMFS.v1"},
        "labels": list(LABELS),
        "label_definitions": LABELS,
    }
    nlp.add_pipe("instruction_ner", config=config)
    if not (cache / "pipeline").exists():
        nlp.to_disk(cache / "pipeline")
    (cache / "corpus.txt").write_text("\n".join(texts()), encoding="utf8")
    return cache


def command(cache: Path, output: str, *more: str) -> list[str]:
    line = [sys.executable, "-m", "spacy", "instructner", "annotate"]
    paths = [str(cache / name) for name in ("pipeline", "corpus.txt", output)]
    return [*line, *paths, "--chunk", "4", "--text", *more]


def begin(cache: Path, output: str, *more: str) -> "subprocess.Popen[str]":
    """`annotate`, in a folder that is not there yet."""
    shutil.rmtree(cache / output, ignore_errors=True)
    return subprocess.Popen(
        command(cache, output, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(out)


def files(folder: Path) -> dict[str, bytes]:
    """Without what was being written when a process was killed."""
    paths = [path for path in sorted(folder.iterdir()) if path.name[0] != "."]
    return {path.name: path.read_bytes() for path in paths}


def chunks_of(folder: Path) -> int:
    return len(list(folder.glob("part-??????.json")))


def kills(cache: Path, times: int) -> Figures:
    """Kill `annotate` at random moments, resume, compare with an undisturbed run."""
    prepared(cache)
    began = time.monotonic()
    finish(begin(cache, "whole"))
    seconds = time.monotonic() - began
    whole, count = files(cache / "whole"), chunks_of(cache / "whole")
    rng = random.Random(0)
    shares: list[float] = []
    same = 0
    while len(shares) < times:
        process = begin(cache, "killed")
        time.sleep(rng.uniform(0.1, 1.0) * seconds)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            continue  # It was faster this time.
        shares.append(chunks_of(cache / "killed") / count)
        again = command(cache, "killed", "--resume")
        subprocess.run(again, check=True, capture_output=True)
        same += files(cache / "killed") == whole
        msg.info(f"Killed after {100 * shares[-1]:.0f} % of the chunks")
    between = sum(0.05 < share < 0.95 for share in shares)
    return {"chunks": count, "shares": shares, "between": between, "same": same}


def lost_worker(cache: Path) -> Figures:
    """Two workers of Ray, of which one is killed on its way."""
    prepared(cache)
    finish(begin(cache, "whole"))
    process = begin(cache, "ray", "--engine", "ray", "--workers", "2")
    while chunks_of(cache / "ray") < 10 and process.poll() is None:
        time.sleep(0.1)
    found = workers()
    os.kill(found[0], signal.SIGKILL)
    done = chunks_of(cache / "ray")
    finish(process)
    whole = files(cache / "whole")
    same = files(cache / "ray") == whole
    count = chunks_of(cache / "whole")
    return {"workers": len(found), "done": done, "chunks": count, "same": same}


def workers() -> list[int]:
    """Processes that annotate for Ray."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"MapWorker(MapBatches(Annotator)" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass  # It has just ended.
    return found


def one_long_text(folder: Path, words: int) -> Figures:
    """Memory before and at most, and seconds; in a process of its own."""
    nlp = spacy.load(folder)
    nlp("The chain of my cargo bike broke.")
    own = " ".join(texts()).split()
    text = " ".join((own * (words // len(own) + 1))[:words])
    nlp.max_length = len(text) + 1
    before = occupied()["resident"]
    began = time.monotonic()
    doc = nlp(text)
    seconds = time.monotonic() - began
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return {
        "words": words,
        "before": before,
        "peak": peak * 1024 / 1e6,
        "seconds": seconds,
        "entities": len(doc.ents),
        "last": doc.ents[-1].end / len(doc) if doc.ents else 0.0,
    }


def long_texts(cache: Path, sizes: Sequence[int]) -> Figures:
    prepared(cache)
    rows = []
    for words in sizes:
        with get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(one_long_text, (cache / "pipeline", words)))
        msg.info(f"{words} words: {rows[-1]['peak']:.0f} MB at most")
    return {"rows": rows}


def calibrated(data: Path, names: Sequence[str], k: int, parts: int) -> Figures:
    """CLLMFS, trained on a draw; calibrated by its support set alone; scores of
    test texts before and after."""
    runs = read_grid(ROOT / "configs" / "benchmark.yml", data).runs
    rows = []
    for name in names:
        (run,) = (
            run
            for run in runs
            if (run.data.name, run.method.name, run.k, run.seed)
            == (name, "from-base", k, 0)
        )
        drawn = draws(run, spacy.blank("en"))
        config = load_config(run.method.config)
        overrides = {"paths.definitions": str(run.data.definitions)}
        nlp = train_on(config, drawn.support, {**overrides, **run.method.overrides})
        learned = fit(judge_folds(nlp, drawn.support, parts))
        pairs = judge_texts(nlp, drawn.test)
        before = reliability(pairs)
        after = reliability([(learned(score), right) for score, right in pairs])
        rows.append(
            {
                "data": name,
                "k": k,
                "support": len(drawn.support),
                "spans": len(pairs),
                "before": [vars(each) for each in before],
                "after": [vars(each) for each in after],
                "errors": [expected_error(before), expected_error(after)],
                "slope": learned.slope,
                "intercept": learned.intercept,
            }
        )
        msg.info(f"{name}: {rows[-1]['errors']}")
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability", description=__doc__
    )
    # fmt: off
    parser.add_argument("parts", nargs="*", help="threads, kills, ray, long, calibration; all by default")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder with the data sets")
    parser.add_argument("--cache", type=Path, default=ROOT / "training" / "reliability", help="where pipelines and outputs are kept")
    parser.add_argument("--times", type=int, default=20, help="kills")
    parser.add_argument("--words", type=int, nargs="*", default=[1000, 10_000, 30_000, 100_000], help="of long texts")
    # fmt: on
    args = parser.parse_args()
    parts: dict[str, Callable[[], Figures]] = {
        "threads": lambda: threads(
            prepared(args.cache) / "pipeline", texts()[:60], (1, 2, 8, 32)
        ),
        "kills": lambda: kills(args.cache, args.times),
        "ray": lambda: lost_worker(args.cache),
        "long": lambda: long_texts(args.cache, args.words),
        "calibration": lambda: calibrated(
            args.data, ("mit_restaurant", "mit_movie_eng"), 10, 5
        ),
    }
    names = args.parts or list(parts)
    if unknown := sorted(set(names) - set(parts)):
        parser.error(f"unknown parts: {', '.join(unknown)}")
    results: dict[str, Figures] = {}
    if RESULTS.exists():
        results = json.loads(RESULTS.read_text("utf8"))
    for name in names:
        results[name] = {**parts[name](), "machine": machine()}
        write_whole(RESULTS, to_json(results))
    msg.info("The tables: python -m benchmarks.pages")


if __name__ == "__main__":
    main()
