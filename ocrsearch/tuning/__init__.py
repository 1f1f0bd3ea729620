"""Search: suggests configurations, trains them on workers and decides when to stop.

Start with ``search``. The ``Runner`` runs the loop: it asks the ``Scheduler`` for decisions,
applies them to the ``TrialStore`` and sends jobs to the workers of an engine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
