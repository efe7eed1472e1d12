"""An image from an http or https address: streamed, bounded, and resumed where the connection was cut."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator
from typing import Final, Self

from jvp.core.errors import Invalid, Unreachable
from jvp.core.work import Work
from jvp.images.download_cache import Version, keeping, kept
from jvp.images.http import Cut, Hiccup, Reply, get, shown
from jvp.images.segments import HEAD_BYTES, Meter, Segment, ahead, aside, punched, rechunked, size_text
from jvp.images.source import Source, open_path
from jvp.images.unpack import without_encoding

_TRIES: Final = 5
"""Further attempts without a single byte of progress."""
_ENDINGS: Final = {
    "gzip": (".gz", ".tgz"), "zstd": (".zst", ".tzst"), "xz": (".xz", ".txz"), "bzip2": (".bz2", ".tbz2"),
}  # fmt: skip
"""How files are called that are packed like this. Source: mime.types and AddEncoding of Apache and nginx."""
_PAUSE_S: Final = 0.5
"""Before the first of them; doubled for each one after it, so 15.5 s together."""


class UrlSource:
    """The body of one address. A thread reads it a little ahead, so a Cancel never waits for the network."""

    def __init__(self, url: str, work: Work, *, limit_bytes: int, allow_private_redirects: bool) -> None:
        self._url, self._limit = url, limit_bytes
        self._allow, self._open_internet = allow_private_redirects, work.open_internet
        self._closed = threading.Event()
        self._lock = threading.Lock()
        what = f"the download of {shown(url)}"
        self._reply = self._answered(work, what)
        self.total_bytes: int | None = self._reply.total
        self._progress = Meter("downloading", self.total_bytes, work)
        try:
            if self._reply.status == 206:
                raise Invalid(f"the server sends a part of {shown(url)} where all of it was asked for")
            if self.total_bytes is not None and self.total_bytes > limit_bytes:
                raise self._too_long(f"is {size_text(self.total_bytes)}")
        except BaseException:
            self._reply.dispose()
            raise
        chunks = keeping(self.version, self._read())
        self._chunks = ahead(rechunked(chunks), work, what=what, tick=self._progress.show)
        self._first: list[bytes] = []
        self._reading = False  # the thread starts with the first piece that is wanted

    @property
    def version(self) -> Version:
        """What the server says that it sends."""
        return Version(self._url, self._reply.validator, self.total_bytes)

    @property
    def encoding(self) -> str:
        """How the body is compressed on its way, empty when it is not.

        A server that says so of a file that is itself called `.gz` or the like means that file, which is what was
        published.
        """
        said = self._reply.headers.get("Content-Encoding", "").strip().lower()
        name = self._url.partition("?")[0].partition("#")[0].lower()
        is_the_file = name.endswith(_ENDINGS.get(said.removeprefix("x-"), ()))
        return "" if is_the_file or said == "identity" else said

    def _answered(self, work: Work, what: str) -> Reply:
        """The first answer, asked for again where the reason may pass, as long as the call has time."""
        from tenacity import RetryCallState, Retrying, retry_if_exception_type

        def hiccup(state: RetryCallState) -> Hiccup:
            error = state.outcome.exception() if state.outcome else None
            assert isinstance(error, Hiccup)
            return error

        def pause_s(state: RetryCallState) -> float:
            return max(hiccup(state).after_s, _PAUSE_S * 2.0 ** (state.attempt_number - 1))

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number > _TRIES or state.upcoming_sleep >= work.left()

        def tell(state: RetryCallState) -> None:
            again = f"attempt {state.attempt_number + 1} of {_TRIES + 1} follows in {state.upcoming_sleep:.1f} s"
            work.status(f"{hiccup(state).message.partition(';')[0]}; {again}")

        retrying = Retrying(
            retry=retry_if_exception_type(Hiccup), wait=pause_s, stop=enough, before_sleep=tell, sleep=work.wait,
            reraise=True,
        )  # fmt: skip
        return retrying(lambda: aside(lambda: self._ask({}), work, what=what, discard=Reply.dispose))

    def _ask(self, headers: dict[str, str]) -> Reply:
        return get(self._url, headers, allow_private_redirects=self._allow, open_internet=self._open_internet)

    def head(self) -> bytes:
        """Raises as `segments` does."""
        self._reading = True
        while sum(map(len, self._first)) < HEAD_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._first.append(chunk)
        return b"".join(self._first)[:HEAD_BYTES]

    def segments(self) -> Iterator[Segment]:
        """Raises Unreachable (cut and not resumable), Invalid (too long, changed meanwhile), Cancelled."""
        yield from punched(self._all())

    def _all(self) -> Iterator[bytes]:
        self._reading = True
        while self._first:
            yield self._first.pop(0)
        yield from self._chunks
        self._progress.end()

    def _read(self) -> Generator[bytes, None, None]:
        """Every byte of the body, asking again where it was cut. Runs in the reading thread."""
        first = reply = self._reply
        got = tries = 0
        try:
            while True:
                try:
                    for chunk in reply.chunks():
                        got += len(chunk)
                        tries = 0
                        self._progress.done, self._progress.held = got, ""
                        if got > self._limit:
                            raise self._too_long("goes on")
                        yield chunk
                    return
                except Cut as cut:
                    if self._closed.is_set():
                        return
                    tries += 1
                    resumable = self.total_bytes is not None and first.validator is not None
                    if (got and not resumable) or tries > _TRIES:
                        raise self._was_cut(cut, got) from cut
                    self._progress.held = f"{cut}; asking for the rest, attempt {tries} of {_TRIES}"
                reply.dispose()
                if self._closed.wait(_PAUSE_S * 2 ** (tries - 1)):
                    return
                reply = self._resumed(first, reply, got)
        finally:
            reply.dispose()

    def _resumed(self, first: Reply, last: Reply, got: int) -> Reply:
        """The answer with the bytes from `got` on; `last` again where the server does not answer."""
        validator = first.validator
        try:
            reply = self._ask({"Range": f"bytes={got}-", "If-Range": validator} if got and validator else {})
        except Unreachable:
            return last  # it is used up: its next read is cut, which counts as a try
        with self._lock:
            self._reply = reply
            closed = self._closed.is_set()
        if closed:
            reply.close()
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", reply.headers.get("Content-Range", ""))
        if reply.status == 206 and span and (int(span[1]), int(span[2])) == (got, self.total_bytes):
            return reply
        if reply.status == 200 and (reply.validator, reply.total) == (validator, self.total_bytes):
            reply.skip = got  # a server without ranges sends all of it again
            return reply
        reply.dispose()
        raise Invalid(f"{shown(self._url)} was changed on the server during the download; run again")

    def _too_long(self, how: str) -> Invalid:
        return Invalid(f"{shown(self._url)} {how}, and the limit is {size_text(self._limit)}")

    def _was_cut(self, cut: Cut, got: int) -> Unreachable:
        of = "" if self.total_bytes is None else f" of {self.total_bytes}"
        return Unreachable(f"{shown(self._url)} was cut after {got}{of} bytes: {cut}; run again")

    def close(self) -> None:
        """Stops the reading thread, wherever it waits. Again: yes."""
        with self._lock:
            self._closed.set()
            self._reply.close()
        self._chunks.close()
        if not self._reading:  # else the thread does it on its way out
            self._reply.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_url(url: str, work: Work, *, limit_bytes: int, allow_private_redirects: bool = False) -> Source:
    """Ask for an image; the answer's head has arrived on return. What is kept of an earlier download is not fetched.

    Raises Forbidden (what `work` may not reach), Invalid (the address, a redirect that is not allowed, HTTP 4xx, longer
    than `limit_bytes`),
    Unreachable (the name, the connection, TLS, HTTP 5xx), Cancelled.
    """
    answer = UrlSource(url, work, limit_bytes=limit_bytes, allow_private_redirects=allow_private_redirects)
    source: Source = answer
    try:
        file = kept(answer.version)
        if file is not None:
            source = open_path(str(file), work)
            answer.close()
        return without_encoding(source, answer.encoding, limit_bytes=limit_bytes) if answer.encoding else source
    except BaseException:
        answer.close()
        source.close()
        raise
