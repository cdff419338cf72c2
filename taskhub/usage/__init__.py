"""Usage: pages, documents and credits of users, by time. Charts are drawn of it, without counting big tables."""
