"""Pictures that look alike: small copies, their hashes, and which are the same picture."""
