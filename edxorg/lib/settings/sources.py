"""The sources of settings beside attributes: a file, variables, and the defaults of an institution."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import BaseModel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from edxorg.lib.settings.institutions import defaults_of
from ol_orchestrate.lib.addresses import refuse_credentials
from ol_orchestrate.lib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

SETTINGS_FILE = "EDXORG_SETTINGS"
"""The variable that names a file of settings."""

COMPONENT = "edxorg.components.EdxorgLocation"
"""The component whose `defs.yaml` is such a file, too."""

SECRETS = ("EDXORG_API_URL", "EDXORG_API_TOKEN_URL", "EDXORG_API_CLIENT_ID", "EDXORG_API_CLIENT_SECRET")
"""Variables that are read when a run needs them, and are no settings."""

ALERTS = "EDXORG_ALERT_URLS"
"""A further one: the addresses at which operators are told of failures."""

COURSE_WEBHOOK_SECRET = "EDXORG_COURSE_WEBHOOK_SECRET"  # noqa: S105 - a name
"""Another one: the secret that signs messages about courses."""

_PREFIX = "EDXORG_"

_OF_KUBERNETES = re.compile(
    r"EDXORG_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Variables that Kubernetes sets in pods beside a service whose name begins with edxorg."""

_ADDRESS = re.compile(r"EDXORG_\w*URL|VAULT_ADDR|AWS_ENDPOINT_URL\w*|STORAGE_EMULATOR_HOST")
"""Variables whose values are addresses, those that only the vendors' clients read included."""

_FROM_ENVIRONMENT = re.compile(r"\{\{\s*env\.(\w+)\s*\}\}")


class Setting(NamedTuple):
    """A field, or one of a nested model.

    Attributes:
        path: The names of the fields that lead to it.
        field: What pydantic knows of it.
        variables: Those that set it; the first that is there counts.
    """

    path: tuple[str, ...]
    field: FieldInfo
    variables: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The variable that messages name."""
        return self.variables[-1]

    @property
    def attribute(self) -> str:
        """The attribute's name, as messages have it."""
        return ".".join(self.path)

    def value(self, given: Mapping[str, Any] | BaseModel) -> Any:  # noqa: ANN401 - of any type
        """Return the value that is given for it; `None` if none is."""
        found: Any = given
        for part in self.path:
            found = found.get(part) if isinstance(found, dict) else getattr(found, part, None)
        return found

    def is_in(self, given: Mapping[str, Any]) -> bool:
        """Return True if a value is given for it, were it an empty one."""
        found: Any = given
        for part in self.path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True


def settings_of(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Yield the fields of the settings, those of nested models in their place."""
    for name, field in model.model_fields.items():
        path = (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation, path)
            continue
        extra = field.json_schema_extra
        usual = extra.get("variable") if isinstance(extra, dict) else None
        variable = _PREFIX + "_".join(path).upper()
        yield Setting(path, field, (variable, str(usual)) if usual else (variable,))


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError  # pydantic-settings asks for one field only where a source does not give all at once


class Variables(_Source):
    """The environment's variables. An empty one switches the default off."""

    def __call__(self) -> dict[str, Any]:
        """Return the values that they set.

        Raises:
            SettingsError: A name that begins with `EDXORG_` is no setting's, or an address holds credentials.
        """
        settings = list(settings_of(self.settings_cls))
        _refuse_unknown(settings)
        for name in filter(_ADDRESS.fullmatch, os.environ):
            refuse_credentials(os.environ[name], name)
        given: dict[str, Any] = {}
        for setting in settings:
            for variable in setting.variables:
                if variable in os.environ:
                    *above, last = setting.path
                    inner = given
                    for part in above:
                        inner = inner.setdefault(part, {})
                    inner[last] = os.environ[variable]
                    break
        return given


class SettingsFile(_Source):
    """The YAML file that `EDXORG_SETTINGS` names: settings by their attributes' names, or a component's `defs.yaml`."""

    def __call__(self) -> dict[str, Any]:
        """Return the values that it sets.

        Raises:
            SettingsError: It is not there, or is no such file.
        """
        named = os.environ.get(SETTINGS_FILE)
        if not named:
            return {}
        path = Path(named).expanduser()
        try:
            documents = [each for each in yaml.safe_load_all(path.read_text()) if each is not None]
        except OSError as error:
            raise SettingsError(f"{SETTINGS_FILE}: {path} cannot be read: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{SETTINGS_FILE}: {path} is no YAML: {' '.join(str(error).split())}") from None
        if any(isinstance(each, dict) and "type" in each for each in documents):
            documents = [each.get("attributes") or {} for each in documents if each.get("type") == COMPONENT]
        if not documents:
            documents = [{}]
        if len(documents) > 1 or not isinstance(documents[0], dict):
            raise SettingsError(
                f"{SETTINGS_FILE}: {path} should hold the settings of one location, each as `name: value`"
            )
        rendered: dict[str, Any] = _rendered(documents[0], path)
        return rendered


def _rendered(value: Any, path: Path) -> Any:  # noqa: ANN401 - any YAML
    """Return the value with variables in the places of `{{ env.NAME }}`, as Dagster renders a `defs.yaml`.

    Raises:
        SettingsError: There is no such variable, or a template of another kind.
    """
    if isinstance(value, dict):
        return {key: _rendered(each, path) for key, each in value.items()}
    if isinstance(value, list):
        return [_rendered(each, path) for each in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    unset = [name for name in _FROM_ENVIRONMENT.findall(value) if name not in os.environ]
    rendered = _FROM_ENVIRONMENT.sub(lambda found: os.environ.get(found[1], ""), value)
    if unset or "{{" in rendered:
        remedy = f"set {' and '.join(unset)}" if unset else "only {{ env.NAME }} is rendered here"
        raise SettingsError(f"{SETTINGS_FILE}: {path}: {value!r} cannot be rendered: {remedy}")
    return rendered


def refuse_unset_variables(attributes: Mapping[str, Any]) -> None:
    """Refuse `{{ env.NAME }}` without such a variable: Dagster renders it as nothing, which switches a default off.

    Raises:
        SettingsError: There is one.
    """
    for attribute, value in attributes.items():
        if unset := [name for name in _FROM_ENVIRONMENT.findall(str(value)) if name not in os.environ]:
            raise SettingsError(f"{attribute}: {value!r} cannot be rendered: set {' and '.join(unset)}")


class InstitutionDefaults(_Source):
    """The values of settings that are given nowhere else."""

    def __call__(self) -> dict[str, Any]:
        """Return values for the fields whose defaults depend on the institution or the environment."""
        return defaults_of(self.current_state)


class Given(NamedTuple):
    """The values that were given from outside, and their places."""

    by_file: dict[str, Any]
    by_variables: dict[str, Any]

    @classmethod
    def to(cls, model: type[BaseSettings]) -> Given:
        """Read file and variables."""
        return cls(SettingsFile(model)(), Variables(model)())

    @classmethod
    def shown(cls, settings: BaseSettings) -> Iterator[tuple[str, str, str]]:
        """Yield the settings that are given: the attribute, its value as it is written, and the place of that."""
        given = cls.to(type(settings))
        for setting in settings_of(type(settings)):
            if (place := given.place(setting)) is not None:
                value = setting.value(settings)
                yield setting.attribute, "none" if value in {None, ""} else str(value), place

    def place(self, setting: Setting) -> str | None:
        """Return the place that the value of a setting comes from; `None` if it is a default."""
        if setting.is_in(self.by_file):
            return f"{os.environ[SETTINGS_FILE]}"
        return next((name for name in setting.variables if name in os.environ), None)


def mistakes(model: type[BaseSettings], error: ValidationError, attributes: Mapping[str, Any]) -> str:
    """Return the mistakes in settings, in a line that names each and its possible values."""
    settings = {setting.path: setting for setting in settings_of(model)}
    given = Given.to(model)

    def told(mistake: Mapping[str, Any]) -> str:
        path = tuple(part for part in mistake["loc"] if isinstance(part, str))
        attribute = ".".join(path)
        if mistake["type"] == "extra_forbidden":
            place = "" if path[0] in attributes else f" in {os.environ.get(SETTINGS_FILE)}"
            return f"{attribute}{place} is no setting{_nearest(attribute, map('.'.join, settings))}"
        setting = settings.get(path)
        place = attribute
        if setting is not None and setting.is_in(given.by_file) and not setting.is_in(attributes):
            place = f"{attribute} in {os.environ[SETTINGS_FILE]}"
        elif setting is not None and not setting.is_in(attributes):
            place = given.place(setting) or setting.variable
        return f"{place}: {_reason(mistake)}" if place else _reason(mistake)

    return "; ".join(told(each) for each in error.errors())


def _reason(mistake: Mapping[str, Any]) -> str:
    context = mistake.get("ctx", {})
    match mistake["type"]:
        case "enum":
            expected = context["expected"].replace("'", "").replace(" or ", ", ")
            return f"{mistake['input']!r} is unknown: it can be {expected}"
        case "int_parsing" | "int_type" | "int_from_float" | "greater_than_equal":
            return f"{mistake['input']!r} does not fit: it can be a whole number, {context.get('ge', 1)} or more"
        case "less_than_equal":
            return f"{mistake['input']!r} does not fit: it can be {context['le']} at most"
        case "bool_parsing" | "bool_type":
            return f"{mistake['input']!r} does not fit: it can be true or false"
        case "string_type":
            empty = "it has no value: write one, or set the variable that its {{ env.… }} names"
            return empty if mistake["input"] is None else f"it has to be a text, not {mistake['input']!r}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"it has attributes of its own, such as address, and is not {mistake['input']!r}"
        case "value_error":
            return str(context["error"])
        case _:
            return str(mistake["msg"])


def _refuse_unknown(settings: Sequence[Setting]) -> None:
    """Refuse variables that begin like those of the settings, and are none: a misspelt one would do nothing.

    Raises:
        SettingsError: There is one.
    """
    known = [*(setting.variable for setting in settings), *SECRETS, COURSE_WEBHOOK_SECRET, ALERTS, SETTINGS_FILE]
    read = {*known, *(name for setting in settings for name in setting.variables)}
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(_PREFIX) and name not in read and not _OF_KUBERNETES.fullmatch(name)
    )
    if unknown:
        told = "; ".join(f"{name} is no setting{_nearest(name, sorted(read))}" for name in unknown)
        raise SettingsError(f"{told} (docs/settings.md describes all: {', '.join(known)})")


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return a question that names the settings with the most similar names, if there are such."""
    # All begin alike, which would make names similar that have nothing else in common.
    by_end = {each.removeprefix(_PREFIX): each for each in known}
    near = [by_end[each] for each in get_close_matches(name.removeprefix(_PREFIX), by_end, n=3)]
    return f", did you mean {' or '.join(near)}?" if near else ""
