"""The error tree, and the one registry that maps every stable code to its class, status and remedy.

SQL raises errors with SQLSTATE `PT` + HTTP status, the code as message, JSON as detail and a hint that says what to
do; `qero.clients.rpc` turns each answer into one of these classes. docs/errors.md is generated from `REGISTRY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

PROBLEM_JSON = "application/problem+json"


class QeroError(Exception):
    """Base of everything qero raises on purpose.

    Attributes:
        code: stable snake_case name; branch on this, never on the text.
        message: one sentence for a person.
        detail: which field, row or limit; JSON-serialisable, free of secrets.
        hint: what to do next.
        status: the HTTP status that says the same.
        retryable: True when the same call may succeed later without any change.
    """

    status: int = 500
    retryable: bool = False
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        code: str | None = None,
        message: str | None = None,
        *,
        detail: Mapping[str, Any] | None = None,
        hint: str | None = None,
        status: int | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.code = code or self.default_code
        spec = REGISTRY.get(self.code)
        self.message = message or (spec.meaning if spec else self.code.replace("_", " "))
        self.hint = hint or (spec.remedy if spec else None)
        self.detail = dict(detail or {})
        if status is not None:
            self.status = status
        elif spec is not None:
            self.status = spec.status
        if retryable is not None:
            self.retryable = retryable
        super().__init__(self.code, self.message)

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        return f"{text} {self.hint}" if self.hint else text

    def to_dict(self) -> dict[str, Any]:
        """The error as plain JSON, for `--json` output and HTTP answers."""
        return {
            "code": self.code,
            "message": self.message,
            "detail": self.detail,
            "hint": self.hint,
            "status": self.status,
            "retryable": self.retryable,
        }

    def to_problem(self) -> dict[str, Any]:
        """The error as the body of an `application/problem+json` answer: what every route answers a failure with."""
        return {
            "type": "about:blank",
            "title": self.message,
            "status": self.status,
            "code": self.code,
            "detail": self.hint,
            "errors": self.detail,
        }


class InvalidInput(QeroError):
    """The caller sent something that can't be accepted; `detail` names the field."""

    status = 400
    default_code = "invalid_value"


class NotAuthenticated(QeroError):
    """There is no verified user where one is needed."""

    status = 401
    default_code = "not_authenticated"


class PermissionDenied(QeroError):
    """The caller is known and may not do this."""

    status = 403
    default_code = "permission_denied"


class NotFound(QeroError):
    """Nothing there, or nothing the caller may see: the two look the same."""

    status = 404
    default_code = "not_found"


class Conflict(QeroError):
    """The request contradicts what is already stored."""

    status = 409
    default_code = "conflict"


class InvalidState(Conflict):
    """The row exists but its present state doesn't allow this."""

    default_code = "invalid_state"


class LimitExceeded(QeroError):
    """A limit of size, number, time or rate; `detail` says which and how much is allowed."""

    status = 429
    default_code = "rate_limited"


class Unavailable(QeroError):
    """Something qero depends on didn't answer; nothing was done unless `detail` says otherwise."""

    status = 503
    retryable = True
    default_code = "unavailable"


class NetworkError(Unavailable):
    """The connection failed or timed out before an answer arrived."""

    default_code = "network_error"


class SettingsError(QeroError):
    """A setting is missing or malformed; `detail` names it, the hint says where to get it."""

    default_code = "setting_missing"


@dataclass(frozen=True)
class ErrorSpec:
    """One row of the registry: what a code means and what to do about it."""

    error: type[QeroError]
    status: int
    meaning: str
    remedy: str


def _specs(error: type[QeroError], status: int, **codes: tuple[str, str]) -> dict[str, ErrorSpec]:
    return {code: ErrorSpec(error, status, meaning, remedy) for code, (meaning, remedy) in codes.items()}


REGISTRY: Mapping[str, ErrorSpec] = {
    **_specs(
        NotAuthenticated,
        401,
        not_authenticated=(
            "No user is signed in.",
            "Send the user's access token as a bearer token, or Supabase's session cookies.",
        ),
        token_expired=(
            "The access token has expired.",
            "Refresh the session and send the new access token.",
        ),
        token_invalid=(
            "The access token is malformed, forged or from another project.",
            "Sign in again and send the access token that this project's auth issued.",
        ),
        token_wrong_audience=(
            "The token was not issued for signed-in users of this project.",
            "Send a user's access token (audience and role `authenticated`), not an API key.",
        ),
        api_key_invalid=(
            "The project rejected the API key.",
            "Compare SUPABASE_URL and the keys with the project's API settings, or `qero local env`.",
        ),
        signature_invalid=(
            "The webhook's signature doesn't match its body.",
            "Check META_APP_SECRET, and that nothing in front re-encodes the body before it arrives.",
        ),
    ),
    **_specs(
        PermissionDenied,
        403,
        permission_denied=(
            "The caller may not do this.",
            "Ask an owner or admin of the workspace, or use a client with the right role.",
        ),
        role_required=(
            "The caller's role in the workspace doesn't allow this.",
            "Ask an owner or admin; viewers only read.",
        ),
        not_your_message=(
            "The message was written by somebody else.",
            "Only who wrote a message changes it; owners of the chat may delete it.",
        ),
        invitation_for_another=(
            "The invitation was sent to another e-mail address.",
            "Sign in with the address that was invited.",
        ),
        email_not_verified=(
            "The account's e-mail address isn't confirmed.",
            "Confirm the address by the link that was sent to it, then accept again.",
        ),
        operator_required=(
            "Only operators of the platform may do this.",
            "Ask an operator; `qero ops owners add` makes one, as the service: without QERO_ACCESS_TOKEN set.",
        ),
        phone_number_not_yours=(
            "The token from Meta gives no access to this phone number, or the number isn't the business account's.",
            "Sign up again and share the number's WhatsApp business account with the app.",
        ),
        waba_not_yours=(
            "The token from Meta gives no access to this WhatsApp business account.",
            "Sign up again and share the business account with the app.",
        ),
        signup_declined=(
            "The signup was ended at Meta before it was finished.",
            "Start the signup again when you are ready to share the number.",
        ),
        cross_site_request=(
            "A page of another site tried to write with the session cookies of its visitor.",
            "Send the request from a page of this site, list that site in QERO_CORS_ORIGINS, or use a bearer token.",
        ),
        verify_token_invalid=(
            "The webhook verification token doesn't match.",
            "Set META_VERIFY_TOKEN to the token entered in Meta's app dashboard.",
        ),
    ),
    **_specs(
        NotFound,
        404,
        not_found=("There is no such row.", "Check the id; rows of other workspaces look missing too."),
        workspace_not_found=(
            "Workspace not found",
            "Check the slug or id; only workspaces you belong to can be named.",
        ),
        contact_not_found=("Contact not found.", "Check the id; it may belong to another workspace."),
        candidate_not_found=("Candidate not found.", "Check the id; it may belong to another workspace."),
        view_not_found=(
            "Saved view not found.",
            "Check the id; a view is its user's own unless it is shared.",
        ),
        canned_response_not_found=(
            "Canned response not found.",
            "Check the id or the shortcut; it may belong to another workspace.",
        ),
        template_not_found=(
            "Template not found.",
            "Check the id, or sync the templates; each belongs to one business account.",
        ),
        invitation_not_found=("There is no such invitation.", "Check the link, or ask for another invitation."),
        note_not_found=("Note not found.", "Check the id; only its author changes a note."),
        follow_up_not_found=(
            "No follow-up is scheduled.",
            "Schedule one for this contact or candidate first; nobody else's can be changed.",
        ),
        lead_not_found=("Lead not found.", "Check the id; it may belong to another workspace."),
        thread_not_found=("Thread not found.", "Check the id; it may belong to another workspace."),
        chat_not_found=("Chat not found.", "Check the id; only chats you are a member of can be named."),
        message_not_found=("Message not found.", "Check the id; only messages of your chats can be named."),
        member_not_found=("Nobody of that id is a member of the workspace.", "Check the id of the user."),
        account_not_found=(
            "There is no account with this e-mail.",
            "Check the e-mail; the person has to sign up first.",
        ),
        operator_not_found=(
            "Nobody with this e-mail is an operator.",
            "Check the e-mail; `qero ops owners list` shows them.",
        ),
        reservation_not_found=("There is no such reservation of tokens.", "Check the id of the reservation."),
        event_not_found=(
            "There is no such webhook event.",
            "Check the ids that the detail names; `qero events list` shows what there is.",
        ),
        outbox_message_not_found=("There is no such message in the outbox.", "Check the id; purged messages are gone."),
        backup_not_found=("There is no backup here.", "`qero db backup --list` shows those there are."),
    ),
    **_specs(
        Conflict,
        409,
        conflict=("The request contradicts what is stored.", "Read the row again and decide anew."),
        already_exists=("A row with these values exists already.", "Use the existing row, or other values."),
        contact_exists=(
            "Another contact has this e-mail or phone number.",
            "Use the contact that the detail names, or merge the two.",
        ),
        candidate_exists=(
            "Another candidate has this e-mail or phone number.",
            "Use the candidate that the detail names.",
        ),
        migration_version_taken=(
            "Two migrations have the same version, the digits that their names start with.",
            "Rename the one that no database has yet.",
        ),
        view_name_taken=("View name already exists.", "Choose another name."),
        invitation_open=(
            "The address has an open invitation already.",
            "Revoke the open invitation first; its token can't be shown again.",
        ),
        already_member=("The address is a member's already.", "Change their role instead."),
        migration_edited=(
            "Migrations were applied with another text than their files have now.",
            "`qero db plan --adopt` shows what running qero's again would do, and `qero db push --adopt` does it.",
        ),
        run_in_progress=(
            "Another run is working on this database.",
            "Wait until the run that the detail names has ended, then repeat.",
        ),
        slug_taken=("The slug is in use.", "Choose another slug."),
        phone_number_taken=(
            "The phone number id is connected already.",
            "Disconnect it where it is in use before connecting it here.",
        ),
        still_referenced=("Other rows still refer to this one.", "Remove or move those first."),
        lease_lost=(
            "The lease on this batch has ended; another worker may own it.",
            "Drop the batch; extend leases sooner when sends are slow.",
        ),
        reference_conflict=(
            "The reference was used for another amount.",
            "Use a new reference for something new; repeat one only with the same amount.",
        ),
        idempotency_conflict=(
            "The idempotency key was used for a different message.",
            "Use a new key for a new message; repeat a key only to repeat the same request.",
        ),
    ),
    **_specs(
        InvalidState,
        409,
        invalid_state=("The row's present state doesn't allow this.", "Read the row again."),
        connection_not_found=(
            "The WhatsApp number isn't connected here.",
            "Connect the number to this workspace first.",
        ),
        connection_inactive=(
            "The WhatsApp number is connected but not active.",
            "Reactivate the connection, then repeat the request.",
        ),
        window_closed=(
            "The customer's last message is more than 24 hours old, so free text can't be sent.",
            "Send an approved template instead.",
        ),
        lead_taken=(
            "Somebody else has the lead.",
            "Ask whoever the detail names to give it back.",
        ),
        lead_not_taken=("Automation has the lead already.", "There is nothing to give back."),
        queue_message_missing=(
            "The queue has no steps: nothing says what automation writes.",
            "Set the steps of the queue first.",
        ),
        template_not_approved=(
            "Meta hasn't approved the template, or has paused it.",
            "Send one that is approved, or sync the templates if it has been meanwhile.",
        ),
        recipient_opted_out=(
            "The contact doesn't want marketing.",
            "Send no marketing to them; a utility template may be sent.",
        ),
        invitation_expired=("The invitation has run out.", "Ask for another invitation."),
        invitation_revoked=("The invitation was taken back.", "Ask for another invitation."),
        invitation_used=("The invitation was used before.", "Ask for another invitation."),
        backup_needed=(
            "What is pushed loses rows or columns, so it isn't pushed without a backup.",
            "Push without --skip-backup and SKIP_DB_BACKUP.",
        ),
        restore_refused=(
            "The database has tables where the backup's would go.",
            "Restore into an empty database, or with --replace, which drops them.",
        ),
        run_lost=(
            "The connection that keeps other runs away was lost; nothing more was done.",
            "Check the connection to the database, then repeat: what was done stays done.",
        ),
        message_deleted=("The message was deleted.", "Write a new message."),
        chat_is_direct=("A direct chat is between two people.", "Make a group for more people."),
        session_closed=("The chat session has ended.", "Open another; what wasn't sent is in its `pending`."),
        signup_not_offered=(
            "Connecting numbers by Meta's embedded signup isn't set up here.",
            "Set the variables that the detail names; their values come from the Meta app's dashboard.",
        ),
        signup_state_expired=(
            "The signup was started too long ago.",
            "Start the signup again, and finish it within ten minutes.",
        ),
        signup_state_used=("The signup's state was used before.", "Start the signup again."),
        waba_without_numbers=(
            "The WhatsApp business account has no phone number.",
            "Add a number to the account in Meta's WhatsApp Manager, then sign up again.",
        ),
        meta_refused=(
            "Meta refused the request.",
            "Read Meta's reason in the detail, mend it there, then start again.",
        ),
        workspace_suspended=(
            "The workspace is suspended: everything can be read, nothing written or sent.",
            "Ask the operators of the platform to activate it again.",
        ),
        reservation_ended=(
            "The reservation of tokens has ended in another way.",
            "Deduct what the work cost by itself, with a reference of its own.",
        ),
        last_owner=(
            "A workspace needs an owner, and this is the last one.",
            "Make someone else an owner first.",
        ),
        append_only=(
            "Rows of this table are never changed or removed.",
            "Add a correcting row instead.",
        ),
    ),
    **_specs(
        InvalidInput,
        400,
        invalid_value=("A value was refused.", "Correct the field that the detail names."),
        reference_not_found=("A referenced row doesn't exist.", "Check the id that the detail names."),
        estimate_refused=(
            "How many rows the planner expects isn't told: it knows everybody's.",
            "Ask for `count=exact`, or for no count.",
        ),
        slug_invalid=(
            "The slug isn't usable.",
            "Use 2 to 63 lower-case letters, digits and dashes, starting with a letter, and not shaped like a uuid.",
        ),
        migration_name_invalid=(
            "A migration's name doesn't have the form `<digits>_<name>.sql`, so it would never be pushed.",
            "Rename the files that the detail names, like `20260131120000_add_notes.sql`, or move them elsewhere.",
        ),
        migration_refused=(
            "Migrations do what shouldn't happen by surprise.",
            "Change them as `qero db lint` says, or pass over a rule on purpose: --allow with the rule's name.",
        ),
        lead_status_invalid=(
            "The lead status isn't one of the allowed values.",
            "Use one that the detail lists.",
        ),
        field_unknown=("A field was named that can't be set.", "Use the fields that the detail lists."),
        push_endpoint_invalid=(
            "The address isn't a push service's.",
            "Send the endpoint that the browser's PushManager gave: https, on the internet.",
        ),
        file_unreadable=(
            "The file can't be read as a table of people.",
            "Save it as CSV in UTF-8 with a header, or say with --map and --encoding what it is.",
        ),
        too_many_ids=("Too many ids in one request.", "Ask for at most as many as the detail says at once."),
        too_many_rows=("Too many rows in one request.", "Send at most as many as the detail says at once."),
        template_variables_invalid=(
            "The variables aren't those that the template needs.",
            "Give a value for each place that the template has, and no other; the detail names what is wrong.",
        ),
        body_required=("The message has no text.", "Send at least one character that isn't white space."),
        body_too_long=(
            "The message text is too long.",
            "Shorten it to the limit that the detail names; WhatsApp takes at most 4096 characters.",
        ),
        body_not_json=("The request body isn't JSON.", "Send UTF-8 encoded JSON."),
        body_not_an_object=(
            "The request body isn't the expected JSON object.",
            "Send the payload as Meta documents it.",
        ),
        signup_state_invalid=(
            "The signup's state is unknown, or another user's.",
            "Start the signup again, and finish it as the same user.",
        ),
        signup_code_invalid=(
            "Meta didn't take the signup's code: it works once, for 30 seconds.",
            "Start the signup again, and send the code as soon as Meta hands it out.",
        ),
        waba_id_required=(
            "Meta doesn't say which WhatsApp business account was shared.",
            "Send waba_id and phone_number_id from the session event that Meta's JavaScript SDK posts.",
        ),
        recipient_missing=(
            "The contact has neither a phone number nor a WhatsApp identity.",
            "Add a phone number to the contact.",
        ),
    ),
    **_specs(
        LimitExceeded,
        408,
        request_incomplete=("The rest of the request didn't arrive in time.", "Send the whole body at once."),
    ),
    **_specs(
        LimitExceeded,
        402,
        insufficient_tokens=(
            "The workspace doesn't have that many tokens free.",
            "Grant tokens first, or ask for fewer; the detail says how many there are.",
        ),
    ),
    **_specs(
        LimitExceeded,
        413,
        body_too_large=(
            "The request body is too large.",
            "Send at most 3 MB, nested no deeper than 200 levels.",
        ),
    ),
    **_specs(
        LimitExceeded,
        429,
        rate_limited=("Too many requests.", "Wait for the time the detail gives, then repeat."),
    ),
    **_specs(
        Unavailable,
        503,
        unavailable=(
            "A service qero depends on didn't answer.",
            "Repeat later; `qero doctor` shows what is down.",
        ),
        database_unavailable=(
            "The database can't be reached.",
            "Repeat later; `qero doctor` shows what is down.",
        ),
        migration_locked_out=(
            "A migration gave up waiting for a lock, several times over; it was rolled back.",
            "Look for long transactions in pg_stat_activity, end them or wait, then repeat.",
        ),
        try_again=("The database couldn't finish because of concurrent work.", "Repeat the same request."),
        timed_out=("The database took longer than it may.", "Repeat, with fewer rows if it happens again."),
        network_error=("The connection failed before an answer arrived.", "Check the address and repeat."),
        realtime_unavailable=(
            "The realtime channel couldn't be opened.",
            "Repeat; the detail holds the server's reason.",
        ),
    ),
    **_specs(
        QeroError,
        500,
        internal_error=(
            "qero met an error it doesn't know.",
            "Report it with the detail; nothing was hidden.",
        ),
        schema_outdated=(
            "The database lacks a table or function that this version calls.",
            "Run the migrations with `qero db push`, then reload the API's schema cache.",
        ),
        answer_unreadable=(
            "An answer didn't have the documented shape.",
            "Compare the versions of qero and the database.",
        ),
    ),
    **_specs(
        SettingsError,
        500,
        setting_missing=("A required setting is missing.", "Set the variable that the detail names."),
        setting_invalid=("A setting has an unusable value.", "Correct the variable that the detail names."),
        secret_undecryptable=(
            "A stored secret can't be decrypted with the configured keys.",
            "Put the key it was encrypted with back into QERO_SECRET_KEYS.",
        ),
    ),
    **_specs(
        QeroError,
        500,
        tool_missing=("A tool that the local stack needs isn't installed.", "Install it as the detail says."),
        tool_failed=("A tool ended with an error.", "Read the output in the detail."),
        stack_not_running=("The local stack isn't running.", "Start it with `qero local up`."),
        stack_start_failed=("The local stack didn't start.", "Read the log that the detail names."),
        file_unusable=(
            "A file or folder can't be used.",
            "Check that it exists, that you may write there and that the disk has space, or work in another folder.",
        ),
        port_in_use=("The port is in use.", "Free it, or leave out --port to take a free one."),
        migration_failed=(
            "A migration failed; it was rolled back.",
            "Correct the file that the detail names, then repeat.",
        ),
        tool_timed_out=(
            "A program took longer than it may.",
            "Look at what it waited for, then repeat with a longer --timeout.",
        ),
        backup_failed=("The backup couldn't be made; nothing was pushed.", "Read the program's words in the detail."),
        backup_no_space=(
            "The disk hasn't the space that a backup may need; nothing was pushed.",
            "Free space, or name another folder with --backups.",
        ),
        backup_unreadable=(
            "The backup can't be read to its end.",
            "Make another; if it happens again, check the disk.",
        ),
        restore_failed=("The backup couldn't be restored.", "Read the program's words in the detail, then repeat."),
        schema_differs=(
            "The database isn't as the migrations make it.",
            "`qero db verify` shows every difference with the statement that mends it; --write makes a migration of "
            "them.",
        ),
        migration_file_missing=(
            "The database has migrations whose files are gone.",
            "Bring the files back; `qero db copy` brings those that qero ships. On a local stack, `qero local reset` "
            "starts afresh, and `qero local up --no-migrate` starts without pushing.",
        ),
    ),
}


def error_for(
    code: str,
    message: str | None = None,
    *,
    detail: Mapping[str, Any] | None = None,
    hint: str | None = None,
    status: int | None = None,
) -> QeroError:
    """Build the error class that the registry names for `code`; an unknown code is classed by `status`."""
    spec = REGISTRY.get(code)
    if spec is not None:
        return spec.error(code, message, detail=detail, hint=hint)
    return _class_by_status(status or 500)(code, message, detail=detail, hint=hint, status=status)


def _class_by_status(status: int) -> type[QeroError]:
    by_status: dict[int, type[QeroError]] = {
        400: InvalidInput,
        401: NotAuthenticated,
        402: LimitExceeded,
        403: PermissionDenied,
        404: NotFound,
        408: LimitExceeded,
        409: Conflict,
        413: LimitExceeded,
        422: InvalidInput,
        429: LimitExceeded,
    }
    if status >= 502:
        return Unavailable
    return by_status.get(status, QeroError)
