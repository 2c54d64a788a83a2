"""What our daemons cost beside Debian's Prometheus and node_exporter, measured in one run."""
