"""Sentences name properties as they stand in a configuration, in the state too."""

from __future__ import annotations

from jvp.core.stored import Stored
from jvp.doors.terraform import verbs
from jvp.doors.terraform.plugin import registered
from jvp.doors.terraform.spelling import spoken
from jvp.doors.terraform.values import to_raw
from jvp.resources.instance.model import Instance, InstanceState


def test_a_sentence_names_properties_in_snake_case() -> None:
    sentence = "nics[0].macAddress, cloudInit.userData of some-maxMemory: waits for maxMemory"
    assert spoken(sentence, Instance) == (
        "nics[0].macAddress, cloud_init.user_data of some-maxMemory: waits for max_memory"
    )
    assert spoken(sentence, None) == sentence


def test_what_waits_is_named_in_the_state_as_in_the_configuration() -> None:
    kept = ["maxMemory: waits", "nics.eth0: the guest keeps it", "cloudInit: read at the next boot"]
    raw = to_raw(InstanceState, {"pending": kept, "name": "maxMemory"})
    told = ["max_memory: waits", "nics.eth0: the guest keeps it", "cloud_init: read at the next boot"]
    assert (raw["pending"], raw["name"]) == (told, "maxMemory")
    assert to_raw(InstanceState, {"pending": told})["pending"] == told, "once is enough"


def test_what_is_not_finished_is_told_so_too() -> None:
    servicer = registered()
    made = Stored("an id", {}, {}, {"unfinished": ["cloudInit: the guest does not answer"]})
    raw = verbs.whole(servicer.types["jvp_instance"], made, {})  # type: ignore[arg-type]
    assert raw["unfinished"] == ["cloud_init: the guest does not answer"]
