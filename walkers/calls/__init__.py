"""The functions of `/js/<api>` and `/js_admin/<api>`, registered by being imported."""

from walkers.calls import aliases, graphs, masters, objects, queue, running, schedules, sentinels

__all__ = ["aliases", "graphs", "masters", "objects", "queue", "running", "schedules", "sentinels"]
