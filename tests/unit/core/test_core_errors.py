"""Errors on their way out: what is masked is masked in every form of the error."""

from __future__ import annotations

import importlib
import pickle
import traceback

import pytest

from jvp.core.errors import Invalid, JvpError, NameTaken, Rejected
from jvp.core.guard import guarded


@pytest.mark.parametrize("error", [Invalid("hunter2 is no name", path=("name",)), NameTaken("hunter2 is taken")])
def test_a_masked_error_keeps_nothing_of_the_secret(error: JvpError) -> None:
    with pytest.raises(type(error)) as raised, guarded({"hunter2"}):
        raise error
    told = raised.value
    forms = (str(told), repr(told), repr(told.args), told.message, *traceback.format_exception_only(told))
    assert not [form for form in forms if "hunter2" in form]
    assert "[secret]" in told.message
    again = pickle.loads(pickle.dumps(told))
    assert str(again) == str(told)


def test_what_a_verb_imports_late_and_is_not_there_is_an_incomplete_installation() -> None:
    with pytest.raises(Rejected) as raised, guarded(set()):
        importlib.import_module("jvp.no_such_module")
    assert raised.value.message == (
        "this installation of jvp is not complete: No module named 'jvp.no_such_module'; install pulumi-jvp again"
    )
