"""What the project declares: registered names and shipped configs."""

from configparser import ConfigParser

from helpers.places import ROOT

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
GROUPS = {
    "spacy_factories": "factories",
    "spacy_architectures": "architectures",
    "spacy_misc": "misc",
    "spacy_readers": "readers",
    "spacy_augmenters": "augmenters",
    "spacy_callbacks": "callbacks",
}


def declared() -> list:
    parser = ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "setup.cfg")
    return [
        (group, line.split(" = ")[0].strip())
        for group, lines in parser["options.entry_points"].items()
        for line in lines.strip().splitlines()
    ]
