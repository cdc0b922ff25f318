"""The show behind scripts/demo: servers appear, die, freeze and return, and no call fails.

    python -m scripts.demo_show [--json]

Live on a terminal, plain lines elsewhere; --json prints the summary, and the lines go to standard error.
Exit code 0: no call failed; 1: one did; 130 and 143: interrupted and terminated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from rich.console import Console
from rich.live import Live

from mesh import Client, NoServer
from scripts.demo_view import Event, Lane, Mark, Stage, Summary
from scripts.fleet import LOOPBACK, Fleet, Node
from scripts.pace import Pace, longest_gap_s, steady

__all__ = ["Show"]

_RATE = 200.0
_WORKERS = 8
_HOLD_S = 0.002
_FRAME_S = 0.1
_LOOK_S = 0.02
_CALM_S = 2.0
_FROZEN_S = 1.5
_LENGTH_S = 5 * _CALM_S + _FROZEN_S + 0.5
"""What the acts below take, with the start of a server."""
_SETTLED_S = 1.0
"""A fault is over after so long."""


class Show:
    """One run: what is done to the servers, and what their client sees of it.

    Args:
        fleet: Makes servers.
        client: Watches and calls them.
        say: Called with each event.
        draw: Called with the stage ten times a second, where that is wanted.
    """

    def __init__(
        self, fleet: Fleet, client: Client, say: Callable[[Event], None], draw: Callable[[Stage], None] | None = None
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._say = say
        self._draw = draw
        self._nodes: dict[str, Node] = {}
        self._states: dict[str, str] = {}
        self._marks: list[Mark] = []
        self._events: list[Event] = []
        self._faults: dict[str, tuple[float, float]] = {}
        """When each began and when it was over."""
        self._started_at = time.monotonic()
        self._pace = Pace(client, _RATE, _WORKERS, steady(hold_s=_HOLD_S))

    def run(self) -> Summary:
        """Play it. Raises NoServer if the servers are not found within the first seconds."""
        self._tell(f"three servers start; a client waits for them by mDNS on {LOOPBACK}")
        for node in self._fleet.start("s1", "s2", "s3"):
            self._nodes[node.name] = node
        self._client.wait_for(3, service="work", timeout=10.0)
        self._started_at = time.monotonic()
        self._look()
        self._tell(f"the client makes {_RATE:.0f} calls a second")
        with self._pace:
            self._play()
        if self._draw is not None:
            self._draw(self._stage())
        return self._summary()

    def _play(self) -> None:
        self._watch(_CALM_S)

        victim = self._nodes.pop(self._busiest())
        self._fault(f"kill -9 of {victim.name}", "kill -9")
        victim.kill()
        self._watch(_CALM_S)

        frozen = self._nodes[self._busiest()]
        self._fault(f"the freeze of {frozen.name} (SIGSTOP)", "freeze")
        frozen.freeze()
        self._watch(_FROZEN_S)
        self._fault(f"the thaw of {frozen.name} (SIGCONT)", "thaw")
        frozen.thaw()
        self._watch(_CALM_S)

        fourth = self._nodes["s4"] = self._fleet.launch("s4")
        self._fault("the start of s4", "s4 starts")
        self._watch_until(lambda: self._states.get("s4") == "alive")
        fourth.ready()
        self._watch(_CALM_S)

        leaving = self._nodes.pop(self._busiest())
        self._fault(f"the polite stop of {leaving.name} (SIGTERM)", "SIGTERM")
        leaving.terminate()
        self._watch(_CALM_S)

    def _busiest(self) -> str:
        views = [view for view in self._client.servers() if view.name in self._nodes]
        return max(views, key=lambda view: (view.in_flight, view.answered)).name

    def _fault(self, what: str, mark: str) -> None:
        at = time.monotonic()
        self._faults[what] = (at, at + _SETTLED_S)
        self._marks.append(Mark(at - self._started_at, mark))
        self._tell(what, "bold magenta")

    def _tell(self, text: str, style: str = "") -> None:
        event = Event(time.monotonic() - self._started_at, text, style)
        self._events.append(event)
        self._say(event)

    def _watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._watch_until(lambda: time.monotonic() >= until)

    def _watch_until(self, over: Callable[[], bool]) -> None:
        """Look often enough to see a suspect, and draw as often as eyes need."""
        draw_at = 0.0
        while not over():
            self._look()
            if self._draw is not None and time.monotonic() >= draw_at:
                draw_at = time.monotonic() + _FRAME_S
                self._draw(self._stage())
            time.sleep(_LOOK_S)

    def _look(self) -> None:
        """Tell what has changed about the servers."""
        seen = {view.name: view for view in self._client.servers() if view.services == ("work",)}
        for name in sorted({*seen, *self._states}):
            view = seen.get(name)
            state = "gone" if view is None or view.state in ("waiting", "connecting", "proving") else view.state
            before = self._states.get(name)
            if state == before or (before is None and state == "gone"):
                continue
            self._states[name] = state
            if state == "alive":
                word = "appeared, at" if before is None else "is alive again, at"
                self._tell(f"{name} {word} {view.address if view else ''}", "green")
            elif state == "gone":
                note = view.note if view is not None else "it said goodbye"
                self._tell(f"{name} is gone: {note}", "red")
            else:
                self._tell(f"{name} is {state}", "yellow")

    def _stage(self) -> Stage:
        done = list(self._pace.done)
        answered: dict[str, list[float]] = {name: [] for name in self._states}
        for one in done:
            if not one.error:
                answered[one.server].append(one.finished_at - self._started_at)
        return Stage(
            rate=_RATE,
            elapsed_s=time.monotonic() - self._started_at,
            length_s=_LENGTH_S,
            lanes=[Lane(name, self._states[name], sorted(answered[name])) for name in sorted(answered)],
            marks=self._marks,
            events=self._events,
            failed=sum(bool(one.error) for one in done),
        )

    def _summary(self) -> Summary:
        done = self._pace.done
        first = min(at for at, _ in self._faults.values())
        return Summary(
            calls=len(done),
            failed=sum(bool(one.error) for one in done),
            calm_gap_ms=self._gap_ms(self._started_at + 0.5, first - 0.1),
            gaps_ms={what: self._gap_ms(at, over) for what, (at, over) in self._faults.items()},
            errors=[one.error for one in done if one.error],
        )

    def _gap_ms(self, since: float, until: float) -> float:
        return round(1000.0 * longest_gap_s(self._pace.done, since, until), 1)


def _play(console: Console) -> Summary:
    with Fleet() as fleet, Client(servers=[], realm=fleet.realm, interfaces=[LOOPBACK]) as client:
        if not console.is_terminal:
            return Show(fleet, client, lambda event: _print_line(console, event)).run()
        sys.setswitchinterval(0.0005)  # drawing takes 10 ms, and must not keep the calls waiting
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            return Show(fleet, client, lambda event: None, lambda stage: live.update(stage, refresh=True)).run()


def _print_line(console: Console, event: Event) -> None:
    console.print(f"{event.at_s:6.2f} s  {event.text}", highlight=False, markup=False, soft_wrap=True)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> int:
    """Play the show and say how it ended."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Lose servers, and no call with them.")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON; the story goes to stderr")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # leaves the `with` blocks, which end the servers
    try:
        summary = _play(Console(stderr=given.json))
    except KeyboardInterrupt:
        print("demo: interrupted; its servers are ended", file=sys.stderr)
        return 128 + signal.SIGINT
    except NoServer as error:
        print(f"demo: the servers were not found: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(dataclasses.asdict(summary), indent=2))
    else:
        console = Console(highlight=False)
        console.print()
        for line in summary.lines():
            console.print(line, soft_wrap=True)
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
