"""Where the sandbox keeps HubSpot's records: tables of the one state file."""

SCHEMA = """
-- `properties` and `history` are what a read tells; `found` is what the search index knows, which follows
-- later. `history` holds, by property, [ms, value, source] in the order of time.
CREATE TABLE IF NOT EXISTS hubspot_object (
    type TEXT NOT NULL, id INTEGER NOT NULL, properties TEXT NOT NULL, history TEXT NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    archived_ms INTEGER, merged_into INTEGER,
    found TEXT, found_ms INTEGER, found_pipeline TEXT,
    PRIMARY KEY (type, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hubspot_by_time ON hubspot_object (type, found_ms);
CREATE INDEX IF NOT EXISTS hubspot_by_pipeline ON hubspot_object (type, found_pipeline);
-- What the index does not know yet.
CREATE TABLE IF NOT EXISTS hubspot_unindexed (
    type TEXT NOT NULL, id INTEGER NOT NULL, updated_ms INTEGER NOT NULL, PRIMARY KEY (type, id)
) WITHOUT ROWID;
-- What the simulated world has in store: changes of properties at a moment to come.
CREATE TABLE IF NOT EXISTS hubspot_pending (
    at_ms INTEGER NOT NULL, type TEXT NOT NULL, id INTEGER NOT NULL, changes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS hubspot_pending_by_time ON hubspot_pending (at_ms);
CREATE TABLE IF NOT EXISTS hubspot_association (
    from_type TEXT NOT NULL, from_id INTEGER NOT NULL, to_type TEXT NOT NULL, to_id INTEGER NOT NULL,
    type_id INTEGER NOT NULL, PRIMARY KEY (from_type, from_id, to_type, to_id, type_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hubspot_pipeline (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, display_order INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS hubspot_stage (
    pipeline_id TEXT NOT NULL, id TEXT NOT NULL, label TEXT NOT NULL, display_order INTEGER NOT NULL,
    probability TEXT NOT NULL, is_closed TEXT NOT NULL, created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, PRIMARY KEY (pipeline_id, id)
);
CREATE TABLE IF NOT EXISTS hubspot_owner (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, email TEXT NOT NULL, first_name TEXT NOT NULL,
    last_name TEXT NOT NULL, team TEXT, archived INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS hubspot_property (
    object_type TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, field_type TEXT NOT NULL,
    label TEXT NOT NULL, options TEXT NOT NULL, PRIMARY KEY (object_type, name)
);
CREATE TABLE IF NOT EXISTS hubspot_feed (world_id TEXT NOT NULL, until TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hubspot_limit (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS hubspot_day (day TEXT PRIMARY KEY, calls INTEGER NOT NULL);
"""
TABLES = (
    "hubspot_object", "hubspot_unindexed", "hubspot_pending", "hubspot_association", "hubspot_pipeline",
    "hubspot_stage", "hubspot_owner", "hubspot_property", "hubspot_feed", "hubspot_limit", "hubspot_day",
)  # fmt: skip
