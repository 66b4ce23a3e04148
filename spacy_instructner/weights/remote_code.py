"""Model folders that bring or name code to be run are refused. Source: ours.

transformers is told to trust no remote code. Some versions have run it all the same: what
`_attn_implementation_internal` names (before 5.3, CVE-2026-4372), `custom_generate/generate.py`
of a local folder (4.53), and pickles of an adapter that lies beside a model. So such a folder
is not given to it at all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Keys that name Python files or repositories whose code is loaded, or other files than
# the ones that are looked at here.
NAMES_CODE = (
    "auto_map",
    "custom_pipelines",
    "custom_generate",
    "trust_remote_code",
    "_attn_implementation_internal",
    "_experts_implementation_internal",
    "configuration_files",
)
# Keys that name an implementation: one of the library's own, or a repository.
IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")
# What transformers reads; other files may be anything, and are looked at as far as they
# can be read.
READ = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
# Data, and big: any words may stand in them.
DATA = ("tokenizer.json", "vocab.json", "added_tokens.json")


def refuse_remote_code(folder: Path) -> None:
    """Raises ValueError, naming file and key, where a model folder brings Python files or
    an adapter of PEFT's, where one of its JSON files names code to be run, and where one
    that transformers needs is no JSON."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".py", ".pyc", ".so"):
            raise ValueError(
                f"{path} is code. A model folder with code is not loaded: remove it if "
                "the model's type is one that transformers has itself; otherwise choose "
                "another model."
            )
        if path.parent == folder and path.name.lower() == "adapter_config.json":
            raise ValueError(
                f"{path} says that this is an adapter of PEFT's, and which model to load in "
                "the folder's place. Merge it into its base first (PEFT's "
                "`merge_and_unload`, then `save_pretrained`), or remove the file if the "
                "folder's own weights are meant."
            )
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if not name.endswith(".json") or name in DATA or name.endswith(".index.json"):
            continue
        try:
            # The standard library's: tokenizers write integers too big for others.
            entries = list(_entries(json.loads(path.read_text("utf8"))))
        except (OSError, ValueError, RecursionError) as error:
            if name not in READ:
                continue
            raise ValueError(
                f"{path} cannot be read: {error}\nA truncated or damaged file is the "
                "usual reason. Get the model again."
            ) from error
        for key, value in entries:
            if _names_code(key, value):
                raise ValueError(
                    f"{path} names code to be run, or files to be read in its place: "
                    f"{key!r} is {value!r}. Such a model is not loaded. If its type is one "
                    "that transformers has itself, remove the key from the file, or load "
                    "the model with transformers and save it again with "
                    "`save_pretrained` in a version that leaves the key out; otherwise "
                    "choose another model."
                )


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
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
