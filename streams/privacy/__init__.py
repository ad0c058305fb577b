"""Numbers of people: which spellings mean the same one, its keyed hash, and records without it. Pure.

spellings.py   the numbers that a text may mean, and the numbers in a sentence
hashing.py     the keyed hash of a number
blanking.py    a call's result and legs without the numbers that are meant
erased.py      the numbers that were erased, by their hashes: what aggregate workers, replays and exports obey
hashed.py      a result with hashes in place of its numbers
"""
