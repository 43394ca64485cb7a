"""Tables of the space groups, and the program that writes them."""
