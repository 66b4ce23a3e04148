"""Where things lie: the project, its data set, and what others have to be tested with."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Real data sets, which do not come with the project.
SHARED = Path(
    os.environ.get("SPACY_INSTRUCTNER_DATA") or ROOT.parent / "shared" / "data"
)
