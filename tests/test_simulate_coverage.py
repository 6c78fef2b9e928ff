"""The script that counts coverage through fit: it runs, resumes, and its stand-ins are right."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("econml", reason="the benchmark needs its extra")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("simulate_coverage")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


class TestStudies:
    @pytest.mark.parametrize(
        "study",
        [
            "null-randomised",
            "persons",
            "clustered",
            "count",
            "time",
            "decisions",
            "binary",
            "noise-boosted",
        ],
    )
    def test_each_gives_a_row_of_finite_figures(self, script, study):
        row = script.replicate(study, 1)
        figures = {name: value for name, value in row.items() if name != "study"}
        assert np.isfinite(list(figures.values())).all()

    def test_least_squares_in_place_of_networks_predict_the_mean_of_the_models(self, script):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(300, 2))
        arm = rng.integers(2, size=300)
        y = 1 + x @ [1.0, -2.0] + arm * (3 + x[:, 0])
        est = script.LeastSquares(random_state=0, inputs="raw", sharing="independent").fit(
            x, y, arm
        )
        np.testing.assert_allclose(est.predict(x), 3 + x[:, 0], atol=1e-4)
        assert est.ate() == pytest.approx(np.mean(3 + x[:, 0]), abs=1e-4)


class TestMain:
    def test_the_same_command_resumes(self, script, tmp_path, capsys):
        arguments = ["--studies", "unbiased", "--out", str(tmp_path)]
        script.main([*arguments, "--replications", "1"])
        first = pd.read_csv(tmp_path / "unbiased.csv")
        script.main([*arguments, "--replications", "2"])
        both = pd.read_csv(tmp_path / "unbiased.csv")
        pd.testing.assert_frame_equal(both.head(1), first)
        assert both["replication"].tolist() == [1, 2]
        assert "| effect (95%) |" in capsys.readouterr().out
        assert "unbiased, 2 replications" in (tmp_path / "coverage.md").read_text()

    def test_an_unknown_study_is_named(self, script, tmp_path, capsys):
        with pytest.raises(SystemExit):
            script.main(["--studies", "nothing", "--out", str(tmp_path)])
        assert "unknown study 'nothing'" in capsys.readouterr().err
