"""Base weights that several models of a process have in one memory.

    component one ──► adapter, head ─┐
                                     ├──► base weights, loaded once
    component two ──► adapter, head ─┘        (gone with the last that uses them)

Only those that stay as they are: of a model with an adapter. Source: ours.
"""

import hashlib
from collections.abc import Callable, Hashable
from pathlib import Path
from weakref import WeakValueDictionary

from ..files import sha256_of
from ..locks import Lock
from .backbone import Backbone

_bases: "WeakValueDictionary[Hashable, Backbone]" = WeakValueDictionary()
_lock = Lock()


def share_base(key: Hashable, load: Callable[[], Backbone]) -> Backbone:
    """A backbone over the base weights of this key: those that another uses, else those that
    `load` gives, while other threads wait for them. Whatever is put beside them is its own."""
    with _lock:
        base = _bases.get(key)
        if base is None:
            base = load()
            _bases[key] = base
        # Nobody puts anything on the base itself, so a copy is whole at any time.
        backbone = base.without_adapter()
        backbone.keep(base)
        return backbone


def content_key(folder: Path, weights: str) -> str:
    """A key of what a model folder holds. weights: the SHA-256 of the files of weights, which
    are long; the others are read."""
    digest = hashlib.sha256(weights.encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".safetensors":
            name = path.relative_to(folder).as_posix()
            digest.update(f"\0{name}\0{sha256_of([path])}".encode())
    return digest.hexdigest()
