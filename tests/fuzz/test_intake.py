"""Intake withstands whatever archives hold: a few hundred inputs; `make test-intake` has more."""

import sys
from pathlib import Path

import pytest

from tests.fuzz.intake import suite
from tests.fuzz.intake.judge import ACCEPTED, judge
from tests.fuzz.intake.seeds import drawings, encodings
from tests.intake.uploads import animals, zip_of


def test_no_input_crashes_hangs_or_leaves_the_folder() -> None:
    report = suite.run(encodings(drawings()[::5]), 300, seed=0)
    assert report.faults == []
    assert report.inputs == 300
    assert report.outcomes[ACCEPTED] >= 30
    assert len(report.outcomes) >= 12, "too few ways to be refused were tried"


def test_a_sound_archive_is_accepted_without_fault(tmp_path: Path) -> None:
    content = zip_of(animals(), tmp_path / "sound.zip").read_bytes()
    place = tmp_path / "place"
    place.mkdir()
    assert judge(content, place) == (ACCEPTED, [])


MISBEHAVING = """
import os, sys, time
from pathlib import Path
from tests.fuzz.intake import process

made, make, judge = [], process.Inputs.make, process.judge


def noted(inputs, number):
    made.append(number)
    return make(inputs, number)


def misbehave(content, folder):
    if made[-1] == 2:
        {what}
    return judge(content, folder)


process.Inputs.make, process.judge = noted, misbehave
process.main(Path(sys.argv[1]))
"""
"""The process of the suite; intake does what it must not with the third input."""


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("os._exit(7)", "crash: ended by 7"),
        ("bytearray(2 * 1024**3)", "MemoryError"),
        ("time.sleep(600)", "hang"),
        ("open('{elsewhere}', 'w').close()", "escape: open {elsewhere}"),
        ("os.symlink('/etc', '{elsewhere}')", "escape: os.symlink {elsewhere}"),
        ("Path('{elsewhere}').mkdir()", "escape: os.mkdir {elsewhere}"),
        ("open('/etc/passwd').close()", "escape: open /etc/passwd"),
        ("(folder / 'more').touch()", "left behind: more"),
    ],
)
def test_what_intake_must_not_do_is_seen_and_the_other_inputs_are_tried_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str, told: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    script = MISBEHAVING.format(what=what.format(elsewhere=elsewhere))
    monkeypatch.setattr(suite, "COMMAND", (sys.executable, "-c", script))
    if told == "hang":
        monkeypatch.setattr(suite, "HANG_SECONDS", 8.0)
    report = suite.run(encodings(drawings()[:1]), 5, seed=0)
    (fault,) = report.faults
    assert fault.startswith("input 2 (")
    assert told.format(elsewhere=elsewhere) in fault
    assert report.kinds.total() >= 4
