"""`qero push`: keys, one's own devices, and a notification to try them with."""

from __future__ import annotations

import asyncio

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json, print_lines
from qero.cli.session import ask
from qero.clients.webpush import VapidKeys, WebPushClient
from qero.models.outbox import Accepted, SendOutcome
from qero.models.push import Device
from qero.services.devices import Devices
from qero.settings import Settings

TEST_PUSH = {"kind": "test", "title": "qero", "body": "Notifications work on this device.", "tag": "test"}

push = typer.Typer(help="Web push: keys, devices, and a test.", no_args_is_help=True)
app.add_typer(push, name="push")


@push.command("keys")
def make_keys(as_json: JsonOption = False) -> None:
    """Make a key pair for web push, as lines for the environment.

    Make it once: browsers subscribe with the public key, and another pair would make every subscription useless.
    """
    public_key, private_key = VapidKeys.generate()
    pair = {"VAPID_PUBLIC_KEY": public_key, "VAPID_PRIVATE_KEY": private_key}
    if as_json:
        print_json(pair)
        return
    print_lines(*(f"{name}={value}" for name, value in pair.items()), "VAPID_SUBJECT=mailto:you@your.domain")


@push.command("list")
def list_devices(as_json: JsonOption = False) -> None:
    """List the devices that you are notified on, the latest renewed first.

    Reads the access token from QERO_ACCESS_TOKEN.
    """
    devices = ask(lambda client: Devices(client).list())
    if as_json:
        print_json([_shown(device) for device in devices])
    elif not devices:
        print_lines("No devices yet.")
    else:
        table = Table("device", "browser", "push service", "renewed", "failures", "last error", box=None)
        for device in devices:
            table.add_row(
                str(device.id), escape(device.user_agent or ""), _host(device),
                device.updated_at.isoformat(sep=" ", timespec="minutes"), str(device.failure_count),
                escape(device.last_error or ""),
            )  # fmt: skip
        out.print(table)


@push.command("test")
def send_test(as_json: JsonOption = False) -> None:
    """Notify each of your devices at once, past settings and quiet hours, and show what its push service says.

    Reads the access token from QERO_ACCESS_TOKEN; needs VAPID_PUBLIC_KEY, VAPID_PRIVATE_KEY and VAPID_SUBJECT. Exits
    with 1 unless all of them took it.
    """
    settings = Settings.load()
    client = WebPushClient.from_settings(settings)
    devices = ask(lambda user: Devices(user).list())
    outcomes = asyncio.run(_send_to_all(client, devices))
    accepted = [isinstance(outcome, Accepted) for outcome in outcomes]
    said = ["accepted" if isinstance(outcome, Accepted) else f"{outcome.error_code}: {outcome.error_text}"
            for outcome in outcomes]  # fmt: skip
    if as_json:
        print_json(
            [_shown(device) | {"accepted": ok, "answer": text}
             for device, ok, text in zip(devices, accepted, said, strict=True)]
        )  # fmt: skip
    elif not devices:
        print_lines("No devices yet: subscribe with a browser first.")
    else:
        print_lines(*(f"{device.id} {_host(device)}: {text}" for device, text in zip(devices, said, strict=True)))
    raise typer.Exit(0 if devices and all(accepted) else 1)


async def _send_to_all(client: WebPushClient, devices: list[Device]) -> list[SendOutcome]:
    async with client:
        return list(await asyncio.gather(*(client.send(device, TEST_PUSH) for device in devices)))


def _host(device: Device) -> str:
    """All of the endpoint that isn't a secret."""
    return device.endpoint.split("/")[2]


def _shown(device: Device) -> dict[str, object]:
    return device.model_dump(mode="json", exclude={"endpoint", "p256dh", "auth", "user_id"}) | {
        "push_service": _host(device)
    }
