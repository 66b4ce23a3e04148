"""What is done of an output, in a folder: nothing in it is ever half written.

run.json                     what is annotated with what; the same for all shards
part-000000.jsonl            a chunk's rows (or .spacy)
part-000000.json             that it is done: what it was made of, and its report
part-000000.correct.jsonl    its least certain texts, where they are asked for
manifest.json                when all is done: counts, and every problem
correct.jsonl                the least certain texts of all
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..files import to_json, to_lines, write_whole
from .chunk import Annotated, Report

RUN = "run.json"
MANIFEST = "manifest.json"
TO_CORRECT = "correct.jsonl"


# i and n: every n-th chunk, from the i-th on.
Shard = tuple[int, int]


class Folder:
    """An output folder. suffix: of the chunks' files."""

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        self.suffix = suffix

    def begin(self, run: dict[str, Any], resume: bool, shard: Shard) -> None:
        """Raises ValueError for a folder with another run in it, or with chunks of this
        shard unless it is to go on."""
        said = self.path / RUN
        self.path.mkdir(parents=True, exist_ok=True)
        # Of one that was killed at its very first file, nothing is lost.
        others = [p.name for p in self.path.iterdir() if p.name[0] != "."]
        # Looked at afterwards: another shard may be beginning, too.
        if said.is_file():
            before = json.loads(said.read_text(encoding="utf8"))
            # What texts there are is known chunk by chunk.
            free = ("input", "batch_size")
            other = sorted(
                key for key in run if run[key] != before.get(key) and key not in free
            )
            if other:
                raise ValueError(
                    f"{self.path} holds another run: it differs in {', '.join(other)}. "
                    "Name another folder, or give what it was begun with."
                )
            if not resume and self.numbers(shard):
                raise ValueError(
                    f"{self.path} holds this run already, whole or in part. Go on with "
                    "--resume, or name another folder."
                )
        elif others:
            raise ValueError(f"{self.path} is not empty. Name another folder.")
        write_whole(said, to_json(run))

    def numbers(self, shard: Shard) -> set[int]:
        """Chunks of a shard that are done."""
        which, of = shard
        said = self.path.glob("part-" + "[0-9]" * 6 + "*.json")
        numbers = {int(path.stem.removeprefix("part-")) for path in said}
        return {number for number in numbers if number % of == which - 1}

    def part(self, number: int, suffix: str) -> Path:
        return self.path / f"part-{number:06}{suffix}"

    def done(self, number: int, made_of: str, retry: bool) -> Report | None:
        """A finished chunk's report; None where it is to be done. retry: so it is where
        a text had a problem. Raises ValueError where it was made of other texts."""
        said = self.part(number, ".json")
        if not said.is_file():
            return None
        try:
            row = json.loads(said.read_text(encoding="utf8"))
        except ValueError:
            return None  # The machine went down before it was on the disk.
        if row["made_of"] != made_of:
            raise ValueError(
                f"The input is not the one that {self.path} was begun with: its chunk "
                f"{number} has other texts."
            )
        data = self.part(number, self.suffix)
        if not data.is_file() or data.stat().st_size != row["bytes"]:
            return None
        report = Report(**row["report"])
        return None if retry and report.problems else report

    def keep(self, number: int, made_of: str, chunk: Annotated) -> None:
        """Write a chunk; that it is done comes last."""
        write_whole(self.part(number, self.suffix), chunk.content)
        if chunk.uncertain:
            rows = [{"score": score, "task": row} for score, row in chunk.uncertain]
            write_whole(self.part(number, f".{TO_CORRECT}"), to_lines(rows))
        row = {
            "made_of": made_of,
            "bytes": len(chunk.content),
            "report": asdict(chunk.report),
        }
        write_whole(self.part(number, ".json"), to_json(row))

    def to_correct(self) -> Iterator[dict[str, Any]]:
        """The least certain texts of each chunk: "score" and "task"."""
        for path in sorted(self.path.glob(f"part-*.{TO_CORRECT}")):
            with path.open(encoding="utf8") as file_:
                yield from map(json.loads, file_)
