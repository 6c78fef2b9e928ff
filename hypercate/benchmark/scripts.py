"""What the scripts of `benchmarks/` have in common: measure what is missing, and report it all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from hypercate.benchmark.harness import append, begun


def resume(
    function: Callable[..., Any], wanted: list[tuple], results: Path, key: list[str], n_jobs: int
) -> pd.DataFrame:
    """Call what is not yet in a CSV, and give the rows of all that is wanted, in its order.

    Parameters
    ----------
    function : callable
        Gives a row as a dict.
    wanted : list of tuple
        Arguments of each call, which are the row's values of `key`.
    results : Path
        To which each row is appended.
    key : list of str
    n_jobs : int
        Worker processes.
    """

    def read() -> pd.DataFrame:
        rows = pd.read_csv(results, keep_default_na=False, na_values=[""])  # a study is called null
        return rows.drop_duplicates(key).set_index(key)

    done = set(read().index) if begun(results) else set()
    missing = [each for each in wanted if each not in done]
    for _ in tqdm(append(function, missing, results, n_jobs), total=len(missing), unit="fit"):
        pass
    return read().loc[wanted].reset_index()


def measure_and_report(
    function: Callable[..., Any],
    wanted: list[tuple],
    key: list[str],
    to_markdown: Callable[[pd.DataFrame], str],
    out: Path,
    n_jobs: int,
) -> None:
    """Resume a script's measurements in a folder, write their table beside them, and print it.

    Parameters
    ----------
    function, wanted, key, n_jobs
        As in `resume`, which keeps ``results.csv``.
    to_markdown : callable
        From the rows to the table, which goes to ``summary.md``.
    out : Path
    """
    out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(resume(function, wanted, out / "results.csv", key, n_jobs))
    (out / "summary.md").write_text(text + "\n")
    print(text)
