"""A session with Vault or OpenBao: addresses, TLS, deadlines, failover and the engines it reads."""
