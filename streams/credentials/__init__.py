"""OAuth tokens of portals: what they are, how they are kept, who may refresh them.

record.py         a portal's authorisation as it is stored, and how it changes; pure
sealing.py        encryption, and the key file
store.py          the contract of a store: compare and swap
kafka.py          the store on the compacted topic `credentials`
keeper.py         keeps one portal's tokens fresh: of all workers, the one whose claim stands refreshes
authorisation.py  a person lets the product in: instructions, the code, a check of the new tokens
standing.py       how a portal is let in, and until when, without showing a secret
"""
