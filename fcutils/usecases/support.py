"""Customer support: troubleshooting, accounts, payments.

Knows the tables of `data/usecases/support/`. It reads only; money is kept in cents and shown in euros.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from fcutils.messages import Message, ToolCall
from fcutils.ranking import rank
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Code, Result, Text

Device = Literal["router", "laptop", "phone", "printer", "television", "smartwatch"]
Status = Literal["Paid", "Unpaid", "Pending", "Refunded", "Cancelled"]


class Guide(Result):
    product: Device
    problem: str
    steps: list[str]
    if_this_fails: str


class Account(Result):
    customer_id: str
    name: str
    email: str
    customer_since: dt.date
    plan: Literal["basic", "plus", "family"]
    status: Literal["active", "paused", "closed"]
    balance_eur: float
    """Below zero where the customer owes money."""
    renews_on: dt.date | None


class PaymentStatus(Result):
    transaction_id: str
    status: Status


class PaymentDate(Result):
    transaction_id: str
    date: dt.date | None
    """Null while nothing has been paid."""


@dataclass(frozen=True)
class Support:
    """The tools of this use case, over one database."""

    db: Database

    def troubleshoot_issue(self, product: Device, issue: Text) -> Guide:
        """Find the steps that solve a problem with a device.

        Args:
            product: The device that makes trouble
            issue: What is wrong, in a few words
        """
        guides = self.db.rows("SELECT product, problem, steps, if_this_fails FROM guides WHERE product = ?", product)
        found = rank(issue, [f"{guide['problem']} {guide['problem']} {guide['steps']}" for guide in guides])
        if not found:
            problems = "; ".join(guide["problem"] for guide in guides)
            raise LookupError(f"no guide for this issue. There is help for: {problems}")
        guide = guides[found[0][0]]
        return Guide(steps=guide.pop("steps").split(" | "), **guide)

    def fetch_account_details(self, customer_id: Code) -> Account:
        """Fetch the details of a customer's account: plan, status and balance.

        Args:
            customer_id: Id of the customer, such as C1001
        """
        query = (
            "SELECT customer_id, name, email, since AS customer_since, plan, status, balance_cents, renews_on "
            "FROM customers JOIN accounts ON customer_id = customers.id WHERE customer_id = ?"
        )
        row = self.db.row(query, customer_id)
        if row is None:
            raise LookupError(f"there is no customer {customer_id}; an id looks like C1001")
        return Account(balance_eur=row.pop("balance_cents") / 100, **row)

    def retrieve_payment_status(self, transaction_id: Code) -> PaymentStatus:
        """Get the status of a payment.

        Args:
            transaction_id: Id of the transaction, such as T1001
        """
        return PaymentStatus(transaction_id=transaction_id, status=self._payment(transaction_id)["status"])

    def retrieve_payment_date(self, transaction_id: Code) -> PaymentDate:
        """Get the date on which a payment was made.

        Args:
            transaction_id: Id of the transaction, such as T1001
        """
        return PaymentDate(transaction_id=transaction_id, date=self._payment(transaction_id)["paid_on"])

    def _payment(self, transaction_id: str) -> Row:
        row = self.db.row("SELECT * FROM payments WHERE id = ?", transaction_id)
        if row is None:  # the ids of others are nobody's business: no suggestion
            raise LookupError(f"there is no transaction {transaction_id}; an id looks like T1001")
        return row


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The support desk's tools. None of them writes."""
    support = Support(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(support.troubleshoot_issue)
    tools.add(support.fetch_account_details)
    tools.add(support.retrieve_payment_status)
    tools.add(support.retrieve_payment_date)
    return tools


DIALOGUE = (
    Message("user", "What's the status of my transaction T1001?"),
    Message("assistant", calls=(ToolCall("retrieve_payment_status", {"transaction_id": "T1001"}),)),
    Message("assistant", "Your transaction T1001 is Paid."),
    Message("user", "On which day was that?"),
    Message("assistant", calls=(ToolCall("retrieve_payment_date", {"transaction_id": "T1001"}),)),
    Message("assistant", "It was paid on 28 January 2026."),
    Message("user", "Thanks. Which plan am I on? My customer number is C1001."),
    Message("assistant", calls=(ToolCall("fetch_account_details", {"customer_id": "C1001"}),)),
    Message("assistant", "You are on the plus plan; your account is active."),
    Message("user", "My printer says it is offline, though it is switched on."),
    Message("assistant", calls=(ToolCall("troubleshoot_issue", {"product": "printer", "issue": "printer is offline"}),)),
    Message(
        "assistant",
        "First check that printer and computer are in the same network, then restart the printer. If it is still offline, "
        "remove it in the settings and add it again.",
    ),
)
