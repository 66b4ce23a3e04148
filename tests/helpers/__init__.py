"""What several files of tests need: tiny models, texts, small pipelines."""
