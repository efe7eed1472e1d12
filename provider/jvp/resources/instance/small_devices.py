"""The TPM, the watchdog and the random numbers of a machine, in its XML.

Every machine of ours has random numbers from the start. Those that a program declares have an alias of ours.
"""

from __future__ import annotations

from typing import Any, get_args

from jvp.core.diff import Change, Kind
from jvp.core.errors import Rejected
from jvp.core.model import fields
from jvp.libvirt.domain.devices import alias_of
from jvp.libvirt.link.xml import Element, drop, ensure, number, put, sub, value
from jvp.resources.instance.devices_model import Rng, Tpm, Watchdog
from jvp.resources.instance.model import Instance, InstanceState

_TPM, _WATCHDOG, _RNG = "tpm", "watchdog", "rng"
_RNG_ALIAS = "ua-jvp-rng"
_USUAL = ("/dev/urandom", None)
_PERIOD_MS = 1000
_FIRST_TPM = "/dev/tpm0"


def _known(model: type[Tpm | Watchdog | Rng], name: str) -> tuple[str, ...]:
    """The words that a property takes."""
    return get_args(fields(model)[name].annotation)


def _watchdog(root: Element) -> Element | None:
    """The watchdog that a program can declare; newer boards have one of their own beside it."""
    models = _known(Watchdog, "model")
    return next((one for one in root.iterfind("devices/watchdog") if one.get("model") in models), None)


def _rate(rng: Element) -> int | None:
    """The rate in bytes per second."""
    count, period = number(rng, "rate/@bytes"), number(rng, "rate/@period") or _PERIOD_MS
    return count * 1000 // period or None if count else None


def told(root: Element) -> dict[str, Any]:
    """What can differ between two definitions; None of what a program cannot declare."""
    found: dict[str, Any] = {}
    tpm, watchdog, rng = root.find("devices/tpm"), _watchdog(root), root.find("devices/rng")
    if tpm is not None:
        found[_TPM] = (value(tpm, "backend/@type"), tpm.get("model"), value(tpm, "backend/device/@path"))
    if watchdog is not None:
        found[_WATCHDOG] = (watchdog.get("model"), watchdog.get("action") or "reset")
    if rng is not None and (alias_of(rng) == _RNG_ALIAS or (value(rng, "backend"), _rate(rng)) != _USUAL):
        found[_RNG] = (value(rng, "backend"), _rate(rng))
    return found


def state_of(seen: dict[str, Any], prior: InstanceState | None) -> dict[str, Any]:
    """The properties. Random numbers as every machine has them are nothing that a program has to say."""
    tpm, watchdog, rng = seen.get(_TPM), seen.get(_WATCHDOG), seen.get(_RNG)
    return {
        _TPM: Tpm.model_construct(type=tpm[0], model=tpm[1], device=tpm[2])
        if tpm and tpm[0] in _known(Tpm, "type") and tpm[1] in _known(Tpm, "model")
        else None,
        _WATCHDOG: Watchdog.model_construct(model=watchdog[0], action=watchdog[1])
        if watchdog and watchdog[1] in _known(Watchdog, "action")
        else None,
        _RNG: Rng.model_construct(source=rng[0], rate=rng[1]) if rng and rng[0] in _known(Rng, "source") else None,
    }


def write(root: Element, spec: Instance) -> None:
    """Write what is declared."""
    seen, devices = told(root), ensure(root, "devices")
    if spec.tpm is not None:
        path = spec.tpm.device or _FIRST_TPM if spec.tpm.type == "passthrough" else None
        if seen.get(_TPM) != (spec.tpm.type, spec.tpm.model, path):
            _put_tpm(devices, spec.tpm, path)
    if spec.watchdog is not None:
        _put_watchdog(devices, _watchdog(root), spec.watchdog)
    if spec.rng is not None and seen.get(_RNG) != (spec.rng.source, spec.rng.rate):
        _put_rng(devices, spec.rng)
        put(devices, "rng/alias/@name", _RNG_ALIAS)


def take_out(root: Element, change: Change) -> None:
    """Take out what the program says no longer."""
    if change.kind is not Kind.DELETE or len(change.path) != 1:
        return
    devices = ensure(root, "devices")
    if change.path == (_TPM,):
        drop(devices, "tpm")
    elif change.path == (_WATCHDOG,) and (watchdog := _watchdog(root)) is not None:
        devices.remove(watchdog)
    elif change.path == (_RNG,):
        _put_rng(devices, Rng())
        drop(devices, "rng/alias")


def _put_tpm(devices: Element, tpm: Tpm, path: str | None) -> None:
    drop(devices, "tpm")
    device = sub(devices, "tpm", model=tpm.model)
    # libvirt knows the version of an emulated one alone.
    backend = sub(device, "backend", type=tpm.type, version="2.0" if tpm.type == "emulator" else None)
    if path is not None:
        sub(backend, "device", path=path)


def _put_watchdog(devices: Element, there: Element | None, wanted: Watchdog) -> None:
    if there is not None and there.get("model") != wanted.model:
        devices.remove(there)
        there = None
    if there is None:
        there = sub(devices, "watchdog", model=wanted.model)
    there.set("action", wanted.action)


def _put_rng(devices: Element, wanted: Rng) -> None:
    put(devices, "rng/@model", value(devices, "rng/@model") or "virtio")
    for child in ("backend", "rate"):
        drop(devices, f"rng/{child}")
    put(devices, "rng/backend", wanted.source)
    put(devices, "rng/backend/@model", "random")
    if wanted.rate is not None:
        sub(ensure(devices, "rng"), "rate", bytes=str(wanted.rate), period=str(_PERIOD_MS))


def refuse_tpm(offer: Element, tpm: Tpm) -> None:
    """Raise Rejected where a node that offers this has no such TPM."""
    backends = {one.text for one in offer.iterfind("devices/tpm/enum[@name='backendModel']/value")}
    models = [one.text or "" for one in offer.iterfind("devices/tpm/enum[@name='model']/value")]
    if tpm.type not in backends:
        hint = 'install swtpm there (on Debian the packages "swtpm" and "swtpm-tools")'
        raise Rejected(
            f"the node emulates no TPM; {hint}" if tpm.type == "emulator" else "the node passes no TPM through",
            path=("tpm", "type"),
        )
    if tpm.model not in models:
        raise Rejected(
            f'the machine has no TPM of the model "{tpm.model}"; it has {", ".join(models) or "none"}',
            path=("tpm", "model"),
        )
