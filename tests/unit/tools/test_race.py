"""What the race computes: who races, medians and ratios, aims, what /proc says, and the tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench import aims, contestants, programs, race, racing, report, rows, works
from bench.programs import Objects
from bench.results import FLOOR, PROCESS, Results, plus, ratio
from bench.sample import TICKS, Failed, Memory, Sample, Times, launched, measured
from bench.table import Row, show

PEER = "libvirt"


def results(**more: list[float]) -> Results:
    """Of the stack's `up` under OpenTofu, in seconds, by who did it."""
    found = Results()
    for who, times in {"JVP": [1.0, 9.0, 2.0], "nobody": [0.12], **more}.items():
        for seconds in times:
            found.note("tofu", who, "stack", "up", Sample(seconds, cpu=seconds / 2, launches=4, memory=20 + seconds))
    found.note("", FLOOR, "stack", "up", Sample(0.16))
    return found


def program(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def test_nobody_races_where_none_is_named() -> None:
    assert [one.label for one in contestants.racers({}, "tofu")] == ["JVP", "nobody"]
    assert [one.label for one in contestants.racers({"JVP_RACE_PULUMI": ""}, "pulumi")] == ["JVP", "nobody"]


def test_the_environment_names_peers(tmp_path: Path) -> None:
    released = program(tmp_path, "terraform-provider-libvirt_v0.9.7")
    older = program(tmp_path, "terraform-provider-jvp")
    [one] = contestants.peers({"JVP_RACE_TERRAFORM": str(released)}, "tofu")
    assert (one.label, one.provider, one.command) == ("libvirt_v0.9.7", PEER, (str(released),))
    assert (one.launcher, one.words, one.ours) == ("terraform-provider-libvirt", programs.libvirt_09, False)
    two = list(contestants.peers({"JVP_RACE_TERRAFORM": f"{released}:{older}"}, "tofu"))
    assert [(one.label, one.provider) for one in two] == [("libvirt_v0.9.7 (1)", PEER), ("jvp (2)", "jvp")]
    assert two[1].words is programs.jvp


@pytest.mark.parametrize("name", ["terraform-provider-other", "libvirt", "pulumi-resource-libvirt"])
def test_a_program_that_nobody_has_words_for_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"^JVP_RACE_TERRAFORM: \S+ is no provider that the race has words for; .*$"):
        list(contestants.peers({"JVP_RACE_TERRAFORM": str(program(tmp_path, name))}, "tofu"))


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^JVP_RACE_PULUMI: .*pulumi-resource-libvirt is no program$"):
        list(contestants.peers({"JVP_RACE_PULUMI": str(tmp_path / "pulumi-resource-libvirt")}, "pulumi"))


def test_medians_and_ratios() -> None:
    found = results(libvirt=[4.0, 5.0])
    assert found.median("tofu", "JVP", "stack", "up") == 2.0
    assert found.median("tofu", PEER, "stack", "up") == 4.5
    assert found.median("tofu", PEER, "stack", "down") is None
    assert ratio(2.0, 4.0) == 0.5
    assert ratio(2.0, 0.0) is ratio(None, 4.0) is ratio(2.0, None) is None
    assert plus(None, None) is None
    assert plus(1.0, None) == 1.0


def test_what_failed_once_has_no_median() -> None:
    found = results(libvirt=[4.0])
    found.failures["tofu", PEER, "stack"] = "Error: no"
    assert found.median("tofu", PEER, "stack", "up") is None
    found.failures["pulumi", PEER, PROCESS] = "no word"
    told = ["libvirt under OpenTofu fails at stack: Error: no", "libvirt under Pulumi fails at process: no word"]
    assert list(report.failures(found)) == told


def test_what_each_further_volume_costs() -> None:
    found = Results()
    for count, seconds in ((works.FEW, 1.0), (works.MANY, 1.9)):
        found.note("tofu", "JVP", f"volumes{count}", "up", Sample(seconds))
    assert found.further("tofu", "JVP", "up") == pytest.approx(0.01)
    assert found.further("tofu", "JVP", "down") is None


def test_the_warm_process_is_no_plugin() -> None:
    found = results()
    found.note("tofu", "JVP", PROCESS, "held", Sample(0.0, memory=500.0))
    assert found.peak("tofu", "JVP", lambda one: one.memory) == 29.0


def test_an_aim_is_a_part_of_the_peer_that_raced() -> None:
    assert aims.time_of(results(libvirt=[4.0]), "tofu", "stack", "up", PEER) == pytest.approx(0.45 * 4.0)
    assert aims.cpu(results(libvirt=[4.0]), "up", PEER) == pytest.approx(2.0 * 0.4 / 2.35)


def test_an_aim_without_a_peer_moves_with_the_engine() -> None:
    """The engine alone takes twice as long here as where the aim was set."""
    assert aims.time_of(results(), "tofu", "stack", "up") == pytest.approx(2 * 0.45 * 2.82)
    assert aims.time_of(results(), "tofu", "stack", "down") is None
    assert aims.handshake(results(), "tofu", "warm") == pytest.approx(2 * 0.030)
    assert aims.cpu(results(), "up") == 0.4


def test_an_aim_moves_with_the_turns_of_its_own_work() -> None:
    found = results()
    for seconds in (0.6, 0.6, 0.18):
        found.note("tofu", "nobody", "volumes100", "up", Sample(seconds))
    assert aims.pace(found, "tofu", "stack") == pytest.approx(2)
    assert aims.further(found, "tofu", "up") == pytest.approx(10 * 0.005)
    assert aims.pace(found, "tofu") == pytest.approx(6)


def test_what_libvirt_takes_long_for_moves_with_libvirt() -> None:
    found = results()
    found.note("", FLOOR, "networks30", "up", Sample(3.52))
    assert aims.time_of(found, "tofu", "networks30", "up") == pytest.approx(2 * 2.3)


def test_the_names_of_works() -> None:
    assert works.split("volumes12") == ("volumes", 12)
    assert works.label("networks30") == "30 networks"
    assert works.label("image") == "2 GiB image, 64 MiB of data"
    assert works.label("image300") == "300 MiB image, 200 MiB of data"
    for name in ("volumes", "volumes0", "volumes251", "stack2", "image2", "all", ""):
        with pytest.raises(ValueError, match="no work"):
            works.split(name)


def test_the_options_of_a_race(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = race.options().parse_args(["--only", "stack", "--only", "volumes3", "--runs", "2", "--engines", "tofu"])
    assert (parsed.only, parsed.runs, parsed.engines) == (["stack", "volumes3"], 2, ["tofu"])
    for words in (["--runs", "0"], ["--only", "all"]):
        with pytest.raises(SystemExit):
            race.options().parse_args(words)
        assert capsys.readouterr().err.splitlines()[-1].startswith("make race ARGS=…: error:")


def test_what_proc_says() -> None:
    text = f"7 (a) b) (S) S 1 {' '.join(['0'] * 9)} {TICKS} {TICKS} {3 * TICKS} 0 20 0"
    assert Times.parsed(text) == Times(2.0, 3.0)
    found = Memory.parsed(
        "00400000-7ff [rollup]\nRss: 4096 kB\nPss: 2048 kB\nPrivate_Clean: 0 kB\nPrivate_Dirty: 1024 kB"
    )
    assert found == Memory(1.0, 2.0, 4.0)


def test_a_line_that_is_being_written_is_no_launch(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    assert launched(starts) == ()
    starts.write_text("12\n345\n6")
    assert launched(starts) == (12, 345)


def test_a_command_is_measured(tmp_path: Path) -> None:
    script = "echo said; sh -c 'echo $$ >>starts'; true"
    sample, said = measured(["sh", "-c", script], tmp_path, {"PATH": os.defpath}, tmp_path / "starts", only_child=True)
    assert (sample.launches, said) == (1, "said\n")
    assert sample.ended > sample.seconds > 0


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"^no$"):
        measured(["sh", "-c", "echo no >&2; exit 3"], tmp_path, {}, tmp_path / "starts", only_child=True)


def test_the_error_among_what_an_engine_said() -> None:
    assert racing.first_error("one\n╷\n│ Error: no bridge\n│ \n│ more\n╵\n") == "Error: no bridge"
    assert racing.first_error("error: update failed\n") == "error: update failed"
    assert racing.first_error("panic\n\n") == "panic"
    assert racing.first_error("") == "no word"


def test_every_provider_has_the_same_objects() -> None:
    pools, kernel = Path("/pools"), (Path("/vmlinux"), Path("/initrd"))
    objects = Objects("race1", 201, pools, pool=True, volumes=2, networks=3, image=Path("/image"), guest=True)
    names = {"net", "n0", "n1", "n2", "pool", "v0", "v1", "image", "vm"}
    # The root disk is of JVP's own making.
    assert {name for _, name, _ in programs.jvp(objects)} == names
    assert {name for _, name, _ in programs.libvirt_09(objects)} == names | {"root"}
    assert {name for _, name, _ in programs.libvirt_08(objects)} == names | {"root"}
    booted = Objects("race1", 201, pools, booted=kernel)
    for words in (programs.jvp, programs.libvirt_09, programs.libvirt_08):
        assert [name for _, name, _ in words(booted)] == ["net", "vm"]


def test_references_and_names_in_a_module() -> None:
    objects = Objects("race1", 201, Path("/pools"), pool=True, volumes=1, guest=True)
    ours = programs.for_tofu(programs.jvp(objects), ours=True)
    assert ours["jvp_volume"]["v0"]["pool"] == "${jvp_storage_pool.pool.id}"
    assert ours["jvp_instance"]["vm"]["root_disk"]["pool"] == "${jvp_storage_pool.pool.id}"
    theirs = programs.for_tofu(programs.libvirt_09(objects), ours=False)
    assert theirs["libvirt_volume"]["v0"]["pool"] == "${libvirt_pool.pool.name}"
    kinds = [kind for kind, _, _ in programs.for_pulumi(programs.jvp(objects), ours=True)]
    assert kinds == ["jvp:index:Network", "jvp:index:StoragePool", "jvp:index:Volume", "jvp:index:Instance"]


def test_the_table_of_a_race_with_a_peer() -> None:
    table = report.times(results(libvirt=[4.0]), "tofu")
    assert table[0] == ["work", "JVP", "libvirt", "JVP ÷ libvirt", "aim", "engine alone", "libvirt alone", "JVP ÷ both"]
    assert table[1] == [["stack: up", "2.00 s", "4.00 s", "0.50", "1.80 s", "0.12 s", "0.16 s", "7.14"]]
    lines = report.markdown(table).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("|---")
    assert lines[1].endswith(":|")


def test_the_table_of_what_a_provider_costs() -> None:
    head, lines = report.costs(results(libvirt=[4.0]), "tofu")
    assert head == ["provider's processes", "JVP", "libvirt", "JVP ÷ libvirt", "aim"]
    assert ["stack: up, processor time", "1.00 s", "2.00 s", "0.50", "0.34 s"] in lines
    assert ["stack: up, starts of the provider", "4", "4", "", ""] in lines
    assert ["memory of one process beyond what is shared (USS)", "29 MiB", "24 MiB", "1.21", "40 MiB"] in lines


def test_the_tables_take_their_place_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nEnd\n")
    text = report.text(results(), "today")
    for _ in range(2):
        report.write(page, text)
        assert page.read_text() == f"# Title\n\n{report.BEGIN}\n{text}{report.END}\n\nEnd\n"
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="has no lines"):
        report.write(page, text)


def test_the_page_of_the_project_has_a_place_for_them() -> None:
    page = Path(__file__).parents[3] / "docs/performance.md"
    assert page.read_text().count(report.BEGIN) == page.read_text().count(report.END) == 1


def test_all_samples_for_programs() -> None:
    found = results()
    found.failures["pulumi", PEER, "stack"] = "no"
    told = json.loads(found.json())
    assert (
        told["samples"][0] | {"engine": "tofu", "who": "JVP", "work": "stack", "verb": "up", "seconds": 1.0}
        == told["samples"][0]
    )
    assert told["failures"] == [{"engine": "pulumi", "who": PEER, "work": "stack", "why": "no"}]


def test_rows_say_the_aim_beside_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = {row.name: row for row in rows.all_of(results())}
    row = found["tofu: stack, up"]
    assert (row.value, row.floor, row.ratio, row.holds) == (2.0, 0.28, pytest.approx(7.14, abs=0.01), True)
    assert row.aim == pytest.approx(2 * 0.45 * 2.82)
    show([row, Row("no aim", 1.0, "s"), Row("missed", 2.0, "s", 1.0)])
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert "yes  engine alone 0.12 s, libvirt alone 0.16 s; 4 starts" in first
    assert not {"yes", "NO"} & set(second.split())
    assert "NO" in third
