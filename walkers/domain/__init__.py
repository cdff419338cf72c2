"""What a walk is, apart from where it is stored. Pure."""
