"""The tutorials run as plain scripts, and what they print and draw is what they speak of."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TUTORIALS = Path(__file__).parents[1] / "tutorials"
JOBS_FILES = [f"jobs/jobs_DW_bin.new.10.{part}.npz" for part in ("train", "test")]

pytest.importorskip("econml", reason="the tutorials need the benchmark extra")


def run(name, folder, *arguments):
    """What the tutorial prints, with warnings as errors and a notebook kernel's own arguments."""
    script = [TUTORIALS / name, "--out", folder, *arguments, "-f", "kernel.json"]
    finished = subprocess.run(
        [sys.executable, "-W", "error", *script],
        cwd=folder.parent,
        env=os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def numbers(line):
    return [float(number) for number in re.findall(r"[+-]?\d+\.\d+", line)]


def row(printed, name):
    """Numbers of the last line that starts with `name`."""
    return numbers([line for line in printed.splitlines() if line.startswith(name)][-1])


def assert_is_a_picture(path):
    from matplotlib.image import imread

    pixels = imread(path)
    assert min(pixels.shape[:2]) > 300
    assert np.ptp(pixels[..., :3]) > 0.5


class TestIhdp:
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        return tmp_path_factory.mktemp("ihdp") / "plots"

    @pytest.fixture(scope="class")
    @classmethod
    def printed(cls, folder):
        return run("ihdp.py", folder)

    def test_pictures_are_written_and_nothing_else(self, printed, folder):
        assert {path.name for path in folder.iterdir()} == {"ihdp_history.png", "ihdp_effects.png"}
        for path in folder.iterdir():
            assert_is_a_picture(path)
        assert list(folder.parent.iterdir()) == [folder]

    def test_hypercate_is_ahead_of_the_anchors_and_of_econml(self, printed):
        ours, _ = row(printed, "HyperCATE")
        theirs, _ = row(printed, "EconML")
        constant, _ = row(printed, "true ATE for everyone")
        zero, zero_ate = row(printed, "zero effect")
        assert ours < theirs < constant < zero
        assert ours < 0.5
        mean, spread = numbers(re.search(r"true effect of the test.*", printed).group())
        assert zero_ate == pytest.approx(abs(mean), abs=0.006)
        assert constant == pytest.approx(spread, abs=0.05)

    def test_intervals_are_seen_to_undercover(self, printed):
        share = int(re.search(r"hold the true effect in (\d+)%", printed).group(1))
        assert 10 < share < 90

    def test_the_coverage_that_the_readme_names_is_about_what_is_measured(self, printed):
        readme = (TUTORIALS.parent / "README.md").read_text()
        said = int(re.search(r"holds the true effect in (\d+) %", readme).group(1))
        share = int(re.search(r"hold the true effect in (\d+)%", printed).group(1))
        assert share == pytest.approx(said, abs=15)

    def test_sharing_and_parameters_are_shown(self, printed):
        assert re.search(r"intercept +moderate +weak +chosen", printed)
        assert re.search(r"raw +boosted +chosen", printed)
        assert "'trained'" in printed


class TestJobs:
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        return tmp_path_factory.mktemp("jobs") / "plots"

    @pytest.fixture(scope="class")
    @classmethod
    def printed(cls, folder):
        data = os.environ.get("HYPERCATE_DATA", "")
        if not all(Path(data, name).exists() for name in JOBS_FILES):
            pytest.skip("HYPERCATE_DATA does not name a folder with the Jobs files")
        return run("jobs.py", folder, "--folds", "2")

    def test_the_picture_is_written_and_nothing_else(self, printed, folder):
        assert [path.name for path in folder.iterdir()] == ["jobs.png"]
        assert_is_a_picture(folder / "jobs.png")

    def test_the_naive_comparison_has_the_wrong_sign(self, printed):
        naive, _ = row(printed, "treated minus all controls")
        experiment, error = row(printed, "within the experiment")
        assert naive < -0.05
        assert experiment > 0.05
        assert error == pytest.approx(np.sqrt(0.23 * 0.77 / 240 + 0.3 * 0.7 / 338), abs=0.003)

    def test_anchors_are_the_shares_without_a_job(self, printed):
        """Treating everyone risks the treated's share without a job, no one the controls'."""
        from hypercate.datasets import load_jobs

        shares = []
        for fold in (1, 2):
            test = load_jobs(fold).test
            shares.append(
                [1 - test.y[test.randomized & (test.treatment == arm)].mean() for arm in (1, 0)]
            )
        everyone, no_one = np.mean(shares, axis=0)
        lines = printed[printed.index("\ntest ") :]
        assert numbers(re.search("treat everyone.*", lines).group())[0] == pytest.approx(
            everyone, abs=6e-4
        )
        assert numbers(re.search("treat no one.*", lines).group())[0] == pytest.approx(
            no_one, abs=6e-4
        )

    def test_the_att_is_nearer_to_the_experiment_than_no_effect_is(self, printed):
        experiment, error_bar, ours, error, of_zero = row(printed, "train")
        assert of_zero == pytest.approx(experiment, abs=1e-3)
        assert 0.02 < error_bar < 0.05
        assert error == pytest.approx(abs(experiment - ours), abs=0.03)
        assert error < of_zero


@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.py")), ids=lambda path: path.name)
class TestCells:
    def test_cells_alternate_between_prose_and_code(self, path):
        cells = re.findall(r"^# %%.*$", path.read_text(), re.M)
        assert set(cells) == {"# %%", "# %% [markdown]"}
        assert cells[0] == "# %% [markdown]"

    def test_markdown_cells_hold_only_comments(self, path):
        for cell in re.split(r"^# %%", path.read_text(), flags=re.M)[1:]:
            first, *lines = cell.splitlines()
            if first.strip() == "[markdown]":
                assert all(line.startswith("#") or not line for line in lines)
