"""Makers from names and mappings: the fields of a file put onto a Maker's defaults."""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from jobflow import Maker
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from crystalicl_jobflow.generation import GenerationError
from crystalicl_jobflow.submission.yaml_text import FieldError, Place, unknown

MAKER = "maker"
"""Key under which a mapping names the Maker whose fields the others are."""

SHORT_NAMES: dict[str, str] = {
    "ForceFieldRelaxMaker": "atomate2.forcefields.jobs",
    "ForceFieldStaticMaker": "atomate2.forcefields.jobs",
    "DoubleRelaxMaker": "atomate2.vasp.flows.core",
    "StaticMaker": "atomate2.vasp.jobs.core",
    "MPGGADoubleRelaxMaker": "atomate2.vasp.flows.mp",
    "MPGGADoubleRelaxStaticMaker": "atomate2.vasp.flows.mp",
    "MPMetaGGADoubleRelaxStaticMaker": "atomate2.vasp.flows.mp",
    "MatPesStaticFlowMaker": "atomate2.vasp.flows.matpes",
    "RelaxMaker": "crystalicl_jobflow.jobs",
}
"""Makers that need no module before their name → their module."""

_EXTRAS = {"atomate2": "forcefields", "chgnet": "forcefields", "matcalc": "matcalc"}


def import_maker(name: str, place: Sequence[str | int]) -> type[Maker]:
    """Return a Maker's class.

    Parameters
    ----------
    name
        One of :data:`SHORT_NAMES`, or ``package.module.Maker``.
    place
        Where the name stands, for the error.

    Raises
    ------
    FieldError
        If there is no such Maker, or it is something else.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        if name not in SHORT_NAMES:
            hint = unknown(name, SHORT_NAMES, what="Maker")
            raise FieldError(place, f"{name}: {hint}, or any as package.module.Maker")
        module_name = SHORT_NAMES[name]
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or module_name).partition(".")[0]
        extra = _EXTRAS.get(package)
        cure = f": pip install 'crystalicl-jobflow[{extra}]'" if extra else ""
        raise FieldError(place, f"{name}: no module {error.name}{cure}") from None
    except AttributeError:
        module = importlib.import_module(module_name)
        makers = [item for item in vars(module) if item.endswith("Maker")]
        raise FieldError(place, f"{name}: {unknown(attribute, makers, what='Maker')}") from None
    if not (isinstance(found, type) and issubclass(found, Maker)):
        raise FieldError(place, f"{name} is no Maker")
    return found


def fill(target: Any, given: Mapping[str, Any], place: Place) -> Any:
    """Return a dataclass with some of its fields set.

    Parameters
    ----------
    target
        Its class, for one with defaults otherwise; or an object, which is not changed.
    given
        Field → value. A mapping for a field that is a dataclass or document itself changes
        fields of that; one with the key ``maker`` names another Maker; False leaves out a
        step that may be left out.
    place
        Where the mapping stands, for errors.

    Raises
    ------
    FieldError
        If a field does not exist, or a value is not of its type or refused.
    """
    cls = target if isinstance(target, type) else type(target)
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}
    hints = _hints(cls)
    values = {}
    for name, value in given.items():
        here = (*place, name)
        if name not in fields:
            raise FieldError(here, f"{cls.__name__}: {unknown(name, fields)}")
        current = _default(fields[name]) if isinstance(target, type) else getattr(target, name)
        values[name] = _convert(value, hints.get(name, Any), current, here)
    try:
        return cls(**values) if isinstance(target, type) else dataclasses.replace(target, **values)
    except FieldError:
        raise
    except (ValueError, TypeError, GenerationError) as error:
        words = " ".join(str(error).split()).replace(f"{cls.__name__}.__init__() ", "")
        named = next((name for name in values if name in words), None)
        raise FieldError(place if named is None else (*place, named), words) from None


def make_maker(given: Mapping[str, Any] | str, place: Place) -> Maker:
    """Return the Maker that a mapping with the key ``maker``, or a name alone, describes.

    Raises
    ------
    FieldError
        If it cannot be made.
    """
    if isinstance(given, str):
        return typing.cast("Maker", fill(import_maker(given, place), {}, place))
    name = given[MAKER]
    if not isinstance(name, str):
        raise FieldError((*place, MAKER), "the name of a Maker is a text")
    rest = {key: value for key, value in given.items() if key != MAKER}
    return typing.cast("Maker", fill(import_maker(name, (*place, MAKER)), rest, place))


def _convert(value: Any, hint: Any, current: Any, place: Place) -> Any:
    kinds = _members(hint)
    classes = [kind for kind in kinds if isinstance(kind, type)]
    takes_maker = isinstance(current, Maker) or any(issubclass(kind, Maker) for kind in classes)
    if isinstance(value, Mapping) and MAKER in value and (takes_maker or hint is Any):
        return make_maker(value, place)
    if takes_maker and isinstance(value, str):
        return make_maker(value, place)
    if takes_maker and (value is False or value is None):
        if type(None) not in kinds:
            raise FieldError(place, "this step cannot be left out")
        return None
    if isinstance(value, Mapping):
        if current is not None and dataclasses.is_dataclass(current):
            return fill(current, value, place)
        if isinstance(current, BaseModel):
            return _document(type(current), {**current.model_dump(), **value}, place)
        structured = [kind for kind in classes if dataclasses.is_dataclass(kind)]
        if len(structured) == 1 and structured[0] is not Maker:
            return fill(structured[0], value, place)
        if takes_maker:
            raise FieldError(place, f"name a Maker: '{MAKER}: DoubleRelaxMaker'")
        of = _values_of(hint)
        if of is not None:
            known = current if isinstance(current, Mapping) else {}
            return {
                key: _convert(item, of, known.get(key), (*place, key))
                for key, item in value.items()
            }
    return _checked(hint, value, place)


def _document(cls: type[BaseModel], content: Mapping[str, Any], place: Place) -> BaseModel:
    for name in content:
        if name not in cls.model_fields:
            raise FieldError((*place, name), unknown(name, cls.model_fields))
    try:
        return cls.model_validate(dict(content))
    except ValidationError as error:
        raise first_error(error, place) from None


def first_error(error: ValidationError, place: Place) -> FieldError:
    """Return the first of pydantic's complaints, without the value that it is about."""
    item = error.errors(include_input=False, include_url=False)[0]
    words = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return FieldError((*place, *item["loc"]), words[:1].lower() + words[1:])


def _checked(hint: Any, value: Any, place: Place) -> Any:
    """Return the value as the hint's type, where the hint is one that pydantic knows."""
    if hint is Any:
        return value
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
        try:
            adapter = TypeAdapter(hint)  # a model, which has a configuration of its own
        except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
            return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        found = first_error(error, place)
        if len(error.errors()) > 1:  # a union complains once for each of its members
            found = FieldError(place, f"should be {_words(hint)}")
        raise found from None


def _words(hint: Any) -> str:
    names = {type(None): "null", str: "a text", int: "a whole number", float: "a number"}
    return " or ".join(
        names.get(kind) or str(getattr(kind, "__name__", kind)) for kind in _members(hint)
    )


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _values_of(hint: Any) -> Any:
    """Return the type of a dictionary's values where they are Makers; else None."""
    for kind in _members(hint):
        if typing.get_origin(kind) is dict:
            of = typing.get_args(kind)[1]
            if isinstance(of, type) and issubclass(of, Maker):
                return of
    return None


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # names that are imported for type checkers only
        return {}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None
