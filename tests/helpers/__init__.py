"""What several files of tests need: tiny models, texts, small pipelines."""

import pytest

# An assertion of a helper says what it compared, as one of a test does.
pytest.register_assert_rewrite(__name__)
