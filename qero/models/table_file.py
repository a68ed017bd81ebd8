"""People in CSV: which column is which field, and one row at a time, whatever the size of the file; and back."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import phonenumbers
from pydantic import BaseModel, ConfigDict

from qero.errors import InvalidInput
from qero.models.imports import ImportRow

FIELDS = ("name", "first_name", "last_name", "email", "phone", "lead_status", "tags", "status_tags")
_HEADERS: Mapping[str, str] = {
    "name": "name", "fullname": "name", "contact": "name", "contactname": "name", "displayname": "name",
    "firstname": "first_name", "givenname": "first_name", "forename": "first_name", "vorname": "first_name",
    "lastname": "last_name", "surname": "last_name", "familyname": "last_name", "nachname": "last_name",
    "email": "email", "mail": "email", "emailaddress": "email", "emailadresse": "email", "email1value": "email",
    "phone": "phone", "phonenumber": "phone", "telephone": "phone", "tel": "phone", "telefon": "phone",
    "mobile": "phone", "mobilephone": "phone", "cell": "phone", "handy": "phone", "whatsapp": "phone",
    "phone1value": "phone",
    "leadstatus": "lead_status", "stage": "lead_status", "tags": "tags", "labels": "tags", "tag": "tags",
    "statustags": "status_tags", "rating": "status_tags", "ratings": "status_tags",
}  # fmt: skip


class Columns(BaseModel):
    """Which column of a file is which field."""

    model_config = ConfigDict(frozen=True)

    header: list[str]
    fields: dict[str, int]
    """The column's place, by field."""

    @property
    def ignored(self) -> list[str]:
        """Columns that are no field."""
        used = set(self.fields.values())
        return [name for place, name in enumerate(self.header) if place not in used]


class PeopleFile:
    """People in a CSV file, read row by row.

    The delimiter is the one of `,`, `;`, tab and `|` that the header has most of. Columns are found by their names, in
    the ways that address books and CRMs write them; `mapping` says otherwise.
    """

    def __init__(
        self, lines: Iterable[str], *, mapping: Mapping[str, str] | None = None, region: str | None = None
    ) -> None:
        """
        Args:
            lines: an open text file, opened with newline="".
            mapping: field by the name of its column; an empty field ignores the column.
            region: the country, as `DE`, of phone numbers that are written without one.

        Raises:
            InvalidInput: `file_unreadable`, there is no header, no column with e-mails or phone numbers, or the mapping
                names a column or field that there isn't; `invalid_value`, no country has that region.
        """
        self._lines = iter(lines)
        self._region = region.upper() if region else None
        if self._region and self._region not in phonenumbers.SUPPORTED_REGIONS:
            raise InvalidInput("invalid_value", detail={"field": "region", "value": region, "example": "DE"})
        try:
            first = next(self._lines, "")
        except UnicodeDecodeError as error:
            raise InvalidInput("file_unreadable", detail={"line": 1, "reason": str(error)[:200]}) from None
        self._delimiter = max(",;\t|", key=first.count)
        try:
            header = next(csv.reader([first], delimiter=self._delimiter), [])
        except csv.Error as error:
            raise InvalidInput("file_unreadable", detail={"line": 1, "reason": str(error)[:200]}) from None
        self.columns = _columns([name.strip() for name in header], mapping or {})

    def __iter__(self) -> Iterator[ImportRow]:
        """Each row, numbered by its line in the file; empty lines are passed over.

        Raises:
            InvalidInput: `file_unreadable`, a line that is no CSV, or text in another encoding.
        """
        reader = csv.reader(self._lines, delimiter=self._delimiter)
        while True:
            try:
                cells = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                line = reader.line_num + 2
                raise InvalidInput("file_unreadable", detail={"line": line, "reason": str(error)[:200]}) from None
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                # The header is the first line.
                yield self._row(reader.line_num + 1, cells)

    def _row(self, line: int, cells: list[str]) -> ImportRow:
        given: dict[str, Any] = {
            field: cell
            for field, place in self.columns.fields.items()
            if place < len(cells) and (cell := cells[place].strip().replace("\x00", ""))
        }
        names = [part for field in ("first_name", "last_name") if (part := given.pop(field, ""))]
        for field in ("tags", "status_tags"):
            if field in given:
                given[field] = _split(given[field])
        if names and "name" not in given:
            given["name"] = " ".join(names)
        if "phone" in given:
            given["phone"] = international(given["phone"].lstrip("'"), self._region)
        if "lead_status" in given:
            given["lead_status"] = re.sub(r"[\s-]+", "_", given["lead_status"].lower())
        return ImportRow(row=line, **given)


def international(phone: str, region: str | None) -> str:
    """The number in E.164 if it is written for that country; else as it is, for the database to judge."""
    if region is None or phone.startswith(("+", "00")):
        # "+44 (0)20": the zero is for callers within the country only.
        return phone.replace("(0)", "")
    return _national(phone, region)


@lru_cache(maxsize=1024)
def _national(phone: str, region: str) -> str:
    try:
        number = phonenumbers.parse(phone, region)
    except phonenumbers.NumberParseException:
        return phone
    if not phonenumbers.is_possible_number(number):
        return phone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def csv_line(values: Iterable[Any]) -> str:
    """One line of a CSV file, of which a spreadsheet takes no cell for a formula, whoever wrote it.

    Lists become their items with commas, other structures JSON. Telephone numbers stay as they are.
    """
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow([_cell(value) for value in values])
    return line.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    elif isinstance(value, list | dict):
        value = json.dumps(value)
    number = isinstance(value, str) and value.startswith("+") and value[1:].isdigit()
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not number:
        return f"'{value}"
    return value


def _split(cell: str) -> list[str]:
    return [tag for part in re.split(r"[,;|]", cell) if (tag := part.strip())]


def _columns(header: list[str], mapping: Mapping[str, str]) -> Columns:
    def refuse(reason: str) -> InvalidInput:
        return InvalidInput(
            "file_unreadable", reason, detail={"columns": [name[:50] for name in header[:50]], "fields": list(FIELDS)}
        )

    if unknown := [column for column in mapping if column not in header]:
        raise refuse(f"There is no column {unknown[0]!r}.")
    if unknown := [field for field in mapping.values() if field and field not in FIELDS]:
        raise refuse(f"There is no field {unknown[0]!r}.")
    fields: dict[str, int] = {}
    for place, name in enumerate(header):
        if mapping.get(name):
            fields[mapping[name]] = place
    for place, name in enumerate(header):
        field = _HEADERS.get(re.sub(r"[^a-z0-9]", "", name.lower()))
        if field and name not in mapping:
            fields.setdefault(field, place)
    if not fields.keys() & {"email", "phone"}:
        raise refuse("No column holds e-mails or phone numbers.")
    return Columns(header=header, fields=fields)
