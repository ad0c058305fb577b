"""The fake Bitrix24.

portal.py      the portal: authorisation, limits, which method does what
config.py      its settings
rest.py        addresses, errors, how a request is read
oauth.py       the authorisation server: tokens for codes and refresh tokens
batch.py       up to 50 commands in one request
fields.py      parameters of the telephony methods
calls.py       state: registered and finished calls, their statistics
call_methods.py  the methods of one call
person.py      whom a call is given to
recordings.py  recordings at finished calls
recorded.py    the recording of a call
activities.py  state: universal activities (to-dos) of clients
crm.py         state: clients by phone number, comments
users.py       the people
crm_methods.py the methods of the CRM
lines.py       state: external lines
statistics.py  the filter of voximplant.statistic.get
limits.py      requests a second, seconds of work
"""
