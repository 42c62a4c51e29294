from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.ciphers.integer_ff1 import IntegerFF1
from secureml.ciphers.small_domain import SmallDomainCipher
from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import Format, Transformed, resolve_format
from secureml.pseudonymization.formats.dates import DateFormat, DateTimeFormat
from secureml.pseudonymization.parsing.iso8601 import parse_moments
from secureml.pseudonymization.ranking.permutation import Permutation
from secureml.pseudonymization.ranking.pipeline import transform
from secureml.pseudonymization.values.numbers import Limits
from secureml.pseudonymization.values.timestamps import Days, Moments

if TYPE_CHECKING:
    from conftest import Lab

KEY = bytes(range(32))
INT64 = Limits(1 - (1 << 63), (1 << 63) - 1)
DATE, TIME = resolve_format("date", {}), resolve_format("datetime", {})
MILLENNIA = resolve_format("date", {"start": "0001-01-01", "end": "9999-12-31"})

dates = st.dates(date(1900, 1, 1), date(2099, 12, 31))
clocks = st.times()
offsets = st.sampled_from(["", "Z", "+00:00", "-00:00", "+05:30", "-11:00", "+23:59"])


@st.composite
def iso_times(draw: st.DrawFn) -> str:
    clock = draw(clocks)
    behind = draw(st.integers(0, 9))
    shown = clock.strftime("%H:%M" if draw(st.booleans()) else "%H:%M:%S")
    if behind and len(shown) > 5:
        shown += "." + f"{draw(st.integers(0, 10**behind - 1)):0{behind}d}"
    return f"{draw(dates)}{draw(st.sampled_from('T '))}{shown}{draw(offsets)}"


ISO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(:\d\d)?)(?<=:\d\d)((?<=:\d\d:\d\d)\.\d{1,9})?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII,
)


def is_date(text: str) -> bool:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return False
    return text == str(found) and date(1900, 1, 1) <= found <= date(2099, 12, 31)


def is_time(text: str) -> bool:
    match = ISO_TIME.fullmatch(text)
    if not match or not is_date(match[1]):
        return False
    hour, minute, *second = map(int, match[2].split(":"))
    return hour < 24 and minute < 60 and all(one < 60 for one in second)


@given(st.lists(dates.map(str) | st.text("0123456789-", max_size=11) | st.text(max_size=3)))
def test_dates_come_back_or_are_reported(lab: Lab, values: list[str]) -> None:
    for value, made in zip(values, lab.tried(DATE, values, tables=True), strict=True):
        assert (made is not None) == (value == "" or is_date(value))
        assert not made or is_date(made)


@given(st.lists(iso_times() | st.text("0123456789-:.TZ+ ", max_size=30) | st.text(max_size=3)))
def test_times_come_back_or_are_reported(lab: Lab, values: list[str]) -> None:
    for value, made in zip(values, lab.tried(TIME, values), strict=True):
        assert (made is not None) == (value == "" or is_time(value))
        if made:
            assert is_time(made)
            assert shape(made) == shape(value)


def shape(text: str) -> tuple[str, str]:
    """The places of digits, and the offset with its digits."""
    moment, offset = text, ""
    match = re.search(r"(Z|[+-]\d\d:\d\d)$", text[10:])
    if match:
        moment, offset = text[: 10 + match.start()], match[0]
    return re.sub(r"\d", "9", moment), offset


@pytest.mark.parametrize(
    "value",
    [
        "2025-02-29",
        "2025-00-01",
        "2025-13-01",
        "2025-01-00",
        "2025-04-31",
        "1899-12-31",
        "2100-01-01",
        "0000-01-01",
        "2025-1-01",
        "2025/01/01",
        "2025-01-0\u0661",
        "2025-01-01T00:00",
        "20250101",
        "2025-01-0\ud800",
    ],
)
def test_what_is_no_date(lab: Lab, value: str) -> None:
    assert lab.invalid(DATE, ["2024-02-29", value, ""]) == [value]
    assert lab.invalid(DATE, [value, "2024-02-29"], decrypt=True) == [value]


@pytest.mark.parametrize(
    "value",
    [
        "2025-01-01",
        "2025-01-01T24:00",
        "2025-01-01T23:60",
        "2025-01-01T23:59:60",
        "2025-01-01t12:00",
        "2025-01-01T12",
        "2025-01-01T12:00:00.",
        "2025-01-01T12:00:00.1234567890",
        "2025-01-01T12:00:00+24:00",
        "2025-01-01T12:00:00+01:60",
        "2025-01-01T12:00:00+0100",
        "2025-01-01T12:00:00 Z",
        "2025-01-01T12:00:00,5",
        "1899-12-31T23:59:59",
        "2100-01-01T00:00:00",
    ],
)
def test_what_is_no_time(lab: Lab, value: str) -> None:
    good = "2025-01-01T12:00:00"
    assert lab.invalid(TIME, [good, value, ""]) == [value]
    assert lab.invalid(TIME, [value, good], decrypt=True) == [value]


def test_a_century_of_days_is_too_small(lab: Lab) -> None:
    made = lab.transform(DATE, ["2024-02-29", "", "x", "2000-01-01"])
    assert made.small.rows.tolist() == [0, 3]
    assert made.small.domain == 73_049
    assert made.invalid.tolist() == [2]
    assert made.values.strings() == [""] * 4
    assert made.domain == 0


def test_every_day_has_its_own(lab: Lab) -> None:
    values = [str(date(1900, 1, 1) + timedelta(day)) for day in range(73_049)]
    made = lab.encrypted(DATE, values, tables=True)
    assert sorted(made) == values
    assert made != values


def test_ten_millennia_are_enough(lab: Lab) -> None:
    values = [str(date(1990, 1, 1) + timedelta(day)) for day in range(10_000)]
    values += ["0001-01-01", "9999-12-31"]
    made = lab.encrypted(MILLENNIA, values)
    assert len(set(made)) == len(made)
    assert all(date.fromisoformat(one) for one in made)
    assert lab.transform(MILLENNIA, values).domain == 3_652_059


def test_no_two_times_meet_and_they_are_even(lab: Lab) -> None:
    start = datetime(2020, 1, 1)
    values = [str(start + timedelta(seconds=one)) for one in range(100_000)]
    made = lab.encrypted(TIME, values)
    assert len(set(made)) == len(made)
    days = [(date.fromisoformat(one[:10]) - date(1900, 1, 1)).days * 10 // 73_049 for one in made]
    lab.even([str(one) for one in days])
    lab.even([one[-1] for one in made])
    lab.even([one[-4] for one in made])


WRITTEN = ["%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%y", "%y%m%d", "%%%Y %m %d"]


@pytest.mark.parametrize("pattern", WRITTEN)
def test_written_dates(lab: Lab, pattern: str) -> None:
    options = {"written": pattern, "start": "1969-01-01", "end": "2068-12-31"}
    form = resolve_format("date", dict(options))
    days = [date(1969, 1, 1) + timedelta(one) for one in range(0, 36_525, 7)]
    made = lab.encrypted(form, [one.strftime(pattern) for one in days], tables=True)
    found = [datetime.strptime(one, pattern).date() for one in made]
    assert [one.strftime(pattern) for one in found] == made
    iso = resolve_format("date", {"start": "1969-01-01", "end": "2068-12-31"})
    assert lab.encrypted(iso, [str(one) for one in days], tables=True) == [str(o) for o in found]
    assert lab.invalid(form, [days[0].strftime(pattern), "1/1/2000"]) == ["1/1/2000"]


@pytest.mark.parametrize("pattern", ["%d/%m/%Y %H:%M", "%Y%m%d%H%M%S", "%H:%M:%S.%f %d.%m.%Y"])
@given(moments=st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)), max_size=5))
def test_written_times(lab: Lab, pattern: str, moments: list[datetime]) -> None:
    form = resolve_format("datetime", {"written": [pattern]})
    made = lab.encrypted(form, [one.strftime(pattern) for one in moments])
    assert [datetime.strptime(one, pattern).strftime(pattern) for one in made] == made


def test_patterns_that_overlap_are_a_bijection_together(lab: Lab) -> None:
    options = {"written": ["%d/%m/%Y", "%m/%d/%Y"], "start": "2000-01-01", "end": "2001-12-31"}
    form = resolve_format("date", dict(options))
    days = [date(2000, 1, 1) + timedelta(one) for one in range(731)]
    values = sorted({one.strftime(p) for one in days for p in options["written"]})
    made = lab.encrypted(form, values, tables=True)
    assert sorted(made) == values


def moments(strings: list[str], unit: str, *, zoned: bool = False) -> Moments:
    ticks = np.array(strings, f"M8[{unit}]").view(np.int64)
    return (Days if unit == "D" else Moments).of(ticks, INT64, unit, zoned=zoned)


def column(form: Format, values: Moments, *, decrypt: bool = False) -> Transformed:
    permutation = Permutation(IntegerFF1(KEY), tables=SmallDomainCipher(KEY), decrypt=decrypt)
    return transform(form, values, permutation)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("resolution", "behind"),
    [("minute", -1), ("second", 0), ("millisecond", 3), ("microsecond", 6), ("nanosecond", 9)],
)
@given(data=st.data())
def test_columns_and_text_have_the_same_pseudonyms(
    lab: Lab, unit: str, resolution: str, behind: int, data: st.DataObject
) -> None:
    form = resolve_format("datetime", {"resolution": resolution})
    texts = []
    for moment in data.draw(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)))):
        text = moment.strftime("%Y-%m-%dT%H:%M" if behind < 0 else "%Y-%m-%dT%H:%M:%S")
        if behind > 0:
            text += f".{moment.microsecond:06d}789"[: behind + 1]
        texts.append(text)
    if behind > {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]:
        with pytest.raises(PseudonymizationError, match="dtype does not hold"):
            column(form, moments(texts, unit))
        return
    values = moments(texts, unit)
    made = column(form, values)
    assert not len(made.invalid)
    assert isinstance(made.values, Moments)
    assert moments(lab.encrypted(form, texts), unit).ticks.tolist() == made.values.ticks.tolist()
    back = column(form, made.values, decrypt=True).values
    assert isinstance(back, Moments)
    assert back.ticks.tolist() == values.ticks.tolist()


def test_moments_between_steps_or_outside_are_reported() -> None:
    values = ["2020-01-01T00:00:00.5", "1899-12-31T23:59:59", "2100-01-01", "2020-01-01T00:00"]
    made = column(TIME, moments(values, "ms"))
    assert made.invalid.tolist() == [0, 1, 2]
    assert made.domain == 6_311_433_600
    made = column(DATE, moments(values, "us"))
    assert made.invalid.tolist() == [0, 1, 2]


def test_a_time_zone_is_bound_and_instants_are_like_text_with_z(lab: Lab) -> None:
    text = "2020-01-01T00:00:00"
    naive, zoned = (column(TIME, moments([text], "s", zoned=one)).values for one in (False, True))
    assert lab.encrypted(TIME, [text, text + "Z", text + "+00:00", text + "+01:00"])[:3] == [
        naive.strings()[0],
        zoned.strings()[0],
        zoned.strings()[0].replace("Z", "+00:00"),
    ]
    made = lab.encrypted(TIME, [text, text + "Z", text + "+01:00", text + "-01:00"])
    assert len({one[:19] for one in made}) == 4
    with pytest.raises(PseudonymizationError, match="no time zone"):
        column(DATE, moments([text], "s", zoned=True))


def test_days(lab: Lab) -> None:
    texts = ["2020-02-29", "1900-01-01", "2099-12-31"]
    made = column(DATE, moments(texts, "D")).values
    assert type(made) is Days
    assert made.strings() == lab.encrypted(DATE, texts, tables=True)
    midnights = column(DATE, moments(texts, "ns")).values
    assert [one[:10] for one in midnights.strings()] == made.strings()
    assert type(midnights) is Moments


def test_small_ranges_of_columns() -> None:
    form = resolve_format("datetime", {"start": "2020-01-01", "end": "2020-01-02"})
    values = moments(["2020-01-01T00:00:00", "2020-01-03"], "s")
    made = transform(form, values, Permutation(IntegerFF1(KEY)))
    assert made.small.rows.tolist() == [0]
    assert made.small.domain == 172_800
    assert made.invalid.tolist() == [1]
    assert made.values.strings() == ["1970-01-01T00:00:00"] * 2


def test_a_range_that_the_type_does_not_hold() -> None:
    form = resolve_format("datetime", {"start": "1600-01-01"})
    with pytest.raises(PseudonymizationError, match="whole range"):
        column(form, moments(["2020-01-01"], "ns"))
    assert not len(column(form, moments(["2020-01-01"], "us")).invalid)


def test_a_range_with_too_many_moments(lab: Lab) -> None:
    form = resolve_format("datetime", {"start": "0001-01-01", "end": "9999-12-31"})
    lab.encrypted(form, ["0001-01-01T00:00:00", "9999-12-31 23:59:59.999999"])
    with pytest.raises(PseudonymizationError, match=r"2\*\*64 moments of 9 digits"):
        lab.transform(form, ["2020-01-01T00:00:00.123456789"])
    narrower = resolve_format("datetime", {"start": "1600-01-01", "end": "2100-12-31"})
    lab.encrypted(narrower, ["1600-01-01T00:00:00.000000000", "2100-12-31T23:59:59.999999999"])


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("date", {"start": "1900"}, "start="),
        ("date", {"start": 19000101}, "start="),
        ("date", {"end": "2099-12-31T00:00:00"}, "end="),
        ("date", {"start": "2000-01-01", "end": "2000-01-01"}, "before"),
        ("date", {"written": "%d.%m.%Y %H:%M"}, "no time"),
        ("date", {"written": "%d.%m"}, "%Y"),
        ("date", {"written": "%d.%m.%Y %y"}, "%y"),
        ("date", {"written": "%d.%m.%y"}, "1969"),
        ("date", {"written": "%d %b %Y"}, "'%b'"),
        ("date", {"written": "%d.%d.%Y"}, "twice"),
        ("date", {"written": "%d.%m.%Y%"}, "'%'"),
        ("date", {"written": "%d年%m%Y"}, "not supported"),
        ("date", {"written": []}, "pattern"),
        ("date", {"written": [1]}, "pattern"),
        ("date", {"written": 5}, "pattern"),
        ("datetime", {"written": "%Y-%m-%d"}, "no time"),
        ("datetime", {"written": "%Y-%m-%d %H"}, "%M is missing"),
        ("datetime", {"written": "%Y-%m-%d %M"}, "%H is missing"),
        ("datetime", {"written": "%Y-%m-%d %H:%M.%f"}, "%S is missing"),
        ("datetime", {"resolution": "day"}, "resolution="),
        ("datetime", {"resolution": None}, "resolution="),
        ("datetime", {"start": "2000-01-01T00:00:00Z"}, "start="),
        ("datetime", {"start": "2000-01-01T00:00:00.5"}, "start="),
        ("datetime", {"end": None}, "end="),
    ],
)
def test_options_that_are_refused(name: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(PseudonymizationError, match=problem) as caught:
        resolve_format(name, options)
    assert caught.value.__context__ is None


def test_options_are_kept_and_make_the_format_again() -> None:
    assert DATE.options == {"start": "1900-01-01", "end": "2099-12-31", "written": None}
    form = resolve_format("datetime", {"end": "2020-06-01", "written": "%Y%m%d%H%M"})
    assert form.options == {
        "start": "1900-01-01T00:00:00",
        "end": "2020-06-01T23:59:59",
        "resolution": "second",
        "written": ["%Y%m%d%H%M"],
    }
    assert resolve_format("datetime", form.options).options == form.options


def test_tweaks_of_rows_and_wide_text(lab: Lab) -> None:
    lab.unlinkable(TIME, "2020-01-01T00:00:00")
    lab.unlinkable(MILLENNIA, "2020-01-01")
    value = "2020-01-01 00:00"
    assert lab.encrypted(TIME, [value], wide=True) == lab.encrypted(TIME, [value])


@given(st.data(), st.sampled_from(["D", "s", "ms", "us", "ns"]), st.booleans())
def test_moments_are_read_as_they_are_written(data: st.DataObject, unit: str, zoned: bool) -> None:
    zoned = zoned and unit != "D"
    limit = (
        2_900_000 if unit == "D" else 9 * 10**9 * 10 ** {"s": 0, "ms": 3, "us": 6, "ns": 9}[unit]
    )
    least = -719_162 if unit == "D" else -limit
    ticks = np.array(data.draw(st.lists(st.integers(least, limit))), np.int64)
    made = Moments.of(ticks, INT64, unit, zoned=zoned)
    read = parse_moments(made, made.strings())
    assert read.ticks.tolist() == ticks.tolist()
    assert (read.unit, read.zoned) == (unit, zoned)


def test_moments_with_offsets_are_instants() -> None:
    like = moments(["2020-01-01"], "ms", zoned=True)
    texts = ["2020-01-01 01:30:00+01:30", "2019-12-31T23:00:00.000000-01:00", "2020-01-01 00:00Z"]
    assert parse_moments(like, texts).ticks.tolist() == [like.ticks[0]] * 3


@pytest.mark.parametrize("text", ["", "2020", "2020-01-01T00:00Z", "2020-01-01 00:00:00.0001", "é"])
def test_text_that_is_no_moment_of_a_column(text: str) -> None:
    with pytest.raises(PseudonymizationError, match="1 values are not moments"):
        parse_moments(moments([], "ms"), ["2020-01-01", text])


def test_golden_values(lab: Lab) -> None:
    assert lab.encrypted(DATE, ["2020-02-29", "1900-01-01"], tables=True) == GOLDEN[:2]
    assert lab.encrypted(MILLENNIA, ["2020-02-29"]) == GOLDEN[2:3]
    assert lab.encrypted(TIME, TIMES) == GOLDEN[3:]


TIMES = [
    "2020-02-29T12:30",
    "2020-02-29 12:30:45",
    "2020-02-29T12:30:45.123",
    "2020-02-29T12:30:45.123456789Z",
    "2020-02-29T12:30:45-08:00",
]
GOLDEN = [
    "1914-12-09",
    "2099-02-05",
    "2286-11-08",
    "1969-11-21T20:58",
    "2030-06-20 02:21:18",
    "1998-01-20T19:19:00.196",
    "1909-07-13T20:09:29.350809815Z",
    "1951-08-31T09:16:48-08:00",
]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (["%d/%m/%Y", "%m/%d/%Y"], "12/31/2020"),
        (["%m/%d/%Y", "%d/%m/%Y"], "31/12/2020"),
        (["%d/%m/%Y", "%m-%d-%Y"], "12-31-2020"),
        (["%d%m%Y", "%Y%m%d", "%Y%d%m"], "19003112"),
    ],
)
def test_a_date_that_a_pattern_before_reads_is_no_member(lab, written, text) -> None:
    form = DateFormat(written=written)
    here = [one for one in written if len(one) == len(written[-1])]
    days = [date(1900, 1, 1) + timedelta(number) for number in range(73_049)]

    def reads(pattern: str, text: str) -> bool:
        try:
            return 1900 <= datetime.strptime(text, pattern).year <= 2099
        except ValueError:
            return False

    own = [
        one
        for day in days
        for one in [day.strftime(written[-1])]
        if not any(reads(pattern, one) for pattern in here[:-1])
    ]
    assert lab.transform(form, [text], tables=True).domain == len(own)


def test_a_list_of_patterns_that_leaves_too_few_is_refused_and_recovered(lab) -> None:
    form = DateFormat(start="0001-01-01", end="3000-12-31", written=["%d/%m/%Y", "%m/%d/%Y"])
    refused = lab.transform(form, ["12/31/2020"])
    days = range(1, date(3000, 12, 31).toordinal() + 1)
    assert refused.small.domain == sum(date.fromordinal(day).day > 12 for day in days)
    back = lab.transform(form, ["12/31/2020"], decrypt=True)
    assert not len(back.small.rows)


def test_moments_of_a_list_of_patterns_are_counted_up_to_the_minimum(lab) -> None:
    form = DateTimeFormat(written=["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"])
    (pseudonym,) = lab.encrypted(form, ["12/31/2020 10:30"])
    assert int(pseudonym[3:5]) > 12
    assert lab.transform(form, ["12/31/2020 10:30"]).domain >= 1_000_000
