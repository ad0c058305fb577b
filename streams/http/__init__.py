"""One HTTP request to a portal, and what its end proves.

request.py      send a request once, within its time; nothing raises for what the other side does
addresses.py    which network addresses a request may go to
web_address.py  addresses out of settings and answers; where a token may go
"""
