"""Tables of the constraint: where written coordinates land."""
