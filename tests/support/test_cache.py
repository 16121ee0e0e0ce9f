"""Results kept on the disk: whole or not at all, measured again where they can't be read, the oldest deleted."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.support import ROOT, cache

KEY = ("a key", 1)


def count(value=1.0):
    """Something to compute, and how often it was."""
    calls = []

    def compute():
        calls.append(value)
        return {"scores": torch.full((4,), value)}

    return compute, calls


def test_computed_once():
    compute, calls = count()
    for _ in range(3):
        assert cache.remember(compute, KEY)["scores"].tolist() == [1.0] * 4
    assert len(calls) == 1
    cache.remember(compute, ("another key", 1))
    assert len(calls) == 2


def test_without_a_key_nothing_is_kept(tmp_path):
    compute, calls = count()
    for _ in range(2):
        cache.remember(compute, None)
    assert len(calls) == 2
    assert not list(tmp_path.rglob("*"))


def test_a_bypass_neither_reads_nor_keeps():
    compute, calls = count()
    cache.remember(compute, KEY)
    with cache.bypassed():
        other, others = count(2.0)
        assert cache.remember(other, KEY)["scores"].tolist() == [2.0] * 4
        with cache.bypassed():
            cache.remember(other, KEY)
        cache.remember(other, KEY)  # the inner block's end doesn't end the outer one
    assert len(others) == 3
    assert cache.remember(other, KEY)["scores"].tolist() == [1.0] * 4
    assert (len(calls), len(others)) == (1, 3)


def test_an_error_ends_a_bypass():
    with pytest.raises(KeyError), cache.bypassed():
        raise KeyError
    compute, calls = count()
    for _ in range(2):
        cache.remember(compute, KEY)
    assert len(calls) == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def nothing(path):
    path.write_bytes(b"")


def noise(path):
    path.write_bytes(os.urandom(200))


def of_another_program(path):
    save_file({"else": torch.ones(2)}, path)


def of_another_key(path):
    cache.remember(count(7.0)[0], ("another key",))
    cache.evaluation(("another key",)).rename(path)


@pytest.mark.parametrize("spoil", [cut, nothing, noise, of_another_program, of_another_key])
def test_an_entry_that_cannot_be_read_is_measured_again_and_replaced(spoil, capsys):
    cache.remember(count()[0], KEY)
    spoil(cache.evaluation(KEY))
    compute, calls = count(3.0)
    for _ in range(2):
        assert cache.remember(compute, KEY)["scores"].tolist() == [3.0] * 4
    assert len(calls) == 1
    assert load_file(cache.evaluation(KEY))["scores"].tolist() == [3.0] * 4
    assert not capsys.readouterr().out


def test_a_folder_in_the_place_of_an_entry_costs_the_memory_but_not_the_result(capsys):
    (cache.evaluation(KEY) / "inside").mkdir(parents=True)
    assert cache.remember(count(3.0)[0], KEY)["scores"].tolist() == [3.0] * 4
    assert "could not be kept" in capsys.readouterr().out
    assert (cache.evaluation(KEY) / "inside").is_dir()


def test_what_was_read_longest_ago_goes_first(monkeypatch):
    for number in range(4):
        cache.remember(count()[0], (number,))
        os.utime(cache.evaluation((number,)), (number, number))
    cache.remember(count()[0], (0,))  # read: now the youngest
    size = cache.evaluation((0,)).stat().st_size
    monkeypatch.setattr(cache, "LIMIT", 3 * size)
    cache.remember(count()[0], (4,))
    assert [number for number in range(5) if cache.evaluation((number,)).exists()] == [0, 3, 4]


def test_the_half_that_a_killed_process_left_goes_too():
    cache.remember(count()[0], KEY)
    half = cache.evaluation(KEY).parent / ".unfinished-x" / "x.safetensors"
    half.parent.mkdir()
    half.write_bytes(bytes(1000))
    os.utime(half, (0, 0))
    cache.prune(half.parent.parent, 500)
    assert cache.evaluation(KEY).exists()
    assert not half.exists()


def a_file(folder):
    folder.write_text("not a folder")
    return folder


def below_a_file(folder):
    return a_file(folder) / "deeper"


def forbidden(folder):
    """Where not even root may write."""
    return "/proc/course"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc here")
@pytest.mark.parametrize("place", [a_file, below_a_file, forbidden])
def test_a_cache_folder_that_takes_nothing_costs_one_note(tmp_path, place):
    code = """if True:
        import torch
        from helpers.support import cache
        for number in range(3):
            print(cache.remember(lambda: {"scores": torch.ones(3)}, (number,))["scores"].sum().item())
    """
    inside = os.environ | {"COURSE_CACHE": str(place(tmp_path / "cache"))}
    done = subprocess.run([sys.executable, "-c", code], env=inside, cwd=ROOT, capture_output=True, text=True)
    note, *sums = done.stdout.splitlines()
    assert note.startswith("Note: this result could not be kept for next time ("), done.stderr
    assert sums == ["3.0"] * 3
    assert not done.stderr
