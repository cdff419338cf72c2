"""The functions of `/js/<api>` and `/js_admin/<api>`, registered by being imported."""

from walkers.http.calls import aliases, graphs, masters, objects, queue, schedules, sentinels, walker_runs

__all__ = ["aliases", "graphs", "masters", "objects", "queue", "schedules", "sentinels", "walker_runs"]
