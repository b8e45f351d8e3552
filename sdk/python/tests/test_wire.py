"""Over real sockets: what a scripted transport cannot show."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Callable, Dict, Generator, List

import pytest

import tallygate

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
HALF = OK[:-5]
COOKIE = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")
SILENCE = b""

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Generator[Serve, None, None]:
    """Starts a server that answers one connection after the other as it is told, the last answer ever after."""
    listeners: List[socket.socket] = []
    stop = threading.Event()
    threads: List[threading.Thread] = []

    def start(*answers: bytes, seen: List[bytes]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            at = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    seen.append(connection.recv(65536))
                    answer = answers[min(at, len(answers) - 1)]
                    at += 1
                    if answer is SILENCE:
                        stop.wait(60)
                    else:
                        connection.sendall(answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stop.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join()


def both(url: str, call: str, **settings: Any) -> None:
    """Makes a call with either client."""
    with tallygate.Tallygate(url, "k", **settings) as client:
        getattr(client, call)()

    async def main() -> None:
        async with tallygate.AsyncTallygate(url, "k", **settings) as client:
            await getattr(client, call)()

    asyncio.run(main())


def test_half_an_answer_is_asked_for_again(serve: Serve) -> None:
    seen: List[bytes] = []
    both(serve(HALF, OK, HALF, OK, seen=seen), "health")
    assert len(seen) == 4


def test_nobody_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for kind in (tallygate.ConnectionFailedError, ConnectionError):
        with pytest.raises(kind, match="no answer"):
            both(f"http://127.0.0.1:{port}", "health", max_attempts=1)


def test_silence_is_a_time_out(serve: Serve) -> None:
    url = serve(SILENCE, seen=[])
    with pytest.raises(tallygate.AttemptTimeoutError, match=r"within 0\.05 s"):
        both(url, "health", timeout=0.05, max_attempts=1)


def test_a_page_of_http_where_tls_is_spoken_is_no_connection(serve: Serve) -> None:
    url = serve(OK, seen=[]).replace("http://", "https://")
    with pytest.raises(tallygate.ConnectionFailedError):
        both(url, "health", max_attempts=1)


def test_cookies_and_environment_do_not_go_along(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: List[bytes] = []
    url = serve(COOKIE, seen=seen)
    with tallygate.Tallygate(url, "k") as client:
        client.health()
        client.health()
    assert len(seen) == 2
    for request in seen:
        assert b"cookie" not in request.lower()
        assert f"user-agent: tallygate-python/{tallygate.__version__}".encode() in request.lower()


def test_a_blocking_call_is_given_up_from_another_thread(serve: Serve) -> None:
    seen: List[bytes] = []
    url = serve(SILENCE, seen=seen)
    cancellation = tallygate.Cancellation()
    begun = threading.Event()

    def give_up() -> None:
        begun.wait(60)
        cancellation.cancel()

    thread = threading.Thread(target=give_up)
    thread.start()
    with tallygate.Tallygate(url, "k", on_request=lambda _: begun.set(), timeout=5) as client:
        with pytest.raises(tallygate.CallCancelledError):
            client.with_options(cancellation=cancellation).health()
        with pytest.raises(tallygate.CallCancelledError):
            client.with_options(cancellation=cancellation).health()
    thread.join()
    assert len(seen) <= 1


def test_hooks_hear_of_every_step(serve: Serve) -> None:
    heard: List[str] = []

    def hear(info: Any) -> None:
        heard.append(type(info).__name__)

    hooks: Dict[str, Any] = {"on_request": hear, "on_answer": hear, "on_retry": hear}
    with tallygate.Tallygate(serve(HALF, OK, seen=[]), "k", **hooks) as client:
        client.health()
    assert heard == ["RequestInfo", "AnswerInfo", "RetryInfo", "RequestInfo", "AnswerInfo"]
