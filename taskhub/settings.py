"""Settings, read from the environment once; a wrong value stops the start with a sentence that names it.

`manage.py up` fills DATABASE_URL, REDIS_URL, TASKHUB_SECRET_KEY and TASKHUB_PRIVATE for the private home.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from taskhub import __version__
from taskhub.environment import (
    broker_address,
    env_apps,
    env_email,
    env_flag,
    env_flag_of_extra,
    env_int,
    env_list,
    env_mail_server,
    env_rate,
    env_text,
    env_web_address,
    env_word,
)
from taskhub.outbound.policy import Allow
from taskhub.start import programs
from taskhub.web.hub_names import HubNames, host_of, is_loopback, mail_domain

BASE_DIR = Path(__file__).resolve().parent.parent

# The place and its address

PRIVATE = env_flag("TASKHUB_PRIVATE", False)
HOME = Path(env_text("TASKHUB_HOME", str(BASE_DIR / "var"))).resolve()
PUBLIC_URL = env_web_address("TASKHUB_PUBLIC_URL", "http://127.0.0.1:8000")
DEBUG = env_flag("TASKHUB_DEBUG", False)
BOUND_HOST = env_text("TASKHUB_BOUND_HOST", "127.0.0.1")
# Nobody but this machine's people and programs comes to it: some things can be more convenient.
IS_LOCAL = PRIVATE and is_loopback(BOUND_HOST)
ALLOWED_HOSTS = env_list("TASKHUB_ALLOWED_HOSTS", "" if PRIVATE else "*")
# The private home answers to its own names only: see taskhub.web.middleware.HubNamesMiddleware.
HUB_NAMES = None
if PRIVATE and "*" not in ALLOWED_HOSTS:
    HUB_NAMES = HubNames.of(BOUND_HOST, host_of(PUBLIC_URL), *ALLOWED_HOSTS)
    ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "taskhub.urls"
ASGI_APPLICATION = "taskhub.asgi.application"
APPEND_SLASH = False  # taskhub.web.middleware.OptionalSlashMiddleware serves both spellings without a redirect
USE_X_FORWARDED_HOST = False
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "taskhub.web.problems.csrf_failure"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if PUBLIC_URL.startswith("https://") else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")

# Secrets: a list, newest first; the older ones still open what they closed

SECRET_KEYS = env_list("TASKHUB_SECRET_KEY")
if not SECRET_KEYS:
    raise ImproperlyConfigured(
        "TASKHUB_SECRET_KEY is not set. `manage.py up` makes one; elsewhere set a long random text."
    )
SECRET_KEY, *SECRET_KEY_FALLBACKS = SECRET_KEYS

# Applications. A folder beside manage.py that holds a walkers.py is an application by that alone.

OWN_APPS = [
    "taskhub",
    "taskhub.audit",
    "taskhub.accounts",
    "taskhub.usage",
    "taskhub.runs",
    "taskhub.runs.bulk",
    "taskhub.runs.webhooks",
    "taskhub.runs.notifications",
    "taskhub.console",
    "walkers",
    "sequences",
    "crawlers",
    "extraction",
]
LOCAL_APPS = sorted({file.parent.name for file in BASE_DIR.glob("*/walkers.py")} - set(OWN_APPS))
INSTALLED_APPS = [
    "taskhub.accounts.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_celery_results",
    "django_htmx",
    *OWN_APPS,
    *LOCAL_APPS,
    *env_apps("TASKHUB_APPS"),
]

MIDDLEWARE = [
    "taskhub.console.problem_pages.ProblemPagesMiddleware",
    "taskhub.web.middleware.HubNamesMiddleware",
    "taskhub.web.middleware.ProblemDetailsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "taskhub.web.middleware.OptionalSlashMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "taskhub.web.middleware.AllowedHostsMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "taskhub.audit.origin.OriginMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Not the first of two that might have them, which each request would make.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "taskhub" / "templates"],  # before those of the admin, which they dress
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Stores

DATABASE_URL = env_text("DATABASE_URL", hint="`manage.py up` brings a private PostgreSQL; elsewhere set postgres://...")
REDIS_URL = env_text("REDIS_URL", hint="`manage.py up` brings a private Redis; elsewhere set redis://...")
BROKER_URL = env_text("CELERY_BROKER_URL", broker_address(REDIS_URL))

DATABASES = {"default": dj_database_url.parse(DATABASE_URL)}
DATABASES["default"].setdefault("OPTIONS", {})["connect_timeout"] = 4
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True  # PgBouncer would give each statement another connection
DATABASES["default"]["ENGINE"] = "taskhub.db.postgresql"
DATABASES["default"]["CONN_MAX_AGE"] = None
# The threads of a web process, and of a worker that performs runs in threads, share a pool (they call `use_pool`): who
# waits for minutes gives his connection back meanwhile. Processes with one run at a time keep the one that they have.
DATABASE_POOL_SIZE = env_int("TASKHUB_DATABASE_POOL", 16)
DATABASE_POOL = {
    "min_size": 0,
    "max_size": DATABASE_POOL_SIZE,
    "max_idle": 60,  # each connection is a process of PostgreSQL
    "timeout": 4,  # then 503: no request hangs on a database that is away
    "reconnect_timeout": 2,  # then the next request tries anew, instead of a back-off that outlasts the outage
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Two databases in one Redis (tests, several hubs) must not wake each other.
CHANNEL_PREFIX = f"taskhub:{DATABASES['default']['NAME']}"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": CHANNEL_PREFIX,
        # A count that takes longer is made by the process alone: see taskhub.runs.queue.broker.ANSWER_SECONDS.
        "OPTIONS": {"socket_connect_timeout": 0.2, "socket_timeout": 0.2},
    },
    "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": HOME / "files"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "results": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HOME / "files" / "results"},
    },
}
# Results of extractions on any storage that speaks S3, such as MinIO; credentials as boto3 finds them (AWS_...).
if RESULTS_BUCKET := env_text("TASKHUB_RESULTS_BUCKET", ""):
    from botocore.config import Config as S3Config  # it takes time to load

    STORAGES["results"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": RESULTS_BUCKET,
            "endpoint_url": env_text("TASKHUB_RESULTS_ENDPOINT", "") or None,
            "region_name": env_text("TASKHUB_RESULTS_REGION", "") or None,
            "location": env_text("TASKHUB_RESULTS_PREFIX", ""),
            "file_overwrite": True,
            "default_acl": None,
            "querystring_auth": True,
        },
    }
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # nothing to collect before the first start
FILE_UPLOAD_PERMISSIONS = 0o600

# Who is calling

AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = [
    "auth.E003",
    "auth.W004",
]  # unique it is, whatever the case: by a constraint that the check cannot see
AUTHENTICATION_BACKENDS = ["taskhub.accounts.roles.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_ENGINE = "taskhub.accounts.session_store"
LOGIN_URL, LOGIN_REDIRECT_URL = "console:sign-in", "console:home"
OPEN_SIGNUP = env_flag("TASKHUB_OPEN_SIGNUP", IS_LOCAL)
METRICS_OPEN = env_flag("TASKHUB_METRICS_OPEN", False)
TRACES = env_flag_of_extra("TASKHUB_TRACES", "opentelemetry.exporter.otlp.proto.http", "otel")
TOKEN_HOURS = env_int("TASKHUB_TOKEN_HOURS", 10 * 24, minimum=1)
REST_KNOX = {
    "TOKEN_TTL": timedelta(hours=TOKEN_HOURS),
    "TOKEN_PREFIX": "tht_",  # so that the log's mask knows a token when it sees one
    "AUTO_REFRESH": False,
}

# How often. The private home on loopback limits sign-ins and sign-ups only.

THROTTLE_RATES = {
    "sign_in": env_rate("TASKHUB_RATE_SIGN_IN", "60/min"),
    "submit": env_rate("TASKHUB_RATE_SUBMIT", None if IS_LOCAL else "6000/min"),
    "read": env_rate("TASKHUB_RATE_READ", None if IS_LOCAL else "12000/min"),
}

PROXIES = env_int("TASKHUB_PROXIES", 0)  # in front of the hub, which say in headers where a call comes from

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "taskhub.accounts.authentication.TokenAuthentication",
        "taskhub.accounts.authentication.ApiKeyAuthentication",
        "taskhub.accounts.authentication.HeaderSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_METADATA_CLASS": "taskhub.web.rest_policies.ViewMetadata",
    "DEFAULT_PARSER_CLASSES": [
        "taskhub.web.rest_policies.JsonParser",
        "taskhub.web.rest_policies.FormParser",
        "taskhub.web.rest_policies.MultiPartParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "taskhub.web.rest_policies.JsonByDefaultNegotiation",
    "DEFAULT_PAGINATION_CLASS": "taskhub.web.cursor_pagination.NewestFirstPagination",
    "DEFAULT_THROTTLE_CLASSES": ["taskhub.web.rest_policies.RouteThrottle"],
    "DEFAULT_SCHEMA_CLASS": "taskhub.web.openapi.auto_schema.HubAutoSchema",
    # A header that the caller wrote himself must not choose the address that he is counted under.
    "NUM_PROXIES": PROXIES,
    "EXCEPTION_HANDLER": "taskhub.web.problems.problem_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNICODE_JSON": True,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is a parameter like any other
}

SPECTACULAR_SETTINGS = {
    "TITLE": "taskhub",
    "VERSION": __version__,
    "DESCRIPTION": "Hand background work over by HTTP and follow it. Nothing that was accepted is lost.",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "PREPROCESSING_HOOKS": ["extraction.api.without_other_spellings"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "walkers.http.documentation.add_walkers",
        "taskhub.web.openapi.completion.complete_document",
    ],
    "COMPONENT_SPLIT_REQUEST": True,  # a body that is read has other required fields than one that is answered
    # null: no badge of another server's. More than 130 calls at once are more than the page can show.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None, "docExpansion": "none", "filter": True},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Limits of a request

BODY_MAX_BYTES = env_int("TASKHUB_BODY_MAX_BYTES", 2 * 1024 * 1024, minimum=1024)
UPLOAD_MAX_BYTES = env_int("TASKHUB_UPLOAD_MAX_BYTES", 100 * 1024 * 1024, minimum=1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_MAX_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000
DATA_UPLOAD_MAX_NUMBER_FILES = 100
# Of one web process. A body that pauses, comes too slowly or takes too long is refused with 408.
WEB_THREADS = env_int("TASKHUB_WEB_THREADS", 64, minimum=2)
WEB_THREADS_PER_CALLER = (
    max(1, DATABASE_POOL_SIZE * 3 // 4) if DATABASE_POOL_SIZE else None
)  # some connections are left
# A process that computes for so long, times its processors, without letting its event loop turn is ended and replaced.
WEB_COMPUTING_SECONDS = env_int("TASKHUB_WEB_COMPUTING_SECONDS", 5, minimum=1)
BODY_IDLE_SECONDS = env_int("TASKHUB_BODY_IDLE_SECONDS", 30, minimum=1)
BODY_GRACE_SECONDS = 20  # after them a body must have brought BODY_LEAST_RATE bytes a second on average
BODY_LEAST_RATE = env_int("TASKHUB_BODY_LEAST_RATE", 16, minimum=1)
BODY_MAX_SECONDS = env_int("TASKHUB_BODY_MAX_SECONDS", 3600, minimum=1)
# Bytes of unfinished bodies that one web process keeps; whoever sends more meanwhile is asked to come again.
OPEN_BODIES_MAX_BYTES = env_int("TASKHUB_OPEN_BODIES_MAX_BYTES", 512 * 1024 * 1024, minimum=BODY_MAX_BYTES)
# In which a client must take some of its answer.
ANSWER_IDLE_SECONDS = env_int("TASKHUB_ANSWER_IDLE_SECONDS", 60, minimum=1)
OPEN_WAITS_MAX = env_int("TASKHUB_OPEN_WAITS_MAX", 5000, minimum=1)
OPEN_WAITS_PER_USER = env_int("TASKHUB_OPEN_WAITS_PER_USER", 1000, minimum=1)

# Runs

QUEUES = programs.QUEUES
# Runs that one worker with threads performs at once, by queue. One owner gets half of them: see the claims in
# taskhub.runs.queue.leases.
THREAD_SLOTS = {
    "sequences": env_int("TASKHUB_SEQUENCE_SLOTS", 64, minimum=1),
    "crawlers": env_int("TASKHUB_CRAWLER_SLOTS", 32, minimum=1),
    "webhooks": env_int("TASKHUB_WEBHOOK_SLOTS", 32, minimum=1),
    "deliveries": env_int("TASKHUB_DELIVERY_SLOTS", 4, minimum=1),
    "removal": env_int("TASKHUB_REMOVAL_SLOTS", 4, minimum=1),
}
RUN_LEASE_SECONDS = 15
RUN_RENEW_SECONDS = 5
WORKER_BEAT_SECONDS = 4
WORKER_SILENT_SECONDS = 15  # then nobody counts on it any more
LEADER_LEASE_SECONDS = 15
RUN_ATTEMPTS = 3
RUN_LOSSES_MAX = 3  # of the workers of one run
RUN_TIME_LIMIT_SECONDS = env_int("TASKHUB_RUN_TIME_LIMIT_SECONDS", 3600, minimum=1)
RUN_CAP_PER_OWNER = env_int("TASKHUB_RUN_CAP_PER_OWNER", 100, minimum=1)  # running at once, all queues
RUN_RESULT_MAX_BYTES = env_int("TASKHUB_RUN_RESULT_MAX_BYTES", 10 * 1024 * 1024, minimum=1024)
RUN_LOG_LINES_MAX = env_int("TASKHUB_RUN_LOG_LINES_MAX", 10_000, minimum=1)
RUN_LOG_BYTES_MAX = env_int("TASKHUB_RUN_LOG_BYTES_MAX", 5 * 1024 * 1024, minimum=1024)
RUN_RETENTION_DAYS = env_int("TASKHUB_RUN_RETENTION_DAYS", 30, minimum=1)
AUDIT_DAYS = env_int("TASKHUB_AUDIT_DAYS", 365, minimum=1)
IDEMPOTENCY_HOURS = 24
WEBHOOK_SECONDS = env_int("TASKHUB_WEBHOOK_SECONDS", 20, minimum=1)  # in which a receiver has to answer
WALK_STEPS_MAX = env_int("TASKHUB_WALK_STEPS_MAX", 10_000, minimum=1)
# In one web process. A walk holds a database connection for its whole length; the other calls need some, too.
WALKS_AT_ONCE = env_int("TASKHUB_WALKS_AT_ONCE", 12, minimum=1)
WALKS_WAITING = WEB_THREADS // 4  # each holds a thread
if 0 < DATABASE_POOL_SIZE <= WALKS_AT_ONCE:
    raise ImproperlyConfigured(
        f"TASKHUB_WALKS_AT_ONCE ({WALKS_AT_ONCE}) must be less than TASKHUB_DATABASE_POOL ({DATABASE_POOL_SIZE}): "
        "each walk holds a connection, and the other calls need some."
    )

# Sequences. One that goes past a limit stops, and its run keeps what was saved so far.

SEQUENCE_STEPS_MAX = env_int("TASKHUB_SEQUENCE_STEPS_MAX", 100_000, minimum=1)
SEQUENCE_ITEMS_MAX = env_int("TASKHUB_SEQUENCE_ITEMS_MAX", 1_000_000, minimum=1)  # of all its loops, filtered ones too
SEQUENCE_PERSISTENCE_MAX = env_int("TASKHUB_SEQUENCE_PERSISTENCE_MAX", 8_000_000, minimum=1000)  # characters
SEQUENCE_AT_ONCE_MAX = env_int("TASKHUB_SEQUENCE_AT_ONCE_MAX", 16, minimum=1)  # requests of one run, each in a thread
SEQUENCE_SECONDS_MAX = env_int("TASKHUB_SEQUENCE_SECONDS_MAX", 3600, minimum=1)
SEQUENCE_FILES_MAX_BYTES = env_int("TASKHUB_SEQUENCE_FILES_MAX_BYTES", 268_435_456, minimum=1)  # of one run's answers
SEQUENCE_RECORD_MAX = env_int("TASKHUB_SEQUENCE_RECORD_MAX", 4_000, minimum=100)  # characters of a body in a step

# Uploads of documents, in bytes: as they are sent, unpacked, and of one line

DOCUMENTS_MAX_BYTES = env_int("TASKHUB_DOCUMENTS_MAX_BYTES", 1024**3, minimum=1024)
DOCUMENTS_MAX_UNPACKED_BYTES = env_int("TASKHUB_DOCUMENTS_MAX_UNPACKED_BYTES", 8 * 1024**3, minimum=1024)
UPLOAD_LINE_MAX_BYTES = env_int("TASKHUB_UPLOAD_LINE_MAX_BYTES", 10 * 1024 * 1024, minimum=1024)
UPLOADS_AT_ONCE = env_int("TASKHUB_UPLOADS_AT_ONCE", 64, minimum=1)  # in one web process; each holds a thread
LONG_FORMS_AT_ONCE = max(4, UPLOADS_AT_ONCE // 4)  # with files, each holds a thread as well
CRAWLER_TASK_RETENTION_DAYS = env_int(
    "TASKHUB_CRAWLER_TASK_RETENTION_DAYS", 90, minimum=1
)  # what is told of ended ones
CHANGES_RETENTION_DAYS = env_int("TASKHUB_CHANGES_RETENTION_DAYS", 30, minimum=1)  # deletions in change feeds
QUARANTINE_MAX_LINES = env_int("TASKHUB_QUARANTINE_MAX_LINES", 10_000, minimum=1)  # of one task

# Extraction: what a process may be (of one user the admin can set others), how pages are asked for, credits

EXTRACTION_MAX_PAGES = env_int("TASKHUB_EXTRACTION_MAX_PAGES", 10_000_000, minimum=1)
EXTRACTION_MAX_DEPTH = env_int("TASKHUB_EXTRACTION_MAX_DEPTH", 8, minimum=1)  # of details in each other
EXTRACTION_MAX_SECONDS = env_int("TASKHUB_EXTRACTION_MAX_SECONDS", 30 * 24 * 3600, minimum=1)
EXTRACTION_PAGE_MAX_BYTES = env_int("TASKHUB_EXTRACTION_PAGE_MAX_BYTES", 10 * 1024 * 1024, minimum=1024)  # unpacked
EXTRACTION_PAGE_SECONDS = env_int("TASKHUB_EXTRACTION_PAGE_SECONDS", 60, minimum=1)  # redirects included
EXTRACTION_FILE_MAX_BYTES = env_int("TASKHUB_EXTRACTION_FILE_MAX_BYTES", 100 * 1024 * 1024, minimum=1024)
EXTRACTION_FILES_MAX_BYTES = env_int("TASKHUB_EXTRACTION_FILES_MAX_BYTES", 10 * 1024**3, minimum=1024)  # of a process
EXTRACTION_PAGE_ATTEMPTS = env_int("TASKHUB_EXTRACTION_PAGE_ATTEMPTS", 3, minimum=1)
EXTRACTION_CONCURRENCY = env_int("TASKHUB_EXTRACTION_CONCURRENCY", 16, minimum=1)  # pages at once, of one worker
EXTRACTION_HOST_CONCURRENCY = env_int("TASKHUB_EXTRACTION_HOST_CONCURRENCY", 8, minimum=1)  # of one host, in all
EXTRACTION_HOST_DELAY_MS = env_int("TASKHUB_EXTRACTION_HOST_DELAY_MS", 0)  # between two requests to one host
EXTRACTION_SLICE_SECONDS = env_int("TASKHUB_EXTRACTION_SLICE_SECONDS", 5, minimum=1)  # then another process's turn
EXTRACTION_ENGINES = env_text("TASKHUB_EXTRACTION_ENGINES", "")  # a folder with more search engines, or mended ones
EXTRACTION_CHROME_CONCURRENCY = env_int("TASKHUB_EXTRACTION_CHROME_CONCURRENCY", 4, minimum=1)  # rendered at once
EXTRACTION_CHROME_PAGE_MB = env_int("TASKHUB_EXTRACTION_CHROME_PAGE_MB", 512, minimum=64)  # of memory, for one page
EXTRACTION_CHROME_MB = env_int("TASKHUB_EXTRACTION_CHROME_MB", 2048, minimum=256)  # then a new browser is started
EXTRACTION_CHROME_STEPS = env_int("TASKHUB_EXTRACTION_CHROME_STEPS", 100, minimum=1)  # clicks or scrolls in one page
CHROMIUM = env_text("TASKHUB_CHROMIUM", "")  # its program; by default what is found
CHROMIUM_SANDBOX = env_flag("TASKHUB_CHROMIUM_SANDBOX", True)
EXTRACTION_PRICE_CHROME = env_int("TASKHUB_EXTRACTION_PRICE_CHROME", 5)  # for one that is rendered
EXTRACTION_PRICE_BASE = env_int("TASKHUB_EXTRACTION_PRICE_BASE", 1)  # credits for a page
EXTRACTION_CREDITS = env_int("TASKHUB_EXTRACTION_CREDITS", 1_000_000)  # that a user starts with
EXTRACTION_RETENTION_DAYS = env_int("TASKHUB_EXTRACTION_RETENTION_DAYS", 30, minimum=1)  # processes, with their files
EXTRACTION_LINK_SECONDS = 3600
EXTRACTION_DELIVERY_SECONDS = env_int("TASKHUB_EXTRACTION_DELIVERY_SECONDS", 1800, minimum=1)  # of one attempt

# Calling other servers, through the gate of taskhub.outbound; times in seconds

OUTBOUND_ALLOW = env_list("TASKHUB_OUTBOUND_ALLOW", "loopback" if IS_LOCAL else "")
try:
    Allow.parse(OUTBOUND_ALLOW)
except ValueError as error:
    raise ImproperlyConfigured(f"TASKHUB_OUTBOUND_ALLOW: {error}") from None
OUTBOUND_CONNECT_TIMEOUT = env_int("TASKHUB_OUTBOUND_CONNECT_TIMEOUT", 10, minimum=1)
OUTBOUND_READ_TIMEOUT = env_int("TASKHUB_OUTBOUND_READ_TIMEOUT", 60, minimum=1)
OUTBOUND_TOTAL_TIMEOUT = env_int("TASKHUB_OUTBOUND_TOTAL_TIMEOUT", 300, minimum=1)
OUTBOUND_MAX_BYTES = env_int("TASKHUB_OUTBOUND_MAX_BYTES", 16 * 1024 * 1024, minimum=1024)
OUTBOUND_MAX_REDIRECTS = env_int("TASKHUB_OUTBOUND_MAX_REDIRECTS", 10)
# Of a whole transfer to or from the storage of results, where that is not this machine's disk.
RESULTS_SECONDS = env_int("TASKHUB_RESULTS_SECONDS", 600, minimum=1)
if RESULTS_BUCKET:
    STORAGES["results"]["OPTIONS"]["client_config"] = S3Config(
        signature_version="s3v4",
        connect_timeout=OUTBOUND_CONNECT_TIMEOUT,
        read_timeout=OUTBOUND_READ_TIMEOUT,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )

# E-mails of notifications

EMAIL_SERVER = env_mail_server("EMAIL_URL", "log:" if PRIVATE else "")
EMAIL_FROM = env_email("TASKHUB_EMAIL_FROM", f"taskhub@{mail_domain(PUBLIC_URL)}")
# To which, besides their own, users may send; * is any.
EMAIL_DOMAINS = [domain.lower() for domain in env_list("TASKHUB_EMAIL_DOMAINS")]
EMAILS_PER_HOUR = env_int("TASKHUB_EMAILS_PER_HOUR", 100)  # of one owner
EMAIL_SECONDS = env_int("TASKHUB_EMAIL_SECONDS", 60, minimum=1)  # of one attempt

# The rest

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = ["taskhub.formats"]
LOG_FORMAT = env_word("TASKHUB_LOG_FORMAT", "LINE", ("LINE", "JSON"))
LOG_LEVEL = env_word("TASKHUB_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
# The log is masked before anything is written (taskhub.security.masking), and its control characters are escaped.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"mask": {"()": "taskhub.security.masking.MaskingFilter"}},
    "formatters": {
        "line": {
            "()": "taskhub.security.log_lines.LineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "taskhub.security.log_lines.JsonFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT.lower(), "filters": ["mask"]},
        "runs": {"class": "taskhub.telemetry.log_relay.LogRelay"},
    },
    "root": {"handlers": ["stderr", "runs"], "level": LOG_LEVEL},
    "loggers": {
        # What has handlers of its own gets those of the root instead.
        "django": {"level": "INFO"},
        "_granian": {"level": "INFO"},
        "granian.access": {"level": "INFO"},
        "django.request": {"level": "ERROR"},
        # A message only notifies a worker: that its task "succeeded" says nothing of a run. How runs end is logged by
        # taskhub.runs.queue.ends.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "opentelemetry.exporter": {"level": "ERROR"},  # while the collector is away: each batch once, not each try
        "urllib3": {"level": "ERROR"},  # it warns with whole addresses, whose queries and paths can be secret
    },
}
