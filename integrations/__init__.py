"""spacy-instructner inside of annotation tools. It is no part of the wheel: a copy of the
project has it, and `README.md` says how each part is started."""
