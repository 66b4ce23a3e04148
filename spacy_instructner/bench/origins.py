"""Where records come from: machines and versions."""

import json
from collections.abc import Sequence

from .cells import Record
from .page import Block, Table


def origins(records: Sequence[Record]) -> list[Block]:
    """A column for each machine with its versions, and what was measured there; a
    warning where there are several."""
    found: dict[str, list[Record]] = {}
    for record in records:
        key = json.dumps(record["machine"], sort_keys=True)
        found.setdefault(key, []).append(record)
    machines = [own[0]["machine"] for own in found.values()]
    names = list(dict.fromkeys(name for machine in machines for name in machine))
    rows: list[list[object]] = [
        [name, *(machine.get(name, "") for machine in machines)] for name in names
    ]
    rows.append(["cells", *map(len, found.values())])
    methods = [dict.fromkeys(r["method"] for r in own) for own in found.values()]
    rows.append(["methods", *map(", ".join, methods)])
    header = ["what", *(f"machine {at}" for at in range(1, len(machines) + 1))]
    table = Table(header, rows)
    differ = [n for n in names if len({str(m.get(n)) for m in machines}) > 1]
    if not differ:
        return [table]
    mixed = (
        f"Not everything was measured alike. What differs: {', '.join(differ)}. "
        "Seconds do not compare across these columns, and F1 may differ a little."
    )
    return [mixed, table]
