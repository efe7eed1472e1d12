"""The commands over files of documents: `apply`, `plan` and `delete`, and `export`, which prints such a document."""

from __future__ import annotations

import argparse

from jvp.core.errors import JvpError, NotFound
from jvp.doors.cli import changes, documents, exits, known, output, plans
from jvp.doors.cli.session import Session


def apply(parsed: argparse.Namespace) -> int:
    """Make and change what the files declare, one after the other. The first that fails ends it."""
    if parsed.plan:
        return plan(parsed)
    found, session = documents.load(parsed.files), Session(parsed)
    objects = session.objects()
    code = exits.DONE
    for one in found:
        try:
            with session.work("create") as work:
                applied = objects.apply(one.token, one.wanted, work, by=changes.BY, force=parsed.force)
        except JvpError as error:
            raise one.at(error) from None
        print(f'{one.kind.kind} "{one.name}" {plans.told(one.kind.spec, applied)}', flush=True)
        code = changes.incomplete(applied) or code
    return code


def plan(parsed: argparse.Namespace) -> int:
    """Say what an apply of the files would do. Nothing is written."""
    found, session = documents.load(parsed.files), Session(parsed)
    objects = session.objects()
    made = []
    for one in found:
        try:
            with session.work() as work:
                made.append(plans.Plan(one.kind, one.name, objects.plan(one.token, None, one.wanted, work)))
        except JvpError as error:
            raise one.at(error) from None
    return plans.show(made, output.chosen(parsed))


def delete(parsed: argparse.Namespace) -> int:
    """Delete what the files declare, what stands on others first. What is gone already is none the worse for it."""
    found, session = documents.load(parsed.files), Session(parsed)
    objects = session.objects()
    for one in reversed(found):
        try:
            with session.work("delete") as work:
                if parsed.plan:
                    plans.show_delete(one.kind, one.name, objects.get(one.token, one.reference, work))
                    continue
                objects.delete(one.token, one.reference, work, force=parsed.force)
            print(f'{one.kind.kind} "{one.name}" deleted', flush=True)
        except NotFound:
            print(f'{one.kind.kind} "{one.name}" is not there', flush=True)
        except JvpError as error:
            raise one.at(error) from None
    return exits.DONE


def export(parsed: argparse.Namespace) -> int:
    """Print the document of an object: applied, it changes nothing."""
    token = known.token_of(parsed.kind)
    session = Session(parsed)
    objects = session.objects()
    with session.work() as work:
        found = objects.get(token, parsed.reference, work)
    if found is None:
        raise NotFound(f'{known.type_of(token).kind} "{parsed.reference}" is gone')
    print(documents.text_of(token, found.state["name"], found.inputs), end="")
    return exits.DONE
