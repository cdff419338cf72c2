"""The language of sequences: how it is written, what it means, and how it is carried out. Pure."""
