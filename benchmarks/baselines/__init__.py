"""Other ways of learning from the same shots, as functions for `bench` methods: see
`spacy_instructner.fewshot.runs.Fit`. Those that are training configs of spaCy's lie in
configs/baselines."""
