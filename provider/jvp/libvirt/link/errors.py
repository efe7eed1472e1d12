"""libvirt's errors in our words. All matching of libvirt's texts is here, each with a test.

"Gone" is one code per kind of object; nothing else is ever taken for it.
"""

from __future__ import annotations

import contextlib
import enum
import getpass
import re
from collections.abc import Iterator, Mapping

import libvirt

from jvp.core import parent
from jvp.core.errors import Busy, JvpError, NameTaken, NoSpace, NotFound, Path, Rejected, Unreachable
from jvp.libvirt.link import told

_SCHEMA = re.compile(r"^.*/schemas/\S+\s+", re.DOTALL)


class Gone(enum.IntEnum):
    """The code that says that an object of this kind does not exist."""

    DOMAIN = libvirt.VIR_ERR_NO_DOMAIN
    NETWORK = libvirt.VIR_ERR_NO_NETWORK
    POOL = libvirt.VIR_ERR_NO_STORAGE_POOL
    VOLUME = libvirt.VIR_ERR_NO_STORAGE_VOL
    INTERFACE = libvirt.VIR_ERR_NO_INTERFACE
    FILTER = libvirt.VIR_ERR_NO_NWFILTER
    BINDING = libvirt.VIR_ERR_NO_NWFILTER_BINDING


_CONNECTION_LOST = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_NO_SERVER,
    libvirt.VIR_ERR_INTERNAL_ERROR,
}
_LOGIN = re.compile(
    r"permission denied|host key|verification failed|authenticat|passphrase|password|ssh ended and did not say why",
    re.I,
)
"""In what ssh says where a person at a terminal might have let it in. Source: OpenSSH 9.2, `sshconnect2.c`."""
_REFUSED = {
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_OPERATION_DENIED,
}
_BUSY = re.compile(
    r"cannot acquire state change lock|has asynchronous jobs running|is in use by another|being allocated|"
    r"resource busy|another migration job|volume '.*' is (still )?in use"
)
_LOST = re.compile(
    r"client socket is closed|end of file while reading|connection (was )?reset|broken pipe|"
    r"keepalive|server closed|cannot (send|recv|write|read) data|connection closed", re.I
)  # fmt: skip
_CUT = re.compile(r"^(end of file while reading data|cannot (recv|write) data: )", re.I)
"""The daemon ended, or closed the connection, while it was asked: to libvirt an error of the system."""
_PASSING = re.compile(
    r"end of file while reading|connection refused|temporary failure in name resolution|"
    r"(?:kex_exchange_identification|ssh_exchange_identification|connection timed out)[^\n]*: connection reset|"
    r"^cannot recv data: connection reset by peer$|connection was reset|broken pipe", re.I
)  # fmt: skip
"""What a daemon that restarts, or an sshd with too many logins at once, answers. That ssh ends for any other reason is
a reset, too, to libvirt."""
_NO_SOCKET = re.compile(r"socket to '[^']+': no such file", re.I)
"""While a daemon restarts its socket is not there."""
_GRPC = re.compile(r"\n?[IWEF]\d{4} [\d:.]+ +\d+ \S+:\d+\] [^\n]*?(?=\n|: Connection reset|$)")
"""A line of gRPC's log: in the fork of a process that is not ours it writes where ssh is to say why it ends."""
_NO_FILE = re.compile(r"^volume path '.*' is a (fifo|socket|directory)$|^unexpected type for '.*'$", re.I)
_TAKEN = re.compile(
    r"volume target path '.*' already exists|(network|pool|domain|filter) '.*' already exists with uuid"
)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.I)
_IN_USE = re.compile(r"network is already in use by interface (\S+)", re.I)
_TOO_LARGE = re.compile(r"file too large", re.I)
_READ_ONLY = re.compile(r"read-only file system", re.I)


_NO_MEMORY = re.compile(r"cannot set up guest memory")
_NO_KERNEL = re.compile(r"invalid kernel header")
_NO_KVM = re.compile(r"failed to set MSR|failed to initialize kvm|Could not access KVM kernel module")
_NO_FEATURE = re.compile(r"unknown CPU feature: (\S+)", re.I)
UNSTARTED: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("memory", _NO_MEMORY, "the node does not have so much memory to give"),
    ("kernel", _NO_KERNEL, "the file is no kernel that QEMU can boot"),
    ("features", _NO_FEATURE, 'libvirt knows no feature "{0}" of a CPU'),
    ("kvm", _NO_KVM, 'KVM does not work on this node; use "qemu", or "auto"'),
)
"""Why a guest does not start: a word for it, what QEMU or libvirt says, what we say, with what the pattern caught."""


_NO_BUS = re.compile(r"Unable to get (system|session) bus connection", re.I)
_BUS = (
    'libvirtd needs D-Bus there, which does not answer ({text}); start it ("systemctl start dbus") and then libvirtd, '
    'or have libvirtd ask no polkit (auth_unix_rw = "none" and a unix_sock_group in libvirtd.conf)'
)
_RESET_FIRST = re.compile(r"Resetting the Virtual Machine is required")
"""QEMU's word for a guest that KVM has given up."""


def is_without_kvm(error: libvirt.libvirtError) -> bool:
    """Whether a guest did not start because KVM does not work on the node."""
    return _NO_KVM.search(reason(error)) is not None


def is_beyond_resume(error: libvirt.libvirtError) -> bool:
    """Whether a guest that stands still can only be switched off."""
    return _RESET_FIRST.search(reason(error)) is not None


def unschematic(error: libvirt.libvirtError) -> str:
    """What of a definition libvirt's schema does not know, as far as its validator tells: the element around it."""
    return " ".join(_SCHEMA.sub("", reason(error)).split())


def is_gone(error: libvirt.libvirtError, kind: Gone) -> bool:
    """Whether the error says that the object does not exist, and not just that it could not be read."""
    return bool(error.get_error_code() == kind)


def is_no_file(error: libvirt.libvirtError) -> bool:
    """Whether the error says that something else than a file stands in a volume's place: a pipe, a socket, a folder."""
    return _NO_FILE.search(reason(error)) is not None


def reason(error: libvirt.libvirtError) -> str:
    """libvirt's text as one line without its prefix for the class of error."""
    text = " ".join(_GRPC.sub("", error.get_error_message() or str(error)).split())
    for prefix in ("internal error: ", "operation failed: ", "unsupported configuration: ", "invalid argument: ",
                   "Requested operation is not valid: ", "XML error: ", "internal error "):  # fmt: skip
        text = text.removeprefix(prefix)
    text = text.rstrip(".")
    return text[:600]


def translated(error: libvirt.libvirtError, what: str, path: Path = ()) -> JvpError:
    """The JvpError for a libvirt error; `what` says what was being done: `network "a"`."""
    code, text = error.get_error_code(), reason(error)
    cut = error.get_error_domain() == libvirt.VIR_FROM_RPC and _CUT.search(text)
    if cut or (code in _CONNECTION_LOST and _LOST.search(text)):
        lost = Unreachable(f"{what}: lost the connection to libvirtd ({text}); run the command again", path=path)
        lost.lost = True
        return lost
    if _NO_SPACE.search(text):
        return NoSpace(f"{what}: {text}", path=path)
    if used := _IN_USE.search(text):
        return Rejected(f"{what}: the node has these addresses on its interface {used[1]} already", path=path)
    if _TOO_LARGE.search(text):
        return NoSpace(f"{what}: the node's file system takes no file so large", path=path)
    if _READ_ONLY.search(text):
        return Rejected(
            f"{what}: it is on a file system that is read-only; mount it for writing, and run again", path=path
        )
    if code == libvirt.VIR_ERR_OPERATION_TIMEOUT or _BUSY.search(text):
        return Busy(f"{what}: {text}; wait for the other operation and run the command again", path=path)
    if _NO_BUS.search(text):
        return Rejected(f"{what}: {_BUS.format(text=text)}", path=path)
    if code in _REFUSED:
        return Rejected(f"{what}: libvirt does not allow it to this user: {text}", path=path)
    if code == libvirt.VIR_ERR_STORAGE_VOL_EXIST or _TAKEN.search(text):
        return NameTaken(f"{what}: {text}", path=path)
    return Rejected(f"{what}: {text}", path=path)


@contextlib.contextmanager
def seen_to_go(kind: Gone) -> Iterator[None]:
    """Raises NotFound where an object that was found is gone when it is asked for more."""
    try:
        yield
    except libvirt.libvirtError as error:
        if is_gone(error, kind):
            raise NotFound("it was removed meanwhile; run again") from None
        raise


@contextlib.contextmanager
def unless_gone(kind: Gone) -> Iterator[None]:
    """Around the removal of an object that others may remove meanwhile: gone is as good."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not is_gone(error, kind):
            raise


@contextlib.contextmanager
def libvirt_errors(what: str, path: Path = ()) -> Iterator[None]:
    """Translate whatever libvirt raises inside, and what its Python binding does where that is no text."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translated(error, what, path) from None
    except UnicodeDecodeError as error:
        # A name of others in an answer or in an error: libvirt takes any bytes.
        raise Rejected(f"{what}: libvirt says what is no text: {told.readable_of(error)}", path=path) from None


@contextlib.contextmanager
def start_errors(what: str, paths: Mapping[str, Path], files: Mapping[str, Path]) -> Iterator[None]:
    """Translate why a guest does not start, where it is known; other errors of libvirt pass.

    `paths` has the property at fault by the words of `UNSTARTED`, `files` by the path of a file on the node.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        text = reason(error)
        for word, pattern, sentence in UNSTARTED:
            if found := pattern.search(text):
                raise Rejected(f"{what}: {sentence.format(*found.groups())}", path=paths.get(word, ())) from None
        for file, path in files.items():
            if f"export directory '{file}' does not exist" in text:
                raise Rejected(f'{what}: the node has no folder "{file}"', path=path) from None
            if match := re.search(rf"[ ']{re.escape(file)}'?: (.*)", text):
                raise Rejected(f'{what}: the node cannot load "{file}": {match[1]}', path=path) from None
        raise


def may_pass(error: libvirt.libvirtError, *, met: bool = False) -> bool:
    """Whether a connection that could not be opened may be had in a moment, as of a daemon that was `met` before."""
    text = reason(error)
    passes = _PASSING.search(text) is not None or (met and _NO_SOCKET.search(text) is not None)
    return passes and error.get_error_code() not in _REFUSED


def connect_error(uri: str, error: libvirt.libvirtError) -> JvpError:
    """Why a daemon could not be reached, and what to do about it."""
    code, text = error.get_error_code(), reason(error)
    socket = re.search(r"socket to '([^']+)'", text)
    server = re.search(r"server at '([^']+)': (.*)", text)
    nameless = re.search(r"unable to resolve address '([^']+)'", text, re.I)
    tunnel = re.search(r"cannot recv data: (.+): connection reset by peer", text, re.I)
    lowered = text.lower()
    if socket and ("no such file" in lowered or "connection refused" in lowered):
        advice = f"nothing listens on {socket[1]}; start libvirtd there, or set the provider's uri"
    elif server:
        advice = (
            f"{server[1]} does not answer ({server[2]}); have libvirtd listen there, "
            "look at the firewall between, or set the provider's uri"
        )
    elif nameless:
        advice = f'there is no host "{nameless[1]}"; set the provider\'s uri'
    elif tunnel:
        advice = f"{tunnel[1]}; try the same login by hand with ssh, or set the provider's uri"
    elif "+ssh:" in uri and _LOST.search(text):
        advice = f"ssh ended and did not say why ({text}); try the same login by hand, or set the provider's uri"
    elif socket and "permission denied" in lowered:
        advice = (
            f"the socket {socket[1]} does not admit the user {_user()}; "
            f'add the user to the group "libvirt" (sudo usermod -aG libvirt {_user()}) and log in again'
        )
    elif _NO_BUS.search(text):
        advice = _BUS.format(text=text)
    elif code in _REFUSED or "polkit" in lowered or "authentication" in lowered:
        advice = (
            f"libvirtd does not admit the user {_user()} ({text}); "
            f'add the user to the group "libvirt" (sudo usermod -aG libvirt {_user()}) and log in again'
        )
    elif "no connection driver available" in lowered or "uri" in lowered:
        advice = f"{text}; a uri looks like qemu:///system or qemu+ssh://root@host/system"
    else:
        advice = text
    return Unreachable(f'cannot connect to "{uri}": {advice}{_without_terminal(uri, advice)}')


def _without_terminal(uri: str, advice: str) -> str:
    """What else to try where ssh may have wanted to ask somebody, and the plugin that was started warm cannot."""
    if parent.launcher() is None or "ssh" not in uri.partition(":")[0] or not _LOGIN.search(advice):
        return ""
    return (
        "; a provider that was started warm has no terminal on which ssh could ask: use an agent, or set JVP_WARM=off"
    )


def silent(uri: str, seconds: float) -> JvpError:
    """A daemon that is there, and says nothing."""
    return Unreachable(
        f'cannot connect to "{uri}": no answer within {seconds:.0f} s; restart libvirtd there, '
        "or set the provider's uri"
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "who runs this"
