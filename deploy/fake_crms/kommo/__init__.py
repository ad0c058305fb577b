"""The fake Kommo (amoCRM).

portal.py    the account: authorisation, OAuth, which request is served where
config.py    its settings
account.py   the account, its users and pipelines
requests.py  addresses, errors, how a request is read and checked
calls.py     finished calls are added
notes.py     notes are listed, added, edited
tasks.py     tasks are added, listed, completed
contacts.py  contacts, companies and leads
unsorted.py  incoming leads
state.py     what the account holds, and a request about it
task_store.py  the tasks that it holds
limits.py    requests a second
"""
