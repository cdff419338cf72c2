"""Public suffixes: domains below which names belong to different people, such as `com`, `co.uk` and `github.io`.

They are those of Mozilla's Public Suffix List, as it was when the library that brings it was released.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # reads the list, which takes some time


def is_public_suffix(domain: str) -> bool:
    """Whether a domain, in lower case and ASCII, is a public suffix. One without a dot always is."""
    return "." not in domain or _suffixes().publicsuffix(domain) == domain
