"""The exits of Fleetpulse: ClickHouse, the alert topic, the dead letters, Prometheus."""
