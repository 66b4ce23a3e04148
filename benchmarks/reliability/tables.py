"""What was measured of reliability, as tables, sentences and plots."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from spacy_instructner.fewshot.markdown_tables import table

from ..plots import Plot, Series, draw

RESULTS = Path(__file__).parents[1] / "results" / "reliability.json"
Figures = dict[str, Any]


def measured() -> dict[str, Figures]:
    found: dict[str, Figures] = json.loads(RESULTS.read_text("utf8"))
    return found


def section(name: str, folder: str) -> str:
    """What stands at a marker, `reliability PART`. folder: where the plots are, seen
    from the page. Raises KeyError where there is none."""
    part = name.partition(" ")[2]
    return SECTIONS[part](measured()[part], folder)


def plots() -> dict[str, Callable[[], str]]:
    """What draws the plots, by name of the file."""
    found = measured()
    made = {
        "long": memory_plot(found["long"]),
        **calibration_plots(found["calibration"]),
    }
    return {
        f"reliability-{name}.svg": partial(draw, plot) for name, plot in made.items()
    }


def threads(own: Figures, folder: str) -> str:
    rows: list[tuple[object, ...]] = [
        (
            "1 thread" if row["threads"] == 1 else f"{row['threads']} threads",
            f"{row['wall']:.1f}",
            f"{row['cpu']:.1f}",
            row["other"],
        )
        for row in own["rows"]
    ]
    whole = own["pipe"]
    rows.append(("`nlp.pipe`", f"{whole['wall']:.1f}", f"{whole['cpu']:.1f}", "-"))
    header = ("Called by", "Seconds", "CPU seconds", "Other answers")
    return f"{own['texts']} texts:\n\n{table(header, rows)}"


def kills(own: Figures, folder: str) -> str:
    shares = ", ".join(f"{100 * share:.0f}" for share in sorted(own["shares"]))
    return (
        f"`annotate` was killed (SIGKILL) {len(own['shares'])} times at random moments, "
        f"{own['between']} of them between 5 % and 95 % of its {own['chunks']} chunks, "
        f"and went on with `--resume`. {own['same']} outputs were the same, byte for "
        "byte, as that of a run that nothing disturbed.\n\n"
        f"Chunks that were done when the end came, in %: {shares}."
    )


def lost_worker(own: Figures, folder: str) -> str:
    same = "the same, byte for byte, as" if own["same"] else "NOT the same as"
    return (
        f"`annotate --engine ray` on a local cluster with {own['workers']} workers, of "
        f"which one was killed when {own['done']} of {own['chunks']} chunks were done: "
        f"the output is {same} that of the plain run."
    )


def long_texts(own: Figures, folder: str) -> str:
    header = ("Words", "Before (MB)", "At most (MB)", "Seconds", "Entities")
    names = ("before", "peak", "seconds")
    rows = [
        (row["words"], *(f"{row[name]:.0f}" for name in names), row["entities"])
        for row in own["rows"]
    ]
    return f"{table(header, rows)}\n\n{_image('long', memory_plot(own), folder)}"


def calibration(own: Figures, folder: str) -> str:
    header = ("Data", "k", "Texts to learn from", "Entities", "Before", "After")
    rows = [
        (
            *(row[name] for name in ("data", "k", "support", "spans")),
            *(f"{error:.3f}" for error in row["errors"]),
        )
        for row in own["rows"]
    ]
    images = [_image(name, p, folder) for name, p in calibration_plots(own).items()]
    return "\n\n".join([table(header, rows), *images])


def memory_plot(own: Figures) -> Plot:
    places = tuple(float(row["words"]) for row in own["rows"])
    lines = (("before", "before the text"), ("peak", "at most"))
    series = tuple(
        Series(said, number, places, tuple((row[name],) for row in own["rows"]))
        for number, (name, said) in enumerate(lines)
    )
    return Plot("Memory of one long text", "memory (MB)", series, "words")


def calibration_plots(own: Figures) -> dict[str, Plot]:
    """Share that is right against score, by name of the plot."""
    found = {}
    for row in own["rows"]:
        lines = [Series("as often as it says", 0, (0.0, 1.0), ((0.0,), (1.0,)))]
        for number, name in enumerate(("before", "after"), 1):
            places = tuple(each["score"] for each in row[name])
            values = tuple((each["right"],) for each in row[name])
            lines.append(Series(name, number, places, values))
        title = f"{row['data']}: scores and how often they are right"
        found[f"calibration-{row['data']}"] = Plot(
            title, "share that is right", tuple(lines), "score"
        )
    return found


def _image(name: str, plot: Plot, folder: str) -> str:
    return f"![{plot.alternative}]({folder}/reliability-{name}.svg)"


SECTIONS: dict[str, Callable[[Figures, str], str]] = {
    "threads": threads,
    "kills": kills,
    "ray": lost_worker,
    "long": long_texts,
    "calibration": calibration,
}
