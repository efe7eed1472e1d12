"""Adding a property to networks touches the model alone: it is made, read, compared, drifts, and is let be."""

from __future__ import annotations

from pathlib import Path

from tests.contract.conftest import Bench
from tests.contract.one_more_property import asked, copied

NAME, RESTART = "nameService", "network restart"


def test_a_property_is_a_line_in_the_model(bench: Bench, tmp_path: Path) -> None:
    script = Path(__file__).with_name("one_more_property.py")
    seen = asked(copied(tmp_path), str(script), bench.name("more"), bench.cidr())
    assert seen == {
        "refused": [[NAME, 'is the business of the node\'s bridge; leave it out in mode "bridge"']],
        "created": ["no", False, []],
        "drifted": [True, [[NAME, "update", RESTART]]],
        "mended": ["no", []],
        "imported": [False, []],
        "unmanaged": [False, "no"],
        "taken out": [[NAME, "delete", RESTART]],
        "gone": [None, None, []],
    }
