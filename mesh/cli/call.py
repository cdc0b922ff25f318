"""`mesh call`: call a method of whichever server offers it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mesh import Attempt, CallError, Client, NoServer, RemoteError, Reply
from mesh.cli.cache import add_cache_option, warm_browser
from mesh.cli.completers import complete_methods, complete_servers
from mesh.cli.exits import Exit, UsageError, exit_code
from mesh.cli.options import add_client_options, non_negative, open_client, positive
from mesh.cli.text import compact, complain, has_bytes, pretty, printable
from mesh.cli.values import raw_frames, typed_arguments

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = "Call a method of whichever server offers it, and print what it answers."
    complete_methods(parser.add_argument("method", metavar="METHOD", help="full name, SERVICE.METHOD"))
    parser.add_argument(
        "arguments",
        nargs="*",
        default=[],
        metavar="ARG",
        help="JSON where it parses, else text; '-' alone reads standard input: a JSON array holds the arguments in "
        "order, an object holds them by name, and anything else is the only one; after '--' they may begin with '-'",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="send each ARG, or all of standard input, as one frame, and print the frames of the answer as they are, "
        "with a newline between two; a terminal gets one at the end as well",
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for the whole call, over all attempts (default: 5)"
    )
    add_client_options(parser)
    add_cache_option(parser)
    complete_servers(parser.add_argument("--peer", metavar="NAME", help="only at the server of this name or id"))
    parser.add_argument("--key", help="idempotency key: calls with equal keys run once per server")
    parser.add_argument(
        "--idempotent",
        action=argparse.BooleanOptionalAction,
        help="whether it may run again if the outcome of an attempt is unknown (default: as the server declares)",
    )
    parser.add_argument(
        "--count", type=positive, metavar="N", help="call N times, one after the other, and print a summary"
    )
    parser.add_argument(
        "--rate", type=non_negative, default=0.0, metavar="R", help="at most R calls a second (default: no limit)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: the result or the error, and the attempts"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show every attempt, and a remote traceback, on standard error"
    )


def run(args: argparse.Namespace) -> int:
    """Call, once or many times; return the exit code."""
    if args.rate and not args.count:
        raise UsageError("--rate is for many calls; say how many with --count")
    ask = _raw_question(args) if args.raw else _typed_question(args)
    browser = warm_browser(args)
    with open_client(args, browser) as client:
        if args.count:
            from mesh.cli.repeat import repeat

            return repeat(lambda: ask(client), args, _show_attempts if args.verbose else None)
        try:
            reply = ask(client)
        except CallError as error:
            if isinstance(error, NoServer) and browser is not None and browser.failure is not None:
                raise browser.failure from None
            _report_error(error, args)
            return exit_code(error)
        _report(reply, args)
    return Exit.OK


def _raw_question(args: argparse.Namespace) -> Callable[[Client], Reply]:
    frames, options = raw_frames(args.arguments), _options(args)
    return lambda client: client.request(args.method, frames, **options)


def _typed_question(args: argparse.Namespace) -> Callable[[Client], Reply]:
    (given, named), options = typed_arguments(args.arguments), _options(args)
    return lambda client: client.invoke(args.method, given, named, **options)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"timeout": args.timeout, "idempotent": args.idempotent, "key": args.key, "peer": args.peer}


def _report(reply: Reply, args: argparse.Namespace) -> None:
    if args.verbose:
        _show_attempts(reply.attempts)
    if args.json:
        outcome = _frames_as_json(reply.frames) if args.raw else {"result": reply.value}
        story = {"peer_id": reply.peer_id, "elapsed_s": reply.elapsed_s, "attempts": _as_json(reply.attempts)}
        print(compact({"ok": True, "method": args.method, **outcome, **story}))
    elif args.raw:
        end = b"\n" if sys.stdout.isatty() else b""
        sys.stdout.buffer.write(b"\n".join(reply.frames) + end)
    else:
        value = reply.value
        print(pretty(value) if sys.stdout.isatty() else compact(value))
        if has_bytes(value):
            complain("note: bytes are printed in base64")


def _report_error(error: CallError, args: argparse.Namespace) -> None:
    trace = error.traceback if isinstance(error, RemoteError) else ""
    if args.verbose:
        _show_attempts(error.attempts)
        if trace:
            print(*map(printable, trace.splitlines()), sep="\n", file=sys.stderr)
    if not args.json:
        complain(str(error) if not args.verbose or isinstance(error, RemoteError) else error.message)
        return
    told: dict[str, object] = {"type": type(error).__name__, "message": error.message}
    if isinstance(error, RemoteError):
        told |= {"status": error.code.name, "remote_type": error.type, "traceback": trace}
    story = {"elapsed_s": error.elapsed_s, "attempts": _as_json(error.attempts)}
    print(compact({"ok": False, "method": args.method, "error": told, **story}))


def _show_attempts(attempts: Sequence[Attempt]) -> None:
    for number, attempt in enumerate(attempts, 1):
        complain(f"attempt {number} at {attempt}")


def _as_json(attempts: Sequence[Attempt]) -> list[dict[str, object]]:
    return [dataclasses.asdict(attempt) for attempt in attempts]


def _frames_as_json(frames: Sequence[bytes]) -> dict[str, object]:
    try:
        return {"frames": [frame.decode() for frame in frames], "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"frames": frames, "encoding": "base64"}
