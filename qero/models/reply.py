"""What can be said in a thread beside text, files and templates. The database checks WhatsApp's limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from qero.models.row import Patch


class Choice(Patch):
    """Something to choose; the answer brings its id."""

    id: str
    """Unique in its reply: of a button up to 256 characters, of a row 200."""
    title: str
    """Unique among the buttons: up to 20 characters of a button, 24 of a row."""


class ListRow(Choice):
    description: str | None = None
    """Up to 72 characters."""


class ListSection(Patch):
    rows: list[ListRow]
    """Up to ten, in all sections together."""
    title: str | None = None
    """Needed where there are several sections."""


class _Interactive(Patch):
    body: str

    @property
    def kind(self) -> str:
        """What WhatsApp calls it."""
        return "interactive"

    def _content(self, type: str, action: dict[str, Any], header: str | None, footer: str | None) -> dict[str, Any]:
        return {
            "type": type,
            "body": {"text": self.body},
            "action": action,
            **({"header": {"type": "text", "text": header}} if header is not None else {}),
            **({"footer": {"text": footer}} if footer is not None else {}),
        }


class Buttons(_Interactive):
    """A text with one to three buttons."""

    type: Literal["buttons"] = "buttons"
    buttons: list[Choice]
    header: str | None = None
    footer: str | None = None

    @property
    def content(self) -> dict[str, Any]:
        """In the shape of Meta's request."""
        buttons = [{"type": "reply", "reply": button.model_dump()} for button in self.buttons]
        return self._content("button", {"buttons": buttons}, self.header, self.footer)


class ChoiceList(_Interactive):
    """A text with a button that opens a list to choose from."""

    type: Literal["list"] = "list"
    button: str
    """What stands on the button: up to 20 characters."""
    sections: list[ListSection]
    header: str | None = None
    footer: str | None = None

    @property
    def content(self) -> dict[str, Any]:
        """In the shape of Meta's request."""
        sections = [section.model_dump(exclude_none=True) for section in self.sections]
        return self._content("list", {"button": self.button, "sections": sections}, self.header, self.footer)


class LinkButton(_Interactive):
    """A text with a button that opens a page."""

    type: Literal["link"] = "link"
    title: str
    """What stands on the button: up to 20 characters."""
    url: str
    header: str | None = None
    footer: str | None = None

    @property
    def content(self) -> dict[str, Any]:
        """In the shape of Meta's request."""
        action = {"name": "cta_url", "parameters": {"display_text": self.title, "url": self.url}}
        return self._content("cta_url", action, self.header, self.footer)


class LocationRequest(_Interactive):
    """A text that asks where the customer is."""

    type: Literal["location_request"] = "location_request"

    @property
    def content(self) -> dict[str, Any]:
        """In the shape of Meta's request."""
        return self._content("location_request_message", {"name": "send_location"}, None, None)


class Location(Patch):
    """A place."""

    type: Literal["location"] = "location"
    latitude: FiniteFloat
    longitude: FiniteFloat
    name: str | None = None
    address: str | None = None

    @property
    def kind(self) -> str:
        """What WhatsApp calls it."""
        return "location"

    @property
    def content(self) -> dict[str, Any]:
        """In the shape of Meta's request."""
        return self.model_dump(exclude_none=True, exclude={"type"})


class ContactCard(Patch):
    """Somebody the customer can write to or call."""

    name: str
    phones: list[str] = Field(default_factory=list)
    emails: list[str] = Field(default_factory=list)


class ContactCards(Patch):
    """Contact cards, up to 50."""

    type: Literal["contacts"] = "contacts"
    contacts: list[ContactCard]

    @property
    def kind(self) -> str:
        """What WhatsApp calls it."""
        return "contacts"

    @property
    def content(self) -> list[dict[str, Any]]:
        """In the shape of Meta's request."""
        return [
            {
                "name": {"formatted_name": card.name, "first_name": card.name.split(" ")[0] or card.name},
                "phones": [{"phone": phone, "type": "WORK"} for phone in card.phones],
                "emails": [{"email": email, "type": "WORK"} for email in card.emails],
            }
            for card in self.contacts
        ]


Reply = Annotated[
    Buttons | ChoiceList | LinkButton | LocationRequest | Location | ContactCards, Field(discriminator="type")
]
