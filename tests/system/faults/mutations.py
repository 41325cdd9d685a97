"""Random changes of valid bytes, the same for the same seed."""

from collections.abc import Iterator, Sequence
from random import Random

_STEPS = 6
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)


def mutated(seed: int, count: int, good: Sequence[bytes], tokens: Sequence[bytes]) -> Iterator[bytes]:
    """Yield `count` variants of valid bytes.

    Args:
        seed: of the random numbers.
        count: how many.
        good: bytes that a parser accepts.
        tokens: bytes with a meaning to the parser, which are inserted anywhere.
    """
    random = Random(seed)
    for _ in range(count):
        data = bytearray(random.choice(good))
        for _ in range(random.randint(1, _STEPS)):
            _change(data, random, good, tokens)
        yield bytes(data)


def pieces(data: bytes, random: Random) -> list[bytes]:
    """Cut bytes at a few random places."""
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randint(1, 5)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _change(data: bytearray, random: Random, good: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    place = random.randrange(len(data) + 1)
    end = min(len(data), place + random.randint(1, 16))
    kind = random.randrange(7)
    if kind == 0 and data:
        data[place % len(data)] ^= 1 << random.randrange(8)
    elif kind == 1:
        data[place:end] = b""
    elif kind == 2:
        data[place:place] = random.choice(tokens)
    elif kind == 3:
        data[place:end] = random.choice(tokens)
    elif kind == 4:
        data[place:place] = data[place:end] * random.randint(1, 4)
    elif kind == 5:
        size = random.choice((1, 2, 4, 8))
        number = random.choice(_NUMBERS) % (1 << 8 * size)
        data[place : place + size] = number.to_bytes(size, random.choice(("big", "little")))
    else:
        other = random.choice(good)
        start = random.randrange(len(other) + 1)
        data[place:] = other[start:]
