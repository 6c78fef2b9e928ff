"""Every result prints as a table, in a terminal and in a notebook, at the alpha that it says."""

import importlib
import inspect
import pkgutil
import re
from dataclasses import is_dataclass
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import hypercate
from hypercate import HyperCATE, overlap_report
from hypercate.inference.averages import AverageInference
from hypercate.inference.effects import EffectInference
from hypercate.inspection import EffectTree, arm_similarity, effect_dependence
from hypercate.metrics import (
    calibration_table,
    policy_value,
    qini_curve,
    rate_inference,
    toc_curve,
)
from hypercate.overlap import OverlapReport
from hypercate.policy import PolicyTree, profit_curve, spend
from hypercate.sensitivity import sensitivity
from hypercate.several.answers import OutcomesInference

ODD = "drug <b>&"  # which a page must not read as marks
PUBLIC = ("hypercate", *(f"hypercate.{part}" for part in
          ("inspection", "metrics", "plots", "policy", "sensitivity")))  # fmt: skip
NO_RESULT = {"HyperCATE", "OverlapWarning", "UpliftScorer", "Report", "Sample"}


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=240), "site": rng.choice(["a", "b"], 240)})
    arm = rng.choice(["control", ODD, "surgery"], 240)
    y = X["age"] + 2 * (arm == ODD) * (X["site"] == "a") + rng.normal(size=240)
    instant = HyperCATE(effort="instant", control="control", random_state=0, device="cpu")
    est = instant.fit(X, y, arm)
    effects = pd.DataFrame(est.predict(X), columns=[ODD, "surgery"])
    scores = est.scores_frame()
    both = pd.DataFrame({"<weight>": y, "height": -y})
    several = HyperCATE(effort="instant", control="control", random_state=0, device="cpu")
    several = several.fit(X, both, arm)
    return {
        "effects": est.effect_inference(X),
        "averages": est.ate_inference(),
        "groups": est.gate_inference(X["site"]),
        "projection": est.best_linear_projection(X[["age"]]),
        "outcomes": several.ate_inference(),
        "effects on outcomes": several.effect_inference(X),
        "bounds": sensitivity(est),
        "dependence": effect_dependence(est, X, "site"),
        "overlap": overlap_report(X, arm, control="control"),
        "similarity": arm_similarity(est, X),
        "qini": qini_curve(y, effects, arm, control="control"),
        "toc": toc_curve(effects, scores, control="control"),
        "profit": profit_curve(effects, scores, cost=0.1, control="control"),
        "calibration": calibration_table(effects, scores, control="control"),
        "rate": rate_inference(effects, scores, control="control"),
        "value": policy_value({"all": ODD}, scores),
        "spending": spend(effects, 1.0, 20, control="control"),
        "policy": PolicyTree(max_depth=1, costs={"control": 0, ODD: 1, "surgery": 1}).fit(
            X, scores
        ),
        "tree": EffectTree(max_depth=1).fit(est, X),
    }


NAMES = (
    "effects", "averages", "groups", "projection", "outcomes", "effects on outcomes", "bounds",
    "dependence", "overlap", "similarity", "qini", "toc", "profit", "calibration", "rate", "value",
    "spending", "policy", "tree",
)  # fmt: skip
TREES = ("policy", "tree")


class Page(HTMLParser):
    """Counts cells, and refuses tags that are not closed in their order."""

    def __init__(self):
        super().__init__()
        self.open, self.n_cells, self.text = [], 0, []

    def handle_starttag(self, tag, attrs):
        assert tag in {"p", "b", "br", "pre", "h4", "div", "style", "table", "thead", "tbody", "tr",
                       "th", "td"}, tag  # fmt: skip
        self.n_cells += tag in ("td", "th")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page_of(result):
    page = Page()
    page.feed(result._repr_html_())
    page.close()
    assert not page.open
    return page


def public():
    """All public functions and classes, by name."""
    for name in PUBLIC:
        module = importlib.import_module(name)
        for each in module.__all__:
            yield each, getattr(module, each)


def with_alpha():
    """Public functions and methods with an alpha, by name."""
    members = [*public(), *((each.__name__, each) for each in
               (OverlapReport, OutcomesInference, AverageInference, EffectInference))]  # fmt: skip
    for name, member in members:
        if not callable(member):
            continue
        methods = inspect.getmembers(member, inspect.isfunction) if inspect.isclass(member) else []
        for inner, function in methods or [("", member)]:
            if inner.startswith("_") or inspect.isclass(function):
                continue
            if "alpha" in inspect.signature(function).parameters:
                yield f"{name}.{inner}".rstrip("."), function


class TestEveryResult:
    def test_every_result_is_looked_at_here(self, results):
        assert list(results) == list(NAMES)
        found = set()
        for module in pkgutil.walk_packages(hypercate.__path__, "hypercate."):
            if "interop" in module.name or module.name.endswith("__main__"):
                continue
            for name, each in vars(importlib.import_module(module.name)).items():
                if inspect.isclass(each) and each.__module__.startswith("hypercate"):
                    if is_dataclass(each) and {"summary_frame", "_repr_html_"} & set(dir(each)):
                        found.add(each)
                    if any(name == of for of, member in public() if member is each):
                        found.add(each)
        found = {each for each in found if each.__name__ not in NO_RESULT}
        assert found == {type(result) for result in results.values()}

    @pytest.mark.parametrize("name", NAMES)
    def test_prints_a_table(self, name, results):
        text = str(results[name])
        assert len(text.splitlines()) > 1
        assert "object at 0x" not in text
        assert max(map(len, text.splitlines())) < 140
        if name not in TREES:  # which are echoed as scikit-learn's estimators are
            assert repr(results[name]) == text

    @pytest.mark.parametrize("name", NAMES)
    def test_is_a_table_in_a_notebook(self, name, results):
        page = page_of(results[name])
        said = "".join(page.text)
        if name in TREES:
            assert said == str(results[name])
            bundle = results[name]._repr_mimebundle_()
            assert bundle == {"text/plain": said, "text/html": results[name]._repr_html_()}
        else:
            assert page.n_cells > 4
            words = {word.strip("()=,'") for word in str(results[name]).split()}
            assert {word for word in words if word not in said} <= {"...", "Outcome"}

    def test_labels_are_no_marks(self, results):
        for name, result in results.items():
            html = result._repr_html_()
            assert "<b>&" not in html, name
            assert "<weight>" not in html, name

    def test_a_notebooks_own_colours_are_kept_dark_or_light(self, results):
        for name, result in results.items():
            assert not re.search(r"color|background|<style", result._repr_html_()), name

    @pytest.mark.parametrize("tree", [PolicyTree(), EffectTree()])
    def test_a_tree_that_is_not_fitted_prints_its_parameters(self, tree):
        assert str(tree) == repr(tree)
        assert page_of(tree).text == [repr(tree)]


class TestAlpha:
    def test_is_05_by_default_everywhere(self):
        found = dict(with_alpha())
        assert len(found) > 25
        for name, function in found.items():
            if name == "interval_score":  # which is told of what level the intervals are
                continue
            default = inspect.signature(function).parameters["alpha"].default
            assert default == (None if name == "plot_group_effects" else 0.05), name
        asked = {name for name, _ in inspect.getmembers(HyperCATE, inspect.isfunction)
                 if not name.startswith("_")
                 and "alpha" in inspect.signature(getattr(HyperCATE, name)).parameters}  # fmt: skip
        assert {f"HyperCATE.{name}" for name in asked} <= set(found)

    @pytest.mark.parametrize("alpha", [None, 0.05, 0.2])
    def test_intervals_tables_and_papers_agree(self, results, alpha):
        given = {} if alpha is None else {"alpha": alpha}
        level = 100 * (1 - (alpha or 0.05))
        for name, result in results.items():
            if not hasattr(result, "summary_frame"):
                continue
            frame = result.summary_frame(**given)
            if name not in ("qini", "toc", "profit", "calibration", "bounds"):
                for column, end in zip(("ci_lower", "ci_upper"), result.interval(**given),
                                       strict=True):  # fmt: skip
                    ends = np.moveaxis(end, -1, 0) if "outcomes" in name else end
                    np.testing.assert_array_equal(frame[column], np.ravel(ends), err_msg=name)
            if hasattr(result, "to_markdown"):
                assert f"({level:g} % CI)" in result.to_markdown(**given), name
                assert f"intervals at {level / 100:g}" in result.summary(**given), name

    def test_wider_where_less_is_left_out(self, results):
        for name, result in results.items():
            if hasattr(result, "summary_frame") and "ci_lower" in result.summary_frame():
                width = [
                    (result.summary_frame(alpha)[["ci_lower", "ci_upper"]] @ [-1, 1]).to_numpy()
                    for alpha in (0.01, 0.05, 0.5)
                ]
                assert np.nanmean(width[0]) > np.nanmean(width[1]) > np.nanmean(width[2]), name

    def test_at_an_impossible_level_it_is_refused(self, results):
        for name, result in results.items():
            if hasattr(result, "summary_frame") and name != "qini":
                with pytest.raises(ValueError, match=r"alpha=1\.5"):
                    result.summary_frame(1.5)
