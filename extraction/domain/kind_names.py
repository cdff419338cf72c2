"""The names of the run kinds of extraction, as runs show them, and of the Celery task that schedules name."""

EXTRACTION = "extraction"
DELIVERY = "delivery"
REMOVAL = "extraction_purge"
SCHEDULED_TASK = "extraction.tasks.ScheduledExtraction"
