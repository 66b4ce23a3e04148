"""Model folders that name code to be run are refused. Source: ours.

transformers is told to trust no remote code; but what a config names has been run all
the same by versions before 5.3 (CVE-2026-4372: `_attn_implementation_internal`), so that
such a folder is not given to it at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Tuple

# Keys that name Python files or repositories whose code is loaded.
NAMES_CODE = (
    "auto_map",
    "custom_pipelines",
    "custom_generate",
    "trust_remote_code",
    "_attn_implementation_internal",
    "_experts_implementation_internal",
)
# Keys that name an implementation: one of the library's own, or a repository.
IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")


def refuse_remote_code(folder: Path) -> None:
    """Raises ValueError, naming file and key, where a JSON file of a model folder names
    code to be run, or is no JSON."""
    for path in sorted(folder.glob("*.json")):
        # Weight maps and vocabularies are data, and big.
        if path.name.endswith((".index.json", "tokenizer.json", "vocab.json")):
            continue
        try:
            # The standard library's: tokenizers write integers too big for others.
            content = json.loads(path.read_text("utf8"))
        except ValueError as error:
            raise ValueError(
                f"{path} cannot be read: {error}\nA truncated or damaged file is the "
                "usual reason. Get the model again."
            ) from error
        for key, value in _entries(content):
            if _names_code(key, value):
                raise ValueError(
                    f"{path} names code to be run: {key!r} is {value!r}. Such a model is "
                    "not loaded. If its type is one that transformers has itself, remove "
                    "the key from the file, or load the model with transformers and "
                    "save it again with `save_pretrained` in a version that leaves the "
                    "key out; otherwise choose another model."
                )


def _entries(content: Any) -> Iterator[Tuple[str, Any]]:
    """All keys with their values, however deep."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key, value
            yield from _entries(value)
    elif isinstance(content, list):
        for value in content:
            yield from _entries(value)


def _names_code(key: str, value: Any) -> bool:
    if key in NAMES_CODE:
        return bool(value)
    if key.strip("_") not in IMPLEMENTATIONS:
        return False
    # A repository has an owner; ":" and "|" lead to functions and wrappers in it.
    named = value.values() if isinstance(value, dict) else [value]
    return any(set("/:|") & set(str(name)) for name in named)
