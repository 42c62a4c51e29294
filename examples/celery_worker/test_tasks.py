import pytest
from tasks import hide

from secureml.errors import SecretNotFoundError, VaultUnavailableError
from secureml.files import reidentify_file

TABLE = "ssn,age\n219-09-9999,41\n123-45-6789,52\n"


def test_a_file_is_hidden_and_recovered(secureml_keys, secureml_canary, tmp_path):
    secureml_keys.import_key("master_key", secureml_canary.key)
    plain, hidden, recovered = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    plain.write_text(TABLE)
    assert hide.apply([str(plain), str(hidden)]).get() == 2
    assert "219-09-9999" not in hidden.read_text()
    reidentify_file(hidden, recovered)
    assert recovered.read_text() == TABLE


def test_a_missing_key_is_no_reason_to_try_again(secureml_keys, tmp_path):
    tmp_path.joinpath("a.csv").write_text(TABLE)
    with pytest.raises(SecretNotFoundError):
        hide.apply([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]).get()


def test_an_outage_is(secureml_settings, tmp_path):
    secureml_settings(vault_url="http://127.0.0.1:9", vault_token="t", vault_timeout=0.1)
    tmp_path.joinpath("a.csv").write_text(TABLE)
    hide.max_retries = 0
    with pytest.raises(VaultUnavailableError):
        hide.apply([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]).get()
