"""Throw inputs that nobody thought of at every format and strategy, and look for what breaks.

An input is a short column with a rule for it, half well-formed and then spoiled; or a whole table;
or a manifest that was tampered with. What may happen: every value comes back exactly, or is
reported as not of its format or of too small a domain; or all of it is refused by an error of
``secureml.errors``. Anything else is printed with what reproduces it, and the exit code is 1.

With ``--target answers`` it changes what Vault answers instead, with ``--target files`` the bytes
of files; see fuzz_answers.py and fuzz_files.py.

Run by ``make fuzz``. The same seed throws the same inputs.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from secureml import KeyManager, anonymize, reidentify
from secureml.errors import IrreversibleWarning, PseudonymizationError, SecureMLError
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.formats import format_type, options_of
from secureml.pseudonymization.keys import DomainKeys
from secureml.pseudonymization.ranking.permutation import RowTweaks
from secureml.pseudonymization.strategies import strategy_type
from secureml.pseudonymization.values.text import Text
from secureml.registry import FORMATS, STRATEGIES
from secureml.settings.rules import ColumnRule
from secureml.stores import MemoryStore

SEEDS = {
    "class": ["Zoë O'Neill", "Łukasz Wiśniewski", "Мария", "伊藤", "x", "AB-1234", "e\u0301a b c"],
    "digits": ["123456789", "12-34-56 78.90", "0000000"],
    "letters": ["smith", "McDonald-Ünal", "Ωμέγα"],
    "alphabet": ["0123abcdef", "ffffffffffff"],
    "ssn": ["219-09-9999", "123 45 6789", "899999999", "665-99-0001"],
    "credit_card": ["4951601736867108", "2701 0332 9457 3174", "378282246310005"],
    "phone": ["+1 (846) 598-1220", "020 7946 0958", "+493012345678", "+33 1 23 45 67 89"],
    "email": ["zoe@example.com", "a.b+c@sub.example.org", "x@y.de", "Ünal@exämple.com"],
    "iban": ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "NO9386011117947"],
    "date": ["2026-03-01", "1900-01-01", "2099-12-31", "29.02.2024", "20240229"],
    "datetime": ["2026-03-01T12:34:56", "1999-12-31 23:59:59Z", "2026-03-01T00:00:00.123+02:00"],
    "integer": ["123456789"],
    "decimal": ["12345678.90", "-0.01", "1e5", "99999999.99"],
    "uuid": ["6fa459ea-ee8a-4ca4-894e-db77e160355e", "{6FA459EA-EE8A-3CA4-894E-DB77E160355E}"],
    "ipv4": ["192.0.2.255", "10.0.0.1", "255.255.255.255", "0.0.0.0"],
    "ipv6": [
        "2001:db8::1",
        "::",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "2001:DB8:0:0:8:800:200C:417A",
    ],
    "regex": ["DE-1234/5678-L", "AB12345678", "x-1"],
}
"""Values that are of each format, or nearly."""

ARGUMENTS = {
    "alphabet": ["0123456789abcdef", "01", "abcdefghijklmnopqrstuvwxyz", "aé伊😀~-", "", "aa", "x"],
    "regex": [
        r"DE-(\d{4})/(\d{4})-L",
        r"([A-Z]{2})(\d{8})",
        r"(.*)",
        r"(\w+)-(\d)",
        r"x-1",
        r"(",
        r"(a|b)(\d)?",
        r"((?:0[1-9]|1[0-2]|[3-9])\w*)-?(?i:[a-k]*)",
    ],
}
"""What follows the colon of a format's name."""

OPTIONS: dict[str, list[Any]] = {
    "start": ["1900-01-01", "1000-01-01", "0001-01-01", "2026-03-01", "9999-12-31", "x"],
    "end": ["2099-12-31", "9999-12-31", "1999-12-31T23:59:59", "2026-02-30"],
    "written": ["%d.%m.%Y", "%Y%m%d", ["%Y-%m-%d", "%d.%m.%Y"], "%Y-%m-%d %H:%M:%S", "%q", []],
    "resolution": ["day", "second", "millisecond", "nanosecond", "week"],
    "minimum": [0, -(10**9), 10**8, -(2**63), "0.00"],
    "maximum": [10**9, 2**64, 10**19, 999_999, "99999999.99"],
    "region": ["US", "DE", "GB", "XX"],
    "local": ["keep", "encrypt", "pseudonym", "fixed"],
    "host": ["keep", "encrypt", "pseudonym", "fixed"],
    "encoding": ["hex", "base32", "base64url", "base64"],
    "prefix": ["cus_", "~", "", "é", "x" * 40],
    "character": ["*", "é", "**", ""],
    "replacement": ["[redacted]", "", "\ud800"],
}
NUMBERS = [0, 1, 2, 3, 4, 6, 8, 16, 24, 32, 64, 100, 128, 256, -1]
JUNK = [None, True, "", "x", -1, 2**70, ["a"], "\ud800"]
LETTERS = [*"0123456789abcxyzABCXYZ", *" -_.:/@+()~%'\",;\\\n\t\0", *"éßñĄłİıǅΩωЖжשعك٣५伊い한😀"]
LETTERS += [
    "\u0301",
    "\u200d",
    "\u202e",
    "\u00a0",
    "\u2028",
    "\ud800",
    "\udfff",
    "\ufeff",
    "\U0010ffff",
]
DTYPES = ["str", "object", "string", "category", "large_string[pyarrow]", "string[python]"]
NUMERIC = ["int64", "Int32", "uint64", "float64", "int8", "UInt16", "int64[pyarrow]", "Float64"]


_Throw = Callable[[Random, int], tuple[str, Callable[[], str]]]


class Surprise(Exception):
    """Something happened that must not."""


@dataclass
class Fuzzer:
    """Throws inputs.

    Args:
        random: what they are made with.
        manager: with a key.
    """

    random: Random
    manager: KeyManager

    def value(self, kind: str) -> str:
        """Return a text that is of a format, or was before it was spoiled."""
        random = self.random
        if random.random() < 0.1:
            return "".join(random.choices(LETTERS, k=random.randrange(12)))
        text = random.choice(SEEDS.get(kind) or SEEDS["class"])
        digits = "".join(
            str(random.randrange(10)) if c.isdecimal() and random.random() < 0.5 else c
            for c in text
        )
        for _ in range(random.choice([0, 0, 0, 1, 1, 2, 4])):
            digits = self._spoiled(digits)
        return digits

    def _spoiled(self, text: str) -> str:
        random = self.random
        at = random.randrange(len(text) + 1)
        end = min(len(text), at + random.randrange(4))
        return random.choice(
            [
                text[:at] + random.choice(LETTERS) + text[at:],
                text[:at] + random.choice(LETTERS) + text[at + 1 :],
                text[:at] + text[end:],
                text[:at] + text[at:end] * 2 + text[end:],
                text[:at] + text[:at],
                text.swapcase(),
                text[::-1],
                text + " ",
                "~" + text,
                text * random.choice([2, 3, 40]),
            ]
        )

    def rule(self) -> tuple[str, ColumnRule]:
        """Return the short name of a format, and a rule for a column of its values."""
        random = self.random
        short = random.choice(list(FORMATS.built_in)).partition("/")[0]
        choose = random.choice
        strategy = "fpe" if random.random() < 0.8 else choose(list(STRATEGIES.built_in))
        kind = format_type(f"{short}/1") if strategy == "fpe" else strategy_type(strategy)
        written = f"{short}:{choose(ARGUMENTS[short])}" if short in ARGUMENTS else short
        names = [name for name in options_of(kind) if name not in ("characters", "pattern")]
        options = {name: self._option(name) for name in names if random.random() < 0.25}
        if random.random() < 0.02:
            options[choose(["keep_frist", "bits", "prefix"])] = choose(JUNK)
        return short, ColumnRule(
            strategy=strategy,
            format=written if strategy == "fpe" else None,
            # A table of a small domain takes a while; one in a hundred is enough.
            small_domain="permute"
            if random.random() < 0.01
            else choose(["error", "token", "null"]),
            on_invalid=choose(["error", "token", "null"]),
            normalize=choose([None, None, None, "NFC"]),
            options=options,
        )

    def _option(self, name: str) -> Any:
        known = OPTIONS.get(name, NUMBERS)
        return self.random.choice(JUNK if self.random.random() < 0.1 else known)

    def column(self) -> str:
        """Protect and recover a column of text under a rule."""
        random = self.random
        short, rule = self.rule()
        strings = [self.value(short) for _ in range(random.randrange(1, 6))]
        tweaks = None
        if random.random() < 0.1:
            number = np.array([random.randrange(2) for _ in strings], np.intp)
            tweaks = RowTweaks([b"", b"a tweak"], number)
        recipe = ColumnSpec.of(rule, "column", Text)
        values = recipe.prepared(Text.of(strings))
        wanted = values.strings()
        strategy = recipe.make(DomainKeys(_derived, recipe.key_domain), tweaks)
        outcome = strategy.protect(values)
        made = outcome.values.strings()
        if random.random() < 0.2 and strategy.protect(values).values.strings() != made:
            raise Surprise("the same values got other pseudonyms")
        if len(made) != len(wanted):
            raise Surprise(f"{len(wanted)} values became {len(made)}")
        if not recipe.reversible:
            return "not reversible"
        reported = {*outcome.small.rows.tolist(), *outcome.invalid.tolist()}
        gone = {*reported, *outcome.nulled.tolist()}
        kept = [row for row in range(len(wanted)) if row not in gone]
        if tweaks is None and len({made[row] for row in kept}) < len({wanted[row] for row in kept}):
            raise Surprise(f"different values got one pseudonym: {made!r}")
        whole = Text.of(["" if row in gone else made[row] for row in range(len(made))])
        again = recipe.make(DomainKeys(_derived, recipe.key_domain), tweaks)
        back = again.recover(whole, Text.of).strings()
        wrong = [row for row in kept if back[row] != wanted[row]]
        if wrong:
            raise Surprise(
                f"{wanted[wrong[0]]!r} became {made[wrong[0]]!r}, then {back[wrong[0]]!r}"
            )
        return "reported" if reported else "recovered"

    def tampered(self) -> str:
        """Recover a column of what may never have been pseudonyms."""
        short, rule = self.rule()
        recipe = ColumnSpec.of(rule, "column", Text)
        strategy = recipe.make(DomainKeys(_derived, recipe.key_domain))
        strings = [self.value(short) for _ in range(self.random.randrange(1, 4))]
        if not recipe.reversible:
            return "not reversible"
        strategy.recover(Text.of(strings), Text.of)
        return "recovered"

    def table(self) -> str:
        """Pseudonymize and recover a table."""
        random = self.random
        columns, arguments = {}, self._arguments()
        rows = random.randrange(6)
        for name in ("a", "b", "c"):
            columns[name] = self._series(rows, arguments["formats"].get(name, "class"))
        frame = pd.DataFrame(columns)
        before = copy.deepcopy(frame)
        done = anonymize(frame, key_manager=self.manager, **arguments)
        if not frame.equals(before):
            raise Surprise("the input was changed")
        back = reidentify(done, key_manager=self.manager)
        document = done.attrs["secureml"]["columns"]
        json.dumps(document)
        for name in frame:
            entry = document.get(name)
            if entry is None or not (entry["nulled"] or entry["strategy"] in _ONE_WAY):
                told = entry["normalize"] if entry else None
                if told is None and not _same(back[name], frame[name]):
                    raise Surprise(f"column {name} came back as {back[name].tolist()!r}")
        return "recovered"

    def _arguments(self) -> dict[str, Any]:
        random = self.random
        names = random.sample(["a", "b", "c"], random.randrange(1, 4))
        rules = {name: self.rule()[1] for name in names}
        formats = {name: rule.format for name, rule in rules.items() if rule.format}
        if random.random() < 0.5:
            formats = {}
        return {
            "sensitive_columns": names,
            "strategy": {name: rule.strategy for name, rule in rules.items()},
            "formats": formats,
            "options": {name: rules[name].options for name in names if formats.get(name)},
            "domains": {name: random.choice(["d", "e\ud800", "é"]) for name in names[:1]},
            "tweaks": {names[0]: "c"} if random.random() < 0.1 else {},
            "small_domain": random.choice(["error", "token", "token", "null"]),
            "on_invalid": random.choice(["error", "token", "token", "null"]),
            "key_versions": random.random() < 0.1,
        }

    def _series(self, rows: int, form: str) -> pd.Series:
        random = self.random
        if random.random() < 0.3:
            dtype = random.choice([*NUMERIC, "datetime64[ns]", "datetime64[s]", "bool", "float32"])
            values = [random.choice([0, 1, -1, 127, 10**6, 10**9, 2**53]) for _ in range(rows)]
        else:
            dtype = random.choice(DTYPES)
            short = form.partition(":")[0]
            values = [random.choice([self.value(short), "", None]) for _ in range(rows)]
        try:
            return pd.Series(values, dtype="object").astype(dtype)
        except (ValueError, TypeError, OverflowError):  # pandas does not hold them: no input
            return pd.Series(values, dtype="object")

    def manifest(self) -> str:
        """Recover a table with a manifest that was changed."""
        random = self.random
        frame = pd.DataFrame({"a": ["219-09-9999", "~x"], "b": [123456789, 1]})
        strategy = random.choice(["fpe", "token"])
        done = anonymize(
            frame,
            strategy={"a": strategy},
            sensitive_columns=["a", "b"],
            small_domain="token",
            key_manager=self.manager,
        )
        document = copy.deepcopy(done.attrs["secureml"])
        for _ in range(random.randrange(1, 3)):
            _changed(document, random)
        text = json.dumps(document)
        if random.random() < 0.3:
            text = self._spoiled(text)
        if json.loads(json.dumps(done.attrs["secureml"])) == _parsed(text):
            return "recovered"
        reidentify(done, text if random.random() < 0.5 else document, key_manager=self.manager)
        if document != done.attrs["secureml"]:
            raise Surprise("a manifest that was changed was taken for good")
        return "recovered"


_ONE_WAY = [name for name in STRATEGIES.built_in if not strategy_type(name).reversible]


def _derived(purpose: str, size: int) -> bytes:
    return hashlib.shake_256(purpose.encode("utf-8", "surrogatepass")).digest(size)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _same(one: pd.Series, other: pd.Series) -> bool:
    return one.dtype == other.dtype and one.equals(other)


def _changed(document: Any, random: Random) -> None:
    """Change something in a document, in place."""
    while True:
        places = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not places:
            return
        place = random.choice(places)
        inner = document[place]
        if not isinstance(inner, dict | list) or random.random() < 0.1:
            break
        document = inner
    if isinstance(document, dict) and random.random() < 0.2:
        del document[place]
        return
    new = [
        *JUNK,
        1.5,
        {},
        [],
        "fpe/2",
        "class/1",
        "permute",
        inner,
        str(inner)[:-1],
        str(inner) + "0",
    ]
    document[place] = copy.deepcopy(random.choice(new))  # or what is in it would be junk next time


def main(arguments: Sequence[str] | None = None) -> int:
    """Throw inputs until there were enough, or the time is up, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600, help="stop after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=[*_TARGETS], default="values")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="throw this input alone")
    asked = parser.parse_args(arguments)
    with _TARGETS[asked.target]() as throw:
        return _run(asked, throw)


def _run(asked: argparse.Namespace, throw: _Throw) -> int:
    counts: Counter[tuple[str, str]] = Counter()
    surprises, start = 0, time.monotonic()
    for number in range(asked.inputs) if asked.only is None else [asked.only]:
        if time.monotonic() - start > asked.seconds:
            break
        name, target = throw(Random(f"{asked.seed}/{number}"), number)
        try:
            outcome = target()
        except SecureMLError as error:
            outcome = "refused" if isinstance(error, PseudonymizationError) else "refused otherwise"
        except Exception:  # whatever it is, it is what is looked for
            outcome = "surprise"
            surprises += 1
            print(f"input {number} of seed {asked.seed}, {name}:\n{traceback.format_exc()}")
        counts[name, outcome] += 1
    took = time.monotonic() - start
    print(f"{counts.total():,} inputs in {took:,.0f} s, seed {asked.seed}")
    for (name, outcome), count in sorted(counts.items()):
        print(f"  {name:9} {outcome:18} {count:>9,}")
    print(f"surprises: {surprises}")
    return 1 if surprises else 0


@contextmanager
def _values() -> Iterator[_Throw]:
    """Throw values at formats and strategies."""
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.import_key("master_key", "5e" * 32)

    def throw(random: Random, number: int) -> tuple[str, Callable[[], str]]:
        target = _target(Fuzzer(random, manager), number)
        return target.__name__, target

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", IrreversibleWarning)
        yield throw


@contextmanager
def _answers() -> Iterator[_Throw]:
    """Throw answers at what asks Vault; this needs the extra ``server``."""
    from fuzz_answers import serving

    with warnings.catch_warnings(action="ignore"), serving() as fuzzer:
        yield lambda random, number: ("answer", partial(fuzzer.throw, random, number))


@contextmanager
def _files() -> Iterator[_Throw]:
    """Throw files at what reads them."""
    from fuzz_files import writing

    with warnings.catch_warnings(action="ignore"), writing() as fuzzer:
        yield lambda random, number: ("file", partial(fuzzer.throw, random, number))


_TARGETS = {"values": _values, "answers": _answers, "files": _files}


def _target(fuzzer: Fuzzer, number: int) -> Callable[[], str]:
    """Choose what to throw: mostly columns, as whole tables take much longer."""
    if number % 50 == 0:
        return fuzzer.table
    if number % 50 == 1:
        return fuzzer.manifest
    return fuzzer.tampered if number % 4 == 2 else fuzzer.column


if __name__ == "__main__":
    sys.exit(main())
