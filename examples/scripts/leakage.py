"""Measure what pseudonyms still tell whoever knows how often each value occurs, and plot it.

The attacker sees the pseudonyms of one half of the customers, and knows the other half in clear,
which serves as a census. Without the key, the most frequent pseudonym is taken for the most
frequent value that could look like it, the next for the next, and so on.

    python leakage.py [FOLDER]     writes leakage-country.svg and leakage-first-name.svg
"""

import sys
from collections import Counter, defaultdict
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from secureml import KeyManager, anonymize
from secureml.stores import MemoryStore

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "leakage", "svg.fonttype": "none", "font.size": 8}

STRATEGIES = {
    "clear": None,
    "fpe": {"strategy": "fpe", "small_domain": "permute"},
    "fpe, tweak": {"strategy": "fpe", "small_domain": "token", "tweak": True},
    "token": {"strategy": "token"},
    "hash": {"strategy": "hash"},
    "mask": {"strategy": "mask", "options": {"keep_first": 1}},
    "redact": {"strategy": "redact"},
    "null": {"strategy": "null"},
}


def shape(value):
    """Return the class of each character: what the format "class" keeps."""
    return "".join("a" if c.islower() else "A" if c.isupper() else c for c in value)


LOOKS = {
    "fpe": shape,
    "fpe, tweak": shape,
    "token": lambda value: len(value.encode()),
    "mask": lambda value: value[:1] + "*" * (len(value) - 1) if len(value) > 1 else "*",
}
"""What a strategy shows of a value, as the attacker can tell of any value; by default nothing."""


def customers():
    """Read the customers, each once."""
    table = pd.read_csv(Path(__file__).parents[1] / "customers.csv", dtype="str").drop_duplicates()
    words = table["name"].str.replace(r"^(Dr|Mr|Mrs|Ms|Miss|Prof)\.? ", "", regex=True).str.split()
    table["first_name"] = words.str[0]
    return table.dropna(subset=["first_name", "country"]).drop_duplicates("customer_id")


def protected(table, column, strategy, manager):
    """Return a column as a strategy leaves it."""
    if STRATEGIES[strategy] is None:
        return table[column]
    rule = dict(STRATEGIES[strategy])
    if rule.pop("tweak", False):
        rule["tweaks"] = {column: "customer_id"}
    rule["options"] = {column: rule.get("options", {})}
    hidden = anonymize(table, sensitive_columns=[column], key_manager=manager, **rule)
    return hidden[column].astype("object").where(hidden[column].notna(), "null")


def ranked(values):
    """Return distinct values, the most frequent first."""
    return [
        value for value, _ in sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def guessed(seen, truth, known, strategy):
    """Return the share of rows whose value the attacker guesses right."""
    looks = LOOKS.get(strategy, lambda value: "")
    by_look = defaultdict(list)
    for row, value in enumerate(truth):  # what is shown of a pseudonym is shown of its value
        by_look[looks(value)].append(row)
    candidates = {look: ranked(group) for look, group in groupby(sorted(known, key=looks), looks)}
    right = 0
    for look, rows in by_look.items():
        likely = candidates.get(look, [])
        pseudonyms = [seen[row] for row in rows]
        by_rank = dict(zip(ranked(pseudonyms), likely, strict=False))
        matched = sum(by_rank.get(seen[row]) == truth[row] for row in rows)
        most_likely = sum(likely[:1] == [truth[row]] for row in rows)
        right += max(matched, most_likely)
    return right / len(truth)


def guessed_by_order(table, column, manager):
    """Return the share of rows that a sorted list of all values tells of categories of hashes."""
    categories = table.astype({column: "category"})
    hidden = anonymize(
        categories, strategy="hash", sensitive_columns=[column], key_manager=manager
    )[column]
    known = dict(zip(hidden.cat.categories, sorted(set(table[column])), strict=True))
    return (hidden.astype("object").map(known) == table[column]).mean()


def plot(columns, file):
    """Draw how often each value occurs, before and after, the most frequent first."""
    figure, axes = plt.subplots(2, 4, figsize=(9, 4), sharey=True, layout="constrained")
    for axis, (strategy, seen) in zip(axes.flat, columns.items(), strict=True):
        counts = sorted(Counter(seen).values(), reverse=True)[:25]
        axis.bar(range(len(counts)), counts, color="#888888" if strategy == "clear" else "#2a6f97")
        axis.set(
            title=f"{strategy}: {len(set(seen)):,} distinct", xlim=(-1, 25), xticks=[], yscale="log"
        )
        axis.minorticks_off()
    figure.supylabel("rows")
    figure.savefig(file, metadata={"Date": None})


def main(folder):
    """Print the shares that were guessed right, and write the plots."""
    manager = KeyManager(store=MemoryStore(), environment="development")
    manager.import_key("master_key", "5e" * 32)
    table = customers()
    public, secret = table.iloc[::2], table.iloc[1::2]
    print(f"{'strategy':12} {'country':>8} {'first name':>11}    rows guessed right")
    found = {
        column: {one: protected(secret, column, one, manager).tolist() for one in STRATEGIES}
        for column in ("country", "first_name")
    }
    for strategy in list(STRATEGIES)[1:]:
        shares = [
            guessed(seen[strategy], secret[column].tolist(), public[column].tolist(), strategy)
            for column, seen in found.items()
        ]
        print(f"{strategy:12} {shares[0]:8.1%} {shares[1]:11.1%}")
    shares = [guessed_by_order(secret, column, manager) for column in found]
    print(f"{'hash, order':12} {shares[0]:8.1%} {shares[1]:11.1%}")
    for column, seen in found.items():
        plot(seen, Path(folder) / f"leakage-{column.replace('_', '-')}.svg")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["."])
