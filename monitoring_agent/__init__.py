"""The agent: samples one machine and answers for it over HTTP."""
