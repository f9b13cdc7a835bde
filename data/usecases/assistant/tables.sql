CREATE TABLE weather (
  city TEXT PRIMARY KEY,
  country TEXT NOT NULL,
  measured_on TEXT NOT NULL,
  celsius REAL NOT NULL,
  sky TEXT NOT NULL,
  humidity_percent INTEGER NOT NULL CHECK (humidity_percent BETWEEN 0 AND 100),
  wind_kmh INTEGER NOT NULL CHECK (wind_kmh >= 0)
);
CREATE TABLE reminders (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL,
  date TEXT NOT NULL,
  time TEXT NOT NULL
);
CREATE TABLE services (
  name TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  opens TEXT NOT NULL,
  closes TEXT NOT NULL,
  minutes INTEGER NOT NULL CHECK (minutes > 0)
);
CREATE TABLE appointments (
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL REFERENCES services,
  date TEXT NOT NULL,
  time TEXT NOT NULL,
  UNIQUE (service, date, time)
);
