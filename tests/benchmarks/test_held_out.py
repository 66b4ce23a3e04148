"""What is found of held-out labels at every threshold."""

from benchmarks.held_out import THRESHOLDS, at_thresholds, by_source
from spacy_instructner.evaluation.predicted_texts import PredictedTexts


def test_every_threshold_has_its_counts() -> None:
    gold = [[(0, 3, "A"), (5, 8, "B")], []]
    spans = [
        # Right; of the wrong label; beside the border.
        [(0, 3, "A", 0.9), (5, 8, "A", 0.42), (4, 8, "B", 0.12)],
        [(1, 2, "A", 0.2)],
    ]
    rows = at_thresholds(PredictedTexts(gold, [[], []], spans, []))
    assert [row.threshold for row in rows] == list(THRESHOLDS)
    found = {
        row.threshold: (
            row.counts.right,
            row.counts.predicted,
            row.counts.annotated,
            row.whatever.right,
        )
        for row in rows
    }
    # The better of two that overlap stays.
    assert found[0.0] == found[0.2] == (1, 3, 2, 2)
    assert found[0.25] == found[0.4] == (1, 2, 2, 2)
    assert found[0.45] == found[0.6] == (1, 1, 2, 1)
    assert str(rows[-1]) == ("0.60: P 100.0 R 50.0 F1 66.7, F1 whatever the label 66.7")


def test_counts_of_each_source() -> None:
    gold = [[(0, 3, "A")], [(0, 3, "A")], [(5, 8, "B")]]
    spans = [[(0, 3, "A", 0.9)], [(0, 3, "A", 0.3)], [(5, 8, "A", 0.9)]]
    texts = PredictedTexts(gold, [[], [], []], spans, [])
    found = by_source(texts, ["news", "law", "news"], 0.5)
    counts = {name: (c.right, c.predicted, c.annotated) for name, c in found.items()}
    assert counts == {"law": (0, 0, 1), "news": (1, 2, 2)}
