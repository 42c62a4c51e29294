"""manage.py rotate_key: gives the site's key a new version."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from secureml import get_settings
from secureml.errors import SecretError
from secureml.key_management import get_default_key_manager


class Command(BaseCommand):
    help = "Give the site's key a new version; tables that were hidden before stay recoverable."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            info = get_default_key_manager().rotate_key(get_settings().master_key_name)
        except SecretError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{info.name} has version {info.version}")
