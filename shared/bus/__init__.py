"""How events travel between services: logs, lanes, relay, transports, inbox, parking."""
