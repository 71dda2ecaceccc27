-- Identities of the events, or scopes of the agents, that have most to do with an alert; empty where nobody has looked.
ALTER TABLE kpi_alerts
    ADD COLUMN IF NOT EXISTS contributors Array(String) AFTER bound_from;
