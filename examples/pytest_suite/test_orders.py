import pandas as pd
import pytest
from orders import connection_string, customers_of, export

from secureml.errors import AccessDeniedError, PseudonymizationError, SecretNotFoundError
from secureml.key_management import get_default_key_manager

ORDERS = pd.DataFrame(
    {"email": ["zoe@example.com", "jose@example.org", "zoe@example.com"], "total": [41, 52, 17]}
)
READER = 'path "secret/data/shop/*" { capabilities = ["read"] }'


@pytest.fixture
def key(secureml_keys, secureml_canary) -> None:
    """A key in memory that must not show up in a log, the output or a warning."""
    secureml_keys.import_key("master_key", secureml_canary.key)


def test_an_export_keeps_totals_and_tells_customers_apart(key):
    hidden = export(ORDERS)
    assert hidden["total"].tolist() == [41, 52, 17]
    assert hidden["email"].str.startswith("customer_").all()
    assert hidden["email"].nunique() == 2


def test_customers_are_found_after_a_rotation(key, secureml_keys):
    hidden = export(ORDERS)
    secureml_keys.rotate_key("master_key")
    assert customers_of(hidden, [1]) == ["jose@example.org"]


def test_no_export_without_a_key(secureml_keys):
    with pytest.raises(SecretNotFoundError):
        export(ORDERS)


def test_production_refuses_columns_without_a_rule(key, secureml_settings):
    secureml_settings(environment="production")
    with pytest.raises(PseudonymizationError, match="phone"):
        export(ORDERS.assign(phone="555-0100"))


def test_the_password_is_not_logged(secureml_keys, secureml_canary):
    secureml_keys.set_secret("database/password", secureml_canary.text)
    assert secureml_canary.text in connection_string()


def test_the_policy_of_the_program_lets_it_read_alone(secureml_vault, secureml_settings):
    with secureml_vault.key_manager(vault_path="shop") as operator:
        operator.generate_key("master_key")
    token = secureml_vault.policy_token(READER)
    secureml_settings(**secureml_vault.settings | {"vault_token": token, "vault_path": "shop"})
    assert len(export(ORDERS)) == 3
    with pytest.raises(AccessDeniedError):
        get_default_key_manager().generate_key("another_key")
