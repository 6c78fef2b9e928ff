"""The documentation site: built once without warnings, whole, and its pages' examples run."""

import base64
import contextlib
import inspect
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import zlib
from functools import partial
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import hypercate
from hypercate import HyperCATE

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
write_lists = runpy.run_path(str(ROOT / "tools/build_site.py"))["write_lists"]
TOPICS = ("metrics", "policy", "inspection", "sensitivity", "plots", "datasets")
IN_OTHERS = {
    "econml.as_econml",
    "econml.HyperCATEEconML",
    "dowhy.HyperCATEEstimator",
    "onnx.export",
    "dask.predict",
    "spark.predict",
}
PUBLIC = {
    *(f"hypercate.{name}" for name in hypercate.__all__ if name != "__version__"),
    *(
        f"hypercate.{topic}.{name}"
        for topic in TOPICS
        for name in import_module(f"hypercate.{topic}").__all__
    ),
    *(f"hypercate.interop.{name}" for name in IN_OTHERS),
    "hypercate.serving.Compiled",
}
METHODS = {
    f"hypercate.HyperCATE.{name}"
    for name, _ in inspect.getmembers(HyperCATE, callable)
    if not name.startswith(("_", "set_")) and not hasattr(BaseEstimator, name)
}


FIRST = {
    "uplift": "glossary#uplift",
    "ITE": "glossary#ite",
    "coverage": "glossary#coverage",
    "cluster": "clusters",
    "dose": "glossary#dose",
    "propensity": "glossary#propensity",
    "ATT": "glossary#att",
    "qini": "glossary#qini",
    "overlap": "glossary#overlap",
    "positivity": "glossary#overlap",
    "policy": "glossary#policy",
    "survival": "glossary#survival",
    "confidence interval": "glossary#confidence-interval",
    "standard error": "uncertainty#uncertainty",
    "p-value": "faq#can-i-trust-the-p-values-of-single-rows",
    "subgroup": "uncertainty#averages-and-groups",
    "binary outcome": "outcomes#binary-outcomes-and-ratios",
    "odds ratio": "outcomes#binary-outcomes-and-ratios",
    "time to event": "outcomes#times-until-an-event",
    "multiple treatments": "outcomes#several-arms",
    "continuous treatment": "doses#doses-and-described-arms",
    "missing values": "faq#can-x-hold-missing-values-and-categories",
    "categorical": "faq#can-x-hold-missing-values-and-categories",
    "sample weights": "get-started#your-own-data",
    "A/B test": "faq#my-data-are-from-an-experiment-does-that-change-anything",
    "instrumental variable": "faq#can-i-use-an-instrument-or-panel-data",
    "panel data": "faq#can-i-use-an-instrument-or-panel-data",
    "unobserved confounding": "sensitivity#if-a-confounder-was-not-measured",
    "placebo test": "sensitivity#fits-whose-answer-is-known",
    "feature importance": "explaining#what-effects-depend-on",
    "causal forest": "coming-from#coming-from-econml-or-causalml",
    "hyperparameter": "settings#which-settings-when",
    "cross validation": "scikit-learn#in-scikit-learn",
    "GPU": "faq#do-i-need-a-gpu",
    "memory": "large#more-rows-than-memory",
    "save model": "saving#saving-and-production",
    "deploy": "saving#saving-and-production",
    "ONNX": "serving#onnx",
    "spark": "distributed#dask-spark-and-several-gpus",
    "random seed": "faq#two-fits-differ-why",
    "install": "get-started#install",
}
"""What users look for, and the page of `docs` and the heading that the search shows first."""


class Page(HTMLParser):
    """Anchors of a page, and what it links to and loads."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        elif tag != "a":
            self.loaded |= {given[name] for name in ("src", "href") if given.get(name)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """This version's pages, with every warning an error, by the command of CONTRIBUTING.md."""
    out = tmp_path_factory.mktemp("site")
    (script,) = re.findall(r"^\.venv/bin/python (tools/build_site\.py)$", CONTRIBUTING, re.M)
    built = subprocess.run(
        [sys.executable, ROOT / script, out], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return out / hypercate.__version__


@pytest.fixture(scope="module")
def pages(site):
    """All pages, by their path in the site."""
    files = [path for path in site.rglob("*.html") if path.parent.name != "_static"]
    found = {path.relative_to(site).as_posix(): Page(path) for path in files}
    assert len(found) > 40
    return found


@pytest.fixture(scope="module")
def documented(site):
    """Names that the API reference documents: Sphinx's inventory, as other sites link to it."""
    compressed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(compressed).decode().splitlines()
    return {line.split()[0] for line in lines if line.split()[1].startswith("py:")}


def target(site, name, link):
    """The file of the site that a link of a page leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    file = (site / name).parent / path if path else site / name
    return Path(os.path.relpath(file, site)).as_posix(), anchor


def is_elsewhere(link):
    return re.match(r"[a-z]+:|//", link)


class TestSite:
    def test_every_link_within_leads_to_a_page_and_a_heading_that_are_there(self, site, pages):
        for name, page in pages.items():
            for link in page.links | page.loaded:
                if not is_elsewhere(link):
                    file, anchor = target(site, name, link.split("?")[0])
                    assert (site / file).is_file(), (name, link)
                    assert not anchor or anchor in pages[file].anchors, (name, link)

    def test_every_page_has_the_icon(self, site, pages):
        assert (site / "_static/favicon.svg").read_text().startswith("<svg")
        for name in set(pages) - {"index.html"}:
            assert any(link.endswith("_static/favicon.svg") for link in pages[name].loaded), name

    def test_every_page_is_reached_from_the_front(self, site, pages):
        seen, ahead = set(), ["index.html", "docs/index.html"]
        while ahead:
            name = ahead.pop()
            if name in pages and name not in seen:
                seen.add(name)
                ahead += [
                    target(site, name, link)[0]
                    for link in pages[name].links
                    if not is_elsewhere(link)
                ]
        assert set(pages) - seen <= {"genindex.html", "py-modindex.html", "search.html"}

    def test_nothing_is_loaded_from_a_network(self, site, pages):
        for name, page in pages.items():
            assert not [link for link in page.loaded if is_elsewhere(link)], name
        for sheet in site.rglob("*.css"):
            assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text()), sheet


class TestVersions:
    def test_every_page_shows_its_version_and_leads_to_the_list(self, site, pages):
        for name in set(pages) - {"index.html"}:
            (link,) = (link for link in pages[name].links if "versions.html" in link)
            assert target(site, name, link) == ("../versions.html", "")
            assert f">{hypercate.__version__}</a>" in (site / name).read_text(), name

    def test_the_front_of_all_leads_to_this_version_and_so_does_the_list(self, site):
        for name in ("index.html", "versions.html"):
            page = Page(site.parent / name)
            assert page.links == {f"{hypercate.__version__}/index.html"}
            assert all((site.parent / file).is_file() for file in page.links | page.loaded)

    @pytest.mark.parametrize(
        ("built", "listed", "newest"),
        [
            (["0.9.0", "0.10.0"], ["0.10.0", "0.9.0"], "0.10.0"),
            (["0.2.0", "0.3.0rc1"], ["0.3.0rc1", "0.2.0"], "0.2.0"),
            (["0.1.0.dev1", "0.1.0.dev2"], ["0.1.0.dev2", "0.1.0.dev1"], "0.1.0.dev2"),
        ],
    )
    def test_the_newest_comes_first_and_the_front_leads_to_the_last_release(
        self, tmp_path, built, listed, newest
    ):
        for version in built:
            (tmp_path / version).mkdir()
            (tmp_path / version / "index.html").write_text("<title>hypercate</title>")
        (tmp_path / "1.0").mkdir()  # without pages
        write_lists(tmp_path)
        text = (tmp_path / "versions.html").read_text()
        assert re.findall(r'<a href="(.+?)/index\.html">(.+?)</a>', text) == [
            (version, version) for version in listed
        ]
        assert re.findall(r">(\S+)</a> \(newest\)", text) == [newest]
        assert f"url={newest}/index.html" in (tmp_path / "index.html").read_text()


class TestTutorials:
    NAMES = tuple(path.stem for path in sorted((ROOT / "tutorials").glob("*.py")))

    @pytest.mark.parametrize("name", NAMES)
    def test_a_page_has_code_results_and_pictures_and_both_files(self, site, pages, name):
        page = f"docs/tutorials/{name}.html"
        html = (site / page).read_text()
        notebook = ROOT / f"docs/tutorials/{name}.ipynb"
        cells = json.loads(notebook.read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        drawn = [output["data"]["image/png"] for output in outputs if "data" in output]
        assert html.count('class="highlight-python') == sum(
            cell["cell_type"] == "code" for cell in cells
        )
        assert html.count('class="output ') == len(outputs) - len(drawn)
        loaded = {target(site, page, link)[0] for link in pages[page].loaded if ".png" in link}
        shown = {(site / path).read_bytes() for path in loaded}
        assert shown == {base64.b64decode(picture) for picture in drawn}
        for file in (notebook, ROOT / f"tutorials/{name}.py"):
            (link,) = (link for link in pages[page].links if link.endswith(f"/{file.name}"))
            assert (site / target(site, page, link)[0]).read_bytes() == file.read_bytes()

    def test_the_gallery_leads_to_each_by_a_picture_and_a_sentence(self, site, pages):
        page = "docs/tutorials/index.html"
        assert {f"{name}.html" for name in self.NAMES} <= pages[page].links
        cards = (site / page).read_text().split('<div class="card ')[1:]
        assert len(cards) == len(self.NAMES)
        for card in cards:
            assert re.search(r"<img .*?<p><a .*?</p>\s*<p>.+[.?]\s*</p>", card, re.S)

    def test_readers_of_plain_text_have_what_was_printed_and_no_pictures(self, site):
        whole = (site / "llms-full.txt").read_text()
        assert "true average: 0.95" in whole
        assert "base64" not in whole


class TestReference:
    def test_every_public_name_and_method_is_documented(self, documented):
        assert documented >= PUBLIC | METHODS
        assert len(METHODS) > 30

    def test_every_public_name_and_method_stands_in_the_table_of_a_topic(self):
        listed = set()
        for page in (ROOT / "docs/api").glob("*.rst"):
            text = page.read_text()
            module = (re.findall(r"currentmodule:: (\S+)", text) or [""])[0]
            for table in re.findall(r"autosummary::\n\n((?: {3}\S+\n)+)", text):
                names = table.split()
                listed |= {n if n.startswith("hypercate.") else f"{module}.{n}" for n in names}
        results = {name for name in listed if name.startswith("hypercate.inference.")}
        assert listed - results == PUBLIC | METHODS


class TestSearch:
    @pytest.fixture(scope="class")
    @classmethod
    def index(cls, site):
        text = (site / "searchindex.js").read_text()
        return json.loads(text[text.index("(") + 1 : text.rindex(")")])

    @pytest.mark.parametrize(
        "word", ["Uplift", "ITE", "Coverage", "Cluster", "Dose", "CATE", "Survival"]
    )
    def test_a_word_of_the_field_is_a_heading_of_the_glossary(self, index, word):
        pages = [index["docnames"][page] for page, _ in index["alltitles"][word]]
        assert "docs/glossary" in pages

    def test_pages_come_before_functions_of_the_same_name(self, site):
        scorer = (site / "_static/language_data.js").read_text()
        assert "2 * score" in scorer
        assert '"CHANGELOG", "CONTRIBUTING"' in scorer

    def test_what_users_look_for_is_found_first(self, site):
        if not (node := shutil.which("node")):
            pytest.skip("the site's search is JavaScript, which node runs")
        command = [node, ROOT / "tests/search.js", site, *FIRST]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        expected = [f"docs/{place}" for place in FIRST.values()]
        assert dict(zip(FIRST, json.loads(found), strict=True)) == dict(
            zip(FIRST, expected, strict=True)
        )

    def test_other_words_of_a_section_are_hidden_from_readers(self, index, site):
        assert index["indexentries"]["save models"]
        assert "<!-- search" not in (site / "docs/saving.html").read_text()
        assert "\n<!-- search" not in (site / "llms-full.txt").read_text()


class TestPlainText:
    def test_the_list_has_every_page_and_the_one_file_has_their_text(self, site, pages):
        listed = re.findall(r"^- \[.+\]\((.+\.html)\): .+", (site / "llms.txt").read_text(), re.M)
        of_sphinx = {"index.html", "genindex.html", "py-modindex.html", "search.html"}
        assert sorted(listed) == sorted(set(pages) - of_sphinx)
        whole = (site / "llms-full.txt").read_text()
        assert (ROOT / "docs/clusters.md").read_text().strip() in whole
        assert (ROOT / "benchmarks/README.md").read_text().strip() in whole
        assert "Area between the Qini curve and that of a random order" in whole
        assert "toctree" not in whole.replace("`toctree`", "")


class TestGlossaryAndQuestions:
    def test_words_are_in_order(self):
        words = re.findall(r"^## (.+)$", (ROOT / "docs/glossary.md").read_text(), re.M)
        assert len(words) > 40
        assert words == sorted(words, key=str.lower)

    def test_the_contents_list_every_question(self):
        text = (ROOT / "docs/faq.md").read_text()
        questions = re.findall(r"^## (.+)$", text, re.M)
        assert re.findall(r"^- \[(.+?)\]\(#", text, re.M) == questions
        assert 12 <= len(questions) <= 20


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """Names that a page's examples leave, and what they print; each page is run once."""
    pytest.importorskip("matplotlib", reason="examples draw")
    ran = {}

    def run(page):
        if page not in ran:
            names, printed = {}, io.StringIO()
            text = (ROOT / f"docs/{page}.md").read_text()
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                for code in re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M):
                    exec(compile(code, f"{page}.md", "exec"), names)
            ran[page] = names, printed.getvalue()
        return ran[page]

    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        yield run


class TestExamples:
    """The pages' examples find what their data have."""

    def test_get_started_and_the_front(self, after, monkeypatch):
        names, printed = after("get-started")
        effect = 2 * names["north"]
        known = names["X"]["site"].notna()
        error = (names["est"].predict(names["X"]) - effect)[known]
        assert np.sqrt(np.mean(error**2)) < 0.3
        assert "Average treatment effect (ATE)" in printed
        monkeypatch.setattr(hypercate, "HyperCATE", partial(HyperCATE, effort="instant"))
        (code,) = re.findall(
            r"^```python\n(.*?)^```$", (ROOT / "docs/index.md").read_text(), re.S | re.M
        )
        exec(compile(code, "index.md", "exec"), names)
        assert names["est"].ate() == pytest.approx(effect.mean(), abs=0.3)

    def test_the_steps_of_an_analysis(self, after):
        names, printed = after("workflow")
        assert names["effect"].mean() == pytest.approx(4.0, abs=0.05)
        assert "difference of the means: 2.3" in printed
        assert names["report"].common_support.mean() > 0.9
        assert names["report"].balance["after"].abs().max() < 0.1
        said = re.search(r"# ([\d.]+), from ([\d.]+) to ([\d.]+)", self.text("workflow")).groups()
        lower, upper = (end[0] for end in names["average"].interval())
        found = [names["average"].point_estimate[0], lower, upper]
        assert [float(number) for number in said] == pytest.approx(found, abs=0.2)
        assert lower < names["effect"].mean() < upper
        assert names["rate"].summary_frame()["pvalue"].iloc[0] < 0.01
        assert names["by_clinic"].point_estimate.argmax() == 0  # north
        assert "clinic=north: programme" in str(names["tree"])
        value = names["value"].point_estimate
        assert value[0] > value[1]
        assert names["bounds"].robustness_value()[0] == pytest.approx(0.25, abs=0.05)
        assert "| programme | " in printed

    def test_uncertainty(self, after):
        names, _ = after("uncertainty")
        widths = names["widths"]
        assert widths["average"] < widths["effect"] < widths["own outcome"] < widths["own effect"]
        lower, upper = names["by_site"].interval()
        assert ((lower < [2, 0]) & (upper > [2, 0])).all()
        assert names["unsure"].mean() == pytest.approx(0.2, abs=0.01)
        assert names["best"].shape == (500, 5)

    def test_doses_described_arms_and_later_ones(self, after):
        names, _ = after("doses")
        curve = names["curves"].mean(axis=0)
        true = 6 * np.array([0, 10, 20, 40]) / (np.array([0, 10, 20, 40]) + 15)
        np.testing.assert_allclose(curve - curve[0], true - true[0], atol=1)
        early, late = names["slopes"].mean(axis=0)
        assert early > 2 * late > 0
        lower, upper = names["planned"].interval()
        assert ((lower < true[2]) & (true[2] < upper)).mean() > 0.9
        assert names["est"].arms_.tolist() == ["none", "high", "low", "new"]
        assert names["est"].effect(names["X"], T1="new").mean() == pytest.approx(3, abs=0.5)

    def test_outcomes(self, after):
        names, printed = after("outcomes")
        north = (names["X"]["site"] == "north").to_numpy()
        assert names["risk_difference"][north].mean() == pytest.approx(0.3, abs=0.12)
        assert names["risk_ratio"][north].mean() == pytest.approx(2, abs=0.5)
        several, X = names["several"], names["X"]
        assert several.arms_.tolist() == ["placebo", "drug", "surgery"]
        assert several.predict(X).shape == (600, 2)
        assert several.predict_outcomes(X).shape == (600, 3)
        assert several.effect(X, T0="drug", T1="surgery").shape == (600,)
        np.testing.assert_allclose(several.ate(), [0.3 * north.mean(), 0.4], atol=0.13)
        assert names["ratio"].point_estimate[0] == pytest.approx(np.exp(-0.25), abs=0.1)
        mean = np.array([90, 30])
        drug, placebo = mean * (1 - np.exp(-36 / mean))  # of a time of this mean, up to 36
        error = names["longer"].stderr[0]
        assert names["longer"].point_estimate[0] == pytest.approx(drug - placebo, abs=3 * error)
        assert error < 2
        assert "(600, 2)" in printed

    def test_clusters(self, after):
        names, _ = after("clusters")
        assert names["by_clusters"].stderr[0] > 1.5 * names["by_rows"].stderr[0]
        lower, upper = (end[0] for end in names["by_clusters"].interval())
        assert lower < 2 < upper

    @pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.set_index")  # Dask's own
    def test_dask(self, after):
        pytest.importorskip("dask.dataframe", reason="the page predicts a frame of Dask")
        names, printed = after("distributed")
        found = names["effects"].compute(scheduler="synchronous")
        assert "ci_upper_drug" in printed
        np.testing.assert_allclose(
            found["effect_drug"], names["est"].predict(names["X"]), atol=1e-5
        )
        assert found["patient"].tolist() == list(range(400))

    def test_saving(self, after):
        names, _ = after("saving")
        assert names["slim"].fitted_.evidence is None
        np.testing.assert_array_equal(
            names["slim"].predict(names["X"]), names["est"].predict(names["X"])
        )
        assert len(names["again"].scores_frame()) == 350

    def test_scikit_learn(self, after):
        names, _ = after("scikit-learn")
        assert names["search"].best_params_ == {"functiontransformer__kw_args": {"names": ["site"]}}
        assert names["qini"].shape == (2,)
        assert (names["qini"] > 0).all()

    @staticmethod
    def text(page):
        return (ROOT / f"docs/{page}.md").read_text()
