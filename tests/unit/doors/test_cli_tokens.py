"""`jvp token`: the text goes to standard output once, and to nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from jvp.doors.cli import extra, tokens
from jvp.doors.cli.main import main
from jvp.index import tokens as kept
from jvp.index.store import Index

NODE = "8c1e6b2e-0c5b-4c0e-9f0a-0e9b1c5d7a11"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    found = f"sqlite:///{tmp_path}/jvp.db"
    monkeypatch.setenv("JVP_INDEX", found)
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main(("token", *words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_token_from_its_making_to_its_end(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    scope = ("--kinds", "instance,pool", "--kinds", "Node", "--tags", "team=web", "--nodes", NODE.upper())
    code, text, said = run(capsys, "create", "--role", "operator", "--subject", "ci", "--expires", "12h", *scope)
    assert code == 0
    assert re.fullmatch(r"jvp_[0-9a-f]{12}_\S{43}\n", text)
    assert text.strip() not in said
    assert 'of "ci", operator, is taken until ' in said
    assert url in said
    index = Index(url)
    made = kept.verify(index, text.strip())
    assert made is not None
    assert (made.subject, made.role, made.once) == ("ci", "operator", False)
    assert made.scope == {"kinds": ["Instance", "StoragePool", "Node"], "tags": ["team=web"], "nodes": [NODE]}
    assert made.expires is not None
    assert round(made.expires - made.created) == 12 * 3600

    code, listed, _ = run(capsys, "list", "-o", "json")
    assert code == 0
    (one,) = json.loads(listed)
    assert (one["id"], one["state"], one["scope"]) == (made.id, "valid", made.scope)
    assert text.split("_", 2)[2].strip() not in listed
    assert made.id in run(capsys, "list")[1]
    assert run(capsys, "revoke", made.id) == (0, f'token "{made.id}" revoked\n', "")
    assert kept.verify(index, text.strip()) is None
    index.close()
    assert run(capsys, "revoke", made.id) == (3, "", f'jvp: there is no token "{made.id}"\n')


def test_what_is_not_said_is_90_days_for_who_makes_it(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "create", "--role", "viewer")
    run(capsys, "create", "--role", "admin", "--once", "--expires", "never", "--index", url)
    index = Index(url)
    lasting, plain = kept.all_of(index)
    index.close()
    assert (lasting.expires, lasting.once) == (None, True)
    assert plain.expires is not None
    assert (round(plain.expires - plain.created), plain.once, plain.scope) == (90 * 86400, False, {})
    assert plain.subject == tokens._user()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--expires", "1y"), "expires: must be like"), (("--expires", "0d"), "expires: must be like"),
     (("--kinds", "car"), 'kind: "car" is no kind'), (("--nodes", "here"), 'nodes[0]: "here" is no uuid'),
     (("--tags", "a,,b"), "tags: holds an empty word"), (("--subject", ""), "subject: must be")],
)  # fmt: skip
def test_a_wrong_word_makes_no_token(
    words: tuple[str, ...], said: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "create", "--role", "viewer", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"jvp: {said}")
    index = Index(url)
    assert kept.all_of(index) == []
    index.close()


def test_without_its_packages_it_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extra, "INDEX", ("no_such_module",))
    code, out, err = run(capsys, "list")
    assert (code, out) == (4, "")
    assert err == 'jvp: the index is not installed; install it with: pip install "pulumi-jvp[serve]"\n'


def test_an_index_that_cannot_be_used_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "list", "--index", "postgresql://jvp:sesame@127.0.0.1:1/jvp")
    assert code == 5
    assert err.startswith("jvp: the index postgresql://jvp:***@127.0.0.1:1/jvp does not answer: ")
    assert err.count("\n") == 1
    (tmp_path / "file").touch()
    code, _, err = run(capsys, "create", "--role", "viewer", "--index", f"sqlite:///{tmp_path}/file/jvp.db")
    assert (code, err.count("\n")) == (4, 1)


def test_who_only_looks_makes_no_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "list", "--index", f"sqlite:///{tmp_path}/none/jvp.db")
    assert (code, err) == (
        3, f'jvp: there is no index at "{tmp_path}/none/jvp.db"; "jvp serve" and "jvp token create" make it\n',
    )  # fmt: skip
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_file_that_root_makes_in_a_services_folder_is_that_services(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, 12345, 12346)
    index = Index(f"sqlite:///{folder}/jvp.db")
    with index.session():
        assert {(one.stat().st_uid, one.stat().st_gid) for one in folder.iterdir()} == {(12345, 12346)}
    index.close()


def test_the_roles_are_those_of_the_index() -> None:
    assert {*tokens.ROLES} == {*kept.ROLES}
