"""Properties in sentences: the core names them as Pulumi's users do, and here they are written in snake_case."""

from __future__ import annotations

import re
from functools import cache

from pydantic import BaseModel

from jvp.core.tree import every


def spoken(sentence: str, model: type[BaseModel] | None) -> str:
    """A sentence with the model's properties in snake_case, as this engine's users write them."""
    names = _names(model) if model else {}
    if model is None or not names:
        return sentence
    return _pattern(model).sub(lambda found: names[found.group()], sentence)


@cache
def _pattern(model: type[BaseModel]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])({'|'.join(sorted(_names(model), key=len, reverse=True))})(?![\w-])")


@cache
def _names(model: type[BaseModel]) -> dict[str, str]:
    """The model's properties, the nested ones too, whose spelling differs."""
    return {facts.name: facts.attribute for facts in every(model) if facts.name != facts.attribute}
