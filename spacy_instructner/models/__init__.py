"""Language models as the search and training use them: attention, caches, adapters."""
