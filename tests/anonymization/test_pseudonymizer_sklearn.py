"""Pseudonymizer as a transformer of scikit-learn, with scikit-learn's own checks and models."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.vault import Vault
from secureml import KeyManager, Pseudonymizer
from secureml.errors import ArgumentError, WrongKeyError
from secureml.stores import MemoryStore

sklearn = pytest.importorskip("sklearn")

from joblib.externals.loky import ProcessPoolExecutor  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.compose import ColumnTransformer, make_column_transformer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

# Of what an older scikit-learn asks of SciPy.
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")

KEY, OTHER = "11" * 32, "22" * 32
DO_NOT_APPLY = {
    "check_complex_data": "columns that no plan names stay as they are, of whatever type",
    "check_estimators_empty_data_messages": "a table without rows is pseudonymized too",
    "check_estimators_unfitted": "the error is one of secureml's, and a ValueError",
    "check_transformer_data_not_an_array": "a table has columns of text; arrays are numpy's",
    "check_dict_unchanged": "manifest_ is that of the last transform",
}
ROWS = 200
PLACES = ["Wrocław", "Bordeaux", "Göteborg", "Salamanca"]
PEOPLE = pd.DataFrame(
    {
        "ssn": [f"{100 + n}-{10 + n % 80}-{1000 + 7 * n}" for n in range(ROWS)],
        "place": [PLACES[n * n % 4 if n % 3 else n % 4] for n in range(ROWS)],
        "income": np.linspace(-1, 1, ROWS),
    }
)
BOUGHT = (PEOPLE["place"].isin(PLACES[:2]) ^ (PEOPLE["income"] > 0.9)).to_numpy()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECUREML_MASTER_KEY", KEY)


@pytest.fixture
def executors() -> Iterator[list[ProcessPoolExecutor]]:
    """Executors that are ended after the test."""
    made: list[ProcessPoolExecutor] = []
    yield made
    for executor in made:
        executor.shutdown(wait=True, kill_workers=True)


def negated(column: pd.Series) -> pd.Series:
    return -column


def test_the_checks_of_scikit_learn_pass_where_they_apply() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it does not inherit from BaseEstimator
        results = check_estimator(
            Pseudonymizer(["x0"], negated), expected_failed_checks=DO_NOT_APPLY, on_skip=None
        )
    status = {result["check_name"]: result["status"] for result in results}
    assert {name for name, told in status.items() if told == "xfail"} <= {*DO_NOT_APPLY}
    assert sum(told == "passed" for told in status.values()) >= 30


def test_a_model_learns_the_same_of_pseudonyms_as_of_values() -> None:
    def classifier() -> Any:
        return make_pipeline(
            make_column_transformer((OneHotEncoder(), ["place"]), ("passthrough", ["income"])),
            LogisticRegression(),
        )

    hidden = make_pipeline(Pseudonymizer(["ssn", "place"]), classifier())
    hidden.fit(PEOPLE, BOUGHT)
    assert not set(PLACES) & set(hidden[0].transform(PEOPLE)["place"])
    plain = classifier().fit(PEOPLE, BOUGHT)
    assert hidden.score(PEOPLE, BOUGHT) == plain.score(PEOPLE, BOUGHT) > 0.9
    assert (hidden.predict(PEOPLE[:50]) == plain.predict(PEOPLE[:50])).all()


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_a_column_transformer_takes_columns_by_name_and_gives_the_container_asked_for(
    container: str,
) -> None:
    library = pytest.importorskip(container)
    if container == "polars" and sklearn.__version__.startswith(("1.6.", "1.7.", "1.8.")):
        pytest.skip("this scikit-learn takes frames of Polars before 2 alone")
    columns = ColumnTransformer(
        [("hidden", Pseudonymizer(["ssn"], formats={"ssn": "ssn"}), ["ssn", "place"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=container)
    made = columns.fit_transform(PEOPLE)
    assert isinstance(made, library.DataFrame)
    assert list(made.columns) == ["ssn", "place", "income"]
    fitted = columns.named_transformers_["hidden"]
    recovered = fitted.inverse_transform(
        pd.DataFrame({name: list(made[name]) for name in ("ssn", "place")})
    )
    assert list(recovered["ssn"]) == list(PEOPLE["ssn"])


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_rows_as_dicts_come_out_in_the_container_asked_for(container: str) -> None:
    library = pytest.importorskip(container)
    model = Pseudonymizer(["ssn"]).set_output(transform=container)
    made = model.fit_transform(PEOPLE.to_dict("records"))
    assert isinstance(made, library.DataFrame)
    assert list(made["ssn"]) == list(model.transform(PEOPLE)["ssn"])


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_output_follows_the_object_and_else_the_configuration(container: str) -> None:
    library = pytest.importorskip(container)
    array = PEOPLE.to_numpy()
    model = Pseudonymizer(["x0"]).fit(array)
    assert isinstance(model.transform(array), np.ndarray)
    with sklearn.config_context(transform_output=container):
        assert isinstance(model.transform(array), library.DataFrame)
        model.set_output(transform="default").set_output(transform=None)
        assert isinstance(model.transform(array), np.ndarray)
    made = model.set_output(transform=container).transform(array)
    assert list(made.columns) == list(model.get_feature_names_out())
    with pytest.raises(ArgumentError, match="must be one of"):
        model.set_output(transform="arrow")


def test_a_clone_has_the_key_manager_and_the_output_and_no_plan() -> None:
    with KeyManager(store=MemoryStore()) as manager:
        manager.generate_key("master_key")
        model = Pseudonymizer(["ssn"], domains={"ssn": "person"}, key_manager=manager)
        model.set_output(transform="pandas").fit(PEOPLE)
        copy = clone(model)
        assert copy.key_manager is manager
        assert copy.domains == model.domains
        assert copy.domains is not model.domains
        assert not hasattr(copy, "plan_")
        assert copy.fit(PEOPLE) == model
        assert isinstance(copy.transform(PEOPLE), pd.DataFrame)


def test_a_search_goes_over_strategies() -> None:
    pipeline = make_pipeline(
        Pseudonymizer(["place"]),
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["place"])),
        LogisticRegression(),
    )
    grid = {"pseudonymizer__strategy": ["redact", "fpe", "hash"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(PEOPLE, BOUGHT)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < scores[1] == scores[2]
    assert search.best_params_ == {"pseudonymizer__strategy": "fpe"}


def test_processes_of_joblib_take_the_key_with_credentials_of_their_own(
    vault: Vault, executors: list[ProcessPoolExecutor]
) -> None:
    options: dict[str, Any] = {"vault_url": vault.url, "vault_namespace": vault.namespace}
    with KeyManager(vault_token=vault.token, **options) as manager:
        manager.generate_key("master_key")
        material = manager.get_encryption_key("master_key")
        model = Pseudonymizer(["ssn"], key_manager=manager).fit(PEOPLE)
        manager.rotate_key("master_key")
        expected = model.transform(PEOPLE)
    pickled = pickle.dumps(model)
    for secret in (material, material.hex().encode(), vault.token.encode()):
        assert secret not in pickled
    policy = 'path "secret/data/secureml/master_key" { capabilities = ["read"] }'
    settings = {
        "SECUREML_VAULT_URL": vault.url,
        "SECUREML_VAULT_NAMESPACE": vault.namespace or "",
        "SECUREML_VAULT_TOKEN": vault.policy_token(policy),
        "SECUREML_MASTER_KEY": OTHER,  # which Vault comes before
    }
    executors.append(ProcessPoolExecutor(max_workers=2, env=settings))
    halves = [PEOPLE[: ROWS // 2], PEOPLE[ROWS // 2 :]]
    work = [executors[0].submit(pickle.loads(pickled).transform, half) for half in halves]
    made = pd.concat([each.result(timeout=120) for each in work])
    assert list(made["ssn"]) == list(expected["ssn"])


def test_a_process_of_joblib_with_another_key_is_refused(
    executors: list[ProcessPoolExecutor],
) -> None:
    model = Pseudonymizer(["ssn"]).fit(PEOPLE)
    executors.append(ProcessPoolExecutor(max_workers=1, env={"SECUREML_MASTER_KEY": OTHER}))
    with pytest.raises(WrongKeyError, match="is not the same"):
        executors[0].submit(model.transform, PEOPLE).result(timeout=120)
