"""Makes the texts for rehearsal that come with the package, of the project's own templates
(`assets/base/queries`): `python -m benchmarks.rehearsal_texts`.

The same templates and seed make the same file.
"""

from pathlib import Path

from wasabi import msg

from spacy_instructner.adaptation.rehearsal_set import (
    SHIPPED,
    RehearsalSource,
    RehearsedLabel,
    write_sources,
)
from spacy_instructner.files import write_whole
from spacy_instructner.pretraining.template_texts import make_texts, read_templates
from spacy_instructner.pretraining.wording import make_wording

QUERIES = Path(__file__).parents[1] / "assets" / "base" / "queries"
TEXTS, SEED = 60, 0


def rehearsal_texts() -> str:
    """The content of the file: so many texts of each file of templates."""
    return write_sources(map(make_source_of, sorted(QUERIES.glob("*.json"))))


def make_source_of(path: Path) -> RehearsalSource:
    """Texts of a file of templates, with its labels: all names, and the first definition."""
    templates = read_templates(path)
    labels = {
        label: RehearsedLabel(tuple(own.names), own.definitions[0])
        for label, own in make_wording(templates.labels, path).items()
    }
    return RehearsalSource(path.stem, labels, make_texts(templates, TEXTS, SEED))


def main() -> None:
    content = rehearsal_texts().encode("utf8")
    write_whole(SHIPPED, content)
    msg.good(f"{SHIPPED}: {len(content) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
