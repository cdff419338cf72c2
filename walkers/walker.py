"""The class that authors of walkers extend: `from walkers.walker import Walker`. `docs/walkers.md` teaches it."""

from walkers.authoring.walker import Walker

__all__ = ["Walker"]
