"""The API's description of itself, OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from .. import __version__
from ..types import Answer
from .limits import Limits

_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_STATUSES = {
    "400": "The request is not as it should be.",
    "401": "A token is needed, or is not known.",
    "403": "This caller, or this page, may not.",
    "408": "The request came too slowly.",
    "413": "The request is too large.",
    "415": "The request is of a kind that is not read.",
    "429": "The queue is full, or this caller has had enough: Retry-After tells when to try again.",
    "503": "It took too long, or the server is stopping.",
}


def description(limits: Limits, allow_embed: bool) -> dict[str, Any]:
    """For ``/openapi.json``."""
    paths = {
        "/v1/detect": {"post": _detect(limits)},
        "/v1/keyring": {"get": _get("The keyring, without its secret.", {"type": "object"})},
        "/v1/about": {"get": _get("What this server does for you.", {"type": "object"})},
        "/healthz": {"get": _get("Whether the server lives.", {"type": "object"})},
        "/metrics": {"get": _get("Counts for Prometheus.", {"type": "string"}, "text/plain")},
    }
    if allow_embed:
        paths["/v1/embed"] = {"post": _embed()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "treering", "version": __version__, "description": "Reads watermarks of one keyring."},
        "paths": paths,
        "components": {
            "schemas": {"Result": _RESULT, "Event": _EVENT, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["number", "file"],
    "properties": {
        "number": {"type": "integer", "description": "Place in the request, from 0."},
        "file": {"type": "string", "description": "Name that was sent, with invisible letters written out."},
        "error": {"type": "string", "description": "Why the picture could not be read; then there is no answer."},
        "answer": {"enum": [answer.value for answer in Answer]},
        "key": {"type": ["integer", "null"], "description": "The class that is named."},
        "name": {"type": ["string", "null"], "description": "What the class is called, if it has a name."},
        "verdict": {"type": "string"},
        "certainty": {"type": "string", "description": "How sure that is, in words."},
        "reason": {"type": ["string", "null"]},
        "p_value": {"type": "number", "description": "Corrected for all that was tried, not below 1e-38."},
        "log10_p": {"type": "number"},
        "p_keyring": {"type": "number"},
        "log10_p_keyring": {"type": "number"},
        "pose": {"type": ["object", "null"]},
        "pose_text": {"type": ["string", "null"]},
        "spectrum": {"type": "string", "description": "A PNG as a data address, if it was asked for."},
        "as_found": {"type": "string", "description": "A JPEG as a data address: the picture with its pose undone."},
        "evidence": {
            "type": ["object", "null"],
            "description": "If it was asked for: the signed document that `treering detect --evidence` writes and "
            "`treering check` checks, as the content of a file; null where there is none.",
        },
        "no_evidence": {"type": "string", "description": "Why there is none."},
    },
}

_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A line: first taken; then ahead and stage of a picture as they change; its result; or error.",
    "properties": {
        "taken": {"type": "integer", "description": "Pictures of the request."},
        "number": {"type": "integer", "description": "Which picture, from 0."},
        "file": {"type": "string"},
        "ahead": {"type": ["integer", "null"], "description": "How many wait before it; null: it is being read."},
        "stage": {"type": "string", "description": "What is being done with it."},
        "says": {"type": "string", "description": "The same for people."},
        "result": {"$ref": "#/components/schemas/Result"},
        "error": {"type": "string", "description": "Why there are no more results."},
    },
}


def _detect(limits: Limits) -> dict[str, Any]:
    one = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    many = {"schema": {"type": "object", "properties": {"picture": {"type": "array", "items": {"type": "string"}}}}}
    results = {"type": "object", "properties": {"results": {"type": "array", "items": _ref("Result")}}}
    answer = {"application/json": {"schema": results}, "application/x-ndjson": {"schema": _ref("Event")}}
    return {
        "summary": "Read the mark of pictures.",
        "description": f"At most {limits.pictures} pictures, {limits.size} bytes together and {limits.pixels} pixels "
        "each. Callers who may not know details get answer, key and verdict alone. Lines (application/x-ndjson) come "
        "where they are asked for by Accept or by stages.",
        "parameters": [
            _flag("spectrum", "Show the recovered spectrum, and the picture with its pose undone."),
            _flag(
                "evidence",
                "Add the signed evidence; 403 for callers who may not know details, and where the server "
                "has no signing key.",
            ),
            _flag("stages", "Answer in lines, and tell what is being done, as it happens."),
        ],
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": many, "image/*": one, "application/octet-stream": one},
        },
        "responses": {"200": {"description": "A result for each picture.", "content": answer}, **_problems()},
    }


def _embed() -> dict[str, Any]:
    fields = {
        "prompt": {"type": "string", "maxLength": 1000},
        "key": {"type": ["integer", "null"], "minimum": 0},
        "seed": {"type": ["integer", "null"], "minimum": 0},
    }
    asked = {"application/json": {"schema": {"type": "object", "properties": fields}}}
    made = {"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}
    return {
        "summary": "Make a picture that carries a mark.",
        "requestBody": {"required": True, "content": asked},
        "responses": {"200": {"description": "The picture.", "content": made}, **_problems()},
    }


def _get(summary: str, schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": answer, **_problems("401", "403")}}


def _problems(*statuses: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref("Error")}}
    return {status: {"description": _STATUSES[status], "content": content} for status in statuses or _STATUSES}


def _flag(name: str, description: str) -> dict[str, Any]:
    values = {"enum": ["0", "1", "false", "true"]}
    return {"name": name, "in": "query", "description": description, "schema": values}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
