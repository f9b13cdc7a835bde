CREATE TABLE symptoms (
  id INTEGER PRIMARY KEY,
  date TEXT NOT NULL,
  symptom TEXT NOT NULL,
  severity INTEGER NOT NULL CHECK (severity BETWEEN 1 AND 10)
);
CREATE TABLE medicines (
  name TEXT PRIMARY KEY,
  brands TEXT NOT NULL,
  used_for TEXT NOT NULL,
  forms TEXT NOT NULL,
  prescription TEXT NOT NULL CHECK (prescription IN ('yes', 'no'))
);
CREATE TABLE doctors (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  specialty TEXT NOT NULL
);
CREATE TABLE slots (
  id TEXT PRIMARY KEY,
  doctor_id TEXT NOT NULL REFERENCES doctors,
  date TEXT NOT NULL,
  time TEXT NOT NULL,
  booked INTEGER NOT NULL CHECK (booked IN (0, 1)),
  UNIQUE (doctor_id, date, time)
);
