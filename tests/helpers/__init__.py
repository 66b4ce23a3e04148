"""What several files of tests need: tiny models, texts, small pipelines."""

from pathlib import Path

import pytest

# An assertion of a helper says what it compared, as one of a test does.
pytest.register_assert_rewrite(
    *(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("[!_]*.py"))
)
