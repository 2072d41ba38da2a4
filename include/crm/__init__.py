"""HubSpot's deals and what belongs to them, read politely, stored idempotently, people's data left out."""
