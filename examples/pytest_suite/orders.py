"""A program whose tests need keys: it exports orders, with pseudonyms in place of addresses."""

import logging

import pandas as pd

from secureml import anonymize, reidentify
from secureml.key_management import get_default_key_manager

log = logging.getLogger(__name__)


def export(orders: pd.DataFrame) -> pd.DataFrame:
    """Return the orders as an analyst gets them; the rules are in settings.toml."""
    hidden = anonymize(orders)
    log.info("exported %d orders", len(hidden))
    return hidden


def customers_of(hidden: pd.DataFrame, rows: list[int]) -> list[str]:
    """Return who placed some of the exported orders."""
    return reidentify(hidden.loc[rows])["email"].tolist()


def connection_string() -> str:
    """Return where the orders are, with the password of the reader."""
    password = get_default_key_manager().get_secret("database/password")
    log.info("the password has %d characters", len(password))
    return f"postgresql://reader:{password}@db.example.com/shop"
