"""Words Nightshift adds to Airflow: policy, assets, operators, triggers, notifiers."""
