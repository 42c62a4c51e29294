"""The error tree: what is what, and what survives a trip between processes."""

import pickle

import pytest

from secureml import errors

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
    assert str(errors.ConfigurationError.of(["only"])) == "only"


def test_a_missing_extra_gives_the_install_line():
    assert "pip install 'secureml[vault]'" in str(errors.MissingExtraError.of("vault", "Vault"))
