"""Tokens."""

from __future__ import annotations

from uuid import uuid4

from proof.faults.office import Office, Part, differences
from qero import Tokens
from qero.models.ops import TokenEntry


class Treasury(Part):
    """Tokens are granted and deducted with references, repeated, and repeated with another amount."""

    name = "tokens"
    per_second = 6.0

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._tokens = Tokens(office.world.service)
        self._applied: dict[str, int] = {}
        self._refused: set[str] = set()

    async def prepare(self) -> None:
        await self._apply(200, "opening")

    async def step(self) -> None:
        chance = self.office.chance
        if self._applied and chance.random() < 0.2:
            reference = chance.choice([*self._applied])
            again = self._applied[reference] + chance.choice([0, 1])
            await self._apply(again, reference)
        else:
            # More is taken than given, so that some of it is refused.
            await self._apply(chance.randint(1, 40) * chance.choice([1, -1, -1]), f"job-{uuid4()}")

    async def _apply(self, delta: int, reference: str) -> None:
        known = self._applied.get(reference)
        answer = await self.office.insist(
            lambda: self._tokens.apply(self.office.workspace.id, delta or 1, "proof", reference=reference),
            expected=("insufficient_tokens", "reference_conflict"),
        )
        if isinstance(answer, TokenEntry):
            if (known is not None and known != delta) or answer.delta != delta:
                self.office.blame(f"reference {reference} of {known} was applied again as {answer.delta}")
            self._applied[reference] = answer.delta
            self.office.counts["token moves"] += 1
        elif answer.code == "insufficient_tokens":
            self._refused.add(reference)
        elif known is None or known == delta:
            self.office.blame(f"reference {reference} was refused as another's")

    async def judge(self) -> dict[str, list[str]]:
        rows = await self.office.rows(
            "select reference_id, delta from workspace_token_ledger where workspace_id = %s", self.office.workspace.id
        )
        balance, total = (
            await self.office.rows(
                """
                select balance, (
                  select sum(delta)::bigint from workspace_token_ledger as entry
                  where entry.workspace_id = balances.workspace_id)
                from workspace_token_balance as balances where workspace_id = %s
                """,
                self.office.workspace.id,
            )
        )[0]
        mismatches = await self._tokens.check()
        return {
            "each reference counts once": [
                *differences("reference", self._applied, dict(rows)),
                *([f"{len(rows)} rows of {len(dict(rows))} references"] if len(rows) != len(dict(rows)) else []),
            ],
            "the balance is the ledger's sum": [
                *([f"balance {balance}, sum {total}"] if balance != total else []),
                *(f"workspace {mismatch.workspace_id}" for mismatch in mismatches),
            ],
        }
