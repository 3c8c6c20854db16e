"""Two families of errors: those that another try may end, and those that wait for somebody to change something."""

NAMESPACE_TERMINATING = "NamespaceTerminating"
"""Reason of a refusal to create something in a namespace that is being deleted."""
DOUBT_SECONDS = 10.0
"""For which a right must be missing before it is believed: an API server that has just started knows no rights for a moment."""


class ApiError(Exception):
    """The API server's refusal, or its silence (status 0).

    The text is the server's own message, without request or response bodies: those can hold secrets.
    """

    def __init__(self, status: int, reason: str, message: str, about: tuple[str, str] = ("", "")) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.about = about
        """Plural kind and name of the object, where the API server names it."""

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without anybody changing anything.

        Server-side apply answers 500 to a field that the schema does not know: that is a refusal all the same.
        """
        if "typed patch object" in self.message:
            return False
        return self.status in (0, 408, 409, 425, 429) or self.status >= 500

    @property
    def forbidden(self) -> bool:
        """Whether the operator lacks a right; refusals by admission, which are 403 as well, do not read so."""
        return self.status == 403 and self.message.find(" cannot ") > self.message.find('User "') >= 0


class PoolInvalidError(Exception):
    """The spec of a pool cannot be used; the text names each field and what is wrong with it."""
