"""``Pseudonymizer``: a plan that is made once and applied to many tables; scikit-learn takes it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, NamedTuple, Self, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from secureml.anonymization.apply import pseudonymized
from secureml.anonymization.arguments import (
    Arguments,
    Function,
    check_columns,
    check_levels,
    check_manifest,
)
from secureml.anonymization.plan import (
    Plan,
    check_extension,
    earlier_manifest,
    in_column,
    plan_table,
)
from secureml.anonymization.recovery import recover
from secureml.anonymization.tweaks import tweak_type
from secureml.anonymization.versions import check_version_columns, version_column
from secureml.errors import ArgumentError, PseudonymizationError
from secureml.forksafe import unforked
from secureml.frames.adapters import source_of
from secureml.frames.base import ATTRIBUTE, Column, Table
from secureml.frames.column_values import ReadColumn
from secureml.frames.streams import Stream
from secureml.key_management import KeyManager
from secureml.pseudonymization.column_spec import ColumnSpec
from secureml.pseudonymization.keys import Keyring
from secureml.pseudonymization.manifest import Column as Entry
from secureml.pseudonymization.manifest import Manifest
from secureml.pseudonymization.strategies import strategy_type
from secureml.settings.rules import Option

__all__ = ["Pseudonymizer"]

_CONTAINERS = ("default", "pandas", "polars")


class _ColumnType(NamedTuple):
    """What a plan depends on of a column: the kind of its values, and whether they are ordered."""

    kind: str
    ordered: bool
    dtype: str

    @classmethod
    def of(cls, column: Column, spec: ColumnSpec) -> _ColumnType:
        return cls(column.kind(spec.scale).__name__, column.ordered, column.dtype)


@dataclass(eq=False, repr=False)
class Pseudonymizer:
    """Pseudonymizes tables of the same columns by one plan: ``anonymize`` in two steps.

    ``fit`` decides by which rules and under which version of which key columns are replaced, from
    names and types alone; a rotation or another rule changes nothing afterwards. ``transform``
    fetches the key of the plan, and replaces. Two are equal if their arguments and plans are,
    wherever their keys come from.

    A pickle holds the plan, and no key, token or key manager. Where it is read, the key is fetched
    by its name and version from the default manager of that process; another key is refused.

    Args:
        sensitive_columns: as for ``anonymize``, like all that follow.
        strategy: how values are replaced.
        master_key_name: the key.
        master_key_version: its version; by default the newest when ``fit`` is called.
        domains: by column, the name of its domain.
        domain_prefix: what sets the domains of all columns apart.
        formats: by column, what its values are.
        options: by column, the options of its strategy or format.
        tweaks: by column, the name of the column of its tweaks.
        small_domain: what becomes of values with too few possible pseudonyms.
        on_invalid: what becomes of values that are not of the column's format.
        normalize: "NFC" to normalize text first.
        on_ordered: what becomes of an ordered categorical.
        key_versions: whether columns of key versions are added.
        manifest: of columns that were pseudonymized before.
        profile: the name of a set of rules in the settings.
        key_manager: where keys come from; by default the process's own.

    Attributes:
        plan_: what ``fit`` decided; it can't be changed.
        manifest_: the manifest of the last ``transform`` that ended; before the first one, a
            manifest that tells nothing of rows. Threads that share an object take the manifest
            that their results carry.
        feature_names_in_: the names of the columns that ``fit`` has seen; an array has none.
        n_features_in_: how many.
    """

    sensitive_columns: Iterable[str] | None = None
    strategy: str | Function | Mapping[str, str | Function] | None = None
    _: KW_ONLY
    master_key_name: str | None = None
    master_key_version: int | None = None
    domains: Mapping[str, str] | None = None
    domain_prefix: str | None = None
    formats: Mapping[str, str] | None = None
    options: Mapping[str, Mapping[str, Option]] | None = None
    tweaks: Mapping[str, str] | None = None
    small_domain: str | None = None
    on_invalid: str | None = None
    normalize: str | None = None
    on_ordered: str | None = None
    key_versions: bool = False
    manifest: Mapping[str, Any] | str | None = None
    profile: str | None = None
    key_manager: KeyManager | None = None

    plan_: Plan = field(init=False)
    manifest_: dict[str, Any] = field(init=False)
    feature_names_in_: NDArray[Any] = field(init=False)
    n_features_in_: int = field(init=False)

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803  # as scikit-learn has it
        """Decide how each column is replaced, and under which key.

        Args:
            X: a table of any kind that ``anonymize`` takes, an array of two dimensions, whose
                columns are called ``x0``, ``x1``, ..., or an Arrow schema.
            y: not read.

        Raises:
            TypeError: the data is no table.
            ManifestError: the table already has a manifest that can't be extended.
            PseudonymizationError: an argument or a column can't be used.
            SecretError: the key can't be had.
        """
        if isinstance(X, pa.Schema):
            X = pa.Table.from_batches([], X)  # noqa: N806  # likewise
        _, table = _source_and_table(X)
        parameters = self.get_params()
        strategy, columns = parameters.pop("strategy"), parameters.pop("sensitive_columns")
        plan, keyring, earlier = plan_table(table, strategy, columns, cast(Arguments, parameters))
        types = {
            name: _ColumnType.of(table.column(name), spec)
            for name, spec in plan.columns.items()
            if strategy_type(spec.strategy).reads
        }
        manifest = _manifest_before_rows(plan, table, keyring, earlier)
        self.plan_, self.manifest_, self._types = plan, manifest, types
        self._names = list(table.names)
        self.n_features_in_ = len(self._names)
        vars(self).pop("feature_names_in_", None)
        if not isinstance(X, np.ndarray):
            self.feature_names_in_ = np.array(self._names, object)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803  # as scikit-learn has it
        """Replace the values of a table by the plan, and keep its manifest in ``manifest_``.

        Args:
            X: a table with the columns that ``fit`` has seen; it is not changed.

        Returns:
            A new table of the same kind, or of the kind that ``set_output`` names; what comes in
            batches goes out so. It carries its manifest, if tables of its kind can.

        Raises:
            TypeError: the data is no table.
            ManifestError: the table already has a manifest that can't be extended.
            PseudonymizationError: the table has other columns than those of the plan, or a column
                holds what can't be replaced; nothing was done.
            SecretError: the key can't be had.
            WrongKeyError: no version of the key is the one of the plan.
        """
        self._check_fitted()
        source, table = _source_and_table(X)
        self._check_table(table)
        given = table.manifest if self.manifest is None else self.manifest
        earlier = earlier_manifest(given, table, self.plan_.columns)
        keyring = self.plan_.keyring(self.key_manager)
        check_extension(earlier, keyring)
        result, document = pseudonymized(self.plan_, source, keyring, earlier)
        self.manifest_ = document
        container = "default" if isinstance(source, Stream) else self._container()
        return _contained(result, container, document, like=X)

    def fit_transform(self, X: Any, y: object = None) -> Any:  # noqa: N803  # as scikit-learn has it
        """Make the plan of a table, and apply it."""
        return self.fit(X, y).transform(X)

    def inverse_transform(
        self,
        X: Any,  # noqa: N803  # as scikit-learn has it
        manifest: Mapping[str, Any] | str | None = None,
    ) -> Any:
        """Recover the values that ``transform`` replaced.

        Args:
            X: a table as of ``transform``, with all or some of the pseudonymized columns.
            manifest: of the table; by default that which it carries, or else ``manifest_``.

        Returns:
            A new table of the same kind.

        Raises:
            TypeError: the data is no table.
            ManifestError: the manifest was changed, or is of another key or table.
            PseudonymizationError: a column holds what can't be pseudonyms, or ``fit`` was not
                called.
            SecretError: the key can't be had.
        """
        self._check_fitted()
        check_manifest(manifest)
        source, table = _source_and_table(X)
        if manifest is None and table.manifest is None:
            manifest = self.manifest_
        recovered = recover(source, manifest, self.key_manager)
        return _contained(recovered, "default", {}, like=X)

    def get_feature_names_out(self, input_features: Iterable[str] | None = None) -> Any:
        """Return the names of the columns that ``transform`` makes.

        Args:
            input_features: those of the table; None, or as ``fit`` has seen them.

        Raises:
            PseudonymizationError: they are others, or ``fit`` was not called.
        """
        self._check_fitted()
        if input_features is not None and list(input_features) != self._names:
            raise ArgumentError.of("input_features", "must be the names that fit has seen")
        added = [version_column(name) for name in self.plan_.versioned]
        return np.array([*self._names, *added], object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what ``transform`` returns.

        Args:
            transform: "pandas", "polars", or "default" for the kind of table that it gets; None
                leaves it as it is.

        Raises:
            ArgumentError: it is something else.
        """
        if transform is not None and transform not in _CONTAINERS:
            choices = ", ".join(map(repr, _CONTAINERS))
            raise ArgumentError.of("transform", f"must be one of {choices}", f"={transform!r}")
        if transform is not None:
            self._output = transform
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments by name.

        Args:
            deep: not read; no argument has arguments of its own.
        """
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments; the plan stays until ``fit`` is called again.

        Raises:
            ArgumentError: there is no such argument.
        """
        for name in params:
            if name not in _PARAMETERS:
                raise ArgumentError.of(name, "is no argument of Pseudonymizer")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        same: Any = other
        return bool(self._identity() == same._identity())

    def __hash__(self) -> int:
        # Neither of what fit decides, nor of what has no hash.
        names = (self.master_key_name, self.master_key_version, self.profile, self.domain_prefix)
        return hash((type(self), names))

    def __repr__(self) -> str:
        given = {name: getattr(self, name) for name, default in _PARAMETERS.items()}
        changed = (
            f"{name}={value!r}" for name, value in given.items() if value is not _PARAMETERS[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    def __getstate__(self) -> dict[str, Any]:
        if self.key_manager is not None and "plan_" not in vars(self):
            raise TypeError(
                "a Pseudonymizer with a key manager can't be pickled before fit, because nothing"
                " names its key: call fit first, or leave key_manager out and configure the"
                " default manager of each process"
            )
        return {**vars(self), "key_manager": None}

    def __sklearn_clone__(self) -> Self:
        parameters = self.get_params()
        manager = parameters.pop("key_manager")
        clone = type(self)(**deepcopy(parameters), key_manager=manager)
        return clone.set_output(transform=vars(self).get("_output"))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(string=True, categorical=True, allow_nan=True),
        )

    def _identity(self) -> tuple[object, ...]:
        parameters = self.get_params()
        del parameters["key_manager"]
        columns = parameters["sensitive_columns"]
        if isinstance(columns, Collection):
            parameters["sensitive_columns"] = list(columns)
        return parameters, vars(self).get("plan_")

    def _check_fitted(self) -> None:
        if "plan_" not in vars(self):
            raise PseudonymizationError("there is no plan yet: call fit first")

    def _check_table(self, table: Table) -> None:
        """Check that a table is as that which the plan was made of.

        A column that ``fit`` has not seen is refused, because nothing decided that it may stay.
        """
        names = list(table.names)
        if "feature_names_in_" not in vars(self) and len(names) != len(self._names):
            raise PseudonymizationError(
                f"X has {len(names)} features, but {type(self).__name__} is expecting"
                f" {len(self._names)} features as input"
            )
        check_columns(names, [name for name in self._names if name in self.plan_.columns])
        if names != self._names:
            missing = [name for name in self._names if name not in names]
            unseen = [name for name in names if name not in self._names]
            problem = "its columns are in another order"
            if missing:
                problem = f"it lacks {', '.join(map(repr, missing))}"
            if unseen:
                problem = f"no plan was made for {', '.join(map(repr, unseen))}"
            raise PseudonymizationError(
                f"the table has other columns than that of fit: {problem}. Pass the columns that"
                " fit has seen, or call fit again"
            )
        check_levels(table.levels, self.plan_.columns)
        check_version_columns(table, self.plan_.versioned)
        for name, before in self._types.items():
            now = in_column(name, _ColumnType.of, table.column(name), self.plan_.columns[name])
            if now.kind != before.kind or (now.ordered and not before.ordered):
                raise PseudonymizationError(
                    f"column {name!r}: its dtype is {now.dtype}, and the plan is for"
                    f" {before.dtype}: convert the column, or call fit again"
                )

    def _container(self) -> str:
        """Return what transform is to return: as the object says, or else scikit-learn's config."""
        chosen: str | None = vars(self).get("_output")
        if chosen is None and "sklearn" in sys.modules:
            from sklearn import get_config

            chosen = get_config()["transform_output"]
        return chosen or "default"


_PARAMETERS = {each.name: each.default for each in fields(Pseudonymizer) if each.init}


def _manifest_before_rows(
    plan: Plan, table: Table, keyring: Keyring, earlier: Manifest | None
) -> dict[str, Any]:
    """Return the manifest of a table of which no row has been read."""
    entries = {} if earlier is None else dict(earlier.columns)
    for name, spec in plan.columns.items():
        column = table.column(name)
        told: Column | ReadColumn = column
        if column.arrow is None and strategy_type(spec.strategy).reads:
            # Of Python's objects, one tells which type they have.
            told = column.take(np.flatnonzero(~column.nulls)[:1]).read(scale=spec.scale)
        entries[name] = Entry(
            spec,
            dtype=told.dtype,
            versions=name in plan.versioned,
            arrow=told.arrow,
            tweak_arrow=None if spec.tweak is None else tweak_type(table.column(spec.tweak)),
        )
    return Manifest.of(keyring, entries, () if earlier is None else earlier.older).document()


def _source_and_table(data: Any) -> tuple[Table | Stream, Table]:
    """Return what was given, and a table of its columns, which is empty if rows come in batches."""
    source = source_of(_framed(data))
    return source, source.empty if isinstance(source, Stream) else source


def _framed(data: Any) -> Any:
    """Return an array of two dimensions as a frame, with the names that scikit-learn has for it."""
    if hasattr(type(data), "tocsr"):  # a frame of Spark Connect has every attribute
        raise TypeError("sparse input is not supported: it holds numbers alone")
    if not isinstance(data, np.ndarray):
        return data
    if data.ndim != 2:
        problem = f"an array must have two dimensions, not {data.ndim}. Reshape your data"
        raise PseudonymizationError(problem)
    with unforked():
        import pandas as pd
    return pd.DataFrame(data, columns=[f"x{n}" for n in range(data.shape[1])]).infer_objects()


def _contained(frame: Any, container: str, manifest: Mapping[str, Any], *, like: Any) -> Any:
    """Return a frame as that which is asked for, or as an array for an array."""
    if container == "default":
        return frame.to_numpy() if isinstance(like, np.ndarray) else frame
    package = type(frame).__module__.partition(".")[0]
    if container == package:
        return frame
    if container == "polars":
        with unforked():
            import polars as pl
        return pl.DataFrame(frame)
    with unforked():
        import pandas as pd
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else pd.DataFrame(frame)
    frame.attrs[ATTRIBUTE] = manifest
    return frame
