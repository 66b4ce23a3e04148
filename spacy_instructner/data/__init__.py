"""Examples for training: corpora that draw few shots, augmentation, and checks of data."""
