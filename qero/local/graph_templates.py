"""Message templates at the stand-in for Meta's Graph API: listed to who may read the account, checked when sent.

    body = {"type": "BODY", "text": "Hi {{1}}"}
    graph.templates.add(number.waba_id, TemplateAtMeta("order_ready", components=[body]))

An account to which none was added takes every template.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qero.local.graph_errors import GraphError

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass
class TemplateAtMeta:
    """A template as Meta has it."""

    name: str
    language: str = "en_US"
    components: Sequence[Mapping[str, Any]] = ()
    category: str = "UTILITY"
    status: str = "APPROVED"
    id: str = field(default_factory=lambda: str(secrets.randbelow(9 * 10**14) + 10**14))


class TemplatesStandIn:
    """Graph's part in templates."""

    def __init__(self) -> None:
        self._templates: dict[str, list[TemplateAtMeta]] = {}

    def add(self, waba_id: str, template: TemplateAtMeta) -> TemplateAtMeta:
        """Know a template of a business account."""
        self._templates.setdefault(waba_id, []).append(template)
        return template

    def remove(self, waba_id: str, template: TemplateAtMeta) -> None:
        """Forget a template."""
        self._templates[waba_id].remove(template)

    def shown(self, waba_id: str, fields: str | None) -> list[dict[str, Any]]:
        """The templates of an account, as Graph lists them."""
        return [_shown(template, fields) for template in self._templates.get(waba_id, [])]

    def check(self, waba_id: str, sent: Mapping[str, Any]) -> None:
        """Refuse a template that the account hasn't, that isn't approved, or whose parameters aren't the template's."""
        known = self._templates.get(waba_id)
        if known is None:
            return
        language = sent["language"]["code"]
        found = next((one for one in known if (one.name, one.language) == (sent["name"], language)), None)
        if found is None:
            raise GraphError(132001, f"template name ({sent['name']}) does not exist in {language}")
        if found.status != "APPROVED":
            raise GraphError(132015 if found.status == "PAUSED" else 132001, f"The template is {found.status}.")
        _check_parts(found.components, sent.get("components", []))


def _check_parts(components: Sequence[Mapping[str, Any]], sent: Sequence[Mapping[str, Any]]) -> None:
    given = {_key(component): component.get("parameters", []) for component in sent if "cards" not in component}
    cards = [card for component in sent for card in component.get("cards", [])]
    for component in components:
        if component["type"] == "CAROUSEL":
            if [card.get("card_index") for card in cards] != list(range(len(component["cards"]))):
                raise GraphError(132000, f"carousel: the template has {len(component['cards'])} cards.")
            for known in component["cards"]:
                _check_parts(known["components"], cards.pop(0).get("components", []))
        else:
            _check_part(component, given)
    if given or cards:
        raise GraphError(132000, f"The template has no {' or '.join(given) or 'carousel'} with parameters.")


def _check_part(component: Mapping[str, Any], given: dict[str, list[Mapping[str, Any]]]) -> None:
    kind = str(component["type"]).lower()
    if kind == "buttons":
        for index, button in enumerate(component.get("buttons", [])):
            if button.get("type") in ("COPY_CODE", "OTP") or _PLACE.search(button.get("url", "")):
                _check_count(f"button {index}", 1, given)
    elif kind == "header" and component.get("format", "TEXT") != "TEXT":
        parameters = given.get("header", [])
        _check_count("header", 1, given)
        if parameters[0].get("type") != str(component["format"]).lower():
            raise GraphError(132012, f"header: Format mismatch, expected {component['format']}")
    elif kind in ("header", "body"):
        places = list(dict.fromkeys(_PLACE.findall(component.get("text", ""))))
        parameters = given.get(kind, [])
        _check_count(kind, len(places), given)
        named = [place for place in places if not place.isdigit()]
        if named and sorted(named) != sorted(str(parameter.get("parameter_name")) for parameter in parameters):
            raise GraphError(132012, f"{kind}: the named parameters are {', '.join(named)}")


def _check_count(part: str, expected: int, given: dict[str, list[Mapping[str, Any]]]) -> None:
    count = len(given.pop(part, []))
    if count != expected:
        raise GraphError(
            132000, f"{part}: number of localizable_params ({count}) does not match the expected {expected}"
        )


def _key(component: Mapping[str, Any]) -> str:
    kind = str(component["type"]).lower()
    return f"button {component['index']}" if kind == "button" else kind


def _shown(template: TemplateAtMeta, fields: str | None) -> dict[str, Any]:
    known = {
        "id": template.id,
        "name": template.name,
        "language": template.language,
        "status": template.status,
        "category": template.category,
        "quality_score": {"score": "UNKNOWN"},
        "rejected_reason": "NONE",
        "components": [dict(component) for component in template.components],
    }
    wanted = fields.split(",") if fields else ["name", "status", "id"]
    for name in wanted:
        if name not in known:
            raise GraphError(100, message=f"(#100) Tried accessing nonexisting field ({name})")
    return {name: known[name] for name in dict.fromkeys([*wanted, "id"])}
