"""Pictures on dark paper: whatever is drawn or written can be told from what it stands on."""

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgb, to_rgba_array  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from hypercate import HyperCATE, inspection, overlap_report, plots, sensitivity  # noqa: E402
from hypercate.metrics import qini_curve, toc_curve, uplift_curve  # noqa: E402
from hypercate.plots.style import colour_of  # noqa: E402
from hypercate.policy import PolicyTree, profit_curve  # noqa: E402

ARMS = [f"arm {k}" for k in range(8)]  # their effects use up the colours
LETTERS = {"default": 3.8, "dark_background": 4.5, "ggplot": 2.9}  # least contrasts, by style
LINES = 1.7


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=270), "site": rng.choice(["a", "b"], 270)})
    arm = np.array(ARMS)[rng.permutation(270) % 8]
    y = X["age"] + 2.0 * (arm == ARMS[6]) + rng.normal(size=270)
    est = HyperCATE(effort="instant", random_state=0, device="cpu").fit(X, y, arm)
    return est, X, y, arm


@pytest.fixture(scope="module")
def pictures(study):
    """Functions that draw, each on axes of its own, by what they draw."""
    est, X, y, arm = study
    report, scores = overlap_report(X, arm), est.scores_frame()
    effects, told = est.effect_inference(X), pd.DataFrame(est.predict(X), columns=ARMS[1:])
    true, draws = told[ARMS[1]], np.random.default_rng(0).normal(size=(20, 270))
    curve = {"effects": told, "scores": scores}
    policy = PolicyTree(max_depth=2).fit(X, scores)
    tree = inspection.EffectTree(max_depth=1).fit(est, X)
    similarity = inspection.arm_similarity(est, X)
    unknown = pd.DataFrame(np.where(np.eye(8) > 0, 1.0, np.nan), ARMS, ARMS)
    depart = pd.DataFrame(np.random.default_rng(0).random((8, 4)), ARMS)
    bounds = sensitivity.sensitivity(est)
    dependence = inspection.effect_dependence(est, X, "site")

    def eight(draw):
        ax = None
        for k in range(8):
            ax = draw(k, ax)
        return ax

    return {
        "effects": lambda: plots.plot_effects(effects),
        "by": lambda: plots.plot_effect_by(effects, X["age"]),
        "groups": lambda: plots.plot_group_effects(est.gate_inference(X["site"])),
        "overlap": lambda: plots.plot_overlap(report),
        "overlap of one": lambda: plots.plot_overlap(report, arm=ARMS[1]),
        "balance": lambda: plots.plot_balance(report),
        "coverage": lambda: eight(lambda k, ax: plots.plot_calibration(true, draws + k, ax=ax)),
        "rejection": lambda: eight(
            lambda k, ax: plots.plot_rejection(true, true + k, draws[k], ax=ax)
        ),
        "qini": lambda: plots.plot_qini(qini_curve(y, told, arm)),
        "uplift": lambda: plots.plot_uplift(uplift_curve(y, told, arm)),
        "toc": lambda: plots.plot_toc(toc_curve(**curve)),
        "profit": lambda: plots.plot_profit(profit_curve(**curve, cost=0.1)),
        "policy": lambda: plots.plot_policy_tree(policy),
        "tree": lambda: inspection.plot_effect_tree(tree),
        "dependence": lambda: inspection.plot_effect_dependence(dependence),
        "similarity": lambda: inspection.plot_arm_similarity(similarity),
        "unknown": lambda: inspection.plot_arm_similarity(
            inspection.ArmSimilarity(unknown, similarity.function), space="embedding"
        ),
        "departures": lambda: inspection.plot_layer_departures(depart),
        "bounds": lambda: sensitivity.plot_sensitivity(bounds),
        "bounds of one": lambda: sensitivity.plot_sensitivity(bounds, arm=ARMS[1]),
    }


def contrast(colour, ground):
    """By which two colours differ, from 1 to 21, as WCAG 2 defines it."""
    of_both = []
    for each in (colour, ground):
        part = np.array(to_rgb(each))
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        of_both.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(of_both) / min(of_both)


def papers_of(ax, text):
    """Colours that a text may stand on: those of the axes and the figure, or of a square."""
    papers = [ax.get_facecolor(), ax.figure.get_facecolor()]
    if ax.images and text in ax.texts:
        column, row = map(round, text.get_position())
        square = ax.images[0].to_rgba(ax.images[0].get_array())[row, column]
        papers = [square] if square[3] else papers[:1]
    return papers


def drawn_of(ax):
    """Colours of all lines, strokes and areas."""
    yield from (line.get_color() for line in ax.lines)
    for each in (*ax.collections, *ax.patches):
        stroke, area = map(to_rgba_array, (each.get_edgecolor(), each.get_facecolor()))
        seen = stroke if len(stroke) and stroke[:, 3].any() else area
        yield from seen[seen[:, 3] > 0]


class TestContrast:
    @pytest.mark.parametrize("style", LETTERS)
    def test_all_that_is_drawn_and_written_is_seen(self, pictures, style):
        for name, draw in pictures.items():
            with plt.style.context(style):
                ax = draw()
                ax.figure.canvas.draw()
                for text in ax.figure.findobj(Text):
                    if text.get_visible() and text.get_text():
                        least = min(contrast(text.get_color(), on) for on in papers_of(ax, text))
                        assert least >= LETTERS[style], (name, text)
                for colour in drawn_of(ax):
                    assert contrast(colour, ax.get_facecolor()) >= LINES, (name, colour)
                plt.close(ax.figure)

    def test_colours_differ_on_dark_paper_as_well(self):
        with plt.style.context("dark_background"):
            _, ax = plt.subplots()
            seen = {to_rgb(colour_of(ax, place)) for place in range(len(plots.COLOURS))}
            plt.close(ax.figure)
        assert len(seen) == len(plots.COLOURS)


def test_a_legend_of_many_arms_is_not_cut_off(pictures):
    ax = pictures["balance"]()
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().y0 >= 0
    plt.close(ax.figure)
