"""Well-known cloud images, where they are published and with what checksum. Nothing is asked of the network.

They come with JVP; a file of the same form, named by `JVP_IMAGE_LIST`, adds its own and goes before them by name:

    images:
    - name: debian-12
      title: Debian 12 (bookworm)
      os: debian-12
      architecture: x86_64
      url: https://images.lab.example/debian-12.qcow2
      checksum: sha512:https://images.lab.example/SHA512SUMS
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from jvp.core.check import check
from jvp.core.errors import Invalid, dotted
from jvp.core.model import Spec, load
from jvp.core.types import Label, Name, Text, Url, shortened
from jvp.core.work import Work
from jvp.resources.storage.template_model import Promise

if TYPE_CHECKING:
    from jvp.libvirt.link.node import Node

SETTING: Final = "JVP_IMAGE_LIST"
_FILE: Final = Path(__file__).with_name("cloud_images.json")
_FILE_MAX: Final = 4 * 1024 * 1024


class CloudImage(Spec):
    """An image that a distribution publishes."""

    name: Annotated[Name, Field(description="What it is called here: debian-12.")]
    title: Annotated[Label, Field(description="What the distribution calls it.")]
    os: Annotated[Label | None, Field(description="What is in it, as a template's `os` has it.")] = None
    architecture: Annotated[Label, Field(description="The processors that it is for: x86_64, aarch64.")]
    url: Annotated[Url, Field(description="Where it is, for a template's `source.url`.")]
    checksum: Annotated[
        Promise | None, Field(description="Its checksum, or where that is published, for `source.checksum`.")
    ] = None
    note: Annotated[Label | None, Field(description="What to know before it is used.")] = None


class CloudImages(Spec):
    """Images of distributions."""

    images: Annotated[list[CloudImage], Field(description="The images that have every word, by name.")] = []


class GetTemplateSearchArgs(Spec):
    """What to look for."""

    text: Annotated[Text | None, Field(description="Words of the name, the title, `os` or the note, in any case.")] = (
        None
    )
    architecture: Annotated[Text | None, Field(description="Only those for these processors: x86_64, aarch64.")] = None


class GetTemplateSearch:
    """Well-known cloud images, with address and checksum for a template. No network is asked."""

    token: ClassVar[str] = "getTemplateSearch"
    on: ClassVar[str] = "Template"
    args: ClassVar[type[Spec]] = GetTemplateSearchArgs
    result: ClassVar[type[Spec]] = CloudImages

    def __init__(self, node: Node | None = None) -> None: ...

    def call(self, work: Work, args: GetTemplateSearchArgs) -> CloudImages:
        """Raises Invalid for a file of own images that is none."""
        return CloudImages(images=found(args.text or "", args.architecture))


def found(text: str, architecture: str | None = None, file: str | None = None) -> list[CloudImage]:
    """The images that have every word of `text`. Those of `file`, by default of `JVP_IMAGE_LIST`, go first by name.

    Raises Invalid.
    """
    words, file = text.lower().split(), file or os.environ.get(SETTING)
    known = {image.name: image for image in load(CloudImages, json.loads(_FILE.read_bytes())).images}
    if file:
        known |= {image.name: image for image in _read(file)}
    return sorted(
        (
            image
            for image in known.values()
            if architecture in (None, image.architecture) and all(word in _words(image) for word in words)
        ),
        key=lambda image: image.name,
    )


def _words(image: CloudImage) -> str:
    name = image.name.removesuffix(f"-{image.architecture}")  # who looks for arch means no aarch64
    return " ".join(filter(None, (name, image.title, image.os, image.note))).lower()


def _read(file: str) -> list[CloudImage]:
    import yaml

    try:
        with Path(file).open("rb") as opened:
            raw = opened.read(_FILE_MAX + 1)
        if len(raw) > _FILE_MAX:
            raise _wrong(file, f"is larger than {_FILE_MAX} bytes")
        bag: Any = yaml.safe_load(raw)
    except (OSError, ValueError) as error:  # no text, a path that cannot be
        raise _wrong(file, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except (yaml.YAMLError, RecursionError):
        raise _wrong(file, "is no YAML or JSON") from None
    if not isinstance(bag, dict):
        raise _wrong(file, 'has no "images"')
    checked = check(CloudImages, bag)
    for failure in checked.failures:
        raise _wrong(file, f"{dotted(failure.path)}: {failure.message}")
    assert checked.spec is not None
    return checked.spec.images


def _wrong(file: str, why: str) -> Invalid:
    return Invalid(f"the list of images {shortened(file, 200)} {why}")
