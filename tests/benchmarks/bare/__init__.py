"""The floor: the least that a Django project does for the same calls, with the same libraries, servers and settings.

Nothing here knows taskhub. Tokens are REST framework's `authtoken`: cheaper than knox, which hashes what it is sent and
looks for the user in a second query.
"""
