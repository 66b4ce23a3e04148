"""A project on disk: texts, labels, what models found, and what somebody decided.

journal.py writes events, project_state.py is what they add up to, project_folder.py checks
each event before it is written, imports.py reads texts, annotated_imports.py texts with what
is in them, and exporting.py writes examples.
Nothing here speaks HTTP or runs a model.
"""
