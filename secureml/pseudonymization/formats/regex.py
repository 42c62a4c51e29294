"""The format ``regex``: what the groups of a pattern match is encrypted, the rest is kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import shake_256
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.alphabets import CLASS_SYMBOL, Alphabets, Codes, alphabets
from secureml.pseudonymization.domains import Index
from secureml.pseudonymization.formats.base import (
    NONE_SMALL,
    Format,
    Option,
    TooSmall,
    Transformed,
)
from secureml.pseudonymization.formats.patterns import folding_of
from secureml.pseudonymization.formats.pieces import (
    Flags,
    blanked,
    rows_with,
    transform_pieces,
    walked,
)
from secureml.pseudonymization.permutation import Permutation
from secureml.pseudonymization.templates import find_distinct, find_folded
from secureml.pseudonymization.text import Text
from secureml.pseudonymization.values import Values

__all__ = ["RegexFormat"]

_SAMPLES = 256
_AT_ONCE = 1 << 20  # characters of samples that are looked at together
_KEPT_INSIDE = 2 * CLASS_SYMBOL
"""Added, in a template, to a character in a group that is of no class."""

_TOKENS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<|\(\?|\(|\)[*+{]?|.", re.DOTALL)


class RegexFormat(Format):
    r"""What the groups of a pattern match keeps its classes; what is outside of them stays.

    A value is of the format if the whole of it matches. So is every pseudonym, with its groups in
    the same places: where a pattern tells characters of one class apart, as ``([1-4]\d{8})`` does,
    values are encrypted again and again until they match. How many of a class's strings match is
    estimated from 256 of them; where fewer than one in 256 do, the domain counts as too small.

    Args:
        pattern: in the syntax of Python's ``re``, with at least one group.

    Raises:
        PseudonymizationError: the pattern is none, or has no groups, or one that is in another
            one, or one that is repeated (of which only the last repetition would be encrypted).
    """

    name = "regex/1"
    takes = (Text,)

    def __init__(self, *, pattern: str = "") -> None:
        problem = None
        try:
            compiled = re.compile(pattern)
        except (re.error, TypeError, RecursionError, OverflowError):
            problem = "the pattern is not one that Python's re can compile"
        if problem is None:
            problem = _problem(compiled)
        if problem is not None:
            raise PseudonymizationError(problem)
        self._pattern, self._folding = compiled, folding_of(compiled)

    @property
    def options(self) -> Mapping[str, Option]:
        """The pattern."""
        return {"pattern": self._pattern.pattern}

    def transform(self, values: Values, permutation: Permutation) -> Transformed:
        """Permute every value among those of its template that match."""
        assert isinstance(values, Text)
        filled = np.flatnonzero(values.lengths)
        chosen, failed = self._groups(values)
        invalid = filled[failed[filled]]
        number, domains = self._domains(values, chosen, invalid)
        too_small = np.array([0 < domain < permutation.minimum for domain in domains], np.bool_)
        rows = np.flatnonzero(too_small[number])
        small = NONE_SMALL
        if len(rows):
            small = TooSmall(rows, min(domains[one] for one in np.flatnonzero(too_small)))
        hidden = np.union1d(invalid, rows)
        text = blanked(values, hidden)
        if len(hidden):
            chosen = np.delete(chosen, values.places(hidden))
        label = f"{self.name} {len(self._pattern.pattern)} {self._pattern.pattern}"

        def once(part: Text) -> Transformed:
            # While some values walk on, the others are empty.
            here = chosen
            if len(part.codes) != len(chosen):
                here = chosen[np.repeat(part.lengths > 0, text.lengths)]
            return transform_pieces(part, here, permutation, alphabets(), label)

        def outside(made: Text, rows: Index) -> Index:
            part, before = made, chosen
            if len(rows) < len(made):
                part = made.at(rows)
                before = chosen[text.places(rows)]
            found, failed = self._groups(part)
            failed[rows_with(part, found != before)] = True
            return rows[failed]

        made = walked(text, once, outside)
        used = [domain for domain in domains if domain >= permutation.minimum]
        return replace(made, small=small, invalid=invalid, domain=min(used, default=0))

    def _groups(self, text: Text) -> tuple[Flags, Flags]:
        """Return which characters of values are in groups, and which of the values fail."""
        if self._folding is None:
            return self._matched(text)
        distinct, number = find_folded(text, self._folding.table(text.codes))
        chosen, failed = self._matched(distinct)
        if number is None:
            filled = text.lengths > 0
            return np.tile(chosen, int(filled.sum())), filled & failed[0]
        flags = Text(chosen.view(np.uint8), distinct.offsets).at(number).codes.view(np.bool_)
        return flags, failed[number]

    def _matched(self, text: Text) -> tuple[Flags, Flags]:
        """Return the same for values that are read one by one."""
        count = self._pattern.groups + 1
        nothing = ((0, 0),) * count
        matches = map(self._pattern.fullmatch, text.strings())
        spans = [nothing if match is None else match.regs for match in matches]
        ends = chain.from_iterable(chain.from_iterable(spans))
        places = np.fromiter(ends, np.int64, 2 * count * len(text)).reshape(len(text), count, 2)
        failed: Flags = places[:, 0, 1] == 0
        bounds = np.maximum(places[:, 1:], 0) + text.offsets[:-1, None, None]
        size = len(text.codes) + 1
        depth = np.bincount(bounds[:, :, 0].ravel(), minlength=size)
        depth -= np.bincount(bounds[:, :, 1].ravel(), minlength=size)
        np.cumsum(depth, out=depth)
        failed[rows_with(text, depth[:-1] > 1)] = True
        return depth[:-1] > 0, failed

    def _domains(self, text: Text, chosen: Flags, invalid: Index) -> tuple[Index, list[int]]:
        """Number the templates of a column, and estimate how many values of each match."""
        table = alphabets()

        def seen(span: slice) -> Codes:
            codes = text.codes[span]
            classes = table.classes(table.skeletons(codes))
            inside = classes >= 0
            symbols = codes + (chosen[span] & ~inside) * np.uint32(_KEPT_INSIDE)
            inside &= chosen[span]
            np.maximum(symbols, inside * (classes.view(np.uint32) + CLASS_SYMBOL), out=symbols)
            return symbols

        flat, bounds, number = find_distinct(text.offsets, seen)
        if number is None:
            number = np.where(text.lengths > 0, 0, -1)
        number[invalid] = -1
        used = np.bincount(number[number >= 0], minlength=len(bounds) - 1) > 0
        domains = [
            self._domain(flat[start:end], table) if used[one] and end > start else 0
            for one, (start, end) in enumerate(pairwise(bounds.tolist()))
        ]
        return number, [*domains, 0]

    def _domain(self, template: NDArray[np.uint32], table: Alphabets) -> int:
        """Estimate how many values of a template match with their groups in the same places."""
        groups = template >= CLASS_SYMBOL
        places = np.flatnonzero(groups & (template < _KEPT_INSIDE))
        classes = (template[places] - CLASS_SYMBOL).astype(np.intp)
        sizes = table.sizes[classes]
        seed = shake_256(self._pattern.pattern.encode("utf-8", "surrogatepass"))
        seed.update(template.astype(">u4").tobytes())
        octets = seed.digest(4 * _SAMPLES * len(places))
        drawn = np.frombuffer(octets, ">u4").reshape(_SAMPLES, -1)
        kept = np.where(template < _KEPT_INSIDE, template, template - _KEPT_INSIDE)
        alike, step = 0, max(_AT_ONCE // len(template), 1)
        for some in (drawn[start : start + step] for start in range(0, _SAMPLES, step)):
            members = np.tile(kept, (len(some), 1))
            members[:, places] = table.codes(table.starts[classes] + some.astype(np.uint32) % sizes)
            offsets = np.arange(len(some) + 1) * len(template)
            chosen, failed = self._groups(Text(members.ravel(), offsets))
            fits = (chosen.reshape(len(some), -1) == groups).all(axis=1) & ~failed
            alike += int(fits.sum())
        size: int = math.prod(sizes.tolist())
        return max(size * alike // _SAMPLES, 1)


def _problem(pattern: re.Pattern[str]) -> str | None:
    """Return what stands against the groups of a pattern."""
    if isinstance(pattern.pattern, bytes):
        return "the pattern is to be text"
    if not pattern.groups:
        return "the pattern has no groups: what is to be encrypted goes in parentheses"
    opened: list[tuple[bool, bool]] = []  # of each open parenthesis: is it, does it hold a group
    for token in _TOKENS.findall(pattern.pattern):
        if token in ("(", "(?P<", "(?"):
            group = token != "(?"  # noqa: S105 - no password
            if group and any(is_group for is_group, _ in opened):
                return "a group of the pattern is inside of another one"
            opened.append((group, group))
        elif token[0] == ")" and opened:
            _, holds = opened.pop()
            if holds and token != ")":  # noqa: S105 - no password
                return "a group of the pattern is repeated: only the last one would be encrypted"
            if holds and opened:
                opened[-1] = (opened[-1][0], True)
    return None
