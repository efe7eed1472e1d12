"""Every object of libvirt has a type of `jvp.libvirt.link.handles` where the provider calls a method of it.

A linter of annotations would be passed by a slip under any other name; this one asks mypy for the type of whatever a
method is called on. It tells of calls of libvirt's methods on what is Any to mypy, of Any passed for a handle, of
casts, and of methods of the protocols that nothing calls: so a run that saw nothing does not pass.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping

from mypy import build, nodes, traverser, types
from mypy.argmap import map_actuals_to_formals
from mypy.main import process_options

HANDLES = "jvp.libvirt.link.handles"
FOLDERS = ("jvp.libvirt", "jvp.resources")
Method = tuple[str, str]
"""A class of `HANDLES` and its method."""


def _handles_in(found: types.Type | None) -> Iterator[str]:
    """The classes of `HANDLES` that a type may be."""
    proper = types.get_proper_type(found)
    if isinstance(proper, types.Instance) and proper.type.module_name == HANDLES:
        yield proper.type.name
    for item in proper.items if isinstance(proper, types.UnionType) else ():
        yield from _handles_in(item)


def _is_untyped(found: types.Type | None) -> bool:
    proper = types.get_proper_type(found)
    items = proper.items if isinstance(proper, types.UnionType) else [proper]
    return any(isinstance(types.get_proper_type(item), types.AnyType) for item in items)


def _untyped_arguments(call: nodes.CallExpr, known: Mapping[nodes.Expression, types.Type]) -> Iterator[str]:
    """The classes of `HANDLES` that a call wants, and gets something without a type for."""
    wants = types.get_proper_type(known.get(call.callee))
    if not isinstance(wants, types.CallableType):
        return
    given = [known.get(one) for one in call.args]
    places = map_actuals_to_formals(
        call.arg_kinds, call.arg_names, wants.arg_kinds, wants.arg_names, lambda at: given[at] or types.NoneType()
    )
    for wanted, actual in zip(wants.arg_types, places, strict=True):
        if any(_is_untyped(given[at]) for at in actual):
            yield from _handles_in(wanted)


def _methods(module: nodes.MypyFile) -> set[Method]:
    """All methods of the protocols."""
    kinds = [entry.node for entry in module.names.values() if isinstance(entry.node, nodes.TypeInfo)]
    return {
        (kind.name, name)
        for kind in kinds
        if kind.is_protocol and kind.module_name == HANDLES
        for name, entry in kind.names.items()
        if isinstance(entry.node, nodes.FuncDef)
    }


def faults(*sources: str, folders: tuple[str, ...] = FOLDERS) -> Iterator[str]:
    """One line for each slip in the modules of `folders` that mypy finds by these arguments (`-p package`, paths)."""
    found, options = process_options(["--strict", "--cache-dir", os.devnull, *sources])
    options.export_types = options.preserve_asts = True
    gc.disable()  # as mypy's own command does, which has a large tree to walk through
    try:
        result = build.build(found, options)
    finally:
        gc.enable()
    yield from result.errors
    modules = {name: state.tree for name, state in result.graph.items() if state.tree is not None}
    methods, called = _methods(modules[HANDLES]), set[Method]()
    names = {name for _, name in methods}
    calls = {one.callee: one for one in result.types if isinstance(one, nodes.CallExpr)}
    for name, module in sorted(modules.items()):
        if not name.startswith(folders) or name == HANDLES:
            continue
        place, said = os.path.relpath(module.path), traverser.NameAndMemberCollector()
        module.accept(said)
        for word in said.name_exprs:
            if word.fullname == "typing.cast":
                yield f"{place}:{word.line}: a cast makes a type of nothing; annotate the value where it comes from"
        for one in said.member_exprs:
            receiver = result.types.get(one.expr)
            called |= {(kind, one.name) for kind in _handles_in(receiver)}
            if one.name in names and one in calls and _is_untyped(receiver):
                yield f"{place}:{one.line}: {one.name}() of what has no type; annotate it with one of {HANDLES}"
        for callee in (*said.name_exprs, *said.member_exprs):
            for kind in _untyped_arguments(calls[callee], result.types) if callee in calls else ():
                yield f"{place}:{callee.line}: what has no type is passed as a {kind}; annotate it"
    for kind, method in sorted(methods - called):
        yield f"{os.path.relpath(modules[HANDLES].path)}: nothing calls {method} of {kind}"


def main() -> int:
    """Exit with 1 if anything is amiss."""
    found = list(faults(*(word for folder in FOLDERS for word in ("-p", folder))))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
