"""Annotated files: from bytes to text, to rows, to Docs. Nothing here needs torch."""
