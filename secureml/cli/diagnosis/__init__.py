"""How Vault is, and what is amiss with it, as commands tell it."""
