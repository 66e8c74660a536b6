"""Brings notices to people: a webhook and a mailbox. One attempt a call; when to try again is the core's to say.

Never logs a token or a password.
"""

import asyncio
import json
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final

import aiohttp

from tradingbot_api import EmailSpec, NoticesSpec, WebhookSpec
from tradingbot_runtime.core import events as seen
from tradingbot_runtime.core.records import NoticeRecord

WEBHOOK_SECONDS: Final = 3.0
SMTP_SECONDS: Final = 10.0
LOOK_EVERY_SECONDS: Final = 1.0
_SMTP_PORT: Final = 25
_SUBJECT_LENGTH: Final = 120


class DeliveryFailed(Exception):
    """The receiver did not take a notice; the message says why."""


@dataclass(frozen=True)
class NoticeSecrets:
    """What proves the sender. Never shown."""

    webhook_token: str = field(default="", repr=False)
    smtp_username: str = field(default="", repr=False)
    smtp_password: str = field(default="", repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "NoticeSecrets":
        """From the environment of the process."""
        return cls(
            environment.get("WEBHOOK_TOKEN", ""),
            environment.get("SMTP_USERNAME", ""),
            environment.get("SMTP_PASSWORD", ""),
        )


class Deliverer:
    """Sends a notice to its channel."""

    def __init__(self, spec: NoticesSpec, secrets: NoticeSecrets, tls: ssl.SSLContext | None = None) -> None:
        self._spec = spec
        self._secrets = secrets
        self._tls = tls

    async def deliver(self, notice: NoticeRecord) -> None:
        """Returns once the receiver has taken the notice. Raises DeliveryFailed."""
        match notice.channel:
            case "webhook" if self._spec.webhook is not None:
                await self._post(self._spec.webhook, notice)
            case "email" if self._spec.email is not None:
                await self._mail(self._spec.email, notice)
            case _:
                raise DeliveryFailed(f"there is no channel {notice.channel} any more")

    async def _post(self, webhook: WebhookSpec, notice: NoticeRecord) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": notice.idempotency_key}
        if self._secrets.webhook_token:
            headers["Authorization"] = f"Bearer {self._secrets.webhook_token}"
        body = {"severity": notice.severity, "created_at": notice.created_at.isoformat(), **json.loads(notice.payload)}
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                # A redirect would carry the token to somebody else.
                session.post(webhook.url, json=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DeliveryFailed(f"webhook: {type(error).__name__}: {error}") from error
        if not 200 <= status < 300:
            raise DeliveryFailed(f"webhook: answered {status}")

    async def _mail(self, email: EmailSpec, notice: NoticeRecord) -> None:
        message = _message(email, notice)
        try:
            async with asyncio.timeout(2 * SMTP_SECONDS):
                await asyncio.to_thread(self._send, email, message)
        except (smtplib.SMTPException, OSError, TimeoutError) as error:
            raise DeliveryFailed(f"email: {type(error).__name__}: {error}") from error

    def _send(self, email: EmailSpec, message: EmailMessage) -> None:
        host, _, port = email.server.partition(":")
        with smtplib.SMTP(host, int(port) if port else _SMTP_PORT, timeout=SMTP_SECONDS) as server:
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=self._tls or ssl.create_default_context())
                server.ehlo()
            elif self._secrets.smtp_password:
                raise DeliveryFailed(f"email: {host} offers no TLS: the password is not sent in the clear")
            if self._secrets.smtp_password:
                server.login(self._secrets.smtp_username, self._secrets.smtp_password)
            server.send_message(message)


class Delivery:
    """Delivers what is due, one after the other, and tells what came of it."""

    def __init__(
        self,
        deliverer: Deliverer,
        due: Callable[[], Sequence[NoticeRecord]],
        tell: Callable[[seen.Event], Awaitable[None]],
    ) -> None:
        self._deliverer = deliverer
        self._due = due
        self._tell = tell
        self._tried: dict[str, int] = {}  # the attempt that was made, until the core has heard of it

    async def run(self) -> None:
        """Runs for ever."""
        while True:
            await self.once()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def once(self) -> None:
        """Delivers all that is due now."""
        due = self._due()
        self._tried = {one.notice_id: self._tried[one.notice_id] for one in due if one.notice_id in self._tried}
        for notice in due:
            if self._tried.get(notice.notice_id) == notice.attempts:
                continue
            self._tried[notice.notice_id] = notice.attempts
            try:
                await self._deliverer.deliver(notice)
            except DeliveryFailed as error:
                await self._tell(seen.NoticeUndelivered(notice.notice_id, str(error)))
            else:
                await self._tell(seen.NoticeDelivered(notice.notice_id))


def _message(email: EmailSpec, notice: NoticeRecord) -> EmailMessage:
    payload = json.loads(notice.payload)
    words = str(payload.get("message") or payload.get("name") or payload.get("kind"))
    message = EmailMessage()
    subject = f"[{notice.severity}] {payload.get('kind')}: {words}"
    message["Subject"] = " ".join(subject.split())[:_SUBJECT_LENGTH]
    message["From"] = email.sender
    message["To"] = ", ".join(email.recipients)
    # The same notice has the same id however often it is sent: a mailbox tells doubles by it.
    domain = email.sender.rpartition("@")[2]
    message["Message-ID"] = f"<{notice.notice_id.replace(':', '.')}@{domain}>"
    message.set_content(json.dumps(payload, indent=2, sort_keys=True) + "\n")
    return message
