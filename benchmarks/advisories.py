"""Known advisories of what this package needs, and whether they reach its users."""

from spacy_instructner.bench.page import Section, Table

ROWS = (
    (
        "CVE-2026-4372",
        "transformers before 5.3 (with the package `kernels`: 4.56 to 5.2)",
        "A config's `_attn_implementation_internal` names a repository, whose code is run "
        "while a model is loaded.",
        "No: a folder with this key is refused before transformers reads it, in every "
        "version (`tests/weights/test_remote_code.py`).",
    ),
    (
        "without a number",
        "transformers 4.53 (seen there; not in 5.24)",
        "`custom_generate/generate.py` in a local model folder is run while it is loaded, "
        "whatever `trust_remote_code` says.",
        "No: a folder with Python files in it is refused (`tests/weights/test_remote_code.py`).",
    ),
    (
        "CVE-2026-1839",
        "transformers before 5.0.0",
        "The Trainer reads the state of a run by pickle.",
        "No: the package does not use the Trainer. Its `pretrain` goes on from safetensors "
        "and JSON.",
    ),
    (
        "CVE-2025-32434",
        "torch before 2.6",
        "`torch.load` can run code, also with `weights_only=True`.",
        "No: nothing here calls `torch.load`, and a folder with an adapter of PEFT's, for "
        "which transformers may, is refused (`tests/weights/test_remote_code.py`).",
    ),
    (
        "CVE-2025-6051, -6638, -6921 and others",
        "transformers before 4.53",
        "Regular expressions that take very long on some texts.",
        "No: 4.53 is the oldest version that is installed.",
    ),
)
TEXT = (
    "Those of transformers and torch that a scan of an environment may name, and whether "
    "they reach users of this package. With `pip install pip-audit`, `pip-audit` compares "
    "the environment that it stands in with the databases of today, and "
    "`pip-audit --no-deps -r constraints.txt` the versions that the tests were run with."
)


def tell_advisories() -> Section:
    header = ("Advisory", "Of", "What it says", "Does it apply?")
    return Section("Advisories", [TEXT, Table(header, ROWS)])
