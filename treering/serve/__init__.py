"""A page and an API that read marks: a queue, one worker that owns the model, and rules for who may know what.

The extra ``treering[serve]`` brings what this room needs (Starlette, uvicorn, python-multipart, prometheus-client).
"""

from .access import Access, Token, is_loopback, read_tokens
from .app import application
from .limits import Limits
from .run import bind, serve
from .service import Service
from .worker import Worker

__all__ = [
    "Access",
    "Limits",
    "Service",
    "Token",
    "Worker",
    "application",
    "bind",
    "is_loopback",
    "read_tokens",
    "serve",
]
