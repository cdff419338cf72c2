"""The names of the run kinds of crawlers, as runs show them, and of the Celery task that schedules name."""

CRAWLER_TASK = "crawler"
NOTICE = "crawler_notice"
DOCUMENT_REMOVAL = "crawler_purge"
SCHEDULED_TASK = "crawlers.tasks.ScheduledCrawler"
