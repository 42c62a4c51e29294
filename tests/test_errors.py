"""The error tree: what is what, and what survives a trip between processes."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from secureml import errors, forksafe

ROOT = Path(__file__).parent
ERRORS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]

TREE = {
    "ConfigurationError": (errors.SecureMLError, ValueError),
    "SecretNotFoundError": (errors.SecretError, LookupError),
    "SecretDeletedError": (errors.SecretNotFoundError,),
    "AccessDeniedError": (errors.SecretError, PermissionError),
    "AuthenticationError": (errors.SecretError,),
    "VaultUnavailableError": (errors.SecretError, ConnectionError),
    "VaultSealedError": (errors.VaultUnavailableError,),
    "MalformedAnswerError": (errors.VaultUnavailableError,),
    "KeyMaterialError": (errors.SecretError, ValueError),
    "SecretExistsError": (errors.SecretError,),
    "PseudonymizationError": (errors.SecureMLError, ValueError),
    "DomainTooSmallError": (errors.PseudonymizationError,),
    "ManifestError": (errors.PseudonymizationError,),
    "ManifestChangedError": (errors.ManifestError,),
    "WrongKeyError": (errors.ManifestError,),
    "WrongTableError": (errors.ManifestError,),
    "MissingExtraError": (errors.SecureMLError, ImportError),
}


@pytest.mark.parametrize(("name", "bases"), TREE.items())
def test_every_error_is_where_the_tree_says(name, bases):
    assert issubclass(getattr(errors, name), (*bases,))
    assert all(issubclass(getattr(errors, name), base) for base in bases)


def _with(error, **attributes):
    """Return an error with attributes that are not arguments of its class."""
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_a_docstring_and_one_root(error):
    assert error.__doc__
    assert issubclass(error, errors.SecureMLError)


@pytest.mark.parametrize(
    "error",
    [
        *(error("what happened") for error in ERRORS),
        errors.AccessDeniedError("denied", mount="secret", path="secret/data/a", capability="read"),
        errors.SecretNotFoundError("absent", looked_in=["Vault", "variable"]),
        errors.DomainTooSmallError("small", column="name", domain_size=676, rows=3),
        errors.ConfigurationError.of(["one", "two"]),
        errors.InvalidValueError("no SSN", column="ssn", rows=2, places=range(2)),
        errors.ArgumentError.of("strategy", "is none", "='x'"),
        _with(errors.AuthenticationError("expired"), request_id="4f2a"),
        _with(errors.VaultUnavailableError("down"), retry_after=3.0, is_limit=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_pickling(error):
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


def test_a_configuration_error_lists_every_problem():
    error = errors.ConfigurationError.of(["first", "second"])
    assert error.problems == ("first", "second")
    assert "first" in str(error)
    assert "second" in str(error)
    assert errors.ConfigurationError.of(["only"]).message == "only"


def test_a_missing_extra_gives_the_install_line():
    assert "pip install 'secureml[vault]'" in str(errors.MissingExtraError.of("vault", "Vault"))


def tree(error: type[errors.SecureMLError]) -> Iterator[type[errors.SecureMLError]]:
    """Walk through an error and all that are of its kind."""
    yield error
    for child in error.__subclasses__():
        if child.__module__.startswith("secureml."):
            yield from tree(child)


def raised(file: Path) -> Iterator[str]:
    """Tell the names of the errors that the tests in a file expect."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises" and node.args:
            yield from re.findall(r"\w+", ast.unparse(node.args[0]))


def test_every_error_has_a_code_and_a_remedy_of_its_own():
    found = list(tree(errors.SecureMLError))
    assert forksafe.BusyError in found
    codes = [vars(error)["code"] for error in found]
    assert all(re.fullmatch(r"SML-\d{3}", code) for code in codes)
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z].+\.", vars(error)["remedy"], re.DOTALL) for error in found)


def test_every_error_is_raised_by_a_test():
    expected = {name for file in ROOT.rglob("test_*.py") for name in raised(file)}
    missing = [error.__name__ for error in tree(errors.SecureMLError)]
    assert [name for name in missing if name not in expected] == []


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_shows_its_code_once_behind_its_message(error):
    made = error("what happened")
    assert str(made) == f"what happened ({error.code})"
    assert made.message == "what happened"
    made.reword(f"here: {made.message}")
    assert str(made) == f"here: what happened ({error.code})"


def test_the_code_of_a_list_of_problems_is_on_a_line_of_its_own():
    assert str(errors.ConfigurationError.of(["first", "second"])).splitlines()[-1] == "(SML-100)"


def test_a_notebook_shows_the_message_and_the_remedy_without_the_traceback():
    shown = errors.WrongKeyError("another key")._render_traceback_()
    assert shown == ["WrongKeyError: another key (SML-412)", errors.WrongKeyError.remedy]
