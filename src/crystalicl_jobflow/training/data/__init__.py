"""What models learn from: crystals, mixtures, instructions, batches."""
