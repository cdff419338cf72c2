"""An external crawler to try things with: see docs/external-crawler.md."""
