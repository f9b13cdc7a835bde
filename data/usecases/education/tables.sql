CREATE TABLE resources (
  id TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  kind TEXT NOT NULL,
  topic TEXT NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('beginner', 'intermediate', 'advanced')),
  minutes INTEGER NOT NULL CHECK (minutes > 0),
  summary TEXT NOT NULL,
  url TEXT NOT NULL
);
CREATE TABLE questions (
  id TEXT PRIMARY KEY,
  topic TEXT NOT NULL,
  level TEXT NOT NULL CHECK (level IN ('easy', 'medium', 'hard')),
  question TEXT NOT NULL,
  a TEXT NOT NULL,
  b TEXT NOT NULL,
  c TEXT NOT NULL,
  d TEXT NOT NULL,
  answer TEXT NOT NULL CHECK (answer IN ('a', 'b', 'c', 'd')),
  explanation TEXT NOT NULL
);
CREATE TABLE study_plans (
  id INTEGER PRIMARY KEY,
  topic TEXT NOT NULL,
  starts_on TEXT NOT NULL,
  days INTEGER NOT NULL,
  minutes_per_day INTEGER NOT NULL,
  sessions TEXT NOT NULL -- a JSON list, one text a day
);
