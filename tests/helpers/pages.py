"""The pages and what stands in them: blocks, commands, headings, tables."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from configparser import ConfigParser
from inspect import Parameter
from pathlib import Path
from urllib.request import urlopen

import spacy_instructner

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = Path(spacy_instructner.__file__).parent
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
SETTINGS = DOCS / "reference" / "settings.md"
COMMANDS = DOCS / "reference" / "commands.md"
EXTEND = DOCS / "how-to" / "extend.md"
TUTORIAL = DOCS / "tutorial.md"
# Groups of entry points, and what spaCy calls their registries.
REGISTRIES = {
    "spacy_architectures": "architectures",
    "spacy_misc": "misc",
    "spacy_readers": "readers",
    "spacy_augmenters": "augmenters",
    "spacy_callbacks": "callbacks",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf8")


def fences(page: Path) -> Iterator[tuple[str, str, str]]:
    """Every fenced block: its mark (a comment above it), its language, its text."""
    fence = r"^(?:<!-- ([^\n]*?) -->\n\n)?```(\w+)\n(.*?)^```"
    yield from re.findall(fence, text_of(page), re.M | re.S)


def blocks(page: Path, language: str) -> list[str]:
    return [text for _, of, text in fences(page) if of == language]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def lines_of(shell: str) -> list[str]:
    """The commands of a shell block: lines joined, without comments and `&`."""
    lines = shell.replace("\\\n", " ").splitlines()
    lines = [re.sub(r"(\s+#.*|\s+&)$", "", line).strip() for line in lines]
    return [line for line in lines if line]


def commands(page: Path) -> list[str]:
    """The spaCy commands of a page's shell blocks, and the folders that they need."""
    lines = [line for shell in blocks(page, "bash") for line in lines_of(shell)]
    return [line for line in lines if line.startswith(("python -m spacy ", "mkdir "))]


def run(line: str, folder: Path, **settings: str) -> str:
    """Run a command of a page. settings: of the environment, besides."""
    arguments = shlex.split(line)
    if arguments[0] == "python":
        arguments[0] = sys.executable
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **settings},
    )
    assert done.returncode == 0, line + done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def serve_briefly(arguments: list[str], folder: Path) -> None:
    """Start `serve` at a free port, wait for its answer, and end it by Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "spacy", "instructner", "serve", *arguments]
    told = "v1/labels" if "--api-only" in arguments else "api/info"
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    )
    answer = b""
    try:
        while not answer and process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{port}/{told}") as info:
                    answer = info.read()
            except OSError:
                time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert answer and json.loads(answer)["labels"], out
    assert f"http://127.0.0.1:{port}" in out, out


def headings(page: Path) -> list[str]:
    """Titles of a page's sections."""
    return re.findall(r"^#+ (.+)$", without_blocks(text_of(page)), re.M)


def anchors(page: Path) -> list[str]:
    """What a link to a section of the page ends with, on GitHub and in MkDocs."""
    titles = [re.sub(r"[^\w\s-]", "", title).lower() for title in headings(page)]
    return [re.sub(r"\s", "-", title.strip()) for title in titles]


def links(page: Path) -> list[tuple[str, str]]:
    """Targets of relative links, and the sections they name."""
    found = re.findall(r"\]\(([^)\s]*)\)", without_blocks(text_of(page)))
    return [
        (target, anchor)
        for link in found
        if "://" not in link
        for target, _, anchor in [link.partition("#")]
    ]


def tables(page: Path) -> list[list[list[str]]]:
    """Every table: its rows, its cells; the heading first."""
    found: list[list[list[str]]] = []
    inside = False
    for line in without_blocks(text_of(page)).splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            if not re.fullmatch(r"[|\s:-]+", line):
                found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        inside = line.startswith("|")
    return found


def is_of_results(table: list[list[str]]) -> bool:
    """Whether a table says what was measured: two numbers in a row, or F1 on top."""
    measured = r"[−+-]?[\d.,]+( ±.*| %)?"
    several = [
        sum(bool(re.fullmatch(measured, cell)) for cell in row) >= 2
        for row in table[1:]
    ]
    return any(several) or any(re.search(r"\bF1\b", cell) for cell in table[0])


def registered() -> list[tuple[str, str]]:
    """Registered functions that setup.cfg declares: registry and name."""
    parser = ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "setup.cfg", encoding="utf8")
    return [
        (REGISTRIES[group], line.split(" = ")[0].strip())
        for group, lines in parser["options.entry_points"].items()
        if group in REGISTRIES
        for line in lines.strip().splitlines()
    ]


def settings_of(heading: str) -> list[tuple[str, str, str]]:
    """The rows of the reference under a heading: setting, default, meaning."""
    text = text_of(SETTINGS)
    begin = re.search(rf"^##+ {re.escape(heading)}$", text, re.M)
    assert begin, heading
    own = re.split(r"^##", text[begin.end() :], flags=re.M)[0]
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", own, re.M)


NO_DEFAULT = Parameter.empty
