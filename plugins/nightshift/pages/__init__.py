"""Pages inside Airflow's own UI, behind its login."""
