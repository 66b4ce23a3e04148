"""What the project has measured of itself, and how: studies of few-shot F1, speed,
reliability, the base. The figures lie in `results`; pages.py makes tables of them."""
