"""Training data: crystals, mixtures, instructions, batches."""
