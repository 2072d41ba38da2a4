"""Local stand-ins of the vendors' HTTP APIs: one FastAPI app on loopback, stateful, with fault injection.

The real SDKs talk to it unchanged. `app.py` puts it together.
- the language-model vendor: `anthropic.py` (routes), `batches.py` (the life of a batch), `params.py`,
  `answers.py` and `schema_answers.py`
- Slack: `slack.py` (routes), `channels.py` (what is stored), `blocks.py` (what Slack refuses), and the page a
  person reads: `inbox.py`, `mrkdwn.py`, `emoji.py`
- the ads feed: `meta.py`, over the simulated world of `world.py`
- all: `state.py` (the one SQLite file and the clock), `gate.py` and `faults.py` (injected misfortunes),
  `control.py` (what tests steer it with), `server.py` (a server in a thread, for tests)
"""
