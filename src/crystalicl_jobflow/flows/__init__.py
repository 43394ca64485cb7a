"""Flow Makers that compose the steps."""
