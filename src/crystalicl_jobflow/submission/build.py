"""From a YAML file to a Flow whose jobs know their workers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker
from pydantic import ValidationError

from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.schemas.flow_files import FlowFile
from crystalicl_jobflow.submission.conditions import read_conditions
from crystalicl_jobflow.submission.kinds import KINDS, SUITES, FlowKind
from crystalicl_jobflow.submission.makers import fill, first_error, import_maker
from crystalicl_jobflow.submission.paths import GivenFiles
from crystalicl_jobflow.submission.yaml_text import FieldError, Place, YamlText, unknown
from crystalicl_jobflow.utils.redaction import has_secrets

INPUTS = ("conditions", "references", "known", "data", "suite")
"""Fields of a file that become arguments of the Maker's ``make``."""


@dataclass
class DescribedFlow:
    """A Flow that was built from a file.

    Parameters
    ----------
    flow
        The Flow.
    maker
        What built it.
    file
        The file's content.
    text
        The file, for messages that name its lines.
    conditions
        What is asked for; none for a Flow that asks for nothing.
    files
        What it is to read.
    """

    flow: Flow
    maker: Maker
    file: FlowFile
    text: YamlText
    conditions: list[Condition]
    files: GivenFiles

    @property
    def jobs(self) -> list[Job]:
        """The jobs, in order."""
        return [job for job, _ in self.flow.iterflow()]


def load_flow_file(path: str | Path) -> DescribedFlow:
    r"""Read a YAML file and build the Flow that it describes.

    Relative paths in it are taken from the working folder, as everywhere.

    Parameters
    ----------
    path
        The file, see ``docs/submit.md`` and the examples in ``flows/``.

    Returns
    -------
    DescribedFlow
        Nothing is submitted, and no job has a worker yet.

    Raises
    ------
    FlowFileError
        If a field does not exist, has a wrong type or an impossible value; one line that
        names file, line and field.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from crystalicl_jobflow.submission import load_flow_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "flow.yaml"
    ...     written = path.write_text("flow: generate\nconditions: {formula: CaTiO3}\n")
    ...     [job.name for job in load_flow_file(path).jobs]
    ['retrieve CaTiO3', 'generate CaTiO3 ×1', 'validate CaTiO3 ×1', 'evaluate CaTiO3 ×1']
    """
    text = YamlText(path)
    try:
        file = _read(text)
        maker = build_maker(file)
        files = GivenFiles()
        inputs = _inputs(file, maker, files)
        flow = _make(maker, inputs)
        conditions = inputs.get("conditions") or []
        _check_possible(maker, conditions)
    except FieldError as error:
        raise text.error(error.place, error.message) from None
    if file.metadata:
        flow.update_metadata(file.metadata)
    return DescribedFlow(flow, maker, file, text, conditions, files)


def _read(text: YamlText) -> FlowFile:
    content = text.content
    if not isinstance(content, Mapping):
        raise FieldError((), "a Flow is described by a mapping, e.g. 'flow: generate'")
    known = {field.alias or name for name, field in FlowFile.model_fields.items()}
    for name in content:
        if name not in known:
            raise FieldError((str(name),), unknown(str(name), known))
    if "flow" not in content:
        raise FieldError((), f"'flow' is missing: {', '.join(KINDS)}, or a Maker")
    workers = content.get("workers")
    if isinstance(workers, Mapping):
        from crystalicl_jobflow.schemas.flow_files import WorkerChoices

        for name in workers:
            if name not in WorkerChoices.model_fields:
                hint = unknown(str(name), WorkerChoices.model_fields, what="step")
                raise FieldError(("workers", str(name)), f"{hint} (parts of names: under 'names')")
    _refuse_secrets(content)
    try:
        return FlowFile.model_validate(content)
    except ValidationError as error:
        raise first_error(error, ()) from None


def _refuse_secrets(content: Any, place: Place = ()) -> None:
    """Refuse what would be stored with the jobs; a local run's own store is not."""
    if isinstance(content, list | Mapping):
        pairs = content.items() if isinstance(content, Mapping) else enumerate(content)
        for name, item in pairs:
            if place or name != "store":
                _refuse_secrets(item, (*place, name if isinstance(name, int) else str(name)))
        return
    # a secret's name may stand above the value, as in `password: [1, 2]`
    named = [{part: content} for part in place if isinstance(part, str)] or content
    if has_secrets(named):
        raise FieldError(
            place, "a password or key would be stored with the jobs; keep it in the environment"
        )


def build_maker(file: FlowFile) -> Maker:
    """Return the Flow's Maker with everything that the file sets.

    Raises
    ------
    FieldError
        If there is no such Maker, step or field.
    """
    kind = _kind(file)
    given: dict[str, Any] = dict(file.options)
    origin: dict[Place, Place] = {(name,): ("options", name) for name in given}
    if file.name is not None:
        given["name"] = file.name
        origin[("name",)] = ("name",)
    for section, value in file.sections().items():
        path = kind.sections.get(section)
        if path is None:
            has = ", ".join(kind.sections) or "no steps in sections"
            raise FieldError((section,), f"{file.flow} has no such step; it has {has}")
        _put(given, path, value, section)
        origin[path] = (section,)
    for section in kind.required:
        if file.sections().get(section) in (None, False):
            raise FieldError((section,), f"{file.flow} needs '{section}' with a Maker")
    try:
        cls = import_maker(kind.maker, ("flow",))
        maker: Maker = fill(cls, given, ())
    except FieldError as error:
        raise FieldError(_origin(error.place, origin), error.message) from None
    return maker


def _kind(file: FlowFile) -> FlowKind:
    if file.flow in KINDS:
        return KINDS[file.flow]
    if "." not in file.flow:
        hint = unknown(file.flow, KINDS, what="Flow")
        raise FieldError(("flow",), f"{file.flow}: {hint}, or a Maker as package.module.Maker")
    return FlowKind(file.flow, {}, ())


def _put(given: dict[str, Any], path: tuple[str, ...], value: Any, section: str) -> None:
    for part in path[:-1]:
        given = given.setdefault(part, {})
        if not isinstance(given, dict):
            raise FieldError((section,), f"set here and under options.{part}")
    if path[-1] in given:
        raise FieldError((section,), f"set here and under options.{path[-1]}")
    if value is not None:  # a section that is empty changes nothing
        given[path[-1]] = value


def _origin(place: Place, origin: Mapping[Place, Place]) -> Place:
    """Return where in the file a field of the Maker was written."""
    for length in range(len(place), 0, -1):
        if place[:length] in origin:
            return (*origin[place[:length]], *place[length:])
    return place


def _inputs(file: FlowFile, maker: Maker, files: GivenFiles) -> dict[str, Any]:
    parameters = inspect.signature(maker.make).parameters
    kind = _kind(file)
    given = {name: getattr(file, name) for name in INPUTS if getattr(file, name) is not None}
    for name in given:
        if name in parameters and (name in kind.inputs or not kind.inputs):
            continue
        takes = ", ".join(kind.inputs or parameters)
        raise FieldError((name,), f"{file.flow} takes no {name}; it takes {takes}")
    for name in file.inputs:
        if name not in parameters or name in given:
            raise FieldError(("inputs", name), unknown(name, parameters, what="argument"))
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty and name not in {**given, **file.inputs}:
            hint = "" if name in INPUTS else " under 'inputs'"
            raise FieldError((), f"{file.flow} needs '{name}'{hint}")
    places: dict[str, Place] = {name: (name,) for name in given}
    given |= file.inputs
    places |= {name: ("inputs", name) for name in file.inputs}
    if "conditions" in given:
        given["conditions"] = read_conditions(given["conditions"], places["conditions"])
    if "suite" in given:
        given["suite"] = _suite(given["suite"], places["suite"], files)
    for name in ("references", "known", "data"):
        if name in given:
            given[name] = files.absolute(given[name], places[name])
    return given


def _suite(content: Mapping[str, Any], place: Place, files: GivenFiles) -> Any:
    """Return the rows of a benchmark: ``of`` names the suite, the rest are its fields."""
    from crystalicl_jobflow.benchmarks import suites
    from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting

    if not isinstance(content, Mapping):
        raise FieldError(place, "the suite of a benchmark is a mapping, e.g. 'of: conditional'")
    of = content.get("of", "conditional")
    if of not in SUITES:
        raise FieldError((*place, "of"), f"{of}: {unknown(str(of), SUITES, what='suite')}")
    make = getattr(suites, SUITES[of])
    parameters = [name for name in inspect.signature(make).parameters if name != "setting"]
    arguments = {name: content[name] for name in parameters if name in content}
    setting = {name: value for name, value in content.items() if name not in ("of", *parameters)}
    for name in setting:
        if name not in BenchmarkSetting.model_fields:
            known = {*BenchmarkSetting.model_fields, *parameters, "of"}
            raise FieldError((*place, name), unknown(name, known))
    for name in ("dataset", "pool", "known"):
        if name in setting:
            setting[name] = files.absolute(setting[name], (*place, name))
    if "datasets" in arguments:
        arguments["datasets"] = files.absolute(arguments["datasets"], (*place, "datasets"))
    try:
        return make(BenchmarkSetting.model_validate(setting), **arguments).with_baseline()
    except ValidationError as error:
        raise first_error(error, place) from None
    except (ValueError, TypeError) as error:
        raise FieldError(place, " ".join(str(error).split())) from None


def _make(maker: Maker, inputs: Mapping[str, Any]) -> Flow:
    # as plain data: FireWorks stores the text representation of documents
    plain = {
        name: [item.model_dump(mode="json", exclude_defaults=True) for item in value]
        if name == "conditions"
        else value
        for name, value in inputs.items()
    }
    try:
        made: Flow | Job = maker.make(**plain)
    except (ValueError, TypeError) as error:
        raise FieldError((), " ".join(str(error).split())) from None
    return made if isinstance(made, Flow) else Flow([made], output=made.output, name=made.name)


def _check_possible(maker: Maker, conditions: list[Condition]) -> None:
    """Refuse what no crystal can meet now, not in a job that has waited for a GPU."""
    from crystalicl_jobflow.generation.constraints import ImpossibleConditionError
    from crystalicl_jobflow.generation.generate import build_constraints

    generate = _generate_maker(maker)
    if generate is None:
        return
    for number, condition in enumerate(conditions):
        try:
            build_constraints(
                [condition],
                generate.constraint_options(),
                text_format=generate.text_format,
                template=generate.template,
            )
        except ImpossibleConditionError as error:
            raise FieldError(("conditions", number), " ".join(str(error).split())) from None


def _generate_maker(maker: Maker) -> Any:
    from crystalicl_jobflow.jobs import GenerateMaker

    if isinstance(maker, GenerateMaker):
        return maker
    for item in fields(maker):
        value = getattr(maker, item.name)
        if isinstance(value, Maker):
            found = _generate_maker(value)
            if found is not None:
                return found
    return None
