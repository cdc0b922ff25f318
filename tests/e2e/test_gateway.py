"""`mesh gateway`: a real uvicorn before real servers, asked as curl, browsers and strangers do."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Status
from tests.helpers import PATIENCE_S, Process, needs_program, spawn, wait_until
from tests.helpers.http import Answer, ask, connected, say

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

PROGRAM = str(Path(sys.executable).parent / "mesh")
PROBLEM = "application/problem+json"
_REALMS = itertools.count()


@contextlib.contextmanager
def server(realm: str, *arguments: str) -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.e2e.gateway_server", *arguments]
    with spawn(command, env={"MESH_REALM": realm}) as process:
        process.wait_line("ready")
        yield process


@contextlib.contextmanager
def gateway(realm: str, *options: str, alive: int = 1) -> Iterator[tuple[Process, int]]:
    with spawn([PROGRAM, "gateway", "--listen", "127.0.0.1:0", *options], env={"MESH_REALM": realm}) as process:
        port = int(process.wait_line(r"answering on \w+://[^:]+:(\d+)/")[1])
        if alive:
            wait_until(lambda: ask(port, "/readyz").body == b"servers alive: %d\n" % alive, what="live servers")
        yield process, port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A gateway before two servers, for tests that harm neither."""
    realm = f"gateway-{os.getpid()}"
    with server(realm, "one"), server(realm, "narrow", "--narrow"), gateway(realm, alive=2) as (_, port):
        yield port


@pytest.fixture
def realm() -> str:
    return f"gateway-{os.getpid()}-{next(_REALMS)}"


def call(port: int, method: str, *arguments: object, timeout_s: float = PATIENCE_S, **headers: str) -> Answer:
    """Call a typed method."""
    headers.setdefault("content_type", "application/json")
    body = json.dumps(arguments)
    return ask(port, f"/v1/call/{method.replace('.', '/', 1)}", body, request_timeout=str(timeout_s), **headers)


# ---- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "answer"), [("[2, 3]", b"5"), ('{"a": 2, "b": 3}', b"5"), ('{"a": 2}', b"7"), ("\n [0]", b"5")]
)
def test_arguments_are_json_in_order_or_by_name(port: int, body: str, answer: bytes) -> None:
    answered = ask(port, "/v1/call/work/add", body)
    assert (answered.status, answered.headers["content-type"], answered.body) == (200, "application/json", answer)
    assert answered.headers["cache-control"] == "no-store"


def test_octets_in_json_are_base64(port: int) -> None:
    assert ask(port, "/v1/call/work/reverse", '{"data": "YWI="}').json == "YmE="


@pytest.mark.parametrize(
    ("query", "answer"),
    [("work/add?a=2&b=3", 5), ("work/add?a=2", 7), ("work/name", "one"), ("work/name?wanted=5", "5")],
)
def test_a_method_that_changes_nothing_is_asked_by_get(port: int, query: str, answer: object) -> None:
    assert ask(port, f"/v1/call/{query}").json == answer


@pytest.mark.parametrize(("verb", "path"), [("GET", "work/hold"), ("PUT", "work/hold"), ("DELETE", "work/add")])
def test_another_verb_is_refused_with_those_that_are_taken(port: int, verb: str, path: str) -> None:
    refused = ask(port, f"/v1/call/{path}", verb=verb)
    assert refused.status == 405
    assert refused.headers["allow"] == ("POST" if path == "work/hold" else "GET, HEAD, POST")


def test_the_head_of_an_answer_is_had_alone(port: int) -> None:
    answered = ask(port, "/v1/call/work/add?a=2", verb="HEAD")
    assert (answered.status, answered.headers["content-length"], answered.body) == (200, "1", b"")


def test_frames_go_and_come_as_they_are(port: int) -> None:
    body = bytes(range(256))
    answered = ask(port, "/v1/call/work/frames", body)
    assert (answered.headers["content-type"], answered.body) == ("application/octet-stream", body)
    large = os.urandom(3_000_000)
    assert ask(port, "/v1/call/work/frames", large).body == large


def test_several_frames_go_and_come_in_parts(port: int) -> None:
    parts = b"--x\r\n\r\none\r\n--x\r\ncontent-type: a/b\r\n\r\n\r\n--x\r\n\r\n\r\n--\r\nthree\r\n--x--\r\n"
    answered = ask(port, "/v1/call/work/frames", parts, content_type='multipart/mixed; boundary="x"')
    found = re.fullmatch(r"multipart/mixed; boundary=(\w+)", answered.headers["content-type"])
    assert found is not None
    again = ask(port, "/v1/call/work/frames", answered.body, content_type=answered.headers["content-type"])
    for said, boundary in ((answered, found[1]), (again, again.headers["content-type"].partition("=")[2])):
        contents = [part.partition(b"\r\n\r\n")[2] for part in said.body.split(b"--" + boundary.encode())[1:-1]]
        assert contents == [b"one\r\n", b"\r\n", b"\r\n--\r\nthree\r\n"]


def test_parts_without_a_boundary_are_refused(port: int) -> None:
    assert ask(port, "/v1/call/work/frames", b"--x--", content_type="multipart/mixed").status == 400


def test_what_travels_with_the_call(port: int) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    told = ask(port, "/v1/call/work/trace", "[]", traceparent=parent, tracestate="a=1", idempotency_key='"k-1"')
    assert told.json == [f"traceparent={parent}", "tracestate=a=1", "k-1"]


def test_equal_keys_run_once(port: int) -> None:
    before = ask(port, "/v1/call/work/seen").json["begun"]
    key = f"once-{os.getpid()}"
    for _ in range(3):
        assert ask(port, "/v1/call/work/hold", "[0]", idempotency_key=key).json == "held"
    assert ask(port, "/v1/call/work/seen").json["begun"] == before + 1


# ---- the table of statuses ---------------------------------------------------------------------------

TABLE = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def test_the_table_has_every_status() -> None:
    assert {"OK", *TABLE} == {status.name for status in Status}


@pytest.mark.parametrize(("code", "status"), TABLE.items())
def test_each_status_of_a_method_has_its_own(port: int, code: str, status: int) -> None:
    failed = call(port, "work.end", code)
    assert (failed.status, failed.headers["content-type"]) == (status, PROBLEM)
    told = failed.json
    assert (told["status"], told["code"], told["method"]) == (status, code, "work.end")
    assert "told to" in told["detail"] or code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
    assert {attempt["name"] for attempt in told["attempts"]} == {"one"}
    assert ("retry-after" in failed.headers) == (status in (429, 503))


def test_a_handler_that_crashes_tells_its_error_and_no_traceback(port: int) -> None:
    failed = call(port, "work.crash")
    assert (failed.status, failed.json["remote_type"]) == (500, "ZeroDivisionError")
    assert b"Traceback" not in failed.body
    assert b".py" not in failed.body


def test_arguments_that_do_not_fit_are_named(port: int) -> None:
    failed = call(port, "work.add", 1, "two")
    assert failed.status == 400
    assert failed.json["detail"].endswith("argument b: expected int, got str")
    assert ask(port, "/v1/call/work/add", "{nonsense").status == 400


def test_a_method_that_nobody_has_is_told_with_what_is_near(port: int) -> None:
    failed = call(port, "work.ad")
    assert (failed.status, failed.json["code"]) == (501, "UNIMPLEMENTED")
    assert "nearest: work.add" in failed.json["detail"]


def test_a_service_that_nobody_offers_is_waited_for_and_then_unavailable(port: int) -> None:
    for failed in (call(port, "wrk.add", timeout_s=0.2), ask(port, "/v1/call/wrk/add", request_timeout="0.2")):
        assert (failed.status, failed.headers["retry-after"], failed.json["error"]) == (503, "1", "NoServer")
        assert "Did you mean work?" in failed.json["detail"]


@pytest.mark.parametrize("header", [{"request_timeout": "0.2"}, {"grpc_timeout": "200m"}, {"grpc_timeout": "200000u"}])
def test_a_call_that_takes_longer_than_its_deadline_times_out(port: int, header: dict[str, str]) -> None:
    failed = ask(port, "/v1/call/work/hold", "[20]", **header)
    assert (failed.status, failed.json["error"]) == (504, "CallTimeout")
    assert 0.19 < failed.json["elapsed_s"] < 10.0, "half of what the call would take"
    assert [attempt["name"] for attempt in failed.json["attempts"]] == ["one"]


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "1e3", "301", "nan"])
def test_a_deadline_that_is_none_is_refused(port: int, value: str) -> None:
    failed = ask(port, "/v1/call/work/add", "[1]", request_timeout=value)
    assert (failed.status, failed.json["code"]) == (400, "INVALID_ARGUMENT")
    assert "Request-Timeout" in failed.json["detail"]


def test_a_server_without_room_is_told_from_one_that_fails(port: int) -> None:
    def refused() -> list[Answer]:
        answer = call(port, "narrow.hold_one", 0.0, timeout_s=0.3)
        # 504: at its deadline the server had it once more, and would have refused it again.
        return [answer] if answer.status not in (200, 504) else []

    head = b"POST /v1/call/narrow/hold_one HTTP/1.1\r\nhost: localhost\r\nrequest-timeout: 60\r\n"
    with connected(port) as connection:
        connection.sendall(head + b"content-length: 4\r\n\r\n[60]")  # until it hangs up
        [answer] = wait_until(refused, what="a refusal")
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.json["error"] == "Overloaded"


def test_what_cannot_be_sent_is_refused(port: int) -> None:
    failed = ask(port, "/v1/call/work/trace", "[]", traceparent="x" * 9000)
    assert (failed.status, failed.json["error"]) == (400, "LocalProtocolError")
    failed = ask(port, "/v1/call/work/trace", "[]", idempotency_key="k" * 65)
    assert (failed.status, failed.json["code"]) == (400, "INVALID_ARGUMENT")


def test_an_answer_that_json_has_no_words_for_is_a_bad_gateway(port: int) -> None:
    failed = call(port, "work.unspeakable")
    assert (failed.status, failed.json["code"]) == (502, "UNREADABLE_ANSWER")


def test_a_call_that_must_not_run_twice_ends_with_its_server(realm: str) -> None:
    with server(realm, "one") as one, gateway(realm) as (_, port):
        answers: list[Answer] = []
        calling = threading.Thread(target=lambda: answers.append(call(port, "work.hold", 20, timeout_s=20)))
        calling.start()
        wait_until(lambda: call(port, "work.seen").json["begun"] == 1)
        one.kill9()
        calling.join()
        (failed,) = answers
        assert (failed.status, failed.json["code"]) == (502, "OUTCOME_UNKNOWN")
        wait_until(lambda: ask(port, "/readyz").status == 503)
        assert call(port, "work.add", 1, timeout_s=0.1).status == 503


# ---- callers who leave, gateways that end ------------------------------------------------------------


def test_a_caller_who_hangs_up_cancels_the_call(port: int) -> None:
    before = call(port, "work.seen").json
    # The deadline is far away: it would end the call as well.
    head = b"POST /v1/call/work/hold HTTP/1.1\r\nhost: localhost\r\nrequest-timeout: 60\r\ncontent-length: 4\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(head + b"[60]")
        wait_until(lambda: call(port, "work.seen").json["begun"] == before["begun"] + 1)
    wait_until(lambda: call(port, "work.seen").json["cancelled"] == before["cancelled"] + 1, what="the cancellation")


def test_a_gateway_that_is_told_to_stop_finishes_what_runs(realm: str) -> None:
    with server(realm, "one"), gateway(realm) as (process, port):
        answers: list[Answer] = []
        calling = threading.Thread(target=lambda: answers.append(call(port, "work.hold", 0.5)))
        calling.start()
        wait_until(lambda: call(port, "work.seen").json["begun"] == 1)
        with connected(port) as stream:
            stream.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            wait_until(lambda: b"present" in stream.recv(4096))
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait() == 0
        calling.join()
        assert [answer.status for answer in answers] == [200]
        assert process.stderr == []


# ---- what is told ------------------------------------------------------------------------------------


def test_services_are_told_with_their_methods(port: int) -> None:
    services = {service["name"]: service for service in ask(port, "/v1/services").json["services"]}
    assert set(services) == {"narrow", "work"}
    work = services["work"]
    assert (work["versions"], work["servers"], work["description"]) == (["1.0.0"], ["one"], "ends in every way")
    add = next(method for method in work["methods"] if method["name"] == "work.add")
    assert add["signature"] == "work.add(a: int, b: int = 5) -> int"
    assert (add["raw"], add["idempotent"], add["read_only"]) == (False, True, True)


def test_servers_are_told_as_mesh_ls_does(port: int) -> None:
    servers = ask(port, "/v1/servers").json["servers"]
    assert [(one["name"], one["state"], one["services"]) for one in servers] == [
        ("narrow", "alive", ["narrow"]),
        ("one", "alive", ["work"]),
    ]


def test_health_and_a_path_that_there_is_not(port: int) -> None:
    assert ask(port, "/healthz").body == b"ok\n"
    missing = ask(port, "/v1/nothing")
    assert (missing.status, missing.headers["content-type"], missing.json["code"]) == (404, PROBLEM, "NOT_FOUND")
    assert ask(port, "/healthz", "x").status == 405


def test_the_page_needs_nothing_from_elsewhere(port: int) -> None:
    page = ask(port, "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in re.findall(rb'(?:src|href)="([^"#]+)"', page.body):
        file = ask(port, path.decode())
        assert file.status == 200
        assert not re.search(rb"https?://(?!www\.w3\.org/)", file.body)
        if "etag" in file.headers:
            assert ask(port, path.decode(), if_none_match=file.headers["etag"]).status == 304


def events(connection: socket.socket) -> Iterator[tuple[str, Any]]:
    """Yield what the stream tells, kind and value."""
    connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    read = b""
    while piece := connection.recv(65536):
        read += piece
        while found := re.search(rb"event: (\w+)\ndata: (.*)\n\n", read):
            read = read[found.end() :]
            yield found[1].decode(), json.loads(found[2])


def test_servers_that_come_and_go_are_streamed(realm: str) -> None:
    with server(realm, "one"), gateway(realm) as (_, port), connected(port) as connection:
        stream = events(connection)
        assert next(stream) == ("peer", {"kind": "present", "name": "one", **_where(port)})
        of_two = (told["kind"] for kind, told in stream if kind == "peer" and told["name"] == "two")
        with server(realm, "two") as two:
            assert next(of_two) == "appeared"
            two.kill9()
            assert "dead" in of_two


def _where(port: int) -> dict[str, str]:
    (one,) = [server for server in ask(port, "/v1/servers").json["servers"] if server["name"] == "one"]
    return {"peer_id": one["peer_id"], "detail": one["address"]}


# ---- safe by default ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.1.2.3", "localhost:x"]
)
def test_a_host_that_is_another_is_misdirected(port: int, host: str) -> None:
    assert ask(port, "/v1/servers", host=host).status == 421
    assert ask(port, "/", host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:1", socket.gethostname()])
def test_its_own_names_are_taken(port: int, host: str) -> None:
    assert ask(port, "/v1/servers", host=host).status == 200


def test_pages_of_other_sites_may_look_at_the_page_and_at_nothing_else(port: int) -> None:
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
        assert ask(port, "/v1/call/work/add", "[1]", **headers).status == 403
        assert ask(port, "/v1/events", **headers).status == 403
        assert ask(port, "/", **headers).status == 200
    own = ask(
        port, "/v1/call/work/add", "[1]", origin="http://localhost", host="localhost", sec_fetch_site="same-origin"
    )
    assert own.status == 200
    assert "access-control-allow-origin" not in own.headers


def test_a_servers_own_methods_are_out_of_reach(port: int) -> None:
    assert call(port, "mesh.drain").status == 403
    assert ask(port, "/v1/call/mesh/stats").status == 403


def test_only_what_is_allowed_is_called_and_told(realm: str) -> None:
    with server(realm, "one"), gateway(realm, "--allow", "work.a*", "--allow", "mesh.ping") as (_, port):
        assert call(port, "work.add", 1).status == 200
        assert call(port, "mesh.ping").status == 200
        assert call(port, "work.name").status == 403
        assert call(port, "mesh.stats").status == 403
        (service,) = ask(port, "/v1/services").json["services"]
        assert [method["name"] for method in service["methods"]] == ["work.add"]
        assert list(ask(port, "/openapi.json").json["paths"]) == ["/v1/call/work/add"]


def test_a_token_is_asked_for_where_the_mesh_is_told_of_or_moved(realm: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef\nfedcba9876543210\n")
    tokens.chmod(0o600)
    options = ("--listen", "0.0.0.0:0", "--token-file", str(tokens))
    with server(realm, "one"), gateway(realm, *options) as (process, port):
        for path in ("/", "/page.js", "/healthz", "/readyz"):
            assert ask(port, path).status == 200
        for path in ("/v1/servers", "/v1/call/work/name", "/openapi.json", "/v1/events"):
            refused = ask(port, path)
            assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="mesh"')
            wrong = ask(port, path, authorization="Bearer 0123456789abcdeX")
            assert (wrong.status, 'error="invalid_token"' in wrong.headers["www-authenticate"]) == (401, True)
        for token in ("Bearer 0123456789abcdef", "bearer fedcba9876543210"):
            assert ask(port, "/v1/call/work/name", authorization=token).json == "one"
        assert ask(port, "/openapi.json", authorization=token).json["security"] == [{"token": []}]
        assert "tokens and answers can be read on their way" in process.stderr[0]


def certificates(folder: Path) -> None:
    """Make an authority, and what it has signed: a server's certificate and a client's."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl(*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(*new, *signed, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


@needs_program("openssl")
def test_under_tls_clients_are_asked_for_their_certificates(realm: str, tmp_path: Path) -> None:
    certificates(tmp_path)
    files = {name: str(tmp_path / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}
    options = ("--cert", files["server.pem"], "--key", files["server.key"], "--client-ca", files["ca.pem"])
    with server(realm, "one"), gateway(realm, "--listen", "0.0.0.0:0", *options, alive=0) as (process, port):
        stranger = ssl.create_default_context(cafile=files["ca.pem"])
        friend = ssl.create_default_context(cafile=files["ca.pem"])
        friend.load_cert_chain(files["client.pem"], files["client.key"])

        def name_of_server(context: ssl.SSLContext) -> object:
            url = f"https://127.0.0.1:{port}/v1/call/work/name"
            with urllib.request.urlopen(url, context=context, timeout=10.0) as response:
                return json.load(response)

        assert name_of_server(friend) == "one"
        with pytest.raises(OSError, match=r"(?i)certificate required|reset|eof|closed"):
            name_of_server(stranger)
        with pytest.raises(OSError, match=r"reset|closed|disconnected|Connection|timed out"):
            assert ask(port, "/").status == 0
        assert name_of_server(friend) == "one"
        assert process.stderr == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--listen", "0.0.0.0:0"], "whoever reaches 0.0.0.0 could call every server of this mesh: give --token-file"),
        (["--listen", "8080"], "write HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "write HOST:PORT"),
        (["--listen", "192.0.2.1:0", "--token-file", "TOKENS"], "cannot listen on 192.0.2.1 port 0"),
        (["--token-file", "OPEN"], "others may read .*; chmod 600"),
        (["--token-file", "SHORT"], "each line is one token of 16 to 512"),
        (["--token-file", "MISSING"], "No such file"),
        (["--key", "TOKENS"], "a key without its certificate"),
        (["--client-ca", "TOKENS"], "give --cert and --key as well"),
        (["--cert", "TOKENS"], "give certificates and their key in PEM"),
        (["--max-connections", "1000000"], "raise the limit"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    for name, mode, text in (("TOKENS", 0o600, "0123456789abcdef"), ("OPEN", 0o644, "x" * 16), ("SHORT", 0o600, "x")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    words = [str(tmp_path / word) if word.isupper() else word for word in options]
    with spawn([PROGRAM, "gateway", "--listen", "127.0.0.1:0", *words]) as process:
        assert process.wait() == 2
    (said,) = process.stderr
    assert re.search(sentence, said)


def test_a_port_in_use_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with spawn([PROGRAM, "gateway", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"]) as process:
            assert process.wait() == 2
        assert "Address already in use; give another address or port with --listen" in process.stderr[0]


# ---- bounds ------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_and_the_connection_lives_on(realm: str) -> None:
    with server(realm, "one"), gateway(realm, "--max-body", "100K") as (_, port):
        assert ask(port, "/v1/call/work/frames", b"x" * 102_400).status == 200
        over = ask(port, "/v1/call/work/frames", b"x" * 102_401)
        assert (over.status, "102400 octets" in over.json["detail"]) == (413, True)
        assert ask(port, "/v1/call/work/frames", b"x" * 20_000_000).status == 413
        chunks = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        head = b"POST /v1/call/work/frames HTTP/1.1\r\nhost: localhost\r\n"
        with connected(port) as connection:
            chunked = say(
                connection,
                head + b"transfer-encoding: chunked\r\n\r\n",
                chunks * 5,
                b"0\r\n\r\n",
                b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            )
        assert chunked.startswith(b"HTTP/1.1 413 ")
        assert chunked.endswith(b"ok\n")


HEAD = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (HEAD + b"x: " + b"y" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"x: " + b"y" * 5_000_000, 431),
        (HEAD + b"x: y\r\n" * 100 + b"\r\n", 431),
        (HEAD + b"x: y\r\n" * 1_000_000, 431),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
    ],
    ids=str,
)
def test_a_head_that_is_none_or_too_long_is_refused(port: int, octets: bytes, status: int) -> None:
    with connected(port) as connection:
        said = say(connection, octets)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["status"] == status
    assert ask(port, "/healthz").status == 200
