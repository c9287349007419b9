"""One stand-in a service. In each: CONNECTOR (dotted path), Service (a StandIn), credentials(service) (its options)."""
