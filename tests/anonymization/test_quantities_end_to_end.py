"""Columns of numbers, moments and identifiers, through files and back."""

from __future__ import annotations

import io
from datetime import UTC, date, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dateutil import tz

from secureml import anonymize, reidentify, rekey
from secureml.errors import DomainTooSmallError, InvalidValueError, PseudonymizationError
from secureml.frames.pandas import PandasColumn
from secureml.key_management import KeyManager

NAIVE = pd.to_datetime(["2020-02-29 12:30:45", None, "1999-12-31 23:59:59", "2020-02-29 12:30:45"])
DATES = [date(2020, 2, 29), None, date(1900, 1, 1), date(2020, 2, 29)]
MONEY = [Decimal("12.50"), None, Decimal("-0.99"), Decimal("12.50")]
FLOATS = [12.5, None, -0.99, 12.5]


def arrow(values: list[Any], arrow_type: pa.DataType) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, arrow_type)))


def moments() -> pd.DataFrame:
    units = {unit: NAIVE.as_unit(unit) for unit in ("s", "ms", "us", "ns")}
    python = [None if pd.isna(one) else one.to_pydatetime() for one in NAIVE]
    return pd.DataFrame(
        {
            **units,
            "zoned": NAIVE.tz_localize("Europe/Berlin"),
            "arrow": arrow(python, pa.timestamp("us")),
            "arrow zoned": arrow(python, pa.timestamp("ns", "America/New_York")),
            "date32": arrow(DATES, pa.date32()),
            "date64": arrow(DATES, pa.date64()),
        }
    )


def numbers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "float64": pd.Series(FLOATS, dtype="float64"),
            "float32": pd.Series(FLOATS, dtype="float32"),
            "Float64": pd.Series(FLOATS, dtype="Float64"),
            "double": pd.Series(FLOATS, dtype="double[pyarrow]"),
            "decimal128": arrow(MONEY, pa.decimal128(12, 2)),
            "decimal256": arrow(MONEY, pa.decimal256(40, 2)),
            "python": pd.Series(MONEY, dtype=object),
        }
    )


RANGE = {"scale": 2, "minimum": "-9999.99", "maximum": "9999.99"}


def how(frame: pd.DataFrame, **policies: str) -> dict[str, Any]:
    """Tell how the columns of moments or of numbers are pseudonymized."""
    chosen = {"sensitive_columns": list(frame.columns), **policies}
    if "python" in frame.columns:
        chosen["formats"] = dict.fromkeys(frame.columns, "decimal")
        chosen["options"] = dict.fromkeys(frame.columns, RANGE)
    return chosen


BOTH = pytest.mark.parametrize("frame", [moments(), numbers()], ids=["moments", "numbers"])


@BOTH
def test_dtypes_and_nulls_stay_and_values_come_back(
    manager: KeyManager, frame: pd.DataFrame
) -> None:
    before = frame.copy(deep=True)
    made = anonymize(frame, key_manager=manager, **how(frame, small_domain="permute"))
    assert made.dtypes.equals(frame.dtypes)
    assert made.isna().equals(frame.isna())
    for name in frame.columns:
        assert made[name][0] == made[name][3]
        assert made[name][0] != frame[name][0]
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


@BOTH
def test_quantities_are_rekeyed_and_keep_their_dtypes(
    manager: KeyManager, frame: pd.DataFrame
) -> None:
    made = anonymize(frame, key_manager=manager, **how(frame, small_domain="permute"))
    moved = rekey(made, "other_key", key_manager=manager)
    assert moved.dtypes.equals(frame.dtypes)
    assert all(moved[name][0] != made[name][0] for name in frame.columns)
    pd.testing.assert_frame_equal(reidentify(moved, key_manager=manager), frame)


@BOTH
@pytest.mark.parametrize("strings", [True, False])
def test_quantities_are_recovered_through_csv(
    manager: KeyManager, frame: pd.DataFrame, strings: bool
) -> None:
    made = anonymize(frame, key_manager=manager, **how(frame, small_domain="permute"))
    text = io.StringIO(made.to_csv(index=False))
    naive = [name for name in frame.columns if name in ("s", "ms", "us", "ns", "date32")]
    options: dict[str, Any] = {"dtype": str} if strings else {"parse_dates": naive}
    read = pd.read_csv(text, **options)
    back = reidentify(read, made.attrs["secureml"], key_manager=manager)
    pd.testing.assert_frame_equal(back, frame)


@BOTH
def test_through_parquet(manager: KeyManager, frame: pd.DataFrame, tmp_path: Path) -> None:
    if pd.__version__.startswith("2."):  # which writes decimal256 and can't read it again
        frame = frame.drop(columns="decimal256", errors="ignore")
    made = anonymize(frame, key_manager=manager, **how(frame, small_domain="permute"))
    made.to_parquet(tmp_path / "table.parquet")
    for backend in ({}, {"dtype_backend": "pyarrow"}):
        read = pd.read_parquet(tmp_path / "table.parquet", **backend)
        back = reidentify(read, made.attrs["secureml"], key_manager=manager)
        pd.testing.assert_frame_equal(back, frame)


@BOTH
def test_tokens_for_what_has_no_pseudonym(manager: KeyManager, frame: pd.DataFrame) -> None:
    policies = how(frame, small_domain="token", on_invalid="token")
    made = anonymize(frame, key_manager=manager, **policies)
    assert made.isna().equals(frame.isna())
    for name in ("date32", "date64"):
        if name in frame.columns:
            assert made[name][0].startswith("~")
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)
    read = pd.read_csv(io.StringIO(made.to_csv(index=False)), dtype=str)
    back = reidentify(read, made.attrs["secureml"], key_manager=manager)
    pd.testing.assert_frame_equal(back, frame)


def test_values_outside_of_a_range(manager: KeyManager) -> None:
    frame = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "1850-01-01", None])})
    columns: dict[str, Any] = {"sensitive_columns": ["when"], "key_manager": manager}
    with pytest.raises(InvalidValueError, match="'when': 1 row is not of the format") as caught:
        anonymize(frame, **columns)
    assert "1850" not in str(caught.value)
    nulled = anonymize(frame, on_invalid="null", **columns)
    assert nulled["when"].isna().tolist() == [False, True, True]
    assert nulled["when"].dtype == frame["when"].dtype
    tokens = anonymize(frame, on_invalid="token", **columns)
    assert tokens["when"][1].startswith("~")
    pd.testing.assert_frame_equal(reidentify(tokens, key_manager=manager), frame)


def test_a_century_of_days_needs_a_policy(manager: KeyManager) -> None:
    frame = pd.DataFrame({"born": ["1980-02-29", "1999-12-31"]})
    columns: dict[str, Any] = {"sensitive_columns": ["born"], "key_manager": manager}
    with pytest.raises(DomainTooSmallError, match="'permute' to permute") as caught:
        anonymize(frame, formats={"born": "date"}, **columns)
    assert caught.value.domain_size == 73_049
    made = anonymize(frame, formats={"born": "date"}, small_domain="permute", **columns)
    assert pd.to_datetime(made["born"], format="%Y-%m-%d").dt.year.between(1900, 2099).all()
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


def test_columns_of_one_domain_can_be_joined_whatever_their_dtype(manager: KeyManager) -> None:
    texts = ["2020-02-29", "1980-01-31", "1999-12-31"]
    frame = pd.DataFrame(
        {
            "iso": texts,
            "german": [f"{text[8:]}.{text[5:7]}.{text[:4]}" for text in texts],
            "moments": pd.to_datetime(texts),
            "days": arrow([date.fromisoformat(text) for text in texts], pa.date32()),
        }
    )
    made = anonymize(
        frame,
        sensitive_columns=list(frame.columns),
        formats=dict.fromkeys(frame.columns, "date"),
        options={"german": {"written": "%d.%m.%Y"}},
        domains=dict.fromkeys(frame.columns, "day"),
        small_domain="permute",
        key_manager=manager,
    )
    iso = made["iso"].tolist()
    assert pd.to_datetime(made["german"], format="%d.%m.%Y").dt.strftime("%Y-%m-%d").tolist() == iso
    assert made["moments"].dt.strftime("%Y-%m-%d").tolist() == iso
    assert made["days"].astype(str).tolist() == iso
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


HOUR = timedelta(hours=1)
UNNAMED = [
    tz.tzlocal(),
    tz.tzoffset("X", 3600),
    tz.gettz("Europe/Berlin"),
    timezone(HOUR, "CET"),
    timezone(timedelta(0), "Europe/Berlin"),
    timezone(HOUR + timedelta(seconds=5)),
]
NAMED = [
    UTC,
    tz.tzutc(),
    timezone(HOUR),
    timezone(-HOUR / 2),
    ZoneInfo("UTC"),
    ZoneInfo("Asia/Calcutta"),
]


@pytest.mark.parametrize("zone", UNNAMED, ids=repr)
def test_a_time_zone_that_its_name_does_not_restore_is_refused(
    manager: KeyManager, zone: tzinfo
) -> None:
    frame = pd.DataFrame({"when": NAIVE.tz_localize("UTC").tz_convert(zone)})
    columns = {"sensitive_columns": ["when"], "key_manager": manager}
    for strategy in ("fpe", "token"):
        with pytest.raises(PseudonymizationError, match=r"'when': .* restored by its name"):
            anonymize(frame, strategy=strategy, **columns)
    assert anonymize(frame, strategy="hash", **columns)["when"].notna().any()


@pytest.mark.parametrize("zone", NAMED, ids=repr)
def test_a_time_zone_comes_back_by_its_name(manager: KeyManager, zone: tzinfo) -> None:
    frame = pd.DataFrame({"when": NAIVE.tz_localize("UTC").tz_convert(zone)})
    hidden = anonymize(frame, sensitive_columns=["when"], key_manager=manager)
    back = reidentify(hidden, key_manager=manager)
    assert back["when"].dt.unit == frame["when"].dt.unit
    assert [str(one) for one in back["when"]] == [str(one) for one in frame["when"]]


def test_moments_whose_zone_an_earlier_manifest_does_not_name_come_back_in_utc(
    manager: KeyManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"when": NAIVE.tz_localize("UTC").tz_convert(tz.gettz("Europe/Berlin"))})
    monkeypatch.setattr(PandasColumn, "check_restorable", lambda column, values: None)
    hidden = anonymize(frame, sensitive_columns=["when"], key_manager=manager)
    back = reidentify(hidden, key_manager=manager)
    assert back["when"].tolist() == NAIVE.tz_localize("UTC").tolist()


def test_a_dtype_that_its_name_does_not_restore_is_refused(manager: KeyManager) -> None:
    money = arrow([Decimal(700), Decimal(12_300)], pa.decimal128(12, -2))
    with pytest.raises(PseudonymizationError, match=r"'x': .* restored by its name"):
        anonymize(pd.DataFrame({"x": money}), sensitive_columns=["x"], key_manager=manager)


def test_floats_need_a_scale(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.25]})
    for formats in ({}, {"x": "decimal"}):
        with pytest.raises(PseudonymizationError, match="format 'decimal' with a scale"):
            anonymize(frame, sensitive_columns=["x"], formats=formats, key_manager=manager)


@pytest.mark.parametrize(
    ("form", "values", "options"),
    [
        ("uuid", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "", None], {}),
        ("ipv4", ["192.0.2.1", "10.0.0.1", None], {"keep_prefix": 8}),
        ("ipv6", ["2001:db8::1", "::", None], {}),
        ("integer", ["42", "-7", None], {"minimum": -(10**6), "maximum": 10**6}),
        ("integer", [42, -7, 0], {"minimum": -(10**6), "maximum": 10**6}),
        ("integer", [42.0, None, 0.0], {"minimum": -(10**6), "maximum": 10**6}),
        ("datetime", ["2020-02-29T12:30", "1999-12-31 23:59:59.999+01:00", None], {}),
    ],
)
def test_other_formats(
    manager: KeyManager, form: str, values: list[Any], options: dict[str, Any]
) -> None:
    frame = pd.DataFrame({"x": values, "group": ["a", "b", "c"]})
    columns: dict[str, Any] = {
        "sensitive_columns": ["x"],
        "formats": {"x": form},
        "options": {"x": options},
        "key_manager": manager,
    }
    for more in ({}, {"on_invalid": "token"}, {"tweaks": {"x": "group"}}):
        made = anonymize(frame, **columns, **more)
        assert not made["x"].equals(frame["x"])
        pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)


def test_moments_are_no_tweaks(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["123456789"], "when": pd.to_datetime(["2020-01-01"])})
    with pytest.raises(PseudonymizationError, match="neither text nor whole numbers"):
        anonymize(frame, sensitive_columns=["x"], tweaks={"x": "when"}, key_manager=manager)


def test_text_of_moments_that_is_read_as_moments(manager: KeyManager) -> None:
    # Where there might be tokens, pseudonyms are text, even if none of them is a token.
    frame = pd.DataFrame({"s": NAIVE.as_unit("s"), "ns": NAIVE.as_unit("ns")})
    made = anonymize(frame, sensitive_columns=["s", "ns"], on_invalid="token", key_manager=manager)
    text = io.StringIO(made.to_csv(index=False))
    read = pd.read_csv(text, parse_dates=["s", "ns"])
    assert all(dtype.kind == "M" for dtype in read.dtypes)
    back = reidentify(read, made.attrs["secureml"], key_manager=manager)
    pd.testing.assert_frame_equal(back, frame)


def test_text_that_is_read_as_moments(manager: KeyManager) -> None:
    frame = pd.DataFrame({"x": ["2020-01-01 12:30:45", "1999-12-31 23:59:59"]})
    made = anonymize(frame, sensitive_columns=["x"], formats={"x": "datetime"}, key_manager=manager)
    read = pd.read_csv(io.StringIO(made.to_csv(index=False)), parse_dates=["x"])
    with pytest.raises(PseudonymizationError, match="now has dtype datetime64"):
        reidentify(read, made.attrs["secureml"], key_manager=manager)


def test_many_quantities_are_recovered(manager: KeyManager) -> None:
    count = 200_000  # enough for several threads
    seconds = np.arange(count, dtype=np.int64) * 997
    frame = pd.DataFrame({"when": seconds.view("M8[s]"), "amount": np.arange(count) / 100})
    made = anonymize(
        frame,
        sensitive_columns=["when", "amount"],
        formats={"amount": "decimal"},
        options={"amount": {"scale": 2, "minimum": 0, "maximum": "99999.99"}},
        key_manager=manager,
    )
    assert made["when"].nunique() == made["amount"].nunique() == count
    assert ((made["amount"] * 100).round() / 100 == made["amount"]).all()
    pd.testing.assert_frame_equal(reidentify(made, key_manager=manager), frame)
