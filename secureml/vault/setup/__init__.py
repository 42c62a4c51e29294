"""What production needs of a Vault: mount, policies and roles, planned and applied."""
