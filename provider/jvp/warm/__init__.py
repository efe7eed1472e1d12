"""The warm start: an engine's plugin is forked from a process that has everything imported.

    engine ── starts ──> launcher ── hands over arguments, environment, folder, descriptors ──> warm process
                            │                                                                        │ forks
                            └──────────── signals, exit code, and each dies with the other ──── the plugin

The launcher (`launcher.py`) imports next to nothing. Where no warm process answers it starts one for the next launch
and goes on as the plugin itself: the plain start, which is always right. A warm process (`process.py`) belongs to one
user, one installation and one surrounding (`place.py`), and ends after a minute without work.

Nothing of a launch is seen by the next one, for each is a fork of a process that has only imported.
"""
