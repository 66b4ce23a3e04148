"""From prompts to answers: the grammar, and the search for likely answers under it."""
