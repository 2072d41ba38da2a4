"""What Airflow calls when something went wrong."""
