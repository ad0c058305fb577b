"""A classified call, explained to a person. Pure.

* `narrative.py`: the call as a short story with times, by the facts that gave its result; `conversations.py` finds who
  talked with whom, `phrases.py` holds the words.
* `decision.py`: the lines of the result table and of each CRM's table that decided.
"""
