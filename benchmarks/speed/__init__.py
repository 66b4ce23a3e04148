"""How fast it is, against what else there is. `make bench` measures all of it."""
