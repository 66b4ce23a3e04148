"""Imports every module of the installed package. Run it as `python -W error`: a module
that warns when it is imported warns every user."""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import spacy_instructner

# What these need is in an extra.
WITH_EXTRAS = ("spacy_instructner.corpus.on_ray",)


def main() -> None:
    here = Path(spacy_instructner.__file__).parent
    if Path.cwd() in here.parents:
        sys.exit(f"{here} is no installed package.")
    for module in pkgutil.walk_packages([str(here)], "spacy_instructner."):
        if module.name not in WITH_EXTRAS:
            import_module(module.name)


if __name__ == "__main__":
    main()
