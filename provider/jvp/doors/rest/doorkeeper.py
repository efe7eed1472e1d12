"""Who asks: the user of a unix socket, or the holder of a token. Nobody else gets past this.

A wrong token is answered late, later for each one in a row of the same address. That holds up neither other addresses
nor a right token. Tokens have 256 random bits, so guessing is hopeless anyhow: this keeps the database quiet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections import OrderedDict

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Asked

from jvp.core.errors import JvpError, Rejected
from jvp.doors.rest import problems
from jvp.doors.rest.caller import PEER
from jvp.doors.rest.login import Login
from jvp.doors.rest.problems import Refused
from jvp.doors.rest.requests import shown
from jvp.doors.rest.scope import Scope
from jvp.index import tokens
from jvp.index.store import Index

JOIN = "/api/tokens/join"
"""The one path that takes a token for one use, and no other."""
AT_ONCE = 10
"""So many tokens are looked up at the same time."""
FIRST_S, LONGEST_S, FORGOTTEN_S, ADDRESSES_MAX = 0.1, 5.0, 60.0, 10_000
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE | re.ASCII)


class Slowness:
    """How late wrong tokens are answered."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def note(self, address: str, now: float) -> float:
        """Seconds to wait before this answer. Counted anew after a minute without a wrong token."""
        place = _network(address)
        count, last = self._seen.pop(place, (0, now))
        count = 1 if now - last > FORGOTTEN_S else count + 1
        self._seen[place] = (count, now)
        if len(self._seen) > ADDRESSES_MAX:
            self._seen.popitem(last=False)
        return float(min(LONGEST_S, FIRST_S * 2 ** min(count - 1, 10)))


def _network(address: str) -> str:
    """The address; of IPv6 the network, in which one machine has as many addresses as it wants."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


class Doorkeeper:
    """Sets `request.state.caller`, or answers 401 before anything else of the request is read."""

    def __init__(self, app: ASGIApp, index: Index | None) -> None:
        self._app, self._index = app, index
        self._slowness = Slowness()
        self._limiter = anyio.CapacityLimiter(AT_ONCE)

    async def __call__(self, scope: Asked, receive: Receive, send: Send) -> None:
        answer = await self._refused(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    async def _refused(self, scope: Asked) -> ASGIApp | None:
        """The answer to who may not come in; None for who may, and then the caller is set."""
        state = scope.setdefault("state", {})
        try:
            _refuse_other_sites(scope)
            state["caller"] = await self._login(scope, state.get(PEER))
        except Refused as error:
            answer = shown(error.problem)
            if answer.status_code == 401:
                answer.headers["WWW-Authenticate"] = 'Bearer realm="jvp"'
            return answer
        except JvpError as error:
            return shown(problems.of(error))
        return None

    async def _login(self, scope: Asked, peer: str | None) -> Login:
        joining = scope["path"] == JOIN
        if peer is not None and not joining:
            return Login(peer, "admin")
        if self._index is None:
            raise Rejected("the server has no index, where tokens are kept; start it with --index")
        address = "local" if peer is not None else (scope.get("client") or ("nobody",))[0]
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise Refused(401, "unauthenticated", "this needs a token, in the header Authorization: Bearer jvp_...")
        match = _BEARER.fullmatch(given[0].decode("latin-1")) if len(given) == 1 else None
        index, text = self._index, match[1] if match is not None else ""
        found = await anyio.to_thread.run_sync(lambda: tokens.verify(index, text, once=joining), limiter=self._limiter)
        if found is None:
            await asyncio.sleep(self._slowness.note(address, time.monotonic()))
            which = "token for one use" if joining else "token"
            raise Refused(401, "unauthenticated", f"this {which} is not valid, or not any more; ask for another one")
        return Login(found.subject, found.role, Scope.of(found.scope), found.id, address)


def _refuse_other_sites(scope: Asked) -> None:
    """Raise Refused for a change that a browser sends for a page of another site."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is None or scope["method"] in ("GET", "HEAD"):
        return
    if origin.partition(b"//")[2].lower() != headers.get(b"host", b"").lower():
        raise Refused(403, "forbidden", "a page of another site asks for this, which only programs may")
