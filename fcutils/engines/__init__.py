"""Who writes the model's side: `local.py` (transformers, one cache, every turn), `server.py` (any OpenAI-compatible server)."""
