CREATE TABLE customers (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE,
  city TEXT NOT NULL,
  since TEXT NOT NULL
);
CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL UNIQUE REFERENCES customers,
  plan TEXT NOT NULL CHECK (plan IN ('basic', 'plus', 'family')),
  status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'closed')),
  balance_cents INTEGER NOT NULL,
  renews_on TEXT
);
CREATE TABLE payments (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers,
  order_id TEXT UNIQUE REFERENCES orders,
  reason TEXT NOT NULL,
  amount_cents INTEGER NOT NULL CHECK (amount_cents >= 0),
  status TEXT NOT NULL CHECK (status IN ('Paid', 'Unpaid', 'Pending', 'Refunded', 'Cancelled')),
  paid_on TEXT,
  CHECK ((paid_on IS NOT NULL) = (status IN ('Paid', 'Refunded')))
);
CREATE TABLE guides (
  id TEXT PRIMARY KEY,
  product TEXT NOT NULL,
  problem TEXT NOT NULL,
  steps TEXT NOT NULL, -- separated by " | "
  if_this_fails TEXT NOT NULL
);
