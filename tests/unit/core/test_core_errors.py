"""Errors on their way out: what is masked is masked in every form of the error."""

from __future__ import annotations

import pickle
import traceback

import pytest

from jvp.core.errors import Invalid, JvpError, NameTaken
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
