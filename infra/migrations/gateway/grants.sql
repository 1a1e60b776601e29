-- What the gateway's processes may do in their schema: its tables are views that can be rebuilt.
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schema} TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
-- The swap of a rebuilt view renames tables that belong to the schema's owner.
GRANT EXECUTE ON FUNCTION {schema}.swap_with_shadows(text[]) TO {role};
