"""Generates the pages of ``docs`` in the registries' forms, from the declared resources.

Those for Terraform and OpenTofu are made here, those for Pulumi in `gen_pulumi_docs`, that of the command line in
`gen_cli_docs` and `gen_rest_docs`.

``python -m tools.gen_docs [--check]``. What a page says of attributes is what the provider tells a host of them; the
examples are the files in ``docs/examples``. ``--check`` writes nothing and exits with 1, naming the pages, when what is
committed is not what would be generated.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jvp.core.facts import Effect
from jvp.core.handler import ResourceType
from jvp.core.model import Spec, fields
from jvp.doors.terraform import schema
from jvp.doors.terraform.protocol import LIST, MAP, Message
from jvp.resources import registry
from tools import gen_cli_docs, gen_pulumi_docs, gen_rest_docs

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
TYPES = {"string": "String", "number": "Number", "bool": "Boolean"}
FOLDERS = ("resources", "data-sources")
ABOUT = """\
JVP manages virtual machines on libvirt: storage pools, images, volumes, networks and instances. It needs nothing on
the node but libvirt. [Install](install.md#for-opentofu-and-terraform) tells how to install it, [HCL](hcl.md) what
differs from Pulumi, and [Moving from libvirt](moving-from-libvirt.md) how to leave the provider `dmacvicar/libvirt`.

Read also what a [change](changes.md) does, and about [drift](drift.md), [import](import.md), [ownership](ownership.md),
[secrets](secrets.md), [nodes](nodes.md), [errors](errors.md) and [limits](limits.md).

Without an `owner` it is the root module's folder and its workspace: an apply that was cut off is taken up by the next
one of the same folder and workspace alone. Where a configuration is applied from several machines, set one.
"""
EFFECTS = {
    Effect.LIVE: "at once",
    Effect.NEXT_BOOT: "at the next power cycle of the guest; until then it stands in `pending`",
    Effect.NETWORK_RESTART: "the network stops and starts; only guests that JVP made are plugged in again",
    Effect.POWER_OFF: "the guest is shut down, changed and started",
    Effect.REPLACE: "the object is deleted and made anew",
}
WARNS = "A plan warns of every change that does not simply happen live.\n"
GUEST = (
    "What a running guest refuses waits for its next power cycle, and so do memory beyond `max_memory`, CPUs beyond "
    "`max_cpus`, and fewer CPUs. "
)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.gen_docs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 when stale")
    check = parser.parse_args().check
    fresh = {**pages(), **gen_pulumi_docs.pages(), **gen_cli_docs.pages(), **gen_rest_docs.pages()}
    there = {path: path.read_text(encoding="utf-8") for path in _generated()}
    stale = sorted(str(path.relative_to(ROOT)) for path in {*fresh, *there} if fresh.get(path) != there.get(path))
    if check and stale:
        print(f"generated files are stale (run `make schema`): {', '.join(stale)}", file=sys.stderr)
        return 1
    for path in there.keys() - fresh.keys():
        path.unlink()
    for path, text in fresh.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"docs: {f'{len(stale)} pages written' if stale else 'up to date'}")
    return 0


def _generated() -> list[Path]:
    """The pages that are there. Others beside them are written by hand."""
    folders = [*(DOCS / one for one in FOLDERS), *(gen_pulumi_docs.DOCS / one for one in gen_pulumi_docs.FOLDERS)]
    found = [page for folder in folders for page in folder.glob("*.md")]
    heads = (DOCS / "index.md", *(gen_pulumi_docs.DOCS / name for name in gen_pulumi_docs.HEADS))
    heads += (gen_cli_docs.PAGE, gen_rest_docs.PAGE)
    return [*found, *(page for page in heads if page.exists())]


def pages() -> dict[Path, str]:
    """Every page by its path."""
    told = schema.whole(registry.RESOURCES.values(), registry.FUNCTIONS.values())
    found = {DOCS / "index.md": "".join(_index(told.provider.block))}
    for handler in registry.RESOURCES.values():
        name = schema.type_name(handler.token)
        page = DOCS / "resources" / f"{name.removeprefix(schema.PREFIX)}.md"
        found[page] = "".join(_resource(name, handler, told.resource_schemas[name].block))
    for name, one in told.data_source_schemas.items():
        page = DOCS / "data-sources" / f"{name.removeprefix(schema.PREFIX)}.md"
        found[page] = "".join(_data_source(name, one.block))
    return found


def _index(block: Message) -> Iterator[str]:
    yield _head("jvp Provider", block.description)
    yield f"# jvp Provider\n\n{ABOUT}"
    yield _example("provider.tf")
    yield from _attributes("## Settings", block.attributes)


def _resource(name: str, handler: type[ResourceType[Any, Any]], block: Message) -> Iterator[str]:
    yield _head(f"{name} Resource - jvp", block.description)
    yield f"# {name} (Resource)\n\n{block.description}\n"
    yield _example(f"resources/{name}.tf")
    yield from _attributes("## Arguments", (one for one in block.attributes if one.required or one.optional))
    yield from _attributes("## Attributes", (one for one in block.attributes if _is_output(one)))
    if handler.stands_for:
        yield f"\n## What it may change\n\nIt {registry.ACTIONS[handler.stands_for].effect}.\n"
    else:
        yield from _changes(handler)
        yield from _import(name, handler)


def _data_source(name: str, block: Message) -> Iterator[str]:
    yield _head(f"{name} Data Source - jvp", block.description)
    yield f"# {name} (Data Source)\n\n{block.description}\n"
    yield _example(f"data-sources/{name}.tf")
    yield from _attributes("## Arguments", (one for one in block.attributes if one.required or one.optional))
    yield from _attributes("## Attributes", (one for one in block.attributes if _is_output(one)))


def _is_output(one: Message) -> bool:
    return not one.required and not one.optional


def _head(title: str, description: str) -> str:
    made = "# Generated by `make schema`; what it says comes from provider/jvp/resources.\n"
    return f'---\n{made}page_title: "{title}"\nsubcategory: ""\ndescription: |-\n  {description}\n---\n\n'


def _example(name: str) -> str:
    """The example of a page, where there is one; tests say which must have one."""
    if not (DOCS / "examples" / name).exists():
        return ""
    return f"\n## Example\n\n```terraform\n{(DOCS / 'examples' / name).read_text(encoding='utf-8').strip()}\n```\n"


def _attributes(title: str, listed: Iterable[Message]) -> Iterator[str]:
    """A section with its attributes, the required ones first, and one for each object in it."""
    found = sorted(listed, key=lambda one: (not one.required, one.name))
    if not found:
        return
    yield f"\n{title}\n\n"
    for one in found:
        said = {"required": one.required, "sensitive": one.sensitive, "write-only": one.write_only}
        words = [_type(one), *(word for word, holds in said.items() if holds)]
        yield f"- `{one.name}` ({', '.join(words)}) {one.description}\n"
    for one in found:
        if one.nested_type.attributes:
            path = one.name if title.startswith("## ") else f"{title.split('`')[1]}.{one.name}"
            yield from _attributes(f"### `{path}`", one.nested_type.attributes)


def _type(one: Message) -> str:
    if one.nested_type.attributes:
        return {LIST: "List of Object", MAP: "Map of Object"}.get(one.nested_type.nesting, "Object")
    told = json.loads(one.type)
    return TYPES[told] if isinstance(told, str) else f"{told[0].capitalize()} of {TYPES[told[1]]}"


def _changes(handler: type[ResourceType[Any, Any]]) -> Iterator[str]:
    """Which attribute changes how."""
    found: dict[Effect, list[str]] = {}
    for path, effect in _effects(handler.spec, "", Effect.LIVE):
        found.setdefault(effect, []).append(f"`{path}`")
    yield "\n## How a change takes effect\n\n| class | what happens | attributes |\n|---|---|---|\n"
    for effect, paths in sorted(found.items()):
        yield f"| {effect.words} | {EFFECTS[effect]} | {', '.join(paths)} |\n"
    yield f"\n{GUEST if 'pending' in fields(handler.state) else ''}{WARNS}"


def _effects(model: type[Spec], prefix: str, floor: Effect) -> Iterator[tuple[str, Effect]]:
    """The properties with their class; of those inside an object only what changes harder than the object itself."""
    for facts in fields(model).values():
        effect, path = max(floor, facts.effect), prefix + facts.attribute
        if not prefix or effect > floor:
            yield path, effect
        if facts.item is not None:
            yield from _effects(facts.item, f"{path}.", effect)


def _import(name: str, handler: type[ResourceType[Any, Any]]) -> Iterator[str]:
    """How an object comes into the state."""
    in_pool = "pool" in fields(handler.spec)
    by_name, by_id = ("lab/example", "the pool's uuid and the name") if in_pool else ("example", "libvirt's uuid")
    uuid = "5c1e7a0e-3d6b-4a0e-9a1c-2f1f6a7b8c9d"
    object_id = f"{uuid}/example" if in_pool else uuid
    yield f"\n## Import\n\nBy name{', as pool/name' if in_pool else ''}, or by id, which is {by_id}:\n\n```terraform\n"
    yield f'import {{\n  to = {name}.example\n  id = "{by_name}"\n}}\n```\n\n'
    yield f"```shell\ntofu import {name}.example {by_name}\ntofu import {name}.example {object_id}\n```\n\n"
    yield f"Importing writes nothing on the node. The {handler.kind} is the configuration's to change from then on.\n"


if __name__ == "__main__":
    sys.exit(main())
