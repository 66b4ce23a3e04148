"""Files beside the package agree with it and with one another."""

import json
import re
from collections.abc import Iterator
from configparser import RawConfigParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import srsly

from helpers.places import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "RELEASE.md", "SECURITY.md")]
# What spaCy's site shows of an entry, and the categories that it knows.
UNIVERSE = {
    *("id", "title", "slogan", "description", "github", "pip", "code_example"),
    *("author", "author_links", "category", "tags"),
}
CATEGORIES = {
    *("pipeline", "training", "conversational", "research", "scientific"),
    *("visualizers", "apis", "nonpython", "standalone", "models"),
}
# Files that a workflow or the image makes for itself.
MADE = {"torch.txt"}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf8")


def declared() -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(text_of("setup.cfg"))
    return parser


def extras() -> set[str]:
    return set(declared()["options.extras_require"])


def pythons() -> list[str]:
    said = declared()["metadata"]["classifiers"]
    return re.findall(r"Python :: (3\.\d+)", said)


def texts(node: Any) -> Iterator[str]:
    """Every text inside of what YAML or JSON held."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", ())


def matrix_of_tests() -> dict[str, Any]:
    workflow = srsly.read_yaml(ROOT / ".github" / "workflows" / "tests.yml")
    return workflow["jobs"]["test"]["strategy"]["matrix"]


def test_what_is_there() -> None:
    assert {path.stem for path in WORKFLOWS} == {"lint", "tests", "release"}
    assert {path.stem for path in FORMS} == {"bug", "idea", "config"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_do_little(path: Path) -> None:
    workflow = srsly.read_yaml(path)
    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        wanted = {"id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == wanted, name
        # No run goes on for hours unseen.
        assert "timeout-minutes" in job or job["uses"].startswith("./"), name
    # Titles, branches and tags are texts of others: no shell reads them as code.
    for step in steps(workflow):
        assert "${{ github." not in step.get("run", "")
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_name_what_exists(path: Path) -> None:
    workflow = srsly.read_yaml(path)
    for job in workflow["jobs"].values():
        needs = job.get("needs", [])
        needed = {needs} if isinstance(needs, str) else set(needs)
        assert needed <= set(workflow["jobs"])
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(
                r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40}|release/v\d+)", step["uses"]
            ), step["uses"]
    said = "\n".join(texts(workflow))
    named = set(re.findall(r"[\w./*-]+\.(?:txt|cfg|md|toml|yml)\b", said)) - MADE
    assert named
    for name in named:
        # Where the sdist is unpacked, it has the files of this folder.
        inside = name.removeprefix("./").removeprefix("source/")
        assert list(ROOT.glob(inside)), name
        # The build of torch for the CPU is chosen by this line.
        if "constraints" in inside and "*" not in inside:
            assert re.search(r"^torch==", text_of(inside), re.M), inside
    for group in re.findall(r"\[([a-z,-]+)\]", said):
        assert set(group.split(",")) <= extras(), group


def test_the_tests_workflow_has_all_pythons_and_packages() -> None:
    matrix = matrix_of_tests()
    assert matrix["python"] == pythons()
    assert matrix["packages"] == ["today", "oldest"]
    # Every Python meets some packages, on every system.
    keys = ("os", "python", "packages")
    runs = [
        dict(zip(keys, values, strict=True))
        for values in product(*(matrix[key] for key in keys))
    ]
    left = [
        run
        for run in runs
        if not any(out.items() <= run.items() for out in matrix["exclude"])
    ]
    assert {(run["os"], run["python"]) for run in left} == set(
        product(matrix["os"], pythons())
    )
    assert {(run["os"], run["packages"]) for run in left} == set(
        product(matrix["os"], matrix["packages"])
    )
    # An expression chooses among these by their names.
    said = text_of(".github/workflows/tests.yml")
    for value in re.findall(r"matrix\.packages == '(\w+)'", said):
        assert value in matrix["packages"]
    for value in re.findall(r"matrix\.os == '([\w-]+)'", said):
        assert value in matrix["os"]
    chosen = re.findall(r"&& '([a-z,-]+)' \|\| '([a-z,-]+)'", said)
    assert chosen
    for group in ",".join(sum(chosen, ())).split(","):
        assert group in extras(), group


def test_pythons_are_the_same_everywhere() -> None:
    first, last = pythons()[0], pythons()[-1]
    assert pythons() == [f"3.{n}" for n in range(10, int(last[2:]) + 1)]
    assert declared()["options"]["python_requires"].startswith(f">={first},<")
    for page in ("README.md", "CONTRIBUTING.md", "docs/install.md"):
        assert f"Python {first} to {last}" in text_of(page), page


def test_extras_are_all_in_the_pages() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ", text_of("docs/install.md"), re.M)
    assert extras() == set(rows)


def test_versions_are_the_same_everywhere() -> None:
    version = declared()["metadata"]["version"]
    citation = srsly.read_yaml(ROOT / "CITATION.cff")
    assert str(citation["version"]) == version
    newest = re.search(r"^## \[?([\d.]+)", text_of("CHANGELOG.md"), re.M)
    assert newest and newest.group(1) == version
    minor = ".".join(version.split(".")[:2])
    assert f"| {minor} | yes |" in text_of("SECURITY.md")


def test_the_citation_names_all_papers() -> None:
    citation = srsly.read_yaml(ROOT / "CITATION.cff")
    assert citation["title"] == declared()["metadata"]["name"]
    assert citation["license"] == "MIT"
    assert citation["authors"] == [{"name": declared()["metadata"]["author"]}]
    papers = [reference["url"] for reference in citation["references"]]
    assert len(papers) == 3
    for url, reference in zip(papers, citation["references"], strict=True):
        assert url in text_of("README.md")
        assert reference["doi"].rsplit(".", 2)[-2:] == url.rsplit("/")[-1].split(".")
        assert all(
            set(author) == {"given-names", "family-names"}
            for author in reference["authors"]
        )


def test_the_entry_for_spacys_universe() -> None:
    entry = json.loads(text_of("docs/universe.json"))
    assert set(entry) >= UNIVERSE
    assert entry["pip"] == entry["id"] == declared()["metadata"]["name"]
    assert set(entry["category"]) <= CATEGORIES
    assert all(isinstance(line, str) for line in entry["code_example"])
    assert max(map(len, entry["code_example"])) <= 80
    compile("\n".join(entry["code_example"]), "code_example", "exec")


def test_one_repository_in_all_files() -> None:
    slug = json.loads(text_of("docs/universe.json"))["github"]
    owner, name = slug.split("/")
    assert name == declared()["metadata"]["name"]
    files = [*WORKFLOWS, *FORMS, *PAGES, ROOT / "CITATION.cff", ROOT / "README.md"]
    links = [
        link
        for path in files
        for link in re.findall(
            rf"github\.com/([\w.-]+/{name})", path.read_text(encoding="utf8")
        )
    ]
    assert len(links) >= 4 and set(links) == {slug}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_ask_for_something(path: Path) -> None:
    form = srsly.read_yaml(path)
    if path.stem == "config":
        assert form["blank_issues_enabled"] is False
        assert all(
            {"name", "url", "about"} == set(link) for link in form["contact_links"]
        )
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids)) >= 3
    assert any(part.get("validations", {}).get("required") for part in form["body"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_of_pages(page: Path) -> None:
    said = page.read_text(encoding="utf8")
    for link in re.findall(r"\]\(([^)#]+)\)", said):
        assert "://" in link or (ROOT / link).exists(), link
    for name in re.findall(r"`([\w./-]+\.(?:py|txt|cfg|cff|md|json))`", said):
        assert (ROOT / name).exists(), name
    made = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    assert set(re.findall(r"`make ([a-z-]+)`", said)) <= made


def test_hooks_have_the_versions_of_the_tests() -> None:
    repos = srsly.read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    ruff = [repo["rev"] for repo in repos if repo["repo"].endswith("/ruff-pre-commit")]
    pinned = re.findall(r"^ruff==(\S+)", text_of("constraints.txt"), re.M)
    assert ruff == [f"v{pinned[0]}"]


def test_the_image() -> None:
    said = re.sub(r"\\\n\s*", " ", text_of("Dockerfile"))
    lines = [line for line in said.splitlines() if line and line[0] != "#"]
    instructions = [tuple(line.split(None, 1)) for line in lines]
    stages = [i for i, (what, _) in enumerate(instructions) if what == "FROM"]
    last = instructions[stages[-1] :]
    # A number: Kubernetes takes a name for nobody it knows.
    users = [value for what, value in last if what == "USER"]
    assert users and all(re.fullmatch(r"[1-9]\d*", user) for user in users)
    assert {what for what, _ in last} >= {"HEALTHCHECK", "ENTRYPOINT", "CMD", "EXPOSE"}
    assert users[-1] in text_of("docs/how-to/serve.md")
    # Where it is published, `docker run` decides.
    start = [json.loads(value) for what, value in last if what in ("ENTRYPOINT", "CMD")]
    assert start[0][-1] == "serve" and start[1][1:] == ["--host", "0.0.0.0"]
    allowed = [line[1:] for line in text_of(".dockerignore").split() if line[0] == "!"]
    copied = [
        name
        for what, value in instructions[: stages[-1]]
        if what == "COPY"
        for name in value.split()[:-1]
    ]
    assert sorted(copied) == sorted(allowed)
    # The package itself is elsewhere, where the tests are of what is installed.
    assert all((ROOT / name).exists() for name in {*copied} - {"spacy_instructner"})
    for group in re.findall(r"\.\[([a-z,-]+)\]", said):
        assert set(group.split(",")) <= extras()
    tagged = {value.split()[0] for what, value in instructions if what == "FROM"}
    assert len(tagged) == 1
    image = re.fullmatch(r"python:(3\.\d+)-slim", tagged.pop())
    assert image and image.group(1) in pythons()


def test_the_adapters_notice_names_what_its_card_names() -> None:
    import spacy_instructner

    adapters = Path(spacy_instructner.__file__).parent / "adapters"
    folders = [path.parent for path in adapters.glob("*/info.json")]
    assert folders
    for folder in folders:
        notice = (folder / "LICENSE").read_text(encoding="utf8")
        card = (folder / "README.md").read_text(encoding="utf8")
        assert "SPDX-License-Identifier: CC-BY-SA-4.0" in notice
        licence = card[card.index("## Licence") : card.index("## How")]
        # In a list, or in a table.
        sources = re.findall(r"\*\*(.+?)\*\*", licence)
        sources += re.findall(r"^\| `(.+?)`", licence, re.MULTILINE)
        links = re.findall(r"\]\((https://[^)]+)\)", licence)
        assert sources and links
        assert [each for each in [*sources, *links] if each not in notice] == []
