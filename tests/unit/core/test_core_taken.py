"""A name that another object has: the facts on the error, and the sentence that is made of them."""

from __future__ import annotations

import pytest

from jvp.core.errors import NameTaken
from jvp.core.guard import guarded
from jvp.core.identity import DeclaredBy, Mark
from jvp.core.taken import KEPT, being_made, folder_taken, name_taken
from jvp.core.values import Secret
from jvp.doors.pulumi.status import taken
from jvp.doors.terraform.diagnostics import importable

MARK = Mark("k", 0, declared_by=DeclaredBy.of("terraform", "default", "jvp_network lan"))
CASES = [
    (
        name_taken("network", "lan", id="u", holder=None),
        'there is a network "lan" already, with the id u, which this resource did not make; choose another name',
    ),
    (
        name_taken("instance", "vm", id="u", holder=MARK, way="wait"),
        'there is an instance "vm" already, with the id u, which another resource of jvp made (the Terraform workspace '
        '"default", jvp_network lan); wait',
    ),
    (
        name_taken("volume", "v", id="p/v", holder=MARK, pool="p", made=KEPT),
        'there is a volume "v" in the storage pool "p" already, which this program made under another name or kept; '
        "choose another name",
    ),
    (
        folder_taken("storage pool", "p", '"/srv" is the folder of', id="u", holder=None),
        '"/srv" is the folder of the storage pool "p" with the id u, which this resource did not make; '
        "choose another folder",
    ),
    (
        being_made("volume", "v", pool="p", record=".jvp-v.json", path=("name",)),
        'volume "v" in the storage pool "p" is being made by another resource of jvp; if none is, remove the volume '
        '".jvp-v.json", or choose another name',
    ),
]


@pytest.mark.parametrize(("error", "sentence"), CASES)
def test_the_sentence_is_made_of_the_facts(error: NameTaken, sentence: str) -> None:
    assert error.message == sentence
    assert error.kind
    assert error.name


def test_each_door_adds_its_own_way_to_import() -> None:
    def foreign() -> NameTaken:
        return name_taken("network", "lan", id="u", holder=None)

    said = foreign().message
    pulumi = taken(foreign(), ("jvp:index:Network", "lan"), own=False)
    assert pulumi.message == f"{said}, or import it: pulumi import jvp:index:Network lan u"
    assert (
        importable(foreign()).message == f"{said}, or import it to the address that stands above: tofu import ADDRESS u"
    )


def test_no_fact_of_the_error_keeps_a_secret() -> None:
    with pytest.raises(NameTaken) as caught, guarded(set(), {"name": Secret("hunter2")}):
        raise name_taken("volume", "hunter2", id="p/hunter2", holder=None, pool="p")
    assert "hunter2" not in f"{caught.value}{caught.value.name}{caught.value.id}"
