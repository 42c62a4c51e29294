"""Keys and data through random lives, on the real server, held against a model of what must hold.

Two managers with caches of their own change keys and move data in turn and at once. Whatever they
do, a datum whose key version is neither destroyed nor disabled comes back exactly, and a version
once written stays what it is.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest import mock

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from helpers.clock import Clock
from secureml import anonymize, reidentify, rekey
from secureml.errors import (
    KeyDisabledError,
    SecretDeletedError,
    SecretError,
    SecretExistsError,
    SecretNotFoundError,
)
from secureml.key_management import KeyManager, lifecycle
from secureml.pseudonymization.manifest import Manifest

STEPS = 50
WANTED = 28
"""Steps of each life that did something; those that found nothing to work on don't count."""

COLUMN = "serial"
CACHE_TTL = 300
PATIENCE = 30
"""Seconds for threads to meet; none waits for longer than the other one takes to come."""

ENABLED, DISABLED, DESTROYED = "enabled", "disabled", "destroyed"
REFUSALS: dict[str, type[SecretError]] = {
    DISABLED: KeyDisabledError,
    DESTROYED: SecretDeletedError,
}

# Choices have the same range at every step, so that threads can't make examples irreproducible.
pick = st.integers(0, 2**16)
who = st.integers(0, 1)
slot = st.integers(0, 1)


@dataclass
class Version:
    """One version of a key as the model knows it."""

    fingerprint: str | None
    state: str = ENABLED


@dataclass
class Actor:
    """A manager, and the names that others have changed since it last asked Vault about them."""

    manager: KeyManager
    clock: Clock
    outdated: set[str] = field(default_factory=set)

    def forget(self) -> None:
        self.clock.now += CACHE_TTL + 1
        self.outdated.clear()


@dataclass(frozen=True)
class Datum:
    """A table, how it was pseudonymized, and under which version of which key."""

    plain: pd.DataFrame
    pseudonymized: pd.DataFrame
    name: str
    version: int


class KeyLife(RuleBasedStateMachine):
    """Rules that change keys and data; each checks its outcome against the model."""

    numbers = itertools.count()
    seen: ClassVar[Counter[str]] = Counter()
    """What came of the steps, one of which may have come to several things."""
    steps = 0

    def __init__(self, vault) -> None:
        super().__init__()
        folder = f"example{next(self.numbers)}"

        def manager(clock: Clock) -> KeyManager:
            return KeyManager(
                vault.url,
                vault.token,
                vault_namespace=vault.namespace,
                vault_path=folder,
                environment="staging",
                cache_ttl=CACHE_TTL,
                clock=clock,
            )

        clocks = [Clock(), Clock(), Clock()]
        first, second, auditor = (Actor(manager(clock), clock) for clock in clocks)
        self.actors, self.auditor = (first, second), auditor
        self.keys: dict[str, list[Version]] = {}
        self.names = ["key0", "key1"]
        self.data: list[Datum] = []
        self.acted = False

    @invariant()
    def count(self) -> None:
        KeyLife.steps += self.acted
        self.acted = False

    def teardown(self) -> None:
        try:
            for name in self.keys:
                self.compare_history(name)
            for datum in self.data:
                self.auditor.forget()
                self.recover_with(self.auditor, datum)
        finally:
            for actor in (*self.actors, self.auditor):
                actor.manager.close()

    @initialize(pick=pick)
    def begin(self, pick: int) -> None:
        self.generate(0, 0)
        self.anonymize(0, 0, pick)

    @rule(who=who, slot=slot)
    def generate(self, who: int, slot: int) -> None:
        actor, name = self.actors[who], self.usable_name(slot)
        with refused(SecretExistsError if name in self.keys else None) as done:
            done(actor.manager.generate_key(name))
        if done.result is not None:
            self.keys[name] = []
            self.written(name, done.result)
        self.settle(actor, name, done)

    @rule(slot=slot)
    def generate_at_once(self, slot: int) -> None:
        name = self.usable_name(slot)
        infos = self.at_once(lambda actor: actor.manager.generate_key(name))
        assert len(infos) == (name not in self.keys)
        for info in infos:
            self.keys[name] = []
            self.written(name, info)
        self.changed(None, name)

    @rule(who=who, slot=slot)
    def rotate(self, who: int, slot: int) -> None:
        actor, name = self.actors[who], self.names[slot]
        with refused(self.refusal_of_rotation(name)) as done:
            done(actor.manager.rotate_key(name))
        if done.result is not None:
            self.written(name, done.result)
        self.settle(actor, name, done)

    @rule(slot=slot)
    def rotate_at_once(self, slot: int) -> None:
        """Both have read the newest version before either writes the next one."""
        name = self.names[slot]
        if self.refusal_of_rotation(name) is not None:
            return
        meeting = threading.Barrier(2)

        def material(size: int) -> bytes:
            meeting.wait(PATIENCE)
            return secrets.token_bytes(size)

        with mock.patch.object(lifecycle, "token_bytes", material):
            infos = self.at_once(lambda actor: actor.manager.rotate_key(name))
        assert len(infos) == 1
        self.written(name, infos[0])
        self.changed(None, name)

    @rule(who=who, slot=slot, pick=pick)
    def disable(self, who: int, slot: int, pick: int) -> None:
        self.set_state(self.actors[who], self.names[slot], pick, DISABLED)

    @rule(who=who, slot=slot, pick=pick)
    def enable(self, who: int, slot: int, pick: int) -> None:
        self.set_state(self.actors[who], self.names[slot], pick, ENABLED)

    @rule(who=who, by=who, pick=pick)
    def disable_what_is_cached(self, who: int, by: int, pick: int) -> None:
        if not self.data:
            return
        datum = self.data[pick % len(self.data)]
        reader, changing = self.actors[who], self.actors[by]
        self.recover_with(reader, datum)
        self.set_state(changing, datum.name, datum.version - 1, DISABLED)
        self.recover_with(reader, datum)
        reader.forget()
        self.recover_with(reader, datum)
        self.set_state(changing, datum.name, datum.version - 1, ENABLED)
        self.recover_with(reader, datum)

    @rule(who=who, slot=slot, pick=pick)
    def destroy(self, who: int, slot: int, pick: int) -> None:
        actor, name = self.actors[who], self.names[slot]
        versions = self.keys.get(name, [])
        # Seldom the newest, after which there is not much left to be done with a key.
        candidates = versions if pick % 4 == 0 else versions[:-1]
        if not candidates:
            return
        number = pick % len(candidates) + 1
        version = versions[number - 1]
        gone = SecretDeletedError if version.state == DESTROYED else None
        with refused(gone) as done:
            done(actor.manager.destroy_key_version(name, number, version.fingerprint or "gone"))
        version.state = DESTROYED
        self.settle(actor, name, done)

    @rule(who=who, slot=slot, pick=pick)
    def read(self, who: int, slot: int, pick: int) -> None:
        actor, name = self.actors[who], self.names[slot]
        versions = self.keys.get(name, [])
        number = pick % (len(versions) + 1) or None  # None is the newest
        key = self.attempt(
            actor, name, number, lambda: actor.manager.get_key(name, number), "key came back"
        )
        if key is not None:
            self.check_version(actor, name, number, key.version)
            assert key.fingerprint == versions[key.version - 1].fingerprint

    @rule(who=who, slot=slot, pick=pick)
    def anonymize(self, who: int, slot: int, pick: int) -> None:
        actor, name = self.actors[who], self.names[slot]
        plain = table(pick)
        made = self.attempt(
            actor, name, None, lambda: pseudonymized(plain, name, actor.manager), "data made"
        )
        if made is not None:
            self.keep(actor, name, plain, made)

    @rule(slot=slot, pick=pick)
    def anonymize_while_rotating(self, slot: int, pick: int) -> None:
        """A job has one version from beginning to end, whatever happens meanwhile."""
        name, plain = self.names[slot], table(pick)
        if self.refusal_of_rotation(name) is not None or self.expected(name, None) is not None:
            return
        rotating, working = self.actors
        working.forget()
        with ThreadPoolExecutor(2) as pool:
            rotation = pool.submit(rotating.manager.rotate_key, name)
            made = pool.submit(pseudonymized, plain, name, working.manager).result()
            self.written(name, rotation.result())
        self.changed(rotating, name)
        self.keep(working, name, plain, made)

    @rule(who=who, pick=pick)
    def reidentify(self, who: int, pick: int) -> None:
        if self.data:
            self.recover_with(self.actors[who], self.data[pick % len(self.data)])

    @rule(who=who, pick=pick, slot=slot, same=st.booleans())
    def rekey(self, who: int, pick: int, slot: int, same: bool) -> None:
        if not self.data:
            return
        actor, datum = self.actors[who], self.data[pick % len(self.data)]
        name = datum.name if same else self.names[slot]
        moved, error = outcome_of(
            lambda: rekey(datum.pseudonymized, None if same else name, key_manager=actor.manager)
        )
        readable = self.expected(datum.name, datum.version)
        if error is not None and type(error) is readable:
            self.did(type(error).__name__)
            return
        assert readable is None or datum.name in actor.outdated, (readable, error)
        # The key that data is moved to is never an outdated one.
        assert type(error) is (self.expected(name, None) or type(None)), error
        self.did("data moved" if error is None else type(error).__name__)
        if moved is not None:
            actor.outdated.discard(name)
            self.keep(actor, name, datum.plain, moved)

    @rule(who=who)
    def expire(self, who: int) -> None:
        self.actors[who].forget()
        self.did("expired")

    def set_state(self, actor: Actor, name: str, pick: int, state: str) -> None:
        versions = self.keys.get(name, [])
        if not versions:
            return
        number = pick % len(versions) + 1
        version = versions[number - 1]
        change = {
            DISABLED: actor.manager.disable_key_version,
            ENABLED: actor.manager.enable_key_version,
        }[state]
        with refused(SecretDeletedError if version.state == DESTROYED else None) as done:
            done(change(name, number))
        if done.result is not None:
            version.state = state
        self.settle(actor, name, done)

    def recover_with(self, actor: Actor, datum: Datum) -> None:
        recovered = self.attempt(
            actor,
            datum.name,
            datum.version,
            lambda: reidentify(datum.pseudonymized, key_manager=actor.manager),
            "data came back",
        )
        if recovered is not None:
            pd.testing.assert_frame_equal(recovered, datum.plain)

    def attempt(self, actor: Actor, name: str, number: int | None, do: Callable, what: str):
        """Do something that needs a version of a key: it is to be had, or its state says why not.

        A manager whose cache others have overtaken may go by what was true before, for so long.
        """
        result, error = outcome_of(do)
        expected = self.expected(name, number)
        if type(error) is (expected or type(None)):
            self.did(what if error is None else type(error).__name__)
            return result
        assert name in actor.outdated, (name, number, expected, error)
        assert error is None or type(error) is SecretNotFoundError
        self.did("overtaken")
        return result

    def expected(self, name: str, number: int | None) -> type[SecretError] | None:
        if name not in self.keys:
            return SecretNotFoundError
        versions = self.keys[name]
        return REFUSALS.get(versions[(number or len(versions)) - 1].state)

    def refusal_of_rotation(self, name: str) -> type[SecretError] | None:
        # The newest version that is left tells the length of the next one, disabled or not.
        refusal = self.expected(name, None)
        return refusal if refusal is SecretNotFoundError else None

    def keep(self, actor: Actor, name: str, plain: pd.DataFrame, made: pd.DataFrame) -> None:
        key = Manifest.parse(made.attrs["secureml"]).key
        assert key.name == name
        assert key.version is not None
        self.check_version(actor, name, None, key.version)
        assert not set(made[COLUMN]) & set(plain[COLUMN])
        self.data.append(Datum(plain, made, name, key.version))

    def check_version(self, actor: Actor, name: str, asked: int | None, given: int) -> None:
        newest = len(self.keys[name])
        if asked is not None:
            assert given == asked
        elif name in actor.outdated:
            assert 1 <= given <= newest
        else:
            assert given == newest

    def written(self, name: str, info) -> None:
        """Take a new version into the model: the next one, and unlike any other."""
        versions = self.keys[name]
        assert info.version == len(versions) + 1
        assert info.fingerprint not in {
            each.fingerprint for every in self.keys.values() for each in every
        }
        versions.append(Version(info.fingerprint))

    def settle(self, actor: Actor, name: str, done: Done) -> None:
        """Note what came of a change: one that was refused taught the manager nothing for sure."""
        if done.result is None:
            self.did("refused change")
        else:
            self.changed(actor, name)

    def changed(self, by: Actor | None, name: str) -> None:
        """Note who may be outdated now; whoever makes a change knows of it."""
        for actor in self.actors:
            if by is None or actor is not by:
                actor.outdated.add(name)
            else:
                actor.outdated.discard(name)
        self.did("changed")
        self.compare_history(name)

    def compare_history(self, name: str) -> None:
        """Hold Vault's history against the model: no version is lost, nor ever another one."""
        versions = self.keys[name]
        history = self.auditor.manager.key_history(name)
        assert [info.version for info in history] == [*range(1, len(versions) + 1)]
        for info, version in zip(history, versions, strict=True):
            if version.state != ENABLED:
                assert info.state == version.state
            else:
                assert info.state == (ENABLED if version is versions[-1] else "decrypt-only")
            wanted = None if version.state == DESTROYED else version.fingerprint
            assert info.fingerprint == wanted

    def usable_name(self, slot: int) -> str:
        """Take a new name in place of one whose newest version is destroyed."""
        name = self.names[slot]
        if name in self.keys and self.keys[name][-1].state == DESTROYED:
            name = self.names[slot] = f"{name}.{len(self.keys)}"
        return name

    def at_once(self, do: Callable[[Actor], object]) -> list:
        """Let both managers do the same; return what came of it for those who were first."""
        start = threading.Barrier(2)

        def run(actor: Actor):
            start.wait(PATIENCE)
            return outcome_of(lambda: do(actor))

        with ThreadPoolExecutor(2) as pool:
            outcomes = [*pool.map(run, self.actors)]
        assert all(type(error) in (type(None), SecretExistsError) for _, error in outcomes)
        return [result for result, _ in outcomes if result is not None]

    def did(self, what: str) -> None:
        self.seen[what] += 1
        self.acted = True


class Done:
    """Takes the result of what is done in a ``with refused(...)`` block."""

    result = None

    def __call__(self, result: object) -> None:
        self.result = result


@contextmanager
def refused(kind: type[SecretError] | None) -> Iterator[Done]:
    """Expect exactly this error, or none."""
    done = Done()
    error = None
    try:
        yield done
    except SecretError as caught:
        error = caught
    assert type(error) is (kind or type(None)), error


def outcome_of(do: Callable) -> tuple:
    """Return the result and the refusal, one of which is None."""
    try:
        return do(), None
    except SecretError as error:
        return None, error


def table(pick: int) -> pd.DataFrame:
    numbers = [(pick * 7919 + row * 104729) % 10**9 for row in range(3)]
    return pd.DataFrame({COLUMN: [f"{number:09d}" for number in numbers], "row": range(3)})


def pseudonymized(plain: pd.DataFrame, name: str, manager: KeyManager) -> pd.DataFrame:
    return anonymize(plain, sensitive_columns=[COLUMN], master_key_name=name, key_manager=manager)


@pytest.mark.timeout(900)
def test_whatever_happens_to_keys_their_data_comes_back(vault: Any, thorough: bool) -> None:
    lives, enough = (70, 5) if thorough else (20, 1)
    KeyLife.seen.clear()
    KeyLife.steps = 0
    run_state_machine_as_test(
        lambda: KeyLife(vault),
        settings=settings(
            max_examples=lives,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=True,
            # No shrinking: on a real server it takes minutes, and a failure is to be told soon.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert KeyLife.steps >= WANTED * lives
    for kind in (
        "changed",
        "expired",
        "key came back",
        "data made",
        "data moved",
        "data came back",
        "overtaken",
        KeyDisabledError.__name__,
        SecretDeletedError.__name__,
        SecretNotFoundError.__name__,
    ):
        # Without these the run would mean little.
        assert KeyLife.seen[kind] >= enough, KeyLife.seen
