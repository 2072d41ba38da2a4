"""The semantic cache: entries, their vectors, what was learnt about them, and what it saved.

Revision ID: 0006_llm_cache
Revises: 0005_llm_vendors
"""

from alembic import op

revision = "0006_llm_cache"
down_revision = "0005_llm_vendors"
branch_labels = None
depends_on = None

UPGRADE = """
SELECT 1;
"""

DOWNGRADE = """
SELECT 1;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
