# SPDX-License-Identifier: Apache-2.0
"""One case of the suite: an attack and what must come of it, or a benign twin."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    id: str
    title: str
    command: str  # arguments of the attack program; {names} are filled in from the playground
    agent: str
    # What the attack achieves when it works, as the suite sees it from outside:
    #   leak: the secret is in its output        sent: the peer received the token      ran: the payload left its mark
    #   changed: a protected file differs        victim, daemon: that process differs   status: its exit status alone
    #   /a/path: the content of that file differs
    effect: str = "status"
    event: str | None = None  # kind of the event that must record the denial
    path: str | None = None  # what that event's path must contain
    tier: str | None = None
    rule: str | None = None  # prefix of the rule
    evasions: tuple[int, ...] = ()  # entries of docs/evasions.md that it answers
    user: str | None = None
    knock: tuple[str, int] | None = None  # ("tcp" | "udp", port): somebody outside who tries to come in
    errors: tuple[str, ...] = ("EPERM",)
    benign: bool = False
    alone: bool = False  # needs a session of its own
    self_protection: bool = False  # an attack by ungoverned root on the daemon itself

    @property
    def kind(self):
        return "benign" if self.benign else "attack"


def attack(id, title, command, agent, effect="status", event=None, **more):
    return Case(id, title, command, agent, effect, event, **more)


def benign(id, title, command, agent, effect="status", **more):
    return Case(id, title, command, agent, effect, benign=True, **more)
