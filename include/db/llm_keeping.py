"""SQL of how long the night's records are kept. Each statement removes one page; what was paid outlives all.

A request that gave a creative its score stays with the score.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, TextClause, text

_REQUESTS = """
WITH old AS (
    SELECT request_id FROM llm.llm_request AS request
    WHERE state = '{state}' AND finished_at < now() - CAST(:days AS integer) * interval '1 day'
      AND NOT EXISTS (SELECT FROM llm.creative_score AS score WHERE score.request_id = request.request_id)
    LIMIT :most
), bill AS (
    UPDATE llm.llm_cost SET request_id = NULL, attempt = NULL FROM old
    WHERE llm_cost.request_id = old.request_id
), item AS (
    DELETE FROM llm.llm_batch_item USING old WHERE llm_batch_item.request_id = old.request_id
), asker AS (
    DELETE FROM llm.llm_request_asker USING old WHERE llm_request_asker.request_id = old.request_id
)
DELETE FROM llm.llm_request USING old WHERE llm_request.request_id = old.request_id
"""

_STATEMENTS: Mapping[str, TextClause] = {
    "answers": text(_REQUESTS.format(state="succeeded")),
    "failed_requests": text(_REQUESTS.format(state="failed")),
    "quarantine": text("""
        DELETE FROM llm.quarantined_line WHERE (batch_id, line_hash) IN (
            SELECT batch_id, line_hash FROM llm.quarantined_line
            WHERE seen_at < now() - CAST(:days AS integer) * interval '1 day' LIMIT :most)"""),
    "batches": text("""
        WITH old AS (
            SELECT batch_id FROM llm.llm_batch AS batch
            WHERE state IN ('collected', 'failed')
              AND intent_at < now() - CAST(:days AS integer) * interval '1 day'
              AND NOT EXISTS (SELECT FROM llm.llm_batch_item AS item WHERE item.batch_id = batch.batch_id)
              AND NOT EXISTS (SELECT FROM llm.llm_request AS request WHERE request.batch_id = batch.batch_id)
            LIMIT :most
        ), bill AS (
            UPDATE llm.llm_cost SET batch_id = NULL FROM old WHERE llm_cost.batch_id = old.batch_id
        ), line AS (
            DELETE FROM llm.quarantined_line USING old WHERE quarantined_line.batch_id = old.batch_id
        )
        DELETE FROM llm.llm_batch USING old WHERE llm_batch.batch_id = old.batch_id"""),
    "waiting": text("""
        DELETE FROM llm.llm_night_waiting WHERE ctid IN (
            SELECT ctid FROM llm.llm_night_waiting
            WHERE run_date < CURRENT_DATE - CAST(:days AS integer) LIMIT :most)"""),
    "ledger": text("""
        DELETE FROM llm.llm_cost WHERE cost_key IN (
            SELECT cost_key FROM llm.llm_cost
            WHERE booked_on < CURRENT_DATE - CAST(:days AS integer) LIMIT :most)"""),
}

# In the order of removing: what refers to others goes first.
KINDS = tuple(_STATEMENTS)


def remove_old(conn: Connection, kind: str, days: int, most: int) -> int:
    """Remove up to `most` records of a kind that are older; returns how many."""
    return conn.execute(_STATEMENTS[kind], {"days": days, "most": most}).rowcount
