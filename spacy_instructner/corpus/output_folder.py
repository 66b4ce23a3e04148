"""The folder that a corpus is annotated into. Each file in it is whole or absent.

run.json                     pipeline, input and options; the same for all shards
part-000000.jsonl            the rows of a chunk (or part-000000.spacy)
part-000000.json             marks the chunk as done: digest of its texts, and its report
part-000000.correct.jsonl    the least certain texts of the chunk, where asked for
manifest.json                written at the end: counts, and every problem
correct.jsonl                the least certain texts of all chunks
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..files import to_json, to_lines, write_whole
from .chunk import AnnotatedChunk, Report

RUN = "run.json"
MANIFEST = "manifest.json"
TO_CORRECT = "correct.jsonl"

# i and n: every n-th chunk, from the i-th on (i counts from 1).
Shard = tuple[int, int]


class OutputFolder:
    """An output folder. path: of the folder; suffix: of the chunks' files."""

    def __init__(self, path: Path, suffix: str) -> None:
        self.path = path
        self.suffix = suffix

    def begin(self, run: dict[str, Any], resume: bool, shard: Shard) -> None:
        """Make the folder, and write run.json.

        run (dict[str, Any]): pipeline, input and options.
        resume (bool): whether the folder may hold chunks of this shard already.
        shard (Shard): the shard.
        Raises ValueError for a folder that holds another run or other files, or chunks
        of this shard without `resume`."""
        run_path = self.path / RUN
        self.path.mkdir(parents=True, exist_ok=True)
        # Hidden files are left by a run that was killed at its very first file.
        others = [p.name for p in self.path.iterdir() if p.name[0] != "."]
        # Looked at after listing: another shard may begin at the same time.
        if run_path.is_file():
            before = json.loads(run_path.read_text(encoding="utf8"))
            # The digest of each chunk tells whether the texts are the same.
            free = ("input", "batch_size")
            other = sorted(
                key for key in run if run[key] != before.get(key) and key not in free
            )
            if other:
                raise ValueError(
                    f"{self.path} holds another run, which differs in "
                    f"{', '.join(other)}. Name another folder, or give the same settings."
                )
            if not resume and self.numbers(shard):
                raise ValueError(
                    f"{self.path} already holds this run, whole or in part. Continue it "
                    "with --resume, or name another folder."
                )
        elif others:
            raise ValueError(f"{self.path} is not empty. Name another folder.")
        write_whole(run_path, to_json(run))

    def numbers(self, shard: Shard) -> set[int]:
        """The numbers of a shard's chunks that are done."""
        which, of = shard
        marks = self.path.glob("part-" + "[0-9]" * 6 + "*.json")
        numbers = {int(path.stem.removeprefix("part-")) for path in marks}
        return {number for number in numbers if number % of == which - 1}

    def part(self, number: int, suffix: str) -> Path:
        """The path of a file of a chunk."""
        return self.path / f"part-{number:06}{suffix}"

    def done(self, number: int, made_of: str, retry: bool) -> Report | None:
        """The report of a chunk that is done; None where it must be annotated.

        number (int): of the chunk.
        made_of (str): the digest of its texts.
        retry (bool): whether a chunk in which a text had a problem is annotated again.
        Raises ValueError where the chunk was made of other texts."""
        mark = self.part(number, ".json")
        if not mark.is_file():
            return None
        try:
            row = json.loads(mark.read_text(encoding="utf8"))
        except ValueError:
            return None  # The machine went down before the file was on the disk.
        if row["made_of"] != made_of:
            raise ValueError(
                f"The input is not the one that {self.path} was begun with: chunk "
                f"{number} has other texts."
            )
        data = self.part(number, self.suffix)
        if not data.is_file() or data.stat().st_size != row["bytes"]:
            return None
        report = Report(**row["report"])
        return None if retry and report.problems else report

    def keep(self, number: int, made_of: str, chunk: AnnotatedChunk) -> None:
        """Write a chunk. The file that marks it as done comes last."""
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
        """The "score" and the "task" of the least certain texts of each chunk."""
        for path in sorted(self.path.glob(f"part-*.{TO_CORRECT}")):
            with path.open(encoding="utf8") as file_:
                yield from map(json.loads, file_)
