"""What the documentation says can be done, is done."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page: Path) -> List[str]:
    """The spaCy commands of a page's shell blocks (and the folders they need),
    continued lines joined."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line.startswith(("python -m spacy ", "mkdir "))]


def spacy_command(line: str, folder: Path) -> str:
    import shlex

    arguments = shlex.split(line)
    if arguments[0] == "python":
        arguments[0] = sys.executable
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, line + done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_projects_page_is_up_to_date(tmp_path: Path) -> None:
    line = f"python -m spacy project document . --no-emoji --output {tmp_path}/p.md"
    spacy_command(line, ROOT)
    assert (tmp_path / "p.md").read_text() == (ROOT / "PROJECT.md").read_text()


def test_every_command_is_in_the_readme() -> None:
    import spacy_instructner.cli

    readme = (ROOT / "README.md").read_text()
    names = [c.name for c in spacy_instructner.cli.app.registered_commands]
    assert len(names) >= 5
    for name in names:
        assert f"python -m spacy instructner {name}" in readme


def test_every_setting_is_in_the_readme() -> None:
    from spacy_instructner.factory import DEFAULT_CONFIG

    readme = (ROOT / "README.md").read_text()
    for name, value in DEFAULT_CONFIG.items():
        row = re.search(rf"^\| `{name}` \| `(.*?)` \|", readme, re.M)
        assert row, name
        if not isinstance(value, dict):
            import json

            assert row.group(1) == json.dumps(value), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "page,least,made",
    [("README.md", 6, "page.html"), ("docs/cli.md", 10, "pages/example.html")],
)
def test_commands_run(page: str, least: int, made: str, tmp_path: Path) -> None:
    """In order, with the real model, as a reader would."""
    for name in ("assets", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    lines = commands(ROOT / page)
    assert len(lines) >= least
    for line in lines:
        spacy_command(line, tmp_path)
    assert (tmp_path / made).is_file()
    assert len(list(tmp_path.glob("*/*/dist/*.whl"))) == 1


@pytest.mark.slow
def test_code_runs() -> None:
    """The README's code, in order, with the real model."""
    code = "\n".join(blocks(ROOT / "README.md", "python"))
    assert "set_labels" in code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
