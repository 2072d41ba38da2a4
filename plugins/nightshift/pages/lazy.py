"""An application that is imported when the first request comes.

Airflow loads plugins into every one of its processes, also into each task; only the API server shows pages.
"""

from __future__ import annotations

from typing import Any


class LazyApp:
    """ASGI application that stands for the one `path` names, such as `package.module:create_app`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if self._app is None:
            from importlib import import_module

            module, _, factory = self.path.partition(":")
            self._app = getattr(import_module(module), factory)()
        await self._app(scope, receive, send)
