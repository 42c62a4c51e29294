"""The application: it hands its section of Django's settings to secureml."""

from django.apps import AppConfig
from django.conf import settings

import secureml


class CustomersConfig(AppConfig):
    name = "customers"

    def ready(self) -> None:
        secureml.configure(host=settings.SECUREML)
