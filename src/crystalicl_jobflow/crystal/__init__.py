"""What is true of any crystal: space groups, Wyckoff positions, symmetry, lattices."""
