-- Invented figures for practice. They carry their date, and are no market data.
CREATE TABLE stocks (
  symbol TEXT PRIMARY KEY,
  company_name TEXT NOT NULL,
  sector TEXT NOT NULL,
  industry TEXT NOT NULL,
  as_of TEXT NOT NULL,
  price REAL NOT NULL CHECK (price > 0),
  shares_millions INTEGER NOT NULL CHECK (shares_millions > 0),
  earnings_per_share REAL NOT NULL,
  book_value_per_share REAL NOT NULL CHECK (book_value_per_share > 0),
  dividend_per_share REAL NOT NULL CHECK (dividend_per_share >= 0),
  beta REAL NOT NULL,
  low_52_weeks REAL NOT NULL,
  high_52_weeks REAL NOT NULL,
  CHECK (price BETWEEN low_52_weeks AND high_52_weeks)
);
