"""The record of what unfinished work is made of."""

import pytest

from tsp.errors import TspError
from tsp.io import resume

OLD, NEW = {"code": "1"}, {"code": "2"}


def differences(old, new):
    return [f"code ({old['code']}, now {new['code']})"] if old["code"] != new["code"] else []


def begin(work, present, anyway=False):
    return resume.begin(work, "state.pt", present, differences, anyway=anyway)


@pytest.fixture
def work(tmp_path):
    """A folder with unfinished work of the old code."""
    folder = tmp_path / "work"
    assert begin(folder, OLD) == []
    (folder / "state.pt").touch()
    return folder


def test_equal_work_is_resumed(work):
    assert begin(work, OLD) == []


def test_other_work_is_refused_in_one_line_and_kept(work):
    for _ in range(2):
        with pytest.raises(TspError) as error:
            begin(work, NEW)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(f"code (1, now 2); delete {work} to start again, or resume it with --config resume=anyway")
    assert begin(work, OLD) == []


def test_only_state_counts_as_work(work):
    (work / "state.pt").rename(work / "other.pt")
    assert begin(work, NEW) == []
    (work / "state.pt").touch()
    assert begin(work, NEW) == []


def test_accepted_differences_stay_recorded_until_the_work_is_finished(work):
    assert resume.accepted(work) == []
    assert begin(work, NEW, anyway=True) == ["code (1, now 2)"]
    assert resume.accepted(work) == ["code (1, now 2)"]
    # Interrupted once more: the new code is now that of the work.
    assert begin(work, NEW) == ["code (1, now 2)"]
    with pytest.raises(TspError, match=r"code \(2, now 1\)"):
        begin(work, OLD)
    assert begin(work, OLD, anyway=True) == ["code (1, now 2)", "code (2, now 1)"]
    (work / "state.pt").unlink()
    resume.finish(work)
    assert not work.exists()
    assert begin(work, OLD) == []
    assert resume.accepted(work) == []


@pytest.mark.parametrize("content", [None, "", '{"code": "1', "[]"])
def test_work_of_unknown_identity_is_refused(work, content):
    if content is None:
        (work / resume.FILE).unlink()
    else:
        (work / resume.FILE).write_text(content)
    with pytest.raises(TspError, match="made by an earlier version"):
        begin(work, OLD)
    assert begin(work, OLD, anyway=True) == [resume.UNKNOWN]
    assert begin(work, OLD) == [resume.UNKNOWN]


def test_many_differences_are_counted(work):
    with pytest.raises(TspError, match=r": d0, d1, d2, d3, d4 and 3 more; delete"):
        resume.begin(work, "state.pt", NEW, lambda old, new: [f"d{k}" for k in range(8)], anyway=False)


def test_other_files_of_finished_work_stay(work):
    resume.finish(work)
    assert [path.name for path in work.iterdir()] == ["state.pt"]
