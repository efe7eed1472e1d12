"""What an image takes from this machine into a pool through `jvp` and the REST API, beside `virsh vol-upload`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.contract.rest_support import Rest, server

from bench.floor import Floor
from bench.table import Row, timed
from bench.works import MIB, Host, make_image

SIZE_MIB = 1024
DATA_MIB = {"sparse": 64, "dense": SIZE_MIB}
FLOOR = "virsh vol-upload --sparse"
POOL = "uploaded"


def rows(host: Host, folder: Path) -> Iterator[Row]:
    """Each image by each way once: what counts is the ratio."""
    pool = host.pools / POOL
    with tempfile.TemporaryDirectory() as place, server(Path(place), "--uri", host.uri) as rest:
        rest.done("PUT", f"storage-pools/{POOL}", {"path": str(pool), "deleteData": True})
        for kind, data in DATA_MIB.items():
            image = make_image(folder / f"{kind}.raw", SIZE_MIB, data)
            floor, _ = Floor(host.connection, host.pools / "floor").upload(host.uri, image)
            for way, call in (("jvp template create --file", _by_cli), ("POST and PUT", _by_rest)):
                took = timed(partial(call, host, rest, image, Path(place)))
                yield Row(f"{way}, 1 GiB {kind}", took, "s", None, floor, FLOOR, _allocated(pool))
                rest.done("DELETE", f"templates/{POOL}/image")
            image.unlink()
        rest.done("DELETE", f"storage-pools/{POOL}")


def _by_cli(host: Host, _rest: Rest, image: Path, place: Path) -> None:
    jvp = Path(sys.executable).with_name("jvp")
    # Digests of files that were read before are kept there.
    variables = {**os.environ, "JVP_URI": host.uri, "XDG_CACHE_HOME": str(place)}
    words = ("template", "create", f"{POOL}/image", "--file", str(image), "--source", "format=raw")
    subprocess.run([jvp, *words], env=variables, check=True, stdout=subprocess.DEVNULL, timeout=600)


def _by_rest(_host: Host, rest: Rest, image: Path, _place: Path) -> None:
    def pieces() -> Iterator[bytes]:
        with image.open("rb") as file:
            while piece := file.read(MIB):
                yield piece

    sent: Any = rest.client.post("/api/uploads", params={"length": image.stat().st_size}, content=pieces())
    assert sent.status_code == 201, sent.text
    source = {"upload": sent.json()["id"], "format": "raw"}
    rest.done("PUT", f"templates/{POOL}/image", {"source": source})


def _allocated(pool: Path) -> str:
    taken = max(file.stat().st_blocks * 512 for file in pool.iterdir())
    return f"{taken // MIB} MiB in the pool"
