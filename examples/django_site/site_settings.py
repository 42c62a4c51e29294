"""The site's settings; those of secureml are a section of them."""

import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "for development alone")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "testserver"]
INSTALLED_APPS = ["customers"]
ROOT_URLCONF = "customers.urls"

SECUREML = {"vault_path": "customers", "master_key_name": "customers_key", "cache_ttl": 60}
