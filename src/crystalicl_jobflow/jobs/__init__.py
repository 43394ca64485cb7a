"""One Maker per step."""
