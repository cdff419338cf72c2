"""KSUIDs: the ids of extraction tasks and processes, which sort by the second of their making.

A KSUID is 20 bytes, written as 27 digits in base 62: a big-endian count of seconds since `EPOCH`, then 128 random bits
(segmentio/ksuid, which defined them). The packages for them have no wheel for every platform.
"""

EPOCH = 1_400_000_000  # seconds since 1970
RANDOM_BYTES = 16
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 27


def ksuid(seconds: int, random: bytes) -> str:
    """Makes a KSUID of a time, in seconds since 1970, and 16 random bytes."""
    number = int.from_bytes((seconds - EPOCH).to_bytes(4, "big") + random, "big")
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, len(DIGITS))
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
