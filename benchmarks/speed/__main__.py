"""`python -m benchmarks.speed`: measure, and keep the figures as JSON, of which
`python -m benchmarks.pages` makes the tables.

Each part can be run by itself; it replaces its own figures and leaves the others.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from wasabi import msg

from spacy_instructner.fewshot.machine import machine

from .measure import Results, Row
from .tables import path_of

ROOT = Path(__file__).parents[2]
SETS = ("mit_restaurant", "wnut2017")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__
    )
    # fmt: off
    parser.add_argument("parts", nargs="*", help="which; all by default")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data",
                        help="folder with the data sets")
    parser.add_argument("--cache", type=Path, default=ROOT / "training" / "benchmarks",
                        help="where tuned models are kept")
    parser.add_argument("--output", type=Path, help="a file of results in place of its own")
    parser.add_argument("--texts", type=int, default=128, help="texts to compare on")
    parser.add_argument("--times", type=int, default=3, help="repetitions")
    parser.add_argument("--stream", type=int, default=20_000, help="texts in the stream")
    parser.add_argument("--seconds", type=float, default=30, help="of a measurement of load")
    # fmt: on
    args = parser.parse_args()
    parts = parts_of(args)
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(parts)}")
    asked = args.parts or list(parts)
    if len(asked) > 1:
        # Each in a process of its own: none inherits another's memory.
        options = [arg for arg in sys.argv[1:] if arg not in asked]
        for part in asked:
            line = [sys.executable, "-m", "benchmarks.speed", part, *options]
            subprocess.run(line, check=True)
        return
    output = args.output or path_of(asked[0])
    results = Results.from_disk(output)
    rows = parts[asked[0]]()
    results.replace(rows)
    results.machine = machine()
    results.to_disk(output)
    for row in rows:
        at = "" if row.x is None else f" at {row.x:g}"
        msg.text(f"{row.group}: {row.name}{at}: {row.median:.4g} {row.unit}")
    msg.info("The tables: python -m benchmarks.pages")


def parts_of(args: argparse.Namespace) -> dict[str, Callable[[], list[Row]]]:
    """What can be measured, by name."""
    from . import decoding, drafts, load, profiling, readings, scaling, training

    data, cache, times = args.data, args.cache, args.times

    few = max(2, args.texts // 8)
    first = SETS[0]
    return {
        **{
            name: lambda name=name: decoding.compare(  # type: ignore[misc]
                data, name, cache, args.texts, few, times
            )
            for name in SETS
        },
        "methods": lambda: decoding.methods(data, first, cache, args.texts, times),
        "readings": lambda: readings.compare(args.texts // 4, times),
        "drafts": lambda: drafts.bounds(data, args.texts // 4, times),
        "agreement": lambda: [
            row
            for name in SETS
            for row in decoding.agreement(data, name, cache, args.texts // 2)
        ],
        "profile": lambda: profiling.profile(data, first, cache, 4 * args.texts, times),
        "passes": lambda: profiling.passes(data, SETS, cache, 4 * args.texts, times),
        "training": lambda: training.compare(data, first, cache, 6, times),
        "curves": lambda: scaling.curves(data, first, cache, args.texts // 2, times),
        "start": lambda: scaling.start(cache, first, times),
        "memory": lambda: scaling.memory(data, first, cache, args.stream),
        "load": lambda: load.compare(args.seconds, times),
        "vocabulary": lambda: scaling.vocabulary(data, args.stream),
    }


if __name__ == "__main__":
    main()
