"""Claim: money Amazon owes a seller, with all that is known of it. Owned by the refund engine."""
