"""What Airflow calls when something went wrong.

`task_failure` runs in the task that failed and keeps what it said; `failure_alert` runs when Airflow has
given up the run, and tells people once.
"""
