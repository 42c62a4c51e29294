from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.pseudonymization.formats import Format, Reading, Transformed, resolve_format
from secureml.pseudonymization.ranking import pipeline, threads
from secureml.pseudonymization.ranking.permutation import Permutation, RowTweaks
from secureml.pseudonymization.ranking.pipeline import _find_repeats, few_distinct
from secureml.pseudonymization.values.numbers import Limits, WholeNumbers

ROWS = 1 << 15
RANDOM = np.random.default_rng(0)
LIMITS = Limits(-(2**63), 2**63 - 1)


def column(distinct: int, *, minus: bool = False, lowest: int = 10**8) -> WholeNumbers:
    known = RANDOM.integers(lowest, 10**9, distinct).astype(np.uint64)
    return WholeNumbers(RANDOM.choice(known, ROWS), np.full(ROWS, minus), LIMITS)


def permutation(*, tables: bool = False, tweaks: RowTweaks | None = None) -> Permutation:
    cipher = SmallDomainCipher(bytes(32)) if tables else None
    return Permutation(IntegerFF1(bytes(32)), tables=cipher, row_tweaks=tweaks)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many values the format was given, by call."""
    given: list[int] = []
    form = type(resolve_format("integer", {}))
    plain = form.read

    def counted(self: Format, values: WholeNumbers, *, decrypt: bool) -> Iterable[Reading]:
        given.append(len(values))
        return plain(self, values, decrypt=decrypt)

    monkeypatch.setattr(form, "read", counted)
    monkeypatch.setattr(threads, "cores", lambda: 1)
    return given


def each_row(form: Format, values: WholeNumbers, permutation: Permutation) -> Transformed:
    """Transform every row, whether or not its value repeats."""
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(pipeline, "_find_repeats", lambda values: None)
        return pipeline.transform(form, values, permutation)


@pytest.mark.parametrize("minus", [False, True])
@pytest.mark.parametrize("tables", [False, True])
def test_distinct_numbers_are_transformed_once_and_as_all_of_them_are(calls, minus, tables):
    values, form = column(300, minus=minus), resolve_format("integer", {})
    whole = each_row(form, values, permutation(tables=tables))
    made = pipeline.transform(form, values, permutation(tables=tables))
    assert calls == [ROWS, len(np.unique(values.magnitudes))]
    assert made.values.strings() == whole.values.strings()
    assert (made.domain, made.small.domain) == (whole.domain, whole.small.domain)


def test_what_is_reported_is_reported_for_every_row():
    values = column(300, lowest=1)
    values.magnitudes[RANDOM.choice(ROWS, 100)] = 77
    form = resolve_format("integer", {"minimum": 10**8, "maximum": 10**9})
    whole = each_row(form, values, permutation())
    made = pipeline.transform(form, values, permutation())
    assert len(whole.invalid) > 100
    assert made.invalid.tolist() == whole.invalid.tolist()
    plain = resolve_format("integer", {})
    small = each_row(plain, values, permutation()).small
    found = pipeline.transform(plain, values, permutation()).small
    assert len(small.rows) >= 90
    assert (found.rows.tolist(), found.domain) == (small.rows.tolist(), small.domain)


def test_nothing_is_put_together_where_it_would_not_pay_or_not_be_the_same(calls):
    form = resolve_format("integer", {})
    distinct = WholeNumbers(
        np.arange(10**8, 10**8 + ROWS, dtype=np.uint64), np.zeros(ROWS, bool), LIMITS
    )
    assert _find_repeats(distinct) is None
    few = column(300)
    assert _find_repeats(few) is not None
    assert _find_repeats(few.at(slice(0, 1000))) is None
    few.negative[::2] = True
    assert _find_repeats(few) is None
    tweaks = RowTweaks([b"a", b"b"], np.arange(ROWS) % 2)
    pipeline.transform(form, column(300), permutation(tweaks=tweaks))
    assert calls == [ROWS]


def test_a_sample_that_misleads_costs_time_and_nothing_else():
    values = column(10 * ROWS)
    values.magnitudes[::2] = 10**8  # meets itself at every other place, and all others are distinct
    assert few_distinct(ROWS, lambda rows: len(np.unique(values.magnitudes[rows])))
    assert _find_repeats(values) is None


@pytest.mark.parametrize("period", [4000, 4096, ROWS // 5])
def test_values_that_come_again_after_a_period_are_few(period):
    magnitudes = np.arange(ROWS, dtype=np.uint64) % np.uint64(period)
    assert _find_repeats(WholeNumbers(magnitudes, np.zeros(ROWS, bool), LIMITS)) is not None
