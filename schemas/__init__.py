"""The nouns of Fleetpulse: wire schemas, tables, topics, metrics and errors."""
