"""The addresses of the site."""

from django.urls import path

from customers.views import hide

urlpatterns = [path("pseudonyms", hide)]
