from __future__ import annotations

from itertools import product

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from secureml.errors import PseudonymizationError
from secureml.pseudonymization.formats import make_format
from secureml.pseudonymization.formats.email import EmailFormat

CHOICES = [
    pair for pair in product(["keep", "encrypt", "pseudonym"], repeat=2) if set(pair) != {"keep"}
]
FORMS = {pair: EmailFormat(local=pair[0], host=pair[1]) for pair in CHOICES}
PLAIN = EmailFormat()
VALUES = [
    "anna.example+tag@mail.example.com",
    "Bob_Smith@example.co.uk",
    "o'neil-w@sub-domain.example.org",
]
ATOM = st.text(st.sampled_from("abcxyzABZ0129!#$%&'*+/=?^_`{|}~-éßяЯ山"), min_size=1, max_size=8)
LABEL = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
ADDRESSES = st.builds(
    lambda local, host, top: f"{'.'.join(local)}@{'.'.join(host)}.{top}",
    st.lists(ATOM, min_size=1, max_size=3),
    st.lists(LABEL, min_size=1, max_size=3),
    st.sampled_from(["com", "uk", "museum", "XN--P1AI", "рф"]),
)


def valid(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


@pytest.mark.parametrize("pair", CHOICES, ids="-".join)
def test_golden_values(lab, pair: tuple[str, str]) -> None:
    assert lab.encrypted(FORMS[pair], VALUES) == GOLDEN[pair]


GOLDEN = {
    ("keep", "encrypt"): [
        "anna.example+tag@mylq.tghwcfw.com",
        "Bob_Smith@kldjryd.uq.uk",
        "o'neil-w@ckl-ggsvjj.ibnivwc.org",
    ],
    ("keep", "pseudonym"): [
        "anna.example+tag@hwjyxnhahj6apfa42tjr4hvaz.com",
        "Bob_Smith@h2x3yhmqeunck7bvo32b6t6ea.uk",
        "o'neil-w@houflzp26f2lksl7ucqi4y3yppcoox5ih6v2iht4q.org",
    ],
    ("encrypt", "keep"): [
        "qgxv.lzrjfwf+lwu@mail.example.com",
        "Xyf_Uggkb@example.co.uk",
        "g'dmjn-v@sub-domain.example.org",
    ],
    ("encrypt", "encrypt"): [
        "jrwq.ijlvkop+ifn@ipfd.uoasfpg.com",
        "Nap_Qayan@nbizgck.kz.uk",
        "e'kqkv-e@gic-urzlxh.sjdyjbl.org",
    ],
    ("encrypt", "pseudonym"): [
        "qonw.pzjxaqu+wmf@hwjyxnhahj6apfa42tjr4hvaz.com",
        "Pwk_Gabkq@h2x3yhmqeunck7bvo32b6t6ea.uk",
        "r'eqat-b@houflzp26f2lksl7ucqi4y3yppcoox5ih6v2iht4q.org",
    ],
    ("pseudonym", "keep"): [
        "ufae6hysu3r6a6dpeorzvbmionoalijj3renxu6km@mail.example.com",
        "utobdrt4vx3zojc7fbzgy5ts2@example.co.uk",
        "u4qm3zps5ysv3t4fmkbmw3fh7@sub-domain.example.org",
    ],
    ("pseudonym", "encrypt"): [
        "ufae6hysu3r6a6dpeorzvbmionoalijj3renxu6km@pzww.thacflw.com",
        "utobdrt4vx3zojc7fbzgy5ts2@cpkhlix.qr.uk",
        "u4qm3zps5ysv3t4fmkbmw3fh7@lcd-gswhtg.eisczes.org",
    ],
    ("pseudonym", "pseudonym"): [
        "ufae6hysu3r6a6dpeorzvbmionoalijj3renxu6km@hwjyxnhahj6apfa42tjr4hvaz.com",
        "utobdrt4vx3zojc7fbzgy5ts2@h2x3yhmqeunck7bvo32b6t6ea.uk",
        "u4qm3zps5ysv3t4fmkbmw3fh7@houflzp26f2lksl7ucqi4y3yppcoox5ih6v2iht4q.org",
    ],
}
"""Version 1 of the format under the key of octets 0 to 31; it never changes."""


@pytest.mark.parametrize("pair", CHOICES, ids="-".join)
@settings(max_examples=40)
@given(
    values=st.lists(
        ADDRESSES | ADDRESSES.map(lambda value: value[:-2]) | st.text(st.characters(codec=None)),
        max_size=4,
    ),
    wide=st.booleans(),
)
@example(values=["00000000.00000ßß山.0000ßßß山@0.com"], wide=False)
def test_any_text_comes_back_or_is_reported(lab, pair, values, wide) -> None:
    for value, new in zip(values, lab.tried(FORMS[pair], values, wide=wide), strict=True):
        if not value or new is None:
            continue
        # What is wrong with a part that is kept stays wrong.
        assert valid(new) or not valid(value)
        old, made = ((one.partition("@")[0], one.partition("@")[2]) for one in (value, new))
        assert old[1].rpartition(".")[2] == made[1].rpartition(".")[2]
        for choice, before, after in zip(pair, old, made, strict=True):
            if choice == "keep":
                assert after == before
            elif choice == "encrypt":
                assert list(map(str.isalpha, after)) == list(map(str.isalpha, before))
            else:
                assert after[0] in "uh"
                assert len(after.partition(".")[0]) in (25, 41, 57)


@settings(max_examples=8)
@given(values=st.lists(ADDRESSES, max_size=4))
def test_small_domains_are_permuted_on_demand(lab, values) -> None:
    lab.tried(PLAIN, values, tables=True)


@pytest.mark.parametrize(
    "value",
    [
        "anna",
        "@example.com",
        "anna@",
        "anna@example",
        "anna@@example.com",
        "an@na@example.com",
        ".anna@example.com",
        "anna.@example.com",
        "an..na@example.com",
        "anna smith@example.com",
        '"anna smith"@example.com',
        "anna@[192.0.2.1]",
        "anna@192.0.2.1",
        "anna@-example.com",
        "anna@example-.com",
        "anna@exa_mple.com",
        "anna@example..com",
        "anna@example.com.",
        "anna@example.c",
        "anna@ab--cd.com",
        "anna@" + "a" * 64 + ".com",
        "a" * 65 + "@example.com",
        "anna@" + "abcdefg." * 32 + "com",
        "annае\u0301@example.com",
        "anna\x00@example.com",
        "anna\x01@example.com",
        "anna\x02@example.com",
        "anna\n@example.com",
        "anna@example.com\n",
        "anna\ud800@example.com",
        "👍anna@example.com",
        "é" * 60 + "@example.com",
    ],
)
def test_what_is_no_address(lab, value: str) -> None:
    assert lab.invalid(PLAIN, [VALUES[0], value, ""]) == [value]
    assert lab.invalid(PLAIN, [value], decrypt=True) == [value]


@pytest.mark.parametrize("value", ["anna.smith@bücher.example", "anna.smith@xn--bcher-kva.example"])
def test_hosts_in_other_scripts_are_kept_and_not_encrypted(lab, value: str) -> None:
    for pair, form in FORMS.items():
        assert lab.invalid(form, [VALUES[0], value]) == [value] * (pair[1] == "encrypt")
        if pair[1] == "keep":
            assert lab.encrypted(form, [value])[0].endswith(value.partition("@")[2])


def test_equal_parts_have_equal_pseudonyms(lab) -> None:
    values = ["anna@example.com", "bert@example.com", "anna@example.org", "anna@elsewhere.net"]
    made = [value.split("@") for value in lab.encrypted(FORMS["pseudonym", "pseudonym"], values)]
    locals_, hosts = zip(*made, strict=True)
    assert locals_[0] == locals_[2] == locals_[3] != locals_[1]
    assert hosts[0] == hosts[1]
    assert len({host.split(".")[0] for host in hosts}) == 3


def test_the_length_of_a_short_part_is_hidden(lab) -> None:
    values = [f"{'a' * length}@example.com" for length in range(1, 15)]
    made = lab.encrypted(FORMS["pseudonym", "keep"], values)
    assert {len(value) for value in made} == {25 + len("@example.com")}


def test_parts_too_long_for_a_pseudonym_are_invalid(lab) -> None:
    values = [f"{'a' * length}@example.com" for length in (34, 35, 64)]
    assert lab.invalid(FORMS["pseudonym", "keep"], values) == values[1:]
    assert len(lab.encrypted(FORMS["pseudonym", "keep"], values[:1])) == 1


def test_pseudonyms_that_were_changed_are_reported(lab) -> None:
    form = FORMS["pseudonym", "keep"]
    (made,) = lab.encrypted(form, ["anna@example.com"])
    changed = [
        made.replace(made[5], "a" if made[5] != "a" else "b", 1),
        made[1:],
        made.upper().replace("@EXAMPLE.COM", "@example.com"),
        "anna@example.com",
        "h" + made[1:],
    ]
    assert lab.invalid(form, changed, decrypt=True) == changed


def test_short_local_parts_are_small(lab) -> None:
    made = lab.transform(PLAIN, ["al@example.com", "anna.smith@example.com", "x"])
    assert (made.small.rows.tolist(), made.small.domain) == ([0], 676)
    assert made.values.strings()[0] == ""
    made = lab.transform(
        FORMS["encrypt", "pseudonym"], ["al@example.com", "anna.smith@example.com"]
    )
    assert (made.small.rows.tolist(), made.values.strings()[0]) == ([0], "")


def test_100_000_stay_distinct_and_are_even(lab) -> None:
    values = [f"user{number:06d}@example.com" for number in range(100_000)]
    for form in (PLAIN, FORMS["encrypt", "encrypt"]):
        made = lab.encrypted(form, values)
        assert len(set(made)) == len(values)
        lab.even([value[4:10] for value in made])
        assert all(map(valid, made[::500]))


def test_20_000_pseudonyms_stay_distinct(lab) -> None:
    values = [f"user{number}@example.com" for number in range(20_000)]
    made = lab.encrypted(FORMS["pseudonym", "keep"], values)
    assert len(set(made)) == len(values)
    lab.even([value[1:25] for value in made], "abcdefghijklmnopqrstuvwxyz234567")


def test_the_host_that_is_kept_separates_pseudonyms(lab) -> None:
    first, second = lab.encrypted(PLAIN, ["anna.smith@example.com", "anna.smith@example.org"])
    assert first.partition("@")[0] != second.partition("@")[0]


@pytest.mark.parametrize("pair", CHOICES, ids="-".join)
def test_row_tweaks(lab, pair: tuple[str, str]) -> None:
    lab.unlinkable(FORMS[pair], "anna.smith@mail.example.com")


@pytest.mark.parametrize(
    "options",
    [{"local": "keep", "host": "keep"}, {"local": "keep"}, {"local": "x"}, {"host": None}],
)
def test_options_that_can_not_be(options: dict[str, object]) -> None:
    with pytest.raises(PseudonymizationError):
        make_format("email/1", options)  # type: ignore[arg-type]


def test_options_are_recorded_with_defaults() -> None:
    assert PLAIN.options == {"local": "encrypt", "host": "keep"}


@pytest.mark.parametrize("pair", CHOICES, ids="-".join)
def test_none(lab, pair: tuple[str, str]) -> None:
    for values in ([], [""], ["", ""]):
        assert lab.encrypted(FORMS[pair], values) == values


SPELLED = st.text(st.sampled_from("aBxXnN09-.@!_ é€\x00\x01\x02~,"), max_size=12)


@given(st.lists(st.one_of(SPELLED, st.builds("{}@{}.{}".format, SPELLED, SPELLED, SPELLED))))
def test_addresses_are_judged_alike_alone_and_together(lab, values: list[str]) -> None:
    alone = [one for value in values for one in lab.invalid(PLAIN, [value])]
    assert lab.invalid(PLAIN, values) == alone
