"""Examples for training: corpora that draw few shots, and what is known of a text."""
