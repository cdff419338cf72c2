"""The entry of the web server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")
os.environ.setdefault("TASKHUB_DATABASE_POOL", "16")
application = get_wsgi_application()
