"""What browsers may do with the hub's own pages: the console's and the admin's."""

# No script and no style but the hub's own files, and nothing of another server's (CSP level 3).
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
