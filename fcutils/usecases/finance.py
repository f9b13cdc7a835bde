"""Finance: fundamentals and prices of stocks.

Knows one table, `data/usecases/finance/stocks.csv`, of invented figures that carry their date. It is no market data and no
advice, and every result says so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fcutils.messages import Message, ToolCall
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database, Row
from fcutils.usecases.values import Code, Result, pick

NOTICE = "Invented figures for practice, frozen on that date: no market data and no advice."


class Fundamentals(Result):
    symbol: str
    company_name: str
    sector: str
    industry: str
    as_of: dt.date
    market_cap_usd: int
    pe_ratio: float | None
    """Null where the company makes a loss."""
    pb_ratio: float
    dividend_yield_percent: float
    earnings_per_share_usd: float
    beta: float
    low_52_weeks_usd: float
    high_52_weeks_usd: float
    notice: str


class Price(Result):
    symbol: str
    price: float
    currency: str
    as_of: dt.date
    notice: str


@dataclass(frozen=True)
class Finance:
    """The tools of this use case, over one database."""

    db: Database

    def get_stock_fundamentals(self, symbol: Code) -> Fundamentals:
        """Get a company's fundamental data: market value, P/E and P/B ratio, dividend yield, earnings per share, beta.

        Args:
            symbol: Ticker symbol, such as TSLA
        """
        row = self._stock(symbol)
        price, earnings = row["price"], row["earnings_per_share"]
        return Fundamentals(
            symbol=row["symbol"],
            company_name=row["company_name"],
            sector=row["sector"],
            industry=row["industry"],
            as_of=row["as_of"],
            market_cap_usd=round(price * row["shares_millions"]) * 1_000_000,
            pe_ratio=round(price / earnings, 2) if earnings > 0 else None,
            pb_ratio=round(price / row["book_value_per_share"], 2),
            dividend_yield_percent=round(100 * row["dividend_per_share"] / price, 2),
            earnings_per_share_usd=earnings,
            beta=row["beta"],
            low_52_weeks_usd=row["low_52_weeks"],
            high_52_weeks_usd=row["high_52_weeks"],
            notice=NOTICE,
        )

    def get_stock_price(self, symbol: Code) -> Price:
        """Get the price of a stock.

        Args:
            symbol: Ticker symbol, such as TSLA
        """
        row = self._stock(symbol)
        return Price(symbol=row["symbol"], price=row["price"], currency="USD", as_of=row["as_of"], notice=NOTICE)

    def _stock(self, symbol: str) -> Row:
        stocks = {row["symbol"]: row for row in self.db.rows("SELECT * FROM stocks")}
        return stocks[pick("stock", symbol, stocks)]


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The tools for stocks. None of them writes."""
    finance = Finance(db or Database())
    tools = Toolbox(on_approve=on_approve)
    tools.add(finance.get_stock_fundamentals)
    tools.add(finance.get_stock_price)
    return tools


DIALOGUE = (
    Message("user", "What are the fundamentals of Tesla (TSLA)?"),
    Message("assistant", calls=(ToolCall("get_stock_fundamentals", {"symbol": "TSLA"}),)),
    Message(
        "assistant",
        "As of 27 February 2026 Tesla has a P/E ratio of 237.52, a P/B ratio of 15.9 and a beta of 2.14. It pays no dividend. "
        "These are invented figures for practice.",
    ),
    Message("user", "And the prices of TSLA and KO?"),
    Message(
        "assistant", calls=(ToolCall("get_stock_price", {"symbol": "TSLA"}), ToolCall("get_stock_price", {"symbol": "KO"}))
    ),
    Message("assistant", "On 27 February 2026 TSLA stood at 382.4 USD and KO at 69.45 USD, both invented for practice."),
)
