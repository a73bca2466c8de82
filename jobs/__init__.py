"""The wiring of Fleetpulse: settings, Flink jobs, services and the command line."""
