"""Tables that ship with the energies, and the scripts that make them."""
