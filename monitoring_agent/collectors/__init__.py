"""One file a topic, each turning what the kernel says into a sample."""
