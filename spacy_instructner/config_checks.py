"""Settings that a config would accept and then lose or ignore: they are refused.
Source: ours."""

from collections.abc import Iterator, Mapping
from typing import Any

from confection import Config
from spacy.language import Language

# What spaCy's users name on the command line, and what reads nothing by itself.
PATHS = ("train", "dev", "exclude", "definitions")


def check_config_holds(settings: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting, or an entry of one, that a config file would not
    give back as it is: it would be lost, or another one, once the pipeline is saved."""
    for name, value in settings.items():
        entries = value.items() if isinstance(value, Mapping) else [(name, value)]
        for key, entry in entries:
            if _as_read_back(key, entry) == {key: entry}:
                continue
            where = f" in `{name}`" if isinstance(value, Mapping) else ""
            raise ValueError(
                f"A config file cannot hold {key!r}: {entry!r}{where}; it would be read "
                "back as something else. (It cannot hold keys with : or =, none that "
                "begin with #, ;, @ or [ or end with a space, and no ${ or lone $ in "
                "texts.) Leave it out of the config and give it afterwards with the "
                "component's `set_labels`, which saves it beside the config; or use "
                "another label."
            )


def _as_read_back(key: str, value: Any) -> Any:
    """A section with one entry, as a config file gives it back; None where it cannot be
    written or read."""
    try:
        # As in a pipeline's config.cfg: written as it is, interpolated when it is read.
        text = Config({"settings": {key: value}}).to_str(interpolate=False)
        text.encode("utf8")
        raw = Config().from_str(text, interpolate=False)
        return raw.interpolate()["settings"] if raw["settings"] else None
    except ValueError:
        return None
    except Exception as error:
        # Errors of configparser about keys and interpolation share no other class.
        if type(error).__module__ != "configparser":
            raise
        return None


def check_paths(nlp: Language) -> None:
    """Raises ValueError for a path that is named and that nothing in the config reads,
    such as `--paths.dev FILE` where no corpus refers to it."""
    config = nlp.config
    paths = config.get("paths", {})
    others = {key: value for key, value in config.items() if key != "paths"}
    texts = list(_texts(others))
    for name in PATHS:
        path = paths.get(name)
        if path is None:
            continue
        reference = f"${{paths.{name}}}"
        if not any(reference in text or text == str(path) for text in texts):
            raise ValueError(
                f"`paths.{name}` is {str(path)!r}, but nothing in this config reads it: "
                f"no setting refers to {reference}. Leave it out, or refer to it, for "
                "example as the `path` of a corpus."
            )


def _texts(block: Mapping[str, Any]) -> Iterator[str]:
    for value in block.values():
        if isinstance(value, Mapping):
            yield from _texts(value)
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))
        elif value is not None:
            yield str(value)


def write_threshold(
    nlp: Language, name: str, threshold: float, by_label: Mapping[str, float]
) -> None:
    """Set a component's threshold, and those of labels, also where the config has them, so
    that `spacy.load(path, config=…)` can be told from what is saved.

    Labels that a config cannot hold, and those that it does not name where it names
    some, are saved beside it alone."""
    pipe: Any = nlp.get_pipe(name)
    pipe.cfg.update(threshold=threshold, thresholds=dict(by_label))
    config = nlp.get_pipe_config(name)
    named = config.get("labels") or by_label
    held = {
        label: least
        for label, least in by_label.items()
        if label in named and _as_read_back(label, least) == {label: least}
    }
    values = {"threshold": threshold, "thresholds": held}
    config.update(values)
    pipe.state.configured.update(values)
