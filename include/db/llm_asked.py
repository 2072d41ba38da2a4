"""SQL of what applications asked and may read again."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, RowMapping, text

_STORED = text("""
SELECT request_id AS id, state, purpose, endpoint, model, prompt_version, answer, answered_from, error,
       attempts, not_after, queued_on, queued_at, finished_at
FROM llm.llm_request AS request
WHERE request_id = ANY(:request_ids)
  AND (CAST(:tenants AS text[]) IS NULL
       OR EXISTS (SELECT FROM llm.llm_request_asker AS asker
                  WHERE asker.request_id = request.request_id AND asker.tenant = ANY(:tenants)))
""")


def stored_requests(
    conn: Connection, request_ids: Collection[int], tenants: Collection[str] | None = None
) -> Sequence[RowMapping]:
    """Requests that one of `tenants` asked, or anybody where it is None; in no order.

    Columns: id, state, purpose, endpoint, model, prompt_version, answer, answered_from, error, attempts,
    not_after, queued_on, queued_at, finished_at.
    """
    values = {"request_ids": list(request_ids), "tenants": None if tenants is None else list(tenants)}
    return conn.execute(_STORED, values).mappings().all()
