"""qero: a Supabase-native service layer for WhatsApp-first CRM teams.

Make one `Clients` per process, one client per request or job, and hand it to the services:

    async with Clients(Settings.load()) as clients:
        user = await clients.user(access_token)
        workspace_id = await Workspaces(user).resolve("acme")
        threads = await Threads(user).list(workspace_id)
"""

from __future__ import annotations

from qero.chat import ChatSession
from qero.clients.factory import Client, Clients, ServiceClient, UserClient
from qero.clients.realtime import watch_table
from qero.clients.secrets import SecretBox
from qero.errors import (
    Conflict,
    InvalidInput,
    InvalidState,
    LimitExceeded,
    NetworkError,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    QeroError,
    SettingsError,
    Unavailable,
)
from qero.models.candidate import CandidateFilter, CandidatePatch
from qero.models.contact import ContactFilter, ContactPatch
from qero.models.imports import ImportRow
from qero.models.inbox import (
    InboxSettingsPatch,
    Media,
    Opening,
    SavedViewPatch,
    ThreadFilter,
    ViewFilters,
)
from qero.models.lead import LeadFields, LeadPatch
from qero.models.lead_queue import QueueSettingsPatch
from qero.models.personal import CandidateSettingsPatch, ContactSettingsPatch
from qero.models.push import NotificationSettingsPatch, push_support
from qero.models.reply import (
    Buttons,
    Choice,
    ChoiceList,
    ContactCard,
    ContactCards,
    LinkButton,
    ListRow,
    ListSection,
    Location,
    LocationRequest,
)
from qero.services.audit import Audit
from qero.services.call_logs import CallLogs
from qero.services.candidates import Candidates
from qero.services.canned_responses import CannedResponses
from qero.services.chats import Chats
from qero.services.connections import Connections
from qero.services.contacts import Contacts
from qero.services.devices import Devices
from qero.services.entitlements import Entitlements
from qero.services.events import Events
from qero.services.follow_ups import FollowUps
from qero.services.inbox import Inbox
from qero.services.invitations import InvitationAcceptance, Invitations
from qero.services.lead_queue import LeadQueue
from qero.services.leads import Leads
from qero.services.media import MediaUploads
from qero.services.notes import Notes
from qero.services.notifications import Notifications
from qero.services.operators import Operators
from qero.services.outbox import Outbox
from qero.services.rate_limits import RateLimits
from qero.services.saved_views import SavedViews
from qero.services.signup import Signup, SignupCompletion
from qero.services.templates import Templates, TemplateSync
from qero.services.threads import Threads
from qero.services.tokens import Tokens
from qero.services.upkeep import Upkeep
from qero.services.webhooks import WebhookEndpoint, Webhooks
from qero.services.workspaces import Workspaces
from qero.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "Buttons",
    "CallLogs",
    "CandidateFilter",
    "CandidatePatch",
    "CandidateSettingsPatch",
    "Candidates",
    "CannedResponses",
    "ChatSession",
    "Chats",
    "Choice",
    "ChoiceList",
    "Client",
    "Clients",
    "Conflict",
    "Connections",
    "ContactCard",
    "ContactCards",
    "ContactFilter",
    "ContactPatch",
    "ContactSettingsPatch",
    "Contacts",
    "Devices",
    "Entitlements",
    "Events",
    "FollowUps",
    "ImportRow",
    "Inbox",
    "InboxSettingsPatch",
    "InvalidInput",
    "InvalidState",
    "InvitationAcceptance",
    "Invitations",
    "LeadFields",
    "LeadPatch",
    "LeadQueue",
    "Leads",
    "LimitExceeded",
    "LinkButton",
    "ListRow",
    "ListSection",
    "Location",
    "LocationRequest",
    "Media",
    "MediaUploads",
    "NetworkError",
    "NotAuthenticated",
    "NotFound",
    "Notes",
    "NotificationSettingsPatch",
    "Notifications",
    "Opening",
    "Operators",
    "Outbox",
    "PermissionDenied",
    "QeroError",
    "QueueSettingsPatch",
    "RateLimits",
    "SavedViewPatch",
    "SavedViews",
    "SecretBox",
    "ServiceClient",
    "Settings",
    "SettingsError",
    "Signup",
    "SignupCompletion",
    "TemplateSync",
    "Templates",
    "ThreadFilter",
    "Threads",
    "Tokens",
    "Unavailable",
    "Upkeep",
    "UserClient",
    "ViewFilters",
    "WebhookEndpoint",
    "Webhooks",
    "Workspaces",
    "push_support",
    "watch_table",
]
