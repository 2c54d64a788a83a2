"""`monitoringctl`, the operator's command."""
