"""Prompts as data: templates with fields, checked when the config is read."""

from collections.abc import Iterable, Sequence
from string import Formatter

# A literal ("", text) or a field (name, "").
TemplatePart = tuple[str, str]


def parse_template(
    name: str, template: str, known: Sequence[str], needed: Sequence[str]
) -> list[TemplatePart]:
    """Cut a template at its fields.

    name: of the setting, for errors; known: fields that may stand in it;
    needed: fields that must, once each. Raises ValueError otherwise.
    """
    parts: list[TemplatePart] = []
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"`{name}` is not a template: {error}. Write a brace that belongs to the text "
            "twice."
        ) from error
    for literal, field, spec, conversion in pieces:
        if literal:
            parts.append(("", literal))
        if field is None:
            continue
        if field not in known or spec or conversion:
            raise ValueError(
                f"`{name}` has a field {{{field}}} that means nothing there. Its fields "
                f"can be {_listed(known)}."
            )
        parts.append((field, ""))
    for field in needed:
        if sum(part[0] == field for part in parts) != 1:
            raise ValueError(f"`{name}` must have the field {{{field}}}, once.")
    return parts


def space_to_field(
    parts: Iterable[TemplatePart], fields: Sequence[str]
) -> list[TemplatePart]:
    """Drop the one space that a literal ends with before a field whose words
    bring their own."""
    parts = list(parts)
    out: list[TemplatePart] = []
    for at, (field, literal) in enumerate(parts):
        follows = at + 1 < len(parts) and parts[at + 1][0] in fields
        if not field and follows and literal.endswith(" "):
            literal = literal[:-1]
        if field or literal:
            out.append((field, literal))
    return out


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names) or "none"
