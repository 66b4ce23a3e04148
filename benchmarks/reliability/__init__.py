"""What happens when things go wrong, and whether scores can be trusted."""
