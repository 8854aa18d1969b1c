"""Ways to damage a file."""
