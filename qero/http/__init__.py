"""The routes a server function mounts. Thin: parse, build the caller's client, call one service method, answer."""

from qero.http.app import ROUTERS, create_app, mount, running

__all__ = ["ROUTERS", "create_app", "mount", "running"]
