"""Text generators, sampling and constrained decoding."""
