"""Notices reach real receivers, an HTTP server and an SMTP server of our own, or fail with a reason."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_string
from typing import Any

import pytest
from aiohttp import web

from builders import at
from tradingbot_api import NoticesSpec
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.records import NoticeRecord
from tradingbot_runtime.ops.notices import Deliverer, Delivery, DeliveryFailed, NoticeSecrets

NOTICE = NoticeRecord(
    notice_id="abc:webhook",
    idempotency_key="abc",
    channel="webhook",
    severity="error",
    payload=json.dumps(
        {"kind": "incident_opened", "name": "trade_updates_lost", "message": "no trade updates\nfor 61 s"}
    ),
    created_at=at().machine,
    next_attempt_at=at().machine,
)
MAIL = replace(NOTICE, notice_id="abc:email", channel="email")


@asynccontextmanager
async def a_web_server(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """An SMTP server that takes one message a connection, without TLS, and may refuse."""

    refuse: bool = False
    messages: list[str] = field(default_factory=list)
    senders: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")

        say("220 mailbox")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "DATA":
                say("354 go on")
                lines = []
                while (text := (await reader.readline()).decode()) != ".\r\n":
                    lines.append(text)
                self.messages.append("".join(lines))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            elif verb == "MAIL":
                self.senders.append(line)
                say("451 try later" if self.refuse else "250 fine")
            else:
                say("250 fine")
            await writer.drain()
        writer.close()


@asynccontextmanager
async def a_mail_server(mailbox: Mailbox) -> AsyncIterator[str]:
    server = await asyncio.start_server(mailbox.serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def hook(url: str, token: str = "") -> Deliverer:
    return Deliverer(NoticesSpec.model_validate({"webhook": {"url": url}}), NoticeSecrets(webhook_token=token))


def mail(server: str, secrets: NoticeSecrets | None = None) -> Deliverer:
    spec = {"email": {"server": server, "sender": "bot@example.org", "recipients": ["on@call.org", "b@call.org"]}}
    return Deliverer(NoticesSpec.model_validate(spec), secrets or NoticeSecrets())


async def test_a_webhook_gets_the_payload_the_key_and_the_token() -> None:
    got: list[tuple[dict[str, Any], dict[str, str]]] = []

    async def answer(request: web.Request) -> web.Response:
        got.append((await request.json(), dict(request.headers)))
        return web.Response(status=202)

    async with a_web_server(answer) as url:
        await hook(url, "s3cret").deliver(NOTICE)
    ((body, headers),) = got
    assert (body["name"], body["severity"], body["kind"]) == ("trade_updates_lost", "error", "incident_opened")
    assert (headers["Idempotency-Key"], headers["Authorization"]) == ("abc", "Bearer s3cret")


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
async def test_a_webhook_that_does_not_take_it_is_a_failure_with_its_status(status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/hook"})

    async with a_web_server(answer) as url:
        with pytest.raises(DeliveryFailed, match=str(status)):
            await hook(url).deliver(NOTICE)


async def test_a_webhook_that_is_silent_is_given_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradingbot_runtime.ops.notices.WEBHOOK_SECONDS", 0.1)

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with a_web_server(answer) as url:
        with pytest.raises(DeliveryFailed, match="Timeout"):
            await hook(url).deliver(NOTICE)


async def test_nobody_there_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="webhook"):
        await hook("http://127.0.0.1:1/hook").deliver(NOTICE)


async def test_a_mail_has_a_subject_on_one_line_and_an_id_that_tells_doubles() -> None:
    mailbox = Mailbox()
    async with a_mail_server(mailbox) as server:
        await mail(server).deliver(MAIL)
        await mail(server).deliver(MAIL)
    first, second = (message_from_string(text) for text in mailbox.messages)
    assert first["Subject"] == "[error] incident_opened: no trade updates for 61 s"
    assert (first["To"], first["From"]) == ("on@call.org, b@call.org", "bot@example.org")
    assert first["Message-ID"] == second["Message-ID"] == "<abc.email@example.org>"
    assert json.loads(str(first.get_payload()))["name"] == "trade_updates_lost"


async def test_a_mail_server_that_refuses_is_a_failure() -> None:
    async with a_mail_server(Mailbox(refuse=True)) as server:
        with pytest.raises(DeliveryFailed, match="451"):
            await mail(server).deliver(MAIL)


async def test_a_password_is_never_sent_in_the_clear() -> None:
    mailbox = Mailbox()
    async with a_mail_server(mailbox) as server:
        with pytest.raises(DeliveryFailed, match="no TLS"):
            await mail(server, NoticeSecrets(smtp_username="me", smtp_password="s3cret")).deliver(MAIL)
    assert mailbox.senders == []


async def test_a_channel_that_was_taken_away_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="no channel email"):
        await hook("http://127.0.0.1:1/hook").deliver(MAIL)


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(NoticeSecrets.of({"WEBHOOK_TOKEN": "s3cret", "SMTP_PASSWORD": "s3cret"}))
    assert ssl.create_default_context().check_hostname


async def test_what_is_due_is_tried_once_until_the_core_has_heard_of_it() -> None:
    due, told = [NOTICE], list[seen.Event]()

    async def tell(event: seen.Event) -> None:
        told.append(event)

    delivery = Delivery(hook("http://127.0.0.1:1/hook"), lambda: due, tell)
    await delivery.once()
    await delivery.once()
    assert [type(event) for event in told] == [seen.NoticeUndelivered]
    due[:] = [replace(NOTICE, attempts=1)]
    await delivery.once()
    assert len(told) == 2
