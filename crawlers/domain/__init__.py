"""Values and decisions of crawlers: their parameters, the lines that they send, what a status means. Pure."""
