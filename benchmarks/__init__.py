"""How fast it is, against what else there is. `make bench` runs all of it."""
