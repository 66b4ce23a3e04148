"""Data sets of Hugging Face's `datasets`, from and to annotated Docs."""
