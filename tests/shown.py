"""Which test shows which function, and through which doors. `make features` says how these tests ended.

The ids are those of docs/features.md. A test counts with all its variants, or with the one in brackets.
"""

from __future__ import annotations

from typing import NamedTuple

DOORS = ("pulumi", "dynamic", "terraform", "rest", "cli")
_PARITY = "tests/contract/test_parity.py::test_every_door_does_the_same"
_ASKED = "tests/contract/test_parity_asked.py"
_FOUR = "pulumi terraform rest cli"


class Shown(NamedTuple):
    """One test."""

    test: str
    doors: str
    functions: str


SHOWN = (
    Shown(f"{_PARITY}[create_and_no_op]", _FOUR, "X5"),
    Shown(f"{_PARITY}[power_as_declared]", _FOUR, "V1 V2 V3 V4 V5 V7"),
    Shown(f"{_PARITY}[next_boot_and_live]", _FOUR, "V10"),
    Shown(f"{_PARITY}[an_instance_is_renamed_and_its_devices_come_and_go]", _FOUR, "V10 V11 V12"),
    Shown(f"{_PARITY}[options_of_a_disk]", _FOUR, "V10"),
    Shown(f"{_PARITY}[a_tpm_a_watchdog_and_tables]", _FOUR, "V1 V10"),
    Shown(f"{_PARITY}[a_description_and_tags]", _FOUR, "V1 V10"),
    Shown(f"{_PARITY}[cpu_and_clock]", _FOUR, "V1 V10"),
    Shown(f"{_PARITY}[a_pool_and_a_network_that_are_stopped]", _FOUR, "P1 P2 P4 P5 P6 N1 N2 N4 N5 N6"),
    Shown(f"{_PARITY}[each_kind_of_change]", _FOUR, "N7"),
    Shown(f"{_PARITY}[addresses_that_dhcpv6_keeps]", _FOUR, "N8"),
    Shown(f"{_PARITY}[networks_on_what_the_node_has]", _FOUR, "N1"),
    Shown(f"{_PARITY}[cards_on_what_the_node_has]", _FOUR, "V1 V10"),
    Shown(f"{_PARITY}[a_firewall]", _FOUR, "N10"),
    Shown(f"{_PARITY}[addresses_that_are_reserved]", _FOUR, "N8"),
    Shown(f"{_PARITY}[ports_that_are_forwarded]", _FOUR, "N11"),
    Shown(f"{_PARITY}[what_a_network_serves]", _FOUR, "N1"),
    Shown(f"{_PARITY}[sizes_in_another_spelling]", _FOUR, "O1 O2 O4 O5"),
    Shown(f"{_PARITY}[what_stands_on_a_template]", _FOUR, "O6 T1 T4 T5 T6 T7"),
    Shown(f"{_PARITY}[a_snapshot_of_an_instance]", _FOUR, "V13 S3 S5 S6 O1 T1"),
    Shown(f"{_PARITY}[space_is_given_back]", _FOUR, "O7"),
    Shown(f"{_PARITY}[changed_out_of_band]", _FOUR, "X7"),
    Shown(f"{_PARITY}[imported_and_unchanged]", "pulumi terraform", "X7"),
    Shown(
        f"{_ASKED}::test_every_door_answers_the_same", f"{_FOUR} dynamic",
        "V6 V7 V8 V9 S1 S2 P3 P4 O3 O4 T2 T3 N3 N4 N9",
    ),
    Shown(f"{_ASKED}::test_every_door_acts_the_same", "rest cli", "V2 V3 V4 V13 S4 P5 P6 P7 N5 N6"),
    Shown(f"{_ASKED}::test_every_door_acts_the_same", "pulumi terraform", "V4 S4 P7"),
    Shown(
        "tests/engines/test_engine_dynamic.py::test_the_second_example_lives_from_nothing_to_nothing", "dynamic",
        "V1 V5 V10 V11 P1 P2 N1 N2 O1 O2 T1 T4 T6",
    ),
    Shown("tests/contract/test_actions.py::test_the_dynamic_form_has_the_resource_that_stands_for_it", "dynamic", "V4"),
    Shown(
        "tests/engines/test_engine_actions.py::test_in_pulumi_an_instance_is_restarted_whenever_its_trigger_changes",
        "pulumi", "V4",
    ),
    Shown(
        "tests/engines/test_engine_actions.py::test_in_hcl_a_pool_is_refreshed_whenever_its_trigger_changes",
        "terraform", "P7",
    ),
    Shown(
        "tests/engines/test_engine_guest.py::test_a_guest_lives_through_every_change_that_it_agrees_to", "pulumi",
        "V6 V7 N9",
    ),
    Shown(
        "tests/engines/test_engine_storage.py::test_every_source_of_a_volume_and_what_is_told_of_it", "pulumi",
        "P4 O4 T3",
    ),
    Shown(
        "tests/engines/test_engine_dynamic.py::"
        "test_what_was_killed_or_is_unfinished_goes_on_and_a_refusal_is_one_sentence", "dynamic", "X5",
    ),
    Shown("tests/engines/test_engine_secrets.py::test_a_secret_is_nowhere_in_clear_text", "pulumi", "X5"),
    Shown("tests/contract/test_rest.py::test_an_object_from_its_first_to_its_last_call", "rest", "X5"),
    Shown("tests/unit/doors/test_cli_audit.py::test_both_are_told_in_order_of_time", "cli", "X5"),
    Shown("tests/contract/test_rest.py::test_actions_and_functions", "rest", "V3 V7"),
    Shown("tests/contract/test_rest.py::test_lists_are_filtered_sorted_cut_and_paged", "rest", "O3"),
    Shown("tests/contract/test_cli.py::test_a_file_of_documents_from_nothing_to_nothing", "cli", "V2 V3 V6 O3"),
    Shown("tests/contract/test_cli.py::test_single_objects_by_options", "cli", "V8"),
    Shown(
        "tests/contract/test_rest_index.py::test_two_servers_on_one_database_and_none_that_needs_it", "rest cli", "X6",
    ),
)  # fmt: skip
