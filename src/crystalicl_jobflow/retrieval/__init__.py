"""The demonstration index and the selection strategies."""
