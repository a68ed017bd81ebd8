"""The demo's work, piece by piece: each part does it, keeps what was answered, and compares in the end."""

from proof.faults.parts.chat import Chatter
from proof.faults.parts.devices import Phones
from proof.faults.parts.lead_queue import Automation
from proof.faults.parts.leftovers import Leftovers
from proof.faults.parts.people import People
from proof.faults.parts.replies import Replies
from proof.faults.parts.tokens import Treasury
from proof.faults.parts.webhooks import Meta

PARTS = (Meta, Replies, Chatter, Treasury, People, Automation, Phones, Leftovers)
"""Those that need what others have made come after them."""

__all__ = ["PARTS", "Automation", "Chatter", "Meta"]
