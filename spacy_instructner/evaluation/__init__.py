"""How good predictions are, and how far scores can be trusted."""
