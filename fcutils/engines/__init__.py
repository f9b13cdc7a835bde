"""Who writes the model's side: `local.py` (transformers, one cache, every turn) and `server.py` (any OpenAI-compatible server);
`script.py` says what it is told, and `hermes_prompt.py` asks one prompt, for lesson 02."""
