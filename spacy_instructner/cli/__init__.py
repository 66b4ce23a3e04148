"""`python -m spacy instructner …`: importing this adds the commands to spaCy's.

A command module is light to import: what needs models is imported when its command
runs. It parses, calls and prints; all else is in the packages below.
"""

from spacy.cli._util import app as spacy_app
from typer import Typer

app = Typer(
    name="instructner",
    help="Instruction-following language models for named-entity recognition",
    no_args_is_help=True,
)
spacy_app.add_typer(app)

from . import (  # noqa: E402, F401
    annotate,
    average,
    bench,
    calibrate,
    collect,
    compare,
    convert,
    debug_data,
    evaluate,
    fetch,
    find_threshold,
    pretrain,
    render,
    sample,
    serve,
)
