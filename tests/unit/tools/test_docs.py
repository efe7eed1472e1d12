"""The pages for people: links lead somewhere, every page is reached, and the map of the house is true."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
GENERATED_PARTS = ROOT / "docs" / "examples"
"""Pieces of pages: their links are written for the page that they become part of."""
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def prose(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """As the forges make them of headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    if page.is_relative_to(GENERATED_PARTS):
        assert not any(link.startswith("/") for link in links(page))
        return
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, to_do = set[Path](), [ROOT / "README.md"]
    while to_do:
        page = to_do.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        to_do += [(page.parent / link.partition("#")[0]).resolve() for link in links(page)]
    written = set((ROOT / "docs").glob("*.md"))
    assert written <= reached


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_the_map_has_every_floor_in_its_order() -> None:
    """Against the layers that the linter holds, from the top down."""
    layers = next(one["layers"] for one in CONTRACTS if one["type"] == "layers")
    said = re.findall(
        r"^\|[^|]+\| `(jvp\.\w+)` \|", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    held = [part.strip() for layer in layers for part in layer.split("|")]
    assert said == held
    assert {package for package in said if not (ROOT / "provider" / package.replace(".", "/")).exists()} <= {
        "jvp.dynamic"
    }


def test_the_map_has_every_contract() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([^|`]+) \| [^|]+ \|$", page.split("## The contracts")[1], re.MULTILINE)[1:] == [
        one["name"] for one in CONTRACTS
    ]


def test_the_map_names_files_that_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:core|doors|resources|libvirt|images|warm)/[\w/]+\.py)`", page):
        assert (ROOT / "provider" / "jvp" / name).is_file(), name


INSTANCE = ROOT / "provider/jvp/resources/instance"


def steps(module: str, verb: str) -> list[str]:
    """What a verb calls beside itself, in the order of its lines."""
    tree = ast.parse((INSTANCE / f"{module}.py").read_text(encoding="utf-8"))
    body = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == verb)
    calls = (one for one in ast.walk(body) if isinstance(one, ast.Call))
    named = sorted((one.lineno, ast.unparse(one.func)) for one in calls)
    return [name for _, name in named if re.match(r"_|(catching_up|compact_triggers|finishing|restarting)\.", name)]


def docstring(module: str, name: str) -> str:
    *beside, function = name.split(".")
    tree = ast.parse((INSTANCE / f"{(*beside, module)[0]}.py").read_text(encoding="utf-8"))
    found = next(one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == function)
    return ast.get_docstring(found) or ""


@pytest.mark.parametrize(("module", "verb", "number"), [("making", "make", 0), ("changing", "change", 1)])
def test_the_map_has_the_steps_of_an_instance_in_their_order(module: str, verb: str, number: int) -> None:
    part = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("## The steps of an instance")[1]
    table = part.split("| step |")[number + 1].partition("\n\n")[0]
    found = steps(module, verb)
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [
        name.rpartition(".")[2].removeprefix("_") for name in found
    ]
    for name in found:
        assert re.search(r"\b(Before|After|Undo): ", docstring(module, name)), name
