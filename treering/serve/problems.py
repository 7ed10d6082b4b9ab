"""What can go wrong with a request: a status and one sentence."""

from __future__ import annotations

from starlette.responses import JSONResponse


class Problem(Exception):
    """Ends a request.  ``retry``: seconds after which it is worth trying again."""

    def __init__(self, status: int, sentence: str, retry: int | None = None, close: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry, self.close = status, sentence, retry, close

    def response(self) -> JSONResponse:
        """For the client."""
        headers = {} if self.retry is None else {"retry-after": str(self.retry)}
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="treering"'
        if self.close:  # what was not read of the body must not be taken for the next request
            headers["connection"] = "close"
        return JSONResponse({"error": self.sentence}, self.status, headers)


class Gone(Exception):
    """The client has gone away: there is nobody to answer."""
