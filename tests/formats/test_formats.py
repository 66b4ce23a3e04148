"""Files of other tools: each as its tool writes it, and what of it is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from spacy.language import Language
from spacy.tokens import DocBin

from spacy_instructner.data.corpora import build_few_shot_corpus_v1, read_docs
from spacy_instructner.formats.docs import lost_in
from spacy_instructner.formats.outputs import check_output, spacy_file, write_docs
from spacy_instructner.formats.rows import left_out
from spacy_instructner.formats.text_files import stem, suffix_of
from spacy_instructner.tasks.labels import read_words_v1

TEXT = "My fork and stem creak."
FORK, STEM = {"start": 3, "end": 7}, {"start": 12, "end": 16}


def read(tmp_path: Path, nlp: Language, *rows: Any, **given: Any) -> tuple[list, list]:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    docs, problems = read_docs(path, nlp, **given)
    return docs, problems


def entities(docs: list) -> list:
    return [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs]


def tags(docs: list) -> list[list[str]]:
    return [[token.ent_iob_ for token in doc] for doc in docs]


@pytest.mark.long
def test_nothing_of_it_needs_the_models() -> None:
    """(spaCy imports torch by itself, where it is there.)"""
    code = (
        "import sys, spacy_instructner.formats.docs, spacy_instructner.formats.outputs; "
        "print(*(m for m in sys.modules if 'instructner.' in m or m == 'transformers'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    own = tuple(
        f"spacy_instructner.{name}" for name in ("formats", "files", "char_spans")
    )
    assert done.stdout.split() and all(m.startswith(own) for m in done.stdout.split())


# Prodigy.


def test_a_rejected_span_is_no_entity_and_not_none_either(
    nlp: Language, tmp_path: Path
) -> None:
    row = {
        "text": TEXT,
        "spans": [
            {**FORK, "label": "PART"},
            {**STEM, "label": "PART", "answer": "reject"},
        ],
    }
    docs, problems = read(tmp_path, nlp, row)
    assert entities(docs) == [[("fork", "PART")]] and not problems
    assert tags(docs) == [["O", "B", "O", "", "O", "O"]]
    assert docs[0].user_data["instruction_ner_lost"] == [[3, 4, "PART"]]
    # One that somebody accepted counts for more.
    row["spans"].append({**STEM, "label": "TOOL"})
    docs, _ = read(tmp_path, nlp, row)
    assert entities(docs) == [[("fork", "PART"), ("stem", "TOOL")]]


def test_tasks_that_do_not_count(nlp: Language, tmp_path: Path) -> None:
    spans = [{**FORK, "label": "PART"}]
    rows = [
        {"text": TEXT, "spans": spans, "answer": "reject"},
        {"text": TEXT, "spans": spans},
        {"text": TEXT, "answer": "ignore"},
        {"text": TEXT, "answer": "accept", "_input_hash": 1, "_task_hash": 2},
    ]
    docs, problems = read(tmp_path, nlp, *rows)
    assert entities(docs) == [[("fork", "PART")], []]
    assert left_out(problems) == "2 texts"
    assert [p.where.rpartition(" ")[2] for p in problems] == ["1", "3"]


def test_a_yes_or_no_task_says_nothing_of_the_rest(
    nlp: Language, tmp_path: Path
) -> None:
    row = {"text": TEXT, "spans": [{**FORK, "label": "PART"}], "_view_id": "ner"}
    docs, _ = read(tmp_path, nlp, row)
    assert tags(docs) == [["", "B", "", "", "", ""]]


def test_choices(nlp: Language, tmp_path: Path) -> None:
    options = [{"id": "PART"}, {"id": "TOOL"}]
    row = {"text": TEXT, "spans": [FORK], "options": options, "accept": ["TOOL"]}
    assert entities(read(tmp_path, nlp, row)[0]) == [[("fork", "TOOL")]]
    # Of the whole text, beside spans that have labels.
    labelled = [{**FORK, "label": "PART"}]
    about_all = {"text": TEXT, "spans": labelled, "accept": ["sad"], "options": []}
    assert entities(read(tmp_path, nlp, about_all)[0]) == [[("fork", "PART")]]
    for changed, said in (
        ({"spans": labelled}, "which of them is the label"),
        ({"accept": []}, "must say one label"),
        ({"spans": [FORK, STEM]}, "must say one label"),
        ({"spans": []}, "about the whole text"),
    ):
        with pytest.raises(ValueError, match=f"line 1: .*Prodigy.*{said}"):
            read(tmp_path, nlp, {**row, **changed})


# Label Studio, and places that a browser counts.


def studio(*results: Any, **more: Any) -> Any:
    return {
        "data": {"body": TEXT},
        "annotations": [{"result": r} for r in results],
        **more,
    }


def found(place: Any, *labels: str, **more: Any) -> Any:
    return {"type": "labels", "value": {**place, "labels": labels}, **more}


def test_label_studio(nlp: Language, tmp_path: Path) -> None:
    choice = {"type": "choices", "value": {"choices": ["sad"]}}
    path = tmp_path / "export.json"
    tasks = [
        studio([found(FORK, "PART"), choice]),
        studio([found(FORK, "PART")], [found(FORK, "PART")]),
        studio(),
    ]
    cancelled = studio([found(FORK, "PART")], [found(STEM, "PART")])
    cancelled["annotations"][0]["was_cancelled"] = True
    truth = studio([found(FORK, "PART")], [found(STEM, "PART")])
    truth["annotations"][1]["ground_truth"] = True
    path.write_text(json.dumps([*tasks, cancelled, truth], indent=2))
    docs, problems = read_docs(path, nlp)
    assert entities(docs) == [[("fork", "PART")]] * 2 + [[("stem", "PART")]] * 2
    assert left_out(problems) == "1 texts" and "nobody has annotated" in str(
        problems[0]
    )
    for task, said in (
        (studio([found(FORK, "PART")], []), "annotations differ"),
        (studio([{**found(FORK, "PART"), "type": "hypertextlabels"}]), "plain text"),
        (studio([found({"start": "/p[1]", "end": "/p"}, "PART")]), "not whole numbers"),
    ):
        path.write_text(
            json.dumps([{"data": {"text": "x"}, "annotations": []}, task], indent=1)
        )
        with pytest.raises(ValueError, match=rf"export.json, line 8: .*{said}"):
            read_docs(path, nlp)


def test_places_that_a_browser_counts(nlp: Language, tmp_path: Path) -> None:
    text = "😀😀 fork"
    by_units = {"start": 5, "end": 9, "text": "fork", "labels": ["PART"]}
    row = {"text": text, "label": [by_units]}
    assert entities(read(tmp_path, nlp, row)[0]) == [[("fork", "PART")]]
    by_characters = {**by_units, "start": 3, "end": 7}
    row = {"text": text, "label": [by_characters]}
    assert entities(read(tmp_path, nlp, row)[0]) == [[("fork", "PART")]]
    with pytest.raises(ValueError, match="says its text is 'fork', but at 1-5"):
        read(
            tmp_path, nlp, {"text": text, "label": [{**by_units, "start": 1, "end": 5}]}
        )


# Others.


def test_names_for_tags_that_are_numbers(nlp: Language, tmp_path: Path) -> None:
    row = {"tokens": ["My", "fork", "blade", "creaks"], "ner_tags": [0, 1, 2, 0]}
    names = ["O", "B-PART", "I-PART"]
    docs, _ = read(tmp_path, nlp, row, tag_names=names)
    assert entities(docs) == [[("fork blade", "PART")]]
    with pytest.raises(ValueError, match="line 1: the tags are numbers.*--tag-names"):
        read(tmp_path, nlp, row)
    with pytest.raises(ValueError, match="the tag 2 has no name: there are 2 names"):
        read(tmp_path, nlp, row, tag_names=names[:2])
    with pytest.raises(ValueError, match="4 tags for 3 words"):
        read(
            tmp_path, nlp, {**row, "tokens": ["My", "fork", "creaks"]}, tag_names=names
        )


def test_what_spacy_writes_is_read(nlp: Language, tmp_path: Path) -> None:
    doc = nlp(TEXT)
    doc.ents = [doc.char_span(3, 7, label="PART")]
    doc.spans["sc"] = [doc[0:1]]
    docs, problems = read(tmp_path, nlp, doc.to_json())
    assert entities(docs) == [[("fork", "PART")]] and not problems
    assert [t.text for t in docs[0]] == [t.text for t in doc]


@pytest.mark.parametrize(
    "row,said",
    [
        ({"text": TEXT}, "annotation that is known here: it has 'text'"),
        ({"text": TEXT, "spanns": []}, "it has 'text', 'spanns'"),
        ({"text": TEXT, "cats": {"SAD": 1.0}}, "known here"),
        ({"text": TEXT, "label": ["SAD"]}, "known here"),
        ({"text": TEXT, "answer": "accept", "label": "SAD"}, "known here"),
        ({"text": TEXT, "spans": {"sc": []}}, "known here"),
        ({"text": TEXT, "entities": ["O", "U-PART"]}, r"has 'O', which is not a span"),
        ({"text": TEXT, "spans": [], "entities": [[3, 7, "PART"]]}, "they differ"),
        ({"text": TEXT, "spans": [], "marks": [{**FORK, "label": "PART"}]}, "'marks'"),
        ({"text": TEXT, "spans": [{**FORK, "label": "A", "answer": "no"}]}, "'no'"),
        ({"text": TEXT, "spans": [], "answer": "yes"}, "none of accept, reject"),
        ({"tokens": ["a", ""], "ner_tags": ["O", "O"]}, "not a word: ''"),
        ({"tokens": ["a"], "ner_tags": ["-"]}, "there is no tag here"),
        ({"tokenized_text": ["a"], "ner": [[0, 1, "A"]]}, "there are 1 words"),
        (["a", "b"], "not a JSON object"),
    ],
)
def test_rows_that_are_refused(
    nlp: Language, tmp_path: Path, row: Any, said: str
) -> None:
    whole = {"text": "Fine.", "spans": []}
    with pytest.raises(ValueError, match=f"a.jsonl, line 2: .*{said}"):
        read(tmp_path, nlp, whole, row)


def test_half_characters_are_told(nlp: Language, tmp_path: Path) -> None:
    row = {"text": "\ud83d fork", "spans": [{"start": 2, "end": 6, "label": "P\udc00"}]}
    docs, problems = read(tmp_path, nlp, row)
    assert entities(docs) == [[("fork", "P\ufffd")]] and docs[0].text == "\ufffd fork"
    assert [p.kind for p in problems] == ["note"] and "2 surrogates" in problems[0].why
    DocBin(docs=docs).to_bytes()


def test_keys_that_come_twice(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "spans": [], "text": "b"}')
    with pytest.raises(ValueError, match="line 1: .*the key 'text' twice"):
        read_docs(path, nlp)


# CoNLL.


@pytest.mark.parametrize(
    "lines,line,said",
    [
        ("a B-X\nb M-X\n", 2, "'M-X' ends no entity"),
        ("a B-X\nb M-X\nc L-X\n", 1, "are of no one scheme"),
        ("a I-X\nb O\nc B-X\n", 1, "begins an entity .IOB1.*line 3"),
        ("a B-X\nb x-Y\n", 2, "not a tag like 'B-X'"),
        ("a B-X\nb b-X\n", 2, "not both in capital letters"),
        ("a B\nb O\n", 1, "has no type"),
        ("a X-B\nb O\n", 1, "no known scheme"),
        ("a DT\nb NN\n", 1, "no word here has the tag O"),
        ("B-X fork\nO creaks\n", 1, "Column 1 looks like tags"),
        ("a B-NP\nb O\n", 1, "holds chunks .NP., not entities"),
        ("a B-X O\nb O B-X\n", 1, "columns 2 and 3 both hold tags"),
        ("a _\nb _\n", 1, "there is no tag here"),
        ("a _\nb O\n", 1, "both here"),
        ("a\tO\nb O\n", 2, "separated by tabs, and this line has none"),
        ("a\tNN\tO\nb\tO\n", 2, "2 columns .tabs., but line 1 has 3"),
        ("a|O b|B-X\nc d|O\n", 2, "'c' must have 1 `|`, as the others have"),
        ("# global.columns = ID FORM UPOS\n1\ta\tO\n", 1, "one must be FORM"),
        ("a B-X\nb E-X\nc S-X\nd I-X\n", 4, "does not begin an entity"),
    ],
)
def test_conll_that_is_refused(
    nlp: Language, tmp_path: Path, lines: str, line: int, said: str
) -> None:
    path = tmp_path / "a.conll"
    path.write_text(lines)
    with pytest.raises(ValueError, match=f"a.conll, line {line}: .*({said})"):
        read_docs(path, nlp)


def test_nested_columns_are_named(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(
        "#\thttp://example.org\t[2009]\n1\tBonn\tB-ORG\tB-LOC\n2\tRing\tI-ORG\tO\n"
    )
    docs, problems = read_docs(path, nlp)
    assert entities(docs) == [[("Bonn Ring", "ORG")]]
    assert [p.kind for p in problems] == ["note"] and "column 3" in problems[0].why


def test_words_that_look_like_comments(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    for between in ("\t", " "):
        lines = [["#", "O"], ["fork", "B-PART"], [], ["#bikes", "B-TAG"], ["#", "O"]]
        path.write_text("# id = 7\n" + "\n".join(between.join(line) for line in lines))
        docs, _ = read_docs(path, nlp)
        assert [[t.text for t in doc] for doc in docs] == [
            ["#", "fork"],
            ["#bikes", "#"],
        ]


def test_a_hyphen_is_no_annotation(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("The O\nfork B-PART\nbroke -\n")
    docs, _ = read_docs(path, nlp)
    assert tags(docs) == [["O", "B", ""]]
    assert "instruction_ner_lost" not in docs[0].user_data


# What is lost, and what is written.


def test_lost_entities_are_missing_and_keep_their_labels(
    nlp: Language, tmp_path: Path
) -> None:
    spans = [{"start": 3, "end": 6, "label": "PART"}, {**STEM, "label": ""}]
    docs, problems = read(tmp_path, nlp, {"text": TEXT, "spans": spans})
    assert tags(docs) == [["O", "", "O", "", "O", "O"]]
    assert left_out(problems) == "2 spans"
    write_docs(docs, tmp_path / "a.spacy")
    (again,), _ = read_docs(tmp_path / "a.spacy", nlp)
    assert lost_in(again) == [(1, 2, "PART")]
    # Of overlapping ones, what the kept one does not cover.
    spans = [{**FORK, "label": "PART"}, {"start": 3, "end": 16, "label": "SET"}]
    docs, problems = read(tmp_path, nlp, {"text": TEXT, "spans": spans})
    assert tags(docs) == [["O", "B", "", "", "O", "O"]] and len(problems) == 1


def test_where_is_written_to(tmp_path: Path) -> None:
    source = tmp_path / "train.JSONL.gz"
    source.touch()
    (tmp_path / "corpus").mkdir()
    assert (
        spacy_file(tmp_path / "corpus", source) == tmp_path / "corpus" / "train.spacy"
    )
    assert spacy_file(tmp_path / "new.spacy", source) == tmp_path / "new.spacy"
    for name in ("new", "new.jsonl"):
        with pytest.raises(ValueError, match="neither a folder .* Name .*new.spacy"):
            spacy_file(tmp_path / name, source)
    (tmp_path / "train.spacy").touch()
    for target in ("train.spacy", "."):
        with pytest.raises(ValueError, match="is an input, and would be overwritten"):
            spacy_file(tmp_path / target, tmp_path / "train.spacy")
    with pytest.raises(ValueError, match="is an input, and would be overwritten"):
        check_output(tmp_path / "corpus" / ".." / source.name, None, source)
    check_output(tmp_path / "elsewhere", source)
    assert (stem(source), suffix_of(source)) == ("train", ".jsonl")


# Configs.


def test_readers_of_configs_have_an_encoding(nlp: Language, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"text": "Größe", "spans": [{"start": 0, "end": 5, "label": "SIZE"}]}
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="cp1252")
    with pytest.raises(
        ValueError, match="line 1: byte 13 of the file .0xF6.*`encoding`"
    ):
        list(build_few_shot_corpus_v1(path)(nlp))
    (example,) = build_few_shot_corpus_v1(path, encoding="cp1252")(nlp)
    assert example.reference.ents[0].text == "Größe"
    row["answer"] = "reject"
    path.write_text(json.dumps(row))
    with pytest.warns(
        UserWarning, match='1 texts of .*: the task has the answer "reject"'
    ):
        assert list(build_few_shot_corpus_v1(path)(nlp)) == []


def test_words_of_labels_have_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_bytes(b'\xef\xbb\xbf{"SIZE": "a size"}')
    assert read_words_v1(path) == {"SIZE": "a size"}
    path.write_text('{"SIZE": "Größe"}', encoding="cp1252")
    assert read_words_v1(path, "cp1252") == {"SIZE": "Größe"}
    with pytest.raises(ValueError, match="words.json, line 1: byte 13"):
        read_words_v1(path)
    path.write_text('{"SIZE": "a size",\n"PART" "a part"}')
    with pytest.raises(ValueError, match="words.json is not a JSON file: .* in line 2"):
        read_words_v1(path)
    with pytest.raises(OSError, match="There is no file"):
        read_words_v1(tmp_path / "none.json")
