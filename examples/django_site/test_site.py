import os

import django
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from secureml import get_settings, reidentify

ROWS = [{"ssn": "219-09-9999", "age": 41}, {"ssn": "123-45-6789", "age": 52}]


@pytest.fixture(scope="session", autouse=True)
def site() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
    django.setup()


def hidden() -> dict:
    answer = Client().post("/pseudonyms", ROWS, content_type="application/json")
    assert answer.status_code == 200
    return answer.json()


def test_secureml_has_the_settings_of_the_site():
    assert get_settings().vault_path == "customers"


def test_the_view_hides_rows(secureml_keys, secureml_canary):
    secureml_keys.import_key("customers_key", secureml_canary.key)
    answer = hidden()
    assert answer["rows"] != ROWS
    assert reidentify(answer["rows"], answer["manifest"]) == ROWS


def test_the_view_tells_an_outage(secureml_keys):
    answer = Client().post("/pseudonyms", ROWS, content_type="application/json")
    assert (answer.status_code, answer.json()) == (503, {"error": "SecretNotFoundError"})


def test_the_command_rotates_the_key_and_old_rows_are_recovered(secureml_keys, capsys):
    secureml_keys.generate_key("customers_key")
    before = hidden()
    call_command("rotate_key")
    assert capsys.readouterr().out == "customers_key has version 2\n"
    assert hidden()["rows"] != before["rows"]
    assert reidentify(before["rows"], before["manifest"]) == ROWS


def test_the_command_tells_what_went_wrong(secureml_keys):
    with pytest.raises(CommandError, match="customers_key"):
        call_command("rotate_key")
