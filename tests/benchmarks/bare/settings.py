"""A Django project with nothing in it that a call does not need: no middleware, one renderer, one parser."""

import os

import dj_database_url

SECRET_KEY = "only for measuring"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.benchmarks.bare.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "tests.benchmarks.bare",
]
DATABASES = {"default": dj_database_url.parse(os.environ["BARE_DATABASE_URL"])}
# As taskhub's own settings, so that the pool makes no difference.
DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 16, "timeout": 4, "reconnect_timeout": 2}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
USE_I18N = False
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}
