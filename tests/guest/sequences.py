# SPDX-License-Identifier: Apache-2.0
"""What takes more than one step: the daemon killed, stopped, restarted and reloaded under load, and the contract of `lictor run`."""

from dataclasses import dataclass
from typing import Callable


class Failure(Exception):
    """The product did not do what it promises."""


class Untried(Exception):
    """This guest lacks what the sequence needs."""


@dataclass(frozen=True)
class Sequence:
    id: str
    title: str
    evasions: tuple[int, ...]
    run: Callable


ALL = []


def sequence(id, title, *evasions):
    def register(function):
        ALL.append(Sequence("seq-" + id, title, evasions, function))
        return function

    return register
