"""A report says what the model says, is one page of its own, and leaves nothing unsaid."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from small import tiny, trial

from hypercate import HyperCATE, report

pytest.importorskip("matplotlib", reason="a report has pictures")
OF_ARMS = ["summary", "data", "averages", "heterogeneity", "effects", "confounding"]
OF_MODEL = ["choices", "limits", "card"]


@pytest.fixture(scope="module")
def three_arms():
    """A model of strings, missing values and arms whose names are no HTML, and its rows."""
    X, y, arm, _ = trial(300, n_arms=3, seed=510)
    X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    rng = np.random.default_rng(510)
    X["site"] = rng.choice(["north & south", "<east>"], len(X))
    X = X.mask(rng.random(X.shape) < 0.05)
    labels = np.array(["a <b>", "drug", "surgery"])[arm]
    return HyperCATE(effort="instant", random_state=0, device="cpu").fit(X, y, labels), X


@pytest.fixture(scope="module")
def found(three_arms):
    return report(*three_arms, title="Trial <1>", alpha=0.1)


@pytest.fixture(scope="module")
def page(found):
    return found.to_html()


@pytest.fixture(scope="module")
def dosed():
    X, y, _, _ = trial(300, seed=511)
    dose = np.random.default_rng(511).uniform(0, 4, 300)
    return tiny(treatment_kind="dose").fit(X, y + dose * X[:, 1], dose), X


def names(found):
    return [section.name for section in found.sections]


def section(found, name):
    return next(part for part in found.sections if part.name == name)


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


class TestSections:
    def test_there_is_one_for_each_question(self, found, three_arms):
        assert names(found) == [*OF_ARMS, *OF_MODEL]
        without = [name for name in OF_ARMS if name != "effects"]
        assert names(report(three_arms[0])) == [*without, *OF_MODEL]

    def test_averages_are_those_of_the_model(self, found, three_arms):
        table = section(found, "averages").tables["Average effects"]
        est = three_arms[0]
        for who, inference in (
            ("everyone (ATE)", est.ate_inference()),
            ("the treated (ATT)", est.att_inference()),
            ("the controls (ATC)", est.atc_inference()),
            ("where arms overlap (ATO)", est.ato_inference()),
        ):
            expected = inference.summary_frame(0.1)[table.columns]
            pd.testing.assert_frame_equal(table.loc[who], expected)

    def test_the_summary_says_the_averages_and_whether_effects_differ(self, found, three_arms):
        est = three_arms[0]
        text = " ".join(section(found, "summary").text)
        row = est.ate_inference().summary_frame(0.1).loc["drug"]
        assert (
            f"drug instead of a <b> changes the outcome by {row['point_estimate']:.3g} (90% "
            f"interval {row['ci_lower']:.3g} to {row['ci_upper']:.3g})"
        ) in text
        test = est.heterogeneity_test().loc[("drug", "differential_prediction"), "pvalue"]
        differ = re.search(r"([^.]*) \(drug: p-value", text).group(1)
        assert differ.strip().startswith("Effects differ" if test < 0.05 else "It is not shown")

    def test_rows_are_described_as_predictions_have_them(self, found, three_arms):
        est, X = three_arms
        table = section(found, "effects").tables["Effects of rows"]
        np.testing.assert_allclose(table["mean"], est.predict(X).mean(axis=0))
        lower, upper = est.effect_interval(X, alpha=0.1)
        np.testing.assert_allclose(table["interval_above_0"], (lower > 0).mean(axis=0))
        np.testing.assert_allclose(table["interval_below_0"], (upper < 0).mean(axis=0))

    def test_outcomes_and_support_of_the_arms_are_those_of_the_rows(self, found, three_arms):
        evidence = three_arms[0].fitted_.evidence
        (table,) = section(found, "data").tables.values()
        assert table["rows"].tolist() == np.bincount(evidence.arm).tolist()
        means = [evidence.y[evidence.arm == k].mean() for k in range(3)]
        np.testing.assert_allclose(table["mean_outcome"], means)

    def test_the_card_has_every_parameter_and_covariate(self, found, three_arms):
        est, X = three_arms
        tables = section(found, "card").tables
        assert dict(tables["Its parameters"]["value"]) == {
            name: repr(value) for name, value in est.get_params().items()
        }
        assert tables["Its covariates"].index.tolist() == X.columns.tolist()
        assert tables["Its covariates"].loc["site", "kind"] == "2 levels"

    def test_probabilities_are_called_so(self):
        X, y, arm, _ = trial(200, seed=512)
        state = np.where(y > np.median(y), "well", "ill")
        est = HyperCATE(effort="instant", random_state=0).fit(X, state, arm)
        text = section(report(est), "averages").text[0]
        assert "differences of the probability of 'well'" in text

    def test_doses_have_a_curve_in_place_of_averages_of_arms(self, dosed):
        found = report(*dosed)
        assert names(found) == ["summary", "data", "averages", "effects", *OF_MODEL]
        (table,) = section(found, "averages").tables.values()
        pd.testing.assert_frame_equal(table, dosed[0].average_dose_response())
        assert "data:image/svg" in found.to_html()

    def test_what_a_model_without_its_rows_cannot_say_is_said(self, three_arms, tmp_path):
        est, X = three_arms
        est.save(tmp_path / "slim.hypercate", evidence=False)
        found = report(HyperCATE.load(tmp_path / "slim.hypercate"), X)
        assert names(found) == [*OF_ARMS, *OF_MODEL]
        missing = [part.name for part in found.sections if "Not available" in " ".join(part.text)]
        assert missing == [name for name in OF_ARMS if name != "effects"]

    def test_many_rows_are_looked_at_at_even_distances(self, three_arms, monkeypatch):
        monkeypatch.setattr("hypercate.reporting.MOST_ROWS", 50)
        est, X = three_arms
        table = section(report(est, X), "effects").tables["Effects of rows"]
        some = X.iloc[np.linspace(0, len(X) - 1, 50).astype(int)]
        np.testing.assert_allclose(table["mean"], est.predict(some).mean(axis=0))


class TestPage:
    def test_nothing_is_loaded_from_elsewhere(self, page):
        for _, attributes in Elements(page).found:
            for name in ("src", "href"):
                assert attributes.get(name, "#").startswith(("#", "data:"))
        assert not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", page))
        assert "<script" not in page

    def test_links_lead_to_sections_and_pictures_have_words(self, page, found):
        elements = Elements(page).found
        ids = [attributes["id"] for tag, attributes in elements if tag == "section"]
        links = [attributes["href"] for tag, attributes in elements if tag == "a"]
        assert links == [f"#{name}" for name in ids]
        assert ids == names(found)
        captions = [caption for part in found.sections for caption in part.pictures]
        pictures = [attributes["alt"] for tag, attributes in elements if tag == "img"]
        assert pictures == captions
        assert len(pictures) >= 2 * 3 + 1

    def test_names_are_text_not_html(self, page):
        assert "Trial &lt;1&gt;" in page
        assert "a &lt;b&gt;" in page
        assert not {tag for tag, _ in Elements(page).found} & {"b", "east"}

    def test_a_notebook_shows_it_in_a_frame(self, page, found):
        ((tag, attributes),) = Elements(found._repr_html_()).found
        assert tag == "iframe"
        assert attributes["srcdoc"] == page

    @pytest.mark.parametrize("width", [390, 1280])
    def test_a_browser_shows_it_without_a_complaint(self, page, tmp_path, width):
        browser = shutil.which("chromium")
        if browser is None:
            pytest.skip("there is no chromium on this machine")
        from matplotlib.image import imread

        (tmp_path / "report.html").write_text(page, encoding="utf-8")
        shot = tmp_path / "report.png"
        told = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'browser'}", f"--window-size={width},2000",
                f"--screenshot={shot}", (tmp_path / "report.html").as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert "CONSOLE" not in told.stderr
        assert imread(shot)[..., :3].std() > 0.05


class TestFiles:
    def test_json_has_sentences_and_tables_and_no_number_that_is_none(self, found, tmp_path):
        found.save(tmp_path / "report.json")
        read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
        assert read["title"] == "Trial <1>"
        assert [part["name"] for part in read["sections"]] == names(found)
        rows = read["sections"][2]["tables"]["Average effects"]
        table = section(found, "averages").tables["Average effects"]
        assert [row["point_estimate"] for row in rows] == table["point_estimate"].tolist()
        assert rows[0]["arm"] == "drug"

    def test_other_endings_are_refused(self, found, tmp_path):
        with pytest.raises(ValueError, match=r"report\.pdf.*must end in \.html or \.json"):
            found.save(tmp_path / "report.pdf")
        assert not list(tmp_path.iterdir())

    def test_printed_it_has_every_section_and_table(self, found):
        for part in found.sections:
            assert part.title in str(found)
            assert all(caption in str(found) for caption in part.tables)


class TestBadInput:
    @pytest.mark.filterwarnings("ignore:X does not have valid feature names")
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"title": 3}, TypeError, "title=3"),
            ({"alpha": 1.5}, ValueError, "alpha"),
            ({"X": np.zeros((3, 2))}, ValueError, "features"),
        ],
    )
    def test_it_is_named(self, three_arms, arguments, error, message):
        with pytest.raises(error, match=message):
            report(three_arms[0], **arguments)

    def test_rows_beyond_those_shown_are_checked_too(self, three_arms, monkeypatch):
        monkeypatch.setattr("hypercate.reporting.MOST_ROWS", 2)
        est, X = three_arms
        X = X.copy()
        X.iloc[5, 0] = np.inf
        with pytest.raises(ValueError, match="x0"):
            report(est, X)

    def test_several_outcomes_are_reported_one_at_a_time(self):
        X, y, arm, _ = trial(120, seed=513)
        both = pd.DataFrame({"pressure": y, "weight": y + X[:, 0]})
        est = tiny(max_epochs=5).fit(X, both, arm)
        with pytest.raises(ValueError, match=r"est\.of\('pressure'\)"):
            report(est)
        assert names(report(est.of("weight")))[0] == "summary"
