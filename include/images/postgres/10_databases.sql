-- Run once by the PostgreSQL image, when its volume is empty: a database and a role each for the three that share
-- the server. Their migration tables would collide in one. Passwords come from the container's environment.
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv nightshift_password NIGHTSHIFT_DB_PASSWORD

CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE nightshift LOGIN PASSWORD :'nightshift_password';

CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE nightshift OWNER nightshift;

-- Without this, every role may connect to every database.
REVOKE CONNECT ON DATABASE airflow, mlflow, nightshift FROM PUBLIC;

-- Only a superuser may add it.
\connect nightshift
CREATE EXTENSION vector;
