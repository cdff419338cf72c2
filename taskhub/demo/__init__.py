"""The demonstration: a hub in a temporary home, and visitors who try what it can by its client."""
