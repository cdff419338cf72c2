"""The demonstration: a hub in a temporary home, and a visitor who tries what it can, a chapter at a time."""
