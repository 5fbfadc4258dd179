"""The few ways a request can end other than well, each with its exit code."""

# The names say what happened, not that something did.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RsnaInpaintError(Exception):
    """Base of all expected failures; ``str(error)`` is one sentence for a person.

    Attributes
    ----------
    details
        More for those who ask, such as a traceback; mostly empty.
    """

    exit_code = 1

    def __init__(self, message: str = "", details: str = "") -> None:
        super().__init__(message)
        self.details = details


class UsageError(RsnaInpaintError):
    """Options that do not go together; the message says which."""

    exit_code = 2


class OutputFailed(RsnaInpaintError):
    """A result could not be written; the message names cause and remedy."""

    exit_code = 1


class MemoryFull(RsnaInpaintError):
    """Not even one image fits into the memory; what was finished before stays."""

    def __init__(self) -> None:
        super().__init__(
            "The memory does not suffice for one image: close other programs and start again "
            "(on the command line with --resume)."
        )


class InputRefused(RsnaInpaintError):
    """The input cannot be used; the message names cause and remedy.

    Attributes
    ----------
    code
        Stable short name of the cause, like the codes of notes; may be empty.
    """

    exit_code = 3

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class ChoiceNeeded(RsnaInpaintError):
    """Several readings are possible and a person must pick one.

    Attributes
    ----------
    choices
        One line per possibility, as shown to the person (for example
        ``"UID  description  34 slices"``).
    code
        Stable short name of the question, like the codes of notes; may be empty.
    """

    exit_code = 4

    def __init__(self, message: str, choices: Sequence[str] = (), code: str = "") -> None:
        super().__init__(message)
        self.choices = tuple(choices)
        self.code = code


class Cancelled(RsnaInpaintError):
    """The job was stopped on request.

    Attributes
    ----------
    partial
        What was finished before (for example a ``Detection``), or None.
    """

    exit_code = 130

    def __init__(self, message: str = "Cancelled.", partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial
