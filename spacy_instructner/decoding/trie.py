"""A trie of token ids: the words of labels, by their beginnings. Source: ours."""

from collections.abc import Sequence

from .answers import Ids


class Trie:
    """The ways to write each of some labels.

    children: of each node, the next node by token id; label: of each node, the index of
    the label that ends there, -1 where none does. Node 0 is the root.

        "location", "local event"      0 ──"loc"──► 1 ──"ation"──► 2  label 0
                                                    └──"al"──► 3 ──"event"──► 4  label 1
    """

    def __init__(self, labels: Sequence[tuple[str, Ids]]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.label: list[int] = [-1]
        for index, (_, ids) in enumerate(labels):
            node = 0
            for token in ids:
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    self.label.append(-1)
                node = self.children[node][token]
            self.label[node] = index
