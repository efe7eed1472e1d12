"""What leaves a call beside its answer, errors and lines: without secrets, and without what acts on a display."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from jvp.core.errors import Bug, JvpError, NameTaken, incomplete
from jvp.core.text import harmless_value, is_harmless, sentence, texts_in
from jvp.core.values import Bag, masked, reveal, secret_texts
from jvp.core.work import Work, current, running


@contextlib.contextmanager
def guarded(settings: set[str], *bags: Bag, work: Work | None = None) -> Iterator[Work]:
    """A `work` whose lines are safe to show: without the secrets of these bags, and those of the `settings`.

    Errors are made so too, and what nobody expected a Bug of one sentence. The work is the thread's current one
    meanwhile: to connect is a wait that no verb asks for by name.
    """
    given = work or current()

    @cache
    def secrets() -> set[str]:  # most calls say nothing
        return settings.union(*map(secret_texts, bags))

    def safely(text: str) -> str:
        return said(text, secrets())

    show = given.progress
    safe = replace(
        given,
        status=lambda line: given.status(safely(line)),
        warn=lambda line: given.warn(safely(line)),
        progress=show and (lambda one: show(replace(one, what=safely(one.what), line=safely(one.line)))),
    )
    try:
        with running(safe):
            yield safe
    except JvpError as error:
        error.message = said(error.message, secrets())
        if isinstance(error, NameTaken):
            error.name, error.id = said(error.name, secrets()), said(error.id, secrets())
        raise
    except ImportError as error:
        raise incomplete(said(str(error), secrets())) from None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        text = said(f"{type(error).__name__} at {place}: {error}", secrets())
        raise Bug(f"this is a defect of jvp, please report it: {text}") from None


def said(line: str, secrets: set[str]) -> str:
    """A sentence as it may be shown. Masked first: a secret that was cut or escaped would not be found."""
    return sentence(masked(line, secrets))


def shown(bag: Bag, *own: Bag) -> Bag:
    """A bag as it may be shown, with every string of a user's `own` bags as it is."""
    if is_harmless(bag):
        return bag
    texts = {text for one in own for text in texts_in(reveal(one))}
    return {name: harmless_value(value, texts) for name, value in bag.items()}
