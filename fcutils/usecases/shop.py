"""The shop: products, recommendations, orders, discount codes.

Knows the tables of `data/usecases/shop/`, and that an order's payment (`support`) goes with its total. Money is kept in cents
and shown in euros.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fcutils.messages import Message, ToolCall
from fcutils.ranking import rank
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Code, Result, Text

Category = Literal["headphones", "laptops", "phones", "kitchen", "books", "garden", "sport", "toys", "home"]
MOST_EUROS = 10_000.0  # nothing costs more
Euros = Annotated[float, Field(gt=0, le=MOST_EUROS)]
_MOST_FOUND = 5


class Product(Result):
    product_id: str
    name: str
    category: Category
    price_eur: float
    rating: float
    """From 1 to 5."""
    in_stock: int
    description: str


class OrderStatus(Result):
    order_id: str
    status: Literal["open", "packed", "shipped", "delivered", "returned", "cancelled"]
    items: list[str]
    total_eur: float
    discount_code: str | None
    ordered_on: dt.date
    expected_on: dt.date | None


class Discount(Result):
    order_id: str
    code: str
    percent: int
    total_before_eur: float
    total_eur: float


@dataclass(frozen=True)
class Shop:
    """The tools of this use case, over one database."""

    db: Database

    def search_products(self, query: Text, max_price: Euros = MOST_EUROS) -> list[Product]:
        """Search the shop's products. Returns the best matches first, and an empty list where nothing fits.

        Args:
            query: Words to search for
            max_price: Highest price in euros
        """
        rows = self.db.rows("SELECT * FROM products WHERE price_cents <= ?", round(max_price * 100))
        found = rank(query, [f"{row['name']} {row['name']} {row['category']} {row['description']}" for row in rows])
        return [_product(rows[place]) for place, _ in found[:_MOST_FOUND]]

    def recommend_product(self, category: Category, budget: Euros = MOST_EUROS) -> Product:
        """Recommend the best product in stock of one category.

        Args:
            category: Kind of product
            budget: Most that it may cost, in euros
        """
        query = "SELECT * FROM products WHERE category = ? AND stock > 0 ORDER BY rating DESC, price_cents"
        rows = self.db.rows(query, category)
        fitting = [row for row in rows if row["price_cents"] <= round(budget * 100)]
        if not fitting:
            cheapest = min((row["price_cents"] for row in rows), default=0)
            hint = f"; the cheapest costs {cheapest / 100:.2f}" if rows else ""
            raise LookupError(f"nothing of {category} in stock costs {budget:g} euros or less{hint}")
        return _product(fitting[0])

    def check_order_status(self, order_id: Code) -> OrderStatus:
        """Check the status of an order: what is in it, what it costs, when it will arrive.

        Args:
            order_id: Id of the order, such as ORD3001
        """
        order = self._order(order_id)
        query = "SELECT name, quantity FROM order_lines JOIN products ON product_id = id WHERE order_id = ? ORDER BY id"
        items = [f"{line['quantity']} x {line['name']}" for line in self.db.rows(query, order_id)]
        return OrderStatus(order_id=order_id, items=items, total_eur=self._cents(order_id) / 100, **order)

    def apply_discount_code(self, order_id: Code, code: Code) -> Discount:
        """Apply a discount code to an order that is open and has none yet.

        Args:
            order_id: Id of the order, such as ORD3025
            code: The discount code
        """
        with self.db.transaction():
            order = self._order(order_id)
            before = self._cents(order_id)
            percent = self._percent_off(code, order, before)
            self.db.write("UPDATE discount_codes SET uses_left = uses_left - 1 WHERE code = ?", code)
            self.db.write("UPDATE orders SET discount_code = ? WHERE id = ?", code, order_id)
            after = self._cents(order_id)
            self.db.write("UPDATE payments SET amount_cents = ? WHERE order_id = ?", after, order_id)
            return Discount(order_id=order_id, code=code, percent=percent, total_before_eur=before / 100, total_eur=after / 100)

    def _percent_off(self, code: str, order: Row, cents: int) -> int:
        """What a code takes off this order, or why it cannot be used on it."""
        offer = self.db.row("SELECT * FROM discount_codes WHERE code = ?", code)
        if offer is None:
            raise LookupError(f"there is no discount code {code}")
        today = self.db.today.isoformat()
        if order["status"] != "open":
            raise ValueError(f"this order is {order['status']}; only an open one takes a discount")
        if order["discount_code"]:
            raise ValueError(f"this order has the code {order['discount_code']} already; one is all it takes")
        if not offer["valid_from"] <= today <= offer["valid_until"]:
            raise ValueError(f"{code} is valid from {offer['valid_from']} to {offer['valid_until']}; today is {today}")
        if not offer["uses_left"]:
            raise ValueError(f"{code} has been used as often as it may be")
        if cents < offer["minimum_cents"]:
            raise ValueError(
                f"{code} is for orders of {offer['minimum_cents'] / 100:.2f} euros or more; this one has {cents / 100:.2f}"
            )
        return offer["percent"]

    def _order(self, order_id: str) -> Row:
        row = self.db.row("SELECT status, ordered_on, expected_on, discount_code FROM orders WHERE id = ?", order_id)
        if row is None:  # the ids of others are nobody's business: no suggestion
            raise LookupError(f"there is no order {order_id}; an id looks like ORD3001")
        return row

    def _cents(self, order_id: str) -> int:
        """What an order costs, after its discount, rounded half up."""
        query = (
            "SELECT sum(quantity * price_cents) AS cents, coalesce(max(percent), 0) AS percent FROM orders "
            "JOIN order_lines ON order_id = orders.id JOIN products ON product_id = products.id "
            "LEFT JOIN discount_codes ON discount_code = code WHERE orders.id = ?"
        )
        sums = self.db.row(query, order_id)
        assert sums is not None
        return (sums["cents"] * (100 - sums["percent"]) + 50) // 100


def _product(row: Row) -> Product:
    return Product(product_id=row["id"], price_eur=row["price_cents"] / 100, in_stock=row["stock"], **row)


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The shop's tools. What writes waits for `on_approve`."""
    shop = Shop(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(shop.search_products)
    tools.add(shop.recommend_product)
    tools.add(shop.check_order_status)
    tools.add(shop.apply_discount_code, approve=True)
    return tools


DIALOGUE = (
    Message("user", "Do you have a kettle for less than 60 euros?"),
    Message("assistant", calls=(ToolCall("search_products", {"query": "kettle", "max_price": 60}),)),
    Message("assistant", "Yes: the Copper kettle for 54.00 euros, 1.5 litres, with a whistle."),
    Message("user", "And which headphones would you recommend? I have 100 euros."),
    Message("assistant", calls=(ToolCall("recommend_product", {"category": "headphones", "budget": 100}),)),
    Message("assistant", "The Aria wireless headphones for 89 euros, rated 4.6: noise cancelling, and 30 hours of battery."),
    Message("user", "Where is my order ORD3025, and can I still use SPRING10 on it?"),
    Message("assistant", calls=(ToolCall("check_order_status", {"order_id": "ORD3025"}),)),
    Message(
        "assistant",
        calls=(ToolCall("apply_discount_code", {"order_id": "ORD3025", "code": "SPRING10"}),),
    ),
    Message("assistant", "It is open and should arrive on 9 March 2026. With SPRING10 it costs 90 euros instead of 100."),
)
