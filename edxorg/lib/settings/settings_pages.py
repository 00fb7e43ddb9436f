"""Writes `docs/settings.md` and `.env.example` from the fields."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from edxorg.lib.settings.institutions import SENTRY_DSN
from edxorg.lib.settings.settings_model import DefaultSettings, Environment, Settings
from edxorg.lib.settings.sources import ALERTS, COURSE_WEBHOOK_SECRET, SECRETS, SETTINGS_FILE, Setting, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = """\
# Settings

Written from the fields of `Settings` by `uv run python -m edxorg.lib.settings`; change those.

Each setting is a variable, or an attribute of the component `edxorg.components.EdxorgLocation`, or a line of the YAML
file that `{file}` or `edxorg --settings` names; a `defs.yaml` of the component is such a file. Attributes win
over the file, and the file over variables. An empty variable switches a default off. Beside the variables below, each
attribute has one by the rule `EDXORG_{{ATTRIBUTE}}`, such as `EDXORG_VAULT_ADDRESS`, and that wins.

A wrong value, or a name that is no setting, is an error that names it. `edxorg doctor` shows what is set, and where.

The defaults of *another* institution apply with any `EDXORG_INSTITUTION` but `mit`: then nothing of MIT's is used.
Outside of `dev` it has to say where archives are and where things land.

| variable | attribute | meaning | default | of another institution |
| --- | --- | --- | --- | --- |
"""

_BY_ENVIRONMENT = """
## By environment

MIT's defaults; in `dev` everything is in the working folder.

| | {environments} |
| --- | {lines} |
"""

_SECRETS = """
## What is no setting

These are read when a run needs them, and are shown and stored nowhere.

| variable | meaning |
| --- | --- |
"""

_OTHER_VARIABLES = {
    SECRETS: "the edX API without Vault; all four together win over it",
    (ALERTS,): "where operators are told of failures, with spaces between several addresses: `https://…` of a Slack "
    "webhook or of any other, `mailto://…`, `slack://…` and others that the library apprise knows",
    (COURSE_WEBHOOK_SECRET,): "the secret to sign messages about courses with; it wins over Vault",
    (SENTRY_DSN,): "where failed runs are reported: the address of a project in Sentry, with its key",
    ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_JWT", "VAULT_AUTH_GITHUB_TOKEN"): "what to log in to "
    "Vault with",
    ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"): "these and others, "
    "as the vendors' own clients read them",
}


def markdown() -> str:
    """Return the page `docs/settings.md`."""
    mit, another = DefaultSettings(), DefaultSettings(institution="delftx")
    rows = [
        (f"`{each.variable}`", f"`{each.attribute}`", _meaning(each), _shown(each, mit), _shown(each, another))
        for each in settings_of(Settings)
    ]
    others = [(", ".join(f"`{name}`" for name in names), meaning) for names, meaning in _OTHER_VARIABLES.items()]
    parts = [_HEAD.format(file=SETTINGS_FILE), *map(_row, rows), *_by_environment(), _SECRETS, *map(_row, others)]
    return "".join(parts)


def example() -> str:
    """Return the file `.env.example`: each variable with its default, commented out."""
    lines = ["# Copy to .env and uncomment what differs. Written from the settings' fields; see docs/settings.md.\n"]
    defaults = DefaultSettings()
    for each in settings_of(Settings):
        value = each.value(defaults)
        lines.append(f"\n# {_meaning(each).replace('`', '')}\n# {each.variable}={_text(value)}\n")
    lines.append("\n# The edX API without Vault; secrets, which are no settings\n")
    lines += [f"# {name}=\n" for name in SECRETS]
    lines.append(f"\n# Where operators are told of failures; secrets as well\n# {ALERTS}=\n")
    lines.append(f"\n# What messages about courses are signed with, without Vault\n# {COURSE_WEBHOOK_SECRET}=\n")
    return "".join(lines)


def yaml_schema() -> dict[str, Any]:
    """Return the JSON schema of the settings in a `defs.yaml`, where each can be a template."""
    schema = Settings.model_json_schema()
    template = {"type": "string", "pattern": r"\{\{.*\}\}"}
    for model in (schema, *schema["$defs"].values()):
        model.pop("required", None)
        for name, of_field in model.get("properties", {}).items():
            shown = {key: of_field[key] for key in ("default", "description", "title") if key in of_field}
            model["properties"][name] = {**shown, "if": template, "else": of_field}
    return schema


def yaml_example(component: str, *, institution: str) -> str:
    """Return a `defs.yaml` for an institution: its name, which leads all others, and each setting as a comment.

    Args:
        component: The type of the component.
        institution: Its name, as in the names of its files.
    """
    institution = re.sub(r"[^A-Za-z0-9_-]", "_", institution)
    name = institution.replace("-", "_")
    if not name[0].isalpha():
        name = f"edxorg_{name}"
    defaults = DefaultSettings(institution=institution, name=name)
    lines = [f"type: {component}\n\nattributes:\n"]
    above: tuple[str, ...] = ()
    for each in settings_of(Settings):
        *outer, attribute = each.path
        if outer and tuple(outer) != above:
            lines.append(f"\n  # {outer[-1]}:\n")
        above = tuple(outer)
        value = json.dumps(each.value(defaults), default=str)
        start = "  " if each.path in {("institution",), ("name",)} else f"  # {'  ' * len(outer)}"
        lines.append(f"\n  # {'  ' * len(outer)}{_meaning(each).replace('`', '')}\n{start}{attribute}: {value}\n")
    return "".join(lines)


def write(folder: Path) -> None:
    """Write both files into a checkout."""
    (folder / "docs/settings.md").write_text(markdown())
    (folder / ".env.example").write_text(example())


def _by_environment() -> Iterator[str]:
    environments = [each for each in Environment if each is not Environment.DEV]
    names = ", ".join(environments).replace(", ", " | ")
    yield _BY_ENVIRONMENT.format(environments=names, lines=" | ".join("---" for _ in environments))
    settings = [DefaultSettings(environment=each) for each in environments]
    for each in settings_of(Settings):
        values = [_text(each.value(of)) for of in settings]
        if each.path != ("environment",) and set(values) != {_text(each.value(DefaultSettings()))}:
            yield _row([f"`{each.variable}`", *(f"`{value}`" for value in values)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _meaning(setting: Setting) -> str:
    kinds = [kind for kind in (setting.field.annotation, *get_args(setting.field.annotation)) if _is_choice(kind)]
    choices = ", ".join(f"`{each}`" for kind in kinds for each in kind)
    return f"{setting.field.description}{f': {choices}' if choices else ''}"


def _is_choice(kind: Any) -> bool:  # noqa: ANN401 - an annotation
    return isinstance(kind, type) and issubclass(kind, StrEnum)


def _shown(setting: Setting, settings: Settings) -> str:
    text = _text(setting.value(settings))
    return f"`{text}`" if text else ""


def _text(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text.replace(f"file://{Path.cwd()}/", "file://$PWD/").replace("delftx", "{institution}")
