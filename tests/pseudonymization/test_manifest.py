from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.errors import ManifestChangedError, ManifestError
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import KeyReference
from secureml.pseudonymization.manifest import (
    SCHEMA,
    Column,
    ColumnManifests,
    Counts,
    Manifest,
)
from secureml.pseudonymization.sketch import Sketch

KEY = KeyReference("master_key", 3, "production", "00" * 16)
RECIPE = ColumnSpec(strategy="fpe", algorithm="FF1-AES256", format="class/1", key_domain="ssn")
COUNTS = Counts(rows=5, nulls=1, empty=0, tokens=0, nulled=0)
COLUMN = Column(RECIPE, "str", COUNTS, sketches={})
UNREAD = replace(COLUMN, counts=None, sketches=None)
"""What is known of a column before its rows are read."""
FIRST: dict[str, Any] = {
    "schema": 1,
    "key": {"name": "master_key", "version": 3, "environment": "production", "check": "00" * 16},
    "columns": {
        "ssn": {
            "strategy": "fpe",
            "algorithm": "FF1-AES256",
            "format": "class/1",
            "domain": "ssn",
            "dtype": "str",
            "small_domain": "error",
            "rows": 5,
            "nulls": 1,
            "empty": 0,
            "tokens": 0,
            "nulled": 0,
        }
    },
    "mac": "17c42e23392f3fc722f1a51eee310e6a89fb98f10046a21c4f76feeed4a016cc",
}
"""A manifest of schema 1, which is to be read for ever."""
SECOND: dict[str, Any] = {
    **FIRST,
    "schema": 2,
    "key": {**FIRST["key"], "envelope": None},
    "columns": {
        "ssn": {
            **FIRST["columns"]["ssn"],
            "on_invalid": "error",
            "options": {},
            "normalize": None,
            "tweak": None,
            "versions": False,
            "sample": [],
        }
    },
    "mac": "a6ee36cc7c89b9e5c5065dd5b79c3c137585bf7632143d3f561aa9eaac8fc086",
}
"""The same of schema 2."""
MAC_KEY = bytes(range(32))
OLDER = KeyReference("master_key", 1, "production", "11" * 16, {"wrapped": "x"})


@pytest.fixture
def document() -> dict[str, Any]:
    strange = replace(
        RECIPE, strategy="token", algorithm="AES-256-SIV", format=None, key_domain="é"
    )
    options = {"prefix": "p_", "encoding": "base32"}
    full = Column(
        replace(strange, options=options, normalize="NFC", tweak="when"),
        dtype="Int64",
        counts=Counts(rows=9, nulls=1, empty=2, tokens=3, nulled=3),
        versions=True,
        arrow="int64",
        tweak_arrow="string",
        sketches={1: Sketch("AA=="), 3: Sketch("AB==", "AC==")},
    )
    columns = {"ssn": COLUMN, "naïve 😀": full}
    return Manifest.sign(KEY, columns, MAC_KEY, [OLDER]).document()


def test_parse_and_verify(document: dict[str, Any]) -> None:
    for form in (document, json.dumps(document), json.loads(json.dumps(document, indent=2))):
        manifest = Manifest.parse(form)
        manifest.verify(MAC_KEY)
        assert manifest.keys == {1: OLDER, 3: KEY}
        assert manifest.columns["ssn"] == COLUMN
        assert manifest.columns["naïve 😀"].sketch(3) == Sketch("AB==", "AC==")
        assert manifest.document() == document


def document_of(name: str, key: KeyReference = KEY, older: Sequence[KeyReference] = ()) -> object:
    return Manifest.sign(key, {name: COLUMN}, MAC_KEY, older).document()


def carried(documents: Mapping[str, object]) -> ColumnManifests:
    return ColumnManifests(documents, column_of=lambda name: name)


def test_the_manifests_of_columns_are_joined_to_one_of_all_their_versions() -> None:
    second = replace(OLDER, version=2, check="22" * 16)
    documents = {
        "ssn": SECOND,
        "a": document_of("a", older=[second]),
        "b": document_of("b", older=[OLDER, second]),
    }
    joined = carried(documents).joined()
    assert joined.key == KEY
    assert joined.older == (OLDER, second)
    assert [*joined.columns] == ["ssn", "a", "b"]
    assert (joined.schema, joined.mac) == (2, "")
    assert [part.document() for part in joined.parts] == [*documents.values()]
    joined.verify(MAC_KEY)
    with pytest.raises(ManifestChangedError):
        joined.verify(bytes(32))


def test_the_manifests_of_columns_of_several_keys_are_not_joined() -> None:
    columns = carried(
        {
            "a": document_of("a"),
            "b": document_of("b", replace(KEY, version=4)),
            "c": document_of("c"),
        }
    )
    assert [[*part.documents] for part in columns.by_key()] == [["a", "c"], ["b"]]
    with pytest.raises(ManifestError, match=r"column 'a' .* and 'b' with"):
        columns.joined()


def test_manifests_that_disagree_on_an_older_version_are_not_joined() -> None:
    other = replace(OLDER, check="22" * 16)
    columns = {"a": document_of("a", older=[OLDER]), "b": document_of("b", older=[other])}
    with pytest.raises(ManifestError, match="different keys as key 'master_key' version 1"):
        carried(columns).joined()


def test_the_document_is_plain_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document)) == document
    assert "999" not in json.dumps(document)


def test_golden_mac() -> None:
    manifest = Manifest.sign(KEY, {"ssn": COLUMN}, MAC_KEY)
    assert manifest.mac == "1668288764958debf52aa6491360101d01ba4b18bb5033f4c8a1b55c8e6cef83"


@pytest.mark.parametrize("document", [FIRST, SECOND], ids=["1", "2"])
def test_earlier_schemas_are_still_read(document: dict[str, Any]) -> None:
    manifest = Manifest.parse(document)
    manifest.verify(MAC_KEY)
    assert manifest.keys == {3: KEY}
    unknown = {3: Sketch(None)}
    assert manifest.columns == {"ssn": replace(COLUMN, arrow=None, sketches=unknown)}
    assert manifest.document() == document


@pytest.mark.parametrize(
    ("sample", "counts", "expected"),
    [
        (["00" * 8], {}, ("00" * 8,)),
        ([], {}, None),
        ([], {"nulls": 2, "empty": 2, "nulled": 1}, ()),
    ],
)
def test_the_sample_of_schema_2_is_the_sketch_of_its_version(
    sample: list[str], counts: dict[str, int], expected: tuple[str, ...] | None
) -> None:
    entry = SECOND["columns"]["ssn"] | counts | {"sample": sample}
    document = {**SECOND, "columns": {"ssn": entry}}
    manifest = Manifest.parse(document)
    assert manifest.columns["ssn"].sketches == {3: Sketch(expected)}
    assert manifest.document() == document


@pytest.mark.parametrize("field", ["normalize", "tweak", "on_invalid", "options", "sketches"])
def test_the_first_schema_has_no_later_fields(field: str) -> None:
    document = json.loads(json.dumps(FIRST))
    document["columns"]["ssn"][field] = None
    with pytest.raises(ManifestError, match="does not know"):
        Manifest.parse(document)


def test_a_schema_can_not_be_exchanged_for_another(document: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="lacks"):
        Manifest.parse({**FIRST, "schema": SCHEMA})
    for earlier in (1, 2):
        with pytest.raises(ManifestError, match="does not know"):
            Manifest.parse({**document, "schema": earlier})


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("key", "name", "other"),
        ("key", "environment", None),
        ("key", "environment", "staging"),
        ("versions", "check", "11" * 16),
        ("versions", "envelope", {"wrapped": "x"}),
        ("ssn", "format", "integer/1"),
        ("ssn", "domain", "other"),
        ("ssn", "dtype", "object"),
        ("ssn", "small_domain", "token"),
        ("ssn", "rows", 6),
        ("ssn", "nulls", 0),
        ("ssn", "empty", 1),
        ("ssn", "tokens", 1),
        ("ssn", "nulled", 1),
        ("ssn", "on_invalid", "null"),
        ("ssn", "normalize", "NFC"),
        ("ssn", "tweak", "when"),
        ("ssn", "versions", True),
        ("ssn", "domain_prefix", "x"),
        ("ssn", "tables", "16.0.0"),
        ("ssn", "arrow", "string"),
        ("ssn", "tweak_arrow", "string"),
        ("ssn", "sketches", [{"version": 3, "values": None, "pairs": None}]),
    ],
)
def test_a_changed_field_fails_the_mac(
    document: dict[str, Any], part: str, field: str, value: object
) -> None:
    versions = document["versions"][-1]
    {"key": document["key"], "versions": versions, **document["columns"]}[part][field] = value
    with pytest.raises(ManifestError, match="MAC does not fit"):
        Manifest.parse(document).verify(MAC_KEY)


def test_renamed_added_and_removed_columns_fail_the_mac(document: dict[str, Any]) -> None:
    columns = document["columns"]
    for changed in (
        {"name": columns["ssn"]},
        {"ssn": columns["ssn"]},
        {},
        {**columns, "more": columns["ssn"]},
    ):
        with pytest.raises(ManifestError, match="MAC does not fit"):
            Manifest.parse({**document, "columns": changed}).verify(MAC_KEY)


def test_a_path_is_a_name_as_any_other() -> None:
    names = ["patient.name", "items[].email", "tags{}", "patient", "name"]
    manifest = Manifest.sign(KEY, dict.fromkeys(names, COLUMN), MAC_KEY)
    document = json.loads(json.dumps(manifest.document()))
    assert list(Manifest.parse(document).columns) == names
    document["columns"]["items[].mail"] = document["columns"].pop("items[].email")
    with pytest.raises(ManifestChangedError):
        Manifest.parse(document).verify(MAC_KEY)


@pytest.mark.parametrize("mac", ["", "00", "zz", "é" * 64, "0" * 63, "0" * 64])
def test_a_wrong_mac(document: dict[str, Any], mac: str) -> None:
    with pytest.raises(ManifestError, match="MAC does not fit") as caught:
        Manifest.parse({**document, "mac": mac}).verify(MAC_KEY)
    assert caught.value.__context__ is None


def test_another_mac_key(document: dict[str, Any]) -> None:
    with pytest.raises(ManifestError, match="MAC does not fit"):
        Manifest.parse(document).verify(bytes(32))


@pytest.mark.parametrize("field", ["schema", "key", "versions", "columns", "mac"])
def test_missing_and_unknown_fields(document: dict[str, Any], field: str) -> None:
    without = {name: value for name, value in document.items() if name != field}
    with pytest.raises(ManifestError, match=f"lacks {field}"):
        Manifest.parse(without)
    with pytest.raises(ManifestError, match="does not know"):
        Manifest.parse({**document, "more": 1})
    with pytest.raises(ManifestError, match="wrong type"):
        Manifest.parse({**document, field: 1.5})


@pytest.mark.parametrize(
    ("part", "field"),
    [
        *(("key", field) for field in ("name", "environment", "version")),
        *(("versions", field) for field in ("version", "check", "envelope")),
        *(("sketches", field) for field in ("version", "values", "pairs")),
    ],
)
def test_fields_of_keys_versions_and_sketches(
    document: dict[str, Any], part: str, field: str
) -> None:
    column = document["columns"]["naïve 😀"]
    place, last = {"key": (document, "key"), "versions": (document["versions"], -1)}.get(
        part, (column["sketches"], -1)
    )
    entry = place[last]
    without = {name: value for name, value in entry.items() if name != field}
    for changed, match in (
        (without, f"lacks {field}"),
        ({**entry, "more": ""}, "does not know"),
        ({**entry, field: True}, "wrong type"),
        ({**entry, field: []}, "wrong type"),
    ):
        place[last] = changed
        with pytest.raises(ManifestError, match=match):
            Manifest.parse(document)


@pytest.mark.parametrize("versions", [[], [3], [1], [3, 1], [1, 1, 3], [1, 3, 4], [None, 1, 3, 3]])
def test_versions_are_listed_once_ascending_up_to_that_of_the_key(
    document: dict[str, Any], versions: list[int | None]
) -> None:
    entry = document["versions"][0]
    document["versions"] = [{**entry, "version": version} for version in versions]
    with pytest.raises(ManifestError, match=r"versions are not listed|of the versions that it"):
        Manifest.parse(document)


@pytest.mark.parametrize("versions", [[2], [3, 1], [1, 1], [1, 3, 4], [None]])
def test_sketches_are_of_listed_versions(
    document: dict[str, Any], versions: list[int | None]
) -> None:
    column = document["columns"]["naïve 😀"]
    column["sketches"] = [{**column["sketches"][0], "version": version} for version in versions]
    with pytest.raises(ManifestError, match="sketches of column 'naïve 😀'"):
        Manifest.parse(document)


@pytest.mark.parametrize("exponent", [127, 20_000])
def test_options_hold_whole_numbers_of_some_size(document: dict[str, Any], exponent: int) -> None:
    column = document["columns"]["ssn"] | {"format": "integer/1"}
    for number in (1 << exponent, -(1 << exponent) - 1, 1.0):
        options = {"minimum": 0, "maximum": number}
        document["columns"]["ssn"] = {**column, "options": options}
        with pytest.raises(ManifestError, match="options of column 'ssn' has the wrong type"):
            Manifest.parse(document)


def test_lone_surrogates_are_refused_everywhere(document: dict[str, Any]) -> None:
    """Two of them have the text of the one character that they would make."""
    texts = [json.dumps(text) for text in ("naïve \ud83d\ude00", "naïve 😀")]
    assert texts[0] == texts[1]
    for place, name in (
        (document, "mac"),
        (document["key"], "name"),
        (document["key"], "environment"),
        (document["versions"][0], "check"),
        (document["columns"]["ssn"], "domain"),
        (document["columns"]["ssn"], "tables"),
    ):
        before, place[name] = place[name], "\ud83d\ude00"
        with pytest.raises(ManifestError, match="lone surrogate"):
            Manifest.parse(document)
        place[name] = before
    document["columns"]["naïve \ud83d\ude00"] = document["columns"].pop("naïve 😀")
    with pytest.raises(ManifestError, match="lone surrogate"):
        Manifest.parse(document)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"x": COLUMN, "a\ud800": COLUMN}, r"column 'a\\ud800'.*another name"),
        (
            {"x": replace(COLUMN, recipe=replace(RECIPE, key_domain="\udc00"))},
            "column 'x': its name, d",
        ),
        ({"x": replace(COLUMN, recipe=replace(RECIPE, options={"a": "\udc00"}))}, "column 'x'"),
    ],
)
def test_lone_surrogates_are_not_signed(columns: dict[str, Column], match: str) -> None:
    with pytest.raises(ManifestError, match=match) as caught:
        Manifest.sign(KEY, columns, MAC_KEY)
    assert caught.value.__context__ is None
    with pytest.raises(ManifestError, match="its key"):
        Manifest.sign(replace(KEY, name="\ud800"), {"x": COLUMN}, MAC_KEY)


RECIPE_FIELDS = ["domain", *sorted(ColumnSpec.__dataclass_fields__.keys() - {"key_domain"})]
COUNTED = list(Counts.__dataclass_fields__)
UNREAD_FIELDS = [*COUNTED, "sketches"]
COLUMN_FIELDS = [*sorted(Column.__dataclass_fields__.keys() - {"recipe", "counts"}), *COUNTED]
OPTIONAL = {"format", "normalize", "tweak", "domain_prefix", "tables", "arrow", "tweak_arrow"}


@pytest.mark.parametrize("field", [*RECIPE_FIELDS, *COLUMN_FIELDS])
def test_fields_of_a_column(document: dict[str, Any], field: str) -> None:
    column = document["columns"]["ssn"]
    without = {name: value for name, value in column.items() if name != field}
    if field == "sketches":
        Manifest.parse({**document, "columns": {"ssn": without}})
    for changed, match in (
        *([] if field == "sketches" else [(without, f"lacks {field}")]),
        ({**column, "more": ""}, "does not know"),
        ({**column, field: 1.5}, "wrong type"),
        ({**column, field: 0 if field == "versions" else True}, "wrong type"),
        ({**column, field: -1}, "wrong type"),
        ({**column, field: [1]}, "wrong type"),
        ({**column, field: {1: 2}}, "wrong type"),
        ({**column, field: 10**5000}, "wrong type"),
        ("text", "not an object"),
    ):
        with pytest.raises(ManifestError, match=match):
            Manifest.parse({**document, "columns": {"ssn": changed}})
    if field not in OPTIONAL:
        with pytest.raises(ManifestError, match="wrong type"):
            Manifest.parse({**document, "columns": {"ssn": {**column, field: None}}})


def test_a_manifest_can_be_signed_before_the_rows_are_read() -> None:
    manifest = Manifest.sign(KEY, {"patient.name": UNREAD, "items[].email": COLUMN}, MAC_KEY)
    document = json.loads(json.dumps(manifest.document()))
    assert not {*UNREAD_FIELDS} & document["columns"]["patient.name"].keys()
    again = Manifest.parse(document)
    again.verify(MAC_KEY)
    assert again == manifest
    assert again.document() == document
    assert again.columns["patient.name"].sketch(3) == Sketch(None)


@pytest.mark.parametrize("field", COUNTED)
def test_all_counts_are_told_or_none(field: str) -> None:
    document = Manifest.sign(KEY, {"ssn": UNREAD}, MAC_KEY).document()
    document["columns"]["ssn"][field] = 0
    with pytest.raises(ManifestError, match="lacks"):
        Manifest.parse(document)


@pytest.mark.parametrize("fields", [COUNTED, ["sketches"], UNREAD_FIELDS], ids=len)
def test_what_is_known_of_rows_can_not_be_taken_away_or_added(fields: list[str]) -> None:
    with_rows = Manifest.sign(KEY, {"ssn": COLUMN}, MAC_KEY).document()
    without = json.loads(json.dumps(with_rows))
    for field in fields:
        del without["columns"]["ssn"][field]
    with pytest.raises(ManifestChangedError):
        Manifest.parse(without).verify(MAC_KEY)
    unread = Manifest.sign(KEY, {"ssn": UNREAD}, MAC_KEY).document()
    for field in fields:
        unread["columns"]["ssn"][field] = with_rows["columns"]["ssn"][field]
    with pytest.raises(ManifestChangedError):
        Manifest.parse(unread).verify(MAC_KEY)


@pytest.mark.parametrize("document", [FIRST, SECOND], ids=["1", "2"])
@pytest.mark.parametrize("field", COUNTED)
def test_earlier_schemas_have_all_counts(document: dict[str, Any], field: str) -> None:
    changed = json.loads(json.dumps(document))
    del changed["columns"]["ssn"][field]
    with pytest.raises(ManifestError, match=f"lacks {field}"):
        Manifest.parse(changed)


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("strategy", "newer", "column 'ssn': this version has no strategy 'newer'"),
        ("small_domain", "newer", "small_domain of column 'ssn'"),
        ("on_invalid", "newer", "on_invalid of column 'ssn'"),
        ("normalize", "NFKC", "normalize of column 'ssn'"),
        ("algorithm", "newer", "column 'ssn': this version has no algorithm 'newer'"),
        ("format", "class/2", "column 'ssn': this version has no format 'class/2'"),
        ("format", None, "column 'ssn': this version has no format"),
        ("options", {"more": 1}, "column 'ssn': the format 'class/1' has no option 'more'"),
    ],
)
def test_unknown_methods(document: dict[str, Any], field: str, value: object, match: str) -> None:
    document["columns"]["ssn"][field] = value
    with pytest.raises(ManifestError, match=match) as caught:
        Manifest.parse(document)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("schema", [0, 4, 1 << 40])
def test_an_unknown_schema(document: dict[str, Any], schema: int) -> None:
    with pytest.raises(ManifestError, match=f"schema is {schema}, and this version reads 1 to 3"):
        Manifest.parse({**document, "schema": schema})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "1",
        '"x"',
        "NaN",
        "[" * 100_000,
        '{"schema": 2, "schema": 2}',
        "1" * 5000,
    ],
)
def test_text_that_is_no_manifest(text: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(text)
    assert caught.value.__context__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON | st.binary() | st.text())
def test_anything_is_a_manifest_error(value: object) -> None:
    with pytest.raises(ManifestError):
        Manifest.parse(value)


@given(st.data())
def test_a_manifest_with_anything_in_one_place(data: st.DataObject) -> None:
    document = Manifest.sign(KEY, {"ssn": COLUMN}, MAC_KEY).document()
    part = data.draw(
        st.sampled_from(
            [document, document["key"], document["columns"], document["columns"]["ssn"]]
        )
    )
    name = data.draw(st.sampled_from(sorted(part)) | st.text())
    value = data.draw(JSON)
    if part.get(name, part) == value and type(part.get(name)) is type(value):
        return
    part[name] = value
    with pytest.raises(ManifestError):
        Manifest.parse(document).verify(MAC_KEY)
    with pytest.raises(ManifestError):
        Manifest.parse(json.dumps(document)).verify(MAC_KEY)


def test_key_references_are_described() -> None:
    assert str(KEY) == "key 'master_key' version 3 of environment 'production'"
    assert str(KeyReference("k", None, None, "")) == "key 'k'"
