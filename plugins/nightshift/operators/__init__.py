"""Tasks that need more than a function."""
