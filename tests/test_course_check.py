"""What a notebook asks `course`: the facts about the machine, and the versions that matter."""

import platform

import pytest

from fcutils import course


def test_check_gives_facts():
    machine = course.check()
    assert machine.python == platform.python_version() and machine.cores >= 1
    assert 0 < machine.memory_gib < 2**14 and machine.disk_gib > 0
    assert bool(machine.gpu) or machine.gpu_gib == 0
    assert [line.split()[0] for line in str(machine).splitlines()] == ["python", "system", "cores", "memory", "disk", "gpu"]


def test_versions_name_what_is_installed_and_nothing_else(monkeypatch):
    monkeypatch.setattr(course, "THAT_MATTER", ("pydantic", "no_such_package"))
    import pydantic

    assert course.versions() == f"Python {platform.python_version()}, pydantic {pydantic.__version__}"


def test_a_python_that_is_too_old_is_told_so(monkeypatch):
    monkeypatch.setattr(course, "PYTHONS", ((3, 98), (3, 99)))
    with pytest.raises(course.CourseError, match=r"needs 3\.98 to 3\.99: .*another runtime"):
        course.versions()
