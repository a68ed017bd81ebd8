"""The routes a server function mounts. Thin: parse, build the caller's client, call one service method, answer."""

from qero.http.app import create_app

__all__ = ["create_app"]
