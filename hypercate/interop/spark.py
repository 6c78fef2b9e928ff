"""Effects of the rows of a Spark frame, one batch at a time, by the executors that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from hypercate.encoding.columns import CategoryColumn
from hypercate.estimator import HyperCATE
from hypercate.interop.workers import Sent

_TEXT = {"string", "char", "varchar"}
_WHOLE = {"tinyint", "smallint", "int", "bigint"}
_NUMBERS = {*_WHOLE, "float", "double", "decimal", "boolean"}
_NOTHING = "void"


def predict(
    est: HyperCATE,
    frame: Any,
    *,
    interval: float | None = None,
    outcomes: bool = False,
    keep: Sequence[str] = (),
) -> Any:
    """Effects of every row, as a Spark frame that is not computed yet.

    The model is broadcast without evidence, so that no training row leaves the driver, and runs on
    the CPU, with one thread per batch. Rows are read in Arrow batches of
    ``spark.sql.execution.arrow.maxRecordsPerBatch`` rows, and kept columns are copied unchanged.
    The package has to be installed where the executors run.

    Parameters
    ----------
    est : HyperCATE
        Fitted to a frame whose columns have names.
    frame : pyspark.sql.DataFrame
        Frame with the columns of the fit, in any order, and possibly others: numbers or booleans
        where the model saw numbers, and text where it saw text or categories. Whole numbers are
        accepted as text there, because Spark has no categories.
    interval : float in (0, 1), optional
        Level of the intervals of the effects, such as 0.95; no intervals by default.
    outcomes : bool, default=False
        Whether to add the outcome under every arm.
    keep : sequence of str, default=()
        Columns of the frame to copy before the answers.

    Returns
    -------
    pyspark.sql.DataFrame
        The kept columns, then double columns named as by ``hypercate predict``, as in
        `hypercate.interop.dask.predict`. Partitions, and the order of rows in them, are those of
        `frame`.

    Raises
    ------
    NotFittedError
        Before a fit.
    TypeError
        If est is not a HyperCATE, if frame is not a Spark frame, or if a column is of another kind
        than in the fit.
    ValueError
        If the frame lacks a column or has it twice, if a kept column has the name of an answer, or
        if interval is not between 0 and 1.

    Examples
    --------
    >>> from pyspark.sql import SparkSession
    >>> from hypercate.interop.spark import predict
    >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
    >>> frame = spark.createDataFrame(X.to_dict("records"))
    >>> predict(est, frame, interval=0.95, keep=["age"]).columns
    ['age', 'effect_drug', 'ci_lower_drug', 'ci_upper_drug']
    >>> spark.stop()
    """
    if not hasattr(frame, "mapInArrow"):
        raise TypeError(f"frame must be a pyspark.sql.DataFrame, but is a {type(frame)}")
    sent = Sent.of(est, frame.columns, interval, outcomes, keep)
    covariates = [
        _read(column.name, isinstance(column, CategoryColumn), frame.schema[column.name], place)
        for place, column in enumerate(est.fitted_.features.columns)
    ]
    schema = frame.selectExpr(*map(_quoted, keep)).schema
    for name in sent.names:
        schema = schema.add(name, "double")
    kept = [f"{_quoted(name)} AS `kept {place}`" for place, name in enumerate(keep)]
    send = frame.sparkSession.sparkContext.broadcast(sent)
    answered = partial(_answered, send, [*keep, *sent.names])
    return frame.selectExpr(*covariates, *kept).mapInArrow(answered, schema)


def _answered(sent: Any, names: Sequence[str], batches: Iterator[Any]) -> Iterator[Any]:
    """Batches of covariates and kept columns: the latter, and answers."""
    import pyarrow as pa

    model: Sent = sent.value
    n = len(model.covariates)
    for batch in batches:
        table = pa.Table.from_arrays(batch.columns[:n], names=model.covariates)
        answers = model.values(table.to_pandas(strings_to_categorical=True))
        columns = [*batch.columns[n:], *map(pa.array, answers.T)]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _read(name: str, text: bool, field: Any, place: int) -> str:
    """SQL that reads a covariate as the model saw it, under a name that no other column has."""
    kind = field.dataType.simpleString().partition("(")[0]
    if kind not in (_TEXT | _WHOLE if text else _NUMBERS) | {_NOTHING}:
        raise TypeError(
            f"column {name!r} holds {kind}, but the model was fitted to "
            f"{'text' if text else 'numbers'} there: cast it first"
        )
    return f"CAST({_quoted(name)} AS {'STRING' if text else 'DOUBLE'}) AS `covariate {place}`"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
