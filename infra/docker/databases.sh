#!/bin/bash
# Run once by the image of PostgreSQL, on an empty volume: a database and a role for each service.
set -euo pipefail
for service in ledger gateway gifting tasks; do
    password_of="${service^^}_DATABASE_PASSWORD"
    psql --quiet --username="${POSTGRES_USER:-postgres}" --set=ON_ERROR_STOP=1 --set=service="$service" --set=password="${!password_of}" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
