"""Text for people: names of strangers made visible, p-values as numbers and as words."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

_IGNORABLE = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164), (0xFE00, 0xFE0D)),
    *((0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)),
)
"""First and last of the letters that are printable but invisible: those that the Unicode standard (chapter 5.21) calls
default ignorable, without the two that choose between text and emoji."""

_STARTS = [first for first, _ in _IGNORABLE]

LEAST = -38
"""log10 of the least p-value that is told: a secret of 128 bits has no more to give."""

_LARGE = ((9, "billion"), (6, "million"))


def plain(text: str) -> str:
    """Text with all that is not a visible letter, a space or a line break written as Python writes it.

    >>> plain("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_plain, text))


def _plain(letter: str) -> str:
    return letter if letter == "\n" or _is_visible(letter) else letter.encode("unicode_escape").decode()


def _is_visible(letter: str) -> bool:
    if letter.isprintable():
        place = bisect_right(_STARTS, ord(letter)) - 1
        return place < 0 or ord(letter) > _IGNORABLE[place][1]
    return unicodedata.category(letter) == "Zs"  # other spaces than the usual one


def shown(text: object) -> str:
    """As :func:`plain`, on one line: a name with a line break must not look like two lines."""
    return plain(str(text)).replace("\n", "\\n")


def p_text(log10_p: float) -> str:
    """A p-value from its logarithm, which does not underflow.

    >>> p_text(-11.51), p_text(-400.2), p_text(-0.37)
    ('3.1e-12', '6.3e-401', '0.43')
    """
    if not log10_p < -2:  # or not a number
        return f"{10**log10_p:.2g}"
    exponent = math.floor(log10_p)
    mantissa = f"{10 ** (log10_p - exponent):.1f}"
    return f"1.0e{exponent + 1}" if mantissa == "10.0" else f"{mantissa}e{exponent}"


def p_bound(log10_p: float) -> str:
    """As :func:`p_text`, but nothing below what a secret has to give.

    >>> p_bound(-11.51), p_bound(-60)
    ('3.1e-12', '< 1e-38')
    """
    return p_text(log10_p) if log10_p >= LEAST else f"< 1e{LEAST}"


def chance(log10_p: float) -> str:
    """A p-value for those who read no powers of ten, rounded so that it is never too small.

    >>> chance(-0.1), chance(-1.3), chance(-7.52), chance(-40)
    ('4 in 5', '1 in 19', '1 in 33 million', 'less than 1 in a billion billion')
    """
    if not log10_p < -1:
        return f"{math.ceil(10 ** (min(log10_p, 0.0) + 1) / 2)} in 5"
    if log10_p <= -18:
        return "less than 1 in a billion billion"
    if log10_p <= -12:
        return "less than 1 in a thousand billion"
    odds = math.floor(10**-log10_p)
    power, word = next(((power, word) for power, word in _LARGE if odds >= 10**power), (0, ""))
    number = _two_digits(odds // 10**power)
    return f"1 in {number:,} {word}".replace(",", " ").rstrip()


def _two_digits(number: int) -> int:
    """The first two digits, the others zero: downwards."""
    unit = 10 ** max(len(str(number)) - 2, 0)
    return number // unit * unit


def pose_text(pose: Mapping[str, Any] | None, box: object = None) -> str | None:
    """What had to be undone to find the mark, as a sentence; None where nothing had.

    >>> pose_text({"mirror": True, "angle": 30.2, "scale": 1.0, "aspect": 1.0, "shift": [0.0, 0.0]})
    'Found mirrored, turned by 30 degrees.'
    """
    if box is not None:
        return "Found within its borders."
    if pose is None:
        return None
    parts = ["mirrored"] if pose["mirror"] else []
    if abs(pose["angle"]) >= 0.5:
        parts.append(f"turned by {pose['angle']:.0f} degrees")
    if abs(pose["aspect"] - 1) >= 0.03:
        parts.append(f"made {abs(pose['aspect'] - 1):.0%} {'wider' if pose['aspect'] > 1 else 'narrower'}")
    if abs(pose["scale"] - 1) >= 0.02:
        parts.append(f"{'enlarged' if pose['scale'] > 1 else 'shrunk'} to {pose['scale']:.0%}")
    if max(map(abs, pose["shift"])) >= 0.01:
        parts.append("moved")
    return f"Found {', '.join(parts)}." if parts else None
