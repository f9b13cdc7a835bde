CREATE TABLE products (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  price_cents INTEGER NOT NULL CHECK (price_cents > 0),
  rating REAL NOT NULL CHECK (rating BETWEEN 1 AND 5),
  stock INTEGER NOT NULL CHECK (stock >= 0),
  description TEXT NOT NULL
);
CREATE TABLE discount_codes (
  code TEXT PRIMARY KEY,
  percent INTEGER NOT NULL CHECK (percent BETWEEN 1 AND 100),
  minimum_cents INTEGER NOT NULL,
  valid_from TEXT NOT NULL,
  valid_until TEXT NOT NULL,
  uses_left INTEGER NOT NULL CHECK (uses_left >= 0)
);
CREATE TABLE orders (
  id TEXT PRIMARY KEY,
  customer_id TEXT NOT NULL REFERENCES customers,
  status TEXT NOT NULL CHECK (status IN ('open', 'packed', 'shipped', 'delivered', 'returned', 'cancelled')),
  ordered_on TEXT NOT NULL,
  expected_on TEXT,
  discount_code TEXT REFERENCES discount_codes
);
CREATE TABLE order_lines (
  order_id TEXT NOT NULL REFERENCES orders,
  product_id TEXT NOT NULL REFERENCES products,
  quantity INTEGER NOT NULL CHECK (quantity > 0),
  PRIMARY KEY (order_id, product_id)
);
