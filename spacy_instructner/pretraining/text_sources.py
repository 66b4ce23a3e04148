"""Where the texts of pretraining come from: annotated files, rules, templates.
Source: ours."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spacy.errors import MatchPatternError
from spacy.language import Language
from spacy.pipeline import EntityRuler

from ..formats.docs import read_docs
from ..formats.text_files import read_json, suffix_of
from .template_texts import make_texts, read_templates
from .variations import Text, text_of_doc, text_of_template
from .wording import LabelWording, make_wording, read_wording

TEMPLATES = ".json"


@dataclass(frozen=True)
class SourceTexts:
    """The texts of one source, in which all of its labels are annotated.

    by_label: the texts that have a label, by label; weights: how often each label is
    drawn, in any unit: the square root of the number of its texts, so that rare labels
    are seen, too; empty: texts without entities; wording: of its labels."""

    by_label: Mapping[str, Sequence[Text]]
    weights: Sequence[float]
    empty: Sequence[Text]
    wording: Mapping[str, LabelWording]


def read_texts(
    path: Path, nlp: Language, ruler: EntityRuler | None = None
) -> list[Text]:
    """The texts of an annotated file.

    path (Path): the file.
    nlp (Language): cuts texts that come without tokens.
    ruler (EntityRuler | None): adds entities outside of those of the file.
    RETURNS (list[Text]): the texts. Raises as `formats.docs.read_docs`, and ValueError
        for spans that cannot be kept and for words without annotation: they would be
        learned as words outside of entities."""
    docs, problems = read_docs(Path(path), nlp)
    if spans := [each for each in problems if each.kind == "span"]:
        raise ValueError(f"{len(spans)} spans cannot be kept. The first is {spans[0]}.")
    # 0: not annotated; 3 without a label: blocked for entities.
    unknown = [
        token
        for doc in docs
        for token in doc
        if token.ent_iob == 0 or (token.ent_iob == 3 and not token.ent_type)
    ]
    if unknown:
        raise ValueError(
            f"{len(unknown)} words of {path} have no annotation. The first is "
            f"{unknown[0]}. Annotate them, or leave their texts out."
        )
    return [text_of_doc(ruler(doc) if ruler else doc) for doc in docs]


def read_rules(
    path: Path, nlp: Language
) -> tuple[EntityRuler, dict[str, LabelWording]]:
    """A file of rules: what finds entities, and the wording of their labels. Raises
    OSError for a missing file, and ValueError for a file of another shape and for
    patterns that spaCy refuses."""
    wording = read_wording(path)
    ruler = EntityRuler(nlp, phrase_matcher_attr="LOWER", validate=True)
    for label, own in read_json(Path(path)).items():
        patterns = own.get("patterns")
        if not isinstance(patterns, list) or not patterns:
            raise ValueError(f'{path}: {label!r} has no list of "patterns".')
        try:
            ruler.add_patterns([{"label": label, "pattern": each} for each in patterns])
        except (MatchPatternError, ValueError) as error:
            raise ValueError(f"{path}: {label!r}: {error}") from error
    return ruler, wording


def is_templates(path: Path) -> bool:
    """Does a source hold templates, by the name of its file?"""
    return suffix_of(Path(path)) == TEMPLATES


def make_source(
    path: Path, nlp: Language, count: int, seed: int
) -> tuple[list[Text], dict[str, LabelWording]]:
    """`count` texts made of a file of templates, and the wording of its labels. Raises as
    `read_templates` and `make_wording`."""
    templates = read_templates(Path(path))
    wording = make_wording(templates.labels, path)
    made = make_texts(templates, count, seed)
    return [text_of_template(text, nlp) for text in made], wording


def check_known(labels: Sequence[str], known: set[str]) -> None:
    """Raises ValueError for a held-out label that no source has."""
    if unknown := [label for label in labels if label not in known]:
        raise ValueError(
            f"No source has the held-out labels {unknown}. The sources have these labels: "
            f"{sorted(known)}."
        )


def read_sources(
    paths: Mapping[str, Path],
    wording_path: Path,
    rules_path: Path | None,
    held_out: Sequence[str],
    nlp: Language,
    made: int,
    seed: int,
) -> dict[str, SourceTexts]:
    """Read all sources, without the texts that have a held-out label, in any source.

    paths (Mapping[str, Path]): annotated files and files of templates, by name.
    wording_path (Path): the wording of labels.
    rules_path (Path | None): rules that add entities to annotated files.
    held_out (Sequence[str]): labels.
    nlp (Language): cuts texts that come without tokens.
    made, seed (int): how many texts are made of a file of templates, and with which seed.
    RETURNS (dict[str, SourceTexts]): the sources, by name. Raises ValueError for a
        held-out label that no source has, for a source without entities, and for files
        as `read_texts`, `read_wording`, `read_rules` and `read_templates`."""
    wording = read_wording(wording_path)
    ruler = None
    if rules_path is not None:
        ruler, more = read_rules(rules_path, nlp)
        wording = {**more, **wording}
    texts: dict[str, list[Text]] = {}
    wordings: dict[str, Mapping[str, LabelWording]] = {}
    for name, path in paths.items():
        if is_templates(path):
            texts[name], wordings[name] = make_source(path, nlp, made, seed)
        else:
            texts[name], wordings[name] = read_texts(path, nlp, ruler), wording
    return _without_held_out(texts, wordings, held_out)


def _without_held_out(
    texts: Mapping[str, Sequence[Text]],
    wordings: Mapping[str, Mapping[str, LabelWording]],
    held_out: Sequence[str],
) -> dict[str, SourceTexts]:
    """The sources without texts that have a held-out label. Raises ValueError as
    `read_sources`."""
    everything = [text for own in texts.values() for text in own]
    check_known(held_out, {label for text in everything for label in text.labels})
    barred = {text.words for text in everything if set(text.labels) & set(held_out)}
    read: dict[str, SourceTexts] = {}
    for name, own in texts.items():
        seen = [text for text in own if text.words not in barred]
        read[name] = _source(seen, wordings[name])
        if not read[name].by_label:
            raise ValueError(f"The source {name!r} has no entity to learn from.")
    return read


def _source(seen: Sequence[Text], wording: Mapping[str, LabelWording]) -> SourceTexts:
    counts = Counter(label for text in seen for label in text.labels)
    by_label: dict[str, list[Text]] = {label: [] for label in sorted(counts)}
    for text in seen:
        for label in text.labels:
            by_label[label].append(text)
    weights = [counts[label] ** 0.5 for label in by_label]
    empty = [text for text in seen if not text.entities]
    return SourceTexts(by_label, weights, empty, wording)
