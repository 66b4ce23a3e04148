"""docs/architecture.md has one row a file, and the layers as the tests hold them.

`PYTHONPATH=tests python tests/docs/test_architecture_page.py` writes both anew."""

import ast
import re
from pathlib import Path

from helpers.layers import LAYERS, PACKAGE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"


def says(path: Path) -> str:
    """The first sentences of a module's docstring, on one line, without its source."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return re.sub(r" ?Source: .*$", "", first)


def files() -> str:
    """A table for each folder, a row a file."""
    folders: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        folder = path.relative_to(PACKAGE).parent.as_posix()
        folders.setdefault(folder, []).append(path)
    parts = []
    for folder, paths in folders.items():
        name = "spacy_instructner/" if folder == "." else f"{folder}/"
        (own,) = (path for path in paths if path.name == "__init__.py")
        rows = [
            f"### `{name}`",
            "",
            says(own),
            "",
            "| File | What it is for |",
            "|---|---|",
        ]
        rows += [f"| `{path.name}` | {says(path)} |" for path in paths if path != own]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def layers() -> str:
    """The layers, the highest first."""
    rows = ["| Layer | Modules and folders |", "|---|---|"]
    for height, names in reversed(list(enumerate(LAYERS, start=1))):
        rows.append(f"| {height} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    for name, table in (("layers", layers()), ("files", files())):
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert mark and end, f"The page has no <!-- {name} --> … <!-- end -->."
        text = f"{before}{mark}\n{table}\n\n{end}{after}"
    return text


def test_the_page_has_every_file_and_the_layers() -> None:
    text = PAGE.read_text(encoding="utf8")
    assert text == filled(text), "Run this file."


def test_a_file_that_moves_is_missed() -> None:
    text = PAGE.read_text(encoding="utf8").replace(
        "| `kv_cache.py` |", "| `slots.py` |"
    )
    assert text != filled(text)


def test_what_a_stranger_looks_for_is_where_the_page_says() -> None:
    """Each row of the stranger's table names a file, and what to find in it."""
    text = PAGE.read_text(encoding="utf8")
    rows = re.findall(r"^\| .*? \| `(\S+\.py)` \| (.*?) \|$", text, re.M)
    named = [(PACKAGE / path, re.findall(r"`(\w+)`", cell)) for path, cell in rows]
    assert len(named) >= 14 and all(words for _, words in named)
    for path, words in named:
        code = path.read_text(encoding="utf8")
        for word in words:
            found = re.search(rf"^ *(class|def) {word}\b|^{word}\b *[:=]", code, re.M)
            assert found, f"{path} does not define {word}."


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf8")), encoding="utf8")
