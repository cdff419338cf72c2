from importlib import import_module

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class WalkersConfig(AppConfig):
    name = "walkers"
    sentinel = "taskhub"

    def ready(self) -> None:
        from taskhub.accounts import removal
        from taskhub.runs.run_kinds import register, register_target
        from walkers import run_kinds
        from walkers.authoring import sentinels
        from walkers.services.graphs import remove_graphs_of

        autodiscover_modules("walkers")
        sentinels.collect()
        register(run_kinds.WalkerKind())
        register_target(run_kinds.WalkerTarget())
        removal.register("graphs", remove_graphs_of)
        import_module("walkers.http.calls")
