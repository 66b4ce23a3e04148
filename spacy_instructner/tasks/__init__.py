"""What is asked: a module for each published method, and what they share."""
