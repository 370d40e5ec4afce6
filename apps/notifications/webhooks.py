"""Webhooks by the Standard Webhooks convention (https://www.standardwebhooks.com), sent to checked addresses only.

Redirects are not followed, and the answer's body is not read: its first line says all that counts.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from standardwebhooks import Webhook

from apps.notifications import addresses, failures, guard, kinds
from apps.notifications.addresses import Target
from apps.notifications.models import Channel, Delivery, Notification
from apps.notifications.sending import Failed

TIME_S = 15.0
"""The most that connecting, sending and the answer's head may take together."""
LONGEST_RETRY_AFTER_S = 6 * 3600.0
GONE = 410
SECRET_BYTES = 32


def new_secret() -> str:
    """A key in the convention's form: `whsec_` and base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def body_of(notification: Notification | None, at: datetime) -> str:
    """The JSON of a message: its type, when it happened, and what."""
    if notification is None:
        data: dict[str, Any] = {"title": "Test message", "text": "This channel works.", "url": None, "team": None}
        return _json(kinds.TEST, at, data)
    team = notification.team
    data = {
        **notification.data,
        "notification": notification.pk,
        "title": notification.title,
        "text": notification.text,
        "url": notification.url or None,
        "team": team.slug if team else None,
    }
    return _json(notification.kind, notification.created_at, data)


def _json(kind: str, at: datetime, data: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "timestamp": at.isoformat(), "data": data}, ensure_ascii=False)


def headers_of(message_id: UUID, keys: list[str], body: str, at: datetime) -> dict[str, str]:
    """The convention's headers. During a rotation there is a signature by each of the `keys`."""
    name = f"msg_{message_id.hex}"
    return {
        "Content-Type": "application/json",
        "User-Agent": "Lathe-Webhooks/1",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(name, at, body) for key in keys),
    }


def send(channel: Channel, delivery: Delivery) -> int:
    """Sends one message. Returns the HTTP status. Raises `Failed`."""
    body = body_of(delivery.notification, delivery.created_at)
    headers = headers_of(delivery.message_id, channel.secrets, body, timezone.now())
    target = addresses.read(channel.address)
    try:
        status, retry_after = post(target, body.encode(), headers)
    except (guard.NotPublic, guard.NotEncrypted) as error:
        raise Failed(str(error)) from error
    except TimeoutError as error:
        raise Failed(failures.NO_ANSWER.format(seconds=f"{TIME_S:g}")) from error
    except socket.gaierror as error:
        raise Failed(failures.NO_SUCH_HOST) from error
    except ssl.SSLError as error:
        raise Failed(failures.TLS_FAILED.format(reason=error.reason or failures.CONNECTION_ENDED)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Failed(failures.CONNECTION_FAILED.format(reason=type(error).__name__)) from error
    _judge(status, retry_after)
    return status


def _judge(status: int, retry_after: str) -> None:
    """Raises `Failed` unless `status` says that the receiver has taken the message."""
    if 200 <= status < 300:
        return
    if status == GONE:
        raise Failed(failures.GONE, status=status, final=True)
    if 300 <= status < 400:
        raise Failed(failures.REDIRECTED.format(status=status), status=status)
    wait_s = min(float(retry_after), LONGEST_RETRY_AFTER_S) if retry_after.isdecimal() and len(retry_after) < 9 else 0.0
    raise Failed(failures.ANSWERED.format(status=status), status=status, retry_after_s=wait_s)


def post(target: Target, body: bytes, headers: dict[str, str], *, time_s: float = TIME_S) -> tuple[int, str]:
    """Posts `body`. Returns the status and the header Retry-After.

    Raises `TimeoutError` after `time_s` altogether, however slowly the receiver drips; `guard.NotPublic`,
    `guard.NotEncrypted`, another `OSError`, or `http.client.HTTPException`.
    """
    deadline = time.monotonic() + time_s
    connection = _Connection(target, deadline)
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        connection.cut()

    watchdog = threading.Timer(time_s, expire)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("POST", target.path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Retry-After", "")
    except (OSError, ValueError, http.client.HTTPException) as error:
        if expired.is_set():
            raise TimeoutError from error
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise http.client.HTTPException(str(error)) from error
        raise
    finally:
        watchdog.cancel()
        connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to a checked address. `Host` and the certificate's name stay those of the URL."""

    def __init__(self, target: Target, deadline: float) -> None:
        self.default_port = 443 if target.tls else 80  # which http.client leaves out of `Host`
        super().__init__(target.host, target.port)
        self._target = target
        self._deadline = deadline

    def connect(self) -> None:
        target = self._target
        plain = guard.checked_socket(target.host, target.port, tls=target.tls, deadline=self._deadline)
        plain.settimeout(max(0.1, self._deadline - time.monotonic()))
        self.sock = plain
        if target.tls:
            self.sock = tls_context().wrap_socket(plain, server_hostname=target.host)

    def cut(self) -> None:
        """Ends the connection under the thread that waits for it."""
        if (held := self.sock) is not None:
            shut: Callable[[socket.socket, int], None] = socket.socket.shutdown
            try:
                shut(held, socket.SHUT_RDWR)  # not the TLS socket's own, which takes its parts away from the reader
            except OSError:
                return


def tls_context() -> ssl.SSLContext:
    """The certificates that this machine trusts, and no others."""
    return ssl.create_default_context()
