"""Language-model work that can wait: queue, batches, answers, bill.

`scoring` asks, `requests` stores the questions, `batches` plans a night, `submission` posts exactly once,
`progress` looks how far the vendor is, `collection` stores what came back, `night` says what happened.
"""
